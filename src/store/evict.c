/* store/evict.c — getting memory back: flushed and expired segments, compaction, S3-FIFO;
 * maintenance.
 *
 * One thread at a time does this (maint_lock): the housekeeping thread ahead of need, or a
 * worker that finds few or no free segments. All of it is `drain one segment`: take it out of
 * its queue, walk its records, and for each live one decide under its bucket lock: unlink it, or
 * copy it to another segment and let the slot point there.
 *
 * A segment may hold ten thousand records, so that a drain goes by steps of some 50 us. Between
 * two of them the lock is free, another thread may go on with it, and nothing else is begun
 * before it is finished. Its segment is DRAINING meanwhile, which nobody else looks at.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <time.h>

#include "base/hash.h"
#include "store/store_priv.h"

enum {
    GHOSTS_MAIN_ONE_IN = 4,
    COMPACT_PERCENT = 80, /* of what was written, alive: at which copying beats evicting */
    COMPACT_LOOK = 1024,  /* segments looked at for the emptiest one */
    WALK_BATCH = 16,      /* records whose buckets are fetched ahead */
    CLASS_SEGMENTS_MIN = 4,
    BARREN_STEPS = 16, /* main segments in a row that gave nothing, before more use is asked for */
};

enum {
    STEP_RECORDS = 256, /* of a drain, live ones; some 50 us */
    STEP_BYTES = 128 << 10,
    HELP_FACTOR = 2, /* what a worker has to free where memory is short, of what it takes */
    HELP_SEGMENT_BYTES = 128 << 10, /* smaller ones are taken apart in a few steps */
    HELP_STEPS_MAX = 6,             /* of a worker in one call, which shall take less than 1 ms */
    HELP_WAIT_ROUNDS = 500,         /* for another's step to end: some 200 us */
    HANDOVER_ROUNDS = 64,           /* in which one who waits for the lock sees that it is free */
    SPARE_MIN = 2,                  /* free segments; fewer: those for copies are being used up */
    EXPIRE_LOOK = 4096,             /* segments looked at per step */
    YIELD_EVERY_NS = 100000,        /* how long a worker may have to wait for its core */
};

enum policy { POLICY_PURGE, POLICY_COMPACT, POLICY_SMALL, POLICY_MAIN };

/* ── what happens to one item ─────────────────────────────────────────────────────────────── */

static unsigned queue_of(const struct drain *drain)
{
    return drain->policy == POLICY_SMALL ? QUEUE_SMALL : QUEUE_MAIN;
}

/* Is it about what to keep, and not about where what is kept lies? */
static bool evicts(const struct drain *drain)
{
    return drain->policy == POLICY_SMALL || drain->policy == POLICY_MAIN;
}

/* The demands rise when round after round nothing can go because everything has been used. */
static bool item_stays(const struct drain *drain, const struct item *item)
{
    const struct store *store = drain->thread->store;
    if (!evicts(drain))
        return true;
    return item_use_freq(item_use(item)) >=
           keep_freq_needed(store, queue_of(drain), item_total_bytes(item)) +
               store->evict_barren / BARREN_STEPS;
}

/* Part of a large item other than its first fragment: the head is only a directory, and the
 * first fragment's place in the queue is the item's, so these go with it. But not round and
 * round for ever, when the first fragment's own segment cannot be drained now. */
static bool part_stays(const struct drain *drain, const struct item *head)
{
    return drain->thread->store->evict_barren < BARREN_STEPS || item_stays(drain, head);
}

static void evicted_tell(const struct store_thread *thread, const struct item *item,
                         uint32_t last_s)
{
    const struct store_evicted evicted = {
        .key = item_key(item),
        .value_bytes = item_value_bytes(item),
        .exp_s = item_exp_s(item),
        .last_access_s = last_s,
        .now_s = thread->now_s,
        .fetched = (item_use(item) & USE_FETCHED) != 0,
    };
    thread->store->observer.evicted(thread->observer_arg, &evicted);
}

