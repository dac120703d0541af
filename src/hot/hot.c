/* SPDX-License-Identifier: BSD-3-Clause */
#include "hot/hot.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/spin.h"
#include "base/uri.h"

enum {
    EVERY_MAX = 1 << 20,
    AGE_MS = 100, /* steps of ageing */
    AGE_STEPS_MAX = 10000,
    CANDIDATES = 256, /* of a list, from all workers */
};

/* What is left after AGE_MS: 2^(-0.1 s / HOT_HALF_LIFE_S). */
static const float AGE_FACTOR = 0.9930925f;

enum kind { KEYS, PREFIXES, KIND_COUNT };

/* What a worker writes and others read: the worker under spin_try(), others under spin_lock(). */
struct hot_shared {
    _Alignas(CACHE_LINE_BYTES) struct spin lock;
    uint64_t aged_ms; /* up to when: clock_mono_ms() */
    double window_s;  /* the time that the counts are of, aged like them */
    float total;      /* keys asked for */
    struct hot_sketch sketch[KIND_COUNT];
};

struct hot_worker {
    struct hot hot; /* first: aligned */
    struct hot_shared shared;
    const struct hot_set *set;
};

struct hot_set {
    unsigned count;
    char delimiter;
    uint64_t seed; /* of the hashes of prefixes */
    struct hot_worker *workers;
};

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

int hot_set_new(unsigned workers, char delimiter, struct hot_set **ret_set)
{
    struct hot_set *set = calloc(1, sizeof(*set));
    if (set == NULL)
        return -ENOMEM;
    set->workers = aligned_alloc(_Alignof(struct hot_worker), workers * sizeof(*set->workers));
    if (set->workers == NULL) {
        free(set);
        return -ENOMEM;
    }
    if (getrandom(&set->seed, sizeof(set->seed), 0) != (ssize_t)sizeof(set->seed)) {
        const int rc = -errno;
        hot_set_free(set);
        return rc;
    }
    memset(set->workers, 0, workers * sizeof(*set->workers));
    set->count = workers;
    set->delimiter = delimiter;
    for (unsigned i = 0; i < workers; i++) {
        struct hot_worker *worker = &set->workers[i];
        worker->set = set;
        worker->hot = (struct hot){
            .left = 1, .every = 1, .random = hash_bytes(bytes_of(&i, sizeof(i)), set->seed) | 1};
        worker->shared.aged_ms = clock_mono_ms();
    }
    *ret_set = set;
    return 0;
}

void hot_set_free(struct hot_set *set)
{
    if (set == NULL)
        return;
    free(set->workers);
    free(set);
}

struct hot *hot_set_worker(struct hot_set *set, unsigned index)
{
    return &set->workers[index].hot;
}

static struct hot_worker *worker_of(struct hot *hot)
{
    return (struct hot_worker *)hot;
}

/* ── ageing ───────────────────────────────────────────────────────────────────────────────── */

/* Let everything become older; the lock is held. */
static void age(struct hot_shared *shared, uint64_t now_ms)
{
    /* So long is a window that has been open for ever: AGE_MS, aged 0, 1, 2 ... times, added up. */
    const double full_s = AGE_MS / 1000.0 / (1.0 - (double)AGE_FACTOR);
    const uint64_t steps = now_ms > shared->aged_ms ? (now_ms - shared->aged_ms) / AGE_MS : 0;
    if (steps == 0)
        return;
    shared->aged_ms += steps * AGE_MS;
    const float factor =
        hot_power(AGE_FACTOR, steps < AGE_STEPS_MAX ? (uint32_t)steps : AGE_STEPS_MAX);
    for (int kind = 0; kind < KIND_COUNT; kind++)
        hot_sketch_age(&shared->sketch[kind], factor);
    shared->total *= factor;
    shared->window_s = shared->window_s * (double)factor + full_s * (1.0 - (double)factor);
}

/* ── the worker ───────────────────────────────────────────────────────────────────────────── */

