/* store/read.c — lookups, with and without effects, and references to large values.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "base/num.h"
#include "store/mutate.h"

/* ── what a view tells ────────────────────────────────────────────────────────────────────── */

size_t number_print(uint8_t *dst, const struct item *item)
{
    const size_t width = item_vlen(item);
    /* acquire pairs with the store of an increment in place; one load, so never a torn number */
    const uint64_t number = atomic_load_explicit(item_number(item), memory_order_acquire);
    size_t len = num_format_u64(dst, number);
    while (len < width)
        dst[len++] = ' ';
    return len;
}

static uint32_t born_s(const struct store *store, uint64_t loc)
{
    return atomic_load_explicit(&store->born_s[loc_segment(store, loc)], memory_order_relaxed);
}

static ALWAYS_INLINE void view_fill_brief(const struct item *item, struct store_view *view)
{
    view->item = item;
    view->key = item_key(item);
    view->cas_unique = 0;
    view->client_flags = item_client_flags(item);
    view->created = false;
    view->fragmented = false;
    if (LIKELY((item->fmt & (FMT_NUMBER | FMT_LARGE)) == 0))
        view->value = bytes_of(item_value_ptr(item), item_vlen(item));
    else if (item->fmt & FMT_NUMBER)
        view->value = bytes_of(view->digits, number_print(view->digits, item));
    else {
        view->value = bytes_of(NULL, 0);
        view->fragmented = true;
        view->value_bytes = item_large_bytes(item);
        return;
    }
    view->value_bytes = view->value.len;
}

void view_fill(const struct store_thread *thread, const struct item *item, uint64_t loc,
               struct store_view *view)
{
    const uint16_t use = item_use(item);
    const uint8_t st = item_st(item);
    view_fill_brief(item, view);
    view->exp_s = item_exp_s(item);
    view->last_access_s = born_s(thread->store, loc) + item_la_decode(use);
    view->fetched = (use & USE_FETCHED) != 0;
    view->key_binary = (item->fmt & FMT_BINARY) != 0;
    view->stale = (st & ST_STALE) != 0;
    view->win_sent = (st & ST_WIN) != 0;
    view->won = false;
    view->memory_bytes = item_total_bytes(item);
}

void item_bump(const struct store_thread *thread, struct item *item, uint64_t loc, unsigned fetched)
{
    const uint16_t use = item_use(item);
    const uint32_t born = born_s(thread->store, loc);
    const unsigned freq = item_use_freq(use);
    const uint16_t now =
        (uint16_t)((freq < USE_FREQ_MAX ? freq + 1 : freq) << USE_FREQ_SHIFT | (use & USE_FETCHED) |
                   fetched | item_la_encode(thread->now_s > born ? thread->now_s - born : 0));
    if (now != use) /* a hot item is written once a second, not once a read */
        atomic_store_explicit(&item->use, now, memory_order_relaxed);
}

/* ── plain lookup ─────────────────────────────────────────────────────────────────────────── */

/* Somebody wants to know the CAS unique for the first time: from now on it is part of the item. */
static enum store_rc get_with_cas(struct store_thread *thread, const struct store_key *key,
                                  struct store_view *view)
{
    struct store *store = thread->store;
    struct locked at;
    index_lock(store, key->hash, &at);
    enum store_rc rc = STORE_MISS;
    if (index_locked_find(store, &at, key))
        rc = item_alive(thread, at.item, at.loc);
    if (rc == STORE_OK) {
        view_fill(thread, at.item, at.loc, view);
        item_st_set(at.item, ST_CAS_SEEN, 0);
        view->cas_unique = item_cas(store, at.item, at.loc);
    }
    index_unlock(&at);
    return rc;
}

enum store_rc store_get(struct store_thread *thread, const struct store_key *key, unsigned flags,
                        struct store_view *ret_view)
{
    uint64_t loc;
    struct item *item = index_find(thread->store, key, &loc);
    if (item == NULL)
        return STORE_MISS;
    enum store_rc rc = item_alive(thread, item, loc);
    if (UNLIKELY(rc != STORE_OK))
        return item_take_out_dead(thread, key, rc);
    if ((flags & STORE_GET_CAS) && !item_cas_known(item)) {
        rc = get_with_cas(thread, key, ret_view);
        if (rc != STORE_OK)
            return rc;
        item = (struct item *)(uintptr_t)ret_view->item;
        loc = loc_of(thread->store, item);
    } else { /* known before the value is read: a number does not change any more */
        if (flags & STORE_GET_BRIEF)
            view_fill_brief(item, ret_view);
        else
            view_fill(thread, item, loc, ret_view);
        if (flags & STORE_GET_CAS)
            ret_view->cas_unique = item_cas(thread->store, item, loc);
    }
    if ((flags & STORE_GET_NO_BUMP) == 0)
        item_bump(thread, item, loc, USE_FETCHED);
    return STORE_OK;
}

