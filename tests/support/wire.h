/* support/wire.h — a client and server in one process, without sockets: bytes in, the answers'
 * bytes out.
 *
 * What a session does, spelled out: parse, prefetch, run; values go whole or by an upload in
 * pieces; what runs over the high-water mark is flushed and gone on with. Each request's line
 * and value lie in a heap block of exactly their size, so that a sanitizer sees a read too far.
 *
 * Includes: base, opt, stat, proto, store, cmd.  Included by: tests of proto and cmd, fuzz
 *           targets.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdlib.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "cmd/prefix.h"
#include "cmd/tuning.h"
#include "proto/binary.h"
#include "proto/text.h"

struct wire {
    struct store *store;
    struct opts opts;
    struct stat_registry *registry;
    struct cmd_prefixes prefixes;
    struct cmd_tuning tuning;
    struct cmd_ctx ctx;
    struct out out;     /* answers since the last flush */
    struct out sent;    /* all answers since wire_clear() */
    size_t upload_from; /* values of at least so many bytes go by an upload; 0: all */
    size_t flushes;     /* how often CMD_AGAIN was answered */
    bool binary;        /* the client speaks the binary protocol */
    bool closed;
};

/* Copy what waits in `out`, blobs at their places, to `sent`. */
static inline void wire_flush(struct wire *wire)
{
    size_t at = 0;
    for (size_t i = 0; i < wire->out.blob_count; i++) {
        const struct out_blob *blob = &wire->out.blobs[i];
        out_put(&wire->sent, wire->out.buf + at, blob->at - at);
        at = blob->at;
        for (size_t span = 0; span < blob->span_count; span++)
            out_put(&wire->sent, blob->spans[span].ptr, blob->spans[span].len);
    }
    if (wire->out.len > at)
        out_put(&wire->sent, wire->out.buf + at, wire->out.len - at);
    out_reset(&wire->out);
    store_thread_quiesce(wire->ctx.thread, wire->ctx.now_s);
}

static inline void wire_stats_sum(void *arg, uint64_t ret_sum[STAT_ID_COUNT])
{
    const struct wire *wire = arg;
    stat_registry_sum(wire->registry, ret_sum);
}

static inline void wire_stats_reset(void *arg)
{
    const struct wire *wire = arg;
    stat_registry_reset(wire->registry);
    store_info_reset(wire->store);
}

static inline bool wire_memory_set(void *arg, uint64_t memory_bytes)
{
    const struct wire *wire = arg;
    return store_memory_set(wire->store, memory_bytes) == 0;
}

static const struct cmd_server_ops wire_ops = {
    .stats_sum = wire_stats_sum,
    .stats_reset = wire_stats_reset,
    .memory_set = wire_memory_set,
};

/* Returns false when something could not be set up. */
static inline bool wire_open(struct wire *wire, const struct store_config *config)
{
    clock_init();
    *wire = (struct wire){.upload_from = SIZE_MAX};
    out_init(&wire->out);
    out_init(&wire->sent);
    struct cmd_ctx *ctx = &wire->ctx;
    if (store_new(config, &wire->store) != 0 || store_thread_new(wire->store, &ctx->thread) != 0 ||
        opt_init(&wire->opts) != 0 || stat_registry_new(&wire->registry) != 0 ||
        stat_block_new(wire->registry, &ctx->stats) != 0 ||
        cmd_prefixes_init(&wire->prefixes, ':', false) != 0)
        return false;
    ctx->store = wire->store;
    ctx->out = &wire->out;
    ctx->opts = &wire->opts;
    ctx->prefixes = &wire->prefixes;
    cmd_tuning_init(&wire->tuning, &wire->opts);
    ctx->tuning = &wire->tuning;
    ctx->now_s = clock_now_s() + 1000;
    ctx->server = &wire_ops;
    ctx->server_arg = wire;
    store_thread_online(ctx->thread, ctx->now_s);
    return true;
}

static inline void wire_close(struct wire *wire)
{
    out_fini(&wire->out);
    out_fini(&wire->sent);
    store_thread_offline(wire->ctx.thread);
#ifdef MATTE_TEST_BUILD
    cmd_debug_fini();
#endif
    store_thread_free(wire->ctx.thread);
    store_free(wire->store);
    cmd_prefixes_fini(&wire->prefixes);
    stat_registry_free(wire->registry);
    opt_fini(&wire->opts);
}

