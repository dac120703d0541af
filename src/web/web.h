/* web/web.h — the admin listener: a small HTTP server of its own, apart from the path of requests.
 *
 *     sockets ─► conn.c: bytes ─► http.c: request ─► door.c: may it? ─► route.c: answer ─► bytes
 *                                                                         │
 *     every second: facts of the server ─► history.c: ring ───────────────┘
 *
 * One thread with an epoll loop. It asks the server for what it shows (web_ops) and never takes a
 * lock that workers hold. Whoever connects is bounded: WEB_CONNS_MAX connections, of which an idle
 * one or else the oldest gives way to a new one; some seconds for a request as a whole, and for
 * taking its answer.
 *
 * Includes: base, stat, event, store, proto, net (its TLS).  Included by: server.
 * Threads:  web_new() to web_free() in the main thread; web_ops are called in the thread of the
 *           listener.
 * Memory:   fixed, but for the answers of up to WEB_CONNS_MAX connections.
 * Spec:     docs/admin.md; web/http.h says which HTTP.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/ip.h"
#include "base/out.h"
#include "event/event.h"
#include "net/tls.h"
#include "web/facts.h"

enum {
    WEB_CONNS_MAX = 32,
    WEB_LISTENERS_MAX = 8,
    WEB_ERROR_BYTES = 512,
    WEB_URL_BYTES = 320,
};

/* The groups of statistics of /stats.json. */
enum web_group {
#define GROUP(id, name) WEB_GROUP_##id,
#include "tbl/web_groups.def"
    WEB_GROUP_COUNT
};

/* What the server does for us. All of them may run while clients are served. */
struct web_ops {
    void (*begin)(void *arg); /* in the thread, before anything else */
    /* All figures of this moment. */
    void (*facts)(void *arg, struct web_facts *ret_facts);
    /* Append the rows of a group, as lines `STAT name value`. */
    void (*group)(void *arg, enum web_group group, struct out *out);
    /* Append lines `address TAB how TAB where TAB who TAB what`, one per listener: what is
     * reachable, from where. */
    void (*reachable)(void *arg, struct out *out);
    /* Append the last security events as an array of JSON, the one told last first. */
    void (*recent)(void *arg, struct out *out);
    bool (*is_draining)(void *arg);
    /* May this address try a token, or has it failed too often? A failure is told afterwards. */
    bool (*token_may)(void *arg, const struct ip_peer *from, uint16_t to_port);
    void (*token_failed)(void *arg, const struct ip_peer *from);
    void (*note)(void *arg, const struct event *event);
};

struct web_config {
    const char *listen;     /* [HOST:]PORT, several joined by '+'; HOST without: 127.0.0.1 */
    const char *hosts;      /* more names of this machine, joined by '+'; NULL: none */
    const char *token_path; /* NULL: no tokens */
    struct net_tls *tls;    /* NULL: plain */
    bool certified;         /* TLS demands client certificates */
    const struct web_ops *ops;
    void *arg; /* of these */
};

struct web;

/* Read the tokens and open the sockets. Returns 0 or -errno with a line in
 * ret_error[WEB_ERROR_BYTES]; -EPERM: an address that others can reach, and nothing that says who
 * they are. Owns: web_free(); the config's texts are borrowed until then. */
MUST_USE int web_new(const struct web_config *config, struct web **ret_web, char *ret_error);
/* Start the thread. Returns 0 or -errno. */
MUST_USE int web_start(struct web *web);
/* Read the tokens again. Returns as web_new(); after an error the old ones stay. */
MUST_USE int web_reload(struct web *web, char *ret_error);
/* NULL is fine. Stops the thread. */
void web_free(struct web *web);

/* Where the page is, by the n-th socket. Returns false when there are fewer. */
MUST_USE bool web_url(const struct web *web, size_t index, char ret_url[WEB_URL_BYTES]);
/* Can only this machine reach the n-th? */
bool web_is_local(const struct web *web, size_t index);
/* Does one need a token? */
bool web_has_tokens(const struct web *web);
