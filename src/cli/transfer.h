/* cli/transfer.h — items on their way: from a server or a file to a server or a file.
 *
 *     cli_fetch_run  (server) ──┐                 ┌── cli_store_take  (server)
 *     cli_dump_read  (file)   ──┴─ take(item) ────┴── cli_dump_take   (file)
 *
 * Includes: base.  Included by: cli.
 * Memory:   constant: a batch of 256 items or a megabyte (a single item may be larger).
 * Errors:   each call prints what is wrong.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "cli/cli.h"
#include "cli/dumpfile.h"
#include "cli/scan.h"

enum { CLI_BATCH_ITEMS = 256, CLI_BATCH_BYTES = 1 << 20 };

/* What became of it all; also what the progress line shows. */
struct cli_tally {
    uint64_t items, bytes; /* that arrived */
    uint64_t gone;         /* expired, deleted or evicted on the way */
    uint64_t stale;        /* marked as such by a client: not taken along */
    uint64_t kept;         /* the server has one already (--keep) */
    uint64_t failed;
    uint64_t expected; /* 0: not known */
    uint64_t start_ns, shown_ns;
    bool shows; /* stderr is a terminal */
};

void cli_tally_start(struct cli_tally *tally);
/* Show how far it is, now and then. */
void cli_tally_show(struct cli_tally *tally);
/* Say what came of it: a line on stderr, or with `json` an object on `file`. */
void cli_tally_end(struct cli_tally *tally, const char *verb, bool json, FILE *file);

/* Whoever takes items. Not CLI_FINE: it has said why, and wants no more. */
struct cli_taker {
    enum cli_exit (*take)(void *arg, const struct cli_dump_item *item);
    void *arg;
};

/* All items of args->server that its options want. */
MUST_USE enum cli_exit cli_fetch_run(const struct cli_args *args, struct cli_taker taker,
                                     struct cli_tally *tally);
/* All items of a file ("-": standard input). */
MUST_USE enum cli_exit cli_dump_read(const struct cli_args *args, const char *path,
                                     struct cli_taker taker, struct cli_tally *tally);

/* A server that items are stored in. */
struct cli_store {
    struct cli_link link;
    struct cli_tally *tally;
    bool keep;      /* add, so that what is there stays */
    uint8_t *batch; /* requests that are not sent yet */
    size_t bytes, cap;
    size_t count;
    uint64_t batch_bytes[CLI_BATCH_ITEMS]; /* of key and value of each */
};

/* Whatever is returned: end with cli_store_close(). */
MUST_USE enum cli_exit cli_store_open(struct cli_store *store, const struct cli_args *args,
                                      struct cli_tally *tally);
MUST_USE enum cli_exit cli_store_take(void *store, const struct cli_dump_item *item);
MUST_USE enum cli_exit cli_store_flush(struct cli_store *store);
void cli_store_close(struct cli_store *store);
