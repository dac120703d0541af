/* store/store_priv.h — the inside of the store: what lies where, and why threads may share it.
 *
 * MEMORY
 *
 *   arena (one mmap, reserved addresses; at most memory_bytes of all three are ever resident)
 *   +---------+---------+---------+--   +----------------------+   +------------------+
 *   |segment 0|segment 1|segment 2| ... | buckets 0..n (128 B) |   | overflow lines   |
 *   +---------+---------+---------+--   +----------------------+   | (64 B)           |
 *      data: 64 KiB..1 MiB each             index: grows by one    +------------------+
 *                                           bucket at a time
 *   The index takes its memory in units of one segment: it claims a free segment, whose pages go
 *   back to the kernel, and uses as many pages of its own range. Segment headers stand in a
 *   side array.
 *
 *   location (40 bits): offset in the data range / 8.
 *   slot (64 bits):     kind:2 | tag:22 | location:40          kind: 0 empty, 1 live, 2 ghost
 *                       a ghost's location: fingerprint:15 | from main:1 | eviction stamp:24
 *   bucket (128 B):     head | slot x 15     head: overflow line:32 | version:31 | lock:1
 *   line (64 B):        slot x 7 | next line:32 | free-list link:32
 *   The tag holds the hash bits just above the smallest table's index, so that splitting a bucket
 *   needs no look at the items.
 *
 * LIFE OF A SEGMENT
 *
 *   FREE --segment_get--> OPEN --full--> SEALED --drain_segment--> DRAINING --> LIMBO --> FREE
 *                          |               |                                     |
 *               gives pieces to threads    stands in a queue (small or           no slot points
 *               (a group's open segment)   main), oldest first                   here; readers and
 *                                                                                pins may look
 *
 * WHY THREADS MAY SHARE IT
 *
 *  (1) Readers take no lock. A reader loads a slot (acquire), compares the key in the record behind
 *      it, and may use that record until its next quiescent point: a record is immutable (but for
 *      the bytes that item.h names), and its segment is not reused before every online thread has
 *      passed a quiescent point after the last slot to it was cleared, see (2). So a hit needs no
 *      validation. A miss does: an entry may have moved from a place not yet looked at to one
 *      already passed. Whoever moves entries between places makes the bucket's version odd before
 *      and even after, under the lock. A reader that found nothing re-reads the head and looks
 *      again if the version is odd or has changed, or if the table has grown so that its key now
 *      lives in another bucket. Slot loads are acquire, hence before that re-read; slot stores are
 *      release, hence after the odd version: who saw a store of the mover also sees a changed
 *      version. Inserting, replacing and clearing in place move nothing and need no version.
 *
 *  (2) Reclamation by quiescent states. `epoch` grows by one for each drained segment. Each thread
 *      has a word: OFFLINE, or the epoch that it saw at its last quiescent point. A drained segment
 *      is stamped with the epoch after its last unlink, and free when all online words are at least
 *      that. Online to online: the thread read `epoch` with acquire, which the drainer raised with
 *      release after its unlinks, so the thread's later loads see them; its earlier loads come
 *      before its release store of the word, which the drainer reads with acquire. Offline to
 *      online: the thread stores its word and only then may load slots. That order of a store and a
 *      load needs a sequentially consistent fence, and the drainer has its own between its unlinks
 *      and reading the words: either it sees the word, or the thread sees the unlinks.
 *
 *  (3) Pins. A thread that may use a record by (1) may raise its segment's pin count. It does so
 *      before its next quiescent point, so the count is seen by whoever sees the new word. A
 *      segment in LIMBO stays there until its last pin is gone (release; the collector: acquire).
 *
 *  (4) Writers. A slot changes only under its bucket's lock (acquire CAS on bit 0 of the head,
 *      release store to unlock). A new record is filled in a piece of an open segment that belongs
 *      to the thread alone; the release store of the slot publishes it. A segment with pieces still
 *      out (`writers` > 0) is never drained, so the walk of a drain sees whole records only. The
 *      pieces of a thread that sleeps are taken back for it, while its word says STOLEN.
 *
 *      Who replaces a record marks it dead and counts it off its segment with the bucket unlocked
 *      again, see settle() in mutate.c; the next writer of a hot key does not wait for that.
 *
 *  (5) Locks, outer to inner: maintenance > split > bucket (old, then new) > lines > threads; and
 *      group > queue. pool and barriers are leaves. Nobody waits for memory with a lock held but
 *      maintenance, and who holds that allocates from the reserve without waiting.
 *
 *  (6) flush_all notes the highest segment number given out; items in segments up to it are misses.
 *      It then closes the open segments, and every thread drops its pieces before it allocates
 *      again: it sees `flush_gen`, because its client heard the flush's OK before it sent the next
 *      write. While the bound is taken, `flush_gen` is odd, and a segment that is opened just then
 *      waits: so each segment either is counted in, or its opener (and who gets pieces of it) sees
 *      the flush. Whoever writes an old record again takes the room for the copy first and asks
 *      whether the record is flushed afterwards: a copy never outlives a flush.
 *
 *
 *  (7) CAS unique = the record's birthplace (segment number, offset): unique for ever, as segment
 *      numbers are never reused. Once somebody has looked at it (cas-seen, set under the bucket
 *      lock), a copy carries it as a field. Ids of one key only grow, because meta I compares them:
 *      where a place would give a lower id than the old one, the record gets a field, too, with a
 *      raised id: of a segment number that no segment has, and with a bit that no place has. A
 *      thread draws such a number for its own use and deals it out in runs. A run belongs to the
 *      key that gets its first id: whoever replaces an item of a raised id takes the next one, so
 *      that threads that write one key in turn share no counter. An id of a run is taken once:
 *      only in place of the id before it, with the bucket locked, and linked before that is
 *      unlocked; and no item gets back to an id that has been replaced. (The old id and 1 would
 *      not do for other ids: that is where another record may be born.)
 *
 *  (8) Deletion of a key prefix (barrier.c). A barrier is a prefix and a stamp, a number that only
 *      grows. An item is hidden by a barrier if its key begins so and its own stamp is lower; most
 *      items have none, which counts as 0. While a barrier is pending, what is written to a key
 *      below its prefix gets the barrier's stamp as a field. So a deletion costs one entry in a
 *      table: no segment is closed for it, and it does not matter which of them are open, who has
 *      pieces of them, or where a copy comes to lie, for copies keep the stamp (or have none).
 *      - Order. What happens to one key is ordered by its bucket's lock. A writer reads the
 *        newest stamp of the key's barriers under it (mutation_lock), and only then looks whether
 *        what it found is hidden: a barrier between the two hides the old item and the new one
 *        alike, so the write came before it. What keeps (a part of) the old content keeps the
 *        old stamp: a copy is hidden by exactly the barriers that hide the original. A client that
 *        has heard DELETED makes its later requests in threads that see the barrier, as in (6).
 *      - The sweep. The housekeeping thread walks the index by scan.c's cursor and takes out what
 *        is hidden. It has the stamp up to which it sweeps from under the barriers' lock, so it
 *        sees these barriers; whoever locks a bucket after it sees them as well (the lock's release
 *        and acquire), and writes nothing there that they hide. A split hands that on, since it
 *        holds the old bucket's lock while it fills the new one. So behind the cursor there is
 *        nothing that they hide, and when it has come to the end, nothing anywhere.
 *      - The end. As with a flush, a reader may have loaded a slot before it was cleared and be
 *        about to ask: the barriers leave the table one grace period (2) after the walk. Readers
 *        follow its chains without a lock: an entry is immutable but for its stamp, which is
 *        raised when the same prefix is deleted again, it is linked by a release store, and used
 *        again only one more grace period after it has been unlinked.
 *      - A stamp may outlive its barrier in the record. It does no harm, for later barriers have
 *        higher ones.
 *
 * WARM RESTART (file.c, snapshot.c, restore.c)
 *
 *   With a memory file the data range is a shared mapping of it: there is no second copy, and no
 *   time is spent on writing. A graceful stop writes what is not in the records (snapshot.h) to
 *   FILE.meta; the next start reads that, removes it, and builds index and counters anew from the
 *   records. Why that gives true values only:
 *   - Nobody but us saves and loads: every thread's handle has been freed before (pieces are
 *     filler then, uploads have been given up), and no handle exists while the index is built but
 *     the builders', who only insert.
 *   - A record is live exactly when its dead bit is clear and it is no filler: whoever unlinks a
 *     record sets the bit (log_kill), whoever abandons one makes it filler. So walking the
 *     segments finds what the index held; what the walk leaves out (expired, flushed, fragments
 *     without owner) is marked dead, so that the next walk leaves it out as well.
 *   - Each segment has a checksum, so has FILE.meta, and FILE.meta is removed before the first
 *     change: a crash leaves nothing to begin with. The walk trusts no record nevertheless: sizes,
 *     kinds, fragment tables are checked against the segments. Anything odd: the store is thrown
 *     away as a whole and begins empty.
 *   - Segment numbers, places and the hash seed stay, hence CAS uniques read the same. Cache time
 *     goes on from the stop plus the time asleep by the wall clock (not less than 0), hence no
 *     exptime has to be rewritten.
 *   - Barriers that are pending are in FILE.meta, and pending again before the walk begins.
 *   All data segments count as resident from the start, as the file is allocated in advance (a full
 *   disk would be a SIGBUS later). The index gets the pages of free ones, which leave the file.
 *   So the limit is fixed: store_memory_set() refuses.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/spin.h"
#include "store/item.h"
#include "store/store.h"

enum {
    SLOTS_PER_BUCKET = 15,
    SLOTS_PER_LINE = 7,
    LOC_BITS = 40,
    TAG_BITS = 22,
    /* Live items per bucket before the table grows: 0.8 of 15 slots. Fuller means longer overflow
     * chains, emptier means more bytes per item; 12 was measured best (11.7..12.4 B per item). */
    ITEMS_PER_BUCKET = 12,
};

