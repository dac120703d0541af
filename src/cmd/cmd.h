/* cmd/cmd.h — commands: a request and the store in, an answer out.
 *
 * The session parses what one read brought, lets cmd hash and prefetch every request of the
 * batch, and then runs them in order:
 *
 *     for each: cmd_prefetch_bucket()    for each: cmd_prefetch_item()    for each: cmd_run()
 *
 * A value that is not whole in the input goes through an upload:
 *
 *     cmd_upload_begin ─true─► fill store_upload_space() ─► read the end bytes ─► cmd_upload_end
 *           │                    │ store_upload_fill() fails: cmd_upload_fail
 *           └─false (not taken)  ▼
 *                swallow the rest of value_bytes + tail_bytes, then cmd_run(ctx, &upload->req)
 *
 * Includes: base, opt, stat, hot, event, logger, proto, store.  Included by: server.
 * Threads:  one cmd_ctx per worker; the store_thread must be online.
 * Memory:   none of its own but `struct cmd_upload`, which the session keeps.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/out.h"
#include "event/event.h"
#include "hot/hot.h"
#include "logger/logger.h"
#include "opt/opt.h"
#include "proto/request.h"
#include "stat/stat.h"
#include "store/store.h"

struct cmd_ctx;
struct cmd_prefixes; /* cmd/prefix.h */
struct cmd_tuning;   /* cmd/tuning.h */

enum {
    CMD_OUT_BYTES_MAX = 256 * 1024, /* high-water mark of pending answers, blobs included */
    CMD_KEYS_CHUNK = 32,            /* keys of a multiget that are prefetched together */
    CMD_ERROR_BYTES = 512,          /* a line of an error of the server */
    CMD_BATCH = 32,                 /* requests whose cache lines are fetched together */
    CMD_COPY_BYTES_MAX = 16 * 1024, /* larger values are sent from where they lie */
};

/* What only the server knows or may do. `arg` is cmd_ctx.server_arg; any may be NULL (tests). */
struct cmd_server_ops {
    /* Append `STAT name value` lines, without the END. */
    void (*stats_general)(void *arg, struct out *out);
    void (*stats_settings)(void *arg, struct out *out);
    void (*stats_conns)(void *arg, struct out *out);
    void (*stats_access)(void *arg, struct out *out);
    void (*stats_limits)(void *arg, struct out *out);
    void (*stats_udp)(void *arg, struct out *out);
    void (*stats_prefixes)(void *arg, struct out *out);
    void (*stats_latency)(void *arg, struct out *out);
    void (*stats_hotkeys)(void *arg, struct out *out);
    void (*stats_clients)(void *arg, struct out *out);
    void (*stats_reset)(void *arg); /* every worker's counters and the store's */
    /* Every worker's counters, added up. */
    void (*stats_sum)(void *arg, uint64_t ret_sum[STAT_ID_COUNT]);
    bool (*memory_set)(void *arg, uint64_t memory_bytes); /* false: not possible */
    void (*verbosity_set)(void *arg, unsigned level);
    void (*shutdown)(void *arg, bool graceful);
    /* Begin or end being drained; false: it is too late for that. */
    bool (*drain)(const struct cmd_ctx *ctx, bool on);
    /* `verb`, which changes the server or tells what is in it, has been executed. */
    void (*admin_used)(const struct cmd_ctx *ctx, const char *verb);
    /* Likewise of `verb`, which has deleted all keys that begin in some way. */
    void (*prefix_deleted)(const struct cmd_ctx *ctx, const char *verb);
    void (*stats_security)(void *arg, struct out *out);
    void (*stats_config)(void *arg, struct out *out);
    /* Append `CONFIG name value source` lines, without the END, of the options that `name` means:
     * one, those that begin with what stands before a *, or all (*). false: there is none. */
    bool (*config_get)(void *arg, struct bytes name, struct out *out);
    /* Change an option, if it may be. Returns false with the reason in ret_error[CMD_ERROR_BYTES].
     */
    bool (*config_set)(void *arg, struct bytes name, struct bytes value, char *ret_error);
    void (*config_reload)(void *arg); /* soon: as SIGHUP */
#ifdef MATTE_TEST_BUILD
    bool (*misbehave)(void *arg, struct bytes what); /* true: it was possible */
#endif
    /* Read the certificates again. Returns false with a line that begins with "Error" in
     * ret_error[CMD_ERROR_BYTES]; untouched when there is no TLS. */
    bool (*certs_refresh)(void *arg, char *ret_error);
};

#define CMD_VERSION "1.6.45" /* the release whose answers we give */

