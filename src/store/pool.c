/* store/pool.c — the memory: one reservation of addresses, the budget, free segments.
 *
 * The budget in segments: resident data segments (used or free) + segments claimed by the index
 * are at most the limit.
 * A segment that gives its place to the index, or is over a lowered limit, returns its pages to
 * the kernel and waits in the void list.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "store/file.h"

enum {
    SEGMENT_BYTES_MIN = 64 << 10,
    SEGMENT_BYTES_MAX = 1 << 20,
    SEGMENTS_WANTED = 512,
    SEGMENTS_MAX_BITS = 20,
    /* Free segments that only evictions may take, so that there is always room to copy
     * survivors. */
    RESERVE_SEGMENTS = 2,
    RESERVE_LAST = 1,
    WAIT_ROUNDS_SPIN = 1000, /* then sleep; a quarter of a second in all */
    WAIT_ROUNDS_MAX = 3000,
    WAIT_SLEEP_NS = 100000,
    BARREN_MAX = 64,     /* tries without gain before a store is refused */
    BARREN_MAX_FULL = 2, /* the same with -M, where being full is ordinary */
    ITEM_BYTES_FEW = 64, /* of small items, with their part of the index */
    GHOST_SHIFT_MAX = 8, /* the bits of ghost_next above those of a stamp */
    SHRINK_SEGMENTS = 8, /* whose pages are returned in one go, 15 us each */
};
/* Of memory that has never been used, see store_touch_ahead(): so much of the data, and of the
 * index's buckets (for some 100,000 items; overflow lines are on small pages). */
#define HUGE_BYTES        (UINT64_C(2) << 20)
#define TOUCH_AHEAD_BYTES (2 * HUGE_BYTES)
#define TOUCH_INDEX_BYTES (HUGE_BYTES / 2)
#define MEMORY_BYTES_MIN  (UINT64_C(1) << 20)
/* Address space beyond -m for cache_memlimit: costs nothing until used. */
#define RESERVE_BYTES_MIN (UINT64_C(16) << 30)
#define RESERVE_FACTOR    8

/* ── the budget ───────────────────────────────────────────────────────────────────────────── */

static uint32_t fresh_room(const struct store *store)
{
    const uint32_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    const uint32_t used = store->resident + store->index_segments;
    return used < limit ? limit - used : 0;
}

static void available_update(struct store *store)
{
    atomic_store_explicit(&store->available, store->free.count + fresh_room(store),
                          memory_order_relaxed);
    atomic_store_explicit(&store->limbo_count, store->limbo.count, memory_order_relaxed);
}

static uint32_t free_pop(struct store *store)
{
    const uint32_t seg = store->free.head;
    store->free.head = store->segments[seg].next;
    store->free.count--;
    return seg;
}

static void free_push(struct store *store, uint32_t seg)
{
    struct segment *s = &store->segments[seg];
    atomic_store_explicit(&s->state, SEG_FREE, memory_order_relaxed);
    s->next = store->free.head;
    store->free.head = seg;
    store->free.count++;
}

/* Return a segment's pages to the kernel. It is nobody else's; without a lock, as this takes tens
 * of microseconds. */
static void pages_return(const struct store *store, uint32_t seg)
{
    const uint64_t at = (uint64_t)seg << store->segment_shift;
    if (store->file_fd < 0)
        madvise(store->data + at, store->segment_bytes, MADV_DONTNEED);
    else
        file_punch(store->file_fd, at, store->segment_bytes);
}

/* A segment whose pages have been returned; pool lock held. */
static void void_push(struct store *store, uint32_t seg)
{
    atomic_store_explicit(&store->segments[seg].state, SEG_FREE, memory_order_relaxed);
    store->segments[seg].next = store->void_head;
    store->void_head = seg;
    store->resident--;
}