#define LOC_MASK   ((UINT64_C(1) << LOC_BITS) - 1)
#define TAG_MASK   ((UINT64_C(1) << TAG_BITS) - 1)
#define SLOT_LIVE  (UINT64_C(1) << 62)
#define SLOT_GHOST (UINT64_C(2) << 62)
#define SLOT_KIND  (UINT64_C(3) << 62)
#define STAMP_MASK UINT64_C(0xffffff)
enum { GHOST_STAMPS = 64 };
#define GHOST_MAIN (UINT64_C(1) << 24)
#define GHOST_MASK (~(GHOST_MAIN | STAMP_MASK)) /* kind, tag, fingerprint */

#define HEAD_LOCK       UINT64_C(1)
#define HEAD_MOVING     UINT64_C(2) /* lowest bit of the version: odd while entries move */
#define HEAD_VERSION    UINT64_C(0xfffffffe)
#define HEAD_LINE_SHIFT 32

struct bucket {
    _Atomic uint64_t head;
    _Atomic uint64_t slots[SLOTS_PER_BUCKET];
};
struct line {
    _Atomic uint64_t slots[SLOTS_PER_LINE];
    _Atomic uint32_t next; /* 0: last. Line numbers start at 1 */
    uint32_t link;         /* in a free list; lines_lock */
};
_Static_assert(sizeof(struct bucket) == 128 && sizeof(struct line) == 64, "whole cache lines");

