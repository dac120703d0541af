/* store/segment.c — the log: open segments, the threads' pieces of them, queues.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "store/store_priv.h"

/* Of a segment alive, below which it is told to be sparse. */
enum { SPARSE_PART = 16 };

/* ── queues ───────────────────────────────────────────────────────────────────────────────── */

/* Under queue_lock; an atomic only because others look at it without. */
static void queue_count_add(struct store *store, unsigned queue, int delta)
{
    _Atomic uint32_t *count = &store->queue_count[queue];
    atomic_store_explicit(count,
                          atomic_load_explicit(count, memory_order_relaxed) + (uint32_t)delta,
                          memory_order_relaxed);
}

uint32_t queue_head(struct store *store, unsigned queue)
{
    spin_lock(&store->queue_lock);
    const uint32_t seg = store->queues[queue].head;
    spin_unlock(&store->queue_lock);
    return seg;
}

void queue_push(struct store *store, uint32_t seg, bool at_head)
{
    struct segment *segments = store->segments;
    struct segment *s = &segments[seg];
    spin_lock(&store->queue_lock);
    struct seg_list *queue = &store->queues[s->queue];
    s->next = at_head ? queue->head : SEG_NONE;
    s->prev = at_head ? SEG_NONE : queue->tail;
    if (s->next != SEG_NONE)
        segments[s->next].prev = seg;
    else
        queue->tail = seg;
    if (s->prev != SEG_NONE)
        segments[s->prev].next = seg;
    else
        queue->head = seg;
    queue_count_add(store, s->queue, 1);
    /* release: whoever sees SEALED sees bump, queue and the filler at its end */
    atomic_store_explicit(&s->state, SEG_SEALED, memory_order_release);
    spin_unlock(&store->queue_lock);
}

void queue_remove(struct store *store, uint32_t seg)
{
    struct segment *segments = store->segments;
    struct segment *s = &segments[seg];
    spin_lock(&store->queue_lock);
    struct seg_list *queue = &store->queues[s->queue];
    if (s->next != SEG_NONE)
        segments[s->next].prev = s->prev;
    else
        queue->tail = s->prev;
    if (s->prev != SEG_NONE)
        segments[s->prev].next = s->next;
    else
        queue->head = s->next;
    queue_count_add(store, s->queue, -1);
    atomic_store_explicit(&s->state, SEG_DRAINING, memory_order_relaxed);
    spin_unlock(&store->queue_lock);
}

/* ── expiry classes ───────────────────────────────────────────────────────────────────────── */

static unsigned half_octave(uint32_t ttl_s)
{
    const unsigned octave = 31u - (unsigned)__builtin_clz(ttl_s);
    return 2 * octave + (octave > 0 ? ttl_s >> (octave - 1) & 1 : 0);
}

static uint32_t ttl_of(const struct store_thread *thread, uint32_t exp_s)
{
    return exp_s > thread->now_s ? exp_s - thread->now_s : 1;
}

uint8_t class_of(const struct store_thread *thread, uint32_t exp_s)
{
    if (exp_s == 0)
        return CLASS_NEVER;
    /* relaxed: an old map only puts an item into a less fitting segment */
    return atomic_load_explicit(&thread->store->class_map[half_octave(ttl_of(thread, exp_s))],
                                memory_order_relaxed);
}

