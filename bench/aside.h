/* bench/aside.h — commands that another client sends while the load runs.
 *
 * A connection of its own, in the load's own loop: a second program would compete with it for the
 * client's core. Answers are read and dropped.
 *
 * Includes: base.  Included by: load.
 * Threads:  one owner.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

struct aside {
    int fd;            /* -1: nothing to send */
    const char *next;  /* the rest of the commands, parted by ';' */
    double every_ns;   /* between two of them, and before the first */
    double due_ns;     /* of the next; 0: not begun */
    uint64_t bytes;    /* of answers */
    uint64_t sent;     /* commands */
    uint64_t last_ns;  /* when the last answer, or piece of one, came */
    const char *error; /* NULL: none */
};

/* Connect to a numeric address; `commands` ("flush_all;version", NULL or "": none) is borrowed.
 * Returns 0 or -errno. */
MUST_USE int aside_open(struct aside *aside, const char *host, uint16_t port, const char *commands);
void aside_close(struct aside *aside);

/* Spread the commands evenly over a window. */
void aside_begin(struct aside *aside, uint64_t begin_ns, double window_ns);
/* Send what is due. Returns false when broken. */
MUST_USE bool aside_step(struct aside *aside, uint64_t now_ns);
/* Read what has come. Returns false when broken. */
MUST_USE bool aside_recv(struct aside *aside, uint64_t now_ns);
