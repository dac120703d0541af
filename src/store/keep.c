/* store/keep.c — the eviction policy: what an item must show to stay.
 *
 * S3-FIFO: newcomers wait in a small queue, of which only what was used again passes to the main
 * one; there an item stays for a round as long as it has uses left. Ghosts tell of what went.
 * Added to it is that items differ in size, by orders of magnitude. All of it is learned from the
 * records that evictions walk past (the sizes) and from ghosts that come back (the rest):
 *
 *   size        the mean size, weighted by bytes: of the item that a byte picked by chance lies in.
 *               Not the mean of items: the better small ones are kept, the more of them there are,
 *               and the smaller that mean, until those in the middle count as large.
 *   free_bytes  smaller items pass to the main queue unasked: there they take little for long. As
 *               much of `size` as what earned its place leaves them.
 *   tiny_bytes  the smallest items, which together take TINY_PERCENT of the memory, pass with a
 *               use to spare. It costs nothing beyond these percents, whatever the sizes are.
 *   round_bytes the least that a round costs, in bytes, see keep_freq_moved().
 *   small_permille  the share of the small queue.
 *   ghost_age_max   how many ghosts later one is still good for.
 *
 * Measured by bench/policy.c on 21 workloads at two or three sizes, misses beside memcached's
 * (objects, bytes), before all this was learned and now: zipf 1.0 at 10 % 0.77, 0.93 and 0.75,
 * 0.86; values of 200 bytes to half a megabyte 1.13, 0.96 and 0.96, 0.83; sessions 0.83, 0.97 and
 * 0.81, 0.93; a scan through popular keys 0.87, 0.92 and 0.87, 0.89.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "store/store_priv.h"

enum {
    /* Where the share of the small queue may go to, and in which steps. Below the least, popular
     * keys leave before they are seen twice; above the most, nothing measured gained. */
    SMALL_PERMILLE_FIRST = 400,
    SMALL_PERMILLE_MIN = 100,
    SMALL_PERMILLE_MAX = 550,
    SMALL_PERMILLE_STEP = 5,
    LEARN_STEPS = 16, /* per memory's worth of evicted segments */
    /* Of fewer segments (4 MiB) the share is fixed: what one large value takes would sway it. And
     * fewer items do not tell enough (values of 150 KB in 38 and 115 MB: -4 %, -14 %). */
    SHARE_SEGMENTS_MIN = 64,
    SHARE_ITEMS_MIN = 1024,
    SMALL_PERMILLE_FEW = 200,
    FREE_PERMILLE_MIN = 20, /* of `size`, items that pass unasked */
    FREE_PERMILLE_MAX = 150,
    FREE_PER_EARNED = 2,        /* of what earned its place, the part that may pass unasked, */
    EARNED_ONE_IN = 400,        /* if that much is earned of what the small queue evicts */
    GHOST_PERMILLE_FIRST = 500, /* of all items, in ghosts */
    GHOST_PERMILLE_MIN = 300,
    GHOST_PERMILLE_MAX = 4000,
    TINY_PERCENT = 5, /* of all bytes */
    LARGE_TIMES = 4,  /* as large as `size`: two uses are not enough */
    LITTLE_PART = 4,  /* of `size`, below which ghosts are counted apart */
    /* The least cost of a round in permille of `size`. It may be as high as the small queue is
     * large: where that one is at SMALL_PERMILLE_FULL, a round costs one use, for any item. */
    ROUND_PERMILLE_MIN = 40,
    ROUND_PERMILLE_MAX = 1000,
    SMALL_PERMILLE_FULL = 270,
    LITTLE_RETURNS = 8, /* times as many as of the others, per byte: little items stay longer */
    SIZES_PER_OCTAVE = 4,
    SIZE_LOG2_MIN = 3, /* records are of eight bytes and more */
};
_Static_assert(KEEP_SIZES == (64 - SIZE_LOG2_MIN) * SIZES_PER_OCTAVE, "buckets for any size");

/* Ratios of what comes back per byte, main queue to small: below the first the small one grows,
 * above the second it shrinks. Measured with a share of 20 %: per item, what a large small queue
 * helps was at 0 to 0.45, zipf 1.0 at 1.3. */
#define SHARE_GROWS   1.1
#define SHARE_SHRINKS 1.4

/* Of the sizes seen, at each look: what was seen a memory's worth of evictions ago counts 1 %. */
#define FADE 0.25
/* Likewise, of what passed: 20 %. */
#define FADE_PASSED 0.1

static uint32_t within(uint32_t value, uint32_t least, uint32_t most)
{
    return value < least ? least : value > most ? most : value;
}

