/* unit/test_store_model.c — random operations of all kinds from several threads against a plain
 * map.
 *
 * Each thread owns a range of keys and a model of it, so that every answer can be checked exactly
 * while the threads, growth, eviction, compaction and maintenance disturb one another. A further
 * range is shared: its values are stamped, so that each reader can check that it sees whole
 * values, of the right key, in the order their writer stored them, and that equal CAS uniques
 * mean equal values. Between rounds everybody stops, and the clock moves, a flush may happen, the
 * memory limit may change.
 *
 *   roomy, snug: memory for everything. Every answer must be exact, nothing may be evicted.
 *   full: the same without eviction (-M): what does not fit is refused.
 *   tight: a few per cent of it. A key may be missing (not more often than the store says that it
 *          evicted), but what is found must be the newest.
 *
 * Usage: test_store_model [SEED]; MATTE_SEED, MATTE_MODEL_ROUNDS, MATTE_MODEL_OPS.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "support/kit.h"
#include "support/model.h"

enum {
    THREADS = 4,
    OWN_KEYS = 700,   /* per thread */
    SHARED_KEYS = 48, /* stamped values */
    ITEM_BYTES_MAX = 256 * 1024,
    NUMBER_BYTES_MAX = 8000, /* longer texts may be stored in pieces and count as no number */
    HISTORY = 8192,          /* operations per thread remembered for the report of a failure */
};

static const uint32_t year_s = 365 * 86400;

struct regime {
    const char *name;
    uint64_t memory_mib[3];    /* limits that rounds choose from; the first is the largest */
    bool may_miss, may_refuse; /* eviction may drop items; memory may run out */
    bool maintain, no_evict, no_cas, evict_by_bytes;
};

struct world {
    const struct regime *regime;
    struct store *store;
    pthread_barrier_t barrier;
    uint64_t rounds, ops;
    uint64_t random;
    _Atomic uint32_t now_s;
    _Atomic bool stop;
    /* what the last pause did, for the models */
    bool flushed;
    uint32_t flush_when_s;
    /* shared keys: versions handed out per writer, before the store is called */
    _Atomic uint64_t issued[THREADS][SHARED_KEYS];
    /* counters that all threads raise; checked in the pauses of the roomy regime */
    _Atomic uint64_t incr_sum, cas_sum;
    _Atomic uint64_t ops_done, hits, misses_odd, no_memory, pins_refused;
};

struct shared_view { /* what one thread knows about one shared key */
    uint64_t cas, version;
    uint32_t writer;
    uint64_t newest[THREADS]; /* highest version seen of each writer */
};

struct event { /* of an own key */
    uint64_t number, arg_a, arg_b;
    const char *name;
    enum store_rc rc;
    uint32_t now_s;
};

struct worker {
    struct event history[HISTORY];
    uint64_t history_count, number;
    struct world *world;
    struct kit kit;
    struct model *model;
    uint32_t id;
    uint64_t random;
    uint64_t hits, misses_odd, no_memory, pins_refused;
    struct shared_view shared[SHARED_KEYS];
    uint8_t value[ITEM_BYTES_MAX], copy[ITEM_BYTES_MAX];
    uint8_t key[STORE_KEY_BYTES_MAX];
};

/* One operation's key, and what the model held before it. */
struct subject {
    struct store_key key;
    struct model_item *item; /* NULL: not there */
    uint64_t cas_floor;
};

static uint64_t draw(struct worker *w, uint64_t bound)
{
    return kit_random_below(&w->random, bound);
}

static bool chance(struct worker *w, unsigned percent)
{
    return draw(w, 100) < percent;
}

/* ── the history of a key, shown when a check fails ───────────────────────────────────────── */

static _Thread_local struct worker *current;

static void history_print(void)
{
    if (current == NULL)
        return;
    const struct worker *w = current;
    uint64_t i = w->history_count > HISTORY ? w->history_count - HISTORY : 0;
    fprintf(stderr, "thread %u, key %llu, second %u:\n", w->id, (unsigned long long)w->number,
            w->kit.now_s);
    for (; i < w->history_count; i++) {
        const struct event *event = &w->history[i % HISTORY];
        if (event->number == w->number)
            fprintf(stderr, "  %u %s %llx %llu: %s\n", event->now_s, event->name,
                    (unsigned long long)event->arg_a, (unsigned long long)event->arg_b,
                    kit_rc_name(event->rc));
    }
}

static void event_add(struct worker *w, const char *name, uint64_t arg_a, uint64_t arg_b,
                      enum store_rc rc)
{
    w->history[w->history_count++ % HISTORY] =
        (struct event){w->number, arg_a, arg_b, name, rc, w->kit.now_s};
}

/* ── keys, values, exptimes ───────────────────────────────────────────────────────────────── */

