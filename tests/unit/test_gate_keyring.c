/* test_gate_keyring.c — keys of cookies: the text of their file, the file itself, rotation; and the
 * addresses that TCP vouches for.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate/keyring.h"
#include "gate/vouch.h"

#define ONE   "000102030405060708090a0b0c0d0e0f"
#define TWO   "f0F1f2f3f4f5f6f7f8f9fAfbfcfdfeff"
#define THREE "10111213141516171819202122232425"

static const char not_hex[] = "has a line that is not 32 hex digits";

static struct gate_cookie_key key_of(uint8_t first)
{
    uint8_t bytes[GATE_COOKIE_KEY_BYTES];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(first + i);
    struct gate_cookie_key key;
    gate_cookie_key_read(bytes, &key);
    return key;
}

static void assert_key(const struct gate_cookie_key *key, uint8_t first)
{
    const struct gate_cookie_key want = key_of(first);
    assert_memory_equal(key, &want, sizeof(want));
}

/* From a block of exactly its size, so that a byte too many is seen. */
static const char *parse(const char *text, size_t len, struct gate_cookie_keys *ret_keys)
{
    char *copy = malloc(len + (len == 0));
    assert_non_null(copy);
    memcpy(copy, text, len);
    const char *fault = gate_keyring_parse(bytes_of(copy, len), ret_keys);
    free(copy);
    return fault;
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *fault;
        uint8_t current, previous;
    } rows[] = {
        {ONE, NULL, 0, 0},
        {ONE "\n", NULL, 0, 0},
        {ONE "\r\n" TWO "\r\n", NULL, 0, 0xf0},
        {TWO "\n" ONE, NULL, 0xf0, 0},
        {"# the first\n" ONE "\n\n# the second\n" TWO "\n#", NULL, 0, 0xf0},
        {"", "has no key", 0, 0},
        {"\n\n#x\n", "has no key", 0, 0},
        {ONE "\n" TWO "\n" THREE "\n", "has more than two keys", 0, 0},
        {ONE "\n" ONE "\n", "has the same key twice", 0, 0},
        {ONE "0\n", not_hex, 0, 0},
        {" " ONE "\n", not_hex, 0, 0},
        {ONE " \n", not_hex, 0, 0},
        {"key=" ONE "\n", not_hex, 0, 0},
        {"g00102030405060708090a0b0c0d0e0f\n", not_hex, 0, 0},
        {"000102030405060708090a0b0c0d0e0@\n", not_hex, 0, 0},
        {ONE "\nx\n", not_hex, 0, 0},
    };
    struct gate_cookie_keys keys;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        memset(&keys, 0xee, sizeof(keys));
        const char *fault = parse(rows[i].text, strlen(rows[i].text), &keys);
        if (rows[i].fault != NULL) {
            assert_string_equal(fault, rows[i].fault);
            assert_int_equal(keys.current.word[0], 0xeeeeeeeeeeeeeeee); /* untouched */
            continue;
        }
        assert_null(fault);
        assert_key(&keys.current, rows[i].current);
        assert_key(&keys.previous, rows[i].previous);
    }
}

static void texts_cut(void **state)
{
    (void)state;
    static const char text[] = "# x\n" ONE "\n" TWO "\n";
    struct gate_cookie_keys keys;
    for (size_t len = 0; len < sizeof(text); len++) {
        const bool whole = len == 4 + 32 || len == 4 + 33 || len >= 4 + 33 + 32;
        assert_int_equal(parse(text, len, &keys) == NULL, whole && len < sizeof(text));
    }
    char nul[sizeof(text)];
    memcpy(nul, text, sizeof(text));
    nul[10] = '\0';
    assert_string_equal(parse(nul, sizeof(nul) - 1, &keys), not_hex);
}

/* ── files ────────────────────────────────────────────────────────────────────────────────── */

static char path[] = "/tmp/matte-keyring-XXXXXX";

