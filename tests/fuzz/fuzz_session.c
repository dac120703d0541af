/* A connection as net serves it, without the sockets: the corridor with logins, both protocols,
 * values on their way, requests that stop and go on, watchers; the input comes cut anywhere. The
 * first byte chooses: whether one has to log in (1), whether pieces are small (2), what the server
 * may refuse (4, 8); the second one seeds the cuts.
 *
 * Nothing may crash, leak or go on for ever, and whoever has not logged in changes nothing and is
 * told nothing but that.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gate/gate.h"
#include "server/pass.h"
#include "server/session.h"
#include "server/transfer.h"
#include "support/open_gate.h"
#include "support/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GUARDED = 1, SMALL_PIECES = 2, NO_DUMP = 4, NO_FLUSH = 8 };
enum { CALLS_MAX = 1000000 }; /* of session_run(): more is an endless loop */

struct conn {
    struct wire wire;
    struct session_worker worker;
    struct logger *logger;
    void *session;
    uint32_t note;
    bool was_in; /* has logged in, or need not */
    enum net_rc want;
    uint8_t *in; /* a heap block of exactly its size */
    size_t in_at, in_end;
    uint32_t calls, random;
};

/* ── set-up ───────────────────────────────────────────────────────────────────────────────── */

/* Made once; its users are `foo:bar`, `a:b`, and `user:pencil`, who is confined. */
static struct gate *guarded_gate(void)
{
    static struct gate *gate;
    static const char text[] =
        "foo:bar\na:b\nuser:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        " prefix=a\n";
    if (gate != NULL)
        return gate;
    char path[64], error[GATE_ERROR_BYTES];
    const int fd = memfd_create("users", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const struct gate_config config = {.files = {path}, .slots = 1};
    if (gate_new(&config, &gate, error) != 0)
        abort();
    close(fd);
    return gate;
}

static void conn_open(struct conn *conn, unsigned how, uint8_t seed)
{
    static const struct store_config config = {
        .memory_bytes = 2 << 20, .item_bytes_max = 64 << 10, .hash_seed = 1};
    const struct logger_config log_config = {.ring_bytes = 4096, .watcher_bytes = 4096};
    *conn = (struct conn){.want = NET_MORE, .random = seed + 1u};
    struct wire *wire = &conn->wire;
    struct cmd_ctx *cmd = &wire->ctx;
    if (!wire_open(wire, &config) || logger_new(&log_config, &conn->logger) != 0 ||
        logger_ring_new(conn->logger, cmd->stats, NULL, NULL, &cmd->log) != 0)
        abort();
    wire->opts.disable_dumping = (how & NO_DUMP) != 0;
    wire->opts.disable_flush_all = (how & NO_FLUSH) != 0;
    conn->worker.cmd = *cmd;
    conn->worker.cmd.batch = conn->worker.batch;
    conn->worker.gate = (how & GUARDED) != 0 ? guarded_gate() : open_gate();
    conn->worker.limiter = no_limits(&wire->opts);
    conn->worker.login_required = gate_login_required(conn->worker.gate);
    conn->worker.generation = gate_generation(conn->worker.gate);
    conn->was_in = !conn->worker.login_required;
}

static void conn_close(struct conn *conn)
{
    if (conn->session != NULL)
        transfer_gone(&conn->worker, conn->session);
    free(conn->in);
    logger_free(conn->logger);
    wire_close(&conn->wire);
}

/* ── what net does ────────────────────────────────────────────────────────────────────────── */

static uint32_t some(struct conn *conn, uint32_t below)
{
    conn->random = conn->random * 1664525u + 1013904223u;
    return (conn->random >> 8) % below;
}

static void input_add(struct conn *conn, struct bytes piece)
{
    const size_t left = conn->in_end - conn->in_at;
    uint8_t *in = malloc(left + piece.len + (left + piece.len == 0));
    if (in == NULL)
        abort();
    if (left > 0)
        memcpy(in, conn->in + conn->in_at, left);
    if (piece.len > 0)
        memcpy(in + left, piece.ptr, piece.len);
    free(conn->in);
    conn->in = in;
    conn->in_at = 0;
    conn->in_end = left + piece.len;
}

/* What a stranger is told: one of the refusals, or of the binary protocol that he may not, which
 * mechanisms and version there are, that his message was malformed, or how a login by SCRAM goes
 * on. */
static void stranger_check(struct bytes told, bool binary)
{
    if (!binary) {
        assert(told.len == 0 || bytes_starts(told, bytes_str("CLIENT_ERROR ")) ||
               bytes_starts(told, bytes_str("STORED\r\n")));
        return;
    }
    while (told.len >= PROTO_BINARY_HEADER_BYTES) {
        const uint16_t status = be_read_u16(told.ptr + 6);
        const uint8_t opcode = told.ptr[1];
        assert(told.ptr[0] == PROTO_BINARY_ANSWER);
        assert(status == PROTO_STATUS_AUTH_ERROR || status == PROTO_STATUS_INVALID ||
               (status == PROTO_STATUS_AUTH_CONTINUE && opcode == 0x21) ||
               (status == PROTO_STATUS_OK && (opcode == 0x0b || opcode == 0x20 || opcode == 0x21)));
        told = bytes_skip(told, PROTO_BINARY_HEADER_BYTES + be_read_u32(told.ptr + 8));
    }
    assert(told.len == 0);
}

static void run_once(struct conn *conn)
{
    static const struct ip_peer peer = {.family = IP_LOCAL};
    struct out *out = &conn->wire.out;
    conn->worker.cmd.out = out;
    const bool stranger = conn->worker.login_required && pass_user(conn->note) == 0;
    const size_t before = out->len;
    struct net_io io = {.in = bytes_of(conn->in + conn->in_at, conn->in_end - conn->in_at),
                        .out = out,
                        .note = &conn->note,
                        .peer = &peer,
                        .fd = -1};
    if (conn->note == 0 && io.in.len > 0) /* as by a listener of both; there is none to ask */
        conn->note = io.in.ptr[0] == PROTO_BINARY_REQUEST ? SESSION_BINARY : SESSION_TEXT;
    conn->want = session_run(&conn->worker, &conn->session, &io);
    assert(io.used <= io.in.len && conn->calls++ < CALLS_MAX);
    conn->in_at += io.used;
    if (stranger && out->len > before)
        stranger_check(bytes_skip(bytes_of(out->buf, out->len), before),
                       (conn->note & SESSION_BINARY) != 0);
    conn->was_in |= pass_user(conn->note) != 0;
    if (conn->in_at == conn->in_end && conn->want <= NET_YIELD)
        conn->want = NET_MORE;
    if (conn->want != NET_AGAIN || out_bytes(out) >= NET_OUT_BYTES_MAX)
        wire_flush(&conn->wire); /* and passes a quiescent point */
}

/* Returns how much of `piece` went to where a value belongs. */
static size_t value_fill(struct conn *conn, struct bytes piece)
{
    bool last;
    size_t room;
    uint8_t *space = transfer_space(&conn->worker, conn->session, &room, &last);
    const size_t len = piece.len < room ? piece.len : room;
    memcpy(space, piece.ptr, len);
    conn->want = transfer_filled(&conn->worker, conn->session, len);
    return len;
}

/* `piece` has arrived. */
static void receive(struct conn *conn, struct bytes piece)
{
    while (conn->want == NET_FILL && piece.len > 0)
        piece = bytes_skip(piece, value_fill(conn, piece));
    if (conn->want == NET_FILL || (conn->want == NET_MORE && piece.len == 0))
        return;
    input_add(conn, piece);
    do
        run_once(conn);
    while (conn->want <= NET_YIELD);
    if (conn->want == NET_HOLD || conn->want == NET_CLOSE)
        conn->in_at = conn->in_end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct conn conn; /* has the alignment that a worker needs */
    if (size < 2)
        return 0;
    conn_open(&conn, data[0], data[1]);
    struct bytes rest = bytes_of(data + 2, size - 2);
    while (rest.len > 0 && conn.want != NET_CLOSE) {
        size_t len = 1 + some(&conn, data[0] & SMALL_PIECES ? 40 : NET_IN_BYTES);
        if (len > rest.len)
            len = rest.len;
        receive(&conn, bytes_of(rest.ptr, len));
        rest = bytes_skip(rest, len);
    }
    struct store_info info;
    store_info(conn.wire.store, &info);
    assert(conn.was_in || info.items_total == 0);
    conn_close(&conn);
    return 0;
}