/* Expiry classes: one for items without exptime, one per half-octave of TTL, one per factor of
 * 8, one for the rest. A half-octave gets segments of its own only while it fills enough of
 * them. */
enum {
    CLASS_NEVER = 0,
    CLASS_HALF_OCTAVES = 64,
    CLASS_HALF_FIRST = 1,
    CLASS_COARSE_FIRST = CLASS_HALF_FIRST + CLASS_HALF_OCTAVES,
    CLASS_COARSE_HALVES = 6, /* three octaves: a factor of 8 */
    CLASS_COARSE = (CLASS_HALF_OCTAVES + CLASS_COARSE_HALVES - 1) / CLASS_COARSE_HALVES,
    CLASS_REST = CLASS_COARSE_FIRST + CLASS_COARSE,
    CLASS_LARGE, /* no lifetime: fragments of a value that takes much of the memory, see large.c */
    CLASS_COUNT
};
enum { QUEUE_SMALL, QUEUE_MAIN, QUEUE_COUNT };
enum segment_state { SEG_FREE, SEG_OPEN, SEG_SEALED, SEG_DRAINING, SEG_LIMBO };

#define SEG_NONE  UINT32_MAX
#define EXP_NEVER UINT32_MAX

struct segment {
    /* first line: written when a piece is taken or returned, a reader pins, the state changes */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t seqno; /* fixed from OPEN to FREE */
    _Atomic uint32_t writers;                          /* pieces out; see (4) */
    _Atomic uint32_t pins;                             /* see (3) */
    _Atomic uint32_t max_exp_s;                        /* latest exptime inside; EXP_NEVER */
    uint32_t bump;                                     /* bytes given out; group lock */
    uint32_t next, prev;   /* queue lock; pool lock when free or in limbo */
    uint64_t limbo_epoch;  /* pool lock */
    _Atomic uint8_t state; /* release: what precedes it is visible */
    uint8_t queue, class;  /* fixed from OPEN to FREE */
    /* second line: decremented by whoever overwrites an item of it */
    _Alignas(CACHE_LINE_BYTES) _Atomic int64_t live_bytes;
    _Atomic int64_t live_items;
    _Atomic int64_t filled_bytes; /* written, alive or dead; complete when there are no writers */
    _Atomic bool sparse_told;     /* is in the list of sparse segments */
    uint32_t sparse_next;         /* in that list; whose it is: see sparse_tell() */
};
_Static_assert(sizeof(struct segment) == 128, "two cache lines");

struct seg_list {
    uint32_t head, tail, count;
};

/* The open segment of one queue and class. */
struct group {
    _Alignas(CACHE_LINE_BYTES) struct spin lock;
    uint32_t open; /* SEG_NONE */
};

/* A thread's own piece of an open segment (the literature says TLAB). */
struct piece {
    uint32_t seg; /* SEG_NONE: none */
    uint32_t at, end;
    uint32_t max_exp_s;
    int64_t live_bytes, live_items; /* published less killed, not yet added to the segment */
    int64_t filled_bytes;           /* published, those that died meanwhile with them; likewise */
};

/* Room for one record. */
struct place {
    struct item *item;
    uint64_t loc;
    uint32_t bytes;
    uint32_t seg;
    struct piece *piece; /* NULL: taken from the segment directly, holds it open by itself */
};

struct log_class {
    uint8_t queue, class;
};

/* Whose ghosts come back: of the small queue, of the main one, and of its little items. */
enum returns_of { RETURNS_SMALL, RETURNS_MAIN, RETURNS_LITTLE, RETURNS_COUNT };

/* Counters: one writer (the thread), read by store_info(): relaxed. */
enum counter {
    COUNT_LINKED,
    COUNT_UNLINKED,
    COUNT_LINKED_BYTES,
    COUNT_UNLINKED_BYTES,
    COUNT_ITEMS_TOTAL,
    COUNT_EVICTIONS,
    COUNT_EVICTED_UNFETCHED,
    COUNT_EVICTED_NONZERO,
    COUNT_EVICTED_ACTIVE,
    COUNT_EXPIRED_UNFETCHED,
    COUNT_RECLAIMED,
    COUNT_FLUSHED,
    COUNT_PREFIX_DELETED,
    COUNT_SEGMENTS_EVICTED,
    COUNT_SEGMENTS_COMPACTED,
    COUNT_SEGMENTS_EXPIRED,
    COUNT_BYTES_COPIED,
    COUNT_GHOST_BYTES, /* of items that left a ghost; one of each enum returns_of */
    COUNT_GHOST_BYTES_END = COUNT_GHOST_BYTES + RETURNS_COUNT - 1,
    COUNT_GHOST_HITS, /* likewise */
    COUNT_GHOST_HITS_END = COUNT_GHOST_HITS + RETURNS_COUNT - 1,
    COUNT_OUT_OF_MEMORY,
    COUNT_SCANNED,
    COUNT_ID_COUNT
};

/* Bits of store.hide_pending. */
enum { HIDE_FLUSH = 1, HIDE_PREFIX = 2 };

/* A segment that is being taken apart, a few records at a time; see evict.c. */
struct drain {
    struct store_thread *thread; /* who does it; valid during a step */
    uint64_t loc;                /* next record */
    uint64_t ended_bytes;        /* of items that went */
    uint32_t seg;                /* SEG_NONE: none */
    uint8_t policy;              /* enum policy in evict.c */
    bool out_of_room;            /* a compaction could not copy: the rest stays */
};

/* What became of evicted items: counters at the last look, and sums in which the past fades. */
struct returns {
    uint64_t bytes, hits; /* that ghosts were made of; of ghosts */
    uint64_t bytes_faded, hits_faded;
};

