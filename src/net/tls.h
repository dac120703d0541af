/* net/tls.h — certificates and settings of TLS, and their renewal while the server runs.
 *
 *   net_tls_new ─► net_config.tls ─► each connection of a listener with TLS takes the context that
 *        │                           is current when its first bytes arrive, and keeps it
 *   net_tls_refresh: reads the files again; what cannot be used changes nothing
 *
 * Includes: base.  Included by: net, web, server.
 * Threads:  net_tls_refresh() and net_tls_refreshed_s() from any, several at a time.
 * Memory:   a connection costs what OpenSSL needs for it, see tls_conn.c; handshakes are bounded in
 *           time and bytes.
 * Spec:     memcached 1.6.45, "TLS".
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/* What a listener speaks. */
enum net_tls_mode {
    NET_TLS_OFF,
    NET_TLS_ON,             /* client certificates as net_tls_config.verify says */
    NET_TLS_NO_CLIENT_CERT, /* none is asked for */
    NET_TLS_CLIENT_CERT,    /* one is required */
};

enum net_tls_verify { NET_TLS_VERIFY_NONE, NET_TLS_VERIFY_REQUEST, NET_TLS_VERIFY_REQUIRE };

struct net_tls_config {
    const char *chain_path; /* the certificate, and those between it and the root; PEM */
    const char *key_path;   /* NULL: the key is in chain_path */
    const char *ca_path;    /* who signs client certificates, PEM; NULL: nobody is trusted */
    const char *ciphers;    /* of TLS 1.2 and older; NULL: those with forward secrecy */
    bool key_is_der;
    enum net_tls_verify verify;
    unsigned version_min; /* 0..3: TLS 1.0..1.3 */
    size_t gather_bytes;  /* small answers are put together into records up to this size */
    bool session_cache;   /* remember sessions of clients that know no tickets */
    bool kernel_tls;      /* let the kernel encrypt where it can */
};

enum { NET_TLS_ERROR_BYTES = 512 };

struct net_tls;

/* Read the files. Returns 0 or -errno with a line without its end in
 * ret_error[NET_TLS_ERROR_BYTES]; it begins with "Error" and names the file.
 * Relative paths keep their meaning when the process changes its directory.
 * Owns: net_tls_free(), when no connection is left; the config is copied. */
MUST_USE int net_tls_new(const struct net_tls_config *config, struct net_tls **ret_tls,
                         char *ret_error);
void net_tls_free(struct net_tls *tls); /* NULL is fine */

/* Read the files again, for connections that come from now on. Returns and errors as net_tls_new();
 * after an error all stays as it was. */
MUST_USE int net_tls_refresh(struct net_tls *tls, char *ret_error);
/* The context of new connections. Owns: SSL_CTX_free() when the connection has it. Any thread. */
struct ssl_ctx_st *net_tls_ctx_ref(struct net_tls *tls);
/* When they were last read with success; cache time. */
uint32_t net_tls_refreshed_s(const struct net_tls *tls);