/* xorshift: nobody has an interest in foreseeing it, and nobody sees it. */
static uint32_t random_next(struct hot *hot)
{
    hot->random ^= hot->random << 13;
    hot->random ^= hot->random >> 7;
    hot->random ^= hot->random << 17;
    return (uint32_t)(hot->random >> 32);
}

/* 1 .. 2 * every - 1, each as likely, so `every` on average. */
static uint32_t gap(struct hot *hot)
{
    const uint64_t range = 2ull * hot->every - 1;
    return 1 + (uint32_t)(random_next(hot) * range >> 32);
}

bool hot_next(struct hot *hot, size_t count, size_t *ret_index)
{
    if (hot->left > 0)
        return false;
    /* left is 0 when it is the last of them. */
    *ret_index = count - 1 - (size_t)-hot->left;
    hot->left += gap(hot);
    return true;
}

/* The prefix of `key`. Returns false when it has none. */
static bool prefix_of(const struct hot_set *set, struct bytes key, struct bytes *ret_prefix)
{
    bool more;
    *ret_prefix = bytes_part_take(&key, set->delimiter, &more);
    return more && ret_prefix->len > 0;
}

void hot_note(struct hot *hot, struct bytes key, uint64_t hash)
{
    struct hot_worker *worker = worker_of(hot);
    struct hot_shared *shared = &worker->shared;
    const float weight = (float)hot->every;
    /* More than enough in this second: go on as if it had been every other from its beginning. */
    if (++hot->noted >= HOT_SAMPLES_PER_S && hot->every < EVERY_MAX) {
        hot->noted /= 2;
        hot->every *= 2;
    }
    if (!spin_try(&shared->lock))
        return;
    shared->total += weight;
    hot_sketch_add(&shared->sketch[KEYS], key, hash, weight, random_next(hot));
    struct bytes prefix;
    if (prefix_of(worker->set, key, &prefix))
        hot_sketch_add(&shared->sketch[PREFIXES], prefix, hash_bytes(prefix, worker->set->seed),
                       weight, random_next(hot));
    spin_unlock(&shared->lock);
}

void hot_follow(struct hot *hot, uint32_t now_s)
{
    const uint32_t passed_s = now_s - hot->now_s;
    hot->now_s = now_s;
    /* A quarter: half of the samples are well above what lets it fall, and below what lets it
     * rise, so a steady load finds its place. */
    if (hot->noted < HOT_SAMPLES_PER_S / 4)
        hot->every = passed_s < 20 && hot->every >> passed_s > 0 ? hot->every >> passed_s : 1;
    hot->noted = 0;
    if (hot->left > 2 * (int64_t)hot->every)
        hot->left = gap(hot); /* drawn when there was more to choose from */
    struct hot_shared *shared = &worker_of(hot)->shared;
    if (!spin_try(&shared->lock))
        return; /* who reads it lets it age */
    age(shared, clock_mono_ms());
    spin_unlock(&shared->lock);
}

/* ── whoever asks ─────────────────────────────────────────────────────────────────────────── */

struct candidate {
    uint64_t hash;
    double rate;
    float count; /* of the worker that it was found with */
    uint8_t len;
    uint8_t text[HOT_KEY_BYTES_MAX];
};

struct gathering {
    size_t count;
    struct candidate all[CANDIDATES];
    struct hot_top top; /* a copy of a worker's */
};

/* A place for a key that `count` speaks for: a free one, or that of the least. NULL: it is there
 * already, or is less than all. */
static struct candidate *place(struct gathering *gathering, uint64_t hash, float count)
{
    struct candidate *least = &gathering->all[0];
    for (size_t i = 0; i < gathering->count; i++) {
        struct candidate *one = &gathering->all[i];
        if (one->hash == hash) {
            one->count = one->count > count ? one->count : count;
            return NULL;
        }
        if (one->count < least->count)
            least = one;
    }
    if (gathering->count < CANDIDATES)
        return &gathering->all[gathering->count++];
    return least->count < count ? least : NULL;
}

