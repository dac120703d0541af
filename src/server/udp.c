/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/udp.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "gate/gate.h"
#include "gate/limit.h"
#include "proto/compose.h"

_Static_assert((int)NET_DATAGRAMS <= (int)SESSION_BATCH,
               "requests of a batch lie in session_worker.batch");

/* Charged before a request is run: at least what its answer costs when that is a line. So a write
 * that was run is always answered. */
enum { ANSWER_BYTES_USUAL = 64 };

/* One datagram on its way. */
struct passing {
    struct session_worker *worker;
    struct udp_worker *udp;
    const struct udp_listener *listener;
    struct net_datagrams *batch;
    struct net_datagram *item;
    struct proto_udp *frame;
    struct gate_rr_verdict *verdict;
    struct proto_request *req;
};

static struct passing passing_of(struct session_worker *worker, struct net_datagrams *batch,
                                 size_t i)
{
    struct udp_worker *udp = worker->udp;
    return (struct passing){
        .worker = worker,
        .udp = udp,
        .listener = &udp->udp->listeners[batch->listener],
        .batch = batch,
        .item = &batch->item[i],
        .frame = &udp->frame[i],
        .verdict = &udp->verdict[i],
        .req = &worker->batch[i],
    };
}

static struct gate_cookie_ends ends_of(const struct passing *p)
{
    return (struct gate_cookie_ends){
        .client = p->item->from,
        .server = {.ip = p->item->to, .port = p->listener->port, .family = p->item->from.family},
    };
}

static void note(const struct passing *p, enum event_type type, const char *rule)
{
    const bool named = type == EVENT_UDP_VERB_REFUSED && p->req->cmd < PROTO_CMD_NONE;
    event_note(p->worker->cmd.events, &(const struct event){
                                          .type = type,
                                          .to_port = p->listener->port,
                                          .from = &p->item->from,
                                          .to = &p->item->to,
                                          .rule = bytes_str(rule),
                                          .verb = named ? proto_commands[p->req->cmd].word : NULL,
                                          .bytes_in = (uint32_t)p->item->in.len,
                                          .bytes_out = (uint32_t)p->item->answer_bytes,
                                      });
}

static void note_reason(const struct passing *p, enum gate_rr_reason reason)
{
    if (reason != GATE_RR_REASON_NONE)
        note(p, gate_rr_reason_event(reason), gate_rr_reason_name(reason));
}

/* ── judgement ────────────────────────────────────────────────────────────────────────────── */

static void drop(const struct passing *p, enum event_type type, const char *rule)
{
    p->verdict->action = GATE_RR_DROP;
    p->verdict->reason = GATE_RR_REASON_NONE;
    note(p, type, rule);
}

static bool in_prefixes(const struct opt_udp *policy, const struct ip *ip)
{
    for (size_t i = 0; i < policy->prefix_count; i++)
        if (ip_prefix_has(&policy->prefixes[i], ip))
            return true;
    return false;
}

static struct gate_rr_verdict arrive(const struct passing *p)
{
    const struct udp *udp = p->udp->udp;
    const struct ip *from = &p->item->from.ip;
    const struct gate_rr_datagram in = {
        .ends = ends_of(p),
        .bytes = p->item->in,
        .source_ours = p->item->from_us,
        .destination_ours = p->item->to_us,
        .vouched = udp->vouch != NULL && gate_vouch_has(udp->vouch, from, p->worker->cmd.now_s),
        .in_prefixes = in_prefixes(&udp->policy, from),
    };
    return gate_rr_arrive(&p->listener->policy, &p->udp->keys.keys, p->udp->unix_s, &in, p->frame);
}

/* The rule that denies these classes. */
static const char *denial(const struct passing *p, uint8_t classes)
{
    return gate_explain(p->worker->gate, p->worker->index, p->batch->listener, &p->item->from,
                        classes);
}

