/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/model.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/num.h"

enum { MODEL_BUCKETS = 1 << 14, MODEL_NUMBER_BYTES_MAX = 8192 };

struct model {
    struct model_item *buckets[MODEL_BUCKETS];
    uint64_t item_count, data_bytes;
    uint64_t item_bytes_max;
    uint64_t seqno, flush_seqno; /* items up to flush_seqno are flushed */
    uint64_t cas_next;
    size_t evict_hand;
    uint32_t now_s, flush_at_s; /* flush_at_s 0: no flush to come */
    bool no_cas;
};

struct model *model_new(uint64_t item_bytes_max, bool no_cas)
{
    struct model *model = calloc(1, sizeof(*model));
    if (model == NULL)
        abort();
    model->item_bytes_max = item_bytes_max;
    model->no_cas = no_cas;
    model->cas_next = 1;
    return model;
}

void model_free(struct model *model)
{
    if (model == NULL)
        return;
    while (model_evict(model))
        ;
    free(model);
}

uint64_t model_item_count(const struct model *model)
{
    return model->item_count;
}

uint64_t model_data_bytes(const struct model *model)
{
    return model->data_bytes;
}

/* ── the map ──────────────────────────────────────────────────────────────────────────────── */

static struct model_item **chain_of(struct model *model, struct bytes key)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ key.ptr[i]) * 16777619u;
    return &model->buckets[(hash ^ (hash >> 15)) % MODEL_BUCKETS];
}

static struct model_item **link_of(struct model *model, struct bytes key)
{
    struct model_item **link = chain_of(model, key);
    while (*link != NULL && !bytes_equal(bytes_of((*link)->key, (*link)->key_len), key))
        link = &(*link)->next;
    return link;
}

static void link_drop(struct model *model, struct model_item **link)
{
    struct model_item *item = *link;
    *link = item->next;
    model->item_count--;
    model->data_bytes -= item->key_len + item->value_bytes;
    free(item->value);
    free(item);
}

void model_remove(struct model *model, struct bytes key)
{
    struct model_item **link = link_of(model, key);
    if (*link != NULL)
        link_drop(model, link);
}

bool model_evict(struct model *model)
{
    for (size_t tries = 0; tries < MODEL_BUCKETS && model->item_count > 0; tries++) {
        struct model_item **link = &model->buckets[model->evict_hand++ % MODEL_BUCKETS];
        if (*link != NULL) {
            link_drop(model, link);
            return true;
        }
    }
    return false;
}

void model_each(struct model *model, void (*each)(void *arg, const struct model_item *item),
                void *arg)
{
    for (size_t i = 0; i < MODEL_BUCKETS; i++)
        for (struct model_item *item = model->buckets[i], *next; item != NULL; item = next) {
            next = item->next; /* model_find() drops dead ones */
            if (model_find(model, bytes_of(item->key, item->key_len), NULL) == item)
                each(arg, item);
        }
}

struct model_item *model_find(struct model *model, struct bytes key, enum store_rc *ret_miss)
{
    struct model_item **link = link_of(model, key);
    enum store_rc miss = STORE_MISS;
    if (*link != NULL && (*link)->seqno <= model->flush_seqno)
        miss = STORE_FLUSHED;
    else if (*link != NULL && (*link)->exp_s != 0 && (*link)->exp_s <= model->now_s)
        miss = STORE_EXPIRED;
    else if (*link != NULL)
        return *link;
    if (*link != NULL)
        link_drop(model, link);
    if (ret_miss != NULL)
        *ret_miss = miss;
    return NULL;
}

static uint64_t cas_draw(struct model *model, uint64_t explicit_cas)
{
    if (model->no_cas)
        return 0;
    if (explicit_cas >= model->cas_next && explicit_cas < UINT64_MAX)
        model->cas_next = explicit_cas + 1; /* the next one of the key must be above */
    return explicit_cas != 0 ? explicit_cas : model->cas_next++;
}

