/* web/http.h — the requests of HTTP/1.x that the admin listener takes, and the heads of answers.
 *
 *     GET /metrics?a=b HTTP/1.1\r\n     method, path, query
 *     Host: localhost:11280\r\n         each header a line; no folded ones
 *     \r\n                              and no body
 *
 * Strict where being lenient lets two readers understand different things: lines end with CR LF, a
 * request has one Host, no body and no Transfer-Encoding. What can be told from a beginning is told
 * at once, so bytes of another protocol need no time-out.
 *
 * Includes: base.  Included by: web.  Pure: no socket, no clock.
 * Memory:   what a request points to lies in the bytes that were parsed.
 * Spec:     RFC 9110, RFC 9112. Of the targets only the origin-form; we are nobody's proxy.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/out.h"

enum {
    HTTP_HEAD_BYTES_MAX = 8192,   /* of a request; browsers send about 1 KiB */
    HTTP_TARGET_BYTES_MAX = 1024, /* path and query */
    HTTP_HEADERS_MAX = 64,
};

enum http_rc {
    HTTP_OK,   /* a request */
    HTTP_MORE, /* the beginning of one, so far */
    HTTP_BAD,  /* none that is taken: answer ret_status and close */
};

enum http_method { HTTP_GET, HTTP_HEAD };

struct http_request {
    enum http_method method;
    struct bytes path;          /* begins with '/'; as it was sent, nothing is decoded */
    struct bytes query;         /* behind '?'; empty: none */
    struct bytes host;          /* with its port; empty: not told (HTTP/1.0) */
    struct bytes authorization; /* empty: none */
    bool keep_alive;            /* the connection may serve another one */
};

/* Parse the first request in `in`. Returns HTTP_OK with *ret_used, its length; HTTP_MORE, never
 * when `in` has HTTP_HEAD_BYTES_MAX bytes; or HTTP_BAD with *ret_status, of 400, 405, 413, 414, 431
 * and 505. */
MUST_USE enum http_rc http_parse(struct bytes in, struct http_request *ret_request,
                                 size_t *ret_used, unsigned *ret_status);

/* The value of `name` in a query of name=value pairs, as a number up to `max`. Returns false when
 * it is not there or no number. */
MUST_USE bool http_query_u64(struct bytes query, const char *name, uint64_t max,
                             uint64_t *ret_value);

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

struct http_answer {
    unsigned status;
    const char *type;  /* media type */
    const char *extra; /* more header lines with their ends; NULL: none */
    bool keep_alive;
    size_t body_bytes;
};

/* Write the head, the empty line included. Every answer has the headers that forbid to keep it, to
 * frame it, to take it for something else, and to load anything for it. */
void http_head_write(struct out *out, const struct http_answer *answer);
/* The words of a status; "" for one that is not ours. */
const char *http_status_words(unsigned status);