static void count_end(struct store_thread *thread, const struct item *item, uint64_t loc,
                      enum store_rc why)
{
    const uint16_t use = item_use(item);
    const bool fetched = (use & USE_FETCHED) != 0;
    if (why == STORE_FLUSHED) {
        count_add(thread, loc_flushed(thread->store, loc) ? COUNT_FLUSHED : COUNT_PREFIX_DELETED,
                  1);
    } else if (why == STORE_EXPIRED) {
        count_add(thread, COUNT_RECLAIMED, 1);
        count_add(thread, COUNT_EXPIRED_UNFETCHED, !fetched);
    } else {
        struct store *store = thread->store;
        const uint32_t last_s =
            atomic_load_explicit(&store->born_s[loc_segment(store, loc)], memory_order_relaxed) +
            item_la_decode(use);
        count_add(thread, COUNT_EVICTIONS, 1);
        count_add(thread, COUNT_EVICTED_UNFETCHED, !fetched);
        count_add(thread, COUNT_EVICTED_NONZERO, item_exp_s(item) != 0);
        count_add(thread, COUNT_EVICTED_ACTIVE, item_use_freq(use) > 0);
        atomic_store_explicit(&store->evicted_age_s,
                              thread->now_s > last_s ? thread->now_s - last_s : 0,
                              memory_order_relaxed);
        const _Atomic bool *wanted = store->observer.wanted;
        /* relaxed: who begins to watch may miss what goes in the same moment */
        if (UNLIKELY(wanted != NULL && atomic_load_explicit(wanted, memory_order_relaxed) &&
                     thread->observer_arg != NULL))
            evicted_tell(thread, item, last_s);
    }
}

void item_end(struct store_thread *thread, struct locked *at, uint64_t hash, enum store_rc why,
              enum ghost ghost)
{
    count_end(thread, at->item, at->loc, why);
    if (ghost != GHOST_NONE) {
        const uint64_t bytes = item_total_bytes(at->item);
        count_add(thread, COUNT_GHOST_BYTES + keep_returns_of(thread->store, ghost, bytes), bytes);
    }
    index_locked_clear(thread->store, at, hash, ghost);
    item_unlinked(thread, at->item, at->loc);
}

static struct log_class where_to(const struct drain *drain, uint32_t exp_s)
{
    const struct store *store = drain->thread->store;
    return (struct log_class){.queue = evicts(drain) ? (uint8_t)QUEUE_MAIN
                                                     : store->segments[drain->seg].queue,
                              .class = class_of(drain->thread, exp_s)};
}

/* The use counter after a move. */
static void freq_after_move(const struct drain *drain, struct item *copy)
{
    const uint16_t use = item_use(copy);
    unsigned freq = item_use_freq(use);
    if (evicts(drain))
        freq = keep_freq_moved(drain->thread->store, queue_of(drain), freq, item_total_bytes(copy));
    atomic_store_explicit(&copy->use,
                          (uint16_t)((use & (USE_LA_MASK | USE_FETCHED)) | freq << USE_FREQ_SHIFT),
                          memory_order_relaxed);
}

static void drain_end(struct drain *drain, struct locked *at, uint64_t hash, enum store_rc why)
{
    drain->ended_bytes += item_total_bytes(at->item);
    enum ghost ghost = GHOST_NONE;
    if (why == STORE_OK && drain->policy == POLICY_SMALL)
        ghost = GHOST_OF_SMALL;
    else if (why == STORE_OK && drain->policy == POLICY_MAIN &&
             (hash >> 40) % GHOSTS_MAIN_ONE_IN == 0)
        ghost = GHOST_OF_MAIN;
    item_end(drain->thread, at, hash, why, ghost);
}

/* ── what happens to one record ───────────────────────────────────────────────────────────── */

/* An item, or a fragment, which stays or goes with the item that owns it. */
struct record {
    struct item *item; /* or the fragment */
    uint64_t loc, hash;
    struct locked at;        /* the item, or the owner */
    _Atomic uint64_t *entry; /* where the owner tells the fragment's place; NULL: an item */
    struct place place;      /* where it may go */
    uint32_t room;           /* bytes of `place`; 0: none yet */
    bool keep_id;            /* the item's id must become a field, see place_id() */
    bool seen;               /* the policy has been told */
};

/* Lock the record's item. Returns false, with nothing locked, when the record is dead. */
static bool record_lock(struct store *store, struct record *record)
{
    index_lock(store, record->hash, &record->at);
    if (item_klen(record->item) == ITEM_KLEN_FRAGMENT
            ? index_locked_find_owner(store, &record->at, record->hash, record->loc, &record->entry)
            : index_locked_find_loc(store, &record->at, record->hash, record->loc))
        return true;
    index_unlock(&record->at);
    return false;
}

/* The locked item has been ended. */
static void record_unlock_ended(struct store_thread *thread, struct record *record)
{
    index_unlock(&record->at);
    index_account(thread, -1);
}

/* Is it a large item's first fragment, whose place in the queue is the item's? */
static bool leads(const struct record *record)
{
    size_t fragments;
    return record->entry != NULL && record->entry == item_large_table(record->at.item, &fragments);
}

static bool record_stays(const struct drain *drain, struct record *record)
{
    const struct item *item = record->at.item;
    if ((item->fmt & FMT_LARGE) != 0 && !leads(record))
        return part_stays(drain, item);
    const bool stays = item_stays(drain, item);
    if (evicts(drain) && !record->seen) { /* else it was, before there was room for it */
        record->seen = true;
        keep_seen(drain->thread->store, queue_of(drain), item_total_bytes(item),
                  stays ? (int)item_use_freq(item_use(item)) : -1);
    }
    return stays;
}

