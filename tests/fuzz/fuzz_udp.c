/* The corridor of datagrams without the sockets: batches of any bytes, from anywhere.
 *
 *     byte 0      what the policy serves, writes, a small cap
 *     then        a head of 4 bytes and that many bytes of datagram, again and again:
 *                 how (GENUINE, ...), where from, length (2)
 *
 * Nothing may crash or leak, no unproven source gets more IP bytes than it sent or changes
 * anything, and every answer is numbered as clients expect it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "base/be.h"
#include "base/clock.h"
#include "server/udp.h"
#include "support/open_gate.h"
#include "support/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of byte 0; the low bits choose the policy. */
enum { POLICIES = 6, WRITES = 0x40, SMALL_CAP = 0x80 };
/* Of a datagram's head. */
enum { GENUINE = 1, BATCH_ENDS = 2, TO_OTHERS = 4, OURS = 8, AGED = 16, SIX = 32, HEAD_BYTES = 4 };
enum { PORT = 11211, ITEMS = 3 };

static const char *const policies[POLICIES] = {
    "rr", "rr+miss", "drop", "rr+tcp-vouched", "rr+prefixes:10.0.0.0/8", "open",
};

struct corridor {
    struct wire wire;
    struct session_worker worker;
    struct udp *udp;
    struct out out;
    bool open, prefixes; /* legacy clients are served: all, those of 10.0.0.0/8 */
    uint8_t copies[NET_DATAGRAMS][2048];
    struct net_datagram item[NET_DATAGRAMS];
    bool trusted[NET_DATAGRAMS]; /* it has proved its address, or the policy does without */
    size_t count;
};

static void items_put(struct corridor *corridor)
{
    static const size_t sizes[ITEMS] = {5, 3000, 60000};
    static uint8_t value[60000];
    struct cmd_ctx *cmd = &corridor->worker.cmd;
    for (size_t i = 0; i < ITEMS; i++) {
        const char key[1] = {(char)('a' + i)};
        struct proto_request req;
        proto_request_init(&req, PROTO_CMD_SET, 2);
        req.key = bytes_of(key, sizeof(key));
        req.has_value = true;
        req.value = bytes_of(value, sizes[i]);
        req.value_bytes = sizes[i];
        cmd->out = &corridor->wire.out;
        if (cmd_run(cmd, &req) != CMD_OK)
            abort();
    }
    out_reset(&corridor->wire.out);
}

static void corridor_open(struct corridor *corridor, uint8_t how)
{
    static const struct store_config config = {
        .memory_bytes = 2 << 20, .item_bytes_max = 128 << 10, .hash_seed = 1};
    char error[UDP_ERROR_BYTES];
    *corridor = (struct corridor){.count = 0};
    struct wire *wire = &corridor->wire;
    if (!wire_open(wire, &config))
        abort();
    const size_t policy = (how & ~(WRITES | SMALL_CAP)) % POLICIES;
    corridor->prefixes = policy == 4;
    corridor->open = policy == 5;
    free(wire->opts.udp_policy);
    wire->opts.udp_policy = strdup(policies[policy]);
    wire->opts.udp_writes = (how & WRITES) != 0;
    wire->opts.udp_answer_max_bytes = (how & SMALL_CAP) != 0 ? 1400 : 64 << 10;
    struct session_worker *worker = &corridor->worker;
    worker->cmd = wire->ctx;
    worker->cmd.batch = worker->batch;
    worker->gate = open_gate();
    worker->limiter = no_limits(&wire->opts);
    const struct net_listener_info info = {.port = PORT, .ip = {{[15] = 1}}};
    if (udp_new(&wire->opts, &corridor->udp, error) != 0 ||
        udp_listener_add(corridor->udp, 0, &info, error) != 0 ||
        udp_worker_new(corridor->udp, &worker->udp) != 0)
        abort();
    out_init(&corridor->out);
    items_put(corridor);
}

static void corridor_close(struct corridor *corridor)
{
    out_fini(&corridor->out);
    udp_worker_free(corridor->worker.udp);
    udp_free(corridor->udp);
    wire_close(&corridor->wire);
}

/* ── a batch ──────────────────────────────────────────────────────────────────────────────── */

static struct ip_peer source_of(uint8_t how, uint8_t where)
{
    const uint8_t v4[4] = {10, 0, 0, where}, other[4] = {where, 9, 9, 9};
    struct ip_peer peer = {.port = (uint16_t)(40000 + where), .family = IP_V4};
    peer.ip = ip_of_v4(where % 2 == 0 ? v4 : other);
    if ((how & SIX) != 0) {
        peer.family = IP_V6;
        peer.ip = (struct ip){{0x20, 1, 0xd, 0xb8, [15] = where}};
    }
    if (where == 255)
        peer.port = PORT;
    return peer;
}

/* Put a cookie of ours into a PROVEN datagram. Returns whether it is good. */
static bool prove(struct corridor *corridor, struct net_datagram *item, uint8_t *bytes, bool aged)
{
    struct proto_udp frame;
    if (proto_udp_parse(item->in, &frame) != PROTO_UDP_OK || frame.kind != PROTO_UDP_PROVEN)
        return false;
    const struct gate_cookie_ends ends = {
        .client = item->from,
        .server = {.ip = item->to, .port = PORT, .family = item->from.family}};
    const uint32_t unix_s = corridor->worker.cmd.now_s + (uint32_t)clock_wall_offset_s();
    gate_cookie_make(&corridor->udp->keys.keys, &ends, unix_s - (aged ? 2000 : 10), &frame.cookie);
    const struct bytes payload = frame.payload;
    const uint8_t *end = proto_udp_write(bytes, &frame);
    assert(end == payload.ptr);
    return true;
}

