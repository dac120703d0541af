/* support/fake_store.c — all of store.h as a mutex around the model: slow, small and obviously
 * right.
 *
 * Linked instead of src/store it runs the same tests (so it shows that a test asks for no more
 * than store.h promises) and serves layers above that want a store without the engine. It is
 * strict on purpose: a view's bytes are a heap copy that is freed exactly where store.h ends the
 * view, so a sanitizer catches a caller that keeps one too long, and a call of an offline thread
 * aborts.
 *
 * Includes: base, store, support.  Included by: nobody; linked.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "store/store.h"
#include "support/model.h"

enum {
    FAKE_FRAGMENT_BYTES = 16 * 1024, /* values above are `fragmented` */
    FAKE_ITEM_OVERHEAD = 32,
    FAKE_PIECE_BYTES = 4096,
};

struct store {
    struct store_config config;
    pthread_mutex_t lock;
    struct model *model;
    struct store_info counters;
    uint64_t memory_bytes, memory_bytes_start;
};

struct fake_copy { /* what one view borrows */
    struct fake_copy *next;
    uint64_t value_bytes;
    uint8_t key[STORE_KEY_BYTES_MAX];
    uint8_t value[];
};

struct store_thread {
    struct store *store;
    struct fake_copy *copies;
    uint32_t now_s;
    bool online;
};

struct store_upload {
    uint64_t len, filled;
    uint8_t bytes[];
};

struct store_ref {
    size_t count;
    struct bytes spans[2];
    uint8_t bytes[];
};

static void *fake_alloc(size_t bytes)
{
    void *ptr = malloc(bytes);
    if (ptr == NULL)
        abort();
    return ptr;
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

int store_new(const struct store_config *config, struct store **ret_store)
{
    if (config->memory_bytes < 1 << 20 || config->item_bytes_max > config->memory_bytes / 2)
        return -EINVAL;
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return -ENOMEM;
    store->config = *config;
    if (config->hash_seed == 0)
        store->config.hash_seed = (uint64_t)(uintptr_t)store; /* differs from store to store */
    store->memory_bytes = store->memory_bytes_start = config->memory_bytes;
    store->model = model_new(config->item_bytes_max, config->no_cas);
    pthread_mutex_init(&store->lock, NULL);
    *ret_store = store;
    return 0;
}

void store_free(struct store *store)
{
    if (store == NULL)
        return;
    model_free(store->model);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

int store_thread_new(struct store *store, struct store_thread **ret_thread)
{
    struct store_thread *thread = calloc(1, sizeof(*thread));
    if (thread == NULL)
        return -ENOMEM;
    thread->store = store;
    *ret_thread = thread;
    return 0;
}

static void views_end(struct store_thread *thread)
{
    while (thread->copies != NULL) {
        struct fake_copy *copy = thread->copies;
        thread->copies = copy->next;
        free(copy);
    }
}

void store_thread_free(struct store_thread *thread)
{
    if (thread == NULL)
        return;
    views_end(thread);
    free(thread);
}

void store_thread_online(struct store_thread *thread, uint32_t now_s)
{
    thread->online = true;
    store_thread_quiesce(thread, now_s);
}

void store_thread_quiesce(struct store_thread *thread, uint32_t now_s)
{
    if (!thread->online)
        abort();
    views_end(thread);
    thread->now_s = now_s;
}

void store_thread_offline(struct store_thread *thread)
{
    views_end(thread);
    thread->online = false;
}

void store_maintain(struct store_thread *thread)
{
    if (!thread->online)
        abort();
    views_end(thread);
}

void store_maintain_wait(struct store *store, uint32_t timeout_ms)
{
    (void)store;
    const uint32_t ms = timeout_ms < 20 ? timeout_ms : 20;
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000l}, NULL);
}

void store_maintain_wake(struct store *store)
{
    (void)store;
}

/* ── the calls: lock, bring the model up to date, ask it ───────────────────────────────────── */

static struct model *fake_enter(struct store_thread *thread)
{
    if (!thread->online)
        abort();
    pthread_mutex_lock(&thread->store->lock);
    model_time_set(thread->store->model, thread->now_s);
    return thread->store->model;
}

static void fake_leave(struct store_thread *thread)
{
    pthread_mutex_unlock(&thread->store->lock);
}