/* Three bytes that make it this thread's, then up to 247 that the number decides. */
static struct bytes own_key(struct worker *w, uint64_t number)
{
    uint64_t state = number * 77 + w->id;
    const size_t extra = kit_random(&state) % 4 == 0 ? kit_random(&state) % 248 : number % 20;
    w->key[0] = (uint8_t)('A' + w->id);
    w->key[1] = (uint8_t)number;
    w->key[2] = (uint8_t)(number >> 8);
    kit_pattern_fill(w->key + 3, extra, state);
    return bytes_of(w->key, 3 + extra);
}

static size_t draw_len(struct worker *w)
{
    const uint64_t kind = draw(w, 1000);
    if (kind < 30)
        return 0;
    if (kind < 700)
        return draw(w, 200);
    if (kind < 900)
        return draw(w, 4000);
    if (kind < 990)
        return draw(w, 30000);
    return draw(w, ITEM_BYTES_MAX - STORE_ITEM_BYTES_EXTRA - STORE_KEY_BYTES_MAX);
}

static struct bytes draw_value(struct worker *w)
{
    if (chance(w, 20)) {
        const uint64_t number = kit_random(&w->random) >> draw(w, 64);
        const int blanks = chance(w, 20) ? (int)draw(w, 30) : 0;
        const int len = snprintf((char *)w->value, 64, "%*s%llu", chance(w, 5) ? blanks : 0, "",
                                 (unsigned long long)number);
        memset(w->value + len, ' ', (size_t)blanks);
        return bytes_of(w->value, (size_t)(len + blanks));
    }
    const size_t len = draw_len(w);
    kit_pattern_fill(w->value, len, kit_random(&w->random));
    return bytes_of(w->value, len);
}

static uint32_t draw_exp_s(struct worker *w)
{
    const uint32_t now_s = w->kit.now_s;
    switch (draw(w, 12)) {
    case 0:
        return now_s + 1 + (uint32_t)draw(w, 4);
    case 1:
        return now_s + 1 + (uint32_t)draw(w, 100);
    case 2:
        return now_s + 1 + (uint32_t)draw(w, 100000);
    case 3:
        return now_s + 1 + (uint32_t)draw(w, year_s);
    case 4:
        return now_s - (uint32_t)draw(w, 2); /* gone already */
    default:
        return 0;
    }
}

/* ── comparing ────────────────────────────────────────────────────────────────────────────── */

static struct subject subject_draw(struct worker *w)
{
    w->number = draw(w, OWN_KEYS);
    struct subject s = {.key = kit_key(&w->kit, own_key(w, w->number))};
    s.item = model_find(w->model, s.key.key, NULL);
    if (s.item != NULL)
        s.cas_floor = s.item->cas > s.item->cas_floor ? s.item->cas : s.item->cas_floor;
    return s;
}

/* The store does not have what the model has: allowed where things are evicted. */
static void subject_evicted(struct worker *w, struct subject *s)
{
    KIT_CHECK(w->world->regime->may_miss, "key %u of thread %u is gone",
              s->key.key.ptr[1] | s->key.key.ptr[2] << 8, w->id);
    model_remove(w->model, s->key.key);
    s->item = NULL;
    s->cas_floor = 0;
    w->misses_odd++;
}

static void rc_check(enum store_rc got, enum store_rc want, const char *what)
{
    /* Which miss it is depends on whether maintenance was there before us. */
    const bool alike = got == want || (store_rc_is_miss(got) && store_rc_is_miss(want));
    KIT_CHECK(alike, "%s: got %s, want %s", what, kit_rc_name(got), kit_rc_name(want));
}

/* Out of memory: allowed where memory is short, and then nothing may have changed. */
static bool refused(struct worker *w, enum store_rc rc)
{
    if (rc != STORE_NO_MEMORY)
        return false;
    KIT_CHECK(w->world->regime->may_refuse, "no memory");
    w->no_memory++;
    return true;
}

/* The item has a new CAS unique, `cas` if the store told (0: it did not). */
static void cas_renew(struct worker *w, const struct subject *s, uint64_t cas, bool is_explicit)
{
    struct model_item *item = model_find(w->model, s->key.key, NULL);
    if (item == NULL)
        return;
    item->cas = cas;
    item->cas_floor = is_explicit ? 0 : s->cas_floor;
    KIT_CHECK(cas == 0 || cas > item->cas_floor, "CAS %llx after %llx", (unsigned long long)cas,
              (unsigned long long)item->cas_floor);
}

static void cas_check(struct model_item *item, uint64_t cas)
{
    if (cas == 0)
        return;
    KIT_CHECK(item->cas == 0 || cas == item->cas, "CAS %llx, was %llx", (unsigned long long)cas,
              (unsigned long long)item->cas);
    KIT_CHECK(cas > item->cas_floor, "CAS %llx after %llx", (unsigned long long)cas,
              (unsigned long long)item->cas_floor);
    item->cas = cas;
}

