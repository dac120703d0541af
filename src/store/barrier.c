/* store/barrier.c — deletion of key prefixes: the table of barriers, and the sweep behind them.
 *
 *   chains[hash of the prefix] ─► barrier ─► barrier ─► 0      lengths: a bit for each length that
 *                                 prefix, stamp                         some barrier has
 *
 * A lookup goes over its key once, byte by byte, with a running hash, and looks into the chain at
 * each length that is in use. So it costs no more with many prefixes than with one, and never more
 * than the key is long. The argument why this needs no lock: (8) in store/store_priv.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "store/store_priv.h"

enum {
    CHAIN_BITS = 12,
    LENGTH_WORDS = (STORE_KEY_BYTES_MAX + 63) / 64,
    SWEEP_BUCKETS = 16, /* per step, some 200 items */
};

struct barrier {
    _Atomic uint32_t next; /* in its chain; 0: last. Barrier numbers start at 1 */
    uint32_t link;         /* in a list of those not in use; lock */
    uint64_t hash;
    _Atomic uint64_t stamp; /* only raised */
    uint8_t len;
    uint8_t prefix[STORE_KEY_BYTES_MAX];
};

struct barriers {
    /* read by lookups while something is pending */
    uint64_t secret; /* odd: nobody can choose prefixes that share a chain */
    _Atomic uint64_t lengths[LENGTH_WORDS];
    _Atomic uint32_t chains[1 << CHAIN_BITS];

    _Alignas(CACHE_LINE_BYTES) struct spin lock; /* of all that follows but the sweep */
    uint64_t stamp_last;
    uint32_t of_length[STORE_KEY_BYTES_MAX + 1];
    _Atomic uint32_t count;    /* pending; relaxed: read without the lock for stats */
    uint32_t fresh_next, free; /* never used yet from here; ready for use */
    uint32_t retired;          /* unlinked: for use when all have reached retired_epoch */
    uint64_t retired_epoch;
    _Atomic uint64_t sweeps; /* completed */

    /* the sweep; maint_lock */
    struct store_scan scan;
    uint64_t sweeping; /* barriers of stamps up to this one are done when it ends; 0: none */
    uint64_t grace;    /* epoch that all must reach after the walk; 0: not at its end */
    uint32_t begun_s;

    struct barrier at[STORE_PREFIXES_MAX + 1];
};

int barriers_new(struct store *store)
{
    /* Zeroed pages that nobody has touched take no memory. */
    struct barriers *b = aligned_alloc(CACHE_LINE_BYTES, sizeof(*b));
    if (b == NULL)
        return -ENOMEM;
    memset(b, 0, offsetof(struct barriers, at));
    b->secret = (store->seed * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    b->fresh_next = 1;
    store->barriers = b;
    return 0;
}

void barriers_free(struct store *store)
{
    free(store->barriers);
}

/* ── looking, without a lock ──────────────────────────────────────────────────────────────── */

/* A running hash. Each byte's part is spread by a secret factor and folded down. */
static ALWAYS_INLINE uint64_t hash_step(const struct barriers *b, uint64_t hash, uint8_t byte)
{
    hash = (hash + byte + 1) * b->secret;
    return hash ^ hash >> 32;
}

static ALWAYS_INLINE _Atomic uint32_t *chain_of(struct barriers *b, uint64_t hash)
{
    return &b->chains[hash & ((1 << CHAIN_BITS) - 1)];
}

/* The barrier of exactly this prefix; NULL: none. */
static struct barrier *barrier_find(struct barriers *b, struct bytes prefix, uint64_t hash)
{
    /* acquire: the entry as who linked it wrote it */
    uint32_t id = atomic_load_explicit(chain_of(b, hash), memory_order_acquire);
    while (id != 0) {
        struct barrier *barrier = &b->at[id];
        if (barrier->hash == hash && barrier->len == prefix.len &&
            memcmp(barrier->prefix, prefix.ptr, prefix.len) == 0)
            return barrier;
        id = atomic_load_explicit(&barrier->next, memory_order_acquire);
    }
    return NULL;
}

uint64_t barriers_stamp(const struct store *store, struct bytes key)
{
    struct barriers *b = store->barriers;
    uint64_t lengths[LENGTH_WORDS], newest = 0, hash = 0;
    size_t longest = 0;
    for (size_t i = 0; i < LENGTH_WORDS; i++) {
        /* relaxed: a bit that is seen late belongs to a barrier that is */
        lengths[i] = atomic_load_explicit(&b->lengths[i], memory_order_relaxed);
        if (lengths[i] != 0)
            longest = 64 * i + 64 - (size_t)__builtin_clzll(lengths[i]);
    }
    const size_t end = key.len < longest ? key.len : longest;
    for (size_t i = 0; i < end; i++) {
        hash = hash_step(b, hash, key.ptr[i]);
        if ((lengths[i / 64] >> i % 64 & 1) == 0)
            continue;
        const struct barrier *barrier = barrier_find(b, bytes_of(key.ptr, i + 1), hash);
        if (barrier == NULL)
            continue;
        const uint64_t stamp = atomic_load_explicit(&barrier->stamp, memory_order_relaxed);
        newest = stamp > newest ? stamp : newest;
    }
    return newest;
}

bool item_hidden(const struct store *store, const struct item *item, uint64_t loc)
{
    if (loc_flushed(store, loc))
        return true;
    return (hide_pending(store) & HIDE_PREFIX) != 0 &&
           item_stamp(item) < barriers_stamp(store, item_key(item));
}

/* ── the table; lock held ─────────────────────────────────────────────────────────────────── */

static void length_add(struct barriers *b, size_t len, int delta)
{
    b->of_length[len] += (uint32_t)delta;
    _Atomic uint64_t *word = &b->lengths[(len - 1) / 64];
    const uint64_t bit = UINT64_C(1) << (len - 1) % 64;
    const uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, b->of_length[len] > 0 ? old | bit : old & ~bit,
                          memory_order_relaxed);
}

