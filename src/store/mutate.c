/* store/mutate.c — the pattern that all writers of existing items share, and the books they keep.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "store/mutate.h"

/* ── books ────────────────────────────────────────────────────────────────────────────────── */

uint64_t item_bytes_for_odd(unsigned fmt, size_t klen, uint64_t vlen)
{
    const uint64_t head = item_head_bytes(fmt) + klen;
    const uint64_t stamp = (fmt & FMT_STAMP) ? ITEM_STAMP_BYTES : 0;
    if ((fmt & (FMT_NUMBER | FMT_LARGE)) == 0)
        return ((head + vlen + ITEM_ALIGN - 1) & ~(uint64_t)(ITEM_ALIGN - 1)) + stamp;
    return item_align(head) + ((fmt & FMT_NUMBER) ? sizeof(uint64_t) : vlen) + stamp;
}

void item_linked(struct store_thread *thread, const struct item *item)
{
    count_add(thread, COUNT_LINKED, 1);
    count_add(thread, COUNT_LINKED_BYTES, item_total_bytes(item));
}

void item_unlinked(struct store_thread *thread, struct item *item, uint64_t loc)
{
    count_add(thread, COUNT_UNLINKED, 1);
    count_add(thread, COUNT_UNLINKED_BYTES, item_total_bytes(item));
    log_kill(thread->store, item, loc);
    if (item->fmt & FMT_LARGE)
        large_kill(thread->store, item);
}

void item_unlink_locked(struct store_thread *thread, struct locked *at, uint64_t hash)
{
    index_locked_clear(thread->store, at, hash, GHOST_NONE);
    item_unlinked(thread, at->item, at->loc);
}

enum store_rc item_take_out_dead(struct store_thread *thread, const struct store_key *key,
                                 enum store_rc rc)
{
    struct locked at;
    bool dead = false;
    index_lock(thread->store, key->hash, &at);
    if (index_locked_find(thread->store, &at, key))
        dead = item_alive(thread, at.item, at.loc) != STORE_OK;
    if (dead)
        item_unlink_locked(thread, &at, key->hash);
    index_unlock(&at);
    /* Not index_account(): that may pass a quiescent point, and a lookup must not end views. */
    if (dead && thread->items_unreported > INT32_MIN)
        thread->items_unreported--;
    return rc;
}

/* ── writing a record again ───────────────────────────────────────────────────────────────── */

struct item_spec item_spec_of(const struct store *store, const struct item *item, uint64_t loc,
                              bool keep_id)
{
    const bool cas = keep_id || item_cas_known(item);
    struct item_spec spec = {
        .key = item_key(item),
        .value_bytes = item_vlen(item),
        .client_flags = item_client_flags(item),
        .exp_s = item_exp_s(item),
    };
    spec.cas = cas ? item_id(store, item, loc) : 0;
    spec.stamp = item_stamp(item); /* the content is as old as it was */
    /* an item that may expire keeps the field even while it does not (touch 0 in place) */
    spec.fmt = (uint8_t)((item->fmt & ~FMT_CAS) | (cas ? FMT_CAS : 0));
    return spec;
}

void item_use_set(const struct store *store, const struct place *place, uint16_t old_use,
                  uint32_t la_s)
{
    const uint32_t born = atomic_load_explicit(&store->born_s[place->seg], memory_order_relaxed);
    const unsigned use =
        (old_use & ~(unsigned)USE_LA_MASK) | item_la_encode(la_s > born ? la_s - born : 0);
    atomic_store_explicit(&place->item->use, (uint16_t)use, memory_order_relaxed);
}

void item_copy_rest(const struct store_thread *thread, const struct item *from, uint64_t from_loc,
                    const struct place *to, uint8_t *value)
{
    const struct store *store = thread->store;
    if (from->fmt & FMT_NUMBER) {
        const uint64_t number = atomic_load_explicit(item_number(from), memory_order_relaxed);
        atomic_store_explicit(item_number(to->item), number, memory_order_relaxed);
    } else if (from->fmt & FMT_LARGE) {
        size_t count;
        const _Atomic uint64_t *table = item_large_table(from, &count);
        const uint64_t total = item_large_bytes(from);
        memcpy(value, &total, sizeof(total));
        _Atomic uint64_t *copy = item_large_table(to->item, &count);
        for (size_t i = 0; i < count; i++)
            atomic_store_explicit(&copy[i], atomic_load_explicit(&table[i], memory_order_relaxed),
                                  memory_order_relaxed);
    } else {
        memcpy(value, item_value_ptr(from), item_vlen(from));
    }
    item_st_set(to->item, item_st(from) & (ST_STALE | ST_WIN), 0);
    const uint16_t use = item_use(from);
    const uint32_t born =
        atomic_load_explicit(&store->born_s[loc_segment(store, from_loc)], memory_order_relaxed);
    item_use_set(store, to, use, born + item_la_decode(use));
}