enum { KEEP_SIZES = 244 };

/* Items of about one size, walked past by evictions; the past fades, to fractions of one. */
struct keep_size {
    double bytes, items;
};

/* What the eviction policy has learned, see keep.c; maint_lock. Sizes are of records, in bytes. */
struct keep {
    /* changes when something is learned */
    _Alignas(CACHE_LINE_BYTES) uint64_t size;
    uint64_t free_bytes, tiny_bytes, round_bytes;
    _Atomic uint64_t little_bytes;  /* relaxed; read by any writer */
    _Atomic uint32_t ghost_age_max; /* likewise; in the units of stamps */
    uint32_t small_permille;        /* share of the small queue */
    uint32_t round_permille;        /* of `size` */
    uint32_t free_permille;         /* likewise */
    uint32_t ghost_permille;        /* of all items, how many ghosts later one is good for */
    /* changes with each item or segment */
    _Alignas(CACHE_LINE_BYTES) uint32_t random; /* rounds chances */
    uint32_t learn_left;                        /* segments to evict until more is learned */
    uint32_t learned;                           /* how often */
    uint32_t returns_left;                      /* likewise, until it is about what comes back */
    struct returns returns[RETURNS_COUNT];
    struct keep_size sizes[KEEP_SIZES];
    double small_bytes, earned_bytes, free_passed_bytes; /* see free_learn(); the past fades */
};

enum crawl_state { CRAWL_IDLE, CRAWL_CLAIMED, CRAWL_RUNNING };

enum {
    ID_PLACE_BITS = 20,  /* of a record's identity: where in its segment, see (7) */
    ID_RAISED = 1 << 19, /* above each place: a segment has 1 << 17 at most */
    ID_RUN = 1 << 10,    /* ids that a key gets when it needs the first of them */
};

enum { THREAD_OFFLINE = 0, THREAD_STOLEN = 1, EPOCH_FIRST = 2 };
enum { THREADS_MAX = 1024, THREAD_LINES = 8 };

struct store_thread {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t word; /* see (2) */
    struct store *store;
    uint32_t now_s;
    uint32_t index; /* in store->threads */
    uint64_t flush_seen, recall_seen;
    int32_t items_unreported; /* net inserts not yet in store->items_rough */
    uint64_t id_next;         /* run of ids, see (7); without ID_RAISED: none is left */
    bool evicting;            /* inside reclaim: allocate from the reserve, never reclaim again */
    int64_t help_owed;        /* bytes to free, see reclaim_help() */
    void *observer_arg;       /* NULL: evictions are not told */
    uint32_t line_count;
    uint32_t lines[THREAD_LINES]; /* overflow lines at hand, so that no lock waits for one */
    _Atomic uint64_t counters[COUNT_ID_COUNT];
    _Atomic uint64_t class_bytes[CLASS_HALF_OCTAVES]; /* written per half-octave of TTL, ever */
    _Atomic uint64_t all_bytes;                       /* the same over all, without exptime too */
    struct piece pieces[QUEUE_COUNT][CLASS_COUNT];
};

struct store {
    /* read by every request, written (almost) never */
    uint8_t *data;
    struct bucket *buckets;
    struct line *lines;
    struct segment *segments;
    _Atomic uint32_t *born_s; /* per segment: base of `la`; compact, because each hit looks at it */
    uint64_t seed;
    uint32_t segment_bytes, segment_shift;
    uint32_t level0;           /* log2 of the smallest table: where tags begin */
    uint32_t record_bytes_max; /* larger records are split into fragments */
    uint32_t piece_bytes, fragment_bytes;
    uint32_t ghost_shift; /* so that 24 bits of a stamp tell ages of many memories' worth */
    uint64_t item_bytes_max;
    bool no_evict, no_cas, evict_by_bytes;
    struct store_observer observer;
    uint32_t segments_virtual; /* addresses reserved for so many */
    uint64_t buckets_virtual, lines_virtual;
    size_t map_bytes;
    void *map;
    int file_fd; /* the data range is this file's, see WARM RESTART; -1: anonymous memory */
    _Atomic uint8_t class_map[CLASS_HALF_OCTAVES]; /* half-octave -> class in use */

    /* grows with the table: one line for itself */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t bucket_count;

    /* is anything hidden? Read on each lookup as one word, see (6) and (8) */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t hide_pending; /* HIDE_... */
    struct barriers *barriers;
    /* flush_all */
    _Atomic uint64_t flush_seq;  /* items in segments up to this are hidden */
    _Atomic uint64_t flush_gen;  /* odd while a flush takes its bound; threads drop their pieces
                                   when it moves */
    _Atomic uint32_t flush_at_s; /* a flush that is to come; 0 none */
    struct spin flush_lock;      /* one flush, or the end of one, at a time */
    _Atomic uint64_t recall_gen; /* threads return pieces of sealed segments when it moves */

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t epoch;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t seq_counter; /* last segment number given out */

    /* pool: free and limbo segments, the memory budget */
    _Alignas(CACHE_LINE_BYTES) struct spin pool_lock;
    struct seg_list free;
    struct seg_list limbo;
    uint32_t void_head;          /* segments whose pages went back */
    _Atomic uint32_t fresh_next; /* never used yet from here */
    uint32_t resident;           /* data segments that may hold pages: used or free */
    uint32_t index_segments;
    uint32_t index_spare;           /* of these: granted, not yet used */
    _Atomic uint32_t segment_limit; /* memory_bytes in segments */
    _Atomic uint32_t available;     /* segments that can be had at once (copy for readers) */
    _Atomic uint32_t limbo_count;
    _Atomic uint32_t limbo_waiting; /* of these: not yet past their grace period (others: pinned) */

