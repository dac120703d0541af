/* store/store.h — the key/value engine: index, segments, eviction, expiry.
 *
 * One store is shared by all threads. Reads take no lock; a write locks one index bucket. How
 * it works, with drawings and the concurrency argument: store/store_priv.h.
 *
 * Includes: base.  Included by: cmd, server.  No log, no protocol, no clock, and no I/O but the
 *           memory file's, before the first and after the last request.
 * Threads:  any number; each has its own store_thread and tells the store when it holds nothing
 *           (store_thread_quiesce, once per loop turn) and when it sleeps (store_thread_offline).
 * Memory:   store_new() reserves addresses; data, index and ghosts together never use more than
 *           memory_bytes of them. Uploads and pinned references use the heap, bounded per
 *           connection.
 * Time:     `now_s`, `exp_s`: seconds of cache time (base/clock.h); exp_s 0 = never. An item is
 *           gone when exp_s <= now_s.
 * Spec:     memcached doc/protocol.txt, exptime, cas unique, meta commands; ../ENGINE.md of the
 *           design.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    STORE_KEY_BYTES_MAX = 250, /* Spec: protocol.txt "Keys" */
    STORE_ITEM_BYTES_EXTRA =
        48, /* counted on top of key and value against item_bytes_max, like memcached's header */
};

enum store_rc {
    STORE_OK,
    STORE_MISS,       /* no such key */
    STORE_EXPIRED,    /* a miss: the item was there, its exptime has passed */
    STORE_FLUSHED,    /* a miss: the item was there, flush_all or a deleted prefix hid it */
    STORE_EXISTS,     /* CAS unique differs */
    STORE_NOT_STORED, /* add found the key; replace, append, prepend did not */
    STORE_NOT_NUMBER, /* arithmetic on a value that is no decimal number */
    STORE_TOO_LARGE,  /* above item_bytes_max */
    STORE_NO_MEMORY,  /* nothing could be freed, or evictions are off (-M) */
};

static inline bool store_rc_is_miss(enum store_rc rc)
{
    return rc == STORE_MISS || rc == STORE_EXPIRED || rc == STORE_FLUSHED;
}

struct store;
struct store_thread;
struct store_upload; /* a value that arrives in pieces */
struct store_ref;    /* keeps one value where it lies until it is sent */

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

/* An item that was evicted. */
struct store_evicted {
    struct bytes key;
    uint64_t value_bytes;
    uint32_t exp_s; /* 0: never */
    uint32_t last_access_s;
    uint32_t now_s;
    bool fetched; /* somebody had read it */
};

/* Whom to tell about evictions. */
struct store_observer {
    const _Atomic bool *wanted; /* read with each eviction; NULL: nobody wants to know */
    /* In the thread that evicts, with the item's bucket locked: be quick, and call no store.
     * `arg` is that thread's, see store_thread_arg_set(); never NULL. */
    void (*evicted)(void *arg, const struct store_evicted *item);
};

struct store_config {
    uint64_t memory_bytes;   /* -m; at least 1 MiB */
    uint64_t item_bytes_max; /* -I; at most memory_bytes / 2 */
    bool no_evict;           /* -M: STORE_NO_MEMORY instead of evicting */
    bool no_cas;             /* -C: every CAS unique reads as 0 */
    bool evict_by_bytes;     /* keep bytes rather than objects: size does not matter to eviction */
    bool large_pages;        /* -L: back all of it with large pages, now */
    uint64_t hash_seed;      /* 0: drawn at random (tests pass their own) */
    struct store_observer observer;
};

/* Reserve memory and build an empty store. Returns 0, -EINVAL (limits out of range) or -ENOMEM.
 * Owns: free with store_free(), after every thread of it has been freed. */
MUST_USE int store_new(const struct store_config *config, struct store **ret_store);
void store_free(struct store *store); /* NULL is fine */

/* ── memory in a file: warm restart ───────────────────────────────────────────────────────── */