/* A new item without a value in place of the old one. */
static struct model_item *item_make(struct model *model, const struct store_key *key)
{
    model_remove(model, key->key);
    struct model_item **chain = chain_of(model, key->key);
    struct model_item *item = calloc(1, sizeof(*item));
    if (item == NULL)
        abort();
    item->key_len = (uint8_t)key->key.len;
    memcpy(item->key, key->key.ptr, key->key.len);
    item->key_binary = key->binary;
    item->stored_s = item->last_access_s = model->now_s;
    item->seqno = ++model->seqno;
    item->next = *chain;
    *chain = item;
    model->item_count++;
    model->data_bytes += item->key_len;
    return item;
}

/* Give the item the value `head` + `tail`. */
static void item_value_set(struct model *model, struct model_item *item, struct bytes head,
                           struct bytes tail)
{
    uint8_t *value = malloc(head.len + tail.len + 1);
    if (value == NULL)
        abort();
    if (head.len > 0)
        memcpy(value, head.ptr, head.len);
    if (tail.len > 0)
        memcpy(value + head.len, tail.ptr, tail.len);
    model->data_bytes += head.len + tail.len - item->value_bytes;
    free(item->value);
    item->value = value;
    item->value_bytes = head.len + tail.len;
}

/* ── time ─────────────────────────────────────────────────────────────────────────────────── */

/* Items stored before `when_s` are gone: give them the seqno 0, which every flush covers. */
static void flush_before(struct model *model, uint32_t when_s)
{
    for (size_t i = 0; i < MODEL_BUCKETS; i++)
        for (struct model_item *item = model->buckets[i]; item != NULL; item = item->next)
            if (item->stored_s < when_s)
                item->seqno = 0;
}

void model_time_set(struct model *model, uint32_t now_s)
{
    model->now_s = now_s;
    if (model->flush_at_s != 0 && model->flush_at_s <= now_s) {
        flush_before(model, model->flush_at_s);
        model->flush_at_s = 0;
    }
}

void model_flush(struct model *model, uint32_t when_s)
{
    model->flush_at_s = when_s > model->now_s ? when_s : 0;
    if (when_s <= model->now_s)
        model->flush_seqno = model->seqno;
}

void model_delete_prefix(struct model *model, struct bytes prefix)
{
    for (size_t i = 0; i < MODEL_BUCKETS; i++)
        for (struct model_item *item = model->buckets[i]; item != NULL; item = item->next)
            if (bytes_starts(bytes_of(item->key, item->key_len), prefix))
                item->seqno = 0;
}

/* ── reading ──────────────────────────────────────────────────────────────────────────────── */

static void view_fill(const struct model *model, const struct model_item *item, unsigned flags,
                      struct store_view *view)
{
    *view = (struct store_view){
        .key = bytes_of(item->key, item->key_len),
        .value = bytes_of(item->value, item->value_bytes),
        .value_bytes = item->value_bytes,
        .cas_unique = (flags & STORE_GET_CAS) && !model->no_cas ? item->cas : 0,
        .memory_bytes = sizeof(*item) + item->value_bytes,
        .client_flags = item->client_flags,
        .exp_s = item->exp_s,
        .last_access_s = item->last_access_s,
        .fetched = item->fetched,
        .key_binary = item->key_binary,
        .stale = item->stale,
        .win_sent = item->win_sent,
        .item = item,
    };
}

static void item_use(const struct model *model, struct model_item *item, unsigned flags)
{
    if (flags & STORE_GET_NO_BUMP)
        return;
    item->fetched = true;
    item->last_access_s = model->now_s;
}

enum store_rc model_get(struct model *model, const struct store_key *key, unsigned flags,
                        struct store_view *ret_view)
{
    enum store_rc miss;
    struct model_item *item = model_find(model, key->key, &miss);
    if (item == NULL)
        return miss;
    view_fill(model, item, flags, ret_view);
    item_use(model, item, flags);
    return STORE_OK;
}

static void fetch_vivify(struct model *model, const struct store_key *key,
                         const struct store_fetch *how, struct store_view *view)
{
    struct model_item *item = item_make(model, key);
    item_value_set(model, item, bytes_of(NULL, 0), bytes_of(NULL, 0));
    item->exp_s = how->vivify_exp_s;
    item->cas = cas_draw(model, how->explicit_cas);
    view_fill(model, item, how->flags, view);
    view->created = view->won = true;
    item->win_sent = true;
    if (how->touch)
        item->exp_s = how->touch_exp_s;
}