/* Copy the locked item to its place and let its slot point there. */
static void item_move(const struct drain *drain, struct record *record,
                      const struct item_spec *spec)
{
    struct store_thread *thread = drain->thread;
    const struct place *place = &record->place;
    struct locked *at = &record->at;
    const uint64_t old_bytes = item_bytes(at->item);
    uint8_t *value = item_write(place->item, spec);
    item_copy_rest(thread, at->item, at->loc, place, value);
    if ((at->item->fmt & FMT_LARGE) == 0)
        freq_after_move(drain, place->item);
    index_locked_replace(at, place->loc);
    log_kill(thread->store, at->item, at->loc);
    log_publish(thread, place, spec->exp_s);
    count_add(thread, COUNT_BYTES_COPIED, place->bytes);
    count_add(thread, COUNT_LINKED_BYTES, place->bytes - old_bytes); /* an id that became a field */
}

static void fragment_move(const struct drain *drain, struct record *record)
{
    struct store_thread *thread = drain->thread;
    const struct place *place = &record->place;
    struct item *fragment = record->item;
    memcpy(place->item, fragment, sizeof(*fragment)); /* size and fmt; st, use are 0 in both */
    memcpy((uint8_t *)place->item + ITEM_HEAD_BYTES, (uint8_t *)fragment + ITEM_HEAD_BYTES,
           FRAGMENT_HEAD_BYTES - ITEM_HEAD_BYTES + item_vlen(fragment));
    atomic_store_explicit(record->entry, place->loc, memory_order_release); /* the copy is whole */
    log_kill(thread->store, fragment, record->loc);
    count_add(thread, COUNT_BYTES_COPIED, place->bytes);
    if (leads(record))
        freq_after_move(drain, record->at.item);
    log_publish(thread, place, item_exp_s(record->at.item));
}

/* Move the record, whose item is locked, if the room at hand is what it needs. Returns 0, or the
 * bytes that it does need. */
static uint32_t record_move(const struct drain *drain, struct record *record)
{
    const struct store *store = drain->thread->store;
    if (record->entry != NULL) {
        if (record->room == 0)
            return item_bytes(record->item);
        fragment_move(drain, record);
        return 0;
    }
    const struct item_spec spec = item_spec_of(store, record->item, record->loc, record->keep_id);
    const uint64_t bytes = item_bytes_for(spec.fmt, spec.key.len, spec.value_bytes);
    if (record->room != bytes)
        return (uint32_t)bytes;
    if (place_id(store, &record->place, spec.cas) < item_id(store, record->item, record->loc)) {
        record->keep_id = true;
        return (uint32_t)item_bytes_for(spec.fmt | FMT_CAS, spec.key.len, spec.value_bytes);
    }
    item_move(drain, record, &spec);
    return 0;
}

/* There is no room for a record that should stay. */
static void record_give_up(struct drain *drain, struct record *record)
{
    if (!evicts(drain)) {
        drain->out_of_room = true;
    } else if (record_lock(drain->thread->store, record)) { /* let it go like the others */
        item_end(drain->thread, &record->at, record->hash, STORE_OK, GHOST_OF_SMALL);
        record_unlock_ended(drain->thread, record);
    }
}

/* One record of the segment: gone, moved, or dead already. */
static void drain_record(struct drain *drain, struct record *record)
{
    struct store_thread *thread = drain->thread;
    while (record_lock(thread->store, record)) {
        const enum store_rc alive = item_alive(thread, record->at.item, record->at.loc);
        if (alive != STORE_OK || !record_stays(drain, record)) {
            drain_end(drain, &record->at, record->hash, alive);
            record_unlock_ended(thread, record);
            break;
        }
        const uint32_t exp_s = item_exp_s(record->at.item);
        const uint32_t bytes = record_move(drain, record);
        index_unlock(&record->at);
        if (bytes == 0)
            return;
        if (record->room != 0)
            log_abandon(thread, &record->place);
        record->room = log_alloc(thread, where_to(drain, exp_s), bytes, &record->place) ? bytes : 0;
        if (record->room == 0) {
            record_give_up(drain, record);
            return;
        }
    }
    if (record->room != 0)
        log_abandon(thread, &record->place);
}

/* ── one segment ──────────────────────────────────────────────────────────────────────────── */

struct walked {
    struct item *item;
    uint64_t loc, hash;
};

