/* stress/stress_store.c — everything at once in a tiny store; to be run under ThreadSanitizer.
 *
 * Threads read, store, overwrite, delete, touch, count, flush, upload, hold references across
 * quiescent points and free each other's, go offline and come back, while the main thread moves
 * the clock and the memory limit. Phases change what most operations are, so that eviction,
 * ghosts, compaction, growth, expiry and large values each get their turn. Values carry their
 * key, writer, version and a checksum of all bytes; a reader that sees a torn or foreign value,
 * or an older one than it has seen, ends the program.
 *
 * It runs with a maintenance thread, then without (workers must evict for themselves), and fails
 * when one of the mechanisms never ran.
 *
 * Usage: stress_store [SEED]; environment: MATTE_SEED, MATTE_STRESS_SECONDS (both variants
 *        together, 20), MATTE_STRESS_THREADS (4), MATTE_STRESS_MIB (2).
 * SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support/kit.h"

enum {
    KEYS = 40000,
    THREADS_MAX = 16,
    HELD_REFS = 12, /* references on their way from thread to thread */
    PHASE_MS = 200,
    VALUE_BYTES_MAX = 240 * 1024,
};

enum phase { PHASE_CHURN, PHASE_OVERWRITE, PHASE_LARGE, PHASE_SHORT, PHASE_COUNT };

enum tally {
    TALLY_OPS,
    TALLY_HITS,
    TALLY_MISSES,
    TALLY_SETS,
    TALLY_NO_MEMORY,
    TALLY_UPLOADS,
    TALLY_UPLOADS_GIVEN_UP,
    TALLY_REFS,
    TALLY_REFS_REFUSED,
    TALLY_FLUSHES,
    TALLY_OFFLINE,
    TALLY_COUNT
};

struct held { /* a reference and what it must contain */
    struct store_ref *ref;
    uint64_t key_id, value_bytes;
};

struct stress {
    struct store *store;
    uint64_t seed;
    _Atomic uint32_t now_s;
    _Atomic uint32_t phase;
    _Atomic bool stop;
    uint32_t thread_count;
    _Atomic uint64_t issued[KEYS]; /* versions handed out */
    pthread_mutex_t held_lock;
    struct held held[HELD_REFS];
    _Atomic uint64_t tally[TALLY_COUNT];
};

struct worker {
    struct stress *stress;
    struct kit kit;
    uint32_t id;
    uint64_t random;
    uint64_t tally[TALLY_COUNT];
    /* per writer: twice the newest version seen, + 1 when a flush came after that: no older one
     * (nor the flushed one) may be seen again */
    uint32_t newest[THREADS_MAX][KEYS];
    char key[64];
    uint8_t value[VALUE_BYTES_MAX], copy[VALUE_BYTES_MAX];
};

static uint64_t draw(struct worker *w, uint64_t bound)
{
    return kit_random_below(&w->random, bound);
}

/* Small numbers more often: about what a cache sees. */
static uint64_t draw_skewed(struct worker *w, uint64_t bound)
{
    uint64_t top = bound;
    while (top > 16 && draw(w, 4) != 0)
        top /= 2;
    return draw(w, top);
}

static struct store_key key_of(struct worker *w, uint64_t key_id)
{
    const int len = snprintf(w->key, sizeof(w->key), "%llu:%.*s", (unsigned long long)key_id,
                             (int)(key_id % 40), "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst");
    return kit_key(&w->kit, bytes_of(w->key, (size_t)len));
}

/* ── looking at values ────────────────────────────────────────────────────────────────────── */

static void value_check(struct worker *w, uint64_t key_id, const uint8_t *value, uint64_t len,
                        bool fresh)
{
    struct kit_stamp stamp;
    KIT_CHECK(kit_stamp_read(value, len, &stamp), "torn value of key %llu, %llu bytes",
              (unsigned long long)key_id, (unsigned long long)len);
    KIT_CHECK(stamp.key_id == key_id, "value of key %llu in key %llu",
              (unsigned long long)stamp.key_id, (unsigned long long)key_id);
    KIT_CHECK(stamp.writer < w->stress->thread_count, "writer %u", stamp.writer);
    KIT_CHECK(stamp.version <= atomic_load(&w->stress->issued[key_id]), "never written");
    if (!fresh)
        return;
    uint32_t *newest = &w->newest[stamp.writer][key_id];
    KIT_CHECK(2 * stamp.version >= *newest, "key %llu: version %llu after %u of writer %u%s",
              (unsigned long long)key_id, (unsigned long long)stamp.version, *newest / 2,
              stamp.writer, *newest % 2 ? " and a flush" : "");
    *newest = 2 * (uint32_t)stamp.version;
}

