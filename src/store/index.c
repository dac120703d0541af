/* store/index.c — the index: linear hashing over buckets of fifteen slots, ghosts in the free
 * ones.
 *
 * The table has n buckets, 2^level <= n < 2^(level+1). Growing by one splits bucket n -
 * 2^level: the entries whose next hash bit is set move to the new bucket n. The order (fill the
 * new bucket, publish n + 1, then take them out of the old one, whose version is odd meanwhile)
 * lets a reader find an entry in at least one place, or notice that it has to look again.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "store/store_priv.h"

enum { LEVEL0_MIN = 8, SPLIT_SLOTS_MAX = 512, REPORT_ITEMS = 16 };

/* ── where a hash lives ───────────────────────────────────────────────────────────────────── */

static ALWAYS_INLINE uint64_t bucket_index(uint64_t hash, uint64_t count)
{
    const uint64_t mask = UINT64_MAX >> __builtin_clzll(count - 1);
    const uint64_t index = hash & mask;
    return index < count ? index : hash & (mask >> 1);
}

/* acquire: who sees the count sees the new bucket filled */
static ALWAYS_INLINE uint64_t bucket_count(const struct store *store)
{
    return atomic_load_explicit(&store->bucket_count, memory_order_acquire);
}

static ALWAYS_INLINE uint64_t slot_load(const _Atomic uint64_t *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

static ALWAYS_INLINE uint32_t head_line(uint64_t head)
{
    return (uint32_t)(head >> HEAD_LINE_SHIFT);
}

static ALWAYS_INLINE uint64_t ghost_fingerprint(uint64_t hash)
{
    return hash >> 49 << 25;
}

void store_prefetch_bucket(const struct store *store, uint64_t hash)
{
    const struct bucket *bucket = &store->buckets[bucket_index(hash, bucket_count(store))];
    __builtin_prefetch(bucket);
    __builtin_prefetch((const char *)bucket + CACHE_LINE_BYTES);
}

/* The slots of a bucket whose upper bits, kind and tag, are `want`: bit n stands for word n of the
 * bucket, of which word 0 is no slot (its bit means nothing). */
static ALWAYS_INLINE unsigned bucket_match(const struct bucket *bucket, uint32_t want)
{
#if defined(__SSE2__) && !defined(MATTE_TSAN)
    /* Four slots at a time, and no branch that depends on where the key lies. Not atomic as a
     * whole, but each aligned word is; and the answer is a hint. */
    const __m128i pattern = _mm_set1_epi32((int)want);
    const __m128i *at = (const __m128i *)(const void *)bucket;
    unsigned found = 0;
    for (unsigned i = 0; i < 4; i++, at += 2) {
        const __m128 low = _mm_castsi128_ps(_mm_load_si128(at));
        const __m128 high = _mm_castsi128_ps(_mm_load_si128(at + 1));
        const __m128i upper = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
        const __m128i same = _mm_cmpeq_epi32(_mm_srli_epi32(upper, LOC_BITS - 32), pattern);
        found |= (unsigned)_mm_movemask_ps(_mm_castsi128_ps(same)) << (4 * i);
    }
    return found;
#else
    unsigned found = 0;
    for (unsigned i = 0; i < SLOTS_PER_BUCKET; i++) {
        const uint64_t slot = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
        found |= (unsigned)(slot >> LOC_BITS == want) << (i + 1);
    }
    return found;
#endif
}

uint8_t store_prefetch_item(const struct store *store, uint64_t hash)
{
    const struct bucket *bucket = &store->buckets[bucket_index(hash, bucket_count(store))];
    const uint32_t want = (uint32_t)((SLOT_LIVE | slot_key(store, hash)) >> LOC_BITS);
    const unsigned found = bucket_match(bucket, want) & ~1u;
    if (LIKELY(found != 0)) {
        const unsigned at = (unsigned)__builtin_ctz(found);
        const uint64_t slot = atomic_load_explicit(&bucket->slots[at - 1], memory_order_relaxed);
        const char *item = (const char *)item_at(store, slot & LOC_MASK);
        __builtin_prefetch(item);
        __builtin_prefetch(item + CACHE_LINE_BYTES);
        return (uint8_t)at;
    }
    const uint32_t line = head_line(atomic_load_explicit(&bucket->head, memory_order_relaxed));
    if (line != 0)
        __builtin_prefetch(&store->lines[line]);
    return 0;
}

/* ── reading without a lock ───────────────────────────────────────────────────────────────── */

/* Look through `count` slots; returns the record with that key. */
static ALWAYS_INLINE struct item *scan(const struct store *store, const _Atomic uint64_t *slots,
                                       unsigned count, const struct store_key *key,
                                       uint64_t *ret_loc)
{
    const uint64_t want = (SLOT_LIVE | slot_key(store, key->hash)) >> LOC_BITS;
    for (unsigned i = 0; i < count; i++) {
        const uint64_t slot = slot_load(&slots[i]);
        if (slot >> LOC_BITS != want)
            continue;
        struct item *item = item_at(store, slot & LOC_MASK);
        if (LIKELY(item_key_is(item, key->key))) {
            *ret_loc = slot & LOC_MASK;
            return item;
        }
    }
    return NULL;
}

/* A miss counts only when nothing moved while we looked: (1). */
static bool miss_is_certain(const struct store *store, const struct bucket *bucket, uint64_t head,
                            uint64_t hash)
{
    const uint64_t again = atomic_load_explicit(&bucket->head, memory_order_acquire);
    return (head & HEAD_MOVING) == 0 && ((head ^ again) & HEAD_VERSION) == 0 &&
           bucket == &store->buckets[bucket_index(hash, bucket_count(store))];
}

static NOINLINE struct item *find_by_scan(const struct store *store, const struct store_key *key,
                                          uint64_t *ret_loc)
{
    unsigned rounds = 0;
    for (;;) {
        const struct bucket *bucket = &store->buckets[bucket_index(key->hash, bucket_count(store))];
        const uint64_t head = atomic_load_explicit(&bucket->head, memory_order_acquire);
        struct item *item = scan(store, bucket->slots, SLOTS_PER_BUCKET, key, ret_loc);
        if (LIKELY(item != NULL))
            return item;
        for (uint32_t id = head_line(head); id != 0;) {
            const struct line *line = &store->lines[id];
            item = scan(store, line->slots, SLOTS_PER_LINE, key, ret_loc);
            if (item != NULL)
                return item;
            id = atomic_load_explicit(&line->next, memory_order_acquire);
        }
        if (LIKELY(miss_is_certain(store, bucket, head, key->hash)))
            return NULL;
        spin_wait(&rounds);
    }
}

struct item *index_find(const struct store *store, const struct store_key *key, uint64_t *ret_loc)
{
    assert(key->hint <= SLOTS_PER_BUCKET);
    if (LIKELY(key->hint != 0)) {
        const struct bucket *bucket = &store->buckets[bucket_index(key->hash, bucket_count(store))];
        struct item *item = scan(store, &bucket->slots[key->hint - 1], 1, key, ret_loc);
        if (LIKELY(item != NULL))
            return item;
    }
    return find_by_scan(store, key, ret_loc);
}

/* How many ghosts have been made since this one, in units of 1 << ghost_shift. */
static uint64_t ghost_age(uint32_t now, uint64_t slot)
{
    return (now - slot) & STAMP_MASK;
}

static enum ghost ghost_of(const struct store *store, uint64_t slot)
{
    /* relaxed: both move slowly */
    const uint32_t now = atomic_load_explicit(&store->ghost_stamp, memory_order_relaxed);
    if (ghost_age(now, slot) >
        atomic_load_explicit(&store->keep.ghost_age_max, memory_order_relaxed))
        return GHOST_NONE;
    return slot & GHOST_MAIN ? GHOST_OF_MAIN : GHOST_OF_SMALL;
}

enum ghost index_find_ghost(const struct store *store, uint64_t hash)
{
    const struct bucket *bucket = &store->buckets[bucket_index(hash, bucket_count(store))];
    const uint64_t want = SLOT_GHOST | slot_key(store, hash) | ghost_fingerprint(hash);
    uint64_t slot;
    const uint64_t head = atomic_load_explicit(&bucket->head, memory_order_acquire);
    for (unsigned i = 0; i < SLOTS_PER_BUCKET; i++)
        if (((slot = slot_load(&bucket->slots[i])) & GHOST_MASK) == want)
            return ghost_of(store, slot);
    for (uint32_t id = head_line(head); id != 0;) {
        const struct line *line = &store->lines[id];
        for (unsigned i = 0; i < SLOTS_PER_LINE; i++)
            if (((slot = slot_load(&line->slots[i])) & GHOST_MASK) == want)
                return ghost_of(store, slot);
        id = atomic_load_explicit(&line->next, memory_order_acquire);
    }
    return GHOST_NONE;
}

/* ── locking ──────────────────────────────────────────────────────────────────────────────── */

static void bucket_lock(struct bucket *bucket)
{
    unsigned rounds = 0;
    for (;;) {
        uint64_t head = atomic_load_explicit(&bucket->head, memory_order_relaxed);
        if ((head & HEAD_LOCK) == 0 &&
            atomic_compare_exchange_weak_explicit(&bucket->head, &head, head | HEAD_LOCK,
                                                  memory_order_acquire, memory_order_relaxed))
            return;
        spin_wait(&rounds);
    }
}

static void bucket_unlock(struct bucket *bucket)
{
    const uint64_t head = atomic_load_explicit(&bucket->head, memory_order_relaxed);
    atomic_store_explicit(&bucket->head, head & ~HEAD_LOCK, memory_order_release);
}

void index_lock(struct store *store, uint64_t hash, struct locked *ret)
{
    for (;;) {
        struct bucket *bucket = &store->buckets[bucket_index(hash, bucket_count(store))];
        bucket_lock(bucket);
        /* a split may have moved the key's home while we waited */
        if (LIKELY(bucket == &store->buckets[bucket_index(hash, bucket_count(store))])) {
            *ret = (struct locked){.bucket = bucket};
            return;
        }
        bucket_unlock(bucket);
    }
}

void index_unlock(struct locked *at)
{
    bucket_unlock(at->bucket);
}

/* ── walking a locked bucket ──────────────────────────────────────────────────────────────── */

static struct walk walk_begin(const struct store *store, struct bucket *bucket)
{
    const uint64_t head = atomic_load_explicit(&bucket->head, memory_order_relaxed);
    return (struct walk){store, bucket->slots, SLOTS_PER_BUCKET, head_line(head)};
}

/* The next slot of the bucket and its lines, or NULL. */
static _Atomic uint64_t *walk_next(struct walk *walk)
{
    if (walk->left == 0) {
        if (walk->next_line == 0)
            return NULL;
        struct line *line = &walk->store->lines[walk->next_line];
        walk->slots = line->slots;
        walk->left = SLOTS_PER_LINE;
        walk->next_line = atomic_load_explicit(&line->next, memory_order_relaxed);
    }
    walk->left--;
    return walk->slots++;
}

struct walk index_locked_walk(const struct store *store, const struct locked *at)
{
    return walk_begin(store, at->bucket);
}

bool index_locked_next(struct walk *walk, struct locked *at)
{
    while ((at->slot = walk_next(walk)) != NULL) {
        const uint64_t slot = atomic_load_explicit(at->slot, memory_order_relaxed);
        if ((slot & SLOT_KIND) != SLOT_LIVE)
            continue;
        at->loc = slot & LOC_MASK;
        at->item = item_at(walk->store, at->loc);
        return true;
    }
    return false;
}

/* Is this slot the entry of the key? */
static ALWAYS_INLINE bool locked_is(const struct store *store, struct locked *at,
                                    const struct store_key *key, _Atomic uint64_t *s)
{
    const uint64_t slot = atomic_load_explicit(s, memory_order_relaxed);
    if (slot >> LOC_BITS != (SLOT_LIVE | slot_key(store, key->hash)) >> LOC_BITS)
        return false;
    struct item *item = item_at(store, slot & LOC_MASK);
    if (!item_key_is(item, key->key))
        return false;
    at->slot = s;
    at->item = item;
    at->loc = slot & LOC_MASK;
    return true;
}

bool index_locked_find(const struct store *store, struct locked *at, const struct store_key *key)
{
    assert(key->hint <= SLOTS_PER_BUCKET);
    if (key->hint != 0 && locked_is(store, at, key, &at->bucket->slots[key->hint - 1]))
        return true;
    struct walk walk = walk_begin(store, at->bucket);
    for (_Atomic uint64_t *s; (s = walk_next(&walk)) != NULL;)
        if (locked_is(store, at, key, s))
            return true;
    at->slot = NULL;
    return false;
}

bool index_locked_find_loc(const struct store *store, struct locked *at, uint64_t hash,
                           uint64_t loc)
{
    const uint64_t want = SLOT_LIVE | slot_key(store, hash) | loc;
    struct walk walk = walk_begin(store, at->bucket);
    for (_Atomic uint64_t *s; (s = walk_next(&walk)) != NULL;)
        if (atomic_load_explicit(s, memory_order_relaxed) == want) {
            at->slot = s;
            at->item = item_at(store, loc);
            at->loc = loc;
            return true;
        }
    at->slot = NULL;
    return false;
}

bool index_locked_find_owner(const struct store *store, struct locked *at, uint64_t hash,
                             uint64_t loc, _Atomic uint64_t **ret_entry)
{
    const uint64_t want = (SLOT_LIVE | slot_key(store, hash)) >> LOC_BITS;
    struct walk walk = walk_begin(store, at->bucket);
    for (_Atomic uint64_t *s; (s = walk_next(&walk)) != NULL;) {
        const uint64_t slot = atomic_load_explicit(s, memory_order_relaxed);
        struct item *item = item_at(store, slot & LOC_MASK);
        if (slot >> LOC_BITS != want || (item->fmt & FMT_LARGE) == 0)
            continue;
        size_t count;
        _Atomic uint64_t *table = item_large_table(item, &count);
        for (size_t i = 0; i < count; i++)
            if (atomic_load_explicit(&table[i], memory_order_relaxed) == loc) {
                *ret_entry = &table[i];
                at->slot = s;
                at->item = item;
                at->loc = slot & LOC_MASK;
                return true;
            }
    }
    at->slot = NULL;
    return false;
}

void index_locked_replace(struct locked *at, uint64_t loc)
{
    const uint64_t slot = atomic_load_explicit(at->slot, memory_order_relaxed);
    /* release: publishes the record at loc */
    atomic_store_explicit(at->slot, (slot & ~LOC_MASK) | loc, memory_order_release);
}

void index_locked_clear(struct store *store, struct locked *at, uint64_t hash, enum ghost ghost)
{
    uint64_t slot = 0;
    if (ghost != GHOST_NONE) {
        const uint32_t number = store->ghost_next++, stamp = number >> store->ghost_shift;
        if (number % GHOST_STAMPS == 0)
            atomic_store_explicit(&store->ghost_stamp,
                                  (number + GHOST_STAMPS) >> store->ghost_shift,
                                  memory_order_relaxed);
        slot = SLOT_GHOST | slot_key(store, hash) | ghost_fingerprint(hash) |
               (ghost == GHOST_OF_MAIN ? GHOST_MAIN : 0) | (stamp & STAMP_MASK);
    }
    atomic_store_explicit(at->slot, slot, memory_order_release);
}

/* ── overflow lines ───────────────────────────────────────────────────────────────────────── */

/* Lines that a split took out of use rest until every reader has moved on. lines_lock held. */
static void lines_ripen(struct store *store)
{
    if (store->line_aging != 0 && epoch_reached(store) >= store->line_epoch) {
        store->line_free = store->line_aging; /* only called when line_free is empty */
        store->line_aging = 0;
    }
    if (store->line_aging == 0 && store->line_retired != 0) {
        store->line_aging = store->line_retired;
        store->line_retired = 0;
        store->line_epoch = epoch_advance(store);
    }
}

static uint32_t line_get(struct store *store)
{
    if (store->line_free == 0)
        lines_ripen(store);
    const uint32_t id = store->line_free;
    if (id != 0) {
        store->line_free = store->lines[id].link;
        return id;
    }
    if (store->line_next >= store->line_room) {
        const uint64_t more = store->segment_bytes / sizeof(struct line);
        if (store->line_room + more > store->lines_virtual || !pool_spare_take(store))
            return 0;
        store->line_room += more;
    }
    return (uint32_t)store->line_next++;
}

void index_top_up(struct store_thread *thread)
{
    if (LIKELY(thread->line_count > 0))
        return;
    struct store *store = thread->store;
    spin_lock(&store->lines_lock);
    while (thread->line_count < THREAD_LINES) {
        const uint32_t id = line_get(store);
        if (id == 0)
            break;
        thread->lines[thread->line_count++] = id;
    }
    spin_unlock(&store->lines_lock);
}

void index_prepare(struct store_thread *thread)
{
    index_top_up(thread);
    if (UNLIKELY(thread->line_count == 0) && pool_claim_index(thread->store, thread))
        index_top_up(thread);
}

static void line_clear(struct line *line)
{
    for (unsigned i = 0; i < SLOTS_PER_LINE; i++)
        atomic_store_explicit(&line->slots[i], 0, memory_order_relaxed);
    atomic_store_explicit(&line->next, 0, memory_order_relaxed);
}

/* Append an empty line to a locked bucket's chain. Returns its first slot, or NULL. */
static _Atomic uint64_t *line_append(struct store_thread *thread, struct bucket *bucket)
{
    struct store *store = thread->store;
    if (thread->line_count == 0)
        return NULL;
    const uint32_t id = thread->lines[--thread->line_count];
    struct line *line = &store->lines[id];
    line_clear(line);
    const uint64_t head = atomic_load_explicit(&bucket->head, memory_order_relaxed);
    if (head_line(head) == 0) {
        atomic_store_explicit(&bucket->head,
                              (head & (HEAD_LOCK | HEAD_VERSION)) | (uint64_t)id << HEAD_LINE_SHIFT,
                              memory_order_release);
        return line->slots;
    }
    struct line *last = &store->lines[head_line(head)];
    for (uint32_t next; (next = atomic_load_explicit(&last->next, memory_order_relaxed)) != 0;)
        last = &store->lines[next];
    atomic_store_explicit(&last->next, id, memory_order_release);
    return line->slots;
}

/* ── inserting ────────────────────────────────────────────────────────────────────────────── */

bool index_locked_insert(struct store_thread *thread, struct locked *at, uint64_t hash,
                         uint64_t loc)
{
    struct store *store = thread->store;
    const uint64_t own_ghost = SLOT_GHOST | slot_key(store, hash) | ghost_fingerprint(hash);
    const uint32_t now = atomic_load_explicit(&store->ghost_stamp, memory_order_relaxed);
    _Atomic uint64_t *best = NULL;
    uint64_t best_rank = 0; /* an empty slot beats ghosts, an older ghost a younger one */
    struct walk walk = walk_begin(store, at->bucket);
    for (_Atomic uint64_t *s; (s = walk_next(&walk)) != NULL;) {
        const uint64_t slot = atomic_load_explicit(s, memory_order_relaxed);
        uint64_t rank = 0;
        if ((slot & GHOST_MASK) == own_ghost) {
            best = s; /* its memory has served: it comes back */
            break;
        }
        if ((slot & SLOT_KIND) == 0)
            rank = UINT64_MAX;
        else if ((slot & SLOT_KIND) == SLOT_GHOST)
            rank = 1 + ghost_age(now, slot);
        if (rank > best_rank) {
            best_rank = rank;
            best = s;
        }
    }
    if (best == NULL)
        best = line_append(thread, at->bucket);
    if (best == NULL)
        return false;
    atomic_store_explicit(best, SLOT_LIVE | slot_key(store, hash) | loc, memory_order_release);
    at->slot = best;
    return true;
}

/* ── growing ──────────────────────────────────────────────────────────────────────────────── */

struct harvest {
    uint64_t stay[SPLIT_SLOTS_MAX], move[SPLIT_SLOTS_MAX];
    unsigned stay_count, move_count;
};

/* Sort the entries of the old bucket by the hash bit that the split adds. */
static bool harvest_entries(const struct store *store, struct bucket *old, unsigned level,
                            struct harvest *harvest)
{
    const uint64_t bit = UINT64_C(1) << (level - store->level0 + LOC_BITS);
    struct walk walk = walk_begin(store, old);
    harvest->stay_count = harvest->move_count = 0;
    for (_Atomic uint64_t *s; (s = walk_next(&walk)) != NULL;) {
        const uint64_t slot = atomic_load_explicit(s, memory_order_relaxed);
        if ((slot & SLOT_KIND) == 0)
            continue;
        if (harvest->stay_count == SPLIT_SLOTS_MAX || harvest->move_count == SPLIT_SLOTS_MAX)
            return false;
        if (slot & bit)
            harvest->move[harvest->move_count++] = slot;
        else
            harvest->stay[harvest->stay_count++] = slot;
    }
    return true;
}

/* Write entries to a bucket whose lines have been unhooked; live ones first, ghosts as they
 * fit. */
static void bucket_fill(struct store_thread *thread, struct bucket *bucket, const uint64_t *slots,
                        unsigned count)
{
    const struct store *store = thread->store;
    struct walk walk = walk_begin(store, bucket);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < count; i++) {
            const bool live = (slots[i] & SLOT_KIND) == SLOT_LIVE;
            if (live != (pass == 0))
                continue;
            _Atomic uint64_t *to = walk_next(&walk);
            if (to == NULL) {
                if (!live || line_append(thread, bucket) == NULL)
                    break; /* ghosts that do not fit are forgotten */
                struct locked at = {.bucket = bucket};
                walk = walk_begin(store, at.bucket);
                do
                    to = walk_next(&walk);
                while (atomic_load_explicit(to, memory_order_relaxed) != 0);
            }
            atomic_store_explicit(to, slots[i], memory_order_release);
        }
}