/* Does the view show the model's item, as it was before the lookup? */
static void view_check(struct worker *w, const struct store_view *view, struct model_item *item)
{
    KIT_CHECK(bytes_equal(view->key, bytes_of(item->key, item->key_len)), "another key");
    KIT_CHECK(view->value_bytes == item->value_bytes, "%llu bytes, want %llu",
              (unsigned long long)view->value_bytes, (unsigned long long)item->value_bytes);
    KIT_CHECK(view->client_flags == item->client_flags, "client flags %u, want %u",
              view->client_flags, item->client_flags);
    KIT_CHECK(view->exp_s == item->exp_s, "exptime %u, want %u", view->exp_s, item->exp_s);
    KIT_CHECK(!view->fetched || item->fetched, "nobody fetched it");
    if (!item->lease_vague) {
        KIT_CHECK(view->stale == item->stale, "stale %d", view->stale);
        KIT_CHECK(view->win_sent == item->win_sent, "win sent %d", view->win_sent);
    }
    cas_check(item, view->cas_unique);
    if (!kit_view_copy(&w->kit, view, w->copy))
        w->pins_refused++;
    else if (item->value_bytes > 0)
        KIT_CHECK(memcmp(w->copy, item->value, item->value_bytes) == 0, "other bytes, %llu",
                  (unsigned long long)item->value_bytes);
    w->hits++;
}

/* ── operations ───────────────────────────────────────────────────────────────────────────── */

static void op_get(struct worker *w)
{
    struct subject s = subject_draw(w);
    struct store_view view, want;
    const unsigned flags = (unsigned)draw(w, 4);
    store_prefetch_bucket(w->kit.store, s.key.hash);
    s.key.hint = store_prefetch_item(w->kit.store, s.key.hash);
    const enum store_rc rc = store_get(w->kit.thread, &s.key, flags, &view);
    event_add(w, "get", flags, 0, rc);
    if (store_rc_is_miss(rc) && s.item != NULL)
        subject_evicted(w, &s);
    if (rc == STORE_OK && s.item != NULL)
        view_check(w, &view, s.item);
    rc_check(rc, model_get(w->model, &s.key, flags, &want), "get");
}

/* Learn the unique of the item, so that a compare can be predicted. */
static uint64_t cas_learn(struct worker *w, struct subject *s)
{
    struct store_view view;
    if (s->item == NULL)
        return 1 + draw(w, 1000);
    const unsigned flags = STORE_GET_CAS | STORE_GET_NO_BUMP;
    const enum store_rc rc = store_get(w->kit.thread, &s->key, flags, &view);
    if (store_rc_is_miss(rc)) {
        subject_evicted(w, s);
        return 1 + draw(w, 1000);
    }
    view_check(w, &view, s->item);
    s->cas_floor = s->item->cas;
    return s->item->cas;
}

static uint64_t draw_compare(struct worker *w, struct subject *s)
{
    const uint64_t cas = cas_learn(w, s);
    const uint64_t kind = draw(w, 10);
    return kind == 0 ? cas + 1 : kind == 1 ? cas - 1 : kind == 2 ? draw(w, UINT64_MAX) : cas;
}

/* Without CAS uniques there is nothing to compare. */
static bool may_compare(struct worker *w)
{
    return !w->world->regime->no_cas && chance(w, 20);
}

static uint64_t draw_explicit(struct worker *w)
{
    return !w->world->regime->no_cas && chance(w, 5)
               ? 1 + (kit_random(&w->random) >> (8 + draw(w, 50)))
               : 0;
}

static struct store_fetch draw_fetch(struct worker *w)
{
    struct store_fetch how = {.flags = (unsigned)draw(w, 4), .lease = chance(w, 60)};
    if (chance(w, 40)) {
        how.touch = true;
        how.touch_exp_s = draw_exp_s(w);
    } else if (how.lease && chance(w, 50)) {
        how.recache = true;
        how.recache_ttl_s = (uint32_t)draw(w, 200);
    }
    if (how.lease && !how.touch && chance(w, 40)) {
        how.vivify = true;
        how.vivify_exp_s = draw_exp_s(w);
        how.explicit_cas = draw_explicit(w);
    }
    return how;
}

