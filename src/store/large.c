/* store/large.c — values that do not fit one record: fragments in the log, and the uploads that
 * make them.
 *
 *   head record: key | total bytes | location of fragment 0, 1, 2 ...
 *                                         |               |
 *                      fragment record: hash | payload   hash | payload     (each in any segment)
 *
 * A fragment finds its head by the hash, so eviction and compaction can move it and change its
 * entry in the head's table (under the bucket lock). An upload's chunk buffer is on the heap;
 * each full chunk becomes a fragment at once, whose segment stays open for it (`writers`) until
 * the head is linked or the upload is given up. So a slow sender holds at most what it has sent
 * plus one chunk.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "store/store_priv.h"

enum {
    FRAGMENT_PAYLOAD_MIN = 4096,
    LARGE_PART = 32,
    /* Of one call: where memory is short, each has to free as much first. */
    STEP_BYTES_MAX = 64 << 10,
};

struct store_upload {
    struct store *store;
    uint64_t hash;
    uint64_t value_bytes; /* announced */
    uint64_t filled;      /* arrived; the last chunk_len of them still in the chunk */
    uint8_t *chunk;
    size_t chunk_len, chunk_cap;
    bool large;
    uint8_t queue, class;
    uint64_t *locs; /* of the fragments so far */
    size_t count, cap;
};

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

enum store_rc store_upload_new(struct store_thread *thread, const struct store_key *key,
                               uint64_t value_bytes, struct store_upload **ret_upload)
{
    struct store *store = thread->store;
    if (value_bytes > store->item_bytes_max ||
        value_bytes + key->key.len + STORE_ITEM_BYTES_EXTRA > store->item_bytes_max)
        return STORE_TOO_LARGE;
    struct store_upload *upload = calloc(1, sizeof(*upload));
    if (upload == NULL)
        return STORE_NO_MEMORY;
    upload->store = store;
    upload->hash = key->hash;
    upload->value_bytes = value_bytes;
    upload->large = value_is_large(store, key->key.len, value_bytes);
    /* A value that takes a good part of the small queue would be gone with the next eviction. And
     * its parts lie in segments of their own: among copies of what stays each would hold all of its
     * segment until the value is complete, so that a small memory could not take the last ones. */
    const bool takes_much = value_bytes > memory_bytes(store) / LARGE_PART;
    upload->queue = takes_much ? (uint8_t)QUEUE_MAIN : queue_for(thread, key, value_bytes);
    upload->class = takes_much ? CLASS_LARGE : CLASS_NEVER;
    upload->chunk_cap = upload->large && value_bytes > store->fragment_bytes ? store->fragment_bytes
                                                                             : (size_t)value_bytes;
    upload->chunk = malloc(upload->chunk_cap + 1); /* untouched pages cost nothing */
    if (upload->chunk == NULL) {
        free(upload);
        return STORE_NO_MEMORY;
    }
    *ret_upload = upload;
    return STORE_OK;
}

static uint32_t fragment_bytes_at(const struct store_upload *upload, size_t i)
{
    return item_bytes(item_at(upload->store, upload->locs[i]));
}

static struct place fragment_place(const struct store_upload *upload, size_t i)
{
    return (struct place){.item = item_at(upload->store, upload->locs[i]),
                          .loc = upload->locs[i],
                          .bytes = fragment_bytes_at(upload, i),
                          .seg = loc_segment(upload->store, upload->locs[i])};
}

static void fragments_forget(struct store_upload *upload)
{
    atomic_fetch_sub_explicit(&upload->store->upload_bytes, upload->filled - upload->chunk_len,
                              memory_order_relaxed);
    upload->count = 0;
    upload->filled = upload->chunk_len = 0;
}