/* Take a segment while more than `reserve` stay; pool lock held. */
static bool pool_take(struct store *store, uint32_t reserve, uint32_t *ret_seg)
{
    if (store->free.count + fresh_room(store) <= reserve)
        return false;
    if (store->free.count > 0) {
        *ret_seg = free_pop(store);
    } else if (store->void_head != SEG_NONE) {
        *ret_seg = store->void_head;
        store->void_head = store->segments[store->void_head].next;
        store->resident++;
    } else if (segments_touched(store) < store->segments_virtual) {
        *ret_seg = segments_touched(store);
        atomic_store_explicit(&store->fresh_next, *ret_seg + 1, memory_order_relaxed);
        store->resident++;
    } else {
        return false;
    }
    available_update(store);
    return true;
}

/* Count one segment's worth of memory over to the index; pool lock held. */
static void index_grant(struct store *store)
{
    store->index_segments++;
    store->index_spare++;
    available_update(store);
}

bool pool_spare_take(struct store *store)
{
    spin_lock(&store->pool_lock);
    const bool had = store->index_spare > 0;
    store->index_spare -= had;
    spin_unlock(&store->pool_lock);
    return had;
}

bool pool_claim_index(struct store *store, struct store_thread *thread)
{
    spin_lock(&store->pool_lock);
    bool granted = store->index_spare > 0;
    if (!granted && fresh_room(store) > RESERVE_SEGMENTS) {
        index_grant(store);
        granted = true;
    }
    spin_unlock(&store->pool_lock);
    uint32_t seg;
    if (granted || thread == NULL || thread->evicting || !segment_get(thread, &seg))
        return granted;
    pages_return(store, seg);
    spin_lock(&store->pool_lock);
    void_push(store, seg);
    index_grant(store);
    spin_unlock(&store->pool_lock);
    return true;
}

bool pool_over_limit(struct store *store)
{
    spin_lock(&store->pool_lock);
    /* what waits for its grace period goes as well: not a reason to evict more */
    const bool over = store->resident + store->index_segments >
                      atomic_load_explicit(&store->segment_limit, memory_order_relaxed) +
                          atomic_load_explicit(&store->limbo_waiting, memory_order_relaxed);
    spin_unlock(&store->pool_lock);
    return over;
}

/* Take a free segment that is too many out of the list; pool lock held. */
static bool shrink_pop(struct store *store, uint32_t *ret_seg)
{
    /* the reserve stays: without it nothing could be compacted on the way down, only evicted */
    if (store->free.count <= RESERVE_SEGMENTS ||
        store->resident + store->index_segments <=
            atomic_load_explicit(&store->segment_limit, memory_order_relaxed))
        return false;
    *ret_seg = free_pop(store);
    available_update(store);
    return true;
}

bool pool_shrink(struct store *store)
{
    uint32_t seg;
    spin_lock(&store->pool_lock);
    bool more = shrink_pop(store, &seg);
    for (unsigned i = 1; more; i++) {
        spin_unlock(&store->pool_lock);
        pages_return(store, seg);
        spin_lock(&store->pool_lock);
        void_push(store, seg);
        available_update(store);
        if (i == SHRINK_SEGMENTS)
            break;
        more = shrink_pop(store, &seg);
    }
    spin_unlock(&store->pool_lock);
    return more;
}

uint32_t pool_low_water(const struct store *store)
{
    const uint32_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    const uint32_t low = limit / 100 > 4 ? limit / 100 : 4;
    return RESERVE_SEGMENTS + (low < limit / 16 ? low : limit / 16);
}

uint32_t pool_help_water(const struct store *store)
{
    return RESERVE_SEGMENTS + (pool_low_water(store) - RESERVE_SEGMENTS + 1) / 2;
}

/* ── touching memory ahead ────────────────────────────────────────────────────────────────── */

/* Touch the huge pages of a range from `*touched` to `end`, one at a time; false: it cannot be
 * done. What is in them stays: workers may have been quicker. */
static bool touch(uint8_t *base, uint64_t *touched, uint64_t end)
{
    for (; *touched < end; *touched += HUGE_BYTES)
        if (madvise(base + *touched, HUGE_BYTES, MADV_POPULATE_WRITE) != 0)
            return false;
    return true;
}