/* Who is in the list of any worker. */
static void gather(struct hot_set *set, enum kind kind, struct gathering *gathering)
{
    struct hot_top *top = &gathering->top;
    gathering->count = 0;
    for (unsigned i = 0; i < set->count; i++) {
        struct hot_shared *shared = &set->workers[i].shared;
        spin_lock(&shared->lock);
        age(shared, clock_mono_ms());
        *top = shared->sketch[kind].top;
        spin_unlock(&shared->lock);
        for (uint32_t j = 0; j < top->used; j++) {
            struct candidate *one = place(gathering, top->hash[j], top->count[j]);
            if (one == NULL)
                continue;
            *one = (struct candidate){
                .hash = top->hash[j], .count = top->count[j], .len = top->len[j]};
            memcpy(one->text, top->text[j], top->len[j]);
        }
    }
}

/* What all workers know of them, in whose list or not. Returns the rate of all keys. */
static double add_up(struct hot_set *set, enum kind kind, struct gathering *gathering)
{
    double total = 0;
    for (unsigned i = 0; i < set->count; i++) {
        struct hot_shared *shared = &set->workers[i].shared;
        spin_lock(&shared->lock);
        const double window_s =
            shared->window_s > AGE_MS / 1000.0 ? shared->window_s : AGE_MS / 1000.0;
        total += (double)shared->total / window_s;
        for (size_t j = 0; j < gathering->count; j++)
            gathering->all[j].rate +=
                (double)hot_sketch_count(&shared->sketch[kind], gathering->all[j].hash) / window_s;
        spin_unlock(&shared->lock);
    }
    return total;
}

static int compare(const void *a, const void *b)
{
    const struct candidate *one = a, *other = b;
    return (one->rate < other->rate) - (one->rate > other->rate);
}

/* Returns how many there are. */
static size_t list(struct hot_set *set, enum kind kind, struct gathering *gathering,
                   struct hot_entry *ret_entries)
{
    const double share_min = 0.001;
    gather(set, kind, gathering);
    const double total = add_up(set, kind, gathering);
    qsort(gathering->all, gathering->count, sizeof(gathering->all[0]), compare);
    size_t count = 0;
    for (; count < gathering->count && count < HOT_LIST_MAX; count++) {
        const struct candidate *one = &gathering->all[count];
        if (one->rate <= 0 || one->rate < share_min * total)
            break;
        struct hot_entry *entry = &ret_entries[count];
        entry->ops_per_s = one->rate;
        entry->share = one->rate < total ? one->rate / total : 1;
        entry->len = one->len;
        memcpy(entry->text, one->text, one->len);
    }
    return count;
}

int hot_list_make(struct hot_set *set, struct hot_list *ret_list)
{
    struct gathering *gathering = calloc(1, sizeof(*gathering));
    if (gathering == NULL)
        return -ENOMEM;
    ret_list->key_count = list(set, KEYS, gathering, ret_list->keys);
    ret_list->prefix_count = list(set, PREFIXES, gathering, ret_list->prefixes);
    free(gathering);
    return 0;
}

static void print(struct out *out, const char *group, const char *what,
                  const struct hot_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t text[HOT_KEY_BYTES_MAX * URI_BYTES_PER_BYTE_MAX];
        const uint8_t *end = uri_write(text, bytes_of(entries[i].text, entries[i].len));
        out_printf(out, "STAT %s:%zu:%s ", group, i + 1, what);
        out_put(out, text, (size_t)(end - text));
        out_printf(out, "\r\nSTAT %s:%zu:ops_per_s %.1f\r\nSTAT %s:%zu:share %.3f\r\n", group,
                   i + 1, entries[i].ops_per_s, group, i + 1, entries[i].share);
    }
}

void hot_print(struct out *out, const struct hot_list *list)
{
    print(out, "hot_key", "key", list->keys, list->key_count);
    print(out, "hot_prefix", "prefix", list->prefixes, list->prefix_count);
}
