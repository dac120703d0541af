/* cli/datagram.h — a server that is asked by RR UDP.
 *
 * Includes: base.  Included by: cli.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "cli/where.h"

enum { CLI_DATAGRAM_COMMAND_MAX = 65507 - 32 }; /* what one IPv4 datagram holds behind the frame */

enum cli_datagram_rc {
    CLI_DATAGRAM_OK,
    CLI_DATAGRAM_TIMEOUT,   /* a command that reads */
    CLI_DATAGRAM_UNCERTAIN, /* one that writes; it may have been executed */
    CLI_DATAGRAM_CLOSED,    /* nobody listens on that port */
    CLI_DATAGRAM_LARGE,     /* the answer */
    CLI_DATAGRAM_ODD,
    CLI_DATAGRAM_FAILED, /* errno */
};

struct cli_datagram;

/* NULL: errno. */
struct cli_datagram *cli_datagram_new(const struct cli_peer *peer);
void cli_datagram_free(struct cli_datagram *datagram); /* NULL is fine */

/* Get a cookie, so that the first command need not wait for one. */
MUST_USE enum cli_datagram_rc cli_datagram_hello(struct cli_datagram *datagram,
                                                 uint64_t timeout_ms);

/* Ask (1..CLI_DATAGRAM_COMMAND_MAX bytes), and wait for the whole answer. `may_repeat`: the command
 * only reads. On OK *ret_answer stays until the next call. */
MUST_USE enum cli_datagram_rc cli_datagram_ask(struct cli_datagram *datagram, struct bytes command,
                                               bool may_repeat, uint64_t timeout_ms,
                                               struct bytes *ret_answer);
const char *cli_datagram_text(enum cli_datagram_rc rc);