static void op_fetch(struct worker *w)
{
    struct subject s = subject_draw(w);
    struct store_view view, want;
    const struct store_fetch how = draw_fetch(w);
    const enum store_rc rc = store_fetch(w->kit.thread, &s.key, &how, &view);
    event_add(w, "fetch (lease 1, touch 2, vivify 4, recache 8; exptime)",
              how.lease | how.touch << 1 | how.vivify << 2 | how.recache << 3,
              how.touch ? how.touch_exp_s : how.vivify_exp_s, rc);
    if (refused(w, rc))
        return;
    if (s.item != NULL && (store_rc_is_miss(rc) || view.created))
        subject_evicted(w, &s);
    if (rc == STORE_OK && s.item != NULL)
        view_check(w, &view, s.item);
    const bool vague = s.item != NULL && s.item->lease_vague;
    rc_check(rc, model_fetch(w->model, &s.key, &how, &want), "fetch");
    if (rc != STORE_OK)
        return;
    KIT_CHECK(view.created == want.created, "created %d", view.created);
    KIT_CHECK(vague || view.won == want.won, "won %d", view.won);
    if (view.created) {
        KIT_CHECK(view.value_bytes == 0 && view.exp_s == how.vivify_exp_s, "not as asked");
        cas_renew(w, &s, view.cas_unique, how.explicit_cas != 0);
    }
}

static struct store_put draw_put(struct worker *w, struct subject *s)
{
    static const enum store_mode modes[] = {STORE_SET,     STORE_SET,    STORE_SET,    STORE_ADD,
                                            STORE_REPLACE, STORE_APPEND, STORE_PREPEND};
    struct store_put put = {.mode = modes[draw(w, COUNT_OF(modes))], .exp_s = draw_exp_s(w)};
    put.client_flags = (uint32_t)(kit_random(&w->random) >> (32 + draw(w, 32)));
    put.value = draw_value(w);
    put.explicit_cas = draw_explicit(w);
    const bool joins = put.mode == STORE_APPEND || put.mode == STORE_PREPEND;
    if (joins && s->item != NULL && s->item->value_bytes > 0 && chance(w, 30)) {
        put.vivify = true;
        put.vivify_exp_s = draw_exp_s(w);
    } else if (!joins && put.mode != STORE_ADD && may_compare(w)) {
        put.compare = true;
        put.compare_cas = draw_compare(w, s);
        put.allow_stale = chance(w, 50);
    }
    return put;
}

/* Did the store act as if it had no such item? */
static bool put_missed(const struct subject *s, const struct store_put *put, enum store_rc rc,
                       const struct store_put_result *result)
{
    if (store_rc_is_miss(rc))
        return true;
    switch (put->mode) {
    case STORE_SET:
        return false;
    case STORE_ADD:
        return rc == STORE_OK;
    case STORE_REPLACE:
        return rc == STORE_NOT_STORED;
    case STORE_APPEND:
    case STORE_PREPEND:
        if (put->vivify && rc == STORE_OK)
            return result->value_bytes != s->item->value_bytes + put->value.len;
        return rc == STORE_NOT_STORED;
    }
    return false;
}

static void op_put(struct worker *w)
{
    struct subject s = subject_draw(w);
    struct store_put_result result = {0}, want;
    const struct store_put put = draw_put(w, &s);
    const bool asked = put.vivify || chance(w, 50);
    enum store_rc rc;
    if (chance(w, put.value.len > 1000 ? 50 : 2))
        rc = kit_put_pieces(&w->kit, &s.key, put, 1 + draw(w, 20000), asked ? &result : NULL);
    else
        rc = store_put(w->kit.thread, &s.key, &put, asked ? &result : NULL);
    event_add(w, "put (mode, compare 10, stale 20, vivify 40; bytes)",
              put.mode | (unsigned)put.compare << 4 | (unsigned)put.allow_stale << 5 |
                  (unsigned)put.vivify << 6,
              put.value.len, rc);
    if (refused(w, rc))
        return;
    if (s.item != NULL && put_missed(&s, &put, rc, &result))
        subject_evicted(w, &s);
    if (w->world->regime->may_miss && put.mode == STORE_SET && !put.compare)
        s.cas_floor = 0; /* the old item may have been evicted: nobody can tell */
    rc_check(rc, model_put(w->model, &s.key, &put, &want), "put");
    if (rc != STORE_OK)
        return;
    KIT_CHECK(!asked || result.value_bytes == want.value_bytes, "%llu bytes stored, want %llu",
              (unsigned long long)result.value_bytes, (unsigned long long)want.value_bytes);
    KIT_CHECK(!asked || put.explicit_cas == 0 || result.cas_unique == put.explicit_cas,
              "explicit CAS");
    cas_renew(w, &s, result.cas_unique, put.explicit_cas != 0);
}

