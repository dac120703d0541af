/* cli/where.h — the address of a server as the user writes it, and what it resolves to.
 *
 * Includes: base.  Included by: cli and its tests.  The parser is pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <sys/socket.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"

enum {
    CLI_PORT_DEFAULT = 11211,
    CLI_HOST_BYTES = 256,       /* with its NUL */
    CLI_PATH_BYTES = 108,       /* of a unix socket, with its NUL */
    CLI_PEERS_MAX = 8,          /* addresses of one name that are used */
    CLI_WHERE_FAULT_BYTES = 400 /* of a line for the user */
};

struct cli_where {
    bool is_unix;
    uint16_t port; /* 1..65535 */
    char host[CLI_HOST_BYTES];
    char path[CLI_PATH_BYTES];
};

/* One address that a server may have. */
struct cli_peer {
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

/* Read HOST, HOST:PORT, [IPV6], [IPV6]:PORT, IPV6 or unix:PATH. Returns false with a line for the
 * user in `fault`. */
MUST_USE bool cli_where_parse(const char *text, struct cli_where *ret_where,
                              char fault[CLI_WHERE_FAULT_BYTES]);

/* Ask the system for the addresses, once. Returns how many there are (up to CLI_PEERS_MAX), or 0
 * with a line in `fault`. */
MUST_USE size_t cli_where_resolve(const struct cli_where *where,
                                  struct cli_peer peers[CLI_PEERS_MAX],
                                  char fault[CLI_WHERE_FAULT_BYTES]);

/* Of an IPv4 or IPv6 address; false for a unix socket. */
MUST_USE bool cli_peer_ip(const struct cli_peer *peer, struct ip *ret_ip);
void cli_peer_port_set(struct cli_peer *peer, uint16_t port);

enum { CLI_PEER_TEXT_BYTES = 128 };
/* ADDRESS:PORT, [IPV6]:PORT or unix:PATH. */
void cli_peer_format(const struct cli_peer *peer, char ret_text[CLI_PEER_TEXT_BYTES]);