/* The hash that says where the item of a record is indexed. */
static uint64_t record_hash(const struct store *store, const struct item *item)
{
    uint64_t hash;
    if (item_klen(item) != ITEM_KLEN_FRAGMENT)
        return hash_bytes(item_key(item), store->seed);
    memcpy(&hash, (const uint8_t *)item + ITEM_HEAD_BYTES, sizeof(hash));
    return hash;
}

static void drain_batch(struct drain *drain, const struct walked *batch, unsigned count)
{
    const struct store *store = drain->thread->store;
    for (unsigned i = 0; i < count; i++)
        store_prefetch_bucket(store, batch[i].hash);
    for (unsigned i = 0; i < count && !drain->out_of_room; i++) {
        struct record record = {.item = batch[i].item, .loc = batch[i].loc, .hash = batch[i].hash};
        drain_record(drain, &record);
    }
}

static bool draining(const struct store *store)
{
    return store->drain.seg != SEG_NONE;
}

void drain_put_back(struct store *store)
{
    if (!draining(store))
        return;
    queue_push(store, store->drain.seg, true);
    store->drain.seg = SEG_NONE;
}

/* Does it take several steps to take a segment apart? */
static bool has_steps(const struct store *store)
{
    return store->segment_bytes > STEP_BYTES;
}

/* Count the evictions in a row that freed almost nothing; demands rise with them. Where memory is
 * so short that workers help, or wait, they rise sooner: else the first eviction of a memory in
 * which everything has been used (stored, then read once) copied all of the small queue, for a
 * second or more, before one request could go on. */
static void barren_count(struct store *store, uint64_t ended_bytes)
{
    const uint32_t available = atomic_load_explicit(&store->available, memory_order_relaxed);
    if (ended_bytes >= store->segment_bytes / 8)
        store->evict_barren = 0;
    else if (has_steps(store) && available < pool_help_water(store))
        store->evict_barren += BARREN_STEPS;
    else if (!has_steps(store) && available < SPARE_MIN)
        store->evict_barren += BARREN_STEPS / 8;
    else
        store->evict_barren++;
}

/* All its records are gone. */
static void drain_finish(struct store_thread *thread)
{
    struct store *store = thread->store;
    struct drain *drain = &store->drain;
    if (evicts(drain))
        barren_count(store, drain->ended_bytes);
    if (drain->policy == POLICY_COMPACT)
        count_add(thread, COUNT_SEGMENTS_COMPACTED, 1);
    pool_limbo_add(store, drain->seg, epoch_advance(store));
    drain->seg = SEG_NONE;
    store_thread_quiesce(thread, thread->now_s);
}

/* Go on with the segment that is being taken apart. The thread holds no view. Returns false when
 * the segment has to stay. */
static bool drain_step(struct store_thread *thread)
{
    struct store *store = thread->store;
    struct drain *drain = &store->drain;
    struct walked batch[WALK_BATCH];
    unsigned count = 0, records = 0;
    const uint64_t end = segment_loc(store, drain->seg) + store->segment_bytes / ITEM_ALIGN;
    const uint64_t begin = drain->loc, pause = begin + STEP_BYTES / ITEM_ALIGN;
    const uint64_t copied = count_of(thread, COUNT_BYTES_COPIED);
    drain->thread = thread;
    while (drain->loc < end && drain->loc < pause && records < STEP_RECORDS &&
           !drain->out_of_room) {
        struct item *item = item_at(store, drain->loc);
        if ((item_st(item) & ST_DEAD) == 0)
            batch[count++] = (struct walked){item, drain->loc, record_hash(store, item)};
        drain->loc += item_bytes(item) / ITEM_ALIGN;
        if (count == WALK_BATCH || drain->loc >= end || drain->loc >= pause) {
            drain_batch(drain, batch, count);
            records += count;
            count = 0;
        }
    }
    thread->help_owed -= (int64_t)((drain->loc - begin) * ITEM_ALIGN) -
                         (int64_t)(count_of(thread, COUNT_BYTES_COPIED) - copied);
    const bool stays = drain->out_of_room;
    if (stays)
        drain_put_back(store);
    else if (drain->loc >= end)
        drain_finish(thread);
    return !stays;
}

/* Begin to take the segment apart; as drain_step(). */
static bool drain_segment(struct store_thread *thread, uint32_t seg, enum policy policy)
{
    struct store *store = thread->store;
    store->drain = (struct drain){
        .policy = (uint8_t)policy,
        .seg = seg,
        .loc = segment_loc(store, seg),
    };
    queue_remove(store, seg);
    return drain_step(thread);
}

/* ── which segment ────────────────────────────────────────────────────────────────────────── */