static unsigned lines_needed(const uint64_t *slots, unsigned count)
{
    unsigned live = 0;
    for (unsigned i = 0; i < count; i++)
        live += (slots[i] & SLOT_KIND) == SLOT_LIVE;
    return live <= SLOTS_PER_BUCKET
               ? 0
               : (live - SLOTS_PER_BUCKET + SLOTS_PER_LINE - 1) / SLOTS_PER_LINE;
}

/* Empty the old bucket's own slots, unhook its lines and give it what stays. Version odd. */
static void bucket_rebuild(struct store_thread *thread, struct bucket *old,
                           const struct harvest *harvest)
{
    struct store *store = thread->store;
    const uint64_t head = atomic_load_explicit(&old->head, memory_order_relaxed);
    const uint32_t first = head_line(head);
    atomic_store_explicit(&old->head, head & (HEAD_LOCK | HEAD_VERSION), memory_order_release);
    for (unsigned i = 0; i < SLOTS_PER_BUCKET; i++)
        atomic_store_explicit(&old->slots[i], 0, memory_order_release);
    bucket_fill(thread, old, harvest->stay, harvest->stay_count);
    if (first == 0)
        return;
    spin_lock(&store->lines_lock);
    for (uint32_t id = first; id != 0;) {
        struct line *line = &store->lines[id];
        line->link = store->line_retired; /* slots and next stay for readers on their way */
        store->line_retired = id;
        id = atomic_load_explicit(&line->next, memory_order_relaxed);
    }
    spin_unlock(&store->lines_lock);
}