struct cmd_ctx {
    struct store *store;
    struct store_thread *thread;
    struct stat_block *stats; /* this worker's */
    struct stat_hists *hists; /* likewise; NULL: sizes and lifetimes are not counted */
    struct out *out;          /* answers of the connection being served */
    const struct opts *opts;
    struct hot *hot;               /* this worker's; NULL: hot keys are not looked for */
    struct cmd_prefixes *prefixes; /* shared by all workers; NULL: no `stats detail` */
    struct cmd_tuning *tuning;     /* shared by all workers */
    uint32_t now_s;                /* read once per loop turn */
    uint32_t watched;              /* streams that clients watch, likewise; 0 without `log` */
    struct logger_ring *log;       /* this worker's; NULL: nothing can be watched */
    struct event_source *events;   /* this worker's; NULL: security events are not noted (tests) */
    int fd;                        /* of the connection being served */
    const void *conn;              /* the server's own view of it, for server->admin_used() */
    uint8_t close_reason; /* enum logger_reason; set with CMD_CLOSE, reset by the session */
    struct logger_watcher *watcher;    /* set with CMD_HOLD, then the session's */
    const struct proto_request *batch; /* the requests of one read, CMD_BATCH at most; or NULL */
    const struct cmd_server_ops *server;
    void *server_arg;
};

enum cmd_rc {
    CMD_OK, /* answered, or quiet */
    /* A part is done: flush, let others be served and pass a quiescent point, then cmd_run() again
     * with the same request; or cmd_abort() it. */
    CMD_AGAIN,
    CMD_CLOSE, /* flush, then close */
    CMD_HOLD,  /* flush; from now on the connection only gets the lines of ctx->watcher */
};

/* First and second step of a batch. Hints: a request without a key is fine. The first one also
 * computes req->hash. */
void cmd_prefetch_bucket(struct cmd_ctx *ctx, struct proto_request *req);
void cmd_prefetch_item(struct cmd_ctx *ctx, struct proto_request *req);

/* Once per batch that is about to run: now and then have one of its keys noted as a hot one may be.
 * (The keys of a request with several are offered when they are looked up.) */
COLD void cmd_hot_note(struct cmd_ctx *ctx, const struct proto_request *batch, size_t count);
static ALWAYS_INLINE void cmd_hot(struct cmd_ctx *ctx, const struct proto_request *batch,
                                  size_t count)
{
    if (LIKELY(ctx->hot != NULL) && hot_is_due(ctx->hot, count))
        cmd_hot_note(ctx, batch, count);
}

/* Run a request; with has_value, `value` (or `value_bad`) has been set. Also answers
 * req->error. */
MUST_USE enum cmd_rc cmd_run(struct cmd_ctx *ctx, struct proto_request *req);

/* By which class the time of a command is told: an enum stat_class per enum proto_cmd. */
extern const uint8_t cmd_stat_classes[PROTO_CMD_ALL_COUNT];

/* Forget a request that stopped at CMD_AGAIN: its connection is gone. */
void cmd_abort(struct cmd_ctx *ctx, struct proto_request *req);

#ifdef MATTE_TEST_BUILD
/* Give back what debugitem holds; before the store goes, and no command runs. */
void cmd_debug_fini(void);
#endif

/* A request whose value is on its way. Holds no pointer into the input, but into itself: it must
 * stay in place. */
struct cmd_upload {
    struct store_upload *upload; /* NULL: nothing to fill */
    struct proto_request req;
    uint8_t text[PROTO_KEY_BYTES_MAX + PROTO_OPAQUE_BYTES_MAX];
};

/* Begin the upload of req's value (has_value is set) and copy into *ret_upload what is needed of
 * the request; the input may be dropped afterwards.
 * Returns true: fill ret_upload->upload. Returns false: swallow value_bytes + tail_bytes, then
 * cmd_run(ctx, &ret_upload->req) answers.
 * Owns: on true, until cmd_upload_end(), cmd_upload_fail() or cmd_upload_abort(). */
MUST_USE bool cmd_upload_begin(struct cmd_ctx *ctx, const struct proto_request *req,
                               struct cmd_upload *ret_upload);
/* The value is complete; `terminated`: its end bytes, if it has any, were CR LF. Stores and
 * answers. */
MUST_USE enum cmd_rc cmd_upload_end(struct cmd_ctx *ctx, struct cmd_upload *upload,
                                    bool terminated);
/* store_upload_fill() failed: swallow what remains, then cmd_run(ctx, &upload->req) answers. */
void cmd_upload_fail(struct cmd_ctx *ctx, struct cmd_upload *upload);
/* The connection is gone. NULL upload->upload is fine. */
void cmd_upload_abort(struct cmd_upload *upload);