static bool touch_data(struct store *store)
{
    uint64_t *touched = &store->touched_data;
    spin_lock(&store->pool_lock);
    const uint64_t used = (uint64_t)segments_touched(store) << store->segment_shift;
    const uint64_t room = (uint64_t)fresh_room(store) << store->segment_shift;
    if (*touched < used)
        *touched = used / HUGE_BYTES * HUGE_BYTES;
    if (room == 0 && *touched > used) { /* the index has got what these were meant for */
        madvise(store->data + used, *touched - used, MADV_DONTNEED);
        *touched = used / HUGE_BYTES * HUGE_BYTES;
    }
    spin_unlock(&store->pool_lock);
    const uint64_t ahead = room < TOUCH_AHEAD_BYTES ? 0 : TOUCH_AHEAD_BYTES;
    const bool done = ahead == 0 || touch(store->data, touched, used + ahead);
    /* relaxed: a hint for segment_get() */
    atomic_store_explicit(&store->touch_wake, ahead == 0 ? UINT64_MAX : used + ahead / 2,
                          memory_order_relaxed);
    return done;
}

static bool touch_index(struct store *store)
{
    const uint64_t buckets = atomic_load_explicit(&store->bucket_count, memory_order_relaxed);
    return touch((uint8_t *)store->buckets, &store->touched_buckets,
                 buckets * sizeof(struct bucket) + TOUCH_INDEX_BYTES);
}

void store_touch_ahead(struct store *store)
{
    if (store->touch_off)
        return;
    store->touch_off = store->segment_bytes < SEGMENT_BYTES_MAX || store->file_fd >= 0 ||
                       !touch_data(store) || !touch_index(store);
}

/* ── limbo ────────────────────────────────────────────────────────────────────────────────── */

void pool_limbo_add(struct store *store, uint32_t seg, uint64_t epoch)
{
    struct segment *s = &store->segments[seg];
    spin_lock(&store->pool_lock);
    s->limbo_epoch = epoch;
    s->next = store->limbo.head;
    store->limbo.head = seg;
    store->limbo.count++;
    atomic_fetch_add_explicit(&store->limbo_waiting, 1, memory_order_relaxed);
    atomic_store_explicit(&s->state, SEG_LIMBO, memory_order_relaxed);
    available_update(store);
    spin_unlock(&store->pool_lock);
}

bool pool_limbo_collect(struct store *store)
{
    if (atomic_load_explicit(&store->limbo_count, memory_order_relaxed) == 0)
        return false;
    const uint64_t reached = epoch_reached(store);
    bool any = false;
    uint32_t waiting = 0;
    spin_lock(&store->pool_lock);
    uint32_t *link = &store->limbo.head;
    while (*link != SEG_NONE) {
        const uint32_t seg = *link;
        struct segment *s = &store->segments[seg];
        const bool ripe = s->limbo_epoch <= reached;
        waiting += !ripe;
        /* acquire: the last unpin's reads are over */
        if (!ripe || atomic_load_explicit(&s->pins, memory_order_acquire) != 0) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        store->limbo.count--;
        free_push(store, seg);
        any = true;
    }
    atomic_store_explicit(&store->limbo_waiting, waiting, memory_order_relaxed);
    available_update(store);
    spin_unlock(&store->pool_lock);
    return any;
}

/* ── getting a segment ────────────────────────────────────────────────────────────────────── */

static bool touch_is_due(const struct store *store)
{
    return (uint64_t)segments_touched(store) << store->segment_shift >=
           atomic_load_explicit(&store->touch_wake, memory_order_relaxed);
}

static bool pool_get(struct store *store, uint32_t reserve, uint32_t *ret_seg)
{
    spin_lock(&store->pool_lock);
    const bool got = pool_take(store, reserve, ret_seg);
    spin_unlock(&store->pool_lock);
    return got;
}

/* A pause that grows: others have to pass a quiescent point, or to finish what they evict. */
static void wait_round(unsigned round)
{
    if (round < WAIT_ROUNDS_SPIN)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = WAIT_SLEEP_NS}, NULL);
}

/* Out of free segments: free some ourselves, or wait for what is in limbo or in another's hands.
 * No lock is held and the thread holds no view, so every round may be a quiescent point. */
