/* fuzz_gate_scram.c — the two messages of a login by SCRAM, a NUL byte between them: nothing but
 * the right proof opens, and what is read lies within the message.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "gate/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The example of RFC 7677, user "user" and password "pencil". */
static const char FILE_OF_USERS[] =
    "user:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";
static const char NONCE[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

static bool inside(struct bytes part, struct bytes whole)
{
    return part.len > 0 && part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static void check_messages(struct bytes first_text, struct bytes final_text)
{
    struct scram_first first;
    if (scram_first_parse(first_text, &first)) {
        assert(inside(first.head, first_text) && inside(first.bare, first_text));
        assert(inside(first.nonce, first.bare) && first.name_bytes > 0);
        assert(first.head.len + first.bare.len == first_text.len);
        assert(scram_channel_fits(bytes_str("biws"), first.head) == bytes_is(first.head, "n,,"));
    }
    struct scram_final final;
    if (scram_final_parse(final_text, &final)) {
        assert(inside(final.nonce, final.text) && inside(final.text, final_text));
        assert(final.text.len + 3 + 44 == final_text.len);
        (void)!scram_channel_fits(final.channel, bytes_str("n,,"));
    }
}

static const struct gate_users *table(void)
{
    static struct gate_users *users;
    struct gate_fault fault;
    if (users != NULL)
        return users;
    if (gate_users_new((struct gate_digest){.lo = 1}, &users) != 0 ||
        gate_users_add(users, bytes_str(FILE_OF_USERS), &fault) != 0 ||
        gate_users_seal(users, NULL, &fault) != 0)
        abort();
    return users;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gate_memory memory;
    const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    const size_t first_bytes = nul == NULL ? size : (size_t)(nul - data);
    const size_t skip = nul == NULL ? size : first_bytes + 1;
    /* Copies: what is read beyond their end is seen. */
    uint8_t *first = malloc(first_bytes + 1), *final = malloc(size - skip + 1);
    struct gate_exchange *exchange = malloc(sizeof(*exchange));
    if (first == NULL || final == NULL || exchange == NULL)
        abort();
    memcpy(first + 1, data, first_bytes);
    memcpy(final + 1, data + skip, size - skip);
    const struct bytes first_text = bytes_of(first + 1, first_bytes);
    const struct bytes final_text = bytes_of(final + 1, size - skip);
    check_messages(first_text, final_text);
    struct bytes answer;
    if (gate_users_scram_begin(table(), first_text, bytes_str(NONCE), exchange, &answer)) {
        assert(answer.len <= SCRAM_ANSWER_BYTES_MAX);
        uint8_t end[SCRAM_SIGNATURE_BYTES];
        const bool proven = gate_users_scram_prove(table(), &memory, exchange, final_text, end);
        static const char proof[] = ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert(!proven || memmem(final_text.ptr, final_text.len, proof, sizeof(proof) - 1) != NULL);
        assert((gate_users_scram_end(table(), exchange, bytes_of(NULL, 0)) != 0) == proven);
    }
    free(first);
    free(final);
    free(exchange);
    return 0;
}