static bool seg_sealed(const struct segment *s)
{
    /* acquire both: the records, and that every writer is done with them */
    return atomic_load_explicit(&s->state, memory_order_acquire) == SEG_SEALED &&
           atomic_load_explicit(&s->writers, memory_order_acquire) == 0;
}

static bool seg_flushed(const struct store *store, const struct segment *s)
{
    const uint8_t state = atomic_load_explicit(&s->state, memory_order_acquire);
    return (state == SEG_OPEN || state == SEG_SEALED) &&
           atomic_load_explicit(&s->seqno, memory_order_relaxed) <=
               atomic_load_explicit(&store->flush_seq, memory_order_relaxed);
}

/* All segments from before the flush are gone: lookups need not ask any more, when nobody is left
 * who loaded a slot before it was cleared and is about to ask. */
static void flush_finish(struct store *store)
{
    if (store->flush_grace == 0)
        store->flush_grace = epoch_advance(store);
    if (epoch_reached(store) < store->flush_grace)
        return;
    store->flush_grace = 0;
    spin_lock(&store->flush_lock);
    if (atomic_load_explicit(&store->flush_seq, memory_order_relaxed) == store->flush_sweeping)
        atomic_fetch_and_explicit(&store->hide_pending, ~(uint32_t)HIDE_FLUSH,
                                  memory_order_relaxed);
    spin_unlock(&store->flush_lock);
}

/* Drain the next segment that a flush has hidden. */
static bool sweep_flushed(struct store_thread *thread)
{
    struct store *store = thread->store;
    if ((hide_pending(store) & HIDE_FLUSH) == 0)
        return false;
    const uint64_t seq = atomic_load_explicit(&store->flush_seq, memory_order_relaxed);
    if (seq != store->flush_sweeping || store->flush_cursor == 0) {
        store->flush_sweeping = seq;
        store->flush_cursor = 0;
    }
    bool left = false; /* something that could not be drained yet */
    for (uint32_t seg = store->flush_cursor; seg < segments_touched(store); seg++) {
        struct segment *s = &store->segments[seg];
        if (!seg_flushed(store, s))
            continue;
        store->flush_grace = 0;
        if (seg_sealed(s)) {
            store->flush_cursor = left ? 0 : seg;
            return drain_segment(thread, seg, POLICY_PURGE);
        }
        left = true;
    }
    store->flush_cursor = 0;
    if (left)
        threads_recall(store);
    else
        flush_finish(store);
    return false;
}

/* Drain the next segment in which everything has expired or died; each is looked at once a
 * second. */
static bool sweep_expired(struct store_thread *thread)
{
    struct store *store = thread->store;
    for (unsigned i = 0; store->expire_cursor < segments_touched(store); i++) {
        if (i == EXPIRE_LOOK)
            return true; /* a step, if only of looking */
        const uint32_t seg = store->expire_cursor++;
        struct segment *s = &store->segments[seg];
        if (!seg_sealed(s) ||
            (atomic_load_explicit(&s->max_exp_s, memory_order_relaxed) > thread->now_s &&
             atomic_load_explicit(&s->live_items, memory_order_relaxed) > 0))
            continue;
        count_add(thread, COUNT_SEGMENTS_EXPIRED, 1);
        return drain_segment(thread, seg, POLICY_PURGE);
    }
    return false;
}

/* Is a smaller part of what was written to it alive? Not of its size: what is left at its end is no
 * gain, and a copy would have it again. */
static bool emptier(const struct segment *s, int64_t live, int64_t filled, int64_t *ret_live,
                    int64_t *ret_filled)
{
    *ret_live = atomic_load_explicit(&s->live_bytes, memory_order_relaxed);
    *ret_filled = atomic_load_explicit(&s->filled_bytes, memory_order_relaxed);
    *ret_filled += *ret_filled == 0; /* nothing came of what it was opened for */
    return *ret_live * filled < live * *ret_filled;
}

static bool compact_one(struct store_thread *thread)
{
    struct store *store = thread->store;
    int64_t best_live = COMPACT_PERCENT, best_filled = 100;
    uint32_t best = SEG_NONE;
    for (unsigned i = 0; i < COMPACT_LOOK && i < segments_touched(store); i++) {
        if (++store->compact_cursor >= segments_touched(store))
            store->compact_cursor = 0;
        const struct segment *s = &store->segments[store->compact_cursor];
        int64_t live, filled;
        if (!emptier(s, best_live, best_filled, &live, &filled) || !seg_sealed(s) ||
            atomic_load_explicit(&s->pins, memory_order_relaxed) != 0)
            continue;
        best_live = live;
        best_filled = filled;
        best = store->compact_cursor;
    }
    return best != SEG_NONE && drain_segment(thread, best, POLICY_COMPACT);
}

/* Use the next sparse segment again, but not where what is left of it might open a segment for
 * which another has to be evicted. When memory is low, the emptiest ones go anyway. */
