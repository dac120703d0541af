/* web/route.c — from a request to its answer: may it, and which one.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "web/json.h"
#include "web/metrics.h"
#include "web/page.h"
#include "web/web_priv.h"

#ifndef MATTE_VERSION
#define MATTE_VERSION "unversioned"
#endif

enum { SINCE_MAX = 1 << 30 };

/* An answer under way. */
struct reply {
    struct web *web;
    const struct http_request *request;
    unsigned status;
    const char *type, *extra;
    struct out body;
};

static const char text_type[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json";

/* ── routes ───────────────────────────────────────────────────────────────────────────────── */

static void facts_get(const struct web *web, struct web_facts *ret_facts)
{
    web->config.ops->facts(web->config.arg, ret_facts);
}

static void page_reply(struct reply *reply)
{
    reply->type = "text/html; charset=utf-8";
    reply->extra = page_headers;
    out_put(&reply->body, page_bytes, page_bytes_count);
}

static void metrics_reply(struct reply *reply)
{
    struct web_facts facts;
    facts_get(reply->web, &facts);
    reply->type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(&reply->body, &facts);
}

static void live_reply(struct reply *reply)
{
    out_put_str(&reply->body, "ok\n");
}

static void ready_reply(struct reply *reply)
{
    const struct web *web = reply->web;
    const bool draining = web->config.ops->is_draining(web->config.arg);
    reply->status = draining ? 503 : 200;
    out_put_str(&reply->body, draining ? "draining\n" : "ok\n");
}

/* {"server":{...},"general":{"pid":1,...},...,"reachable":[{...}],"recent":[{...}]} */
static void stats_reply(struct reply *reply)
{
    static const char *const names[] = {
#define GROUP(id, name) name,
#include "tbl/web_groups.def"
    };
    const struct web *web = reply->web;
    struct out *body = &reply->body, text;
    out_init(&text);
    out_printf(body, "{\"server\":{\"version\":\"%s\",\"draining\":%s},", MATTE_VERSION,
               web->config.ops->is_draining(web->config.arg) ? "true" : "false");
    for (unsigned group = 0; group < WEB_GROUP_COUNT; group++) {
        out_reset(&text);
        web->config.ops->group(web->config.arg, (enum web_group)group, &text);
        out_printf(body, "\"%s\":", names[group]);
        json_rows(body, bytes_of(text.buf, text.len));
        out_put_str(body, ",");
    }
    out_reset(&text);
    web->config.ops->reachable(web->config.arg, &text);
    out_put_str(body, "\"reachable\":");
    json_reachable(body, bytes_of(text.buf, text.len));
    out_put_str(body, ",\"recent\":");
    web->config.ops->recent(web->config.arg, body);
    out_put_str(body, "}\n");
    body->failed = body->failed || text.failed;
    out_fini(&text);
    reply->type = json_type;
}

static void history_reply(struct reply *reply)
{
    uint64_t since = 0, step_s = 0;
    if (!http_query_u64(reply->request->query, "since", (uint64_t)SINCE_MAX * SINCE_MAX, &since))
        since = 0;
    if (!http_query_u64(reply->request->query, "step", SINCE_MAX, &step_s))
        step_s = 1;
    reply->type = json_type;
    history_write(&reply->web->history, &reply->body, step_s, since);
}

static const struct route {
    const char *path;
    void (*run)(struct reply *reply);
    bool is_free; /* needs no token: probes have none, and it tells nothing */
} routes[] = {
    {"/", page_reply, false},
    {"/metrics", metrics_reply, false},
    {"/livez", live_reply, true},
    {"/readyz", ready_reply, true},
    {"/stats.json", stats_reply, false},
    {"/history.json", history_reply, false},
};

static const struct route *route_find(struct bytes path)
{
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        if (bytes_is(path, routes[i].path))
            return &routes[i];
    return NULL;
}

/* ── may it? ──────────────────────────────────────────────────────────────────────────────── */

static const char ask_headers[] =
    "WWW-Authenticate: Basic realm=\"matte\", charset=\"UTF-8\"\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";
static const char get_headers[] =
    "Allow: GET, HEAD\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";

/* Strangers' names are of interest only where no token or certificate tells them from ours: there a
 * browser has nothing to send along for a stranger's page. */
static bool host_is_fine(struct web *web, const struct web_conn *conn, struct bytes host)
{
    const bool guarded = !web->listeners[conn->listener].loopback && web->config.hosts == NULL;
    if (guarded || door_host_is_ours(host, web->config.hosts))
        return true;
    web_conn_note(web, conn, EVENT_ADMIN_HOST_DENIED, "Host");
    return false;
}

/* Returns 0, or the status of the refusal. */
static unsigned token_check(struct web *web, const struct web_conn *conn,
                            struct bytes authorization)
{
    const struct web_ops *ops = web->config.ops;
    if (web->config.token_path == NULL)
        return 0;
    if (authorization.len > 0 &&
        !ops->token_may(web->config.arg, &conn->peer, web->listeners[conn->listener].port))
        return 429;
    pthread_mutex_lock(&web->lock);
    const enum door_rc rc = door_token_check(&web->tokens, authorization);
    pthread_mutex_unlock(&web->lock);
    switch (rc) {
    case DOOR_OPEN:
        return 0;
    case DOOR_ABSENT:
        return 401;
    case DOOR_REFUSED:
        ops->token_failed(web->config.arg, &conn->peer);
        web_conn_note(web, conn, EVENT_ADMIN_TOKEN_FAILED, "");
        return 401;
    }
    return 401;
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

/* A sentence for people who look at it with curl. */
static const char *explain(unsigned status)
{
    switch (status) {
    case 401:
        return "a token is needed: Authorization: Bearer TOKEN, or as the password of Basic";
    case 404:
        return "there are: / /metrics /livez /readyz /stats.json /history.json";
    case 405:
        return "only GET and HEAD";
    case 408:
        return "the request took too long";
    case 413:
        return "a request has no body";
    case 421:
        return "the name in Host is none of this listener; -o admin_hosts=NAME adds it";
    case 429:
        return "too many wrong tokens; wait a minute";
    default:
        return http_status_words(status);
    }
}

static void fault_fill(struct reply *reply, unsigned status)
{
    reply->status = status;
    reply->type = text_type;
    reply->extra = status == 401 ? ask_headers : status == 405 ? get_headers : NULL;
    out_printf(&reply->body, "%u %s\n", status, explain(status));
}

static void reply_send(struct reply *reply, struct web_conn *conn, bool with_body)
{
    if (reply->body.failed) {
        conn->out.failed = true;
    } else {
        const struct http_answer answer = {.status = reply->status,
                                           .type = reply->type,
                                           .extra = reply->extra,
                                           .keep_alive = !conn->closing,
                                           .body_bytes = reply->body.len};
        http_head_write(&conn->out, &answer);
        if (with_body)
            out_put(&conn->out, reply->body.buf, reply->body.len);
    }
    out_fini(&reply->body);
}

void web_answer(struct web *web, struct web_conn *conn, const struct http_request *request)
{
    struct reply reply = {.web = web, .request = request, .status = 200, .type = text_type};
    const struct route *route = route_find(request->path);
    out_init(&reply.body);
    unsigned status = host_is_fine(web, conn, request->host) ? 0 : 421;
    if (status == 0 && (route == NULL || !route->is_free))
        status = token_check(web, conn, request->authorization);
    if (status == 0 && route == NULL)
        status = 404;
    if (status == 0)
        route->run(&reply);
    else
        fault_fill(&reply, status);
    reply_send(&reply, conn, request->method != HTTP_HEAD);
}

void web_answer_fault(struct web *web, struct web_conn *conn, unsigned status)
{
    struct reply reply = {.web = web};
    out_init(&reply.body);
    conn->closing = true;
    fault_fill(&reply, status);
    reply_send(&reply, conn, true);
}
