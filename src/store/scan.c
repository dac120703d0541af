/* store/scan.c — walks over the whole index: showing all live items, and taking out dead ones.
 *
 * A walk that survives the growth of the table
 *
 *   Read the bits of a hash backwards, as a binary fraction. A bucket holds the hashes that end in
 *   its number's bits, so backwards they are those that begin with them: an interval. All buckets
 *   together are the whole range 0..1 without gap or overlap, and a split halves one interval:
 *
 *       bucket      0           2           1           3
 *               |-----------|-----------|-----------|-----------|
 *       split 0 |--0--|--4--|-----------|...                         4 = 0 + 2^2
 *
 *   The cursor is the left end of the interval that comes next. A step locks the bucket that it
 *   lies in, notes the entries and sets the cursor to that interval's right end. As intervals are
 *   only ever halved, the cursor stays a boundary between two of them, whatever is split between
 *   two steps. And what lies to the left of it has been shown, what lies to the right has not: a
 *   hash never changes, and a split moves entries only within the interval that it halves. So an
 *   entry that is there all the time is met exactly once; there are no duplicates.
 *
 *   That the bucket's interval is the one that we compute: its width depends on whether it has been
 *   split in the table's present round, which needs its lock, which we hold.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "store/store_priv.h"

enum {
    ENTRIES_MAX = 64,   /* of a bucket, noted before it is unlocked; five times the usual number */
    CRAWL_BUCKETS = 16, /* per step, some 200 items: 20 us, during which no memory is reclaimed */
};

static uint64_t bits_reversed(uint64_t x)
{
    x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
    x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(x);
}

/* How many hash bits tell the locked bucket from all others. */
static unsigned bucket_bits(const struct store *store, const struct bucket *bucket)
{
    /* relaxed: our lock keeps the one split away that matters */
    const uint64_t count = atomic_load_explicit(&store->bucket_count, memory_order_relaxed);
    const unsigned level = 63u - (unsigned)__builtin_clzll(count);
    const uint64_t half = UINT64_C(1) << level, index = (uint64_t)(bucket - store->buckets);
    return level + (index >= half || index + half < count);
}

/* Lock the bucket at the cursor and set the cursor behind it. */
static void scan_lock(struct store *store, struct store_scan *scan, struct locked *ret_at)
{
    index_lock(store, bits_reversed(scan->at), ret_at);
    scan->at += UINT64_C(1) << (64 - bucket_bits(store, ret_at->bucket));
    scan->done = scan->at == 0; /* wrapped */
}

/* ── showing ──────────────────────────────────────────────────────────────────────────────── */

static void show(struct store_thread *thread, uint64_t loc, store_scan_fn *each, void *arg)
{
    const struct item *item = item_at(thread->store, loc);
    struct store_view view;
    if (item_alive(thread, item, loc) != STORE_OK)
        return;
    view_fill(thread, item, loc, &view);
    view.cas_unique = item_cas(thread->store, item, loc);
    each(arg, &view);
}

void store_scan(struct store_thread *thread, struct store_scan *scan, store_scan_fn *each,
                void *arg)
{
    struct store *store = thread->store;
    uint64_t locs[ENTRIES_MAX];
    unsigned count = 0;
    struct locked at;
    if (scan->done)
        return;
    scan_lock(store, scan, &at);
    struct walk walk = index_locked_walk(store, &at);
    while (count < ENTRIES_MAX && index_locked_next(&walk, &at))
        locs[count++] = at.loc;
    /* A bucket that is as full as that stays locked: what was noted and what follows must be of
     * one moment. Else the records stay as they are until our next quiescent point, (1). */
    const bool full = count == ENTRIES_MAX;
    if (!full)
        index_unlock(&at);
    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch(item_at(store, locs[i]));
    for (unsigned i = 0; i < count; i++)
        show(thread, locs[i], each, arg);
    while (full && index_locked_next(&walk, &at)) {
        show(thread, at.loc, each, arg);
        count++;
    }
    if (full)
        index_unlock(&at);
    count_add(thread, COUNT_SCANNED, count);
}

/* ── taking out ───────────────────────────────────────────────────────────────────────────── */

bool store_crawl(struct store *store, uint64_t items_max)
{
    uint32_t idle = CRAWL_IDLE;
    /* acquire: the last crawl is done with the fields */
    if (!atomic_compare_exchange_strong_explicit(&store->crawl_state, &idle, CRAWL_CLAIMED,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    store->crawl = (struct store_scan){0};
    store->crawl_left = items_max;
    atomic_store_explicit(&store->crawl_state, CRAWL_RUNNING, memory_order_release);
    store_maintain_wake(store);
    return true;
}

bool store_is_crawling(const struct store *store)
{
    return atomic_load_explicit(&store->crawl_state, memory_order_relaxed) != CRAWL_IDLE;
}

uint64_t scan_purge(struct store_thread *thread, struct store_scan *scan)
{
    struct store *store = thread->store;
    struct locked at;
    uint64_t seen = 0;
    int32_t gone = 0;
    scan_lock(store, scan, &at);
    /* All of the bucket's items, and the next bucket, are fetched at once: a third of the time. */
    store_prefetch_bucket(store, bits_reversed(scan->at));
    struct walk walk = index_locked_walk(store, &at);
    while (index_locked_next(&walk, &at))
        __builtin_prefetch(at.item);
    walk = index_locked_walk(store, &at);
    while (index_locked_next(&walk, &at)) {
        const enum store_rc alive = item_alive(thread, at.item, at.loc);
        seen++;
        if (alive == STORE_OK)
            continue;
        item_end(thread, &at, 0, alive, false); /* no ghost, hence no hash needed */
        gone++;
    }
    index_unlock(&at);
    if (gone > 0)
        index_account(thread, -gone);
    return seen;
}

bool crawl_step(struct store_thread *thread)
{
    struct store *store = thread->store;
    /* acquire: the fields as who claimed them wrote them */
    if (atomic_load_explicit(&store->crawl_state, memory_order_acquire) != CRAWL_RUNNING)
        return false;
    uint64_t seen = 0;
    for (unsigned i = 0; i < CRAWL_BUCKETS && !store->crawl.done && seen < store->crawl_left; i++)
        seen += scan_purge(thread, &store->crawl);
    count_add(thread, COUNT_SCANNED, seen);
    store->crawl_left -= seen < store->crawl_left ? seen : store->crawl_left;
    if (store->crawl_left > 0 && !store->crawl.done)
        return true;
    atomic_store_explicit(&store->crawl_state, CRAWL_IDLE, memory_order_release);
    return false;
}