    /* bytes of each range that have been touched, see store_touch_ahead(); its thread's own */
    uint64_t touched_data, touched_buckets;
    bool touch_off;              /* small pages, or a kernel that cannot */
    _Atomic uint64_t touch_wake; /* wake that thread when so much of the data range is in use */

    _Alignas(CACHE_LINE_BYTES) struct spin queue_lock;
    struct seg_list queues[QUEUE_COUNT];
    _Atomic uint32_t queue_count[QUEUE_COUNT];

    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t sparse_head; /* see sparse_tell() */

    _Alignas(CACHE_LINE_BYTES) struct spin lines_lock;
    uint32_t line_free;                /* ready for use */
    uint32_t line_aging, line_retired; /* waiting for line_epoch; freed since */
    uint64_t line_epoch;
    uint64_t line_next, line_room; /* never used yet; end of claimed memory */

    _Alignas(CACHE_LINE_BYTES) struct spin split_lock;
    _Atomic uint64_t bucket_room; /* buckets whose memory is claimed; written under split_lock */
    _Alignas(CACHE_LINE_BYTES) _Atomic int64_t items_rough; /* live items, a few late per thread */
    /* Not below any stamp that was given out; they count evictions that left a ghost, in units of
     * 1 << ghost_shift. Read by each insert, so it moves once per GHOST_STAMPS of them and has a
     * line of its own. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t ghost_stamp;

    /* references and uploads */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t pinned_segments;
    _Atomic uint64_t upload_bytes;

    struct group groups[QUEUE_COUNT][CLASS_COUNT];

    /* maintenance: one thread at a time */
    _Alignas(CACHE_LINE_BYTES) struct spin maint_lock;
    _Atomic uint32_t maint_waiting; /* workers that want to help */
    uint32_t maint_now_s;           /* second of the last tick */
    uint32_t ghost_next;            /* number of the next ghost, see ghost_stamp */
    _Atomic uint32_t evicted_age_s;
    _Atomic uint32_t now_s; /* of the last tick, for ages in store_info() */
    uint32_t expire_cursor; /* next segment to check, >= segments: done for this second */
    uint32_t compact_cursor;
    uint32_t sparse_taken; /* taken from sparse_head, not yet looked at */
    struct drain drain;    /* begun, not yet finished */
    uint64_t class_last[CLASS_HALF_OCTAVES], class_share[CLASS_HALF_OCTAVES];
    uint64_t all_last, all_share;
    uint32_t evict_barren; /* evictions in a row that freed almost nothing */
    struct keep keep;
    uint32_t flush_cursor;   /* next segment to sweep */
    uint64_t flush_sweeping; /* the flush_seq that the cursor is about */
    uint64_t flush_grace;    /* epoch that all must reach after the sweep; 0: not swept */

    _Atomic uint32_t crawl_state; /* enum crawl_state; who claims it writes the fields below */
    struct store_scan crawl;      /* where a crawl stands; maint_lock once it runs */
    uint64_t crawl_left;          /* items that it may still look at */

    pthread_mutex_t wait_mutex;
    pthread_cond_t wait_cond;
    _Atomic bool wait_wanted; /* somebody asked for maintenance */
    _Atomic bool wait_asleep;

    struct spin threads_lock;
    _Atomic(struct store_thread *) threads[THREADS_MAX];
    _Atomic uint32_t thread_count;          /* highest index in use + 1 */
    uint64_t gone_counters[COUNT_ID_COUNT]; /* of threads that were freed; threads_lock */
    uint64_t base_counters[COUNT_ID_COUNT]; /* at the last store_info_reset() */
    uint64_t gone_all_bytes, gone_class_bytes[CLASS_HALF_OCTAVES];
};

/* ── small helpers ────────────────────────────────────────────────────────────────────────── */

static inline void count_add(struct store_thread *thread, enum counter id, uint64_t delta)
{
    _Atomic uint64_t *c = &thread->counters[id];
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + delta,
                          memory_order_relaxed);
}

static inline uint64_t count_of(const struct store_thread *thread, enum counter id)
{
    return atomic_load_explicit(&thread->counters[id], memory_order_relaxed);
}

static inline struct item *item_at(const struct store *store, uint64_t loc)
{
    return (struct item *)(void *)(store->data + loc * ITEM_ALIGN);
}

static inline uint64_t loc_of(const struct store *store, const struct item *item)
{
    return (uint64_t)((const uint8_t *)item - store->data) / ITEM_ALIGN;
}

static inline uint32_t loc_segment(const struct store *store, uint64_t loc)
{
    return (uint32_t)(loc >> (store->segment_shift - 3));
}

static inline struct segment *loc_seg(const struct store *store, uint64_t loc)
{
    return &store->segments[loc_segment(store, loc)];
}

static inline uint64_t segment_loc(const struct store *store, uint32_t seg)
{
    return (uint64_t)seg << (store->segment_shift - 3);
}

/* The limit in force: -m, or what cache_memlimit made of it. */
static inline uint64_t memory_bytes(const struct store *store)
{
    return (uint64_t)atomic_load_explicit(&store->segment_limit, memory_order_relaxed)
           << store->segment_shift;
}

/* Segments 0..n-1 have been used at some time. Relaxed: one that was just added holds nothing
 * yet that a sweep of this moment could be after. */
static inline uint32_t segments_touched(const struct store *store)
{
    return atomic_load_explicit(&store->fresh_next, memory_order_relaxed);
}

/* What is pending (HIDE_...): 0 almost always. Relaxed: see (6) and (8). */
static inline uint32_t hide_pending(const struct store *store)
{
    return atomic_load_explicit(&store->hide_pending, memory_order_relaxed);
}

