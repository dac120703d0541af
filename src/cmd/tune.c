/* slabs, lru, lru_crawler: switches of memcached's size classes, lists and threads.
 *
 * The whole store shows as class 1, and the free segments as class 0, the page pool.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdlib.h>

#include "cmd/cmd_priv.h"

void cmd_tuning_init(struct cmd_tuning *tuning, const struct opts *opts)
{
    enum { TEMPORARY_OFF = 61 }; /* memcached's mark for "not given" */
    atomic_init(&tuning->automove_ratio, opts->slab_automove_ratio);
    atomic_init(&tuning->automove_freeratio, 0.01);
    atomic_init(&tuning->hot_max_factor, opts->hot_max_factor);
    atomic_init(&tuning->warm_max_factor, opts->warm_max_factor);
    atomic_init(&tuning->automove, (uint32_t)opts->slab_automove);
    atomic_init(&tuning->automove_window_s, (uint32_t)opts->slab_automove_window);
    atomic_init(&tuning->hot_pct, (uint32_t)opts->hot_lru_pct);
    atomic_init(&tuning->warm_pct, (uint32_t)opts->warm_lru_pct);
    atomic_init(&tuning->temporary_ttl_s, (uint32_t)opts->temporary_ttl_s);
    atomic_init(&tuning->crawler_sleep_us, (uint32_t)opts->lru_crawler_sleep_us);
    atomic_init(&tuning->crawler_items_max, (uint32_t)opts->lru_crawler_tocrawl);
    atomic_init(&tuning->temporary, opts->temporary_ttl_s != TEMPORARY_OFF);
    atomic_init(&tuning->segmented, opts->lru_segmented && opts->lru_maintainer);
    atomic_init(&tuning->crawler, opts->lru_crawler);
    atomic_init(&tuning->dumps, 0);
}

#define TUNE(ctx, field, value)                                                                    \
    atomic_store_explicit(&(ctx)->tuning->field, value, memory_order_relaxed)

/* ── words ────────────────────────────────────────────────────────────────────────────────── */

enum { WORDS_MAX = 6 };

struct cmd_words {
    struct bytes at[WORDS_MAX];
    size_t count; /* WORDS_MAX also when there are more */
};

static struct cmd_words words_of(struct bytes rest)
{
    struct cmd_words words = {0};
    while (words.count < WORDS_MAX && proto_token_next(&rest, &words.at[words.count]))
        words.count++;
    return words;
}

/* Is word number `index` a beginning of `text`? */
static bool means(const struct cmd_words *words, size_t index, const char *text)
{
    return index < words->count && bytes_starts(bytes_str(text), words->at[index]);
}