static uint64_t fake_used(const struct store *store)
{
    return model_data_bytes(store->model) + model_item_count(store->model) * FAKE_ITEM_OVERHEAD;
}

/* Make room for `bytes`, or say that there is none. */
static enum store_rc fake_reserve(struct store *store, uint64_t bytes)
{
    while (fake_used(store) + bytes > store->memory_bytes * 9 / 10) {
        if (store->config.no_evict || !model_evict(store->model)) {
            store->counters.out_of_memory++;
            return STORE_NO_MEMORY;
        }
        store->counters.evictions++;
    }
    return STORE_OK;
}

uint64_t store_hash(const struct store *store, struct bytes key)
{
    return hash_bytes(key, store->config.hash_seed);
}

void store_prefetch_bucket(const struct store *store, uint64_t hash)
{
    (void)store, (void)hash;
}

uint8_t store_prefetch_item(const struct store *store, uint64_t hash)
{
    (void)store, (void)hash;
    return 0;
}

/* Replace what the view borrows from the model by copies that live as long as the view. */
static void view_detach(struct store_thread *thread, struct store_view *view)
{
    struct fake_copy *copy = fake_alloc(sizeof(*copy) + view->value_bytes);
    copy->value_bytes = view->value_bytes;
    memcpy(copy->key, view->key.ptr, view->key.len);
    if (view->value_bytes > 0)
        memcpy(copy->value, view->value.ptr, view->value_bytes);
    copy->next = thread->copies;
    thread->copies = copy;
    view->key.ptr = copy->key;
    view->fragmented = view->value_bytes > FAKE_FRAGMENT_BYTES;
    view->value = view->fragmented ? bytes_of(NULL, 0) : bytes_of(copy->value, view->value_bytes);
    view->memory_bytes = view->key.len + view->value_bytes + FAKE_ITEM_OVERHEAD;
    view->item = copy;
}

enum store_rc store_get(struct store_thread *thread, const struct store_key *key, unsigned flags,
                        struct store_view *ret_view)
{
    struct model *model = fake_enter(thread);
    const enum store_rc rc = model_get(model, key, flags, ret_view);
    if (rc == STORE_OK)
        view_detach(thread, ret_view);
    fake_leave(thread);
    return rc;
}

enum store_rc store_fetch(struct store_thread *thread, const struct store_key *key,
                          const struct store_fetch *how, struct store_view *ret_view)
{
    struct model *model = fake_enter(thread);
    views_end(thread);
    const enum store_rc rc = model_fetch(model, key, how, ret_view);
    if (rc == STORE_OK)
        view_detach(thread, ret_view);
    fake_leave(thread);
    return rc;
}

struct store_ref *store_ref_new(struct store_thread *thread, const struct store_view *view)
{
    (void)thread;
    const struct fake_copy *copy = view->item;
    struct store_ref *ref = fake_alloc(sizeof(*ref) + view->value_bytes);
    if (view->value_bytes > 0)
        memcpy(ref->bytes, copy->value, view->value_bytes);
    const size_t first = view->value_bytes / 3;
    ref->spans[0] = bytes_of(ref->bytes, first);
    ref->spans[1] = bytes_of(ref->bytes + first, view->value_bytes - first);
    ref->count = 2;
    return ref;
}

void store_ref_free(struct store_ref *ref)
{
    free(ref);
}

const struct bytes *store_ref_spans(const struct store_ref *ref, size_t *ret_count)
{
    *ret_count = ref->count;
    return ref->spans;
}

enum store_rc store_put(struct store_thread *thread, const struct store_key *key,
                        const struct store_put *put, struct store_put_result *ret_result)
{
    struct store *store = thread->store;
    struct store_put whole = *put;
    if (put->upload != NULL)
        whole.value = bytes_of(put->upload->bytes, put->upload->len);
    struct model *model = fake_enter(thread);
    views_end(thread);
    enum store_rc rc = fake_reserve(store, whole.value.len + key->key.len + FAKE_ITEM_OVERHEAD);
    if (rc == STORE_OK)
        rc = model_put(model, key, &whole, ret_result);
    store->counters.items_total += rc == STORE_OK;
    fake_leave(thread);
    free(put->upload);
    return rc;
}