/* Check what a reference holds, however old, and give it back. */
static void held_end(struct worker *w, const struct held *held)
{
    size_t count, at = 0;
    if (held->ref == NULL)
        return;
    const struct bytes *spans = store_ref_spans(held->ref, &count);
    for (size_t i = 0; i < count; i++) {
        KIT_CHECK(at + spans[i].len <= held->value_bytes, "spans are too long");
        memcpy(w->copy + at, spans[i].ptr, spans[i].len);
        at += spans[i].len;
    }
    KIT_CHECK(at == held->value_bytes, "spans hold %zu bytes", at);
    value_check(w, held->key_id, w->copy, at, false);
    store_ref_free(held->ref);
}

/* Leave a reference for others and take one that somebody left. */
static void held_swap(struct worker *w, struct held *held)
{
    struct stress *stress = w->stress;
    pthread_mutex_lock(&stress->held_lock);
    struct held *place = &stress->held[draw(w, HELD_REFS)];
    const struct held other = *place;
    *place = *held;
    *held = other;
    pthread_mutex_unlock(&stress->held_lock);
}

static void view_hold(struct worker *w, const struct store_view *view, uint64_t key_id)
{
    struct held held = {store_ref_new(w->kit.thread, view), key_id, view->value_bytes};
    if (held.ref == NULL) {
        w->tally[TALLY_REFS_REFUSED]++;
        return;
    }
    w->tally[TALLY_REFS]++;
    held_swap(w, &held);
    held_end(w, &held);
}

static void view_check(struct worker *w, const struct store_view *view, uint64_t key_id)
{
    w->tally[TALLY_HITS]++;
    if (!view->fragmented)
        value_check(w, key_id, view->value.ptr, view->value_bytes, true);
    else if (kit_view_copy(&w->kit, view, w->copy))
        value_check(w, key_id, w->copy, view->value_bytes, true);
    if (draw(w, view->value_bytes > 4096 ? 3 : 500) == 0)
        view_hold(w, view, key_id);
}

/* ── operations ───────────────────────────────────────────────────────────────────────────── */

static uint32_t draw_exp_s(struct worker *w)
{
    const bool brief = atomic_load_explicit(&w->stress->phase, memory_order_relaxed) == PHASE_SHORT;
    if (draw(w, brief ? 2 : 10) != 0)
        return 0;
    return w->kit.now_s + (uint32_t)draw(w, brief ? 8 : 100000);
}

static void rc_count(struct worker *w, enum store_rc rc)
{
    w->tally[TALLY_NO_MEMORY] += rc == STORE_NO_MEMORY;
    w->tally[TALLY_SETS] += rc == STORE_OK;
}

static void op_set(struct worker *w, uint64_t key_id, size_t len)
{
    const struct store_key key = key_of(w, key_id);
    struct store_put_result result;
    struct store_put put = {.exp_s = draw_exp_s(w), .client_flags = (uint32_t)draw(w, 3) * 300};
    const uint64_t version = 1 + atomic_fetch_add(&w->stress->issued[key_id], 1);
    if (draw(w, 10) == 0)
        put.mode = draw(w, 2) ? STORE_ADD : STORE_REPLACE;
    len = len < sizeof(struct kit_stamp) ? sizeof(struct kit_stamp) : len;
    kit_stamp_write(w->value, len, key_id, w->id, version);
    put.value = bytes_of(w->value, len);
    enum store_rc rc;
    if (len > 4000 && draw(w, 2) == 0) {
        rc = kit_put_pieces(&w->kit, &key, put, 1 + draw(w, 30000), &result);
        w->tally[TALLY_UPLOADS]++;
    } else {
        rc = store_put(w->kit.thread, &key, &put, &result);
    }
    KIT_CHECK(rc == STORE_OK || rc == STORE_NOT_STORED || rc == STORE_NO_MEMORY, "set: %s",
              kit_rc_name(rc));
    rc_count(w, rc);
    if (rc == STORE_OK)
        w->newest[w->id][key_id] = 2 * (uint32_t)version;
}

