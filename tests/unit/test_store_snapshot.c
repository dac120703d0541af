/* unit/test_store_snapshot.c — FILE.meta as bytes: written and read back, cut and damaged.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include "store/snapshot.h"
#include "support/kit.h"

enum { SEGMENTS = 5 };

static const struct snapshot example = {
    .hash_seed = 99,
    .seq_counter = 1000,
    .flush_seq = 17,
    .prefix_stamp = 70,
    .bucket_count = 4096,
    .wall_s = 1700000000,
    .now_s = 12345,
    .flush_at_s = 20000,
    .segment_bytes = 64 << 10,
    .segment_limit = 128,
    .index_segments = 9,
    .segment_count = SEGMENTS,
};
static const char settings[] = "-m 64\n-I 1048576\n-f 1.25\n";

static struct snapshot_segment segment_of(uint32_t i)
{
    return (struct snapshot_segment){.seqno = 10 + i,
                                     .checksum = ~(uint64_t)i,
                                     .seg = i * 3,
                                     .born_s = 100 * i,
                                     .max_exp_s = UINT32_MAX - i,
                                     .queue = (uint8_t)(i & 1),
                                     .class = (uint8_t)i};
}

/* As long as a prefix may be. */
static struct bytes longest(void)
{
    static uint8_t prefix[250];
    kit_pattern_fill(prefix, sizeof(prefix), 4);
    return bytes_of(prefix, sizeof(prefix));
}

/* To be freed; in a block of exactly its size. */
static uint8_t *example_write(size_t *ret_len)
{
    struct snapshot snapshot = example;
    uint8_t prefixes[2 * (SNAPSHOT_PREFIX_BYTES + 250)];
    uint8_t *end = snapshot_prefix_put(prefixes, bytes_str("app:"), 70);
    end = snapshot_prefix_put(end, longest(), 1);
    snapshot.settings = bytes_str(settings);
    snapshot.prefixes = bytes_of(prefixes, (size_t)(end - prefixes));
    *ret_len = snapshot_bytes(&snapshot);
    uint8_t *bytes = malloc(*ret_len);
    assert_non_null(bytes);
    snapshot_write(bytes, &snapshot);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        const struct snapshot_segment segment = segment_of(i);
        snapshot_segment_put(bytes, &snapshot, i, &segment);
    }
    snapshot_seal(bytes, *ret_len);
    return bytes;
}

static void test_read_back(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = example_write(&len);
    struct snapshot got;
    char reason[SNAPSHOT_REASON_BYTES] = "";
    assert_true(snapshot_parse(bytes_of(bytes, len), &got, reason));
    assert_string_equal(reason, "");
    assert_int_equal(got.hash_seed, example.hash_seed);
    assert_int_equal(got.seq_counter, example.seq_counter);
    assert_int_equal(got.flush_seq, example.flush_seq);
    assert_int_equal(got.flush_at_s, example.flush_at_s);
    assert_int_equal(got.bucket_count, example.bucket_count);
    assert_int_equal(got.wall_s, example.wall_s);
    assert_int_equal(got.now_s, example.now_s);
    assert_int_equal(got.segment_bytes, example.segment_bytes);
    assert_int_equal(got.segment_limit, example.segment_limit);
    assert_int_equal(got.index_segments, example.index_segments);
    assert_int_equal(got.segment_count, SEGMENTS);
    assert_true(bytes_is(got.settings, settings));
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        struct snapshot_segment segment;
        const struct snapshot_segment want = segment_of(i);
        snapshot_segment_get(&got, i, &segment);
        assert_int_equal(segment.seqno, want.seqno);
        assert_int_equal(segment.checksum, want.checksum);
        assert_int_equal(segment.seg, want.seg);
        assert_int_equal(segment.born_s, want.born_s);
        assert_int_equal(segment.max_exp_s, want.max_exp_s);
        assert_int_equal(segment.queue, want.queue);
        assert_int_equal(segment.class, want.class);
    }
    assert_int_equal(got.prefix_stamp, example.prefix_stamp);
    struct bytes rest = got.prefixes, prefix;
    uint64_t stamp;
    assert_true(snapshot_prefix_next(&rest, &prefix, &stamp));
    assert_true(bytes_is(prefix, "app:") && stamp == 70);
    assert_true(snapshot_prefix_next(&rest, &prefix, &stamp));
    assert_true(bytes_equal(prefix, longest()) && stamp == 1);
    assert_false(snapshot_prefix_next(&rest, &prefix, &stamp));
    free(bytes);
}