static void file_write(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void files(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct gate_keyring ring;
    struct gate_keyring_copy copy = {.number = 0};
    char error[GATE_KEYRING_ERROR_BYTES], want[600];
    file_write(ONE "\n", 0600);
    assert_int_equal(gate_keyring_init(&ring, path, 0, error), 0);
    gate_keyring_copy(&ring, &copy);
    assert_key(&copy.keys.current, 0);
    gate_keyring_tick(&ring, GATE_COOKIE_ROTATE_S * 5000ull); /* a file's keys stay */
    gate_keyring_copy(&ring, &copy);
    assert_key(&copy.keys.current, 0);
    file_write(TWO "\n" ONE "\n", 0400);
    assert_int_equal(gate_keyring_reload(&ring, error), 0);
    assert_key(&copy.keys.current, 0); /* until it is renewed */
    gate_keyring_copy(&ring, &copy);
    assert_key(&copy.keys.current, 0xf0);
    assert_key(&copy.keys.previous, 0);
    file_write(THREE "\n", 0640);
    assert_int_equal(gate_keyring_reload(&ring, error), -EINVAL);
    (void)snprintf(want, sizeof(want), "%s may be used by others; allowed: mode 0600", path);
    assert_string_equal(error, want);
    file_write("x\n", 0600);
    assert_int_equal(gate_keyring_reload(&ring, error), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(gate_keyring_reload(&ring, error), -ENOENT);
    (void)snprintf(want, sizeof(want), "cannot read %s: No such file or directory", path);
    assert_string_equal(error, want);
    gate_keyring_copy(&ring, &copy);
    assert_key(&copy.keys.current, 0xf0); /* what was known stays */
    gate_keyring_fini(&ring);
    assert_int_equal(gate_keyring_init(&ring, "/tmp", 0, error), -EINVAL);
    assert_string_equal(error, "/tmp is not a file");
    gate_keyring_fini(&ring);
}

/* ── drawn keys ───────────────────────────────────────────────────────────────────────────── */

static void rotation(void **state)
{
    (void)state;
    enum { DAY_MS = GATE_COOKIE_ROTATE_S * 1000, START_MS = 5000 };
    struct gate_keyring ring;
    struct gate_keyring_copy copy = {.number = 0}, before;
    char error[GATE_KEYRING_ERROR_BYTES];
    assert_int_equal(gate_keyring_init(&ring, NULL, START_MS, error), 0);
    gate_keyring_copy(&ring, &copy);
    assert_memory_equal(&copy.keys.current, &copy.keys.previous, sizeof(copy.keys.current));
    assert_true(copy.keys.current.word[0] != 0 || copy.keys.current.word[1] != 0);
    before = copy;
    gate_keyring_tick(&ring, START_MS + DAY_MS - 1);
    gate_keyring_copy(&ring, &copy);
    assert_memory_equal(&copy, &before, sizeof(copy));
    assert_int_equal(gate_keyring_reload(&ring, error), 0); /* there is no file to read */
    gate_keyring_tick(&ring, START_MS + DAY_MS);
    gate_keyring_copy(&ring, &copy);
    assert_memory_equal(&copy.keys.previous, &before.keys.current, sizeof(copy.keys.previous));
    assert_memory_not_equal(&copy.keys.current, &before.keys.current, sizeof(copy.keys.current));
    before = copy;
    gate_keyring_tick(&ring, START_MS + DAY_MS + DAY_MS - 1); /* counts from the last one */
    gate_keyring_copy(&ring, &copy);
    assert_memory_equal(&copy, &before, sizeof(copy));
    gate_keyring_fini(&ring);
}

/* ── addresses that TCP vouches for ───────────────────────────────────────────────────────── */

static struct ip address(uint32_t n)
{
    const uint8_t v4[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    return ip_of_v4(v4);
}

static void vouchers(void **state)
{
    (void)state;
    enum { MANY = 200000 };
    struct gate_vouch *vouch;
    assert_int_equal(gate_vouch_new(&vouch), 0);
    struct ip ip = address(1);
    assert_false(gate_vouch_has(vouch, &ip, 2));
    gate_vouch_put(vouch, &ip, 1000);
    assert_true(gate_vouch_has(vouch, &ip, 1000));
    assert_true(gate_vouch_has(vouch, &ip, 999)); /* that worker's clock is behind */
    assert_true(gate_vouch_has(vouch, &ip, 1000 + GATE_VOUCH_S));
    assert_false(gate_vouch_has(vouch, &ip, 1001 + GATE_VOUCH_S));
    gate_vouch_put(vouch, &ip, 1200);
    assert_true(gate_vouch_has(vouch, &ip, 1200 + GATE_VOUCH_S));
    ip = address(2);
    assert_false(gate_vouch_has(vouch, &ip, 1000));
    /* Many more than there is room for: the last are there, strangers never. */
    size_t found = 0, strangers = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        ip = address(i);
        gate_vouch_put(vouch, &ip, 2000 + i / 1000);
        assert_true(gate_vouch_has(vouch, &ip, 2000 + i / 1000));
    }
    for (uint32_t i = MANY - 2000; i < MANY; i++) {
        ip = address(i);
        found += gate_vouch_has(vouch, &ip, 2200);
        ip = address(i + 0x800000);
        strangers += gate_vouch_has(vouch, &ip, 2200);
    }
    assert_true(found > 1990);
    assert_int_equal(strangers, 0);
    gate_vouch_free(vouch);
    gate_vouch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),    cmocka_unit_test(texts_cut), cmocka_unit_test(files),
        cmocka_unit_test(rotation), cmocka_unit_test(vouchers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
