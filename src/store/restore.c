/* store/restore.c — building index and counters from the records of the memory file.
 *
 * Each builder takes one segment after the other: checksum first, then the records while they are
 * in the cache. Large items wait until all fragments are known. Nothing in the file is trusted: a
 * record that does not fit, a key that is there twice, a fragment that is missing or belongs to two
 * ends it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "store/file.h"

enum { BATCH = 16, FRAGMENT_CLAIMED = 1 /* offsets are multiples of 8 */ };

struct fragments { /* offsets in one segment, ascending */
    uint32_t *at;
    uint32_t count, cap;
};

struct restore {
    struct store *store;
    const struct snapshot *snapshot;
    uint32_t now_s;
    struct fragments *fragments; /* by segment; a segment's are written by its builder alone */
    _Atomic uint32_t next, done; /* records of the snapshot; relaxed: joining orders the rest */
    _Atomic bool failed;
    struct spin lock; /* of what follows */
    uint64_t *heads;  /* locations of large items */
    size_t head_count, head_cap;
    char *reason;
};

struct builder {
    struct restore *restore;
    struct store_thread *thread;
    uint32_t seg;
    bool hidden; /* by a flush */
    int64_t live_bytes, live_items, filled_bytes;
    unsigned count;
    struct built {
        struct item *item;
        uint64_t loc, hash;
    } batch[BATCH];
};

/* The first reason counts. */
static bool fail(struct restore *restore, const char *why, uint32_t seg)
{
    spin_lock(&restore->lock);
    if (!atomic_exchange_explicit(&restore->failed, true, memory_order_relaxed))
        (void)snprintf(restore->reason, SNAPSHOT_REASON_BYTES, "%s, in segment %u", why, seg);
    spin_unlock(&restore->lock);
    return false;
}

/* ── one record ───────────────────────────────────────────────────────────────────────────── */

/* Is this a record that ends within `room` bytes (a multiple of 8, not 0)? And one that can be
 * moved: a CAS unique may have to become a field of it. */
static bool record_ok(struct store *store, const struct item *item, uint32_t room)
{
    const unsigned klen = item_klen(item);
    const uint32_t vlen = item_vlen(item);
    if ((item_st(item) & ~(unsigned)(ST_STALE | ST_WIN | ST_CAS_SEEN | ST_DEAD)) != 0)
        return false;
    if (klen == ITEM_KLEN_FILLER)
        return vlen >= ITEM_ALIGN && vlen % ITEM_ALIGN == 0 && vlen <= room;
    if (klen == ITEM_KLEN_FRAGMENT)
        return vlen > 0 && item_bytes(item) <= room;
    if (klen > STORE_KEY_BYTES_MAX || item_bytes(item) > room)
        return false;
    if ((item->fmt & FMT_STAMP) != 0 && item_stamp(item) > barriers_stamp_last(store))
        return false;
    /* Not record_bytes_max: a record of that size may since have got an exptime or a CAS unique. */
    if (item_bytes_for(item->fmt | FMT_CAS, klen, vlen) > store->segment_bytes)
        return false;
    switch (item->fmt & (FMT_NUMBER | FMT_LARGE)) {
    case 0:
        return true;
    case FMT_NUMBER:
        return vlen > 0 && vlen <= ITEM_NUMBER_WIDTH_MAX;
    case FMT_LARGE:
        return vlen >= 2 * sizeof(uint64_t) && vlen % sizeof(uint64_t) == 0;
    default:
        return false;
    }
}

static bool fragment_note(struct restore *restore, uint32_t seg, uint32_t at)
{
    struct fragments *list = &restore->fragments[seg];
    if (list->count == list->cap) {
        const uint32_t cap = list->cap > 0 ? list->cap * 2 : 16;
        uint32_t *grown = realloc(list->at, cap * sizeof(*grown));
        if (grown == NULL)
            return fail(restore, "out of memory", seg);
        list->at = grown;
        list->cap = cap;
    }
    list->at[list->count++] = at;
    return true;
}