struct store_file {
    const char *path;     /* the items' memory; PATH.meta beside it exists while nobody runs */
    const char *settings; /* more lines "name value": a store saved with other ones is not used */
    unsigned threads;     /* to save and to restore with, at least 1 */
    int64_t wall_s;       /* Unix time */
    uint32_t now_s;       /* cache time; of a start with nothing when a store is opened */
};

enum { STORE_TEXT_BYTES = 512 };

struct store_restart {
    bool restored;
    bool refused;                /* there was something to restore, but it could not be used */
    uint64_t items;              /* restored or saved */
    uint32_t now_s;              /* what cache time is now: older items count on it */
    char text[STORE_TEXT_BYTES]; /* one line for the operator: what happened and why */
};

/* As store_new(), with the items' memory in a file that is made when it does not exist. When a
 * store_save() lies beside it, and configuration and every byte of the file are what they were,
 * the store begins with what it held; else empty, and ret_restart->text says why. Only in a
 * failure of the file itself (missing directory, in use by another server, no space) it returns
 * -errno with the reason in the text. The limit of such a store is fixed: store_memory_set()
 * refuses. Owns: as store_new(); the file stays locked until store_free(). */
MUST_USE int store_new_on_file(const struct store_config *config, const struct store_file *file,
                               struct store_restart *ret_restart, struct store **ret_store);
/* Write what store_new_on_file() needs to go on with. Every thread's handle has been freed, every
 * upload and reference too; the store may only be freed afterwards. Returns 0, or -errno with the
 * reason in the text: then the next start is empty. */
MUST_USE int store_save(struct store *store, const struct store_config *config,
                        const struct store_file *file, struct store_restart *ret_restart);

/* ── threads ──────────────────────────────────────────────────────────────────────────────── */

/* Register the calling thread's handle (it starts offline). Returns 0 or -ENOMEM. */
MUST_USE int store_thread_new(struct store *store, struct store_thread **ret_thread);
/* What the observer is called with; NULL (at first): not at all. While the thread does not run. */
void store_thread_arg_set(struct store_thread *thread, void *arg);
void store_thread_free(struct store_thread *thread); /* NULL is fine; no view or batch in use */

/* Come back from sleep: from now on views are valid until the next quiescent point. */
void store_thread_online(struct store_thread *thread, uint32_t now_s);
/* A quiescent point: all views of this thread end here. Once per loop turn or batch; cheap. */
void store_thread_quiesce(struct store_thread *thread, uint32_t now_s);
/* Before sleeping in the kernel; all views end here. */
void store_thread_offline(struct store_thread *thread);

/* Housekeeping of expired, flushed and evicted segments, and of deleted prefixes; run by one thread
 * of the server in a loop: online, store_maintain, offline, store_maintain_wait. Workers evict for
 * themselves when it falls behind, so nothing breaks (tests) when nobody calls it, but for
 * store_delete_prefix(), which will have no room at last. */
void store_maintain(struct store_thread *thread);
/* Touch memory that will be used for the first time soon, as far as it consists of huge pages: the
 * kernel clears such a page whole (0.1 to 0.4 ms; with a virtual machine's host that has to find
 * it, 7 ms were measured), and a request would have to wait for that. By the thread that runs
 * store_maintain(), while it is offline. */
void store_touch_ahead(struct store *store);
/* Sleep until memory runs low, store_maintain_wake() or `timeout_ms`. The thread must be
 * offline. */
void store_maintain_wait(struct store *store, uint32_t timeout_ms);
void store_maintain_wake(struct store *store);

/* ── keys ─────────────────────────────────────────────────────────────────────────────────── */

/* Hash `key` for the calls below: hash once, use everywhere. */
uint64_t store_hash(const struct store *store, struct bytes key);
/* First and second step of a batch: fetch the bucket's cache lines, then (when these have
 * arrived) the item's. Hints only; correct without. */
void store_prefetch_bucket(const struct store *store, uint64_t hash);
/* Returns where it found it, for store_key.hint. */
MUST_USE uint8_t store_prefetch_item(const struct store *store, uint64_t hash);