/* ── lookup with effects ──────────────────────────────────────────────────────────────────── */

static bool recache_due(const struct store_thread *thread, const struct store_fetch *how,
                        uint32_t exp_s)
{
    return how->recache && exp_s != 0 && exp_s - thread->now_s < how->recache_ttl_s;
}

static bool has_effect(const struct store_thread *thread, const struct store_fetch *how,
                       const struct store_view *view)
{
    if (how->touch)
        return true;
    return how->lease && !view->win_sent && (view->stale || recache_due(thread, how, view->exp_s));
}

/* Make the item that a lookup with `vivify` did not find, and show it. The view is made up
 * rather than looked up: the new item may have expired or been evicted already, and was created
 *                        all the same. */
static enum store_rc fetch_vivify(struct store_thread *thread, const struct store_key *key,
                                  const struct store_fetch *how, struct store_view *view)
{
    const struct store_put put = {
        .mode = STORE_ADD,
        .exp_s = how->touch ? how->touch_exp_s : how->vivify_exp_s,
        .explicit_cas = how->explicit_cas,
    };
    struct store_put_result result = {0};
    const bool want_cas = (how->flags & STORE_GET_CAS) != 0;
    const struct writer writer = {.thread = thread, .key = key, .put = &put, .st = ST_WIN};
    const enum store_rc rc = put_value(&writer, want_cas ? &result : NULL);
    if (rc != STORE_OK)
        return rc;
    *view = (struct store_view){
        .key = key->key,
        .value = bytes_of("", 0),
        .cas_unique = result.cas_unique,
        .memory_bytes = item_bytes_for(item_fmt(put.exp_s, 0, 0), key->key.len, 0),
        .exp_s = put.exp_s,
        .last_access_s = thread->now_s,
        .key_binary = key->binary,
        .won = true,
        .created = true,
    };
    return STORE_OK;
}

/* Set the exptime of the locked item, where it lies or by writing it again. */
static enum room fetch_touch(struct mutation *m, uint32_t exp_s)
{
    const struct store *store = m->thread->store;
    struct item *item = m->at.item;
    struct segment *segment = loc_seg(store, m->at.loc);
    if ((item->fmt & FMT_EXP) == 0 ? exp_s == 0
                                   : exp_s != 0 && class_of(m->thread, exp_s) == segment->class) {
        if (item->fmt & FMT_EXP) {
            log_raise_exp(segment, exp_s);
            atomic_store_explicit(item_exp_ptr(item), exp_s, memory_order_relaxed);
        }
        return ROOM_READY;
    }
    struct item_spec spec = item_spec_of(store, item, m->at.loc, m->keep_id);
    spec.exp_s = exp_s;
    spec.fmt = (uint8_t)((spec.fmt & ~FMT_EXP) | (exp_s != 0 ? FMT_EXP : 0));
    const enum room room = mutation_room(m, &spec);
    if (room != ROOM_READY)
        return room;
    if (place_id(store, &m->place, spec.cas) < item_id(store, item, m->at.loc)) {
        m->keep_id = true;
        mutation_unlock(m);
        return ROOM_AGAIN;
    }
    mutation_rewrite(m, &spec);
    return ROOM_READY;
}

/* Under the lock: touch, decide who has won, and show the item. */
static enum room fetch_locked(struct mutation *m, const struct store_fetch *how,
                              struct store_view *view)
{
    struct store_thread *thread = m->thread;
    view_fill(thread, m->at.item, m->at.loc, view);
    const bool known_seen = view->fetched;
    const uint32_t exp_s = view->exp_s, la_s = view->last_access_s;
    const bool won =
        how->lease && !view->win_sent && (view->stale || recache_due(thread, how, view->exp_s));
    const bool win_sent = view->win_sent;
    if (how->touch) {
        const enum room room = fetch_touch(m, how->touch_exp_s);
        if (room != ROOM_READY)
            return room;
        view_fill(thread, m->at.item, m->at.loc, view); /* it may have moved */
    }
    if (won)
        item_st_set(m->at.item, ST_WIN, 0);
    if (how->flags & STORE_GET_CAS) {
        item_st_set(m->at.item, ST_CAS_SEEN, 0);
        view->cas_unique = item_cas(thread->store, m->at.item, m->at.loc);
    }
    if ((how->flags & STORE_GET_NO_BUMP) == 0)
        item_bump(thread, m->at.item, m->at.loc, USE_FETCHED);
    view->fetched = known_seen;
    view->exp_s = exp_s;
    view->last_access_s = la_s;
    view->win_sent = win_sent;
    view->won = won;
    return ROOM_READY;
}

