/* cli/scan.h — all items of a server, one after the other, in constant memory.
 *
 * Includes: base.  Included by: cli.
 * Errors:   as cli/link.h: each call prints what is wrong.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/link.h"
#include "cli/metadump.h"

struct cli_scan {
    struct cli_link link;
    struct cli_filter filter;
    uint64_t expected; /* items of the server at the start; 0: it does not tell */
    uint64_t seen;     /* of all that it told of */
    int64_t clock_s;   /* what its clock is ahead of ours */
    bool has_first;    /* the reply that told whether it may be */
    struct cli_meta first;
    bool ended;
};

/* What the options say about keys (--prefix and so on). Returns false after an error line. */
MUST_USE bool cli_filter_of(const struct cli_args *args, struct cli_filter *ret_filter);

/* Connect to args->server and have it begin. Whatever is returned: end with cli_scan_close(). */
MUST_USE enum cli_exit cli_scan_open(struct cli_scan *scan, const struct cli_args *args);
/* The next item that the filter takes; at the end `ended` is set, and *ret_meta not. */
MUST_USE enum cli_exit cli_scan_next(struct cli_scan *scan, struct cli_meta *ret_meta);
void cli_scan_close(struct cli_scan *scan);
/* Now, by the server's clock. */
uint64_t cli_scan_now_s(const struct cli_scan *scan);