struct store_key {
    struct bytes key; /* 1..STORE_KEY_BYTES_MAX bytes */
    uint64_t hash;    /* store_hash(key) */
    bool binary;      /* the key came base64-encoded: remembered when an item is created */
    uint8_t hint;     /* what store_prefetch_item() said, or 0: where to look first */
};

/* ── reading ──────────────────────────────────────────────────────────────────────────────── */

/* What a lookup found. Pointers are borrowed from the store until this thread's next write call
 * (put, arith, delete, fetch with an effect, upload) or quiescent point, whichever is first.
 * A view must not be copied by assignment: `value` may point into its own `digits`. */
struct store_view {
    struct bytes key;      /* the item's own copy */
    struct bytes value;    /* the whole value; ptr is NULL when `fragmented` */
    uint64_t value_bytes;  /* of the whole value, also when fragmented */
    uint64_t cas_unique;   /* 0 unless asked for */
    uint64_t memory_bytes; /* what the item takes in memory, index excluded */
    uint32_t client_flags;
    uint32_t exp_s;         /* 0: never */
    uint32_t last_access_s; /* before this lookup */
    bool fragmented;        /* large: read it through store_ref_new() */
    bool fetched;           /* had been read before this lookup */
    bool key_binary;
    bool stale;         /* invalidated; meta X */
    bool win_sent;      /* somebody had been told to recache before this lookup; meta Z */
    bool won;           /* this lookup is told to recache; meta W */
    bool created;       /* this lookup made the item (vivify) */
    uint8_t digits[24]; /* backs `value` of a number */
    const void *item;   /* the store's own */
};

enum {
    STORE_GET_CAS = 1,     /* fill cas_unique */
    STORE_GET_NO_BUMP = 2, /* neither a use nor a fetch */
    /* Only what an answer with the value needs: of the view key, value, value_bytes, fragmented,
     * client_flags, created and cas_unique are filled. */
    STORE_GET_BRIEF = 4,
};

/* Find a key. Lock-free. Returns STORE_OK or one of the misses (then *ret_view is untouched). */
MUST_USE enum store_rc store_get(struct store_thread *thread, const struct store_key *key,
                                 unsigned flags, struct store_view *ret_view);

/* How a lookup may change what it finds (meta get, gat, touch). */
struct store_fetch {
    unsigned flags; /* STORE_GET_… */
    bool touch;     /* set the exptime; the view shows the one before in exp_s */
    bool vivify;    /* create an empty item on a miss, its finder has won */
    bool recache;   /* a TTL below recache_ttl_s makes the first asker win */
    bool lease;     /* tell stale/won/win_sent and hand out the win (meta get) */
    uint32_t touch_exp_s;
    uint32_t vivify_exp_s;
    uint32_t recache_ttl_s;
    uint64_t explicit_cas; /* of an item that vivify creates; 0: the store's own */
};

/* Find a key with effects. Returns STORE_OK, a miss, or STORE_NO_MEMORY (vivify, touch). */
MUST_USE enum store_rc store_fetch(struct store_thread *thread, const struct store_key *key,
                                   const struct store_fetch *how, struct store_view *ret_view);

/* Keep the value of a view alive beyond it, to send it without a copy. Returns NULL when too
 * much memory is kept like that already (or the heap is exhausted): copy a small value then,
 * refuse a large one. Owns: give back with store_ref_free(), from any thread, online or not. */
struct store_ref *store_ref_new(struct store_thread *thread, const struct store_view *view);
void store_ref_free(struct store_ref *ref);
/* The value's pieces in order; borrowed from the ref. */
const struct bytes *store_ref_spans(const struct store_ref *ref, size_t *ret_count);

/* ── writing ──────────────────────────────────────────────────────────────────────────────── */

enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND };

struct store_put {
    enum store_mode mode;
    bool compare;          /* store only over an item with compare_cas */
    bool allow_stale;      /* meta I: an item with a higher CAS than compare_cas... */
                           /* ...than ours is kept out; a lower compare_cas stores marked stale */
    bool vivify;           /* append, prepend: create with vivify_exp_s on a miss */
    uint32_t client_flags; /* ignored by append and prepend on a hit */
    uint32_t exp_s;        /* likewise */
    uint32_t vivify_exp_s;
    uint64_t compare_cas;
    uint64_t explicit_cas;       /* 0: the store's own */
    struct bytes value;          /* the whole value, unless `upload` */
    struct store_upload *upload; /* complete; the call consumes it, whatever the outcome */
};

struct store_put_result { /* written when something was stored */
    uint64_t cas_unique;
    uint64_t value_bytes; /* after the operation */
};

/* Store a value. Returns STORE_OK, STORE_NOT_STORED, STORE_EXISTS, a miss (compare on a missing
 * key), STORE_TOO_LARGE or STORE_NO_MEMORY. The old value stays unless STORE_OK.
 * Pass NULL for the result when nobody asks: a CAS unique that somebody has seen costs 8 bytes of
 * memory once the item is relocated. */
MUST_USE enum store_rc store_put(struct store_thread *thread, const struct store_key *key,
                                 const struct store_put *put, struct store_put_result *ret_result);

struct store_arith {
    bool decr; /* stops at 0; incr wraps at 2^64 */
    bool compare;
    bool vivify; /* create with `initial` and vivify_exp_s on a miss */
    bool touch;
    uint32_t vivify_exp_s;
    uint32_t touch_exp_s;
    uint64_t delta, initial;
    uint64_t compare_cas, explicit_cas;
    unsigned flags; /* STORE_GET_CAS: fill cas_unique of the result */
};

struct store_arith_result {
    uint64_t value;
    uint64_t cas_unique;
    uint32_t exp_s;
    bool created;
};

/* Add to a number. Returns STORE_OK, a miss, STORE_EXISTS, STORE_NOT_NUMBER, STORE_NO_MEMORY. */
MUST_USE enum store_rc store_arith(struct store_thread *thread, const struct store_key *key,
                                   const struct store_arith *arith,
                                   struct store_arith_result *ret_result);

struct store_delete {
    bool compare;
    bool invalidate;  /* keep it, marked stale, with a new CAS and the win to give again */
    bool clear_value; /* keep it, with an empty value and client flags 0 */
    bool touch;       /* with invalidate or clear_value: new exptime */
    uint32_t touch_exp_s;
    uint64_t compare_cas, explicit_cas;
};

/* Delete or invalidate. Returns STORE_OK, a miss, STORE_EXISTS, STORE_NO_MEMORY (invalidate). */
MUST_USE enum store_rc store_delete(struct store_thread *thread, const struct store_key *key,
                                    const struct store_delete *how);

/* Hide everything stored before now (when_s <= now) or before `when_s`. O(1); replaces an
 * earlier flush that is still to come. */
void store_flush(struct store_thread *thread, uint32_t when_s);

enum { STORE_PREFIXES_MAX = 4096 }; /* deletions of different prefixes that may be pending */

/* Hide everything stored before now under keys that begin with `prefix`, 1..STORE_KEY_BYTES_MAX
 * bytes. O(1): lookups that begin when it has returned miss these items, and store_maintain() takes
 * them out behind. Returns false, with nothing done, while too many are pending. */
MUST_USE bool store_delete_prefix(struct store_thread *thread, struct bytes prefix);

/* ── uploads: values that come in pieces ──────────────────────────────────────────────────── */

/* Begin a value of `value_bytes` for `key`. Returns STORE_OK, STORE_TOO_LARGE or STORE_NO_MEMORY.
 * Owns: consumed by store_put(), else store_upload_free(). */
MUST_USE enum store_rc store_upload_new(struct store_thread *thread, const struct store_key *key,
                                        uint64_t value_bytes, struct store_upload **ret_upload);
/* Where the next bytes go: ret_len > 0 until the value is complete. Of a large value at most 64 KiB
 * at a time: where memory is short, each part does its share of finding it. */
