/* bench/tls.h — the client's side of TLS, with the interface of send() and recv().
 *
 * Certificates are not checked: what is measured is the server.
 *
 * Includes: base.  Included by: conn.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls;

/* Shake hands over a connected, blocking socket; it does not block afterwards. NULL: failed.
 * Owns: tls_close(); the socket stays the caller's. */
MUST_USE struct tls *tls_open(int fd);
void tls_close(struct tls *tls); /* NULL is fine */

/* As send() and recv() that do not block. */
ssize_t tls_send(struct tls *tls, const uint8_t *src, size_t len);
ssize_t tls_recv(struct tls *tls, uint8_t *dst, size_t cap);
