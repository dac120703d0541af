/* cmd/cmd_priv.h — what the command families share.
 *
 *   cmd.c        dispatch, batches, uploads       get.c       get gets gat gats
 *   store.c      set add replace ... cas          item.c      delete touch incr decr
 *   meta.c       what meta commands share         meta_get.c  mg, me, mn
 *   meta_set.c   ms, md, ma                       admin.c     flush_all verbosity ...
 *   group.c      delete_prefix, mdp
 *   config.c     config get set reload
 *   stats.c      stats and its sub-commands       prefix.c    counters of `stats detail`
 *   binary.c     the binary protocol              binary_stat.c  its stat
 *   tune.c       slabs lru lru_crawler            dump.c      answers that walk over all items
 *   debug.c      the test build's own
 *   watch.c      watch, and events for the log
 *
 * Includes: base, opt, stat, logger, proto, store.  Included by: cmd only.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cmd/cmd.h"
#include "cmd/prefix.h"
#include "cmd/tuning.h"
#include "proto/binary.h"
#include "proto/compose.h"

/* One handler per row of tbl/commands.def. */
#define COMMAND(ID, word, SHAPE, args_min, CLASS, handler)                                         \
    enum cmd_rc cmd_##handler(struct cmd_ctx *ctx, struct proto_request *req);
#include "tbl/commands.def"
#undef COMMAND
/* ...and of tbl/opcodes.def. */
#define OPCODE(ID, code, quiet, EXTRAS, KEY, VALUE, CLASS, handler)                                \
    enum cmd_rc cmd_bin_##handler(struct cmd_ctx *ctx, struct proto_request *req);
#include "tbl/opcodes.def"

/* Finish set and its like, ms, or the binary set and its like; `upload` is NULL when the value is
 * in req. Consumes it. */
enum cmd_rc cmd_store_run(struct cmd_ctx *ctx, struct proto_request *req,
                          struct store_upload *upload);
enum cmd_rc cmd_meta_set_run(struct cmd_ctx *ctx, struct proto_request *req,
                             struct store_upload *upload);
enum cmd_rc cmd_bin_store_run(struct cmd_ctx *ctx, struct proto_request *req,
                              struct store_upload *upload);

static inline enum cmd_rc cmd_answer(struct cmd_ctx *ctx, const struct proto_request *req,
                                     enum proto_reply reply)
{
    if (!req->noreply)
        proto_reply(ctx->out, reply);
    return CMD_OK;
}

/* The whole store shows as one of memcached's slab classes. */
enum { CMD_CLASS = 1, CMD_CLASSES_MAX = 64 };

/* ── walks over all items (dump.c) ────────────────────────────────────────────────────────── */

enum cmd_dump_kind {
    CMD_DUMP_META,
    CMD_DUMP_MG,
    CMD_DUMP_CACHE,
    CMD_DUMP_SIZES,
    CMD_DUMP_PREFIXES,
};

/* lru_crawler metadump, mgdump: with the checks. */
enum cmd_rc cmd_dump_begin(struct cmd_ctx *ctx, struct proto_request *req, enum cmd_dump_kind kind,
                           struct bytes classes);
enum cmd_rc cmd_stats_cachedump(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args);
enum cmd_rc cmd_stats_sizes(struct cmd_ctx *ctx, struct proto_request *req, struct bytes args);
/* stats detail dump: its answer may be as large. */
enum cmd_rc cmd_stats_prefixes(struct cmd_ctx *ctx, struct proto_request *req);
/* The next step of any of them; req->progress is set. */
enum cmd_rc cmd_dump_continue(struct cmd_ctx *ctx, struct proto_request *req);

/* Read a comma list of class ids, or `all`; *ret_ours: our class is among them. Returns
 * PROTO_REPLY_OK, or what is wrong with it. */
MUST_USE enum proto_reply cmd_classes_read(struct bytes list, bool *ret_ours);

/* ── keys ─────────────────────────────────────────────────────────────────────────────────── */

struct cmd_key {
    struct store_key key; /* may point into `decoded` */
    uint8_t decoded[PROTO_KEY_BINARY_BYTES_MAX];
};