static void op_arith(struct worker *w)
{
    struct subject s = subject_draw(w);
    struct store_arith_result result, want;
    if (s.item != NULL && s.item->value_bytes > NUMBER_BYTES_MAX)
        return;
    struct store_arith how = {.decr = chance(w, 50),
                              .delta = kit_random(&w->random) >> draw(w, 64),
                              .flags = chance(w, 30) ? STORE_GET_CAS : 0,
                              .explicit_cas = draw_explicit(w)};
    if (chance(w, 20)) {
        how.touch = true;
        how.touch_exp_s = draw_exp_s(w);
    }
    if (may_compare(w)) {
        how.compare = true;
        how.compare_cas = draw_compare(w, &s);
    } else if (chance(w, 40)) {
        how.vivify = true;
        how.initial = kit_random(&w->random) >> draw(w, 64);
        how.vivify_exp_s = draw_exp_s(w);
    }
    const enum store_rc rc = store_arith(w->kit.thread, &s.key, &how, &result);
    event_add(w, "arith (touch 1, vivify 2, compare 4; delta)",
              how.touch | (unsigned)how.vivify << 1 | (unsigned)how.compare << 2, how.delta, rc);
    if (refused(w, rc))
        return;
    if (s.item != NULL && (store_rc_is_miss(rc) || (rc == STORE_OK && result.created)))
        subject_evicted(w, &s);
    rc_check(rc, model_arith(w->model, &s.key, &how, &want), "arith");
    if (rc != STORE_OK)
        return;
    KIT_CHECK(result.value == want.value && result.created == want.created, "%llu, want %llu",
              (unsigned long long)result.value, (unsigned long long)want.value);
    KIT_CHECK(result.exp_s == want.exp_s, "exptime %u, want %u", result.exp_s, want.exp_s);
    cas_renew(w, &s, how.flags ? result.cas_unique : 0, how.explicit_cas != 0);
}

static void op_delete(struct worker *w)
{
    struct subject s = subject_draw(w);
    struct store_delete how = {.explicit_cas = draw_explicit(w)};
    how.invalidate = chance(w, 50);
    how.clear_value = chance(w, 20);
    how.touch = how.clear_value || (how.invalidate && chance(w, 50));
    how.touch_exp_s = draw_exp_s(w);
    if (may_compare(w)) {
        how.compare = true;
        how.compare_cas = draw_compare(w, &s);
    }
    const enum store_rc rc = store_delete(w->kit.thread, &s.key, &how);
    event_add(w, "delete (invalidate 1, clear 2, touch 4; exptime)",
              how.invalidate | (unsigned)how.clear_value << 1 | (unsigned)how.touch << 2,
              how.touch_exp_s, rc);
    if (refused(w, rc))
        return;
    if (store_rc_is_miss(rc) && s.item != NULL)
        subject_evicted(w, &s);
    rc_check(rc, model_delete(w->model, &s.key, &how), "delete");
    if (rc == STORE_OK)
        cas_renew(w, &s, 0, how.explicit_cas != 0);
}

/* ── shared keys ──────────────────────────────────────────────────────────────────────────── */

static struct store_key shared_key(struct worker *w, uint64_t number)
{
    const int len =
        snprintf((char *)w->key, sizeof(w->key), "shared:%llu", (unsigned long long)number);
    return kit_key(&w->kit, bytes_of(w->key, (size_t)len));
}

static void shared_set(struct worker *w, uint64_t number)
{
    const struct store_key key = shared_key(w, number);
    const size_t len = sizeof(struct kit_stamp) +
                       (chance(w, 3) ? draw(w, 100000) : draw(w, chance(w, 20) ? 5000 : 200));
    const uint64_t version = 1 + atomic_fetch_add(&w->world->issued[w->id][number], 1);
    struct store_put_result result;
    kit_stamp_write(w->value, len, number, w->id, version);
    struct store_put put = {.value = bytes_of(w->value, len)};
    const enum store_rc rc = chance(w, 20) ? kit_put_pieces(&w->kit, &key, put, 3000, &result)
                                           : store_put(w->kit.thread, &key, &put, &result);
    if (refused(w, rc))
        return;
    rc_check(rc, STORE_OK, "shared set");
    struct shared_view *seen = &w->shared[number];
    const bool exact = !w->world->regime->may_miss && !w->world->regime->no_cas;
    KIT_CHECK(!exact || result.cas_unique > seen->cas, "CAS %llx after %llx",
              (unsigned long long)result.cas_unique, (unsigned long long)seen->cas);
    seen->cas = result.cas_unique;
    seen->version = version;
    seen->writer = w->id;
    seen->newest[w->id] = version;
}