static enum store_rc fetch_slowly(struct store_thread *thread, const struct store_key *key,
                                  const struct store_fetch *how, struct store_view *view)
{
    struct mutation m;
    mutation_begin(&m, thread, key);
    enum store_rc rc;
    enum room room;
    do {
        rc = mutation_lock(&m);
        if (rc != STORE_OK) {
            mutation_unlock(&m);
            if (rc != STORE_MISS)
                rc = item_take_out_dead(thread, key, rc);
            break;
        }
        room = fetch_locked(&m, how, view);
        if (room == ROOM_READY)
            mutation_unlock(&m);
        else if (room == ROOM_NONE)
            rc = STORE_NO_MEMORY;
    } while (room == ROOM_AGAIN);
    mutation_end(&m);
    return rc;
}

/* Without the lock. A lookup that turns out to have an effect is done again, so it counts as a use
 * only there. */
static enum store_rc fetch_quickly(struct store_thread *thread, const struct store_key *key,
                                   const struct store_fetch *how, struct store_view *view)
{
    const enum store_rc rc = store_get(thread, key, how->flags | STORE_GET_NO_BUMP, view);
    if (rc == STORE_OK && (how->flags & STORE_GET_NO_BUMP) == 0 && !has_effect(thread, how, view)) {
        struct item *item = (struct item *)(uintptr_t)view->item;
        item_bump(thread, item, loc_of(thread->store, item), USE_FETCHED);
    }
    return rc;
}

enum store_rc store_fetch(struct store_thread *thread, const struct store_key *key,
                          const struct store_fetch *how, struct store_view *ret_view)
{
    for (;;) {
        enum store_rc rc;
        if (how->touch) {
            rc = fetch_slowly(thread, key, how, ret_view);
        } else {
            rc = fetch_quickly(thread, key, how, ret_view);
            if (rc == STORE_OK && has_effect(thread, how, ret_view))
                rc = fetch_slowly(thread, key, how, ret_view);
        }
        if (!store_rc_is_miss(rc) || !how->vivify)
            return rc;
        rc = fetch_vivify(thread, key, how, ret_view);
        if (rc != STORE_NOT_STORED) /* else another made it first: look again */
            return rc;
    }
}

/* ── references ───────────────────────────────────────────────────────────────────────────── */

struct store_ref {
    struct store *store;
    size_t count;
    uint32_t *segs;
    struct bytes spans[];
};

static void seg_pin(struct store *store, uint32_t seg)
{
    /* relaxed: seen with our next quiescent word, see (3) */
    if (atomic_fetch_add_explicit(&store->segments[seg].pins, 1, memory_order_relaxed) == 0)
        atomic_fetch_add_explicit(&store->pinned_segments, 1, memory_order_relaxed);
}

static void seg_unpin(struct store *store, uint32_t seg)
{
    /* release: our reads are over */
    if (atomic_fetch_sub_explicit(&store->segments[seg].pins, 1, memory_order_release) == 1)
        atomic_fetch_sub_explicit(&store->pinned_segments, 1, memory_order_relaxed);
}

static void ref_add(struct store_ref *ref, uint64_t loc, struct bytes span)
{
    const uint32_t seg = loc_segment(ref->store, loc);
    seg_pin(ref->store, seg);
    ref->segs[ref->count] = seg;
    ref->spans[ref->count++] = span;
}

struct store_ref *store_ref_new(struct store_thread *thread, const struct store_view *view)
{
    struct store *store = thread->store;
    const struct item *item = view->item;
    const uint32_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    /* Half of the memory: above that, clients that do not read could keep everything from
     * moving. */
    if (atomic_load_explicit(&store->pinned_segments, memory_order_relaxed) >= limit / 2 ||
        (item->fmt & FMT_NUMBER))
        return NULL;
    size_t count = 1;
    const _Atomic uint64_t *table = NULL;
    if (item->fmt & FMT_LARGE)
        table = item_large_table(item, &count);
    struct store_ref *ref =
        malloc(sizeof(*ref) + count * (sizeof(struct bytes) + sizeof(uint32_t)));
    if (ref == NULL)
        return NULL;
    *ref = (struct store_ref){.store = store};
    ref->segs = (uint32_t *)(void *)&ref->spans[count];
    if (table == NULL) {
        ref_add(ref, loc_of(store, item), view->value);
        return ref;
    }
    for (size_t i = 0; i < count; i++) {
        /* acquire: a fragment that was just moved has been copied whole */
        const uint64_t loc = atomic_load_explicit(&table[i], memory_order_acquire);
        const struct item *fragment = item_at(store, loc);
        ref_add(ref, loc,
                bytes_of((const uint8_t *)fragment + FRAGMENT_HEAD_BYTES, item_vlen(fragment)));
    }
    return ref;
}

void store_ref_free(struct store_ref *ref)
{
    if (ref == NULL)
        return;
    for (size_t i = 0; i < ref->count; i++)
        seg_unpin(ref->store, ref->segs[i]);
    free(ref);
}

const struct bytes *store_ref_spans(const struct store_ref *ref, size_t *ret_count)
{
    *ret_count = ref->count;
    return ref->spans;
}
