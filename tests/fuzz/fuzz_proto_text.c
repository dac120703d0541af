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

static bool is_meta(const struct proto_request *req)
{
    return req->cmd < PROTO_CMD_NONE && (proto_commands[req->cmd].shape == PROTO_SHAPE_META ||
                                         proto_commands[req->cmd].shape == PROTO_SHAPE_META_VALUE);
}

static void check_request(const struct proto_request *req, struct bytes line)
{
    assert(req->error != NULL || req->cmd < PROTO_CMD_NONE);
    assert(inside(req->key, line) && inside(req->rest, line));
    assert(req->error != NULL || req->key.len <= PROTO_KEY_BYTES_MAX);
    assert(!req->has_value || req->value_bytes <= PROTO_VALUE_BYTES_MAX);
    if (is_meta(req)) {
        assert(inside(req->meta.opaque, line));
        assert(req->meta.letter_count <= PROTO_META_FLAGS_MAX);
    }
}

/* The same request, up to where its bytes lie? */
static void check_same(const struct proto_request *a, const struct proto_request *b)
{
    assert(a->cmd == b->cmd && a->error == b->error);
    assert(bytes_equal(a->key, b->key) && bytes_equal(a->rest, b->rest));
    assert(a->noreply == b->noreply && a->has_value == b->has_value);
    assert(a->value_bytes == b->value_bytes && a->exptime == b->exptime);
    assert(a->client_flags == b->client_flags && a->delta == b->delta);
    assert(!is_meta(a) || a->meta.flags == b->meta.flags);
}

/* Without what follows, the line must read the same; without its end not at all. */
static void check_alone(const struct proto_request *req, struct bytes line)
{
    uint8_t *copy = malloc(line.len);
    memcpy(copy, line.ptr, line.len);
    struct proto_request alone;
    size_t used = 0;
    assert(proto_text_parse(bytes_of(copy, line.len), &alone, &used) == PROTO_OK);
    assert(used == line.len);
    check_same(req, &alone);
    assert(proto_text_parse(bytes_of(copy, line.len - 1), &alone, &used) != PROTO_OK);
    free(copy);
}

/* A second space behind the word changes nothing, but keeps the parser from its shortcuts. */
static void check_shortcut(const struct proto_request *req, struct bytes line)
{
    enum { WORD = 4 };
    if ((req->cmd != PROTO_CMD_GET && req->cmd != PROTO_CMD_SET) || line.ptr[WORD - 1] != ' ')
        return;
    uint8_t *copy = malloc(line.len + 1);
    memcpy(copy, line.ptr, WORD);
    copy[WORD] = ' ';
    memcpy(copy + WORD + 1, line.ptr + WORD, line.len - WORD);
    struct proto_request general;
    size_t used = 0;
    assert(proto_text_parse(bytes_of(copy, line.len + 1), &general, &used) == PROTO_OK);
    assert(used == line.len + 1);
    check_same(req, &general);
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
        check_shortcut(&req, line);
        in = bytes_skip(in, used);
    }
    return 0;
}