static bool segment_wait(struct store_thread *thread, uint32_t *ret_seg)
{
    struct store *store = thread->store;
    const unsigned barren_max = store->no_evict ? BARREN_MAX_FULL : BARREN_MAX;
    unsigned barren = 0;
    for (unsigned round = 0; round < WAIT_ROUNDS_MAX; round++) {
        store_thread_quiesce(thread, thread->now_s);
        pool_limbo_collect(store);
        if (pool_get(store, RESERVE_SEGMENTS, ret_seg))
            return true;
        /* enough is on its way: evicting more would only empty the cache while somebody sleeps */
        if (atomic_load_explicit(&store->limbo_waiting, memory_order_relaxed) > RESERVE_SEGMENTS ||
            !spin_try(&store->maint_lock)) {
            wait_round(round);
            continue;
        }
        const bool gained = reclaim(thread);
        spin_unlock(&store->maint_lock);
        /* Something gained or on its way? It may not be enough for all who wait, so begin to
         * count anew. Nothing, again and again: use what is kept for copying, down to the last. */
        if (gained || atomic_load_explicit(&store->limbo_waiting, memory_order_relaxed) > 0)
            barren = 0;
        else if (++barren >= barren_max)
            return pool_get(store, RESERVE_LAST, ret_seg);
        if (gained)
            continue;
        wait_round(round);
    }
    return false;
}

/* Ahead of need, or to be ready for the next one. */
static bool maintenance_is_due(const struct store *store)
{
    return atomic_load_explicit(&store->available, memory_order_relaxed) < pool_low_water(store) ||
           touch_is_due(store) ||
           atomic_load_explicit(&store->sparse_head, memory_order_relaxed) != SEG_NONE;
}

