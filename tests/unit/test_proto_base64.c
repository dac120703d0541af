/* base64: the vectors of RFC 4648, all lengths there and back, and memcached's leniency.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base64.h"

static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *coded;
    } rows[] = {{"f", "Zg=="},        {"fo", "Zm8="},        {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
                {"\xfb\xff", "+/8="}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes plain = bytes_str(rows[i].plain), coded = bytes_str(rows[i].coded);
        uint8_t buf[16];
        assert_int_equal(base64_encode(buf, plain), coded.len);
        assert_memory_equal(buf, coded.ptr, coded.len);
        assert_int_equal(base64_decode(buf, coded), plain.len);
        assert_memory_equal(buf, plain.ptr, plain.len);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 250; len++) {
        uint8_t *plain = malloc(len), *coded = malloc(BASE64_ENCODED(len));
        uint8_t *again = malloc(BASE64_DECODED_MAX(BASE64_ENCODED(len)));
        assert_true(plain && coded && again);
        for (size_t i = 0; i < len; i++)
            plain[i] = (uint8_t)(i * 167 + len);
        const size_t coded_len = base64_encode(coded, bytes_of(plain, len));
        assert_int_equal(coded_len, BASE64_ENCODED(len));
        assert_int_equal(base64_decode(again, bytes_of(coded, coded_len)), len);
        assert_memory_equal(again, plain, len);
        free(plain);
        free(coded);
        free(again);
    }
}

/* Observed with 1.6.18. */
static void test_lenient(void **state)
{
    (void)state;
    static const struct {
        const char *coded, *plain; /* NULL: unreadable */
        size_t len;
    } rows[] = {
        {"YW*Jj", "abc", 3},  {"YWJj*", "abc", 3}, {"YQ==YQ==", "a", 1}, {"YR==", "a", 1},
        {"YQ=a", "a\0", 2},   {"YQ=", NULL, 0},    {"YQ", NULL, 0},      {"====", NULL, 0},
        {"A===", NULL, 0},    {"", NULL, 0},       {"***", NULL, 0},     {"a", NULL, 0},
        {"YWJjYWJ", NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t buf[16];
        assert_int_equal(base64_decode(buf, bytes_str(rows[i].coded)), rows[i].len);
        if (rows[i].plain != NULL)
            assert_memory_equal(buf, rows[i].plain, rows[i].len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lenient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
