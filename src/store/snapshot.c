/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/snapshot.h"

#include <stdio.h>

#include "base/hash.h"
#include "store/store_priv.h"

/* Words of the head. */
enum {
    WORD_MAGIC,
    WORD_VERSION,
    WORD_FILE_BYTES,
    WORD_SETTINGS_BYTES,
    WORD_SEGMENT_COUNT,
    WORD_SEGMENT_BYTES,
    WORD_SEGMENT_LIMIT,
    WORD_INDEX_SEGMENTS,
    WORD_BUCKET_COUNT,
    WORD_HASH_SEED,
    WORD_SEQ_COUNTER,
    WORD_FLUSH_SEQ,
    WORD_FLUSH_AT_S,
    WORD_NOW_S,
    WORD_WALL_S,
    WORD_PREFIX_STAMP,
    WORD_PREFIXES_BYTES,
    WORD_RESERVED,
    WORD_COUNT
};
_Static_assert(WORD_COUNT * 8 == SNAPSHOT_HEAD_BYTES, "the head is words");

/* One more for each change of this file's form, of the records (item.h) or of CAS uniques. */
enum { SNAPSHOT_VERSION = 2 };
#define SNAPSHOT_MAGIC  UINT64_C(0x6174656d7474616d) /* reads "mattmeta" in a dump */
#define SEQ_COUNTER_MAX (UINT64_C(1) << 43)          /* a CAS unique is the number << 20 */
#define BUCKETS_MAX     (UINT64_C(1) << 40)
/* A million deletions a second reach it in a thousand centuries. */
#define PREFIX_STAMP_MAX (UINT64_C(1) << 62)

static void put_u64(uint8_t *dst, uint64_t value)
{
    memcpy(dst, &value, sizeof(value));
}

static uint64_t get_u64(const uint8_t *src)
{
    uint64_t value;
    memcpy(&value, src, sizeof(value));
    return value;
}

static uint32_t get_u32(const uint8_t *src)
{
    uint32_t value;
    memcpy(&value, src, sizeof(value));
    return value;
}

uint64_t snapshot_checksum(struct bytes bytes)
{
    return hash_bytes(bytes, 0);
}

/* ── writing ──────────────────────────────────────────────────────────────────────────────── */

size_t snapshot_bytes(const struct snapshot *snapshot)
{
    return SNAPSHOT_HEAD_BYTES + snapshot->settings.len +
           (size_t)snapshot->segment_count * SNAPSHOT_SEGMENT_BYTES + snapshot->prefixes.len +
           SNAPSHOT_CHECKSUM_BYTES;
}

void snapshot_write(uint8_t *dst, const struct snapshot *snapshot)
{
    const uint64_t words[WORD_COUNT] = {
        [WORD_MAGIC] = SNAPSHOT_MAGIC,
        [WORD_VERSION] = SNAPSHOT_VERSION,
        [WORD_FILE_BYTES] = snapshot_bytes(snapshot),
        [WORD_SETTINGS_BYTES] = snapshot->settings.len,
        [WORD_SEGMENT_COUNT] = snapshot->segment_count,
        [WORD_SEGMENT_BYTES] = snapshot->segment_bytes,
        [WORD_SEGMENT_LIMIT] = snapshot->segment_limit,
        [WORD_INDEX_SEGMENTS] = snapshot->index_segments,
        [WORD_BUCKET_COUNT] = snapshot->bucket_count,
        [WORD_HASH_SEED] = snapshot->hash_seed,
        [WORD_SEQ_COUNTER] = snapshot->seq_counter,
        [WORD_FLUSH_SEQ] = snapshot->flush_seq,
        [WORD_FLUSH_AT_S] = snapshot->flush_at_s,
        [WORD_NOW_S] = snapshot->now_s,
        [WORD_WALL_S] = (uint64_t)snapshot->wall_s,
        [WORD_PREFIX_STAMP] = snapshot->prefix_stamp,
        [WORD_PREFIXES_BYTES] = snapshot->prefixes.len,
    };
    uint8_t *const behind =
        dst + snapshot_bytes(snapshot) - SNAPSHOT_CHECKSUM_BYTES - snapshot->prefixes.len;
    memcpy(dst, words, sizeof(words));
    if (snapshot->prefixes.len > 0)
        memcpy(behind, snapshot->prefixes.ptr, snapshot->prefixes.len);
    if (snapshot->settings.len > 0)
        memcpy(dst + SNAPSHOT_HEAD_BYTES, snapshot->settings.ptr, snapshot->settings.len);
}