static void shared_get(struct worker *w, uint64_t number)
{
    const struct store_key key = shared_key(w, number);
    struct store_view view;
    struct kit_stamp stamp;
    if (store_get(w->kit.thread, &key, STORE_GET_CAS, &view) != STORE_OK)
        return;
    const uint64_t cas = view.cas_unique;
    if (!kit_view_copy(&w->kit, &view, w->copy)) {
        w->pins_refused++;
        return;
    }
    KIT_CHECK(kit_stamp_read(w->copy, view.value_bytes, &stamp), "torn, %llu bytes",
              (unsigned long long)view.value_bytes);
    KIT_CHECK(stamp.key_id == number, "value of key %llu", (unsigned long long)stamp.key_id);
    KIT_CHECK(stamp.writer < THREADS, "writer %u", stamp.writer);
    KIT_CHECK(stamp.version <= atomic_load(&w->world->issued[stamp.writer][number]),
              "a version that nobody wrote");
    struct shared_view *seen = &w->shared[number];
    const bool exact = !w->world->regime->may_miss && !w->world->regime->no_cas;
    KIT_CHECK(stamp.version >= seen->newest[stamp.writer], "version %llu after %llu of thread %u",
              (unsigned long long)stamp.version, (unsigned long long)seen->newest[stamp.writer],
              stamp.writer);
    const bool same = stamp.writer == seen->writer && stamp.version == seen->version;
    KIT_CHECK((cas == seen->cas) == same || seen->cas == 0, "CAS %llx, was %llx, same value %d",
              (unsigned long long)cas, (unsigned long long)seen->cas, same);
    KIT_CHECK(!exact || cas >= seen->cas, "CAS %llx after %llx", (unsigned long long)cas,
              (unsigned long long)seen->cas);
    seen->cas = cas;
    seen->version = seen->newest[stamp.writer] = stamp.version;
    seen->writer = stamp.writer;
    w->hits++;
}

/* Both counters only grow by what is counted here (and vanish with a flush or an eviction). */
static void shared_count(struct worker *w)
{
    struct store_arith_result number;
    const struct store_key incr_key = kit_key_str(&w->kit, "count:incr");
    const struct store_arith arith = {.delta = 1, .vivify = true};
    if (store_arith(w->kit.thread, &incr_key, &arith, &number) == STORE_OK && !number.created)
        atomic_fetch_add(&w->world->incr_sum, 1);
    if (w->world->regime->no_cas)
        return;
    struct store_view view;
    struct store_put_result result;
    const struct store_key cas_key = kit_key_str(&w->kit, "count:cas");
    struct store_put put = {.mode = STORE_ADD, .value = bytes_str("0")};
    if (store_get(w->kit.thread, &cas_key, STORE_GET_CAS, &view) != STORE_OK) {
        (void)!store_put(w->kit.thread, &cas_key, &put, &result);
        return;
    }
    char text[24];
    snprintf(text, sizeof(text), "%.*s", (int)view.value.len, (const char *)view.value.ptr);
    snprintf(text, sizeof(text), "%llu", strtoull(text, NULL, 10) + 1);
    put = (struct store_put){
        .compare = true, .compare_cas = view.cas_unique, .value = bytes_str(text)};
    if (store_put(w->kit.thread, &cas_key, &put, &result) == STORE_OK)
        atomic_fetch_add(&w->world->cas_sum, 1);
}

static void op_shared(struct worker *w)
{
    const uint64_t number = draw(w, SHARED_KEYS);
    if (chance(w, 10))
        shared_count(w);
    else if (chance(w, 40))
        shared_set(w, number);
    else
        shared_get(w, number);
}

/* ── rounds and pauses ────────────────────────────────────────────────────────────────────── */

/* Of one key or of many; while it is pending other operations go on. */
static void op_delete_prefix(struct worker *w)
{
    if (!chance(w, 8))
        return;
    const struct bytes key = own_key(w, draw(w, OWN_KEYS));
    const size_t len = chance(w, 3) ? 1 : 1 + draw(w, key.len < 6 ? key.len : 6);
    const struct bytes prefix = bytes_of(key.ptr, len);
    const bool taken = store_delete_prefix(w->kit.thread, prefix);
    event_add(w, "delete_prefix", (unsigned)len, 0, taken ? STORE_OK : STORE_NO_MEMORY);
    KIT_CHECK(taken || !w->world->regime->maintain, "too many prefixes are pending");
    if (taken)
        model_delete_prefix(w->model, prefix);
}

static void worker_op(struct worker *w)
{
    static void (*const ops[])(struct worker *) = {
        op_delete_prefix, op_get,   op_get,    op_get,    op_get,    op_fetch,
        op_fetch,         op_put,   op_put,    op_put,    op_put,    op_put,
        op_put,           op_arith, op_delete, op_shared, op_shared, op_shared};
    ops[draw(w, COUNT_OF(ops))](w);
}

static uint64_t counter_read(struct kit *kit, const char *key)
{
    struct store_view view;
    char text[32];
    if (kit_get(kit, key, &view) != STORE_OK)
        return 0;
    snprintf(text, sizeof(text), "%.*s", (int)view.value.len, (const char *)view.value.ptr);
    return strtoull(text, NULL, 10);
}

static void counters_check(struct worker *w, bool gone)
{
    struct world *world = w->world;
    const uint64_t incr = counter_read(&w->kit, "count:incr");
    const uint64_t cas = counter_read(&w->kit, "count:cas");
    if (!gone && !world->regime->may_miss) {
        KIT_CHECK(incr == world->incr_sum, "%llu increments, counted %llu",
                  (unsigned long long)incr, (unsigned long long)world->incr_sum);
        KIT_CHECK(cas == world->cas_sum, "%llu CAS increments, counted %llu",
                  (unsigned long long)cas, (unsigned long long)world->cas_sum);
    }
    world->incr_sum = incr;
    world->cas_sum = cas;
}