static bool head_note(struct restore *restore, uint32_t seg, uint64_t loc)
{
    bool noted = true;
    spin_lock(&restore->lock);
    if (restore->head_count == restore->head_cap) {
        const size_t cap = restore->head_cap > 0 ? restore->head_cap * 2 : 64;
        uint64_t *grown = realloc(restore->heads, cap * sizeof(*grown));
        noted = grown != NULL;
        if (noted) {
            restore->heads = grown;
            restore->head_cap = cap;
        }
    }
    if (noted)
        restore->heads[restore->head_count++] = loc;
    spin_unlock(&restore->lock);
    return noted || fail(restore, "out of memory", seg);
}

/* ── linking ──────────────────────────────────────────────────────────────────────────────── */

static bool item_link(struct restore *restore, struct store_thread *thread,
                      const struct built *built)
{
    struct store *store = restore->store;
    const struct store_key key = {.key = item_key(built->item), .hash = built->hash};
    const uint32_t seg = loc_segment(store, built->loc);
    struct locked at;
    index_top_up(thread);
    if (UNLIKELY(thread->line_count == 0) && pool_claim_index(store, NULL))
        index_top_up(thread);
    index_lock(store, key.hash, &at);
    const bool twice = index_locked_find(store, &at, &key);
    const bool linked = !twice && index_locked_insert(thread, &at, key.hash, built->loc);
    index_unlock(&at);
    if (!linked)
        return fail(restore, twice ? "a key is there twice" : "no room for the index", seg);
    item_linked(thread, built->item);
    return true;
}

static bool batch_link(struct builder *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        if (!item_link(b->restore, b->thread, &b->batch[i]))
            return false;
        b->live_bytes += item_bytes(b->batch[i].item);
        b->live_items++;
    }
    b->count = 0;
    return true;
}

static bool record_take(struct builder *b, struct item *item, uint64_t loc)
{
    struct restore *restore = b->restore;
    struct store *store = restore->store;
    const unsigned klen = item_klen(item);
    if (klen == ITEM_KLEN_FILLER || (item_st(item) & ST_DEAD) != 0)
        return true;
    if (klen == ITEM_KLEN_FRAGMENT)
        return fragment_note(restore, b->seg,
                             (uint32_t)(loc - segment_loc(store, b->seg)) * ITEM_ALIGN);
    if (b->hidden || item_expired(item, restore->now_s) ||
        item_stamp(item) < barriers_stamp_for(store, item_key(item))) {
        item_st_set(item, ST_DEAD, 0);
        return true;
    }
    if (item->fmt & FMT_LARGE)
        return head_note(restore, b->seg, loc);
    struct built *built = &b->batch[b->count++];
    *built = (struct built){item, loc, hash_bytes(item_key(item), store->seed)};
    store_prefetch_bucket(store, built->hash);
    return b->count < BATCH || batch_link(b);
}

/* ── one segment ──────────────────────────────────────────────────────────────────────────── */

static bool segment_walk(struct builder *b)
{
    struct store *store = b->restore->store;
    const uint64_t first = segment_loc(store, b->seg);
    for (uint32_t at = 0; at < store->segment_bytes;) {
        const uint64_t loc = first + at / ITEM_ALIGN;
        struct item *item = item_at(store, loc);
        if (!record_ok(store, item, store->segment_bytes - at))
            return fail(b->restore, "a record is damaged", b->seg);
        const uint32_t bytes = item_bytes(item);
        if (item_klen(item) != ITEM_KLEN_FILLER)
            b->filled_bytes += bytes;
        if (!record_take(b, item, loc))
            return false;
        at += bytes;
    }
    return batch_link(b);
}

static bool segment_restore(struct builder *b, const struct snapshot_segment *from)
{
    struct restore *restore = b->restore;
    struct store *store = restore->store;
    const uint64_t at = (uint64_t)from->seg << store->segment_shift;
    if (file_allocate(store->file_fd, at, store->segment_bytes) != 0)
        return fail(restore, "no space for it", from->seg);
    if (snapshot_checksum(bytes_of(store->data + at, store->segment_bytes)) != from->checksum)
        return fail(restore, "its bytes are not what they were", from->seg);
    b->seg = from->seg;
    b->hidden = from->seqno <= restore->snapshot->flush_seq;
    b->live_bytes = b->live_items = b->filled_bytes = 0;
    if (!segment_walk(b))
        return false;
    struct segment *segment = &store->segments[b->seg];
    atomic_store_explicit(&segment->live_bytes, b->live_bytes, memory_order_relaxed);
    atomic_store_explicit(&segment->live_items, b->live_items, memory_order_relaxed);
    atomic_store_explicit(&segment->filled_bytes, b->filled_bytes, memory_order_relaxed);
    return true;
}