void keep_init(struct store *store)
{
    store->keep.small_permille = SMALL_PERMILLE_FIRST;
    store->keep.round_permille = ROUND_PERMILLE_MAX;
    store->keep.free_permille = FREE_PERMILLE_MAX;
    store->keep.ghost_permille = GHOST_PERMILLE_FIRST;
    atomic_init(&store->keep.ghost_age_max, STAMP_MASK);
}

/* ── one item ─────────────────────────────────────────────────────────────────────────────── */

unsigned keep_freq_needed(const struct store *store, unsigned queue, uint64_t bytes)
{
    const struct keep *keep = &store->keep;
    if (store->evict_by_bytes)
        return 1;
    if (queue == QUEUE_SMALL && bytes < keep->free_bytes)
        return 0;
    /* a little above: of items all but equal, none shall count as larger than the others */
    if (bytes <= keep->size + keep->size / 4)
        return 1;
    return bytes <= LARGE_TIMES * keep->size ? 2 : USE_FREQ_MAX;
}

/* What a round costs an item of its uses: one for `size`, in proportion for others (rounded by
 * chance), so that a use buys time for bytes, not for an item. But at least `round_bytes`' worth:
 * else little ones would stay for dozens of rounds after nobody asks for them any more. */
static unsigned round_cost(struct store *store, uint64_t bytes)
{
    struct keep *keep = &store->keep;
    if (store->evict_by_bytes || keep->size == 0)
        return 1;
    keep->random = keep->random * 1664525u + 1013904223u; /* any generator will do */
    const uint64_t charged = bytes > keep->round_bytes ? bytes : keep->round_bytes;
    return (unsigned)((charged + keep->size * (keep->random >> 16) / (1 << 16)) / keep->size);
}

unsigned keep_freq_moved(struct store *store, unsigned queue, unsigned freq, uint64_t bytes)
{
    if (queue == QUEUE_SMALL) /* S3-FIFO starts anew in the main queue */
        return !store->evict_by_bytes && bytes < store->keep.tiny_bytes ? 1 : 0;
    const unsigned cost = round_cost(store, bytes);
    return freq > cost ? freq - cost : 0;
}

unsigned keep_returns_of(const struct store *store, enum ghost ghost, uint64_t bytes)
{
    if (ghost == GHOST_OF_SMALL)
        return RETURNS_SMALL;
    /* relaxed: the bound moves slowly */
    return bytes < atomic_load_explicit(&store->keep.little_bytes, memory_order_relaxed)
               ? RETURNS_LITTLE
               : RETURNS_MAIN;
}

/* ── sizes ────────────────────────────────────────────────────────────────────────────────── */

static unsigned size_bucket(uint64_t bytes)
{
    const unsigned log2 = 63u - (unsigned)__builtin_clzll(bytes);
    const uint64_t quarter = bytes >> (log2 - 2) & (SIZES_PER_OCTAVE - 1);
    return (log2 - SIZE_LOG2_MIN) * SIZES_PER_OCTAVE + (unsigned)quarter;
}

static uint64_t size_bucket_low(unsigned bucket)
{
    const unsigned log2 = bucket / SIZES_PER_OCTAVE + SIZE_LOG2_MIN;
    return (uint64_t)(SIZES_PER_OCTAVE + bucket % SIZES_PER_OCTAVE) << (log2 - 2);
}

void keep_seen(struct store *store, unsigned queue, uint64_t bytes, int freq)
{
    struct keep *keep = &store->keep;
    struct keep_size *size = &keep->sizes[size_bucket(bytes)];
    size->bytes += (double)bytes;
    size->items += 1.0;
    if (queue != QUEUE_SMALL)
        return;
    keep->small_bytes += (double)bytes;
    keep->earned_bytes += freq > 0 ? (double)bytes : 0.0;
    keep->free_passed_bytes += freq == 0 ? (double)bytes : 0.0;
}

/* What passes unasked takes the place of what has earned to stay. So it may be half as much; but
 * where next to nothing is used again in time (a loop that does not fit), something has to stay.
 * Measured (objects, bytes beside memcached): bound to 15 % of `size` only, zipf 1.0 is at 0.73,
 * 0.89, the loop at 0.39, 0.71; bound to what is earned 0.75, 0.86 and 1.00, 1.00; with the
 * exception 0.75, 0.86 and 0.39, 0.71. At 60 % of the footprint the bound is not reached. */
static void free_learn(struct keep *keep)
{
    const bool too_much = keep->free_passed_bytes * FREE_PER_EARNED > keep->earned_bytes &&
                          keep->earned_bytes * EARNED_ONE_IN > keep->small_bytes;
    const uint32_t permille = keep->free_permille;
    keep->free_permille = within(too_much ? permille - permille / 11 : permille + permille / 10,
                                 FREE_PERMILLE_MIN, FREE_PERMILLE_MAX);
    keep->small_bytes *= 1.0 - FADE_PASSED;
    keep->earned_bytes *= 1.0 - FADE_PASSED;
    keep->free_passed_bytes *= 1.0 - FADE_PASSED;
}

