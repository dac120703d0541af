/* cli/link.h — one server that a subcommand talks to by the text protocol.
 *
 * Includes: base.  Included by: cli.
 * Errors:   each call prints what is wrong and returns CLI_FAILED, or CLI_NO for a refused login.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/args.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/datagram.h"
#include "cli/reply.h"
#include "cli/rows.h"

struct cli_link {
    const struct cli_args *args;
    struct cli_peer peer;
    struct cli_conn conn;          /* not by UDP */
    struct cli_datagram *datagram; /* by UDP, else NULL */
    struct bytes answer;           /* by UDP: what is left of it */
    size_t used;                   /* bytes of the input that the last reply stands in */
};

/* Connect to --server and log in, as the options say. Whatever is returned: end with
 * cli_link_close(). */
MUST_USE enum cli_exit cli_link_open(struct cli_link *link, const struct cli_args *args);
void cli_link_close(struct cli_link *link);

enum cli_ask { CLI_ASK_READS, CLI_ASK_WRITES };

/* Send a request; --timeout begins anew. By UDP one that writes is not repeated. */
MUST_USE enum cli_exit cli_link_ask(struct cli_link *link, struct bytes request, enum cli_ask what);
/* The next reply. It stays until the next call. */
MUST_USE enum cli_exit cli_link_reply(struct cli_link *link, struct cli_reply *ret_reply);
/* Say that `reply` is not what was asked for. Returns CLI_NO when the server says that something is
 * wrong, CLI_FAILED when it makes no sense. */
enum cli_exit cli_link_refused(const struct cli_reply *reply);

/* Let --timeout begin anew: an answer that has no end in sight comes on. */
void cli_link_extend(struct cli_link *link);
/* Ask for a listing, and take all of it to `rows`, which are empty. Where the server does not know
 * the request, it is CLI_NO with the line `unknown`; NULL: without a line. */
MUST_USE enum cli_exit cli_link_rows(struct cli_link *link, const char *request,
                                     const char *unknown, struct cli_rows *rows);