/* The request's key as the store knows it, when that is not known yet. */
static inline void cmd_key_find(const struct cmd_ctx *ctx, const struct proto_request *req,
                                struct cmd_key *ret_key)
{
    struct store_key *key = &ret_key->key;
    key->key = req->key;
    key->binary = req->key_base64;
    if (UNLIKELY(req->key_base64))
        key->key = bytes_of(ret_key->decoded, base64_decode(ret_key->decoded, req->key));
    key->hash = req->hashed ? req->hash : store_hash(ctx->store, key->key);
    key->hint = req->hashed ? req->hint : 0;
}

/* The request's key as the store knows it. */
static ALWAYS_INLINE void cmd_key_init(const struct cmd_ctx *ctx, const struct proto_request *req,
                                       struct cmd_key *ret_key)
{
    if (UNLIKELY(!req->hashed || req->key_base64)) {
        cmd_key_find(ctx, req, ret_key);
        return;
    }
    ret_key->key.key = req->key;
    ret_key->key.binary = false;
    ret_key->key.hash = req->hash;
    ret_key->key.hint = req->hint;
}

/* ── time ─────────────────────────────────────────────────────────────────────────────────── */

/* The cache time that an exptime of the wire means: 0 never; negative or past: now, which is
 * expired at once; up to 30 days: from now on; else Unix time. */
uint32_t cmd_exptime(const struct cmd_ctx *ctx, int64_t exptime);

/* The same for a request of the binary protocol: there is no negative time on its wire. */
static inline uint32_t cmd_bin_exptime(const struct cmd_ctx *ctx, const struct proto_request *req)
{
    return cmd_exptime(ctx, (uint32_t)req->exptime);
}

/* The exptime of an item that a meta command creates: of N and T the one that stands last. */
uint32_t cmd_vivify_exptime(const struct cmd_ctx *ctx, const struct proto_request *req);

/* ── outcomes ─────────────────────────────────────────────────────────────────────────────── */

/* Count a lookup that found nothing, when it had been there: get_expired, get_flushed. */
static inline void cmd_count_gone(struct cmd_ctx *ctx, enum store_rc rc)
{
    if (rc == STORE_EXPIRED)
        stat_inc(ctx->stats, STAT_GET_EXPIRED);
    else if (rc == STORE_FLUSHED)
        stat_inc(ctx->stats, STAT_GET_FLUSHED);
}

/* Count a store's cas_hits, cas_badval and cas_misses. */
void cmd_count_compare(struct cmd_ctx *ctx, enum store_rc rc);

/* Count incr's or decr's outcome. `created`: the number was not there and has been made. */
void cmd_count_arith(struct cmd_ctx *ctx, bool decr, enum store_rc rc, bool created);

/* ── the store, watched ───────────────────────────────────────────────────────────────────────
 * The calls by which commands of every protocol reach the store: what clients watch is told to the
 * log. When nobody does, they cost the test of one word that lies with the worker. */

COLD void cmd_item_got_watched(struct cmd_ctx *ctx, const struct store_key *key, enum store_rc rc,
                               const struct store_view *view);
COLD enum store_rc cmd_item_put_watched(struct cmd_ctx *ctx, const struct proto_request *req,
                                        const struct store_key *key, const struct store_put *put,
                                        struct store_put_result *ret_result);
COLD enum store_rc cmd_item_arith_watched(struct cmd_ctx *ctx, const struct store_key *key,
                                          const struct store_arith *arith,
                                          struct store_arith_result *ret_result);
COLD enum store_rc cmd_item_delete_watched(struct cmd_ctx *ctx, const struct store_key *key,
                                           const struct store_delete *how, enum logger_verb verb);
/* A key prefix has been deleted. */
COLD void cmd_prefix_deleted_log(struct cmd_ctx *ctx, struct bytes prefix, enum logger_verb verb);
/* A value was refused with STORE_TOO_LARGE or STORE_NO_MEMORY. */
COLD void cmd_refusal_log(struct cmd_ctx *ctx, const struct store_key *key, enum logger_verb verb,
                          enum store_rc rc);