/* Cut at every byte, with and without a checksum made right again. */
static void test_cut(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = example_write(&len);
    for (size_t cut = 0; cut < len; cut++)
        for (unsigned sealed = 0; sealed < 2; sealed++) {
            uint8_t *part = malloc(cut > 0 ? cut : 1);
            struct snapshot got;
            char reason[SNAPSHOT_REASON_BYTES] = "";
            memcpy(part, bytes, cut);
            if (sealed && cut >= SNAPSHOT_CHECKSUM_BYTES)
                snapshot_seal(part, cut);
            assert_false(snapshot_parse(bytes_of(part, cut), &got, reason));
            assert_string_not_equal(reason, "");
            free(part);
        }
    free(bytes);
}

static void test_every_bit(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = example_write(&len);
    struct snapshot got;
    char reason[SNAPSHOT_REASON_BYTES];
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(snapshot_parse(bytes_of(bytes, len), &got, reason));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(snapshot_parse(bytes_of(bytes, len), &got, reason));
    free(bytes);
}

/* With a right checksum each word of the head may be anything: no crash, and what is accepted is
 * in range. */
static void test_wild_numbers(void **state)
{
    (void)state;
    static const uint64_t wild[] = {
        0, 1, 127, 128, 129, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX - 39, UINT64_MAX};
    size_t len;
    uint8_t *bytes = example_write(&len);
    for (size_t word = 0; word < SNAPSHOT_HEAD_BYTES / 8; word++)
        for (size_t i = 0; i < COUNT_OF(wild); i++) {
            uint64_t kept;
            struct snapshot got;
            char reason[SNAPSHOT_REASON_BYTES];
            memcpy(&kept, bytes + 8 * word, 8);
            memcpy(bytes + 8 * word, &wild[i], 8);
            snapshot_seal(bytes, len);
            if (snapshot_parse(bytes_of(bytes, len), &got, reason)) {
                assert_int_equal(got.segment_count, SEGMENTS);
                assert_true(got.segment_limit >= 13 && got.flush_seq <= got.seq_counter);
                assert_true(got.index_segments <= got.segment_limit && got.hash_seed != 0);
            }
            memcpy(bytes + 8 * word, &kept, 8);
        }
    free(bytes);
}

/* A list of prefixes that nobody could have saved, with a right checksum. */
static void test_wild_prefixes(void **state)
{
    (void)state;
    static const struct {
        uint8_t at; /* of the first byte of the list */
        uint8_t value;
    } rows[] = {
        {0, 71},              /* a stamp that was not given out */
        {0, 0},               /* nor was that one */
        {8, 0},               /* an empty prefix */
        {8, 3},               /* what follows is out of step */
        {8, 251},             /* longer than a key */
        {7, 255},  {21, 249}, /* the last one is cut off, or has something behind it */
        {21, 251},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len;
        uint8_t *bytes = example_write(&len);
        struct snapshot got;
        char reason[SNAPSHOT_REASON_BYTES] = "";
        assert_true(snapshot_parse(bytes_of(bytes, len), &got, reason));
        bytes[(size_t)(got.prefixes.ptr - bytes) + rows[i].at] = rows[i].value;
        snapshot_seal(bytes, len);
        assert_false(snapshot_parse(bytes_of(bytes, len), &got, reason));
        assert_string_equal(reason, "its list of prefixes makes no sense");
        free(bytes);
    }
}

static void test_settings(void **state)
{
    (void)state;
    const struct snapshot snapshot = {.settings = bytes_str(settings)};
    char reason[SNAPSHOT_REASON_BYTES] = "";
    assert_true(snapshot_settings_equal(&snapshot, bytes_str(settings), reason));
    static const struct {
        const char *ours, *reason;
    } rows[] = {
        {"-m 65\n-I 1048576\n-f 1.25\n", "the configuration has changed from -m 64 to -m 65"},
        {"-m 64\n-I 1048576\n-f 1.5\n", "the configuration has changed from -f 1.25 to -f 1.5"},
        {"-m 64\n", "the configuration has changed from -I 1048576 to "},
        {"", "the configuration has changed from -m 64 to "},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_false(snapshot_settings_equal(&snapshot, bytes_str(rows[i].ours), reason));
        assert_string_equal(reason, rows[i].reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),     cmocka_unit_test(test_cut),
        cmocka_unit_test(test_every_bit),     cmocka_unit_test(test_wild_numbers),
        cmocka_unit_test(test_wild_prefixes), cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