static void datagram_add(struct corridor *corridor, const uint8_t *head, struct bytes in)
{
    const size_t i = corridor->count++;
    uint8_t *copy = corridor->copies[i];
    /* At the end of its buffer, where the next one's begins: a byte too many is another's. */
    memset(copy, 0xaa, sizeof(corridor->copies[i]));
    copy += sizeof(corridor->copies[i]) - in.len;
    if (in.len > 0)
        memcpy(copy, in.ptr, in.len);
    struct net_datagram *item = &corridor->item[i];
    *item = (struct net_datagram){
        .in = bytes_of(copy, in.len),
        .from = source_of(head[0], head[1]),
        .to_us = (head[0] & TO_OTHERS) == 0,
        .from_us = (head[0] & OURS) != 0,
    };
    item->to = (head[0] & SIX) != 0 ? (struct ip){{0x20, 1, 0xd, 0xb8, [14] = 1}}
                                    : ip_of_v4((const uint8_t[4]){10, 1, 1, 1});
    const bool legacy = in.len >= PROTO_UDP_HEADER_BYTES && be_read_u16(copy + 6) == 0;
    const bool inside = ip_is_v4(&item->from.ip) && item->from.ip.byte[12] == 10;
    corridor->trusted[i] =
        legacy ? corridor->open || (corridor->prefixes && inside)
               : (head[0] & GENUINE) != 0 && prove(corridor, item, copy, (head[0] & AGED) != 0);
}

/* Each datagram of an answer; returns the IP bytes of all. */
static size_t answer_check(const struct corridor *corridor, size_t i)
{
    const struct net_datagram *item = &corridor->item[i];
    const size_t heads = item->from.family == IP_V6 ? GATE_RR_IPV6_BYTES : GATE_RR_IPV4_BYTES;
    if (item->answer_bytes == 0)
        return 0;
    assert(item->answer_at + item->answer_bytes <= corridor->out.len);
    struct bytes rest = bytes_of(corridor->out.buf + item->answer_at, item->answer_bytes);
    size_t ip_bytes = 0;
    unsigned count = 0;
    struct proto_udp frame = {.total = 0};
    while (rest.len > 0) {
        const size_t piece =
            item->piece_bytes == 0 || rest.len < item->piece_bytes ? rest.len : item->piece_bytes;
        assert(piece <= PROTO_UDP_ANSWER_BYTES_MAX);
        if (proto_udp_parse(bytes_of(rest.ptr, piece), &frame) != PROTO_UDP_OK)
            abort();
        assert(frame.sequence == count && frame.request == be_read_u16(item->in.ptr));
        assert(frame.kind != PROTO_UDP_HELLO && frame.kind != PROTO_UDP_PROVEN);
        count++;
        ip_bytes += heads + piece;
        rest = bytes_skip(rest, piece);
    }
    assert(count == frame.total);
    return ip_bytes;
}

static void batch_run(struct corridor *corridor)
{
    struct net_datagrams batch = {
        .item = corridor->item, .count = corridor->count, .fd = -1, .out = &corridor->out};
    struct session_worker *worker = &corridor->worker;
    struct store_info before, after;
    store_info(corridor->wire.store, &before);
    udp_run(worker, &batch);
    assert(corridor->out.blob_count == 0);
    bool writers = false;
    for (size_t i = 0; i < corridor->count; i++) {
        const struct net_datagram *item = &corridor->item[i];
        const size_t heads = item->from.family == IP_V6 ? GATE_RR_IPV6_BYTES : GATE_RR_IPV4_BYTES;
        const size_t out = answer_check(corridor, i);
        assert(corridor->trusted[i] || out <= item->in.len + heads);
        assert(corridor->trusted[i] || item->piece_bytes == 0);
        writers |= corridor->trusted[i];
    }
    store_info(corridor->wire.store, &after);
    if (!writers || !corridor->wire.opts.udp_writes)
        assert(before.items == after.items && before.items_total == after.items_total);
    out_reset(&corridor->out);
    corridor->count = 0;
    store_thread_quiesce(worker->cmd.thread, worker->cmd.now_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct corridor corridor; /* has the alignment that a worker needs */
    if (size < 1)
        return 0;
    corridor_open(&corridor, data[0]);
    struct bytes rest = bytes_of(data + 1, size - 1);
    while (rest.len >= HEAD_BYTES) {
        const uint8_t *head = rest.ptr;
        rest = bytes_skip(rest, HEAD_BYTES);
        size_t len = be_read_u16(head + 2);
        if (len > rest.len)
            len = rest.len;
        if (len > sizeof(corridor.copies[0]))
            len = sizeof(corridor.copies[0]);
        datagram_add(&corridor, head, bytes_of(rest.ptr, len));
        rest = bytes_skip(rest, len);
        if (corridor.count == NET_DATAGRAMS || (head[0] & BATCH_ENDS) != 0)
            batch_run(&corridor);
    }
    if (corridor.count > 0)
        batch_run(&corridor);
    corridor_close(&corridor);
    return 0;
}