static void read_request(const struct passing *p, uint8_t classes)
{
    const bool binary =
        p->frame->payload.len > 0 && p->frame->payload.ptr[0] == PROTO_BINARY_REQUEST;
    if (!(binary ? p->listener->binary : p->listener->text)) {
        drop(p, EVENT_UDP_MALFORMED, "protocol");
        return;
    }
    *p->verdict = gate_rr_read(&p->listener->policy, p->verdict, p->frame->payload, p->req);
    const bool served =
        p->verdict->action == GATE_RR_SERVE || p->verdict->action == GATE_RR_SERVE_AND_RENEW;
    if (!served || p->req->error != NULL || (gate_class_of(p->req) & ~classes) == 0)
        return;
    note(p, EVENT_UDP_DENIED, denial(p, gate_class_of(p->req)));
    if (proto_is_binary(p->req))
        proto_binary_refuse(p->req, PROTO_STATUS_DENIED);
    else
        p->req->error = proto_reply_texts[PROTO_REPLY_DENIED];
}

/* What will become of it. Whoever is not to be answered at all is told apart first, by the frame
 * and a few comparisons. */
static void judge(const struct passing *p)
{
    if (UNLIKELY(p->item->truncated)) {
        drop(p, EVENT_UDP_CUT, "truncated");
        return;
    }
    *p->verdict = arrive(p);
    if (p->verdict->action == GATE_RR_DROP)
        return;
    const uint8_t classes =
        gate_address_classes(p->worker->gate, p->worker->index, p->batch->listener, &p->item->from);
    if (classes == 0)
        drop(p, EVENT_UDP_DENIED, denial(p, GATE_ALL));
    else if (p->verdict->action == GATE_RR_READ)
        read_request(p, classes);
    if (p->verdict->action == GATE_RR_SERVE || p->verdict->action == GATE_RR_SERVE_AND_RENEW)
        cmd_prefetch_bucket(&p->worker->cmd, p->req);
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Send udp->answer, cut up and numbered (R7); `renew`: with a fresher cookie in front. */
static void answer_send(const struct passing *p, bool renew)
{
    struct out *answer = &p->udp->answer, *out = p->batch->out;
    size_t left = (size_t)out_bytes(answer);
    const size_t total = gate_rr_datagrams(left, renew);
    const size_t bytes =
        left + total * PROTO_UDP_HEADER_BYTES + (renew ? PROTO_UDP_EXTENSION_BYTES : 0);
    assert(gate_rr_ip_bytes(p->verdict->v6, left, renew) <= p->verdict->ip_bytes_max);
    struct proto_udp frame = {.request = p->frame->request,
                              .total = (uint16_t)total,
                              .kind = renew ? PROTO_UDP_FRESH : PROTO_UDP_LEGACY,
                              .cookie = p->frame->cookie};
    if (renew) {
        const struct gate_cookie_ends ends = ends_of(p);
        gate_cookie_make(&p->udp->keys.keys, &ends, p->udp->unix_s, &frame.cookie);
    }
    uint8_t *dst = out_reserve(out, bytes);
    if (dst == NULL)
        return;
    for (size_t i = 0; i < total; i++) {
        uint8_t *end = dst + PROTO_UDP_ANSWER_BYTES_MAX;
        frame.sequence = (uint16_t)i;
        dst = proto_udp_write(dst, &frame);
        const size_t part = smaller(left, (size_t)(end - dst));
        out_take(answer, dst, part);
        dst += part;
        left -= part;
        frame.kind = PROTO_UDP_LEGACY;
    }
    p->item->answer_at = out->len;
    p->item->answer_bytes = bytes;
    p->item->piece_bytes = total > 1 ? (size_t)PROTO_UDP_ANSWER_BYTES_MAX : 0;
    out_commit(out, bytes);
}

static bool budget_take(const struct passing *p, enum gate_limit limit, size_t cost)
{
    const struct gate_limit_ends ends = {
        .from = &p->item->from, .to = &p->item->to, .to_port = p->listener->port};
    return gate_limit_take(p->worker->limiter, limit, &ends, (uint32_t)cost, p->udp->now_ms);
}

static void challenge(const struct passing *p)
{
    struct stat_block *stats = p->worker->cmd.stats;
    if (p->verdict->reason != GATE_RR_REASON_HELLO)
        note_reason(p, p->verdict->reason);
    if (!budget_take(p, GATE_LIMIT_UDP_CHALLENGES, 1)) {
        stat_inc(stats, STAT_UDP_DROPPED);
        return;
    }
    struct out *out = p->batch->out;
    struct proto_udp frame = {.request = p->frame->request,
                              .total = 1,
                              .kind = PROTO_UDP_CHALLENGE,
                              .cookie = p->frame->cookie};
    const struct gate_cookie_ends ends = ends_of(p);
    gate_cookie_make(&p->udp->keys.keys, &ends, p->udp->unix_s, &frame.cookie);
    uint8_t *dst = out_reserve(out, PROTO_UDP_FRAME_BYTES);
    if (dst == NULL)
        return;
    (void)proto_udp_write(dst, &frame);
    p->item->answer_at = out->len;
    p->item->answer_bytes = PROTO_UDP_FRAME_BYTES;
    assert(p->item->answer_bytes <= p->item->in.len);
    out_commit(out, PROTO_UDP_FRAME_BYTES);
    stat_inc(stats, STAT_UDP_CHALLENGES);
    note_reason(p, GATE_RR_REASON_HELLO);
}

/* Answer END to who would not be served: its client goes on to where the data comes from. */
static void answer_miss(const struct passing *p)
{
    out_put_str(&p->udp->answer, "END\r\n");
    answer_send(p, false);
    stat_inc(p->worker->cmd.stats, STAT_UDP_MISSES);
    note_reason(p, p->verdict->reason);
}

/* The verdict is REFUSE, or DROP. */
static void refuse(const struct passing *p)
{
    const bool refused = p->verdict->action == GATE_RR_REFUSE;
    const enum gate_rr_reason reason = p->verdict->reason;
    struct out *answer = &p->udp->answer;
    if (refused && proto_is_binary(p->req)) {
        proto_binary_reply(answer, p->req, gate_rr_reason_status(reason), bytes_of(NULL, 0));
        answer_send(p, false);
    } else if (refused) {
        out_put_str(answer, gate_rr_reason_text(reason));
        out_put(answer, "\r\n", 2);
        answer_send(p, false);
    }
    stat_inc(p->worker->cmd.stats, refused ? STAT_UDP_REFUSED : STAT_UDP_DROPPED);
    if (reason != GATE_RR_REASON_BUDGET) /* noted by the limiter */
        note_reason(p, reason);
}

/* ── service ──────────────────────────────────────────────────────────────────────────────── */

/* Who is served by policy alone may be forged: it is trusted in nothing, and what it draws is not
 * charged to a client that has proved the same address. Nobody can forge loopback (R3). */
static enum gate_limit budget_of(const struct passing *p)
{
    const bool proven = p->verdict->trust == GATE_RR_TRUST_PROVEN;
    return proven || ip_is_loopback(&p->item->from.ip) ? GATE_LIMIT_UDP_BYTES
                                                       : GATE_LIMIT_UDP_LEGACY;
}

/* Run the request. Returns NONE when udp->answer may go out. */
static enum gate_rr_reason request_run(const struct passing *p)
{
    const struct gate_rr_verdict *verdict = p->verdict;
    const size_t usual = gate_rr_ip_bytes(verdict->v6, ANSWER_BYTES_USUAL, verdict->renew);
    const enum gate_limit limit = budget_of(p);
    if (!budget_take(p, limit, usual))
        return GATE_RR_REASON_BUDGET;
    struct cmd_ctx *cmd = &p->worker->cmd;
    struct out *answer = &p->udp->answer;
    cmd->out = answer;
    cmd->fd = p->batch->fd;
    cmd->conn = NULL;
    cmd_hot(cmd, p->req, 1);
    const enum cmd_rc rc = cmd_run(cmd, p->req);
    if (rc == CMD_AGAIN) { /* there is more than would ever fit */
        cmd_abort(cmd, p->req);
        return GATE_RR_REASON_ANSWER_LONG;
    }
    session_count(p->worker, p->req);
    assert(rc == CMD_OK); /* nothing that is offered closes or holds a connection */
    const uint64_t bytes = out_bytes(answer);
    if (bytes == 0 || answer->failed)
        return GATE_RR_REASON_NONE;
    const enum gate_rr_reason reason =
        gate_rr_answer(verdict, bytes_of(answer->buf, answer->len), (size_t)bytes);
    if (reason != GATE_RR_REASON_NONE)
        return reason;
    const size_t all = gate_rr_ip_bytes(verdict->v6, (size_t)bytes, verdict->renew);
    return all <= usual || budget_take(p, limit, all - usual) ? GATE_RR_REASON_NONE
                                                              : GATE_RR_REASON_BUDGET;
}

static void serve(const struct passing *p)
{
    struct out *answer = &p->udp->answer;
    const enum gate_rr_reason reason = request_run(p);
    if (reason != GATE_RR_REASON_NONE) {
        out_reset(answer);
        *p->verdict = gate_rr_refuse(p->verdict, p->req, reason);
        refuse(p);
        return;
    }
    const bool quiet = out_bytes(answer) == 0;
    if (answer->failed) {
        stat_inc(p->worker->cmd.stats, STAT_RESPONSE_OBJ_OOM);
        return;
    }
    if (!quiet)
        answer_send(p, p->verdict->renew);
    stat_inc(p->worker->cmd.stats, STAT_UDP_SERVED);
    if (p->verdict->reason != GATE_RR_REASON_NONE)
        note_reason(p, p->verdict->reason);
}

static void act(const struct passing *p)
{
    switch (p->verdict->action) {
    case GATE_RR_DROP:
    case GATE_RR_REFUSE:
        refuse(p);
        break;
    case GATE_RR_CHALLENGE:
        challenge(p);
        break;
    case GATE_RR_ANSWER_MISS:
        answer_miss(p);
        break;
    case GATE_RR_SERVE:
    case GATE_RR_SERVE_AND_RENEW:
        serve(p);
        break;
    case GATE_RR_READ: /* read_request() has replaced it */
        assert(false);
        break;
    }
    out_reset(&p->udp->answer);
}

void udp_run(void *arg, struct net_datagrams *batch)
{
    struct session_worker *worker = arg;
    struct udp_worker *udp = worker->udp;
    struct cmd_ctx *cmd = &worker->cmd;
    gate_keyring_copy(&udp->udp->keys, &udp->keys);
    udp->unix_s = cmd->now_s + (uint32_t)clock_wall_offset_s();
    udp->now_ms = clock_mono_ms();

    /* 1. Judge and parse; meanwhile the buckets of the keys parsed so far arrive. */
    for (size_t i = 0; i < batch->count; i++) {
        const struct passing p = passing_of(worker, batch, i);
        worker->batch[i].hashed = false;
        judge(&p);
    }
    /* 2. With the buckets there, have the items fetched. */
    for (size_t i = 0; batch->count > 1 && i < batch->count; i++)
        cmd_prefetch_item(cmd, &worker->batch[i]);
    /* 3. Run them in order; net sends the answers together. */
    for (size_t i = 0; i < batch->count; i++) {
        const struct passing p = passing_of(worker, batch, i);
        act(&p);
    }
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

int udp_new(const struct opts *opts, struct udp **ret_udp, char *ret_error)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    if (udp == NULL)
        return -ENOMEM;
    udp->opts = opts;
    const char *fault = opt_udp_parse(opts->udp_policy, &udp->policy);
    assert(fault == NULL); /* opt_parse() has looked */
    (void)fault;
    int rc = gate_keyring_init(&udp->keys, opts->udp_keys, clock_mono_ns() / 1000000, ret_error);
    if (rc != 0 && opts->udp_keys != NULL)
        rc = -EKEYREJECTED;
    if (rc == 0 && (udp->policy.policy & OPT_UDP_VOUCHED) != 0)
        rc = gate_vouch_new(&udp->vouch);
    if (rc == 0)
        *ret_udp = udp;
    else
        udp_free(udp);
    return rc;
}

void udp_free(struct udp *udp)
{
    if (udp == NULL)
        return;
    gate_keyring_fini(&udp->keys);
    gate_vouch_free(udp->vouch);
    free(udp->listeners);
    free(udp);
}

/* Elsewhere than on loopback `open` means whom the prefixes name: a listener's address says nothing
 * about who can reach it. */
static uint8_t serves(uint8_t policy, bool loopback)
{
    return (uint8_t)((policy & OPT_UDP_RR ? GATE_RR_PROVEN : 0) |
                     (policy & OPT_UDP_MISS ? GATE_RR_MISS : 0) |
                     (policy & OPT_UDP_VOUCHED ? GATE_RR_VOUCHED : 0) |
                     (policy & OPT_UDP_PREFIXES ? GATE_RR_PREFIXES : 0) |
                     (policy & OPT_UDP_OPEN && loopback ? GATE_RR_OPEN : 0));
}

int udp_listener_add(struct udp *udp, size_t index, const struct net_listener_info *info,
                     char *ret_error)
{
    /* All addresses of the machine are in no prefix, even if 0.0.0.0 as a number is. */
    const bool bounded = ip_is_loopback(&info->ip) ||
                         (!ip_is_unspecified(&info->ip) && in_prefixes(&udp->policy, &info->ip));
    if ((udp->policy.policy & OPT_UDP_OPEN) != 0 && !bounded) {
        (void)snprintf(ret_error, UDP_ERROR_BYTES,
                       "-o udp_policy=open would answer whoever claims to be anybody, on %s, so "
                       "others could be flooded with the answers; allowed: open with -l 127.0.0.1, "
                       "or with the listener's address in a prefix (prefixes:CIDR+open); rr and "
                       "miss are safe",
                       info->address);
        return -EPERM;
    }
    if (index >= udp->listener_count) {
        struct udp_listener *listeners = realloc(udp->listeners, (index + 1) * sizeof(*listeners));
        if (listeners == NULL)
            return -ENOMEM;
        memset(listeners + udp->listener_count, 0,
               (index + 1 - udp->listener_count) * sizeof(*listeners));
        udp->listeners = listeners;
        udp->listener_count = index + 1;
    }
    enum opt_protocol protocol = (enum opt_protocol)info->tag;
    if (protocol == OPT_PROTOCOL_DEFAULT)
        protocol = opt_protocol_of(udp->opts);
    udp->listeners[index] = (struct udp_listener){
        .policy = {.serves = serves(udp->policy.policy, ip_is_loopback(&info->ip)),
                   .writes = udp->opts->udp_writes,
                   .link_local = ip_is_link_local(&info->ip),
                   .answer_bytes_max = (uint32_t)udp->opts->udp_answer_max_bytes},
        .port = (uint16_t)info->port,
        .text = protocol != OPT_PROTOCOL_BINARY,
        .binary = protocol != OPT_PROTOCOL_TEXT,
    };
    return 0;
}

int udp_worker_new(struct udp *udp, struct udp_worker **ret_worker)
{
    struct udp_worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        return -ENOMEM;
    worker->udp = udp;
    out_init(&worker->answer);
    *ret_worker = worker;
    return 0;
}

void udp_worker_free(struct udp_worker *worker)
{
    if (worker == NULL)
        return;
    out_fini(&worker->answer);
    explicit_bzero(&worker->keys, sizeof(worker->keys));
    free(worker);
}

int udp_reload(struct udp *udp, char *ret_error)
{
    return gate_keyring_reload(&udp->keys, ret_error);
}

void udp_tick(struct udp *udp)
{
    gate_keyring_tick(&udp->keys, clock_mono_ns() / 1000000);
}

void udp_vouch(struct udp *udp, const struct ip_peer *peer)
{
    if (udp->vouch != NULL && peer->family != IP_LOCAL)
        gate_vouch_put(udp->vouch, &peer->ip, clock_now_s());
}