/* Split one bucket; split_lock held. Returns false when there is no memory for it (or the bucket
 * is a freak with hundreds of entries: it will be split when it has shrunk). */
static bool split_one(struct store_thread *thread)
{
    struct store *store = thread->store;
    const uint64_t count = atomic_load_explicit(&store->bucket_count, memory_order_relaxed);
    const unsigned level = 63u - (unsigned)__builtin_clzll(count);
    if (level - store->level0 >= TAG_BITS || count >= store->buckets_virtual)
        return false;
    if (count >= atomic_load_explicit(&store->bucket_room, memory_order_relaxed)) {
        if (!pool_spare_take(store))
            return false;
        atomic_fetch_add_explicit(&store->bucket_room, store->segment_bytes / sizeof(struct bucket),
                                  memory_order_relaxed);
    }
    struct harvest harvest;
    struct bucket *old = &store->buckets[count - (UINT64_C(1) << level)];
    struct bucket *fresh = &store->buckets[count];
    bucket_lock(old);
    if (!harvest_entries(store, old, level, &harvest) ||
        lines_needed(harvest.stay, harvest.stay_count) +
                lines_needed(harvest.move, harvest.move_count) >=
            thread->line_count) { /* one stays for the insert that may be under way */
        bucket_unlock(old);
        return false;
    }
    uint64_t head = atomic_load_explicit(&old->head, memory_order_relaxed);
    head = (head & ~HEAD_VERSION) | ((head + HEAD_MOVING) & HEAD_VERSION);
    atomic_store_explicit(&old->head, head, memory_order_relaxed); /* odd; before release stores */
    atomic_store_explicit(&fresh->head, HEAD_LOCK, memory_order_relaxed);
    bucket_fill(thread, fresh, harvest.move, harvest.move_count);
    atomic_store_explicit(&store->bucket_count, count + 1, memory_order_release);
    bucket_rebuild(thread, old, &harvest);
    head = atomic_load_explicit(&old->head, memory_order_relaxed);
    head = (head & ~HEAD_VERSION) | ((head + HEAD_MOVING) & HEAD_VERSION);
    atomic_store_explicit(&old->head, head & ~HEAD_LOCK, memory_order_release);
    bucket_unlock(fresh);
    return true;
}

