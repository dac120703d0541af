/* cli/probe.h — the questions of `matte check`.
 *
 * Harmless ones, a handful, to one address: what they are stands in the help of the subcommand.
 * Each wait has an end (--timeout), whatever the server sends meanwhile, and what it sends is
 * bounded.
 *
 * Includes: base, proto.  Included by: cli.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/args.h"
#include "cli/facts.h"
#include "cli/where.h"

struct cli_probe {
    const struct cli_args *args;
    struct cli_where where;
    struct cli_peer peers[CLI_PEERS_MAX]; /* of the name */
    size_t peer_count;
    struct cli_peer peer; /* the one that is asked: the first that takes a connection */
    char miss[32];        /* a key that nobody has */
    struct cli_facts facts;
};

void cli_probe_tcp(struct cli_probe *probe); /* sets `peer` */
void cli_probe_udp(struct cli_probe *probe); /* not of a unix socket; after TCP */
void cli_probe_host(struct cli_probe *probe);