/* Did an append or prepend fail for what it would have grown to, not for what was sent? */
bool cmd_store_outgrown(const struct cmd_ctx *ctx, const struct proto_request *req,
                        enum store_mode mode, enum store_rc rc);

/* A client's lookup has come to an end; once per key and command. The view counts on STORE_OK. */
static inline void cmd_item_got(struct cmd_ctx *ctx, const struct store_key *key, enum store_rc rc,
                                const struct store_view *view)
{
    if (UNLIKELY((ctx->watched & LOGGER_FETCHERS) != 0))
        cmd_item_got_watched(ctx, key, rc, view);
}

/* store_put() of what `req` brings. An append or prepend that failed for what it would have grown
 * to, not for what was sent, is STORE_NOT_STORED, as memcached's (observed 1.6.18). */
MUST_USE static inline enum store_rc cmd_item_put_unwatched(struct cmd_ctx *ctx,
                                                            const struct proto_request *req,
                                                            const struct store_key *key,
                                                            const struct store_put *put,
                                                            struct store_put_result *ret_result)
{
    const enum store_rc rc = store_put(ctx->thread, key, put, ret_result);
    return UNLIKELY(cmd_store_outgrown(ctx, req, put->mode, rc)) ? STORE_NOT_STORED : rc;
}

MUST_USE static inline enum store_rc
cmd_item_put(struct cmd_ctx *ctx, const struct proto_request *req, const struct store_key *key,
             const struct store_put *put, struct store_put_result *ret_result)
{
    if (UNLIKELY((ctx->watched & (LOGGER_FETCHERS | LOGGER_MUTATIONS)) != 0))
        return cmd_item_put_watched(ctx, req, key, put, ret_result);
    return cmd_item_put_unwatched(ctx, req, key, put, ret_result);
}

MUST_USE static inline enum store_rc cmd_item_arith(struct cmd_ctx *ctx,
                                                    const struct store_key *key,
                                                    const struct store_arith *arith,
                                                    struct store_arith_result *ret_result)
{
    if (UNLIKELY((ctx->watched & (LOGGER_FETCHERS | LOGGER_MUTATIONS)) != 0))
        return cmd_item_arith_watched(ctx, key, arith, ret_result);
    return store_arith(ctx->thread, key, arith, ret_result);
}

/* `verb` is LOGGER_DELETE or LOGGER_META_DELETE. */
MUST_USE static inline enum store_rc cmd_item_delete(struct cmd_ctx *ctx,
                                                     const struct store_key *key,
                                                     const struct store_delete *how,
                                                     enum logger_verb verb)
{
    if (UNLIKELY((ctx->watched & (LOGGER_FETCHERS | LOGGER_DELETIONS)) != 0))
        return cmd_item_delete_watched(ctx, key, how, verb);
    return store_delete(ctx->thread, key, how);
}

/* A client's value has been stored, to live until `exp_s`: its size, and how long that is. A call,
 * so that those who make it do not grow: in line it cost twice as much. */
void cmd_count_stored(const struct cmd_ctx *ctx, const struct proto_request *req, uint32_t exp_s);

/* A value could not be taken (STORE_TOO_LARGE, STORE_NO_MEMORY): count it, and rather than
 * leave the old value standing remove it, as memcached does for set and ms. Returns what to
 * answer on text. */
enum proto_reply cmd_store_refused(struct cmd_ctx *ctx, const struct proto_request *req,
                                   enum store_rc rc);

/* What the text and the binary commands share: each runs on the store, counts, and leaves the
 * answer to its caller. */
struct cmd_put {
    enum store_mode mode;
    bool compare;
    bool key_binary; /* the key cannot stand in a line of text: tell it in base64 there */
    uint32_t exp_s;
    struct store_upload *upload; /* NULL: the value is in the request */
};
enum store_rc cmd_put_run(struct cmd_ctx *ctx, const struct proto_request *req,
                          const struct cmd_put *how, struct store_put_result *ret_result);
