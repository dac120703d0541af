/* support/wire_test.h — tables of what commands answer and count, run over a wire of either
 * protocol.
 *
 * A test says by a `talk` how its protocol is spoken: it sends what a row says and returns all that
 * is answered, as the row's `want` shows it.
 *
 * Includes: support/wire.h.  Included by: test_cmd_text, test_cmd_binary, behind cmocka.h.
 * Memory:   `shown` is where a talk may put what it returns; the caller's.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "support/wire.h"

struct bytes wire_talk(struct wire *wire, const char *send, struct out *shown);

static const struct store_config wire_config = {
    .memory_bytes = 16 << 20, .item_bytes_max = 1 << 20, .hash_seed = 1};

struct wire_row {
    const char *name, *send, *want;
};

/* What must change in the counters by `send`; nothing else may. */
struct wire_counts {
    const char *send;
    struct {
        enum stat_id id;
        uint64_t by;
    } want[5];
};

/* Run each row on a store of its own. */
static inline void wire_rows_check(const struct wire_row *rows, size_t count, size_t upload_from)
{
    for (size_t i = 0; i < count; i++) {
        struct wire wire;
        struct out shown;
        out_init(&shown);
        assert_true(wire_open(&wire, &wire_config));
        wire.upload_from = upload_from;
        const struct bytes got = wire_talk(&wire, rows[i].send, &shown);
        if (!bytes_is(got, rows[i].want))
            fail_msg("%s: sent\n%s\ngot\n%.*swant\n%s", rows[i].name, rows[i].send, (int)got.len,
                     (const char *)got.ptr, rows[i].want);
        out_fini(&shown);
        wire_close(&wire);
    }
}

/* Likewise, each row behind `before`. */
static inline void wire_counts_check(const struct wire_counts *table, size_t count,
                                     const char *before)
{
    for (size_t i = 0; i < count; i++) {
        struct wire wire;
        struct out shown;
        out_init(&shown);
        assert_true(wire_open(&wire, &wire_config));
        (void)wire_talk(&wire, before, &shown);
        uint64_t old[STAT_ID_COUNT], new[STAT_ID_COUNT], want[STAT_ID_COUNT] = {0};
        stat_registry_sum(wire.registry, old);
        (void)wire_talk(&wire, table[i].send, &shown);
        stat_registry_sum(wire.registry, new);
        for (size_t j = 0; j < COUNT_OF(table[i].want); j++)
            want[table[i].want[j].id] += table[i].want[j].by;
        for (size_t id = 0; id < STAT_ID_COUNT; id++)
            if (new[id] - old[id] != want[id])
                fail_msg("%s: %s by %d", table[i].send, stat_name((enum stat_id)id),
                         (int)(new[id] - old[id]));
        out_fini(&shown);
        wire_close(&wire);
    }
}

/* ── values of all kinds of sizes ─────────────────────────────────────────────────────────── */

enum { WIRE_UPLOAD_FROM = 16384 };

static const size_t wire_sizes[] = {0,     1,     100,   4000,   16383,  16384,
                                    16385, 32768, 65536, 200000, 1000000};

static inline uint8_t wire_value_byte(size_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

static inline void wire_value_put(struct out *out, size_t bytes)
{
    uint8_t *dst = out_reserve(out, bytes + 1);
    assert_non_null(dst);
    for (size_t i = 0; i < bytes; i++)
        dst[i] = wire_value_byte(i);
    out_commit(out, bytes);
}

static inline void wire_value_check(const uint8_t *value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(value[i], wire_value_byte(i));
}
