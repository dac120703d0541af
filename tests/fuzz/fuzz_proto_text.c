/* Parse the input line by line; what the parser says of itself must hold, whatever the bytes.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "proto/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is `part` inside of `whole` (or empty)? */
static bool inside(struct bytes part, struct bytes whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_request(const struct proto_request *req, struct bytes line)
{
    assert(req->error != NULL || req->cmd < PROTO_CMD_NONE);
    assert(inside(req->key, line) && inside(req->rest, line) && inside(req->meta.opaque, line));
    assert(req->error != NULL || req->key.len <= PROTO_KEY_BYTES_MAX);
    assert(!req->has_value || req->value_bytes <= PROTO_VALUE_BYTES_MAX);
    assert(req->meta.letter_count <= PROTO_META_FLAGS_MAX);
}

/* The line alone, without what follows, must read the same: the shortcuts need bytes behind it. */
static void check_alone(const struct proto_request *req, struct bytes line)
{
    uint8_t *copy = malloc(line.len);
    memcpy(copy, line.ptr, line.len);
    struct proto_request alone;
    size_t used = 0;
    assert(proto_text_parse(bytes_of(copy, line.len), &alone, &used) == PROTO_OK);
    assert(used == line.len && alone.cmd == req->cmd && alone.error == req->error);
    assert(bytes_equal(alone.key, req->key) && bytes_equal(alone.rest, req->rest));
    assert(alone.noreply == req->noreply && alone.has_value == req->has_value);
    assert(alone.value_bytes == req->value_bytes && alone.exptime == req->exptime);
    assert(alone.client_flags == req->client_flags && alone.meta.flags == req->meta.flags);
    assert(proto_text_parse(bytes_of(copy, line.len - 1), &alone, &used) != PROTO_OK);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct proto_request req;
    size_t used;
    while (proto_text_parse(in, &req, &used) == PROTO_OK) {
        const struct bytes line = bytes_of(in.ptr, used);
        assert(used > 0 && used <= in.len && line.ptr[used - 1] == '\n');
        check_request(&req, line);
        check_alone(&req, line);
        in = bytes_skip(in, used);
    }
    return 0;
}