/* Is what lies in this segment hidden by a flush that is pending? */
static inline bool loc_flushed(const struct store *store, uint64_t loc)
{
    return (hide_pending(store) & HIDE_FLUSH) != 0 &&
           atomic_load_explicit(&loc_seg(store, loc)->seqno, memory_order_relaxed) <=
               atomic_load_explicit(&store->flush_seq, memory_order_relaxed);
}

static inline bool item_expired(const struct item *item, uint32_t now_s)
{
    const uint32_t exp_s = item_exp_s(item);
    return UNLIKELY(exp_s != 0) && exp_s <= now_s;
}

/* While something is pending: is this item hidden, by a flush or a barrier? */
COLD bool item_hidden(const struct store *store, const struct item *item, uint64_t loc);

/* OK, EXPIRED or FLUSHED. */
static inline enum store_rc item_alive(const struct store_thread *thread, const struct item *item,
                                       uint64_t loc)
{
    if (UNLIKELY(hide_pending(thread->store) != 0) && item_hidden(thread->store, item, loc))
        return STORE_FLUSHED;
    return item_expired(item, thread->now_s) ? STORE_EXPIRED : STORE_OK;
}

/* The identity of a live record, see (7). */
static inline uint64_t item_id(const struct store *store, const struct item *item, uint64_t loc)
{
    if (item->fmt & FMT_CAS)
        return item_cas_field(item);
    const uint32_t seg = loc_segment(store, loc);
    return atomic_load_explicit(&store->segments[seg].seqno, memory_order_relaxed)
               << ID_PLACE_BITS |
           (loc - segment_loc(store, seg));
}

/* The CAS unique as clients see it. */
static inline uint64_t item_cas(const struct store *store, const struct item *item, uint64_t loc)
{
    return store->no_cas ? 0 : item_id(store, item, loc);
}

static inline bool item_cas_known(const struct item *item)
{
    return (item->fmt & FMT_CAS) != 0 || (item_st(item) & ST_CAS_SEEN) != 0;
}

/* ── index.c ──────────────────────────────────────────────────────────────────────────────── */

/* What an evicted item leaves in its slot, by the queue that it was in. */
enum ghost { GHOST_NONE, GHOST_OF_SMALL, GHOST_OF_MAIN };

/* A locked bucket, and the slot that was found in it. */
struct locked {
    struct bucket *bucket;
    _Atomic uint64_t *slot; /* of the entry found; NULL: none */
    struct item *item;
    uint64_t loc;
};

/* The slots of a locked bucket, one after the other. */
struct walk {
    const struct store *store;
    _Atomic uint64_t *slots;
    unsigned left;
    uint32_t next_line;
};

MUST_USE int index_init(struct store *store);
/* Give an empty index that has no reader yet so many buckets, and at least that many segments for
 * all of it. False: more than it may have. */
MUST_USE bool index_resize(struct store *store, uint64_t buckets, uint32_t index_segments);
/* Lock-free lookup: the record, or NULL. Nothing is said about expiry or flush. */
struct item *index_find(const struct store *store, const struct store_key *key, uint64_t *ret_loc);
/* Lock-free: what remembers an eviction of this hash, if that was not too long ago? */
enum ghost index_find_ghost(const struct store *store, uint64_t hash);

void index_lock(struct store *store, uint64_t hash, struct locked *ret);
void index_unlock(struct locked *at);
/* Find the entry of a key, or of a location, in the locked bucket. */
bool index_locked_find(const struct store *store, struct locked *at, const struct store_key *key);
bool index_locked_find_loc(const struct store *store, struct locked *at, uint64_t hash,
                           uint64_t loc);
/* Find the large item that owns the fragment at `loc`; *ret_entry is its table entry. */
bool index_locked_find_owner(const struct store *store, struct locked *at, uint64_t hash,
                             uint64_t loc, _Atomic uint64_t **ret_entry);
/* All live entries of the locked bucket in turn: `at` holds the one just found. Returns false, with
 * at->slot NULL, behind the last one. The found slot may be emptied meanwhile. */
struct walk index_locked_walk(const struct store *store, const struct locked *at);
MUST_USE bool index_locked_next(struct walk *walk, struct locked *at);
/* Let the found slot point to `loc`. */
void index_locked_replace(struct locked *at, uint64_t loc);
/* Add an entry; false when there is neither slot nor line. The thread has called
 * index_prepare(). */
MUST_USE bool index_locked_insert(struct store_thread *thread, struct locked *at, uint64_t hash,
                                  uint64_t loc);
/* Empty the found slot, or leave a ghost in it (maint_lock held, too). */
void index_locked_clear(struct store *store, struct locked *at, uint64_t hash, enum ghost ghost);
/* Have overflow lines at hand; before locking. May pass a quiescent point. */
void index_prepare(struct store_thread *thread);
/* The same as far as it goes without waiting, hence without a quiescent point. */
void index_top_up(struct store_thread *thread);
/* After `delta` items more or less, no lock held: grow the table when it is due. */
void index_account(struct store_thread *thread, int32_t delta);

static inline uint64_t slot_key(const struct store *store, uint64_t hash)
{
    return (hash >> store->level0 & TAG_MASK) << LOC_BITS;
}

/* ── segment.c: pool, open segments, pieces ───────────────────────────────────────────────── */

uint8_t class_of(const struct store_thread *thread, uint32_t exp_s);
/* Room for a record of `bytes` (multiple of 8, <= segment_bytes). Returns false: no memory.
 * May pass quiescent points of the thread. */
MUST_USE bool log_alloc(struct store_thread *thread, struct log_class where, uint32_t bytes,
                        struct place *ret);