bool segment_get(struct store_thread *thread, uint32_t *ret_seg)
{
    struct store *store = thread->store;
    if (thread->evicting) {
        if (pool_get(store, 0, ret_seg))
            return true;
        pool_limbo_collect(store);
        return pool_get(store, 0, ret_seg);
    }
    const bool got = pool_get(store, RESERVE_SEGMENTS, ret_seg);
    if (maintenance_is_due(store))
        store_maintain_wake(store);
    return got || segment_wait(thread, ret_seg);
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

static uint32_t segment_bytes_for(uint64_t memory_bytes)
{
    uint64_t bytes = SEGMENT_BYTES_MIN;
    while (bytes < SEGMENT_BYTES_MAX && memory_bytes / (bytes * 2) >= SEGMENTS_WANTED)
        bytes *= 2;
    while (memory_bytes / bytes > UINT64_C(1) << SEGMENTS_MAX_BITS)
        bytes *= 2;
    return (uint32_t)bytes;
}

uint64_t pool_data_bytes(uint64_t memory_bytes)
{
    const uint64_t seg = segment_bytes_for(memory_bytes);
    return memory_bytes / seg * seg;
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* Reserve addresses for `memory_bytes` of data and everything that goes with it. */
static int map_reserve(struct store *store, uint64_t memory_bytes)
{
    const uint64_t seg = store->segment_bytes;
    const uint64_t huge = HUGE_BYTES;
    const uint64_t data = round_up(memory_bytes, huge > seg ? huge : seg);
    const uint64_t segments = data / seg;
    const uint64_t index = round_up(data / 2, huge); /* items of 16 bytes need 12 of index each */
    const uint64_t lines = round_up(data / 8, huge);
    const uint64_t heads = round_up(segments * sizeof(struct segment), huge);
    const uint64_t born = round_up(segments * sizeof(uint32_t), huge);
    const uint64_t total = data + index + lines + heads + born + huge;
    void *map = mmap(NULL, total, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return -ENOMEM;
    uint8_t *at = (uint8_t *)(((uintptr_t)map + huge - 1) & ~(uintptr_t)(huge - 1));
    store->map = map;
    store->map_bytes = total;
    store->segments_virtual = (uint32_t)(segments < SEG_NONE ? segments : SEG_NONE - 1);
    store->data = at;
    store->buckets = (void *)(at + data);
    store->buckets_virtual = index / sizeof(struct bucket);
    store->lines = (void *)(at + data + index);
    store->lines_virtual = lines / sizeof(struct line);
    store->segments = (void *)(at + data + index + lines);
    store->born_s = (void *)(at + data + index + lines + heads);
    if (store->file_fd >= 0) {
        const uint64_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
        store->segments_virtual = (uint32_t)limit;
        if (mmap(store->data, limit * seg, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 store->file_fd, 0) == MAP_FAILED) {
            const int rc = -errno;
            munmap(map, total);
            return rc;
        }
    }
    if (seg == SEGMENT_BYTES_MAX) { /* small stores would overshoot their limit by huge pages */
        madvise(store->data, data, MADV_HUGEPAGE);
        madvise(store->buckets, index, MADV_HUGEPAGE);
    }
    return 0;
}

void pool_init(struct store *store)
{
    store->free = store->limbo = (struct seg_list){.head = SEG_NONE, .tail = SEG_NONE};
    store->void_head = SEG_NONE;
    store->drain.seg = SEG_NONE;
    store->sparse_taken = SEG_NONE;
    atomic_store_explicit(&store->sparse_head, SEG_NONE, memory_order_relaxed);
    atomic_store_explicit(&store->touch_wake, UINT64_MAX, memory_order_relaxed);
    keep_init(store);
    for (unsigned q = 0; q < QUEUE_COUNT; q++) {
        store->queues[q] = (struct seg_list){.head = SEG_NONE, .tail = SEG_NONE};
        for (unsigned c = 0; c < CLASS_COUNT; c++)
            store->groups[q][c].open = SEG_NONE;
    }
    for (unsigned i = 0; i < CLASS_HALF_OCTAVES; i++)
        atomic_init(&store->class_map[i], CLASS_REST);
    /* headers are memory of the store, too */
    const uint64_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    const uint64_t heads = limit * (sizeof(struct segment) + sizeof(uint32_t));
    store->index_segments = (uint32_t)(heads / store->segment_bytes);
    available_update(store);
}

/* -L: take all segments that the limit allows from the kernel, as large pages where it has them.
 * They count as resident, so what the index needs later is taken from them. */
static int pool_fill(struct store *store)
{
    const uint32_t count = fresh_room(store);
    const size_t bytes = (size_t)count << store->segment_shift;
    madvise(store->data, bytes, MADV_HUGEPAGE);
    if (madvise(store->data, bytes, MADV_POPULATE_WRITE) != 0) {
        if (errno == ENOMEM)
            return -ENOMEM;
        for (size_t at = 0; at < bytes; at += 4096) /* an old kernel */
            ((volatile uint8_t *)store->data)[at] = 0;
    }
    atomic_store_explicit(&store->fresh_next, count, memory_order_relaxed);
    store->resident += count;
    for (uint32_t seg = count; seg > 0; seg--)
        free_push(store, seg - 1);
    available_update(store);
    return 0;
}

static int sizes_set(struct store *store, const struct store_config *config)
{
    if (config->memory_bytes < MEMORY_BYTES_MIN ||
        config->item_bytes_max > config->memory_bytes / 2 || config->item_bytes_max < 1024)
        return -EINVAL;
    store->segment_bytes = segment_bytes_for(config->memory_bytes);
    store->segment_shift = (uint32_t)__builtin_ctz(store->segment_bytes);
    store->record_bytes_max = store->segment_bytes / 8;
    store->fragment_bytes = store->segment_bytes / 4;
    store->piece_bytes = store->segment_bytes / 16;
    if (store->piece_bytes > 32 << 10)
        store->piece_bytes = 32 << 10;
    while (config->memory_bytes / ITEM_BYTES_FEW >> store->ghost_shift > STAMP_MASK / 4 &&
           store->ghost_shift < GHOST_SHIFT_MAX)
        store->ghost_shift++;
    store->item_bytes_max = config->item_bytes_max;
    store->no_evict = config->no_evict;
    store->no_cas = config->no_cas;
    store->evict_by_bytes = config->evict_by_bytes;
    store->observer = config->observer;
    store->seed = config->hash_seed;
    while (store->seed == 0)
        if (getrandom(&store->seed, sizeof(store->seed), 0) != sizeof(store->seed))
            return -EINVAL;
    return 0;
}

int pool_new(const struct store_config *config, int fd, struct store **ret_store)
{
    struct store *store = aligned_alloc(CACHE_LINE_BYTES, sizeof(*store));
    if (store == NULL)
        return -ENOMEM;
    memset(store, 0, sizeof(*store));
    store->file_fd = fd;
    int rc = sizes_set(store, config);
    if (rc != 0)
        goto fail;
    rc = barriers_new(store);
    if (rc != 0)
        goto fail;
    atomic_init(&store->segment_limit, (uint32_t)(config->memory_bytes / store->segment_bytes));
    uint64_t reserve = config->memory_bytes * RESERVE_FACTOR;
    if (reserve < RESERVE_BYTES_MIN)
        reserve = RESERVE_BYTES_MIN;
    rc = map_reserve(store, reserve);
    if (rc != 0) /* a system without overcommit: no room to grow, then */
        rc = map_reserve(store, config->memory_bytes);
    if (rc != 0)
        goto fail;
    atomic_init(&store->epoch, EPOCH_FIRST);
    pool_init(store);
    pthread_mutex_init(&store->wait_mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wait_cond, &attr);
    pthread_condattr_destroy(&attr);
    rc = index_init(store);
    if (rc == 0 && config->large_pages && fd < 0)
        rc = pool_fill(store);
    if (rc != 0) {
        store->file_fd = -1;
        store_free(store);
        return rc;
    }
    *ret_store = store;
    return 0;
fail:
    barriers_free(store);
    free(store);
    return rc;
}

int store_new(const struct store_config *config, struct store **ret_store)
{
    return pool_new(config, -1, ret_store);
}

int pool_file_fill(struct store *store)
{
    const uint32_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    uint32_t room = fresh_room(store);
    uint32_t run = 0; /* free segments in a row, to be allocated with one call */
    int rc = 0;
    atomic_store_explicit(&store->fresh_next, limit, memory_order_relaxed);
    for (uint32_t seg = 0; seg <= limit && rc == 0; seg++) {
        const bool free_one = seg < limit && atomic_load_explicit(&store->segments[seg].state,
                                                                  memory_order_relaxed) == SEG_FREE;
        if (free_one && room > run) {
            run++;
            continue;
        }
        if (run > 0)
            rc = file_allocate(store->file_fd, (uint64_t)(seg - run) << store->segment_shift,
                               (uint64_t)run << store->segment_shift);
        room -= run;
        for (; run > 0; run--) {
            free_push(store, seg - run);
            store->resident++;
        }
        if (free_one) { /* its share has gone to the index */
            file_punch(store->file_fd, (uint64_t)seg << store->segment_shift, store->segment_bytes);
            store->segments[seg].next = store->void_head;
            store->void_head = seg;
        }
    }
    available_update(store);
    return rc;
}

void store_free(struct store *store)
{
    if (store == NULL)
        return;
    pthread_cond_destroy(&store->wait_cond);
    pthread_mutex_destroy(&store->wait_mutex);
    munmap(store->map, store->map_bytes);
    if (store->file_fd >= 0)
        close(store->file_fd);
    barriers_free(store);
    free(store);
}

int store_memory_set(struct store *store, uint64_t memory_bytes)
{
    const uint64_t limit = memory_bytes / store->segment_bytes;
    if (memory_bytes < MEMORY_BYTES_MIN || limit > store->segments_virtual || store->file_fd >= 0)
        return -EINVAL;
    spin_lock(&store->pool_lock);
    const bool fits = limit >= store->index_segments + 2 * RESERVE_SEGMENTS + 2;
    if (fits) {
        atomic_store_explicit(&store->segment_limit, (uint32_t)limit, memory_order_relaxed);
        available_update(store);
    }
    spin_unlock(&store->pool_lock);
    if (!fits)
        return -EINVAL;
    store_maintain_wake(store); /* which gives pages back */
    return 0;
}

uint64_t store_hash(const struct store *store, struct bytes key)
{
    return hash_bytes(key, store->seed);
}