enum store_rc model_fetch(struct model *model, const struct store_key *key,
                          const struct store_fetch *how, struct store_view *ret_view)
{
    enum store_rc miss;
    struct model_item *item = model_find(model, key->key, &miss);
    if (item == NULL) {
        if (!how->vivify)
            return miss;
        fetch_vivify(model, key, how, ret_view);
        return STORE_OK;
    }
    view_fill(model, item, how->flags, ret_view);
    item_use(model, item, how->flags);
    const bool soon = how->recache && item->exp_s != 0 &&
                      (uint64_t)item->exp_s < (uint64_t)model->now_s + how->recache_ttl_s;
    if (how->touch)
        item->exp_s = how->touch_exp_s;
    if (how->lease && (item->stale || soon) && !item->win_sent)
        ret_view->won = item->win_sent = true;
    return STORE_OK;
}

/* ── writing ──────────────────────────────────────────────────────────────────────────────── */

static void put_result(const struct model_item *item, struct store_put_result *result)
{
    if (result != NULL)
        *result =
            (struct store_put_result){.cas_unique = item->cas, .value_bytes = item->value_bytes};
}

static enum store_rc put_missing(struct model *model, const struct store_key *key,
                                 const struct store_put *put, enum store_rc miss,
                                 struct store_put_result *result)
{
    const bool joins = put->mode == STORE_APPEND || put->mode == STORE_PREPEND;
    if (put->compare && put->mode != STORE_ADD)
        return miss;
    if (put->mode == STORE_REPLACE || (joins && !put->vivify))
        return STORE_NOT_STORED;
    struct model_item *item = item_make(model, key);
    item_value_set(model, item, put->value, bytes_of(NULL, 0));
    item->client_flags = put->client_flags;
    item->exp_s = joins ? put->vivify_exp_s : put->exp_s;
    item->cas = cas_draw(model, put->explicit_cas);
    put_result(item, result);
    return STORE_OK;
}

static enum store_rc put_join(struct model *model, struct model_item *item,
                              const struct store_key *key, const struct store_put *put,
                              struct store_put_result *result)
{
    const bool after = put->mode == STORE_APPEND;
    const struct bytes old = bytes_of(item->value, item->value_bytes);
    if (key->key.len + old.len + put->value.len + STORE_ITEM_BYTES_EXTRA > model->item_bytes_max)
        return STORE_TOO_LARGE;
    item_value_set(model, item, after ? old : put->value, after ? put->value : old);
    item->cas = cas_draw(model, put->explicit_cas);
    item->stored_s = model->now_s;
    item->seqno = ++model->seqno;
    item->lease_vague = item->lease_vague || item->stale || item->win_sent;
    put_result(item, result);
    return STORE_OK;
}

enum store_rc model_put(struct model *model, const struct store_key *key,
                        const struct store_put *put, struct store_put_result *ret_result)
{
    if (key->key.len + put->value.len + STORE_ITEM_BYTES_EXTRA > model->item_bytes_max)
        return STORE_TOO_LARGE;
    enum store_rc miss;
    struct model_item *item = model_find(model, key->key, &miss);
    if (item == NULL)
        return put_missing(model, key, put, miss, ret_result);
    if (put->mode == STORE_ADD) {
        item->last_access_s = model->now_s; /* a use, not a fetch */
        return STORE_NOT_STORED;
    }
    const bool match = !put->compare || put->compare_cas == item->cas;
    const bool joins = put->mode == STORE_APPEND || put->mode == STORE_PREPEND;
    const bool late = put->allow_stale && !joins && put->compare_cas < item->cas;
    if (!match && !late)
        return STORE_EXISTS;
    if (joins)
        return put_join(model, item, key, put, ret_result);
    const struct model_item old = *item;
    item = item_make(model, key);
    item_value_set(model, item, put->value, bytes_of(NULL, 0));
    item->client_flags = put->client_flags;
    item->exp_s = match ? put->exp_s : old.exp_s;
    item->stale = !match;
    item->win_sent = !match && old.win_sent;
    item->lease_vague = !match && old.lease_vague;
    item->cas = cas_draw(model, put->explicit_cas);
    put_result(item, ret_result);
    return STORE_OK;
}