static void *restore_segments(void *arg)
{
    struct restore *restore = arg;
    struct builder b = {.restore = restore};
    if (store_thread_new(restore->store, &b.thread) != 0)
        return NULL; /* the others do it; who counts them finds out when there are none */
    uint32_t i;
    while (!atomic_load_explicit(&restore->failed, memory_order_relaxed) &&
           (i = atomic_fetch_add_explicit(&restore->next, 1, memory_order_relaxed)) <
               restore->snapshot->segment_count) {
        struct snapshot_segment from;
        snapshot_segment_get(restore->snapshot, i, &from);
        if (segment_restore(&b, &from))
            atomic_fetch_add_explicit(&restore->done, 1, memory_order_relaxed);
    }
    store_thread_free(b.thread);
    return NULL;
}

/* ── large items ──────────────────────────────────────────────────────────────────────────── */

/* Find the live fragment that begins at `loc`, has this hash and is not taken. NULL: none. */
static struct item *fragment_claim(struct restore *restore, uint64_t loc, uint64_t hash)
{
    const struct store *store = restore->store;
    if (loc >= segment_loc(store, restore->snapshot->segment_limit))
        return NULL;
    const uint32_t seg = loc_segment(store, loc);
    const uint32_t want = (uint32_t)(loc - segment_loc(store, seg)) * ITEM_ALIGN;
    const struct fragments *list = &restore->fragments[seg];
    uint32_t low = 0, high = list->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if ((list->at[middle] & ~(uint32_t)FRAGMENT_CLAIMED) < want)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == list->count || list->at[low] != want) /* claimed: another number */
        return NULL;
    struct item *fragment = item_at(store, loc);
    uint64_t owner;
    memcpy(&owner, (const uint8_t *)fragment + ITEM_HEAD_BYTES, sizeof(owner));
    if (owner != hash)
        return NULL;
    list->at[low] |= FRAGMENT_CLAIMED;
    return fragment;
}

static void account(struct store *store, uint64_t loc, uint32_t bytes)
{
    struct segment *segment = loc_seg(store, loc);
    atomic_fetch_add_explicit(&segment->live_bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&segment->live_items, 1, memory_order_relaxed);
}

static bool large_restore(struct restore *restore, struct store_thread *thread, uint64_t loc)
{
    struct store *store = restore->store;
    struct built head = {.item = item_at(store, loc), .loc = loc};
    head.hash = hash_bytes(item_key(head.item), store->seed);
    size_t count;
    const _Atomic uint64_t *table = item_large_table(head.item, &count);
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t at = atomic_load_explicit(&table[i], memory_order_relaxed);
        const struct item *fragment = fragment_claim(restore, at, head.hash);
        if (fragment == NULL)
            return fail(restore, "a large item is incomplete", loc_segment(store, loc));
        total += item_vlen(fragment);
        account(store, at, item_bytes(fragment));
    }
    if (total != item_large_bytes(head.item))
        return fail(restore, "a large item has another length", loc_segment(store, loc));
    account(store, loc, item_bytes(head.item));
    return item_link(restore, thread, &head);
}

static bool large_restore_all(struct restore *restore)
{
    struct store_thread *thread;
    if (store_thread_new(restore->store, &thread) != 0)
        return fail(restore, "out of memory", 0);
    bool good = true;
    for (size_t i = 0; i < restore->head_count && good; i++)
        good = large_restore(restore, thread, restore->heads[i]);
    store_thread_free(thread);
    return good;
}

/* Fragments whose head has expired, was flushed, or never came. */
static void orphans_kill(struct restore *restore)
{
    const struct store *store = restore->store;
    for (uint32_t seg = 0; seg < restore->snapshot->segment_limit; seg++) {
        const struct fragments *list = &restore->fragments[seg];
        for (uint32_t i = 0; i < list->count; i++)
            if ((list->at[i] & FRAGMENT_CLAIMED) == 0)
                item_st_set(item_at(store, segment_loc(store, seg) + list->at[i] / ITEM_ALIGN),
                            ST_DEAD, 0);
    }
}