static void class_count(struct store_thread *thread, uint32_t exp_s, uint64_t bytes)
{
    _Atomic uint64_t *all = &thread->all_bytes;
    atomic_store_explicit(all, atomic_load_explicit(all, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
    if (exp_s == 0)
        return;
    _Atomic uint64_t *c = &thread->class_bytes[half_octave(ttl_of(thread, exp_s))];
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}

void log_raise_exp(struct segment *segment, uint32_t exp_s)
{
    const uint32_t want = exp_s == 0 ? EXP_NEVER : exp_s;
    uint32_t have = atomic_load_explicit(&segment->max_exp_s, memory_order_relaxed);
    while (have < want &&
           !atomic_compare_exchange_weak_explicit(&segment->max_exp_s, &have, want,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* ── sparse segments ──────────────────────────────────────────────────────────────────────── */

bool sparse(const struct store *store, const struct segment *segment)
{
    return atomic_load_explicit(&segment->live_bytes, memory_order_relaxed) * SPARSE_PART <
           (int64_t)store->segment_bytes;
}

/* Is it sparse, and complete? Then tell it, once.
 *
 * Where keys are overwritten, what they were dies in the order in which it was written, and soon
 * next to nothing of a segment is alive. Whoever takes the last but that from it puts it into a
 * list, so that it is used again at once, long before memory is short: else the log would run
 * through all of it, page after page fresh from the kernel.
 *
 * Only a hint: a segment that is missed here is found when memory is low. Pushes are lock-free; a
 * segment is in the list once, by its flag; all of the list is taken at one time, so that no entry
 * can come back between a load and its compare-exchange. The flag's exchanges are acquire and
 * release: who finds the segment told already leaves it to one who, clearing the flag, sees what
 * has died. */
static void sparse_tell(struct store *store, struct segment *segment)
{
    /* relaxed: who takes it from the list asks again with the order that it needs */
    if (!sparse(store, segment) ||
        atomic_load_explicit(&segment->state, memory_order_relaxed) != SEG_SEALED ||
        atomic_load_explicit(&segment->writers, memory_order_relaxed) != 0 ||
        atomic_exchange_explicit(&segment->sparse_told, true, memory_order_acq_rel))
        return;
    uint32_t head = atomic_load_explicit(&store->sparse_head, memory_order_relaxed);
    do
        segment->sparse_next = head;
    while (!atomic_compare_exchange_weak_explicit(&store->sparse_head, &head,
                                                  (uint32_t)(segment - store->segments),
                                                  memory_order_release, memory_order_relaxed));
}

uint32_t sparse_take(struct store *store)
{
    if (store->sparse_taken == SEG_NONE &&
        atomic_load_explicit(&store->sparse_head, memory_order_relaxed) != SEG_NONE)
        store->sparse_taken =
            atomic_exchange_explicit(&store->sparse_head, SEG_NONE, memory_order_acquire);
    const uint32_t seg = store->sparse_taken;
    if (seg != SEG_NONE) {
        store->sparse_taken = store->segments[seg].sparse_next;
        atomic_exchange_explicit(&store->segments[seg].sparse_told, false, memory_order_acq_rel);
    }
    return seg;
}

/* ── pieces ───────────────────────────────────────────────────────────────────────────────── */

static void account_live(struct segment *segment, int64_t bytes, int64_t items)
{
    atomic_fetch_add_explicit(&segment->live_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&segment->live_items, items, memory_order_relaxed);
}

static void account_dead(struct store *store, struct segment *segment, int64_t bytes)
{
    const bool was_sparse = sparse(store, segment);
    account_live(segment, -bytes, -1);
    if (!was_sparse)
        sparse_tell(store, segment);
}

static void writer_done(struct store *store, struct segment *segment)
{
    /* release: the drainer that sees no writers sees every record and the filler */
    atomic_fetch_sub_explicit(&segment->writers, 1, memory_order_release);
    sparse_tell(store, segment);
}

static void piece_retire(struct store *store, struct piece *piece)
{
    if (piece->seg == SEG_NONE)
        return;
    struct segment *segment = &store->segments[piece->seg];
    if (piece->end > piece->at)
        item_write_filler(store->data + ((uint64_t)piece->seg << store->segment_shift) + piece->at,
                          piece->end - piece->at);
    account_live(segment, piece->live_bytes, piece->live_items);
    atomic_fetch_add_explicit(&segment->filled_bytes, piece->filled_bytes, memory_order_relaxed);
    if (piece->max_exp_s != 0)
        log_raise_exp(segment, piece->max_exp_s == EXP_NEVER ? 0 : piece->max_exp_s);
    writer_done(store, segment);
    *piece = (struct piece){.seg = SEG_NONE};
}

void pieces_retire(struct store_thread *thread, bool only_sealed)
{
    struct store *store = thread->store;
    for (unsigned q = 0; q < QUEUE_COUNT; q++)
        for (unsigned c = 0; c < CLASS_COUNT; c++) {
            struct piece *piece = &thread->pieces[q][c];
            if (piece->seg != SEG_NONE &&
                (!only_sealed || atomic_load_explicit(&store->segments[piece->seg].state,
                                                      memory_order_relaxed) != SEG_OPEN))
                piece_retire(store, piece);
        }
}

void pieces_check(struct store_thread *thread)
{
    const uint64_t gen = atomic_load_explicit(&thread->store->recall_gen, memory_order_relaxed);
    if (LIKELY(gen == thread->recall_seen))
        return;
    thread->recall_seen = gen;
    pieces_retire(thread, true);
}

/* ── open segments ────────────────────────────────────────────────────────────────────────── */

/* Close the open segment; group lock held. */
static void group_seal(struct store *store, struct group *group)
{
    const uint32_t seg = group->open;
    struct segment *s = &store->segments[seg];
    if (s->bump < store->segment_bytes)
        item_write_filler(store->data + ((uint64_t)seg << store->segment_shift) + s->bump,
                          store->segment_bytes - s->bump);
    group->open = SEG_NONE;
    queue_push(store, seg, false);
    sparse_tell(store, s);
}

/* Let a fresh segment be the open one; group lock held. */
static void group_open(struct store_thread *thread, struct log_class where, uint32_t seg)
{
    struct store *store = thread->store;
    struct segment *s = &store->segments[seg];
    /* Sequentially consistent on both sides, here and in store_flush(): either the flush counts
     * this segment in, or we see it begin and wait until its bound can be read. See (6). */
    const uint64_t seqno =
        atomic_fetch_add_explicit(&store->seq_counter, 1, memory_order_seq_cst) + 1;
    unsigned rounds = 0;
    while (atomic_load_explicit(&store->flush_gen, memory_order_seq_cst) & 1)
        spin_wait(&rounds);
    atomic_store_explicit(&s->seqno, seqno, memory_order_relaxed);
    atomic_store_explicit(&s->max_exp_s, 0, memory_order_relaxed);
    atomic_store_explicit(&s->live_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&s->live_items, 0, memory_order_relaxed);
    atomic_store_explicit(&s->filled_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&store->born_s[seg], thread->now_s, memory_order_relaxed);
    s->bump = 0;
    s->queue = where.queue;
    s->class = where.class;
    atomic_store_explicit(&s->state, SEG_OPEN, memory_order_relaxed);
    store->groups[where.queue][where.class].open = seg;
}

/* Is the segment from before a flush? The flush may not have come round to closing it yet, but
 * what is written after the flush must not go there. */
static bool is_flushed(const struct store *store, uint32_t seg)
{
    return atomic_load_explicit(&store->segments[seg].seqno, memory_order_relaxed) <=
           atomic_load_explicit(&store->flush_seq, memory_order_relaxed);
}

/* Make sure that the group has an open segment with `bytes` of room. Returns with its lock held,
 * or false (lock not held) when there is no memory. May pass quiescent points. */
static bool group_lock_with_room(struct store_thread *thread, struct log_class where,
                                 uint32_t bytes)
{
    struct store *store = thread->store;
    struct group *group = &store->groups[where.queue][where.class];
    uint32_t fresh = SEG_NONE;
    for (;;) {
        spin_lock(&group->lock);
        if (group->open != SEG_NONE &&
            (store->segment_bytes - store->segments[group->open].bump < bytes ||
             is_flushed(store, group->open)))
            group_seal(store, group);
        if (group->open == SEG_NONE && fresh != SEG_NONE) {
            group_open(thread, where, fresh);
            fresh = SEG_NONE;
        }
        if (group->open != SEG_NONE)
            break;
        spin_unlock(&group->lock);
        if (!segment_get(thread, &fresh))
            return false;
    }
    if (fresh != SEG_NONE) { /* another thread was quicker: ours was never used */
        atomic_store_explicit(&store->segments[fresh].state, SEG_DRAINING, memory_order_relaxed);
        pool_limbo_add(store, fresh, 0);
    }
    return true;
}

/* Take between min and max bytes of the open segment; the caller becomes a writer of it. */
static bool log_take(struct store_thread *thread, struct log_class where, uint32_t min,
                     uint32_t max, struct piece *ret)
{
    struct store *store = thread->store;
    struct group *group = &store->groups[where.queue][where.class];
    if (!group_lock_with_room(thread, where, min))
        return false;
    struct segment *s = &store->segments[group->open];
    const uint32_t room = store->segment_bytes - s->bump;
    const uint32_t bytes = room < max ? room : max;
    *ret = (struct piece){.seg = group->open, .at = s->bump, .end = s->bump + bytes};
    s->bump += bytes;
    atomic_fetch_add_explicit(&s->writers, 1, memory_order_relaxed); /* group lock orders it */
    spin_unlock(&group->lock);
    return true;
}

/* Does our piece end where the open segment goes on? Then it grows without a gap. */
static bool piece_extend(struct store *store, struct log_class where, struct piece *piece,
                         uint32_t bytes)
{
    struct group *group = &store->groups[where.queue][where.class];
    const uint32_t want = bytes - (piece->end - piece->at);
    bool grown = false;
    spin_lock(&group->lock);
    if (group->open == piece->seg && store->segments[piece->seg].bump == piece->end) {
        const uint32_t room = store->segment_bytes - piece->end;
        uint32_t take = want > store->piece_bytes ? want : store->piece_bytes;
        take = take < room ? take : room;
        grown = take >= want;
        if (grown) {
            piece->end += take;
            store->segments[piece->seg].bump = piece->end;
        }
    }
    spin_unlock(&group->lock);
    return grown;
}

static bool piece_refill(struct store_thread *thread, struct log_class where, uint32_t bytes)
{
    struct store *store = thread->store;
    struct piece *piece = &thread->pieces[where.queue][where.class];
    /* first: it may take and give back pieces itself */
    reclaim_help(thread, store->piece_bytes);
    if (piece->seg != SEG_NONE) {
        if (piece_extend(store, where, piece, bytes))
            return true;
        piece_retire(store, piece);
    }
    struct piece taken;
    if (!log_take(thread, where, bytes, store->piece_bytes, &taken))
        return false;
    /* an eviction on the way may have taken a piece of the same class for its own copies */
    piece_retire(store, piece);
    *piece = taken;
    return true;
}

static void place_set(const struct store *store, struct place *place, uint32_t seg, uint32_t at)
{
    place->seg = seg;
    place->loc = segment_loc(store, seg) + at / ITEM_ALIGN;
    place->item = item_at(store, place->loc);
}

/* Drop pieces from before a flush: what is written from now on must not be hidden by it. */
static void flush_check(struct store_thread *thread)
{
    uint64_t gen = atomic_load_explicit(&thread->store->flush_gen, memory_order_acquire);
    if (LIKELY(gen == thread->flush_seen))
        return;
    for (unsigned rounds = 0; gen & 1;) { /* odd: its bound cannot be read yet */
        spin_wait(&rounds);
        gen = atomic_load_explicit(&thread->store->flush_gen, memory_order_acquire);
    }
    thread->flush_seen = gen;
    pieces_retire(thread, false);
}

bool log_alloc(struct store_thread *thread, struct log_class where, uint32_t bytes,
               struct place *ret)
{
    struct store *store = thread->store;
    flush_check(thread);
    ret->bytes = bytes;
    if (bytes > store->piece_bytes / 8) { /* would waste too much of a piece's end */
        reclaim_help(thread, bytes);
        return log_alloc_span(thread, where, bytes, bytes, ret);
    }
    struct piece *piece = &thread->pieces[where.queue][where.class];
    if (UNLIKELY(piece->end - piece->at < bytes) && !piece_refill(thread, where, bytes)) {
        count_add(thread, COUNT_OUT_OF_MEMORY, thread->evicting ? 0 : 1);
        return false;
    }
    ret->piece = piece;
    place_set(store, ret, piece->seg, piece->at);
    piece->at += bytes;
    return true;
}

bool log_alloc_span(struct store_thread *thread, struct log_class where, uint32_t min, uint32_t max,
                    struct place *ret)
{
    struct piece taken;
    flush_check(thread);
    if (!log_take(thread, where, min, max, &taken)) {
        count_add(thread, COUNT_OUT_OF_MEMORY, thread->evicting ? 0 : 1);
        return false;
    }
    ret->bytes = taken.end - taken.at;
    ret->piece = NULL;
    place_set(thread->store, ret, taken.seg, taken.at);
    return true;
}

void log_publish(struct store_thread *thread, const struct place *place, uint32_t exp_s)
{
    const uint32_t max_exp_s = exp_s == 0 ? EXP_NEVER : exp_s;
    class_count(thread, exp_s, place->bytes);
    if (LIKELY(place->piece != NULL)) {
        place->piece->live_bytes += place->bytes;
        place->piece->filled_bytes += place->bytes;
        place->piece->live_items++;
        if (place->piece->max_exp_s < max_exp_s)
            place->piece->max_exp_s = max_exp_s;
        return;
    }
    struct segment *segment = &thread->store->segments[place->seg];
    account_live(segment, place->bytes, 1);
    atomic_fetch_add_explicit(&segment->filled_bytes, place->bytes, memory_order_relaxed);
    log_raise_exp(segment, exp_s);
    writer_done(thread->store, segment);
}

void log_abandon(struct store_thread *thread, const struct place *place)
{
    struct piece *piece = place->piece;
    if (piece != NULL && piece->seg == place->seg &&
        segment_loc(thread->store, piece->seg) + piece->at / ITEM_ALIGN ==
            place->loc + place->bytes / ITEM_ALIGN) {
        piece->at -= place->bytes; /* the last that the piece gave away: it takes it back */
        return;
    }
    item_write_filler(place->item, place->bytes);
    if (piece == NULL)
        writer_done(thread->store, &thread->store->segments[place->seg]);
}

void log_kill_by(struct store *store, struct item *item, uint64_t loc, struct piece *piece)
{
    const int64_t bytes = (int64_t)item_bytes(item);
    item_st_set(item, ST_DEAD, 0);
    if (piece == NULL || piece->seg != loc_segment(store, loc)) {
        account_dead(store, loc_seg(store, loc), bytes);
        return;
    }
    /* a hot key: what it was lies close by */
    piece->live_bytes -= bytes;
    piece->live_items--;
}

void log_kill(struct store *store, struct item *item, uint64_t loc)
{
    log_kill_by(store, item, loc, NULL);
}

/* Close open segments: all of them, or those of TTL classes that are no longer in use. */
void log_seal_all(struct store *store, bool only_unmapped)
{
    bool mapped[CLASS_COUNT] = {[CLASS_NEVER] = true, [CLASS_REST] = true};
    for (unsigned i = 0; i < CLASS_HALF_OCTAVES; i++)
        mapped[atomic_load_explicit(&store->class_map[i], memory_order_relaxed)] = true;
    for (unsigned q = 0; q < QUEUE_COUNT; q++)
        for (unsigned c = 0; c < CLASS_COUNT; c++) {
            struct group *group = &store->groups[q][c];
            if (only_unmapped && mapped[c])
                continue;
            spin_lock(&group->lock);
            if (group->open != SEG_NONE)
                group_seal(store, group);
            spin_unlock(&group->lock);
        }
}