void index_account(struct store_thread *thread, int32_t delta)
{
    struct store *store = thread->store;
    thread->items_unreported += delta;
    if (thread->items_unreported < REPORT_ITEMS && thread->items_unreported > -REPORT_ITEMS)
        return;
    const int64_t items = atomic_fetch_add_explicit(&store->items_rough, thread->items_unreported,
                                                    memory_order_relaxed) +
                          thread->items_unreported;
    thread->items_unreported = 0;
    /* as many splits as these inserts are worth, and one more to catch up */
    for (unsigned i = 0; i < REPORT_ITEMS / ITEMS_PER_BUCKET + 2; i++) {
        const uint64_t count = atomic_load_explicit(&store->bucket_count, memory_order_relaxed);
        if (items <= (int64_t)(count * ITEMS_PER_BUCKET))
            return;
        index_prepare(thread);
        if (count >= atomic_load_explicit(&store->bucket_room, memory_order_relaxed) &&
            !pool_claim_index(store, thread))
            return;
        if (!spin_try(&store->split_lock))
            return;
        const bool split = split_one(thread);
        spin_unlock(&store->split_lock);
        if (!split)
            return;
    }
}

int index_init(struct store *store)
{
    const uint64_t memory = memory_bytes(store);
    /* 1/128 of the memory to begin with: items of 1.5 KiB need no more, smaller ones 5-6
     * doublings */
    uint64_t count = memory / 128 / sizeof(struct bucket);
    uint32_t level = LEVEL0_MIN;
    while (UINT64_C(2) << level <= count)
        level++;
    store->level0 = level;
    while (atomic_load_explicit(&store->bucket_room, memory_order_relaxed) < UINT64_C(1) << level) {
        if (!pool_claim_index(store, NULL) || !pool_spare_take(store))
            return -ENOMEM;
        atomic_fetch_add_explicit(&store->bucket_room, store->segment_bytes / sizeof(struct bucket),
                                  memory_order_relaxed);
    }
    store->line_next = 1; /* 0 means none */
    atomic_init(&store->bucket_count, UINT64_C(1) << level);
    return 0;
}

bool index_resize(struct store *store, uint64_t buckets, uint32_t index_segments)
{
    const uint64_t per_segment = store->segment_bytes / sizeof(struct bucket);
    const uint64_t room = atomic_load_explicit(&store->bucket_room, memory_order_relaxed);
    const uint32_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    if (buckets < UINT64_C(1) << store->level0 || buckets > store->buckets_virtual ||
        buckets > UINT64_C(1) << (store->level0 + TAG_BITS))
        return false;
    const uint64_t more = buckets > room ? (buckets - room + per_segment - 1) / per_segment : 0;
    const uint64_t least = store->index_segments + more;
    const uint64_t wanted = least > index_segments ? least : index_segments;
    if (wanted + store->resident > limit)
        return false;
    store->index_spare += (uint32_t)(wanted - least);
    store->index_segments = (uint32_t)wanted;
    atomic_store_explicit(&store->bucket_room, room + more * per_segment, memory_order_relaxed);
    atomic_store_explicit(&store->bucket_count, buckets, memory_order_release);
    return true;
}