/* strtoull() as memcached uses it: leading blanks, then digits up to white space. */
static bool number_read(const struct model_item *item, uint64_t *ret_value)
{
    char text[MODEL_NUMBER_BYTES_MAX + 1], *end;
    if (item->value_bytes == 0 || item->value_bytes > MODEL_NUMBER_BYTES_MAX)
        return false;
    memcpy(text, item->value, item->value_bytes);
    text[item->value_bytes] = '\0';
    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    if (errno == ERANGE || end == text || memchr(text, '-', (size_t)(end - text)) != NULL)
        return false;
    return *end == '\0' || isspace((unsigned char)*end);
}

static void number_write(struct model *model, struct model_item *item, uint64_t value)
{
    uint8_t digits[NUM_U64_DIGITS_MAX];
    const size_t len = num_format_u64(digits, value);
    if (len > item->value_bytes) {
        item_value_set(model, item, bytes_of(digits, len), bytes_of(NULL, 0));
        return;
    }
    memcpy(item->value, digits, len);
    memset(item->value + len, ' ', item->value_bytes - len);
}

static void arith_vivify(struct model *model, const struct store_key *key,
                         const struct store_arith *arith, struct store_arith_result *result)
{
    struct model_item *item = item_make(model, key);
    item_value_set(model, item, bytes_of(NULL, 0), bytes_of(NULL, 0));
    number_write(model, item, arith->initial);
    item->exp_s = arith->vivify_exp_s;
    item->cas = cas_draw(model, arith->explicit_cas);
    *result = (struct store_arith_result){
        .value = arith->initial, .cas_unique = item->cas, .exp_s = item->exp_s, .created = true};
}

enum store_rc model_arith(struct model *model, const struct store_key *key,
                          const struct store_arith *arith, struct store_arith_result *ret_result)
{
    enum store_rc miss;
    struct model_item *item = model_find(model, key->key, &miss);
    if (item == NULL) {
        if (!arith->vivify)
            return miss;
        arith_vivify(model, key, arith, ret_result);
        return STORE_OK;
    }
    uint64_t value;
    if (arith->compare && arith->compare_cas != item->cas)
        return STORE_EXISTS;
    if (!number_read(item, &value))
        return STORE_NOT_NUMBER;
    if (arith->decr)
        value = arith->delta > value ? 0 : value - arith->delta;
    else
        value += arith->delta;
    number_write(model, item, value);
    item->last_access_s = model->now_s;
    if (arith->touch)
        item->exp_s = arith->touch_exp_s;
    item->cas = cas_draw(model, arith->explicit_cas);
    item->stored_s = model->now_s;
    item->seqno = ++model->seqno;
    item->lease_vague = item->lease_vague || item->stale || item->win_sent;
    *ret_result =
        (struct store_arith_result){.value = value, .cas_unique = item->cas, .exp_s = item->exp_s};
    return STORE_OK;
}

enum store_rc model_delete(struct model *model, const struct store_key *key,
                           const struct store_delete *how)
{
    enum store_rc miss;
    struct model_item *item = model_find(model, key->key, &miss);
    if (item == NULL)
        return miss;
    if (how->compare && how->compare_cas != item->cas)
        return STORE_EXISTS;
    if (!how->invalidate && !how->clear_value) {
        model_remove(model, key->key);
        return STORE_OK;
    }
    if (how->clear_value) {
        item_value_set(model, item, bytes_of(NULL, 0), bytes_of(NULL, 0));
        item->client_flags = 0;
        item->stale = item->win_sent = item->lease_vague = false;
    }
    if (how->invalidate) {
        item->stale = true;
        item->win_sent = item->lease_vague = false;
    }
    if (how->touch)
        item->exp_s = how->touch_exp_s;
    item->cas = cas_draw(model, how->explicit_cas);
    item->stored_s = model->now_s;
    item->seqno = ++model->seqno;
    return STORE_OK;
}