/* One thread changes the world while the others wait (offline, as sleeping threads are). */
static void pause_world(struct worker *w)
{
    struct world *world = w->world;
    const struct regime *regime = world->regime;
    const bool flush_was_due = world->flush_when_s > w->kit.now_s;
    store_thread_online(w->kit.thread, w->kit.now_s);
    counters_check(w, false);
    world->flushed = kit_random_below(&world->random, 10) == 0;
    if (world->flushed) {
        const bool later = kit_random_below(&world->random, 2);
        world->flush_when_s =
            later ? w->kit.now_s + 1 + (uint32_t)kit_random_below(&world->random, 3) : w->kit.now_s;
        store_flush(w->kit.thread, world->flush_when_s);
    }
    const uint64_t mib = regime->memory_mib[kit_random_below(&world->random, 3)];
    const int rc = store_memory_set(world->store, mib * KIT_MIB);
    KIT_CHECK(rc == 0, "memory_set: %d", rc);
    static const uint32_t steps_s[] = {0, 1, 1, 2, 3, 50, 1000, 200000};
    w->kit.now_s += steps_s[kit_random_below(&world->random, COUNT_OF(steps_s))];
    atomic_store(&world->now_s, w->kit.now_s);
    kit_tick(&w->kit);
    const bool flush_came = world->flush_when_s <= w->kit.now_s;
    counters_check(w, flush_came && (world->flushed || flush_was_due));
    store_thread_offline(w->kit.thread);
}

/* Every item of the model must be in the store, and be right. */
static void worker_check_all(struct worker *w)
{
    for (uint64_t i = 0; i < OWN_KEYS; i++) {
        w->number = i;
        struct subject s = {.key = kit_key(&w->kit, own_key(w, i))};
        s.item = model_find(w->model, s.key.key, NULL);
        struct store_view view;
        const enum store_rc rc = store_get(w->kit.thread, &s.key, i % 4, &view);
        if (store_rc_is_miss(rc) && s.item != NULL)
            subject_evicted(w, &s);
        if (rc == STORE_OK && s.item != NULL)
            view_check(w, &view, s.item);
        KIT_CHECK((rc == STORE_OK) == (s.item != NULL), "key %llu: %s", (unsigned long long)i,
                  kit_rc_name(rc));
        if (s.item != NULL && !(i % 4 & STORE_GET_NO_BUMP))
            s.item->fetched = true;
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct world *world = w->world;
    current = w;
    for (uint64_t round = 0; round < world->rounds; round++) {
        for (uint64_t i = 0, batch = 0; i < world->ops; i++) {
            worker_op(w);
            if (batch-- != 0)
                continue;
            kit_tick(&w->kit);
            batch = draw(w, chance(w, 5) ? 300 : 20);
        }
        if (round % 4 == 3)
            worker_check_all(w);
        store_thread_offline(w->kit.thread);
        pthread_barrier_wait(&world->barrier);
        if (w->id == 0)
            pause_world(w);
        pthread_barrier_wait(&world->barrier);
        if (world->flushed)
            model_flush(w->model, world->flush_when_s);
        w->kit.now_s = atomic_load(&world->now_s);
        model_time_set(w->model, w->kit.now_s);
        store_thread_online(w->kit.thread, w->kit.now_s);
    }
    worker_check_all(w);
    world->ops_done += world->rounds * world->ops;
    world->hits += w->hits;
    world->misses_odd += w->misses_odd;
    world->no_memory += w->no_memory;
    world->pins_refused += w->pins_refused;
    return NULL;
}

static void *maintainer_main(void *arg)
{
    struct world *world = arg;
    struct store_thread *thread;
    KIT_CHECK(store_thread_new(world->store, &thread) == 0, "no thread");
    while (!atomic_load(&world->stop)) {
        store_thread_online(thread, atomic_load(&world->now_s));
        store_maintain(thread);
        store_thread_offline(thread);
        store_maintain_wait(world->store, 3);
    }
    store_thread_free(thread);
    return NULL;
}

/* ── the tests ────────────────────────────────────────────────────────────────────────────── */

static uint64_t seed;

static void worker_start(struct worker *w, struct world *world, uint32_t id)
{
    w->world = world;
    w->id = id;
    w->random = seed * 1000 + id;
    w->model = model_new(ITEM_BYTES_MAX, world->regime->no_cas);
    model_time_set(w->model, KIT_START_S);
    kit_join(&w->kit, world->store, KIT_START_S);
}

static void report(const struct world *world, const struct store_info *info)
{
    print_message("%s: %llu operations, %llu hits, %llu odd misses, %llu refused, %llu pins "
                  "refused; %llu evictions, %llu compacted, %llu expired segments, level %u\n",
                  world->regime->name, (unsigned long long)world->ops_done,
                  (unsigned long long)world->hits, (unsigned long long)world->misses_odd,
                  (unsigned long long)world->no_memory, (unsigned long long)world->pins_refused,
                  (unsigned long long)info->evictions, (unsigned long long)info->segments_compacted,
                  (unsigned long long)info->segments_expired, info->index_level);
}

static void regime_check(struct world *world, struct worker *workers)
{
    struct store_info info;
    uint64_t items = 0, bytes = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        items += model_item_count(workers[i].model);
        bytes += model_data_bytes(workers[i].model);
    }
    store_info(world->store, &info);
    print_message("%llu items of %llu bytes at the end\n", (unsigned long long)items,
                  (unsigned long long)bytes);
    report(world, &info);
    assert_true(world->misses_odd <= info.evictions);
    /* the last pause may have lowered the limit when nobody was left to evict */
    assert_true(info.memory_used_bytes <= world->regime->memory_mib[0] * KIT_MIB);
    assert_true((info.evictions > 0) == world->regime->may_miss);
    assert_true(world->regime->may_miss || info.items >= items);
    assert_true(world->regime->no_evict || world->no_memory * 20 <= world->ops_done);
}