uint8_t *store_upload_space(struct store_upload *upload, size_t *ret_len);
/* `len` bytes were written to the space. Returns STORE_OK or STORE_NO_MEMORY (free it then). */
MUST_USE enum store_rc store_upload_fill(struct store_thread *thread, struct store_upload *upload,
                                         size_t len);
void store_upload_free(struct store_upload *upload); /* NULL is fine; any thread state */

/* ── walking over all items ───────────────────────────────────────────────────────────────── */

/* How far a walk has come; {0} is its beginning. Refers to nothing: it may be dropped at any time,
 * and rest for as long as one likes. */
struct store_scan {
    uint64_t at;
    bool done;
};

/* Shown a live item: all fields of the view but `won`, `created`. The CAS unique is today's: it is
 * not marked as seen, so unlike one from store_get() it need not outlive a relocation of the item,
 * and a number may be counted on under it. Must not call the store. */
typedef void store_scan_fn(void *arg, const struct store_view *view);

/* Show the live items of the next index bucket, a dozen or so, and move on; done: that was the
 * last. An item that exists during the whole walk is shown exactly once, whatever others write,
 * evict or move meanwhile and however the index grows; one that comes or goes meanwhile at
 * most once, for a key has one place in the order of the walk. Locks the bucket for a moment.
 * Counts neither as a use nor as a fetch of the items. */
void store_scan(struct store_thread *thread, struct store_scan *scan, store_scan_fn *each,
                void *arg);

/* Have the housekeeping thread look at up to `items_max` items and take those out of the index that
 * have expired or were flushed, rather than when their segment is due. Returns false when it is
 * doing so already. */
MUST_USE bool store_crawl(struct store *store, uint64_t items_max);
bool store_is_crawling(const struct store *store);

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

/* Change -m while running; evicts in the background when smaller. Returns 0 or -EINVAL (in a file,
 * below the minimum, or above the address space reserved at start). */
MUST_USE int store_memory_set(struct store *store, uint64_t memory_bytes);

struct store_info {
    uint64_t items, item_bytes; /* live now; item_bytes with headers */
    uint64_t memory_bytes;      /* the limit */
    uint64_t memory_used_bytes; /* segments in use and index */
    uint64_t index_bytes;       /* part of the former */
    uint64_t index_buckets;     /* level and split: 2^level + split */
    uint32_t index_level;       /* floor(log2(index_buckets)) */
    uint32_t segment_bytes;
    uint32_t segments_max, segments_free, segments_small, segments_main, segments_index;
    uint32_t segments_limbo, segments_pinned, segments_open;
    uint32_t oldest_s;  /* age in seconds of the oldest segment with items */
    bool index_growing; /* split position is inside a doubling */
    /* counters since start or store_info_reset() */
    uint64_t items_total; /* stored ever */
    uint64_t evictions;   /* items */
    uint64_t evicted_unfetched, evicted_nonzero, evicted_active;
    uint64_t expired_unfetched;
    uint64_t reclaimed;          /* expired items whose memory came back */
    uint64_t expired_background; /* of these, by the housekeeping thread */
    uint64_t flushed;            /* items removed behind flush_all */
    uint64_t prefix_deleted;     /* items removed behind deleted prefixes */
    uint64_t prefix_sweeps;      /* walks over the store for that; since the start */
    uint64_t prefixes_pending;   /* now, of STORE_PREFIXES_MAX */
    uint64_t segments_evicted, segments_compacted, segments_expired;
    uint64_t bytes_copied;  /* by eviction and compaction */
    uint64_t ghost_hits;    /* sets that went to the main queue */
    uint64_t out_of_memory; /* STORE_NO_MEMORY answers */
    uint64_t scanned;       /* items that store_scan() and store_crawl() looked at */
    uint64_t evicted_age_s; /* seconds since last use of the last evicted item */
};

/* Sum up all threads; takes microseconds, blocks nobody. */
void store_info(struct store *store, struct store_info *ret_info);
void store_info_reset(struct store *store); /* counters only */