static void count_add_to(struct barriers *b, int delta)
{
    atomic_store_explicit(&b->count,
                          atomic_load_explicit(&b->count, memory_order_relaxed) + (uint32_t)delta,
                          memory_order_relaxed);
}

/* An entry that no reader looks at any more; 0: none. */
static uint32_t barrier_take(struct barriers *b)
{
    if (b->free != 0) {
        const uint32_t id = b->free;
        b->free = b->at[id].link;
        return id;
    }
    return b->fresh_next <= STORE_PREFIXES_MAX ? b->fresh_next++ : 0;
}

static bool barrier_put(struct store *store, struct bytes prefix, uint64_t stamp)
{
    struct barriers *b = store->barriers;
    uint64_t hash = 0;
    for (size_t i = 0; i < prefix.len; i++)
        hash = hash_step(b, hash, prefix.ptr[i]);
    struct barrier *barrier = barrier_find(b, prefix, hash);
    if (barrier != NULL) {
        atomic_store_explicit(&barrier->stamp, stamp, memory_order_release);
        return true;
    }
    const uint32_t id = barrier_take(b);
    if (id == 0)
        return false;
    _Atomic uint32_t *chain = chain_of(b, hash);
    barrier = &b->at[id];
    barrier->hash = hash;
    barrier->len = (uint8_t)prefix.len;
    memcpy(barrier->prefix, prefix.ptr, prefix.len);
    atomic_store_explicit(&barrier->stamp, stamp, memory_order_relaxed);
    atomic_store_explicit(&barrier->next, atomic_load_explicit(chain, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(chain, id, memory_order_release); /* the entry is whole */
    length_add(b, prefix.len, 1);
    count_add_to(b, 1);
    /* Last, so that who looks because of it finds the rest (but a thread that is told of it by
     * nobody may see both late). */
    atomic_fetch_or_explicit(&store->hide_pending, HIDE_PREFIX, memory_order_release);
    return true;
}

/* ── deleting ─────────────────────────────────────────────────────────────────────────────── */

bool store_delete_prefix(struct store_thread *thread, struct bytes prefix)
{
    struct store *store = thread->store;
    struct barriers *b = store->barriers;
    spin_lock(&b->lock);
    const bool taken = barrier_put(store, prefix, b->stamp_last + 1);
    b->stamp_last += taken;
    spin_unlock(&b->lock);
    store_maintain_wake(store); /* if there was no room, to make some */
    return taken;
}

/* ── the sweep ────────────────────────────────────────────────────────────────────────────── */

/* Unlink what the finished sweep was about. */
static void barriers_retire(struct store *store)
{
    struct barriers *b = store->barriers;
    uint32_t last = 0;
    spin_lock(&b->lock);
    for (size_t i = 0; i < COUNT_OF(b->chains); i++) {
        _Atomic uint32_t *from = &b->chains[i];
        uint32_t id;
        while ((id = atomic_load_explicit(from, memory_order_relaxed)) != 0) {
            struct barrier *barrier = &b->at[id];
            if (atomic_load_explicit(&barrier->stamp, memory_order_relaxed) > b->sweeping) {
                from = &barrier->next;
                continue;
            }
            /* release: whoever passes here sees the rest of the chain as whole as before. Who
             * stands on the entry goes on by its own link, which stays. */
            atomic_store_explicit(from, atomic_load_explicit(&barrier->next, memory_order_relaxed),
                                  memory_order_release);
            length_add(b, barrier->len, -1);
            count_add_to(b, -1);
            barrier->link = last != 0 ? last : b->retired;
            last = id;
        }
    }
    if (last != 0) {
        b->retired = last;
        b->retired_epoch = epoch_advance(store);
    }
    if (atomic_load_explicit(&b->count, memory_order_relaxed) == 0)
        atomic_fetch_and_explicit(&store->hide_pending, ~(uint32_t)HIDE_PREFIX,
                                  memory_order_release);
    spin_unlock(&b->lock);
}

/* What has been unlinked for long enough may be used again. */
static void retired_collect(struct store *store)
{
    struct barriers *b = store->barriers;
    /* Only we, who hold maint_lock, write these two. */
    if (b->retired == 0 || epoch_reached(store) < b->retired_epoch)
        return;
    spin_lock(&b->lock);
    uint32_t last = b->retired;
    while (b->at[last].link != 0)
        last = b->at[last].link;
    b->at[last].link = b->free;
    b->free = b->retired;
    b->retired = 0;
    spin_unlock(&b->lock);
}

/* Begin when a barrier is there; at most once a second while there is room for more, so that a
 * steady stream of deletions in a large store does not cost a core. */
static bool sweep_begin(struct store_thread *thread)
{
    struct barriers *b = thread->store->barriers;
    const uint32_t count = atomic_load_explicit(&b->count, memory_order_relaxed);
    if (count == 0 || (b->begun_s == thread->now_s && count < STORE_PREFIXES_MAX / 2))
        return false;
    b->begun_s = thread->now_s;
    b->scan = (struct store_scan){0};
    b->grace = 0;
    spin_lock(&b->lock); /* all barriers up to it are linked, and seen by us */
    b->sweeping = b->stamp_last;
    spin_unlock(&b->lock);
    return true;
}

bool barriers_step(struct store_thread *thread)
{
    struct store *store = thread->store;
    struct barriers *b = store->barriers;
    retired_collect(store);
    if (b->sweeping == 0)
        return sweep_begin(thread);
    if (!b->scan.done) {
        for (unsigned i = 0; i < SWEEP_BUCKETS && !b->scan.done; i++)
            (void)scan_purge(thread, &b->scan);
        return true;
    }
    if (b->grace == 0) {
        b->grace = epoch_advance(store);
        return true; /* when nobody is busy it has passed with our own next quiescent point */
    }
    if (epoch_reached(store) < b->grace)
        return false; /* with the next call */
    barriers_retire(store);
    b->sweeping = 0;
    atomic_fetch_add_explicit(&b->sweeps, 1, memory_order_relaxed);
    return true; /* likewise, for their places in the table */
}

/* ── from outside ─────────────────────────────────────────────────────────────────────────── */

bool barrier_restore(struct store *store, struct bytes prefix, uint64_t stamp)
{
    spin_lock(&store->barriers->lock);
    const bool taken = barrier_put(store, prefix, stamp);
    spin_unlock(&store->barriers->lock);
    return taken;
}

uint64_t barriers_stamp_last(struct store *store)
{
    spin_lock(&store->barriers->lock);
    const uint64_t last = store->barriers->stamp_last;
    spin_unlock(&store->barriers->lock);
    return last;
}

void barriers_stamp_last_set(struct store *store, uint64_t stamp)
{
    store->barriers->stamp_last = stamp;
}

void barriers_each(const struct store *store, barrier_each_fn *each, void *arg)
{
    const struct barriers *b = store->barriers;
    for (size_t i = 0; i < COUNT_OF(b->chains); i++) {
        uint32_t id = atomic_load_explicit(&b->chains[i], memory_order_acquire);
        while (id != 0) {
            const struct barrier *barrier = &b->at[id];
            each(arg, bytes_of(barrier->prefix, barrier->len),
                 atomic_load_explicit(&barrier->stamp, memory_order_relaxed));
            id = atomic_load_explicit(&barrier->next, memory_order_acquire);
        }
    }
}

void barriers_info(const struct store *store, struct store_info *info)
{
    const struct barriers *b = store->barriers;
    info->prefixes_pending = atomic_load_explicit(&b->count, memory_order_relaxed);
    info->prefix_sweeps = atomic_load_explicit(&b->sweeps, memory_order_relaxed);
}
