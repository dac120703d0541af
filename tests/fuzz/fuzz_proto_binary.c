/* Parse the input packet by packet; what the parser says of itself must hold, whatever the bytes.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "proto/binary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct proto_request *req, struct bytes head)
{
    assert(proto_is_binary(req) && req->tail_bytes == 0 && !req->noreply);
    assert(req->error != NULL || req->cmd < PROTO_CMD_BIN_NONE);
    assert(req->key.len <= PROTO_KEY_BYTES_MAX);
    assert(req->key.len == 0 ||
           (req->key.ptr > head.ptr && req->key.ptr + req->key.len == head.ptr + head.len));
    assert(!req->has_value || req->value_bytes <= PROTO_BODY_BYTES_MAX);
    assert(!proto_value_is_login(req) || req->value_bytes <= PROTO_LOGIN_BYTES_MAX);
    assert(req->binary.opcode == head.ptr[1]);
    assert(req->error == NULL || req->binary.status != PROTO_STATUS_OK);
}

/* Without what follows, the head must read the same; without its end not at all. */
static void check_alone(const struct proto_request *req, struct bytes head)
{
    uint8_t *copy = malloc(head.len);
    memcpy(copy, head.ptr, head.len);
    struct proto_request alone;
    size_t used = 0;
    assert(proto_binary_parse(bytes_of(copy, head.len), &alone, &used) == PROTO_OK);
    assert(used == head.len && alone.cmd == req->cmd && alone.error == req->error);
    assert(bytes_equal(alone.key, req->key) && alone.value_bytes == req->value_bytes);
    assert(proto_binary_parse(bytes_of(copy, head.len - 1), &alone, &used) == PROTO_MORE);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct proto_request req;
    size_t used;
    enum proto_rc rc;
    while ((rc = proto_binary_parse(in, &req, &used)) == PROTO_OK) {
        const struct bytes head = bytes_of(in.ptr, used);
        assert(used >= PROTO_BINARY_HEADER_BYTES && used <= in.len);
        check_request(&req, head);
        check_alone(&req, head);
        in = bytes_skip(in, used);
        if (req.has_value)
            in = bytes_skip(in, req.value_bytes < in.len ? (size_t)req.value_bytes : in.len);
    }
    assert(rc != PROTO_CLOSE || req.cmd == PROTO_CMD_BIN_NONE);
    return 0;
}
