/* gate/class.h — what a request asks of who sends it: reading, writing, administration.
 *
 * Most commands have a fixed class, which stands in tbl/commands.def and tbl/opcodes.def. Three
 * depend on their arguments: `stats` alone is reading, its groups are administration; `mg` writes
 * with the flags that do.
 *
 * Includes: base, proto.  Included by: gate, server.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "proto/request.h"

/* Classes, as a set. Who is given administration is given GATE_FLUSH with it: a flush_all does
 * more. */
enum { GATE_READ = 1, GATE_WRITE = 2, GATE_ADMIN = 4, GATE_FLUSH = 8, GATE_ALL = 15 };
enum { GATE_CLASS_COUNT = 4 };

/* The names of classes, in the order in which they are written. */
struct gate_class_name {
    const char *name;
    uint8_t classes;
};
extern const struct gate_class_name gate_class_names[GATE_CLASS_COUNT];
/* The name's place in the table; GATE_CLASS_COUNT: there is no such class. */
size_t gate_class_find(struct bytes name);
/* The next name that says what is left of a set, which it is taken off. NULL: nothing is. */
const char *gate_class_name_take(uint8_t *classes);

/* The class that a request needs; 0: it may be sent by everybody (a login, version, quit, mn). */
uint8_t gate_class_of(const struct proto_request *req);
