/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/keys.h"

#include "proto/base64.h"

/* `get a b c`: the first and all that follow. */
static bool all_covered(struct bytes prefixes, const struct proto_request *req)
{
    struct bytes rest = req->rest, key = req->key;
    do
        if (!gate_prefixes_cover(prefixes, key))
            return false;
    while (proto_token_next(&rest, &key));
    return true;
}

static bool meta_covered(struct bytes prefixes, const struct proto_request *req)
{
    if (!req->key_base64)
        return gate_prefixes_cover(prefixes, req->key);
    /* By the same reader by which the command finds the item; it fits, see text_key_ok(). */
    uint8_t key[PROTO_KEY_BINARY_BYTES_MAX];
    if (req->key.len > PROTO_KEY_BYTES_MAX)
        return false;
    return gate_prefixes_cover(prefixes, bytes_of(key, base64_decode(key, req->key)));
}

bool gate_keys_covered(struct bytes prefixes, const struct proto_request *req)
{
    if (proto_is_binary(req))
        return gate_class_of(req) == 0 || req->key.len == 0 ||
               gate_prefixes_cover(prefixes, req->key);
    if (req->cmd == PROTO_CMD_NONE)
        return true;
    switch ((enum proto_shape)proto_commands[req->cmd].shape) {
    case PROTO_SHAPE_KEYS:
    case PROTO_SHAPE_TOUCH_KEYS:
        return all_covered(prefixes, req);
    case PROTO_SHAPE_STORE:
    case PROTO_SHAPE_CAS:
    case PROTO_SHAPE_KEY:
    case PROTO_SHAPE_PREFIX: /* whose keys all begin as it does */
    case PROTO_SHAPE_NUMBER:
    case PROTO_SHAPE_EXPTIME:
        return gate_prefixes_cover(prefixes, req->key);
    case PROTO_SHAPE_META:
    case PROTO_SHAPE_META_VALUE:
        return meta_covered(prefixes, req);
    case PROTO_SHAPE_ARGS:
    case PROTO_SHAPE_LINE:
        return true;
    }
    return false;
}
