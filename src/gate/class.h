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

/* Classes, as a set. */
enum { GATE_READ = 1, GATE_WRITE = 2, GATE_ADMIN = 4, GATE_ALL = 7 };

/* The class that a request needs; 0: it may be sent by everybody (a login, version, quit, mn). */
uint8_t gate_class_of(const struct proto_request *req);