/* Room for a fragment: between `min` and `max` bytes, multiples of 8. */
MUST_USE bool log_alloc_span(struct store_thread *thread, struct log_class where, uint32_t min,
                             uint32_t max, struct place *ret);
/* The record is linked: count it as live. / It will not be: give the room back, or fill it. */
void log_publish(struct store_thread *thread, const struct place *place, uint32_t exp_s);
void log_abandon(struct store_thread *thread, const struct place *place);
/* A record has died: take it off its segment's live counters. */
void log_kill(struct store *store, struct item *item, uint64_t loc);
/* The same by a thread whose piece (or NULL) may be of the same segment: then this waits in it. */
void log_kill_by(struct store *store, struct item *item, uint64_t loc, struct piece *piece);
void log_raise_exp(struct segment *segment, uint32_t exp_s);
void log_seal_all(struct store *store, bool only_unmapped);
void pieces_retire(struct store_thread *thread, bool only_sealed);
/* Next of the segments that are told to be sparse, SEG_NONE: none; maint_lock held. What it is now
 * has to be looked at: it may be another life of it. */
uint32_t sparse_take(struct store *store);
/* Is so little of it alive that copying that costs next to nothing? */
bool sparse(const struct store *store, const struct segment *segment);
void pieces_check(struct store_thread *thread); /* honour flush and recall; at quiescent points */

/* Reserve memory and set up an empty store whose data lie in `fd` (-1: in anonymous memory); with a
 * file, pool_file_fill() has to follow. Owns: free with store_free(), which closes fd; a failure
 * here does not. */
MUST_USE int pool_new(const struct store_config *config, int fd, struct store **ret_store);
/* Bytes of the data range for that limit: what a file has to have. */
uint64_t pool_data_bytes(uint64_t memory_bytes);
/* Allocate the file behind the free segments and put them into the free list. 0 or -errno. */
MUST_USE int pool_file_fill(struct store *store);
void pool_init(struct store *store);
/* Have one segment's worth of memory ready for the index. May pass quiescent points of `thread`
 * (NULL: at start). */
bool pool_claim_index(struct store *store, struct store_thread *thread);
bool pool_spare_take(struct store *store); /* use it */
void pool_limbo_add(struct store *store, uint32_t seg, uint64_t epoch);
bool pool_limbo_collect(struct store *store); /* LIMBO -> FREE; true when something came back */
uint32_t pool_low_water(const struct store *store);
uint32_t pool_help_water(const struct store *store); /* below it workers help, see reclaim_help() */
/* Give the pages of a few free segments back while above the limit; returns whether more are. */
bool pool_shrink(struct store *store);
bool pool_over_limit(struct store *store);
bool segment_get(struct store_thread *thread, uint32_t *ret_seg); /* may reclaim */

uint32_t queue_head(struct store *store, unsigned queue); /* SEG_NONE: empty */
void queue_push(struct store *store, uint32_t seg, bool at_head);
void queue_remove(struct store *store, uint32_t seg);

/* ── thread.c ─────────────────────────────────────────────────────────────────────────────── */

uint64_t epoch_advance(struct store *store); /* after unlinking: the stamp to wait for */
uint64_t epoch_reached(struct store *store); /* smallest word of all online threads */
void threads_recall(struct store *store);    /* get pieces of sealed segments back, soon */
void counters_sum(struct store *store, uint64_t sum[COUNT_ID_COUNT]);

/* ── large.c ──────────────────────────────────────────────────────────────────────────────── */

/* Mark a large item's fragments dead; its head has just been unlinked. */
void large_kill(struct store *store, const struct item *head);
uint8_t upload_queue(const struct store_upload *upload);
bool upload_takes_much(const struct store_upload *upload); /* of the memory */
bool upload_is_large(const struct store_upload *upload);
uint64_t upload_bytes(const struct store_upload *upload);
struct bytes upload_value(const struct store_upload *upload); /* not large: the whole value */
uint32_t upload_table_bytes(const struct store_upload *upload);
void upload_write_table(const struct store_upload *upload, uint8_t *at);
void upload_commit(struct store_thread *thread, struct store_upload *upload, uint32_t exp_s);
/* Spans of what is there already, and a put whose value (or upload) comes behind or before. */
struct upload_join {
    const struct bytes *old;
    size_t old_count;
    const struct store_put *put;
};
/* Build an upload from pieces; NULL: no memory. May pass quiescent points. */
struct store_upload *upload_join(struct store_thread *thread, const struct store_key *key,
                                 const struct upload_join *join);

/* Must a value be split into fragments? Decided by the longest header, whatever the item has. */
static inline bool value_is_large(const struct store *store, size_t key_bytes, uint64_t value_bytes)
{
    return value_bytes + key_bytes + ITEM_HEAD_BYTES_MAX > store->record_bytes_max;
}

/* Does the record (of a large item: the table) fit a segment, also after a CAS unique had to become
 * a field of it? */
static inline bool record_fits(const struct store *store, const struct item_spec *spec)
{
    return item_bytes_for(spec->fmt | FMT_CAS, spec->key.len, spec->value_bytes) <=
           store->segment_bytes;
}

/* ── read.c ───────────────────────────────────────────────────────────────────────────────── */

void view_fill(const struct store_thread *thread, const struct item *item, uint64_t loc,
               struct store_view *view);
/* Count a use now; `fetched`: USE_FETCHED or 0. */
void item_bump(const struct store_thread *thread, struct item *item, uint64_t loc,
               unsigned fetched);
size_t number_print(uint8_t *dst, const struct item *item); /* padded to its width, <= 20 */

/* ── write.c ──────────────────────────────────────────────────────────────────────────────── */

/* Where the record of a key goes: an overwrite stays in its queue, a key that was evicted not long
 * ago goes to the main queue, any other begins in the small one. `bytes`: of the record, or about.
 * Only a hint, hence lock-free. */