static bool sweep_sparse(struct store_thread *thread)
{
    struct store *store = thread->store;
    if (atomic_load_explicit(&store->available, memory_order_relaxed) <= 2 * pool_low_water(store))
        return false;
    for (unsigned i = 0; i < EXPIRE_LOOK; i++) {
        const uint32_t seg = sparse_take(store);
        if (seg == SEG_NONE)
            return false;
        const struct segment *s = &store->segments[seg];
        if (seg_sealed(s) && sparse(store, s))
            return drain_segment(thread, seg, POLICY_COMPACT);
    }
    return true; /* a step, if only of looking */
}

/* The oldest segment of a queue that can be drained. Those that uploads, pieces or pins hold go to
 * the tail, so that they do not pile up at the head. */
static uint32_t queue_oldest(struct store *store, unsigned queue)
{
    const uint32_t count = atomic_load_explicit(&store->queue_count[queue], memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t seg = queue_head(store, queue);
        if (seg == SEG_NONE)
            break;
        struct segment *s = &store->segments[seg];
        if (seg_sealed(s) && atomic_load_explicit(&s->pins, memory_order_relaxed) == 0)
            return seg;
        queue_remove(store, seg);
        queue_push(store, seg, false);
    }
    return SEG_NONE;
}

static bool evict_one(struct store_thread *thread)
{
    struct store *store = thread->store;
    const uint64_t small =
        atomic_load_explicit(&store->queue_count[QUEUE_SMALL], memory_order_relaxed);
    const uint64_t all =
        small + atomic_load_explicit(&store->queue_count[QUEUE_MAIN], memory_order_relaxed);
    keep_learn(store, all);
    unsigned queue =
        small * 1000 > all * keep_small_permille(store, all) ? QUEUE_SMALL : QUEUE_MAIN;
    uint32_t seg = queue_oldest(store, queue);
    if (seg == SEG_NONE) {
        queue = queue == QUEUE_SMALL ? QUEUE_MAIN : QUEUE_SMALL;
        seg = queue_oldest(store, queue);
    }
    if (seg == SEG_NONE) { /* all of it in open segments, or pieces of sealed ones still out */
        if (all == 0)
            log_seal_all(store, false);
        threads_recall(store);
        pieces_retire(thread, true);
        return false;
    }
    count_add(thread, COUNT_SEGMENTS_EVICTED, 1);
    return drain_segment(thread, seg, queue == QUEUE_SMALL ? POLICY_SMALL : POLICY_MAIN);
}

/* ── one step ─────────────────────────────────────────────────────────────────────────────── */

/* Is there no room for survivors, but soon will be? Then going on would only throw away what a
 * little patience keeps. */
static bool room_is_coming(struct store *store)
{
    return atomic_load_explicit(&store->available, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&store->limbo_waiting, memory_order_relaxed) > 0;
}

static bool make_room(struct store_thread *thread)
{
    struct store *store = thread->store;
    if (room_is_coming(store))
        return false;
    if (compact_one(thread))
        return true;
    return !store->no_evict && !room_is_coming(store) && evict_one(thread);
}

/* Go on with the segment that was begun; false: there is none, or it had to stay. */
static bool drain_more(struct store_thread *thread)
{
    struct store *store = thread->store;
    if (!draining(store))
        return false;
    const bool compacting = store->drain.policy == POLICY_COMPACT;
    if (drain_step(thread))
        return true;
    /* It would be the first choice of the next compaction, and have to stay again. */
    return compacting && !store->no_evict && !room_is_coming(store) && evict_one(thread);
}

static bool reclaim_step(struct store_thread *thread)
{
    return drain_more(thread) || sweep_flushed(thread) || sweep_expired(thread) ||
           make_room(thread);
}

bool reclaim(struct store_thread *thread)
{
    struct store *store = thread->store;
    thread->evicting = true;
    maint_tick(thread);
    (void)pool_shrink(store);
    bool gained = reclaim_step(thread);
    if (!gained && !store->no_evict) /* a recall or a seal may have made the next step possible */
        gained = reclaim_step(thread);
    while (draining(store)) /* no memory at all: the whole segment */
        gained = drain_more(thread);
    pool_limbo_collect(store);
    thread->evicting = false;
    return gained;
}

static uint32_t soon_available(const struct store *store)
{
    return atomic_load_explicit(&store->available, memory_order_relaxed) +
           atomic_load_explicit(&store->limbo_waiting, memory_order_relaxed);
}