static void regime_run(const struct regime *regime)
{
    static struct worker workers[THREADS];
    static struct world world;
    pthread_t threads[THREADS], maintainer;
    memset(&world, 0, sizeof(world));
    memset(workers, 0, sizeof(workers));
    const struct store_config config = {.memory_bytes = regime->memory_mib[0] * KIT_MIB,
                                        .item_bytes_max = ITEM_BYTES_MAX,
                                        .no_evict = regime->no_evict,
                                        .no_cas = regime->no_cas,
                                        .evict_by_bytes = regime->evict_by_bytes,
                                        .hash_seed = seed | 1};
    world.regime = regime;
    world.rounds = kit_env_u64("MATTE_MODEL_ROUNDS", 16);
    world.ops = kit_env_u64("MATTE_MODEL_OPS", 2000);
    world.random = seed;
    world.now_s = KIT_START_S;
    assert_int_equal(store_new(&config, &world.store), 0);
    pthread_barrier_init(&world.barrier, NULL, THREADS);
    for (uint32_t i = 0; i < THREADS; i++)
        worker_start(&workers[i], &world, i);
    if (regime->maintain)
        pthread_create(&maintainer, NULL, maintainer_main, &world);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, worker_main, &workers[i]);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&world.stop, true);
    if (regime->maintain)
        pthread_join(maintainer, NULL);
    regime_check(&world, workers);
    for (uint32_t i = 0; i < THREADS; i++) {
        kit_close(&workers[i].kit);
        model_free(workers[i].model);
    }
    pthread_barrier_destroy(&world.barrier);
    store_free(world.store);
}

static void test_roomy(void **state)
{
    (void)state;
    regime_run(&(struct regime){"roomy", {96, 64, 80}, .maintain = true});
}

static void test_roomy_alone(void **state)
{
    (void)state;
    regime_run(&(struct regime){"roomy, no maintenance", {96, 64, 80}, .maintain = false});
}

/* Just enough: garbage has to be collected all the time. */
static void test_snug(void **state)
{
    (void)state;
    regime_run(&(struct regime){"snug", {24, 20, 22}, .maintain = true});
}

static void test_tight(void **state)
{
    (void)state;
    regime_run(&(struct regime){
        "tight", {3, 2, 2}, .may_miss = true, .may_refuse = true, .maintain = true});
}

static void test_tight_alone(void **state)
{
    (void)state;
    regime_run(&(struct regime){"tight, no maintenance, no CAS, by bytes",
                                {3, 2, 2},
                                .may_miss = true,
                                .may_refuse = true,
                                .no_cas = true,
                                .evict_by_bytes = true});
}

/* -M: nothing may vanish, sets may be refused. */
static void test_full(void **state)
{
    (void)state;
    regime_run(&(struct regime){
        "full, no eviction", {6, 6, 6}, .may_refuse = true, .maintain = true, .no_evict = true});
}

static void test_full_alone(void **state)
{
    (void)state;
    regime_run(&(struct regime){
        "full, no eviction, no maintenance", {6, 6, 6}, .may_refuse = true, .no_evict = true});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roomy),      cmocka_unit_test(test_roomy_alone),
        cmocka_unit_test(test_snug),       cmocka_unit_test(test_tight),
        cmocka_unit_test(test_full),       cmocka_unit_test(test_tight_alone),
        cmocka_unit_test(test_full_alone),
    };
    seed = kit_seed_init(argc, argv);
    kit_fail_hook = history_print;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