static void sizes_set(struct keep *keep, uint64_t size)
{
    keep->size = size;
    keep->free_bytes = size * keep->free_permille / 1000;
    atomic_store_explicit(&keep->little_bytes, size / LITTLE_PART, memory_order_relaxed);
}

static uint64_t items_of(const uint64_t sum[COUNT_ID_COUNT])
{
    const int64_t items = (int64_t)(sum[COUNT_LINKED] - sum[COUNT_UNLINKED]);
    return items > 0 ? (uint64_t)items : 0; /* counted thread by thread: a few off, maybe */
}

/* Before anything has been walked past: the mean of all items. */
static void sizes_guess(struct store *store)
{
    uint64_t sum[COUNT_ID_COUNT];
    counters_sum(store, sum);
    const uint64_t items = items_of(sum);
    const uint64_t bytes = sum[COUNT_LINKED_BYTES] - sum[COUNT_UNLINKED_BYTES];
    sizes_set(&store->keep, items > 0 ? bytes / items : 0);
}

/* Of what was seen since the last time, and less and less of what was seen before. */
static void sizes_learn(struct keep *keep)
{
    double all = 0, weighted = 0, below = 0;
    for (unsigned i = 0; i < KEEP_SIZES; i++) {
        const struct keep_size *size = &keep->sizes[i];
        all += size->bytes;
        if (size->items > 0.0)
            weighted += size->bytes * size->bytes / size->items;
    }
    if (all <= 0)
        return;
    sizes_set(keep, (uint64_t)(weighted / all + 0.5));
    bool passed = false;
    for (unsigned i = 0; i < KEEP_SIZES; i++) {
        struct keep_size *size = &keep->sizes[i];
        below += size->bytes;
        if (!passed && below * 100 > all * TINY_PERCENT) {
            keep->tiny_bytes = size_bucket_low(i);
            passed = true;
        }
        size->bytes *= 1.0 - FADE;
        size->items *= 1.0 - FADE;
    }
}

/* ── what comes back ──────────────────────────────────────────────────────────────────────── */

/* Returns how many items there are. */
static uint64_t returns_update(struct store *store)
{
    uint64_t sum[COUNT_ID_COUNT];
    counters_sum(store, sum);
    for (unsigned i = 0; i < RETURNS_COUNT; i++) {
        struct returns *returns = &store->keep.returns[i];
        const uint64_t bytes = sum[COUNT_GHOST_BYTES + i], hits = sum[COUNT_GHOST_HITS + i];
        returns->bytes_faded += bytes - returns->bytes - returns->bytes_faded / LEARN_STEPS;
        returns->hits_faded += hits - returns->hits - returns->hits_faded / LEARN_STEPS;
        returns->bytes = bytes;
        returns->hits = hits;
    }
    return items_of(sum);
}

/* How much of the memory the small queue gets. What leaves either queue leaves a ghost (of the main
 * queue a sample, so that they do not crowd out the others), and a ghost that is hit is an item
 * that would have been a hit if its queue had been larger. So the small queue grows while its
 * ghosts bring back more hits per byte that they stand for, and shrinks while they bring clearly
 * less: popularity that lasts wants a small one, keys that come back soon or never (sessions, pure
 * recency) a large one. Slowly, because ghosts return about a filling of the memory later; four
 * times as fast, the share was seen to swing. Per byte, because counted by items, large values that
 * the small queue drops made it grow (large at 30 %: +10 %).
 * Measured (bench/policy.c, object misses against a fixed 20 %): zipf 1.0 -3.5 %, wave -2 %, near
 * -7 %, session -10 % (bytes -17 %), recency at 30 % no longer 2 % above an LRU; large +1..3 %. */
static void small_share_learn(struct keep *keep, int demand)
{
    if (demand > 0 && keep->small_permille < SMALL_PERMILLE_MAX)
        keep->small_permille += SMALL_PERMILLE_STEP;
    else if (demand < 0 && keep->small_permille > SMALL_PERMILLE_MIN)
        keep->small_permille -= SMALL_PERMILLE_STEP;
}

/* How long ghosts are good for a place in the main queue. Where the small queue's come back more
 * often, long: what is popular now was not popular then. Where popularity lasts, not long: the main
 * queue is full of what has been used several times, and a key that comes back after a while would
 * take the place of one that comes back sooner. Ghosts that are too old do not count as returns.
 * Measured (objects, bytes beside memcached): good for ever, zipf 1.0 is at 0.76, 0.90, a loop
 * among others at 0.72, 0.94; for an eighth of all items 0.73, 0.89 and 0.54, 0.86, but popularity
 * that jumps at 0.91, 1.03 instead of 0.90, 0.99; learned, all get the better of the two. */