uint8_t queue_for(struct store_thread *thread, const struct store_key *key, uint64_t bytes);
/* A record is no longer (or now is) what its slot points to: keep the books. Bucket locked. */
void item_unlinked(struct store_thread *thread, struct item *item, uint64_t loc);
void item_linked(struct store_thread *thread, const struct item *item);

/* Layout of an existing item, to write it again elsewhere: its id becomes a field if it is
 * known or `keep_id`. */
struct item_spec item_spec_of(const struct store *store, const struct item *item, uint64_t loc,
                              bool keep_id);
/* The id that a record at `place` gets: its `field`, or without one (0) its place's own. Ids of one
 * key only grow: who writes an item again keeps the old id or gets a higher one. */
static inline uint64_t place_id(const struct store *store, const struct place *place,
                                uint64_t field)
{
    if (field != 0)
        return field;
    return atomic_load_explicit(&store->segments[place->seg].seqno, memory_order_relaxed)
               << ID_PLACE_BITS |
           (place->loc - segment_loc(store, place->seg));
}
/* Copy the value (text, number or table) and the changing bytes but `dead` and cas-seen. */
void item_copy_rest(const struct store_thread *thread, const struct item *from, uint64_t from_loc,
                    const struct place *to, uint8_t *value);
/* With its fragments' payload. */
static inline uint64_t item_total_bytes(const struct item *item)
{
    uint64_t bytes = item_bytes(item);
    if (UNLIKELY((item->fmt & FMT_LARGE) != 0))
        bytes += item_large_bytes(item);
    return bytes;
}
/* What the record's `use` shall be: a frequency, last used `la_s`. */
void item_use_set(const struct store *store, const struct place *place, uint16_t old_use,
                  uint32_t la_s);

/* ── keep.c ───────────────────────────────────────────────────────────────────────────────── */

void keep_init(struct store *store);
/* How often an item in that queue must have been used to stay. */
unsigned keep_freq_needed(const struct store *store, unsigned queue, uint64_t bytes);
/* The use counter of an item that stayed, after its move out of that queue into the main one. */
unsigned keep_freq_moved(struct store *store, unsigned queue, unsigned freq, uint64_t bytes);
/* Which sums a ghost of an item of `bytes` belongs to: enum returns_of. Any thread. */
unsigned keep_returns_of(const struct store *store, enum ghost ghost, uint64_t bytes);
/* An eviction of that queue has walked past a live item: once for each. It has been used `freq`
 * times; -1: it does not stay. */
void keep_seen(struct store *store, unsigned queue, uint64_t bytes, int freq);
/* A segment is about to be evicted, of so many in both queues. */
void keep_learn(struct store *store, uint64_t segments);
/* The share of the small queue among so many segments. */
unsigned keep_small_permille(const struct store *store, uint64_t segments);

/* ── evict.c ──────────────────────────────────────────────────────────────────────────────── */

/* Unlink the locked, found item: evicted (STORE_OK), expired or flushed. */
void item_end(struct store_thread *thread, struct locked *at, uint64_t hash, enum store_rc why,
              enum ghost ghost);
/* Take a segment apart, or finish one that was begun; maint_lock held. Returns false when there is
 * nothing to gain. */
bool reclaim(struct store_thread *thread);
/* Is memory short, and the housekeeping thread late? Then do a part of its work, in proportion to
 * the `bytes` that the thread is about to take, so that nobody has to wait for a whole segment. At
 * most a few hundred microseconds. May pass quiescent points. */
void reclaim_help(struct store_thread *thread, uint32_t bytes);
/* Stop taking a segment apart: it goes back to its queue. No other thread is there. */
void drain_put_back(struct store *store);
void maint_tick(struct store_thread *thread);

/* ── barrier.c ────────────────────────────────────────────────────────────────────────────── */

MUST_USE int barriers_new(struct store *store); /* 0 or -ENOMEM */
void barriers_free(struct store *store);
/* The newest stamp of all barriers of the key, without a look at hide_pending; 0: none. */
COLD uint64_t barriers_stamp(const struct store *store, struct bytes key);

/* The stamp that a new record of this key has to have. Its bucket is locked, or it is a guess. */
static inline uint64_t barriers_stamp_for(const struct store *store, struct bytes key)
{
    if (LIKELY((hide_pending(store) & HIDE_PREFIX) == 0))
        return 0;
    return barriers_stamp(store, key);
}

/* A barrier of that stamp as saved; stamps go on above `stamp`. False: there is no room. */
MUST_USE bool barrier_restore(struct store *store, struct bytes prefix, uint64_t stamp);
/* The highest stamp given out. */
uint64_t barriers_stamp_last(struct store *store);
void barriers_stamp_last_set(struct store *store, uint64_t stamp);
/* Call `each` for every barrier that is pending. Nobody else uses the store. */
typedef void barrier_each_fn(void *arg, struct bytes prefix, uint64_t stamp);
void barriers_each(const struct store *store, barrier_each_fn *each, void *arg);
void barriers_info(const struct store *store, struct store_info *info);
/* A few hundred items more of the sweep behind deleted prefixes; maint_lock held. Returns whether
 * to go on at once. */
bool barriers_step(struct store_thread *thread);

/* ── scan.c ───────────────────────────────────────────────────────────────────────────────── */

/* A few hundred items more of the crawl that was asked for; maint_lock held. Returns whether there
 * is more to do. */
bool crawl_step(struct store_thread *thread);
/* Take what is dead out of the bucket at the cursor, and move on. Returns how many entries were
 * looked at. */
uint64_t scan_purge(struct store_thread *thread, struct store_scan *scan);