/* ── the pattern ──────────────────────────────────────────────────────────────────────────── */

enum store_rc mutation_lock(struct mutation *m)
{
    /* With a place in hand no quiescent point may come before it is linked: its segment could be
     * drained and used again. */
    if (m->has_place)
        index_top_up(m->thread);
    else
        index_prepare(m->thread);
    index_lock(m->thread->store, m->key->hash, &m->at);
    /* Before the look whether the item is hidden: (8) in store_priv.h. */
    m->stamp = barriers_stamp_for(m->thread->store, m->key->key);
    if (!index_locked_find(m->thread->store, &m->at, m->key))
        return STORE_MISS;
    return item_alive(m->thread, m->at.item, m->at.loc);
}

/* The books of what has been linked and of what it replaced. They are kept with the bucket unlocked
 * (those of the log are shared, and may have to come from another core), but in the same breath:
 * no quiescent point lies between, so neither segment can be in use for something else. Nobody
 * else writes to a record that no slot leads to; a drain that meets it before it is marked dead
 * looks for its slot and finds none. And a segment's live counters may run late in any order:
 * while a piece of it is out, they do anyway. */
static void settle(struct mutation *m)
{
    struct store_thread *thread = m->thread;
    const struct settling *s = &m->settling;
    log_publish(thread, &m->place, s->exp_s);
    item_linked(thread, m->place.item);
    if (s->gone != NULL) {
        count_add(thread, COUNT_UNLINKED, 1);
        count_add(thread, COUNT_UNLINKED_BYTES, item_total_bytes(s->gone));
        log_kill_by(thread->store, s->gone, s->gone_loc, m->place.piece);
        if (s->whole && (s->gone->fmt & FMT_LARGE) != 0)
            large_kill(thread->store, s->gone);
    }
    m->settling.due = false;
}

void mutation_unlock(struct mutation *m)
{
    index_unlock(&m->at);
    if (m->settling.due)
        settle(m);
}

static void drop_room(struct mutation *m)
{
    if (m->has_place)
        log_abandon(m->thread, &m->place);
    m->has_place = false;
}

enum room mutation_room(struct mutation *m, const struct item_spec *spec)
{
    const struct store *store = m->thread->store;
    const uint64_t bytes = item_bytes_for(spec->fmt, spec->key.len, spec->value_bytes);
    if (m->has_place && m->place.bytes == bytes)
        return ROOM_READY;
    const struct log_class where = {
        .queue = m->at.slot != NULL ? loc_seg(store, m->at.loc)->queue : QUEUE_SMALL,
        .class = class_of(m->thread, spec->exp_s),
    };
    mutation_unlock(m);
    drop_room(m);
    if (!record_fits(store, spec) || !log_alloc(m->thread, where, (uint32_t)bytes, &m->place))
        return ROOM_NONE;
    m->has_place = true;
    return ROOM_AGAIN;
}

bool mutation_link(struct mutation *m, uint32_t exp_s)
{
    m->settling = (struct settling){.due = true, .whole = true, .exp_s = exp_s};
    if (m->at.slot != NULL) {
        m->settling.gone = m->at.item;
        m->settling.gone_loc = m->at.loc;
        index_locked_replace(&m->at, m->place.loc);
    } else if (!index_locked_insert(m->thread, &m->at, m->key->hash, m->place.loc)) {
        m->settling.due = false;
        return false;
    }
    m->has_place = false;
    return true;
}

void mutation_rewrite(struct mutation *m, const struct item_spec *spec)
{
    struct store_thread *thread = m->thread;
    uint8_t *value = item_write(m->place.item, spec);
    item_copy_rest(thread, m->at.item, m->at.loc, &m->place, value);
    m->settling = (struct settling){
        .gone = m->at.item, .gone_loc = m->at.loc, .exp_s = spec->exp_s, .due = true};
    index_locked_replace(&m->at, m->place.loc);
    m->at.item = m->place.item;
    m->at.loc = m->place.loc;
    m->has_place = false;
}

void mutation_end(struct mutation *m)
{
    drop_room(m);
}
