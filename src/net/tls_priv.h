/* net/tls_priv.h — what tls.c (certificates, settings) gives to tls_conn.c (connections).
 *
 * Includes: base.  Included by: net.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

const struct net_tls_config *net_tls_config_get(const struct net_tls *tls);
/* How the bytes of all connections come and go; see tls_conn.c. */
const BIO_METHOD *net_tls_bio_method(const struct net_tls *tls);

/* tls_conn.c */
BIO_METHOD *net_tls_bio_method_new(void); /* NULL: out of memory */
int net_tls_session_new(SSL *ssl, SSL_SESSION *session);