void snapshot_segment_put(uint8_t *dst, const struct snapshot *snapshot, uint32_t i,
                          const struct snapshot_segment *segment)
{
    uint8_t *at =
        dst + SNAPSHOT_HEAD_BYTES + snapshot->settings.len + (size_t)i * SNAPSHOT_SEGMENT_BYTES;
    memset(at, 0, SNAPSHOT_SEGMENT_BYTES);
    put_u64(at, segment->seqno);
    put_u64(at + 8, segment->checksum);
    memcpy(at + 16, &segment->seg, 4);
    memcpy(at + 20, &segment->born_s, 4);
    memcpy(at + 24, &segment->max_exp_s, 4);
    at[28] = segment->queue;
    at[29] = segment->class;
}

uint8_t *snapshot_prefix_put(uint8_t *dst, struct bytes prefix, uint64_t stamp)
{
    put_u64(dst, stamp);
    dst[8] = (uint8_t)prefix.len;
    memcpy(dst + SNAPSHOT_PREFIX_BYTES, prefix.ptr, prefix.len);
    return dst + SNAPSHOT_PREFIX_BYTES + prefix.len;
}

void snapshot_seal(uint8_t *dst, size_t len)
{
    const size_t body = len - SNAPSHOT_CHECKSUM_BYTES;
    put_u64(dst + body, snapshot_checksum(bytes_of(dst, body)));
}

/* ── reading ──────────────────────────────────────────────────────────────────────────────── */

void snapshot_segment_get(const struct snapshot *snapshot, uint32_t i,
                          struct snapshot_segment *ret_segment)
{
    const uint8_t *at = snapshot->records.ptr + (size_t)i * SNAPSHOT_SEGMENT_BYTES;
    *ret_segment = (struct snapshot_segment){
        .seqno = get_u64(at),
        .checksum = get_u64(at + 8),
        .seg = get_u32(at + 16),
        .born_s = get_u32(at + 20),
        .max_exp_s = get_u32(at + 24),
        .queue = at[28],
        .class = at[29],
    };
}

bool snapshot_prefix_next(struct bytes *rest, struct bytes *ret_prefix, uint64_t *ret_stamp)
{
    if (rest->len < SNAPSHOT_PREFIX_BYTES ||
        rest->len - SNAPSHOT_PREFIX_BYTES < rest->ptr[SNAPSHOT_PREFIX_BYTES - 1])
        return false;
    *ret_stamp = get_u64(rest->ptr);
    *ret_prefix = bytes_of(rest->ptr + SNAPSHOT_PREFIX_BYTES, rest->ptr[SNAPSHOT_PREFIX_BYTES - 1]);
    *rest = bytes_skip(*rest, SNAPSHOT_PREFIX_BYTES + ret_prefix->len);
    return true;
}

static bool refuse(char *ret_reason, const char *why)
{
    (void)snprintf(ret_reason, SNAPSHOT_REASON_BYTES, "%s", why);
    return false;
}

/* The numbers of the head, each in its range whatever the store. */
static bool head_ok(const uint64_t words[WORD_COUNT])
{
    return words[WORD_SEGMENT_COUNT] <= words[WORD_SEGMENT_LIMIT] &&
           words[WORD_SEGMENT_LIMIT] <= SNAPSHOT_SEGMENTS_MAX &&
           words[WORD_SEGMENT_BYTES] <= UINT32_MAX &&
           words[WORD_INDEX_SEGMENTS] <= words[WORD_SEGMENT_LIMIT] &&
           words[WORD_BUCKET_COUNT] <= BUCKETS_MAX && words[WORD_HASH_SEED] != 0 &&
           words[WORD_SEQ_COUNTER] <= SEQ_COUNTER_MAX &&
           words[WORD_FLUSH_SEQ] <= words[WORD_SEQ_COUNTER] &&
           words[WORD_FLUSH_AT_S] <= UINT32_MAX && words[WORD_NOW_S] <= INT32_MAX &&
           words[WORD_WALL_S] <= INT64_MAX && words[WORD_PREFIX_STAMP] <= PREFIX_STAMP_MAX &&
           words[WORD_RESERVED] == 0;
}

static bool segment_ok(const struct snapshot *snapshot, const struct snapshot_segment *segment)
{
    return segment->seg < snapshot->segment_limit && segment->queue < QUEUE_COUNT &&
           segment->class < CLASS_COUNT && segment->seqno > 0 &&
           segment->seqno <= snapshot->seq_counter;
}

static bool prefixes_ok(const struct snapshot *snapshot)
{
    struct bytes rest = snapshot->prefixes, prefix;
    uint64_t stamp;
    while (snapshot_prefix_next(&rest, &prefix, &stamp))
        if (stamp == 0 || stamp > snapshot->prefix_stamp || prefix.len == 0 ||
            prefix.len > STORE_KEY_BYTES_MAX)
            return false;
    return rest.len == 0;
}