static void op_get(struct worker *w, uint64_t key_id)
{
    const struct store_key key = key_of(w, key_id);
    struct store_view view;
    const unsigned flags = (unsigned)draw(w, 4);
    const enum store_rc rc = store_get(w->kit.thread, &key, flags, &view);
    if (rc == STORE_OK) {
        view_check(w, &view, key_id);
        return;
    }
    KIT_CHECK(store_rc_is_miss(rc), "get: %s", kit_rc_name(rc));
    w->tally[TALLY_MISSES]++;
    if (draw(w, 4) != 0)
        op_set(w, key_id, 40 + draw(w, 300)); /* cache-aside */
}

/* A batch: prefetch all, look up all, then look at all. */
static void op_multiget(struct worker *w)
{
    enum { COUNT = 8 };
    struct store_key keys[COUNT];
    static _Thread_local char texts[COUNT][sizeof(w->key)];
    struct store_view views[COUNT];
    uint64_t ids[COUNT];
    bool hit[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        ids[i] = draw_skewed(w, KEYS);
        keys[i] = key_of(w, ids[i]);
        memcpy(texts[i], w->key, sizeof(w->key));
        keys[i].key.ptr = (const uint8_t *)texts[i];
        store_prefetch_bucket(w->kit.store, keys[i].hash);
    }
    for (size_t i = 0; i < COUNT; i++)
        keys[i].hint = store_prefetch_item(w->kit.store, keys[i].hash);
    for (size_t i = 0; i < COUNT; i++)
        hit[i] = store_get(w->kit.thread, &keys[i], 0, &views[i]) == STORE_OK;
    for (size_t i = 0; i < COUNT; i++)
        if (hit[i])
            view_check(w, &views[i], ids[i]);
}

static void op_fetch(struct worker *w, uint64_t key_id)
{
    const struct store_key key = key_of(w, key_id);
    struct store_view view;
    struct store_fetch how = {.lease = true, .touch = draw(w, 2), .flags = (unsigned)draw(w, 4)};
    how.touch_exp_s = draw_exp_s(w);
    const enum store_rc rc = store_fetch(w->kit.thread, &key, &how, &view);
    KIT_CHECK(rc == STORE_OK || rc == STORE_NO_MEMORY || store_rc_is_miss(rc), "fetch: %s",
              kit_rc_name(rc));
    if (rc == STORE_OK && view.value_bytes > 0)
        view_check(w, &view, key_id);
}

static void op_delete(struct worker *w, uint64_t key_id)
{
    const struct store_key key = key_of(w, key_id);
    const struct store_delete how = {.invalidate = draw(w, 2)};
    const enum store_rc rc = store_delete(w->kit.thread, &key, &how);
    KIT_CHECK(rc == STORE_OK || rc == STORE_NO_MEMORY || store_rc_is_miss(rc), "delete: %s",
              kit_rc_name(rc));
}

/* Read with CAS, write with compare: at most one of those who saw the same value gets through. */
static void op_compare(struct worker *w, uint64_t key_id)
{
    const struct store_key key = key_of(w, key_id);
    struct store_view view;
    struct store_put_result result;
    if (store_get(w->kit.thread, &key, STORE_GET_CAS, &view) != STORE_OK)
        return;
    view_check(w, &view, key_id);
    const uint64_t version = 1 + atomic_fetch_add(&w->stress->issued[key_id], 1);
    kit_stamp_write(w->value, 100, key_id, w->id, version);
    const struct store_put put = {.compare = true,
                                  .compare_cas = view.cas_unique,
                                  .allow_stale = draw(w, 2),
                                  .value = bytes_of(w->value, 100)};
    const enum store_rc rc = store_put(w->kit.thread, &key, &put, &result);
    KIT_CHECK(rc != STORE_TOO_LARGE && rc != STORE_NOT_STORED && rc != STORE_NOT_NUMBER,
              "compare: %s", kit_rc_name(rc));
    rc_count(w, rc);
    if (rc == STORE_OK)
        w->newest[w->id][key_id] = 2 * (uint32_t)version;
}

