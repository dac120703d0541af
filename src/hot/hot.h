/* hot/hot.h — hot keys: which keys, and which prefixes of keys, are asked for most.
 *
 *   worker                          whoever asks
 *   hot_is_due() per batch          hot_list_make() ── locks one worker's sketches after the other,
 *     └─ rarely: hot_next(),          │                copies and adds up
 *        hot_note() ─ try the lock,   ▼
 *        add to the sketches        struct hot_list
 *
 * Only some of the keys are looked at: one of `every`, with gaps drawn at random, so that nothing
 * periodic in the traffic meets or misses them; it counts for as many as it stands for. `every`
 * follows the load so that a worker looks at 2048 keys a second at most, some 0.1 % of its time,
 * and at every key when there are few. What it looks at goes into two sketches of constant size
 * (hot/sketch.h): random keys cost no more than others, and cannot push out those that are hot.
 *
 * Everything is halved in the course of HOT_HALF_LIFE_S, so rates are those of about the last 15
 * seconds.
 *
 * A worker never waits: while another thread reads its sketches it drops what it would have added,
 * for the few microseconds of a copy.
 *
 * Includes: base.  Included by: cmd, server.
 * Threads:  a struct hot belongs to one worker (hot_is_due, hot_next, hot_note, hot_turn); a list
 *           may be made by any thread.
 * Memory:   68 KiB per worker, allocated at the start. A list is 11 KiB, the caller's; 80 KiB more
 *           while it is made.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/out.h"
#include "hot/sketch.h"

enum {
    HOT_LIST_MAX = 20,
    HOT_HALF_LIFE_S = 10,
    HOT_SAMPLES_PER_S = 2048, /* of a worker, at most */
};

struct hot;
struct hot_set; /* of all workers */

/* For `workers` threads. Of a key, what stands before the first `delimiter` is its prefix; a key
 * without one has none. Returns 0 or -errno. Owns: hot_set_free(). */
MUST_USE int hot_set_new(unsigned workers, char delimiter, struct hot_set **ret_set);
void hot_set_free(struct hot_set *set); /* NULL is fine; no worker notes any more */
/* Worker `index`'s own. Borrowed from the set. */
struct hot *hot_set_worker(struct hot_set *set, unsigned index);

/* ── the worker ───────────────────────────────────────────────────────────────────────────────
 *
 *     if (hot_is_due(hot, count))
 *         while (hot_next(hot, count, &i))
 *             hot_note(hot, the i-th key, its hash);
 *
 * and hot_turn() once per turn of its loop. */

struct hot {                                 /* a worker's own; what others read lies behind it */
    _Alignas(CACHE_LINE_BYTES) int64_t left; /* keys until one is looked at, itself included */
    uint32_t now_s;
    uint32_t every; /* it counts for so many */
    uint32_t noted; /* in this second */
    uint64_t random;
};

/* `count` keys are asked for; is one of them to be looked at? */
MUST_USE static ALWAYS_INLINE bool hot_is_due(struct hot *hot, size_t count)
{
    hot->left -= (int64_t)count;
    return UNLIKELY(hot->left <= 0);
}

/* Which of these is the next one? Returns false when there is none (any more). */
MUST_USE bool hot_next(struct hot *hot, size_t count, size_t *ret_index);
/* It is that key; not called for what is no key. `hash` is keyed by a secret. */
void hot_note(struct hot *hot, struct bytes key, uint64_t hash);

void hot_follow(struct hot *hot, uint32_t now_s);

/* A turn begins: once a second, follow the load, and let what was noted age. */
static ALWAYS_INLINE void hot_turn(struct hot *hot, uint32_t now_s)
{
    if (UNLIKELY(hot->now_s != now_s))
        hot_follow(hot, now_s);
}

/* ── whoever asks ─────────────────────────────────────────────────────────────────────────── */

struct hot_entry {
    double ops_per_s;
    double share; /* of all keys asked for, 0..1 */
    uint8_t len;
    uint8_t text[HOT_KEY_BYTES_MAX]; /* a key, or a prefix without its delimiter; any bytes */
};

struct hot_list {
    size_t key_count, prefix_count;
    struct hot_entry keys[HOT_LIST_MAX], prefixes[HOT_LIST_MAX]; /* the hottest first */
};

/* What makes up 0.1 % or more of the keys that were asked for lately. Returns 0 or -ENOMEM. */
MUST_USE int hot_list_make(struct hot_set *set, struct hot_list *ret_list);

/* Append the rows of `stats hotkeys`, without the END. Keys are percent-encoded. */
void hot_print(struct out *out, const struct hot_list *list);