enum store_rc store_arith(struct store_thread *thread, const struct store_key *key,
                          const struct store_arith *arith, struct store_arith_result *ret_result)
{
    struct model *model = fake_enter(thread);
    views_end(thread);
    const enum store_rc rc = model_arith(model, key, arith, ret_result);
    fake_leave(thread);
    return rc;
}

enum store_rc store_delete(struct store_thread *thread, const struct store_key *key,
                           const struct store_delete *how)
{
    struct model *model = fake_enter(thread);
    views_end(thread);
    const enum store_rc rc = model_delete(model, key, how);
    fake_leave(thread);
    return rc;
}

void store_flush(struct store_thread *thread, uint32_t when_s)
{
    model_flush(fake_enter(thread), when_s);
    fake_leave(thread);
}

bool store_delete_prefix(struct store_thread *thread, struct bytes prefix)
{
    model_delete_prefix(fake_enter(thread), prefix);
    fake_leave(thread);
    return true;
}

/* ── uploads ──────────────────────────────────────────────────────────────────────────────── */

enum store_rc store_upload_new(struct store_thread *thread, const struct store_key *key,
                               uint64_t value_bytes, struct store_upload **ret_upload)
{
    const uint64_t extra = key->key.len + STORE_ITEM_BYTES_EXTRA;
    if (value_bytes > thread->store->config.item_bytes_max - extra)
        return STORE_TOO_LARGE;
    struct store_upload *upload = fake_alloc(sizeof(*upload) + value_bytes);
    upload->len = value_bytes;
    upload->filled = 0;
    *ret_upload = upload;
    return STORE_OK;
}

uint8_t *store_upload_space(struct store_upload *upload, size_t *ret_len)
{
    const uint64_t left = upload->len - upload->filled;
    *ret_len = left < FAKE_PIECE_BYTES ? left : FAKE_PIECE_BYTES;
    return upload->bytes + upload->filled;
}

enum store_rc store_upload_fill(struct store_thread *thread, struct store_upload *upload,
                                size_t len)
{
    if (!thread->online || len > upload->len - upload->filled)
        abort();
    upload->filled += len;
    return STORE_OK;
}

void store_upload_free(struct store_upload *upload)
{
    free(upload);
}

/* ── walking over all items ───────────────────────────────────────────────────────────────── */

struct fake_scan {
    struct store_thread *thread;
    store_scan_fn *each;
    void *arg;
};

static void scan_show(void *arg, const struct model_item *item)
{
    const struct fake_scan *scan = arg;
    struct model *model = scan->thread->store->model;
    const struct store_key key = {.key = bytes_of(item->key, item->key_len)};
    struct store_view view;
    if (model_get(model, &key, STORE_GET_CAS | STORE_GET_NO_BUMP, &view) != STORE_OK)
        return;
    view_detach(scan->thread, &view);
    scan->each(scan->arg, &view);
}

/* All in one step. */
void store_scan(struct store_thread *thread, struct store_scan *scan, store_scan_fn *each,
                void *arg)
{
    struct fake_scan all = {.thread = thread, .each = each, .arg = arg};
    if (scan->done)
        return;
    model_each(fake_enter(thread), scan_show, &all);
    fake_leave(thread);
    scan->done = true;
}

bool store_crawl(struct store *store, uint64_t items_max)
{
    (void)store;
    (void)items_max;
    return true; /* the model drops dead items by itself */
}

bool store_is_crawling(const struct store *store)
{
    (void)store;
    return false;
}

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

int store_memory_set(struct store *store, uint64_t memory_bytes)
{
    if (memory_bytes < 1 << 20 || memory_bytes > store->memory_bytes_start)
        return -EINVAL;
    pthread_mutex_lock(&store->lock);
    store->memory_bytes = memory_bytes;
    if (!store->config.no_evict)
        (void)fake_reserve(store, 0);
    pthread_mutex_unlock(&store->lock);
    return 0;
}

void store_info(struct store *store, struct store_info *ret_info)
{
    pthread_mutex_lock(&store->lock);
    *ret_info = store->counters;
    ret_info->items = model_item_count(store->model);
    ret_info->item_bytes = fake_used(store);
    ret_info->memory_bytes = store->memory_bytes;
    ret_info->index_buckets = 1;
    ret_info->memory_used_bytes = fake_used(store);
    pthread_mutex_unlock(&store->lock);
}

void store_info_reset(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    store->counters = (struct store_info){0};
    pthread_mutex_unlock(&store->lock);
}