/* ── all of it ────────────────────────────────────────────────────────────────────────────── */

/* The deleted prefixes that were pending are so again: what they hide is left out. */
static bool barriers_set(struct restore *restore)
{
    struct bytes rest = restore->snapshot->prefixes, prefix;
    uint64_t stamp;
    barriers_stamp_last_set(restore->store, restore->snapshot->prefix_stamp);
    while (snapshot_prefix_next(&rest, &prefix, &stamp))
        if (!barrier_restore(restore->store, prefix, stamp))
            return false;
    return true;
}

/* Set up the headers of the segments, in their queues. */
static bool segments_set(struct restore *restore)
{
    struct store *store = restore->store;
    const struct snapshot *snapshot = restore->snapshot;
    for (uint32_t i = 0; i < snapshot->segment_count; i++) {
        struct snapshot_segment from;
        snapshot_segment_get(snapshot, i, &from);
        struct segment *s = &store->segments[from.seg];
        if (atomic_load_explicit(&s->state, memory_order_relaxed) != SEG_FREE)
            return fail(restore, "it is listed twice", from.seg);
        atomic_store_explicit(&s->seqno, from.seqno, memory_order_relaxed);
        atomic_store_explicit(&s->max_exp_s, from.max_exp_s, memory_order_relaxed);
        atomic_store_explicit(&store->born_s[from.seg], from.born_s, memory_order_relaxed);
        s->bump = store->segment_bytes;
        s->queue = from.queue;
        s->class = from.class;
        queue_push(store, from.seg, false);
    }
    store->resident = snapshot->segment_count;
    return true;
}

static bool restore_run(struct restore *restore, unsigned threads)
{
    struct store *store = restore->store;
    const struct snapshot *snapshot = restore->snapshot;
    const uint32_t limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    if (snapshot->segment_bytes != store->segment_bytes || snapshot->segment_limit != limit)
        return fail(restore, "the memory is divided in another way", 0);
    if (!barriers_set(restore))
        return fail(restore, "it has too many deleted prefixes", 0);
    if (!segments_set(restore))
        return false;
    if (!index_resize(store, snapshot->bucket_count, snapshot->index_segments))
        return fail(restore, "the index does not fit", 0);
    file_parallel(threads, restore_segments, restore);
    if (atomic_load_explicit(&restore->failed, memory_order_relaxed))
        return false;
    if (atomic_load_explicit(&restore->done, memory_order_relaxed) != snapshot->segment_count)
        return fail(restore, "out of memory", 0);
    return large_restore_all(restore);
}

bool store_restore(struct store *store, const struct snapshot *snapshot, unsigned threads,
                   char *ret_reason, uint64_t *ret_items)
{
    struct restore restore = {
        .store = store,
        .snapshot = snapshot,
        .now_s = atomic_load_explicit(&store->now_s, memory_order_relaxed),
        .fragments = calloc((size_t)snapshot->segment_limit + 1, sizeof(struct fragments)),
        .reason = ret_reason,
    };
    const bool good = restore.fragments != NULL ? restore_run(&restore, threads)
                                                : fail(&restore, "out of memory", 0);
    if (good) {
        orphans_kill(&restore);
        uint64_t sum[COUNT_ID_COUNT];
        counters_sum(store, sum);
        *ret_items = sum[COUNT_LINKED];
        atomic_store_explicit(&store->items_rough, (int64_t)*ret_items, memory_order_relaxed);
        atomic_store_explicit(&store->seq_counter, snapshot->seq_counter, memory_order_relaxed);
        atomic_store_explicit(&store->flush_seq, snapshot->flush_seq, memory_order_relaxed);
        if (snapshot->flush_seq != 0)
            atomic_fetch_or_explicit(&store->hide_pending, HIDE_FLUSH, memory_order_relaxed);
        /* one that came due meanwhile is done by the first thread that goes online */
        atomic_store_explicit(&store->flush_at_s, snapshot->flush_at_s, memory_order_relaxed);
    }
    for (uint32_t seg = 0; restore.fragments != NULL && seg < snapshot->segment_limit; seg++)
        free(restore.fragments[seg].at);
    free(restore.fragments);
    free(restore.heads);
    return good;
}
