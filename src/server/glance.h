/* server/glance.h — what is reachable, from where, by whom: a row per listener, at the start.
 *
 *     listening on tcp:127.0.0.1:11211  plain  this machine  anybody  all commands
 *     listening on tcp:10.0.0.5:11211   TLS    everywhere    login    by user
 *     listening on udp:10.0.0.5:11211   rr     3 rules       anybody  reads, by rule
 *
 * Includes: base, gate, net.  Included by: server.  Pure, but for server_glance() in server.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "net/net.h"

enum { GLANCE_BYTES = 320 };

/* What a row is about. */
struct glance {
    const char *address; /* as net_listener_info.address */
    struct ip ip;        /* bound to */
    bool local;          /* a unix socket */
    bool datagrams;
    bool login;             /* there are users, so clients have to log in */
    bool protect;           /* protected mode is not switched off */
    bool list;              /* there is an access list... */
    size_t rules;           /* ...of so many rules */
    enum net_tls_mode tls;  /* ON: client certificates are not required */
    unsigned unix_mask;     /* of a unix socket */
    const char *udp_policy; /* of datagrams */
    bool udp_writes;        /* likewise */
};

/* Widths of the columns that differ from server to server; begin with {0}. */
struct glance_columns {
    int address;
    int how; /* protection, or the policy of UDP */
};

/* Make the columns as wide as this row needs. */
void glance_columns_fit(struct glance_columns *columns, const struct glance *glance);
/* The row, without the words "listening on". */
void glance_format(const struct glance *glance, const struct glance_columns *columns,
                   char ret_text[GLANCE_BYTES]);
/* Is it open to everybody who can reach it, and to more than this machine? */
bool glance_is_open(const struct glance *glance);
/* Can others than this machine reach it, but protected mode refuses them? */
bool glance_is_protected(const struct glance *glance);