bool snapshot_parse(struct bytes bytes, struct snapshot *ret_snapshot, char *ret_reason)
{
    uint64_t words[WORD_COUNT];
    if (bytes.len < SNAPSHOT_HEAD_BYTES + SNAPSHOT_CHECKSUM_BYTES)
        return refuse(ret_reason, bytes.len == 0 ? "it is empty" : "it is cut off");
    memcpy(words, bytes.ptr, sizeof(words));
    if (words[WORD_MAGIC] != SNAPSHOT_MAGIC)
        return refuse(ret_reason, "it was not written by this program on such a machine");
    if (words[WORD_VERSION] != SNAPSHOT_VERSION)
        return refuse(ret_reason, "it was written by another version");
    if (words[WORD_FILE_BYTES] != bytes.len)
        return refuse(ret_reason, "it is cut off or has something behind it");
    const size_t body = bytes.len - SNAPSHOT_CHECKSUM_BYTES;
    if (snapshot_checksum(bytes_of(bytes.ptr, body)) != get_u64(bytes.ptr + body))
        return refuse(ret_reason, "its checksum is wrong");
    const uint64_t rest = body - SNAPSHOT_HEAD_BYTES;
    if (words[WORD_SETTINGS_BYTES] > SNAPSHOT_SETTINGS_BYTES_MAX ||
        words[WORD_SEGMENT_COUNT] > SNAPSHOT_SEGMENTS_MAX ||
        words[WORD_PREFIXES_BYTES] > SNAPSHOT_PREFIXES_BYTES_MAX ||
        rest != words[WORD_SETTINGS_BYTES] + words[WORD_SEGMENT_COUNT] * SNAPSHOT_SEGMENT_BYTES +
                    words[WORD_PREFIXES_BYTES] ||
        !head_ok(words))
        return refuse(ret_reason, "its numbers make no sense");
    const size_t settings_bytes = (size_t)words[WORD_SETTINGS_BYTES];
    const size_t records_bytes = (size_t)words[WORD_SEGMENT_COUNT] * SNAPSHOT_SEGMENT_BYTES;
    const struct bytes behind = bytes_of(bytes.ptr + SNAPSHOT_HEAD_BYTES, (size_t)rest);
    const struct snapshot snapshot = {
        .hash_seed = words[WORD_HASH_SEED],
        .seq_counter = words[WORD_SEQ_COUNTER],
        .flush_seq = words[WORD_FLUSH_SEQ],
        .prefix_stamp = words[WORD_PREFIX_STAMP],
        .bucket_count = words[WORD_BUCKET_COUNT],
        .wall_s = (int64_t)words[WORD_WALL_S],
        .now_s = (uint32_t)words[WORD_NOW_S],
        .flush_at_s = (uint32_t)words[WORD_FLUSH_AT_S],
        .segment_bytes = (uint32_t)words[WORD_SEGMENT_BYTES],
        .segment_limit = (uint32_t)words[WORD_SEGMENT_LIMIT],
        .index_segments = (uint32_t)words[WORD_INDEX_SEGMENTS],
        .segment_count = (uint32_t)words[WORD_SEGMENT_COUNT],
        .settings = bytes_of(behind.ptr, settings_bytes),
        .records = bytes_of(behind.ptr + settings_bytes, records_bytes),
        .prefixes = bytes_skip(behind, settings_bytes + records_bytes),
    };
    for (uint32_t i = 0; i < snapshot.segment_count; i++) {
        struct snapshot_segment segment;
        snapshot_segment_get(&snapshot, i, &segment);
        if (!segment_ok(&snapshot, &segment))
            return refuse(ret_reason, "its list of segments makes no sense");
    }
    if (!prefixes_ok(&snapshot))
        return refuse(ret_reason, "its list of prefixes makes no sense");
    *ret_snapshot = snapshot;
    return true;
}

/* Cut the first line off. */
static struct bytes line_next(struct bytes *rest)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
    const size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    const struct bytes line = bytes_of(rest->ptr, len);
    *rest = bytes_skip(*rest, end != NULL ? len + 1 : len);
    return line;
}

bool snapshot_settings_equal(const struct snapshot *snapshot, struct bytes settings,
                             char *ret_reason)
{
    if (bytes_equal(snapshot->settings, settings))
        return true;
    struct bytes theirs = snapshot->settings, ours = settings;
    struct bytes was, is;
    do {
        was = line_next(&theirs);
        is = line_next(&ours);
    } while (bytes_equal(was, is) && (theirs.len > 0 || ours.len > 0));
    (void)snprintf(ret_reason, SNAPSHOT_REASON_BYTES,
                   "the configuration has changed from %.*s to %.*s",
                   (int)(was.len < 100 ? was.len : 100), (const char *)was.ptr,
                   (int)(is.len < 100 ? is.len : 100), (const char *)is.ptr);
    return false;
}