/* Move the clock. */
static inline void wire_pass(struct wire *wire, uint32_t seconds)
{
    wire->ctx.now_s += seconds;
    store_thread_quiesce(wire->ctx.thread, wire->ctx.now_s);
}

static inline void wire_run(struct wire *wire, struct proto_request *req)
{
    enum cmd_rc rc;
    while ((rc = cmd_run(&wire->ctx, req)) == CMD_AGAIN) {
        wire->flushes++;
        wire_flush(wire);
    }
    wire->closed = rc == CMD_CLOSE;
}

/* Bring a value in by an upload; `block` is the value with its end bytes. */
static inline void wire_upload(struct wire *wire, const struct proto_request *req,
                               struct bytes block)
{
    struct cmd_upload *upload = malloc(sizeof(*upload));
    if (upload == NULL)
        abort();
    bool failed = !cmd_upload_begin(&wire->ctx, req, upload);
    const size_t value_bytes = block.len - req->tail_bytes;
    size_t at = 0, room;
    while (!failed && at < value_bytes) {
        uint8_t *dst = store_upload_space(upload->upload, &room);
        const size_t left = value_bytes - at;
        const size_t len = room < left ? room : left;
        memcpy(dst, block.ptr + at, len);
        at += len;
        failed = store_upload_fill(wire->ctx.thread, upload->upload, len) != STORE_OK;
        if (failed)
            cmd_upload_fail(&wire->ctx, upload);
    }
    if (failed)
        wire_run(wire, &upload->req);
    else
        (void)!cmd_upload_end(&wire->ctx, upload,
                              memcmp(block.ptr + value_bytes, "\r\n", req->tail_bytes) == 0);
    free(upload);
}

/* A copy of exactly that size. */
static inline uint8_t *wire_copy(struct bytes bytes)
{
    uint8_t *copy = malloc(bytes.len > 0 ? bytes.len : 1);
    if (copy == NULL)
        abort();
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    return copy;
}

static inline enum proto_rc wire_parse(const struct wire *wire, struct bytes in,
                                       struct proto_request *ret_req, size_t *ret_used)
{
    return wire->binary ? proto_binary_parse(in, ret_req, ret_used)
                        : proto_text_parse(in, ret_req, ret_used);
}

/* Serve one request at the start of `in`. Returns the bytes used; 0: nothing whole is there. */
static inline size_t wire_step(struct wire *wire, struct bytes in)
{
    struct proto_request req;
    size_t used;
    const enum proto_rc rc = wire_parse(wire, in, &req, &used);
    if (rc == PROTO_MORE)
        return 0;
    if (rc == PROTO_CLOSE) {
        wire->closed = true;
        if (req.error != NULL)
            wire_run(wire, &req);
        wire->closed = true;
        return 0;
    }
    const uint64_t block_bytes = req.has_value ? req.value_bytes + req.tail_bytes : 0;
    if (block_bytes > in.len - used)
        return 0;
    uint8_t *line = wire_copy(bytes_of(in.ptr, used));
    uint8_t *block = wire_copy(bytes_of(in.ptr + used, (size_t)block_bytes));
    if (wire_parse(wire, bytes_of(line, used), &req, &used) != PROTO_OK)
        abort();
    if (req.has_value && req.value_bytes >= wire->upload_from && !proto_value_is_login(&req)) {
        wire_upload(wire, &req, bytes_of(block, (size_t)block_bytes));
    } else {
        if (req.has_value) {
            req.value = bytes_of(block, (size_t)req.value_bytes);
            req.value_bad = memcmp(block + req.value_bytes, "\r\n", req.tail_bytes) != 0;
        }
        cmd_prefetch_bucket(&wire->ctx, &req);
        cmd_prefetch_item(&wire->ctx, &req);
        wire_run(wire, &req);
    }
    free(line);
    free(block);
    return used + (size_t)block_bytes;
}

/* Serve all whole requests of `in`; the answers are in wire->sent. Returns the bytes used. */
static inline size_t wire_send(struct wire *wire, struct bytes in)
{
    size_t at = 0, used;
    wire->closed = false;
    while (!wire->closed && (used = wire_step(wire, bytes_skip(in, at))) > 0)
        at += used;
    wire_flush(wire);
    return at;
}

static inline struct bytes wire_answer(const struct wire *wire)
{
    return bytes_of(wire->sent.buf, wire->sent.len);
}

static inline void wire_clear(struct wire *wire)
{
    out_reset(&wire->sent);
}