void store_upload_free(struct store_upload *upload)
{
    if (upload == NULL)
        return;
    for (size_t i = 0; i < upload->count; i++) {
        const struct place place = fragment_place(upload, i);
        item_write_filler(place.item, place.bytes);
        /* release: the filler, for whoever drains the segment */
        atomic_fetch_sub_explicit(&upload->store->segments[place.seg].writers, 1,
                                  memory_order_release);
    }
    if (upload->large)
        fragments_forget(upload);
    free(upload->locs);
    free(upload->chunk);
    free(upload);
}

/* ── filling ──────────────────────────────────────────────────────────────────────────────── */

uint8_t *store_upload_space(struct store_upload *upload, size_t *ret_len)
{
    const uint64_t missing = upload->value_bytes - upload->filled;
    size_t room = upload->chunk_cap - upload->chunk_len;
    if (upload->large && room > STEP_BYTES_MAX)
        room = STEP_BYTES_MAX;
    *ret_len = missing < room ? (size_t)missing : room;
    return upload->chunk + upload->chunk_len;
}

static bool locs_push(struct store_upload *upload, uint64_t loc)
{
    if (upload->count == upload->cap) {
        const size_t cap = upload->cap > 0 ? upload->cap * 2 : 8;
        uint64_t *locs = realloc(upload->locs, cap * sizeof(*locs));
        if (locs == NULL)
            return false;
        upload->locs = locs;
        upload->cap = cap;
    }
    upload->locs[upload->count++] = loc;
    return true;
}

/* Write `payload` (or as much of it as the open segment still takes) as one fragment.
 * Returns the bytes written, 0: no memory. */
static size_t fragment_write(struct store_thread *thread, struct store_upload *upload,
                             struct bytes payload)
{
    const struct log_class where = {upload->queue, upload->class};
    const uint32_t max = item_align(FRAGMENT_HEAD_BYTES + payload.len);
    const uint32_t min = max < FRAGMENT_PAYLOAD_MIN ? max : FRAGMENT_PAYLOAD_MIN;
    struct place place;
    if (!log_alloc_span(thread, where, min, max, &place))
        return 0;
    const size_t len = place.bytes == max ? payload.len : (size_t)place.bytes - FRAGMENT_HEAD_BYTES;
    item_write_filler(place.item, place.bytes);
    if (!locs_push(upload, place.loc)) {
        log_abandon(thread, &place);
        return 0;
    }
    place.item->size = (uint32_t)len << 8 | ITEM_KLEN_FRAGMENT;
    atomic_store_explicit(&place.item->st, 0, memory_order_relaxed);
    memcpy((uint8_t *)place.item + ITEM_HEAD_BYTES, &upload->hash, sizeof(upload->hash));
    memcpy((uint8_t *)place.item + FRAGMENT_HEAD_BYTES, payload.ptr, len);
    return len;
}

static bool chunk_flush(struct store_thread *thread, struct store_upload *upload)
{
    struct store *store = thread->store;
    struct bytes left = bytes_of(upload->chunk, upload->chunk_len);
    /* Uploads under way cannot be evicted: together they get at most 5/8, a little more than the
     * largest item (half of the memory). */
    if (atomic_load_explicit(&store->upload_bytes, memory_order_relaxed) + left.len >
        memory_bytes(store) / 8 * 5)
        return false;
    while (left.len > 0) {
        const size_t len = fragment_write(thread, upload, left);
        if (len == 0)
            return false;
        atomic_fetch_add_explicit(&store->upload_bytes, len, memory_order_relaxed);
        upload->chunk_len -= len; /* `filled - chunk_len` is what the log holds */
        left = bytes_skip(left, len);
    }
    return true;
}

enum store_rc store_upload_fill(struct store_thread *thread, struct store_upload *upload,
                                size_t len)
{
    upload->chunk_len += len;
    upload->filled += len;
    if (!upload->large)
        return STORE_OK;
    reclaim_help(thread, (uint32_t)len); /* with each part, so that the chunk finds room */
    if (upload->chunk_len < upload->chunk_cap && upload->filled < upload->value_bytes)
        return STORE_OK;
    return chunk_flush(thread, upload) ? STORE_OK : STORE_NO_MEMORY;
}

