/* cli/change.c — subcommands that change items, each by one request with an answer of one line.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/num.h"
#include "cli/item.h"

bool cli_exptime_fine(const char *text, int64_t *ret_exptime)
{
    if (num_parse_i64(bytes_str(text), ret_exptime) && *ret_exptime >= -1 &&
        *ret_exptime <= UINT32_MAX)
        return true;
    cli_error("'%.40s' is not a lifetime: a number from -1 to %" PRIu32, text, UINT32_MAX);
    return false;
}

/* ── one request, one line ────────────────────────────────────────────────────────────────── */

/* What an answer means that is neither what was wanted nor an error. */
struct no {
    enum cli_reply_kind kind;
    const char *text; /* for the user; NULL: nothing to say */
};

/* Send a request whose answer is one line. FINE when it is `want`, and NO when it is one of the
 * `no_count` in `no`. */
static enum cli_exit line_ask(struct cli_link *link, struct bytes request, enum cli_reply_kind want,
                              const struct no no[2], struct cli_reply *ret_reply)
{
    enum cli_exit code = cli_link_ask(link, request, CLI_ASK_WRITES);
    if (code == CLI_FINE)
        code = cli_link_reply(link, ret_reply);
    if (code != CLI_FINE || ret_reply->kind == want)
        return code;
    for (size_t i = 0; i < 2; i++) {
        if (no[i].text == NULL || ret_reply->kind != no[i].kind)
            continue;
        if (!link->args->json)
            cli_error("%s", no[i].text);
        return CLI_NO;
    }
    return cli_link_refused(ret_reply);
}

/* Connect, ask, and print {"done":true} with --json. */
static enum cli_exit line_run(const struct cli_args *args, struct bytes request,
                              enum cli_reply_kind want, const struct no no[2], const char *done)
{
    struct cli_link link;
    struct cli_reply reply;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = line_ask(&link, request, want, no, &reply);
    if (args->json)
        printf("{\"%s\":%s}\n", done, code == CLI_FINE ? "true" : "false");
    cli_link_close(&link);
    return code;
}

/* ── storing ──────────────────────────────────────────────────────────────────────────────── */

/* All of standard input, with room for a line end behind it. Returns NULL after an error line. */
static char *input_read(size_t *ret_len)
{
    size_t len = 0, cap = 0;
    char *value = NULL;
    clearerr(stdin);
    for (;;) {
        if (cap - len < 65536) {
            cap = cap == 0 ? 65536 * 2 : cap * 2;
            char *grown = realloc(value, cap);
            if (grown == NULL)
                break;
            value = grown;
        }
        const size_t count = fread(value + len, 1, cap - len - 2, stdin);
        len += count;
        if (count == 0 && ferror(stdin))
            break;
        if (len > CLI_VALUE_BYTES_MAX) {
            errno = EFBIG;
            break;
        }
        if (count == 0) {
            *ret_len = len;
            return value;
        }
    }
    cli_error("standard input: %s", strerror(errno));
    free(value);
    return NULL;
}

/* The whole request on the heap: by UDP it must be one datagram. `value` is NULL where standard
 * input has it, `tail` what follows the length. NULL after an error line. */
static char *store_request(const struct cli_args *args, const char *verb, const char *value,
                           const char *tail, size_t *ret_len)
{
    size_t len = 0;
    char *input = NULL;
    if (value != NULL)
        len = strlen(value);
    else if ((value = input = input_read(&len)) == NULL)
        return NULL;
    char *request = malloc(len + 512);
    if (request != NULL) {
        const int head = snprintf(request, 400, "%s %s %" PRIu64 " %" PRId64 " %zu%s\r\n", verb,
                                  args->words[0], args->client_flags, args->exptime, len, tail);
        memcpy(request + head, value, len);
        memcpy(request + (size_t)head + len, "\r\n", 2);
        *ret_len = (size_t)head + len + 2;
    } else {
        cli_error("out of memory");
    }
    free(input);
    return request;
}

static enum cli_exit store(const struct cli_args *args, const char *verb, const struct no no[2])
{
    size_t len;
    if (!cli_keys_fine(args->words, 1))
        return CLI_USAGE;
    const char *value = args->word_count == 2 ? args->words[1] : NULL;
    char *request = store_request(args, verb, value, "", &len);
    if (request == NULL)
        return CLI_FAILED;
    const enum cli_exit code =
        line_run(args, bytes_of(request, len), CLI_REPLY_STORED, no, "stored");
    free(request);
    return code;
}

