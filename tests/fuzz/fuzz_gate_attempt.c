/* fuzz_gate_attempt.c — what a client sends in order to log in, by both protocols.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "gate/attempt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct bytes part, struct bytes whole)
{
    return part.len > 0 && part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

/* Without its last byte it must ask for more; alone it must read the same. */
static void check_alone(struct bytes in, enum gate_text_rc rc, const struct gate_attempt *attempt)
{
    uint8_t *copy = malloc(in.len);
    if (copy == NULL)
        abort();
    memcpy(copy, in.ptr, in.len);
    struct gate_attempt alone;
    size_t used = 0;
    assert(gate_text_parse(bytes_of(copy, in.len), &alone, &used) == rc && used == in.len);
    assert(bytes_equal(alone.name, attempt->name));
    assert(bytes_equal(alone.password, attempt->password));
    assert(gate_text_parse(bytes_of(copy, in.len - 1), &alone, &used) == GATE_TEXT_MORE);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct gate_attempt attempt;
    if (gate_plain_parse(in, &attempt))
        assert(inside(attempt.name, in) && inside(attempt.password, in));
    for (;;) {
        size_t used = 0;
        const enum gate_text_rc rc = gate_text_parse(in, &attempt, &used);
        if (rc == GATE_TEXT_CLOSE)
            return 0;
        if (rc == GATE_TEXT_MORE) {
            assert(in.len < GATE_LINE_BYTES_MAX + PROTO_LOGIN_BYTES_MAX + 3);
            return 0;
        }
        assert(used > GATE_LINE_BYTES_MIN && used <= in.len);
        if (rc == GATE_TEXT_ATTEMPT)
            assert(inside(attempt.name, in) && inside(attempt.password, in));
        check_alone(bytes_of(in.ptr, used), rc, &attempt);
        in = bytes_skip(in, used);
    }
}