static void op_number(struct worker *w)
{
    struct store_arith_result result;
    struct store_view view;
    char name[16];
    snprintf(name, sizeof(name), "n%u", (unsigned)draw(w, 20));
    const struct store_key key = kit_key_str(&w->kit, name);
    const struct store_arith how = {
        .delta = draw(w, 1000), .decr = draw(w, 2), .vivify = true, .initial = 500};
    const enum store_rc rc = store_arith(w->kit.thread, &key, &how, &result);
    KIT_CHECK(rc == STORE_OK || rc == STORE_NO_MEMORY, "arith: %s", kit_rc_name(rc));
    if (store_get(w->kit.thread, &key, (unsigned)draw(w, 4), &view) != STORE_OK)
        return;
    KIT_CHECK(view.value.len >= 1 && view.value.len <= 20, "%zu digits", view.value.len);
    for (size_t i = 0; i < view.value.len; i++) {
        const uint8_t c = view.value.ptr[i];
        KIT_CHECK((c >= '0' && c <= '9') || (c == ' ' && i > 0), "byte %u in a number", c);
    }
}

static void op_upload_give_up(struct worker *w)
{
    const struct store_key key = key_of(w, draw(w, KEYS));
    struct store_upload *upload;
    if (store_upload_new(w->kit.thread, &key, 1000 + draw(w, 200000), &upload) != STORE_OK)
        return;
    for (uint64_t pieces = draw(w, 6); pieces > 0; pieces--) {
        size_t room;
        uint8_t *space = store_upload_space(upload, &room);
        if (room == 0)
            break;
        memset(space, 'u', room > 3000 ? 3000 : room);
        if (store_upload_fill(w->kit.thread, upload, room > 3000 ? 3000 : room) != STORE_OK)
            break;
    }
    store_upload_free(upload);
    w->tally[TALLY_UPLOADS_GIVEN_UP]++;
}

/* What we have seen or stored before a flush must never be seen again. */
static void newest_flush(struct worker *w)
{
    for (uint32_t writer = 0; writer < w->stress->thread_count; writer++)
        for (uint64_t key_id = 0; key_id < KEYS; key_id++)
            w->newest[writer][key_id] |= w->newest[writer][key_id] != 0;
}

static void op_flush(struct worker *w)
{
    if (draw(w, 60) != 0)
        return;
    w->tally[TALLY_FLUSHES]++;
    if (draw(w, 2)) {
        store_flush(w->kit.thread, w->kit.now_s + 1 + (uint32_t)draw(w, 3));
        return;
    }
    store_flush(w->kit.thread, w->kit.now_s);
    newest_flush(w);
}

static void op_offline(struct worker *w)
{
    struct held held = {NULL, 0, 0};
    store_thread_offline(w->kit.thread);
    held_swap(w, &held);
    held_end(w, &held); /* references may be given back while offline */
    if (draw(w, 2))
        nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    w->kit.now_s = atomic_load(&w->stress->now_s);
    store_thread_online(w->kit.thread, w->kit.now_s);
    w->tally[TALLY_OFFLINE]++;
}

static void op_of_phase(struct worker *w, enum phase phase, uint64_t kind)
{
    switch (phase) {
    case PHASE_CHURN:
        op_get(w, draw_skewed(w, KEYS));
        return;
    case PHASE_OVERWRITE:
        op_set(w, draw(w, 400), 300 + draw(w, 1200));
        return;
    case PHASE_LARGE:
        if (kind < 40)
            op_set(w, draw(w, 60), draw_skewed(w, VALUE_BYTES_MAX));
        else if (kind < 45)
            op_upload_give_up(w);
        else
            op_get(w, draw(w, 200));
        return;
    case PHASE_SHORT:
        if (kind < 30)
            op_flush(w);
        else
            op_set(w, draw(w, KEYS), draw(w, 500));
        return;
    case PHASE_COUNT:
        return;
    }
}