/* ── linking ──────────────────────────────────────────────────────────────────────────────── */

uint8_t upload_queue(const struct store_upload *upload)
{
    return upload->queue;
}

bool upload_takes_much(const struct store_upload *upload)
{
    return upload->class == CLASS_LARGE;
}

bool upload_is_large(const struct store_upload *upload)
{
    return upload->large;
}

uint64_t upload_bytes(const struct store_upload *upload)
{
    return upload->value_bytes;
}

struct bytes upload_value(const struct store_upload *upload)
{
    return bytes_of(upload->chunk, upload->chunk_len);
}

uint32_t upload_table_bytes(const struct store_upload *upload)
{
    return (uint32_t)((upload->count + 1) * sizeof(uint64_t));
}

void upload_write_table(const struct store_upload *upload, uint8_t *at)
{
    memcpy(at, &upload->value_bytes, sizeof(upload->value_bytes));
    memcpy(at + sizeof(uint64_t), upload->locs, upload->count * sizeof(uint64_t));
}

void upload_commit(struct store_thread *thread, struct store_upload *upload, uint32_t exp_s)
{
    for (size_t i = 0; i < upload->count; i++) {
        const struct place place = fragment_place(upload, i);
        log_publish(thread, &place, exp_s);
    }
    fragments_forget(upload);
}

void large_kill(struct store *store, const struct item *head)
{
    size_t count;
    const _Atomic uint64_t *table = item_large_table(head, &count);
    for (size_t i = 0; i < count; i++) {
        const uint64_t loc = atomic_load_explicit(&table[i], memory_order_relaxed);
        log_kill(store, item_at(store, loc), loc);
    }
}

/* ── joining ──────────────────────────────────────────────────────────────────────────────── */

static bool upload_add(struct store_thread *thread, struct store_upload *upload, struct bytes bytes)
{
    while (bytes.len > 0) {
        size_t room;
        uint8_t *space = store_upload_space(upload, &room);
        const size_t len = bytes.len < room ? bytes.len : room;
        memcpy(space, bytes.ptr, len);
        if (store_upload_fill(thread, upload, len) != STORE_OK)
            return false;
        bytes = bytes_skip(bytes, len);
    }
    return true;
}

static bool add_spans(struct store_thread *thread, struct store_upload *upload,
                      const struct bytes *spans, size_t count)
{
    bool added = true;
    for (size_t i = 0; i < count && added; i++)
        added = upload_add(thread, upload, spans[i]);
    return added;
}

static bool add_put(struct store_thread *thread, struct store_upload *upload,
                    const struct store_put *put)
{
    const struct store_upload *from = put->upload;
    if (from == NULL)
        return upload_add(thread, upload, put->value);
    if (!from->large)
        return upload_add(thread, upload, upload_value(from));
    bool added = true;
    for (size_t i = 0; i < from->count && added; i++) {
        const struct item *fragment = item_at(from->store, from->locs[i]);
        added = upload_add(
            thread, upload,
            bytes_of((const uint8_t *)fragment + FRAGMENT_HEAD_BYTES, item_vlen(fragment)));
    }
    return added;
}

struct store_upload *upload_join(struct store_thread *thread, const struct store_key *key,
                                 const struct upload_join *join)
{
    uint64_t total =
        join->put->upload != NULL ? join->put->upload->value_bytes : join->put->value.len;
    for (size_t i = 0; i < join->old_count; i++)
        total += join->old[i].len;
    struct store_upload *upload;
    if (store_upload_new(thread, key, total, &upload) != STORE_OK)
        return NULL;
    const bool before = join->put->mode == STORE_PREPEND;
    if ((before && !add_put(thread, upload, join->put)) ||
        !add_spans(thread, upload, join->old, join->old_count) ||
        (!before && !add_put(thread, upload, join->put))) {
        store_upload_free(upload);
        return NULL;
    }
    return upload;
}