/* Take the lock from one who works by steps, too, but do not wait for one who has lost its core. */
static bool maint_lock_soon(struct store *store)
{
    /* relaxed: a hint for maint_unlock() */
    atomic_fetch_add_explicit(&store->maint_waiting, 1, memory_order_relaxed);
    bool locked = spin_try(&store->maint_lock);
    for (unsigned rounds = 0; !locked && rounds < HELP_WAIT_ROUNDS;) {
        spin_wait(&rounds);
        locked = spin_try(&store->maint_lock);
    }
    atomic_fetch_sub_explicit(&store->maint_waiting, 1, memory_order_relaxed);
    return locked;
}

/* Give the lock to whom waits for it: without that the one who goes from step to step would nearly
 * always be the quicker one. */
static void maint_unlock(struct store *store)
{
    spin_unlock(&store->maint_lock);
    for (unsigned i = 0; i < HANDOVER_ROUNDS; i++) {
        if (atomic_load_explicit(&store->maint_waiting, memory_order_relaxed) == 0 ||
            atomic_load_explicit(&store->maint_lock.held, memory_order_relaxed) != 0)
            return;
        spin_pause();
    }
}

/* Each worker frees what it takes, as long as memory is short: then nobody comes to find none,
 * where freeing a whole segment would be the least that it could do. What does not fit one call is
 * owed; a call that gained more is a credit. */
void reclaim_help(struct store_thread *thread, uint32_t bytes)
{
    struct store *store = thread->store;
    if (thread->evicting || store->segment_bytes < HELP_SEGMENT_BYTES)
        return;
    if (LIKELY(soon_available(store) >= pool_help_water(store))) {
        thread->help_owed = 0;
        return;
    }
    if (thread->help_owed < -(int64_t)STEP_BYTES)
        thread->help_owed = -(int64_t)STEP_BYTES;
    if (thread->help_owed < (int64_t)store->segment_bytes)
        thread->help_owed += (int64_t)bytes * HELP_FACTOR;
    bool more = true;
    for (unsigned steps = 0; more && thread->help_owed > 0 && steps < HELP_STEPS_MAX; steps++) {
        if (!maint_lock_soon(store))
            return;
        thread->evicting = true;
        maint_tick(thread);
        more = reclaim_step(thread);
        pool_limbo_collect(store);
        thread->evicting = false;
        maint_unlock(store);
    }
}

/* ── once a second ────────────────────────────────────────────────────────────────────────── */

/* Bytes written per half-octave of TTL since the last call are added to the shares. */
static void class_shares_update(struct store *store)
{
    uint64_t now[CLASS_HALF_OCTAVES], all;
    spin_lock(&store->threads_lock);
    memcpy(now, store->gone_class_bytes, sizeof(now));
    all = store->gone_all_bytes;
    const uint32_t count = atomic_load_explicit(&store->thread_count, memory_order_acquire);
    for (uint32_t t = 0; t < count; t++) {
        struct store_thread *thread =
            atomic_load_explicit(&store->threads[t], memory_order_acquire);
        if (thread == NULL)
            continue;
        all += atomic_load_explicit(&thread->all_bytes, memory_order_relaxed);
        for (unsigned i = 0; i < CLASS_HALF_OCTAVES; i++)
            now[i] += atomic_load_explicit(&thread->class_bytes[i], memory_order_relaxed);
    }
    spin_unlock(&store->threads_lock);
    store->all_share += all - store->all_last;
    store->all_last = all;
    const uint64_t memory = memory_bytes(store);
    const unsigned fade = store->all_share > 2 * memory ? 1 : 0; /* the past counts half */
    for (unsigned i = 0; i < CLASS_HALF_OCTAVES; i++) {
        store->class_share[i] += now[i] - store->class_last[i];
        store->class_last[i] = now[i];
        store->class_share[i] >>= fade;
    }
    store->all_share >>= fade;
}

/* Is this share of all bytes worth segments of its own? */
static bool share_is_enough(const struct store *store, uint64_t share)
{
    const uint64_t segments = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    return store->all_share > 0 && share / (store->all_share / segments + 1) >= CLASS_SEGMENTS_MIN;
}

static void class_map_update(struct store *store)
{
    for (unsigned coarse = 0; coarse < CLASS_COARSE; coarse++) {
        const unsigned first = coarse * CLASS_COARSE_HALVES;
        const unsigned end = first + CLASS_COARSE_HALVES < CLASS_HALF_OCTAVES
                                 ? first + CLASS_COARSE_HALVES
                                 : CLASS_HALF_OCTAVES;
        uint64_t rest = 0;
        for (unsigned i = first; i < end; i++)
            if (!share_is_enough(store, store->class_share[i]))
                rest += store->class_share[i];
        const unsigned shared =
            share_is_enough(store, rest) ? CLASS_COARSE_FIRST + coarse : (unsigned)CLASS_REST;
        for (unsigned i = first; i < end; i++)
            atomic_store_explicit(&store->class_map[i],
                                  (uint8_t)(share_is_enough(store, store->class_share[i])
                                                ? CLASS_HALF_FIRST + i
                                                : shared),
                                  memory_order_relaxed);
    }
}