static void ghosts_learn(struct store *store, int demand, uint64_t items)
{
    struct keep *keep = &store->keep;
    uint32_t permille = keep->ghost_permille;
    if (demand > 0)
        permille += permille / 5;
    else if (demand < 0)
        permille -= permille / 11;
    keep->ghost_permille = within(permille, GHOST_PERMILLE_MIN, GHOST_PERMILLE_MAX);
    const uint64_t age = ((items * keep->ghost_permille / 1000) >> store->ghost_shift) +
                         (GHOST_STAMPS >> store->ghost_shift) + 1;
    atomic_store_explicit(&keep->ghost_age_max, age < STAMP_MASK ? (uint32_t)age : STAMP_MASK,
                          memory_order_relaxed);
}

/* Whose ghosts come back more often, per byte that they stand for? The small queue's: 1; the main
 * one's: -1; 0: about the same, or nothing is known. */
static int returns_demand(const struct keep *keep)
{
    const struct returns *returns = keep->returns;
    const double main_hits =
        (double)(returns[RETURNS_MAIN].hits_faded + returns[RETURNS_LITTLE].hits_faded);
    const double main_bytes =
        (double)(returns[RETURNS_MAIN].bytes_faded + returns[RETURNS_LITTLE].bytes_faded);
    const double small = (double)returns[RETURNS_SMALL].hits_faded * main_bytes;
    const double main = main_hits * (double)returns[RETURNS_SMALL].bytes_faded;
    if (small * SHARE_GROWS > main)
        return 1;
    return small * SHARE_SHRINKS < main ? -1 : 0;
}

/* How long uses of the past keep little items. Where keys come back soon or never (the small queue
 * has grown), not long: a round costs them like others. Where popularity lasts, longer; and much
 * longer where of those that left the main queue many times as many come back, per byte, as of the
 * others, which tells that they are a small part of the memory and most of the requests.
 * Measured (objects, bytes beside memcached): with full rounds for all zipf 1.0 is at 0.78, 0.91
 * and large values at 1.20, 0.93; with rounds in proportion 0.75, 0.92 and 1.03, 0.94, but sessions
 * at 0.89, 1.06 instead of 0.83, 0.97; learned, all get the better of the two. */
static void round_learn(struct keep *keep, unsigned small_permille)
{
    const struct returns *returns = keep->returns;
    const double little =
        (double)returns[RETURNS_LITTLE].hits_faded * (double)returns[RETURNS_MAIN].bytes_faded;
    const double others = (double)returns[RETURNS_MAIN].hits_faded *
                          (double)returns[RETURNS_LITTLE].bytes_faded * LITTLE_RETURNS;
    const unsigned most = within(ROUND_PERMILLE_MAX * small_permille / SMALL_PERMILLE_FULL,
                                 ROUND_PERMILLE_MIN, ROUND_PERMILLE_MAX);
    unsigned round = keep->round_permille;
    if (little > others)
        round -= round / 11;
    else if (little < others * 0.9)
        round += round / 10;
    keep->round_permille = within(round, ROUND_PERMILLE_MIN, most);
}

unsigned keep_small_permille(const struct store *store, uint64_t segments)
{
    if (segments < SHARE_SEGMENTS_MIN)
        return SMALL_PERMILLE_FEW;
    if (segments * store->segment_bytes < SHARE_ITEMS_MIN * store->keep.size)
        return SMALL_PERMILLE_MIN;
    return store->keep.small_permille;
}

static void returns_learn(struct store *store, uint64_t segments)
{
    struct keep *keep = &store->keep;
    const uint64_t items = returns_update(store);
    const int demand = returns_demand(keep);
    small_share_learn(keep, demand);
    ghosts_learn(store, demand, items);
    round_learn(keep, keep_small_permille(store, segments));
}

/* After a sixteenth of the memory. About sizes sooner while little is known; about what comes back
 * for the first time when the memory has been filled once more. */
void keep_learn(struct store *store, uint64_t segments)
{
    struct keep *keep = &store->keep;
    const uint32_t all = atomic_load_explicit(&store->segment_limit, memory_order_relaxed);
    const uint32_t most = all / LEARN_STEPS;
    if (keep->learned == 0) {
        sizes_guess(store);
        keep->returns_left = all;
    }
    if (keep->learn_left-- == 0) {
        keep->learn_left = keep->learned < most ? keep->learned : most;
        keep->learned++;
        free_learn(keep);
        sizes_learn(keep);
    }
    if (keep->returns_left-- == 0) {
        keep->returns_left = most;
        returns_learn(store, segments);
    }
    keep->round_bytes = keep->size * keep->round_permille / ROUND_PERMILLE_MAX;
}
