/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/class.h"

const struct gate_class_name gate_class_names[GATE_CLASS_COUNT] = {
    {"read", GATE_READ},
    {"write", GATE_WRITE},
    {"admin", GATE_ADMIN | GATE_FLUSH},
    {"flush_prefix", GATE_FLUSH},
};

size_t gate_class_find(struct bytes name)
{
    size_t i = 0;
    while (i < GATE_CLASS_COUNT && !bytes_is(name, gate_class_names[i].name))
        i++;
    return i;
}

const char *gate_class_name_take(uint8_t *classes)
{
    for (size_t i = 0; i < GATE_CLASS_COUNT; i++)
        if ((gate_class_names[i].classes & ~*classes) == 0) {
            *classes &= (uint8_t)~gate_class_names[i].classes;
            return gate_class_names[i].name;
        }
    return NULL;
}

/* Does this mg change an item, or make one? (E says only with which CAS unique it makes one.) */
static bool mg_writes(const struct proto_request *req)
{
    return proto_meta_has(req, 'T') || proto_meta_has(req, 'N');
}

uint8_t gate_class_of(const struct proto_request *req)
{
    if (req->cmd == PROTO_CMD_NONE || req->cmd == PROTO_CMD_BIN_NONE)
        return 0; /* will be answered with its error */
    if (req->cmd == PROTO_CMD_QUIT || req->cmd == PROTO_CMD_VERSION || req->cmd == PROTO_CMD_MN ||
        req->cmd == PROTO_CMD_BIN_QUIT || req->cmd == PROTO_CMD_BIN_NOOP)
        return 0;
    struct bytes rest = req->rest, group;
    if (req->cmd == PROTO_CMD_STATS)
        return proto_token_next(&rest, &group) ? GATE_ADMIN : GATE_READ;
    if (req->cmd == PROTO_CMD_BIN_STAT)
        return req->key.len == 0 ? GATE_READ : GATE_ADMIN;
    if (req->cmd == PROTO_CMD_MG && req->error == NULL && mg_writes(req))
        return GATE_WRITE;
    switch (proto_class_of(req->cmd)) {
    case PROTO_CLASS_READ:
        return GATE_READ;
    case PROTO_CLASS_WRITE:
        return GATE_WRITE;
    case PROTO_CLASS_FLUSH:
        return GATE_FLUSH;
    case PROTO_CLASS_ADMIN:
        return GATE_ADMIN;
    case PROTO_CLASS_LOGIN:
        return 0;
    }
    return GATE_ADMIN;
}