/* The verb, and what NOT_STORED means behind it. */
#define STORE(verb, text)                                                                          \
    enum cli_exit cli_##verb(const struct cli_args *args)                                          \
    {                                                                                              \
        return store(args, #verb, (const struct no[2]){{CLI_REPLY_NOT_STORED, text}});             \
    }

STORE(set, "not stored")
STORE(add, "not stored: the key is there")
STORE(replace, "not stored: the key is not there")
STORE(append, "not stored: the key is not there")
STORE(prepend, "not stored: the key is not there")

enum cli_exit cli_cas(const struct cli_args *args)
{
    uint64_t unique;
    if (!cli_keys_fine(args->words, 1))
        return CLI_USAGE;
    if (!num_parse_u64(bytes_str(args->words[1]), UINT64_MAX, &unique)) {
        cli_error("'%.40s' is not a number that `matte gets` tells", args->words[1]);
        return CLI_USAGE;
    }
    char tail[32];
    size_t len;
    snprintf(tail, sizeof(tail), " %" PRIu64, unique);
    const char *value = args->word_count == 3 ? args->words[2] : NULL;
    char *request = store_request(args, "cas", value, tail, &len);
    if (request == NULL)
        return CLI_FAILED;
    static const struct no no[2] = {
        {CLI_REPLY_EXISTS, "not stored: the item is not the one that was read"},
        {CLI_REPLY_NOT_FOUND, "not stored: the key is not there"},
    };
    const enum cli_exit code =
        line_run(args, bytes_of(request, len), CLI_REPLY_STORED, no, "stored");
    free(request);
    return code;
}

/* ── the others ───────────────────────────────────────────────────────────────────────────── */

static const struct no not_found[2] = {{CLI_REPLY_NOT_FOUND, "the key was not found"}};

enum cli_exit cli_delete(const struct cli_args *args)
{
    if (!cli_keys_fine(args->words, args->word_count))
        return CLI_USAGE;
    struct cli_link link;
    enum cli_exit worst = cli_link_open(&link, args), code = worst;
    int deleted = 0;
    for (int i = 0; i < args->word_count && (code == CLI_FINE || code == CLI_NO); i++) {
        if (i == 0 && worst != CLI_FINE)
            break; /* refused at the door */
        char request[CLI_KEY_BYTES_MAX + 16];
        struct cli_reply reply;
        const int len = snprintf(request, sizeof(request), "delete %s\r\n", args->words[i]);
        code =
            line_ask(&link, bytes_of(request, (size_t)len), CLI_REPLY_DELETED, not_found, &reply);
        deleted += code == CLI_FINE;
        worst = code > worst ? code : worst;
    }
    cli_link_close(&link);
    if (args->json)
        printf("{\"deleted\":%d}\n", deleted);
    return worst;
}

enum cli_exit cli_touch(const struct cli_args *args)
{
    int64_t exptime;
    if (!cli_keys_fine(args->words, 1) || !cli_exptime_fine(args->words[1], &exptime))
        return CLI_USAGE;
    char request[CLI_KEY_BYTES_MAX + 64];
    const int len =
        snprintf(request, sizeof(request), "touch %s %" PRId64 "\r\n", args->words[0], exptime);
    return line_run(args, bytes_of(request, (size_t)len), CLI_REPLY_TOUCHED, not_found, "touched");
}

static enum cli_exit arith(const struct cli_args *args, const char *verb)
{
    uint64_t by = 1;
    if (!cli_keys_fine(args->words, 1))
        return CLI_USAGE;
    if (args->word_count == 2 && !num_parse_u64(bytes_str(args->words[1]), UINT64_MAX, &by)) {
        cli_error("'%.40s' is not a number from 0 to %" PRIu64, args->words[1], UINT64_MAX);
        return CLI_USAGE;
    }
    char request[CLI_KEY_BYTES_MAX + 64];
    const int len =
        snprintf(request, sizeof(request), "%s %s %" PRIu64 "\r\n", verb, args->words[0], by);
    struct cli_link link;
    struct cli_reply reply;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = line_ask(&link, bytes_of(request, (size_t)len), CLI_REPLY_NUMBER, not_found, &reply);
    if (code == CLI_FINE)
        printf(args->json ? "{\"value\":%" PRIu64 "}\n" : "%" PRIu64 "\n", reply.cas_unique);
    else if (args->json)
        printf("{\"value\":null}\n");
    cli_link_close(&link);
    return code;
}

enum cli_exit cli_incr(const struct cli_args *args)
{
    return arith(args, "incr");
}

enum cli_exit cli_decr(const struct cli_args *args)
{
    return arith(args, "decr");
}

enum cli_exit cli_delete_prefix(const struct cli_args *args)
{
    if (!cli_keys_fine(args->words, 1))
        return CLI_USAGE;
    char request[CLI_KEY_BYTES_MAX + 32];
    const int len = snprintf(request, sizeof(request), "delete_prefix %s\r\n", args->words[0]);
    static const struct no no[2] = {
        {CLI_REPLY_ERROR, "this server does not know delete_prefix; nothing was deleted"}};
    return line_run(args, bytes_of(request, (size_t)len), CLI_REPLY_DELETED, no, "deleted");
}

enum cli_exit cli_flush(const struct cli_args *args)
{
    char request[64] = "flush_all\r\n";
    uint64_t delay_s;
    if (args->word_count == 1) {
        if (!num_parse_u64(bytes_str(args->words[0]), UINT32_MAX, &delay_s)) {
            cli_error("'%.40s' is not a number of seconds", args->words[0]);
            return CLI_USAGE;
        }
        snprintf(request, sizeof(request), "flush_all %" PRIu64 "\r\n", delay_s);
    }
    static const struct no none[2];
    return line_run(args, bytes_str(request), CLI_REPLY_OK, none, "flushed");
}
