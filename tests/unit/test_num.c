/* test_num.c — decimal numbers to and from bytes.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/num.h"

/* A copy of exactly the text's size: a read of one byte too many is seen by ASan. */
static struct bytes exact(const char *text)
{
    const size_t len = strlen(text);
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return bytes_of(copy, len);
}

static void parse_u64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t want;
    } rows[] = {
        {"0", UINT64_MAX, true, 0},
        {"7", 7, true, 7},
        {"8", 7, false, 0},
        {"00012", 12, true, 12},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"99999999999999999999", UINT64_MAX, false, 0},
        {"184467440737095516150", UINT64_MAX, false, 0},
        {"4294967296", UINT32_MAX, false, 0},
        {"", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {"+1", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"1a", UINT64_MAX, false, 0},
        {"/", UINT64_MAX, false, 0},
        {":", UINT64_MAX, false, 0},
        {"0x10", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes text = exact(rows[i].text);
        uint64_t value = 4711;
        const bool ok = num_parse_u64(text, rows[i].max, &value);
        if (ok != rows[i].ok || value != (ok ? rows[i].want : 4711))
            fail_msg("row %zu: \"%s\"", i, rows[i].text);
        free((void *)(uintptr_t)text.ptr);
    }
}

static void parse_i64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9223372036854775809", false, 0},
        {"-", false, 0},
        {"", false, 0},
        {"--1", false, 0},
        {"- 1", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes text = exact(rows[i].text);
        int64_t value = 4711;
        const bool ok = num_parse_i64(text, &value);
        if (ok != rows[i].ok || value != (ok ? rows[i].want : 4711))
            fail_msg("row %zu: \"%s\"", i, rows[i].text);
        free((void *)(uintptr_t)text.ptr);
    }
}

static void format_one(uint64_t value)
{
    char want[32];
    uint8_t got[NUM_U64_DIGITS_MAX + 2];
    memset(got, '?', sizeof(got));
    const size_t len = num_format_u64(got, value);
    assert_int_equal(len, snprintf(want, sizeof(want), "%llu", (unsigned long long)value));
    assert_memory_equal(got, want, len);
    assert_int_equal(got[len], '?');
    assert_int_equal(num_digits_u64(value), len);
}

/* Every number of digits, at its edges. */
static void format(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 2000; value++)
        format_one(value);
    for (uint64_t power = 10; power < UINT64_MAX / 10; power *= 10)
        for (uint64_t delta = 0; delta < 3; delta++)
            format_one(power + delta - 1);
    format_one(INT64_MAX);
    format_one(UINT64_MAX);
    format_one(10000000000000000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_u64),
        cmocka_unit_test(parse_i64),
        cmocka_unit_test(format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