enum store_rc cmd_delete_run(struct cmd_ctx *ctx, const struct proto_request *req, bool compare);
/* A command of administration has been executed: a security event. */
static inline void cmd_admin_used(const struct cmd_ctx *ctx, const char *verb)
{
    if (ctx->server != NULL && ctx->server->admin_used != NULL)
        ctx->server->admin_used(ctx, verb);
}

/* flush_all; `exptime` 0 or less: now. */
void cmd_flush_run(struct cmd_ctx *ctx, int64_t exptime);

static inline void cmd_prefix_count(struct cmd_ctx *ctx, struct bytes key, enum prefix_event event)
{
    if (UNLIKELY(cmd_prefixes_on(ctx->prefixes)))
        cmd_prefixes_count(ctx->prefixes, key, event);
}

/* ── values ───────────────────────────────────────────────────────────────────────────────────
 * A head and a value, both written into one piece of reserved space; a large value is sent from
 * where it lies:
 *
 *     if (!cmd_value_begin(ctx, view, HEAD_MAX, &value)) out of memory
 *     dst = value.start; ... the head with its line end ...; cmd_value_end(ctx, dst, &value) */

struct cmd_value {
    uint8_t *start;
    struct store_ref *ref; /* NULL: copied */
    const struct store_view *view;
};

MUST_USE bool cmd_value_begin(struct cmd_ctx *ctx, const struct store_view *view, size_t head_bytes,
                              struct cmd_value *ret_value);
void cmd_value_end_ref(struct cmd_ctx *ctx, struct cmd_value *value);

static inline void cmd_value_end(struct cmd_ctx *ctx, uint8_t *dst, struct cmd_value *value)
{
    if (UNLIKELY(value->ref != NULL)) {
        out_commit(ctx->out, (size_t)(dst - value->start));
        cmd_value_end_ref(ctx, value);
        out_put(ctx->out, "\r\n", 2);
        return;
    }
    const struct bytes bytes = value->view->value;
    if (bytes.len > 0)
        dst = proto_write(dst, bytes.ptr, bytes.len);
    dst = proto_write_crlf(dst);
    out_commit(ctx->out, (size_t)(dst - value->start));
}

/* The same without a line end: binary. */
static inline void cmd_value_end_bare(struct cmd_ctx *ctx, uint8_t *dst, struct cmd_value *value)
{
    const struct bytes bytes = value->view->value;
    if (value->ref == NULL && bytes.len > 0)
        dst = proto_write(dst, bytes.ptr, bytes.len);
    out_commit(ctx->out, (size_t)(dst - value->start));
    if (UNLIKELY(value->ref != NULL))
        cmd_value_end_ref(ctx, value);
}

/* ── meta answers ─────────────────────────────────────────────────────────────────────────── */

enum {
    /* "VA " length, 18 flags of at most 22 bytes, of which one key and one opaque, W X Z, CR LF */
    CMD_META_HEAD_BYTES_MAX =
        23 + 18 * 22 + 3 + PROTO_KEY_TEXT_BYTES_MAX + 2 + PROTO_OPAQUE_BYTES_MAX + 2 + 6 + 2,
};

static inline uint8_t *cmd_write_letter(uint8_t *dst, char letter)
{
    *dst++ = ' ';
    *dst++ = (uint8_t)letter;
    return dst;
}

/* " t30": a space, the letter, the number. */
static inline uint8_t *cmd_write_flag(uint8_t *dst, char letter, uint64_t value)
{
    *dst++ = ' ';
    return proto_write_number(dst, letter, value);
}

/* What every answer echoes: `letter` k (in base64 when the key is `binary`) and O. Any other letter
 * writes nothing. */
uint8_t *cmd_write_echo(uint8_t *dst, char letter, const struct proto_request *req,
                        struct bytes key, bool binary);
/* " t" and what is left of a life until exp_s; -1 for ever. */
uint8_t *cmd_write_ttl(uint8_t *dst, const struct cmd_ctx *ctx, uint32_t exp_s);

/* A whole answer of a code and the echoes of k and O, in request order. */
enum cmd_rc cmd_meta_answer(struct cmd_ctx *ctx, const struct proto_request *req,
                            const struct cmd_key *key, const char code[static 2]);