static void worker_op(struct worker *w)
{
    const uint64_t kind = draw(w, 100);
    w->tally[TALLY_OPS]++;
    if (kind < 10)
        op_multiget(w);
    else if (kind < 14)
        op_delete(w, draw_skewed(w, KEYS));
    else if (kind < 18)
        op_fetch(w, draw_skewed(w, KEYS));
    else if (kind < 22)
        op_compare(w, draw_skewed(w, KEYS));
    else if (kind < 25)
        op_number(w);
    else
        op_of_phase(w, (enum phase)atomic_load(&w->stress->phase), kind);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct stress *stress = w->stress;
    uint64_t batch = 0;
    kit_join(&w->kit, stress->store, atomic_load(&stress->now_s));
    while (!atomic_load_explicit(&stress->stop, memory_order_relaxed)) {
        worker_op(w);
        if (batch-- != 0)
            continue;
        batch = draw(w, 30);
        kit_time_set(&w->kit, atomic_load(&stress->now_s));
        if (draw(w, 100) == 0)
            op_offline(w);
    }
    kit_close(&w->kit);
    for (size_t i = 0; i < TALLY_COUNT; i++)
        atomic_fetch_add(&stress->tally[i], w->tally[i]);
    return NULL;
}

static void *maintainer_main(void *arg)
{
    struct stress *stress = arg;
    struct kit kit;
    kit_join(&kit, stress->store, atomic_load(&stress->now_s));
    while (!atomic_load(&stress->stop)) {
        store_maintain(kit.thread);
        store_thread_offline(kit.thread);
        store_maintain_wait(stress->store, 20);
        store_thread_online(kit.thread, atomic_load(&stress->now_s));
    }
    kit_close(&kit);
    return NULL;
}

/* ── one run ──────────────────────────────────────────────────────────────────────────────── */

static void info_check(const struct store_info *info)
{
    KIT_CHECK(info->segments_free <= info->segments_max, "%u free segments", info->segments_free);
    KIT_CHECK(info->index_buckets >> info->index_level == 1, "level %u", info->index_level);
}

/* Has the store done all that it can do? */
static bool all_seen(const struct store_info *info, uint64_t buckets_before)
{
    return info->evictions > 0 && info->segments_compacted > 0 && info->segments_expired > 0 &&
           info->flushed > 0 && info->ghost_hits > 0 && info->index_buckets > buckets_before;
}

/* Clock, phases, memory limit; ~ns until the end, and longer where the machine is so busy that less
 * has happened by then. */
static void conduct(struct stress *stress, uint64_t duration_ns, uint64_t memory_bytes)
{
    enum { PATIENCE = 6 };
    const uint64_t begin_ns = kit_mono_ns();
    uint64_t random = stress->seed, elapsed_ns = 0;
    struct store_info info;
    store_info(stress->store, &info);
    const uint64_t buckets_before = info.index_buckets;
    while ((elapsed_ns = kit_mono_ns() - begin_ns) < duration_ns ||
           (elapsed_ns < PATIENCE * duration_ns && !all_seen(&info, buckets_before))) {
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
        atomic_store(&stress->phase,
                     (uint32_t)(elapsed_ns / (PHASE_MS * 1000000ull)) % PHASE_COUNT);
        if (kit_random_below(&random, 3) == 0)
            atomic_fetch_add(&stress->now_s, 1);
        store_info(stress->store, &info);
        info_check(&info);
        if (kit_random_below(&random, 30) != 0)
            continue;
        const uint64_t lower = kit_random_below(&random, memory_bytes / 4);
        const uint64_t limit = memory_bytes - lower > KIT_MIB ? memory_bytes - lower : KIT_MIB;
        const int rc = store_memory_set(stress->store, limit);
        KIT_CHECK(rc == 0, "memory_set: %d", rc);
    }
    atomic_store(&stress->stop, true);
    store_maintain_wake(stress->store);
}

static void report(const struct stress *stress, const struct store_info *info)
{
    static const char *const names[TALLY_COUNT] = {
        "operations",       "hits",       "misses",       "sets",    "out of memory", "uploads",
        "uploads given up", "references", "refs refused", "flushes", "offline"};
    for (size_t i = 0; i < TALLY_COUNT; i++)
        printf("  %-18s %llu\n", names[i], (unsigned long long)stress->tally[i]);
    printf("  items %llu, buckets %llu, memory %llu of %llu\n", (unsigned long long)info->items,
           (unsigned long long)info->index_buckets, (unsigned long long)info->memory_used_bytes,
           (unsigned long long)info->memory_bytes);
    printf(
        "  evictions %llu, ghost hits %llu, flushed %llu; segments evicted %llu, compacted %llu, "
        "expired %llu\n",
        (unsigned long long)info->evictions, (unsigned long long)info->ghost_hits,
        (unsigned long long)info->flushed, (unsigned long long)info->segments_evicted,
        (unsigned long long)info->segments_compacted, (unsigned long long)info->segments_expired);
    fflush(stdout);
}