void maint_tick(struct store_thread *thread)
{
    struct store *store = thread->store;
    if (thread->now_s == store->maint_now_s)
        return;
    store->maint_now_s = thread->now_s;
    atomic_store_explicit(&store->now_s, thread->now_s, memory_order_relaxed);
    store->expire_cursor = 0;
    class_shares_update(store);
    class_map_update(store);
    log_seal_all(store, true);
}

/* ── the housekeeping thread ──────────────────────────────────────────────────────────────── */

static bool memory_is_low(struct store *store)
{
    return soon_available(store) < pool_low_water(store) || pool_over_limit(store);
}

/* One step for the housekeeping thread; returns whether there may be more to do. */
static bool maintain_step(struct store_thread *thread)
{
    struct store *store = thread->store;
    thread->evicting = true;
    maint_tick(thread);
    pool_limbo_collect(store);
    const bool shrinking = pool_shrink(store);
    bool more = drain_more(thread) || sweep_flushed(thread) || sweep_expired(thread);
    if (!more)
        more = sweep_sparse(thread) || (memory_is_low(store) && make_room(thread));
    thread->evicting = false;
    return more || shrinking;
}

static uint64_t mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Between two steps nothing is held: let a worker have the core that shares it with us. Without
 * that it would wait for the scheduler's slice, which is milliseconds, although each step is short:
 * a thread that woke up beside one busy like this came to run within 4 ms (p99, Linux 6.18, 250
 * ticks a second), with these pauses within 0.1; SCHED_BATCH in addition gained nothing. But not
 * after each step: where other programs want the core, too, one yield is a whole slice. */
static void pause_between(struct store_thread *thread, uint64_t *since_ns)
{
    store_thread_quiesce(thread, thread->now_s);
    const uint64_t now_ns = mono_ns();
    if (now_ns - *since_ns < YIELD_EVERY_NS)
        return;
    sched_yield();
    *since_ns = mono_ns();
}

static void maintain(struct store_thread *thread, uint64_t *since_ns)
{
    struct store *store = thread->store;
    /* Bounded: more than this many segments in one go would only mean that nothing is gained. */
    const uint32_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    for (uint32_t i = 0; i < limit;) {
        if (!spin_try(&store->maint_lock)) {
            i++;
            sched_yield();
            continue;
        }
        const bool more = maintain_step(thread);
        i += !draining(store);
        maint_unlock(store);
        if (!more) {
            store_thread_quiesce(thread, thread->now_s);
            break;
        }
        pause_between(thread, since_ns);
    }
}

void store_maintain(struct store_thread *thread)
{
    /* Tens of milliseconds, so that whoever runs the housekeeping thread can end it. */
    enum { CRAWL_STEPS_MAX = 1024 };
    struct store *store = thread->store;
    uint64_t since_ns = mono_ns();
    maintain(thread, &since_ns);
    for (unsigned i = 0; i < CRAWL_STEPS_MAX; i++) {
        spin_lock(&store->maint_lock);
        bool more = barriers_step(thread);
        more = crawl_step(thread) || more;
        spin_unlock(&store->maint_lock);
        pause_between(thread, &since_ns);
        if (!more)
            return;
        if (memory_is_low(store))
            maintain(thread, &since_ns);
    }
    store_maintain_wake(store); /* come back at once */
}

void store_maintain_wake(struct store *store)
{
    if (atomic_load_explicit(&store->wait_wanted, memory_order_relaxed))
        return; /* asked already, not yet heard */
    atomic_store_explicit(&store->wait_wanted, true, memory_order_seq_cst);
    if (!atomic_load_explicit(&store->wait_asleep, memory_order_seq_cst))
        return;
    pthread_mutex_lock(&store->wait_mutex);
    pthread_cond_signal(&store->wait_cond);
    pthread_mutex_unlock(&store->wait_mutex);
}

void store_maintain_wait(struct store *store, uint32_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&store->wait_mutex);
    atomic_store_explicit(&store->wait_asleep, true, memory_order_seq_cst);
    int rc = 0;
    while (rc != ETIMEDOUT &&
           !atomic_exchange_explicit(&store->wait_wanted, false, memory_order_seq_cst))
        rc = pthread_cond_timedwait(&store->wait_cond, &store->wait_mutex, &until);
    atomic_store_explicit(&store->wait_asleep, false, memory_order_seq_cst);
    pthread_mutex_unlock(&store->wait_mutex);
}
