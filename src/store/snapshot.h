/* store/snapshot.h — the form of FILE.meta: what a store has to know, beside the bytes of its
 * segments, to go on with them after a restart.
 *
 *   head      18 words of 8 bytes, see snapshot.c
 *   settings  text of settings_bytes, lines "name value"; not used when it differs from ours
 *   segments  segment_count records of SNAPSHOT_SEGMENT_BYTES: small queue first, then the main
 *             one, each from its oldest to its youngest
 *   prefixes  deleted prefixes that are pending, each: stamp (8 bytes), length (1), itself
 *   checksum  XXH3 of everything before it
 *
 * Numbers are in the machine's own byte order; on a machine with the other one the magic is wrong.
 *
 * Includes: base.  Included by: store, its tests.
 * Threads:  any; pure.
 * Memory:   a parsed snapshot borrows from the bytes that were parsed.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    SNAPSHOT_HEAD_BYTES = 18 * 8,
    SNAPSHOT_SEGMENT_BYTES = 40,
    SNAPSHOT_CHECKSUM_BYTES = 8,
    SNAPSHOT_SETTINGS_BYTES_MAX = 8192,
    SNAPSHOT_PREFIX_BYTES = 9, /* of one, without itself */
    SNAPSHOT_PREFIXES_BYTES_MAX = 4096 * (9 + 250),
    SNAPSHOT_SEGMENTS_MAX = 1 << 20,
    SNAPSHOT_REASON_BYTES = 256,
};

struct snapshot {
    uint64_t hash_seed;
    uint64_t seq_counter;  /* last segment number given out: CAS uniques go on from there */
    uint64_t flush_seq;    /* items in segments up to this are hidden; 0: none */
    uint64_t prefix_stamp; /* the highest that a deleted prefix was given */
    uint64_t bucket_count; /* of the index */
    int64_t wall_s;        /* Unix time of the stop */
    uint32_t now_s;        /* cache time of the stop */
    uint32_t flush_at_s;   /* a flush that was to come; 0: none */
    uint32_t segment_bytes;
    uint32_t segment_limit; /* memory in segments */
    uint32_t index_segments;
    uint32_t segment_count; /* records */
    struct bytes settings;
    struct bytes records;
    struct bytes prefixes;
};

struct snapshot_segment {
    uint64_t seqno;
    uint64_t checksum; /* XXH3 of the segment's bytes */
    uint32_t seg;
    uint32_t born_s, max_exp_s;
    uint8_t queue, class;
};

/* Bytes of the file for a snapshot with these settings and prefixes, and this many segments. */
size_t snapshot_bytes(const struct snapshot *snapshot);
/* Write head, settings and prefixes, snapshot_bytes() of room. Segments follow by
 * snapshot_segment_put(), 0 <= i < segment_count, then snapshot_seal(). */
void snapshot_write(uint8_t *dst, const struct snapshot *snapshot);
void snapshot_segment_put(uint8_t *dst, const struct snapshot *snapshot, uint32_t i,
                          const struct snapshot_segment *segment);
/* Write the checksum at the end of `len` bytes, len >= SNAPSHOT_CHECKSUM_BYTES. */
void snapshot_seal(uint8_t *dst, size_t len);

/* Read a snapshot. Returns true when all of it is plausible in itself: sizes, ranges, checksum.
 * Else false, and why in ret_reason[SNAPSHOT_REASON_BYTES]. */
MUST_USE bool snapshot_parse(struct bytes bytes, struct snapshot *ret_snapshot, char *ret_reason);
/* 0 <= i < segment_count. */
void snapshot_segment_get(const struct snapshot *snapshot, uint32_t i,
                          struct snapshot_segment *ret_segment);
/* Write one more of snapshot.prefixes. Returns where it ends. */
uint8_t *snapshot_prefix_put(uint8_t *dst, struct bytes prefix, uint64_t stamp);
/* Cut the next one off. Returns false when none is left, or it is cut off. */
MUST_USE bool snapshot_prefix_next(struct bytes *rest, struct bytes *ret_prefix,
                                   uint64_t *ret_stamp);
/* Are these the settings that it was written with? If not, say which one differs. */
MUST_USE bool snapshot_settings_equal(const struct snapshot *snapshot, struct bytes settings,
                                      char *ret_reason);
uint64_t snapshot_checksum(struct bytes bytes);