/* A run in which something never happened proves nothing about it. */
static void mechanisms_check(const struct stress *stress, const struct store_info *info,
                             uint64_t buckets_before)
{
    KIT_CHECK(info->evictions > 0, "no eviction");
    KIT_CHECK(info->segments_compacted > 0, "no compaction");
    KIT_CHECK(info->segments_expired > 0, "no segment expired");
    KIT_CHECK(info->flushed > 0, "no item removed behind a flush");
    KIT_CHECK(info->ghost_hits > 0, "no ghost hit");
    KIT_CHECK(info->index_buckets > buckets_before, "no bucket split");
    KIT_CHECK(stress->tally[TALLY_REFS] > 0, "no reference");
    KIT_CHECK(stress->tally[TALLY_UPLOADS] > 0, "no upload");
    KIT_CHECK(stress->tally[TALLY_FLUSHES] > 0, "no flush");
    KIT_CHECK(stress->tally[TALLY_OFFLINE] > 0, "nobody went offline");
    KIT_CHECK(stress->tally[TALLY_NO_MEMORY] * 4 < stress->tally[TALLY_SETS], "often no memory");
    KIT_CHECK(info->segments_pinned == 0, "%u segments still pinned", info->segments_pinned);
}

static void held_end_all(struct stress *stress, struct worker *w)
{
    for (size_t i = 0; i < HELD_REFS; i++)
        held_end(w, &stress->held[i]);
}

static void stress_run(uint64_t seed, uint64_t duration_ns, bool maintain)
{
    static struct stress stress;
    pthread_t threads[THREADS_MAX], maintainer;
    struct worker *workers[THREADS_MAX];
    struct store_info before, after;
    memset(&stress, 0, sizeof(stress));
    stress.seed = seed;
    stress.now_s = KIT_START_S;
    stress.thread_count = (uint32_t)kit_env_u64("MATTE_STRESS_THREADS", 4);
    KIT_CHECK(stress.thread_count > 0 && stress.thread_count <= THREADS_MAX, "1..16 threads");
    pthread_mutex_init(&stress.held_lock, NULL);
    const uint64_t memory_bytes = kit_env_u64("MATTE_STRESS_MIB", 2) * KIT_MIB;
    const struct store_config config = {.memory_bytes = memory_bytes, .item_bytes_max = 256 * 1024};
    KIT_CHECK(store_new(&config, &stress.store) == 0, "no store");
    store_info(stress.store, &before);
    for (uint32_t i = 0; i < stress.thread_count; i++) {
        workers[i] = calloc(1, sizeof(*workers[i]));
        KIT_CHECK(workers[i] != NULL, "no memory for the test");
        workers[i]->stress = &stress;
        workers[i]->id = i;
        workers[i]->random = seed * 100 + i;
        pthread_create(&threads[i], NULL, worker_main, workers[i]);
    }
    if (maintain)
        pthread_create(&maintainer, NULL, maintainer_main, &stress);
    conduct(&stress, duration_ns, memory_bytes);
    for (uint32_t i = 0; i < stress.thread_count; i++)
        pthread_join(threads[i], NULL);
    if (maintain)
        pthread_join(maintainer, NULL);
    held_end_all(&stress, workers[0]);
    store_info(stress.store, &after);
    printf("%s housekeeping thread:\n", maintain ? "with a" : "without");
    report(&stress, &after);
    mechanisms_check(&stress, &after, before.index_buckets);
    for (uint32_t i = 0; i < stress.thread_count; i++)
        free(workers[i]);
    store_free(stress.store);
    pthread_mutex_destroy(&stress.held_lock);
}

int main(int argc, char **argv)
{
    const uint64_t seed = kit_seed_init(argc, argv);
    const uint64_t duration_ns = kit_env_u64("MATTE_STRESS_SECONDS", 20) * 500000000ull;
    stress_run(seed, duration_ns, true);
    stress_run(seed + 1, duration_ns, false);
    return 0;
}