static bool read_real(struct bytes text, double *ret_value)
{
    char copy[32], *end;
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    const double value = strtod(copy, &end);
    if (end != copy + text.len || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

static bool read_number(struct bytes text, uint32_t *ret_value)
{
    uint64_t value;
    if (!num_parse_u64(text, UINT32_MAX, &value))
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

static bool read_class(struct bytes text, uint32_t *ret_class)
{
    return read_number(text, ret_class) && *ret_class >= 1 && *ret_class < CMD_CLASSES_MAX;
}

/* ── slabs ────────────────────────────────────────────────────────────────────────────────── */

/* Class 1 gets and gives segments by itself, the others have none: there is never one to move. */
static enum proto_reply slabs_reassign(struct cmd_ctx *ctx, const struct cmd_words *words)
{
    int64_t from, to;
    if (words->count != 3)
        return PROTO_REPLY_ERROR;
    if (!ctx->opts->slab_reassign)
        return PROTO_REPLY_REASSIGN_OFF;
    if (!num_parse_i64(words->at[1], &from) || !num_parse_i64(words->at[2], &to))
        return PROTO_REPLY_BAD_FORMAT;
    if (from == to)
        return PROTO_REPLY_REASSIGN_SAME;
    if (from < -1 || from >= CMD_CLASSES_MAX || to < 0 || to >= CMD_CLASSES_MAX)
        return PROTO_REPLY_REASSIGN_CLASS;
    return PROTO_REPLY_REASSIGN_NONE;
}

static enum proto_reply slabs_automove(struct cmd_ctx *ctx, const struct cmd_words *words)
{
    enum { LEVEL_MAX = 2, WINDOW_S_MIN = 3, WINDOW_S_MAX = 1800 };
    uint32_t number;
    double real;
    if (words->count < 2)
        return PROTO_REPLY_ERROR;
    if (means(words, 1, "ratio")) {
        if (words->count < 3 || !read_real(words->at[2], &real))
            return PROTO_REPLY_ERROR;
        TUNE(ctx, automove_ratio, real);
    } else if (means(words, 1, "window")) {
        if (words->count < 3 || !read_number(words->at[2], &number))
            return PROTO_REPLY_ERROR;
        if (number < WINDOW_S_MIN || number > WINDOW_S_MAX)
            return PROTO_REPLY_BAD_WINDOW;
        TUNE(ctx, automove_window_s, number);
    } else if (means(words, 1, "freeratio")) {
        if (words->count < 3 || !read_real(words->at[2], &real))
            return PROTO_REPLY_ERROR;
        TUNE(ctx, automove_freeratio, real);
    } else {
        if (!read_number(words->at[1], &number))
            return PROTO_REPLY_BAD_FORMAT;
        if (number > LEVEL_MAX)
            return PROTO_REPLY_ERROR;
        TUNE(ctx, automove, number);
    }
    return PROTO_REPLY_OK;
}

enum cmd_rc cmd_slabs(struct cmd_ctx *ctx, struct proto_request *req)
{
    const struct cmd_words words = words_of(req->rest);
    enum proto_reply reply = PROTO_REPLY_ERROR;
    if (means(&words, 0, "reassign"))
        reply = slabs_reassign(ctx, &words);
    else if (means(&words, 0, "automove"))
        reply = slabs_automove(ctx, &words);
    if (reply == PROTO_REPLY_OK)
        cmd_admin_used(ctx, "slabs");
    return cmd_answer(ctx, req, reply);
}

/* ── lru ──────────────────────────────────────────────────────────────────────────────────── */

static enum proto_reply lru_tune(struct cmd_ctx *ctx, const struct cmd_words *words)
{
    enum { SUM_MAX = 80 };
    uint32_t hot, warm;
    double hot_factor, warm_factor;
    if (!read_number(words->at[1], &hot) || !read_number(words->at[2], &warm) ||
        !read_real(words->at[3], &hot_factor) || !read_real(words->at[4], &warm_factor))
        return PROTO_REPLY_ERROR;
    if ((uint64_t)hot + warm > SUM_MAX)
        return PROTO_REPLY_LRU_SUM;
    if (hot_factor <= 0 || warm_factor <= 0)
        return PROTO_REPLY_LRU_FACTOR;
    TUNE(ctx, hot_pct, hot);
    TUNE(ctx, warm_pct, warm);
    TUNE(ctx, hot_max_factor, hot_factor);
    TUNE(ctx, warm_max_factor, warm_factor);
    return PROTO_REPLY_OK;
}

static enum proto_reply lru_mode(struct cmd_ctx *ctx, struct bytes mode)
{
    const bool flat = bytes_starts(bytes_str("flat"), mode);
    if (!flat && !bytes_starts(bytes_str("segmented"), mode))
        return PROTO_REPLY_ERROR;
    TUNE(ctx, segmented, !flat);
    return PROTO_REPLY_OK;
}

static enum proto_reply lru_temporary(struct cmd_ctx *ctx, struct bytes text)
{
    int64_t ttl_s;
    if (!num_parse_i64(text, &ttl_s) || ttl_s > UINT32_MAX || ttl_s < INT32_MIN)
        return PROTO_REPLY_ERROR;
    if (ttl_s >= 0)
        TUNE(ctx, temporary_ttl_s, (uint32_t)ttl_s);
    TUNE(ctx, temporary, ttl_s >= 0);
    return PROTO_REPLY_OK;
}

/* mode and temp_ttl are the maintainer's, and unknown without it (observed 1.6.18). */
enum cmd_rc cmd_lru(struct cmd_ctx *ctx, struct proto_request *req)
{
    const struct cmd_words words = words_of(req->rest);
    const bool maintainer = ctx->opts->lru_maintainer && words.count >= 2;
    enum proto_reply reply = PROTO_REPLY_ERROR;
    if (means(&words, 0, "tune") && words.count >= 5)
        reply = lru_tune(ctx, &words);
    else if (means(&words, 0, "mode") && maintainer)
        reply = lru_mode(ctx, words.at[1]);
    else if (means(&words, 0, "temp_ttl") && maintainer)
        reply = lru_temporary(ctx, words.at[1]);
    if (reply == PROTO_REPLY_OK)
        cmd_admin_used(ctx, "lru");
    return cmd_answer(ctx, req, reply);
}

/* ── lru_crawler ──────────────────────────────────────────────────────────────────────────── */

static enum proto_reply crawler_switch(struct cmd_ctx *ctx, bool on)
{
    const bool was = atomic_exchange_explicit(&ctx->tuning->crawler, on, memory_order_relaxed);
    return on && was ? PROTO_REPLY_CRAWLER_ON : PROTO_REPLY_OK;
}

static enum proto_reply crawler_sleep(struct cmd_ctx *ctx, struct bytes text)
{
    enum { SLEEP_US_MAX = 1000000 };
    uint32_t sleep_us;
    if (!read_number(text, &sleep_us))
        return PROTO_REPLY_BAD_FORMAT;
    if (sleep_us > SLEEP_US_MAX)
        return PROTO_REPLY_CRAWLER_SLEEP;
    TUNE(ctx, crawler_sleep_us, sleep_us);
    return PROTO_REPLY_OK;
}

static enum proto_reply crawler_limit(struct cmd_ctx *ctx, struct bytes text)
{
    uint64_t items;
    if (!num_parse_u64(text, UINT64_MAX, &items))
        return PROTO_REPLY_BAD_FORMAT;
    TUNE(ctx, crawler_items_max, (uint32_t)items); /* memcached's, too, loses the upper half */
    return PROTO_REPLY_OK;
}

enum proto_reply cmd_classes_read(struct bytes list, bool *ret_ours)
{
    *ret_ours = bytes_is(list, "all");
    if (*ret_ours)
        return PROTO_REPLY_OK;
    const uint8_t *end = list.ptr + list.len;
    bool any = false;
    for (const uint8_t *at = list.ptr; at < end;) {
        const uint8_t *comma = memchr(at, ',', (size_t)(end - at));
        const uint8_t *stop = comma != NULL ? comma : end;
        uint32_t class;
        if (stop > at) { /* adjoining commas are one (strtok) */
            if (!read_class(bytes_of(at, (size_t)(stop - at)), &class))
                return PROTO_REPLY_BAD_CRAWL_CLASS;
            *ret_ours |= class == CMD_CLASS;
            any = true;
        }
        at = stop + 1;
    }
    return any ? PROTO_REPLY_OK : PROTO_REPLY_CRAWL_NONE;
}

static enum proto_reply crawler_crawl(struct cmd_ctx *ctx, struct bytes classes)
{
    bool ours;
    if (!atomic_load_explicit(&ctx->tuning->crawler, memory_order_relaxed))
        return PROTO_REPLY_CRAWLER_OFF;
    if (bytes_is(classes, "hash"))
        return PROTO_REPLY_CRAWLER_UNKNOWN;
    const enum proto_reply verdict = cmd_classes_read(classes, &ours);
    if (verdict != PROTO_REPLY_OK)
        return verdict;
    if (!ours)
        return PROTO_REPLY_OK;
    const uint32_t limit =
        atomic_load_explicit(&ctx->tuning->crawler_items_max, memory_order_relaxed);
    if (!store_crawl(ctx->store, limit != 0 ? limit : UINT64_MAX))
        return PROTO_REPLY_CRAWLER_BUSY;
    stat_inc(ctx->stats, STAT_LRU_CRAWLER_STARTS);
    return PROTO_REPLY_OK;
}

enum cmd_rc cmd_lru_crawler(struct cmd_ctx *ctx, struct proto_request *req)
{
    if (req->progress != NULL)
        return cmd_dump_continue(ctx, req);
    const struct cmd_words words = words_of(req->rest);
    const bool one = words.count == 2;
    enum proto_reply reply = PROTO_REPLY_ERROR;
    if (one && means(&words, 0, "crawl"))
        reply = crawler_crawl(ctx, words.at[1]);
    else if (one && means(&words, 0, "metadump") && !req->noreply)
        return cmd_dump_begin(ctx, req, CMD_DUMP_META, words.at[1]);
    else if (one && means(&words, 0, "mgdump") && !req->noreply)
        return cmd_dump_begin(ctx, req, CMD_DUMP_MG, words.at[1]);
    else if (one && means(&words, 0, "tocrawl"))
        reply = crawler_limit(ctx, words.at[1]);
    else if (one && means(&words, 0, "sleep"))
        reply = crawler_sleep(ctx, words.at[1]);
    else if (words.count == 1 && means(&words, 0, "enable"))
        reply = crawler_switch(ctx, true);
    else if (words.count == 1 && means(&words, 0, "disable"))
        reply = crawler_switch(ctx, false);
    if (reply == PROTO_REPLY_OK)
        cmd_admin_used(ctx, "lru_crawler");
    return cmd_answer(ctx, req, reply);
}
