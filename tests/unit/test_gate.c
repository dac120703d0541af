/* test_gate.c — digests, files of users, what clients send in order to log in, reloads.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"
#include "support/exact.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate/attempt.h"
#include "gate/gate.h"
#include "gate/users.h"

static const struct gate_digest KEY = {.lo = 0x0706050403020100, .hi = 0x0f0e0d0c0b0a0908};

/* ── digests ──────────────────────────────────────────────────────────────────────────────── */

/* Made with `openssl mac -macopt hexkey:000102..0f -macopt size:16 SIPHASH` of 00, 01, 02, .... */
static void digest_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t first, second; /* 8 bytes each, as they are printed */
    } rows[] = {
        {0, 0xa3817f04ba25a8e6, 0x6df67214c7550293},  {1, 0xda87c1d86b99af44, 0x347659119b22fc45},
        {7, 0xa1f1ebbed8dbc153, 0xc0b84aa61ff08239},  {8, 0x3b62a9ba6258f561, 0x0f83e264f31497b4},
        {9, 0x264499060ad9baab, 0xc47f8b02bb6d71ed},  {15, 0x5493e99933b0a811, 0x7e08ec0f97cfc3d9},
        {16, 0x6ee2a4ca67b054bb, 0xfd3315bf85230577}, {63, 0x5150d1772f50834a, 0x503e069a973fbd7c},
    };
    uint8_t text[64];
    for (uint8_t i = 0; i < sizeof(text); i++)
        text[i] = i;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes in = exact(text, rows[i].len);
        const struct gate_digest got = gate_digest(KEY, in);
        assert_true(got.lo == __builtin_bswap64(rows[i].first));
        assert_true(got.hi == __builtin_bswap64(rows[i].second));
        exact_free(in);
    }
}

static void digest_order(void **state)
{
    (void)state;
    const struct gate_digest one = {.lo = 1}, two = {.lo = 2}, high = {.hi = 1};
    assert_true(gate_digest_less(one, two) && gate_digest_less(two, high));
    assert_false(gate_digest_less(one, one) || gate_digest_less(high, one));
    assert_true(gate_digest_equal(one, one));
    assert_false(gate_digest_equal(one, two) || gate_digest_equal(one, high));
}

/* ── files of users ───────────────────────────────────────────────────────────────────────── */

/* A sealed table of `text`, or NULL with *ret_fault. */
static struct gate_users *table_of(const char *text, size_t len, const struct gate_users *before,
                                   struct gate_fault *ret_fault)
{
    struct gate_users *users;
    const struct bytes in = exact(text, len);
    assert_int_equal(gate_users_new(KEY, &users), 0);
    int rc = gate_users_add(users, in, ret_fault);
    if (rc == 0)
        rc = gate_users_seal(users, before, ret_fault);
    exact_free(in);
    if (rc == 0)
        return users;
    assert_int_equal(rc, -EINVAL);
    gate_users_free(users);
    return NULL;
}

static struct gate_users *table(const char *text, const struct gate_users *before)
{
    struct gate_fault fault;
    struct gate_users *users = table_of(text, strlen(text), before, &fault);
    assert_non_null(users);
    return users;
}

static uint16_t find(const struct gate_users *users, const char *name, const char *password)
{
    static struct gate_memory memory;
    return gate_users_check(users, &memory, bytes_str(name), bytes_str(password));
}

static void users_found(void **state)
{
    (void)state;
    struct gate_users *users =
        table("foo:bar\nzoo:bear\r\nfoo:old\ncolon:a:b\nblank:a b\n\xc3\xa4:\xff", NULL);
    assert_int_equal(gate_users_count(users), 5);
    assert_true(find(users, "foo", "bar") != 0);
    assert_int_equal(find(users, "foo", "old"), find(users, "foo", "bar"));
    assert_true(find(users, "zoo", "bear") != 0);
    assert_true(find(users, "zoo", "bear") != find(users, "foo", "bar"));
    assert_true(find(users, "colon", "a:b") != 0);
    assert_true(find(users, "blank", "a b") != 0);
    assert_true(find(users, "\xc3\xa4", "\xff") != 0);
    static const char *const wrong[][2] = {
        {"foo", "bear"},   {"foo", "ba"},  {"foo", "barr"}, {"foo", ""},     {"fo", "bar"},
        {"foo:", "bar"},   {"fo", "obar"}, {"", "foobar"},  {"", "foo:bar"}, {"foobar", ""},
        {"zoo", "bear\r"}, {"colon", "a"}, {"Foo", "bar"},  {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(find(users, wrong[i][0], wrong[i][1]), 0);
    gate_users_free(users);
    gate_users_free(NULL);
}

static void users_none(void **state)
{
    (void)state;
    struct gate_users *users = table("", NULL);
    assert_int_equal(gate_users_count(users), 0);
    assert_int_equal(find(users, "", ""), 0);
    assert_int_equal(find(users, "foo", "bar"), 0);
    gate_users_free(users);
}

#define N255                                                                                       \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"        \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"        \
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static void users_malformed(void **state)
{
    (void)state;
#define ROW(text, line, word)                                                                      \
    {                                                                                              \
        text, sizeof(text) - 1, line, word                                                         \
    }
    static const struct {
        const char *text;
        size_t len, line;
        const char *word;
    } rows[] = {
        ROW("foo", 1, "no ':'"),         ROW("\n", 1, "empty"),
        ROW("\r\n", 1, "empty"),         ROW("a:b\n\n", 2, "empty"),
        ROW("a:b\n\nc:d\n", 2, "empty"), ROW("a:b\nfoo\nc:d", 2, "no ':'"),
        ROW(":x", 1, "no user"),         ROW("a:b\r\nx:\r\n", 2, "no password"),
        ROW("x:\n", 1, "no password"),   ROW("a:b\nx:a\0b\n", 2, "NUL"),
        ROW("x:a\rb\n", 1, "carriage"),  ROW("n" N255 ":x", 1, "255"),
#undef ROW
    };
    assert_int_equal(strlen(N255), 255);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gate_fault fault = {0};
        assert_null(table_of(rows[i].text, rows[i].len, NULL, &fault));
        assert_int_equal(fault.line, rows[i].line);
        assert_non_null(strstr(fault.what, rows[i].word));
    }
    struct gate_users *users = table(N255 ":x", NULL);
    assert_true(find(users, N255, "x") != 0);
    gate_users_free(users);
}

static void password_longest(void **state)
{
    (void)state;
    char text[GATE_PASSWORD_BYTES_MAX + 4] = "x:";
    memset(text + 2, 'p', GATE_PASSWORD_BYTES_MAX);
    struct gate_users *users = table(text, NULL);
    assert_true(find(users, "x", text + 2) != 0);
    assert_int_equal(find(users, "x", text + 3), 0);
    gate_users_free(users);
    text[2 + GATE_PASSWORD_BYTES_MAX] = 'p';
    struct gate_fault fault = {0};
    assert_null(table_of(text, strlen(text), NULL, &fault));
    assert_non_null(strstr(fault.what, "1024"));
}

/* Cut anywhere, it is either refused or holds what stands in front of the cut, and nothing else. */
static void users_cut(void **state)
{
    (void)state;
    static const char text[] = "foo:bar\nzoo:bear\r\n";
    for (size_t len = 0; len < sizeof(text); len++) {
        struct gate_fault fault = {0};
        struct gate_users *users = table_of(text, len, NULL, &fault);
        if (users == NULL) {
            assert_true(fault.line == 1 + (len > 8));
            continue;
        }
        assert_int_equal(find(users, "foo", "bar") != 0, len >= 7);
        assert_int_equal(find(users, "zoo", "bear") != 0, len >= 16);
        assert_int_equal(find(users, "zoo", "be") != 0, len == 14);
        gate_users_free(users);
    }
}

/* `count` users from `first` on: u12:p12. */
static char *many(unsigned first, unsigned count)
{
    char *text = malloc(count * 24 + 1), *at = text;
    assert_non_null(text);
    *at = '\0';
    for (unsigned i = first; i < first + count; i++)
        at += sprintf(at, "u%u:p%u\n", i, i);
    return text;
}

static uint16_t find_number(const struct gate_users *users, unsigned name, unsigned password)
{
    char name_text[16], password_text[16];
    snprintf(name_text, sizeof(name_text), "u%u", name);
    snprintf(password_text, sizeof(password_text), "p%u", password);
    return find(users, name_text, password_text);
}

static void users_many(void **state)
{
    (void)state;
    for (unsigned count = 1; count < 70; count++) { /* every form of the search */
        char *text = many(0, count);
        struct gate_users *users = table(text, NULL);
        for (unsigned i = 0; i < count; i++) {
            assert_true(find_number(users, i, i) != 0);
            assert_int_equal(find_number(users, i, i + 1), 0);
        }
        free(text);
        gate_users_free(users);
    }
    char *text = many(0, GATE_USERS_MAX);
    struct gate_users *users = table(text, NULL);
    static bool seen[GATE_USERS_MAX + 1];
    for (unsigned i = 0; i < GATE_USERS_MAX; i++) {
        const uint16_t id = find_number(users, i, i);
        assert_true(id >= 1 && id <= GATE_USERS_MAX && !seen[id]);
        seen[id] = true;
    }
    free(text);
    gate_users_free(users);
}

static void users_too_many(void **state)
{
    (void)state;
    struct gate_fault fault = {0};
    char *text = many(0, GATE_USERS_MAX + 1);
    assert_null(table_of(text, strlen(text), NULL, &fault));
    assert_int_equal(fault.line, 0);
    assert_non_null(strstr(fault.what, "16383 users"));
    for (unsigned i = 0; i <= GATE_LINES_MAX; i++)
        memcpy(text + 4 * i, "a:b\n", 4);
    assert_null(table_of(text, 4ull * (GATE_LINES_MAX + 1), NULL, &fault));
    assert_int_equal(fault.line, GATE_LINES_MAX + 1);
    struct gate_users *users = table_of(text, 4ull * GATE_LINES_MAX, NULL, &fault);
    assert_int_equal(gate_users_count(users), 1);
    assert_int_equal(find(users, "a", "b"), 1);
    gate_users_free(users);
    free(text);
}

static void ids_stay(void **state)
{
    (void)state;
    struct gate_users *first = table("a:1\nb:1\n", NULL);
    struct gate_users *second = table("c:1\nb:2\nd:1\n", first);
    assert_int_equal(find(second, "b", "2"), find(first, "b", "1"));
    const uint16_t was_a = find(first, "a", "1"), id_b = find(first, "b", "1");
    assert_true(find(second, "c", "1") != was_a && find(second, "d", "1") != was_a);
    gate_users_free(first);
    /* a's id comes back last of all. */
    uint16_t id = 0;
    unsigned tables = 0;
    for (; id != was_a; tables++) {
        char text[32], name[16];
        snprintf(name, sizeof(name), "x%u", tables);
        snprintf(text, sizeof(text), "b:2\n%s:1", name);
        struct gate_users *next = table(text, second);
        id = find(next, name, "1");
        assert_true(id != 0);
        assert_int_equal(find(next, "b", "2"), id_b);
        gate_users_free(second);
        second = next;
    }
    assert_true(tables > GATE_USERS_MAX - 10);
    gate_users_free(second);
}

/* All names are replaced by others: the ids of the old ones have to be taken. */
static void ids_run_out(void **state)
{
    (void)state;
    char *text = many(0, 10000);
    struct gate_users *users = table(text, NULL);
    free(text);
    for (unsigned round = 1; round < 4; round++) {
        text = many(round * 10000, 10000);
        struct gate_users *next = table(text, users);
        static bool seen[GATE_USERS_MAX + 1];
        memset(seen, false, sizeof(seen));
        for (unsigned i = 0; i < 10000; i++) {
            const uint16_t id = find_number(next, round * 10000 + i, round * 10000 + i);
            assert_true(id != 0 && !seen[id]);
            seen[id] = true;
        }
        free(text);
        gate_users_free(users);
        users = next;
    }
    gate_users_free(users);
}

/* ── attempts ─────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *in;
    enum gate_text_rc rc;
    enum proto_reply refusal;
    const char *name, *password;
} attempts[] = {
#define YES(in, name, password)                                                                    \
    {                                                                                              \
        in, GATE_TEXT_ATTEMPT, PROTO_REPLY_STORED, name, password                                  \
    }
#define NO(in, reply)                                                                              \
    {                                                                                              \
        in, GATE_TEXT_REFUSED, PROTO_REPLY_##reply, NULL, NULL                                     \
    }
#define SHUT(in)                                                                                   \
    {                                                                                              \
        in, GATE_TEXT_CLOSE, PROTO_REPLY_STORED, NULL, NULL                                        \
    }
    YES("set a 0 0 7\r\nfoo bar\r\n", "foo", "bar"),
    YES("set a 0 0 7\nfoo bar\r\n", "foo", "bar"),
    YES("  set  a  0  0  7  \r\nfoo bar\r\n", "foo", "bar"),
    YES("set a x -y 7 noreply\r\nfoo bar\r\n", "foo", "bar"),
    YES("set a 0 0 9\r\n foo  bar\r\n", "foo", "bar"),
    YES("set a 0 0 12\r\nfoo bar more\r\n", "foo", "bar"),
    YES("set a 0 0 8\r\nfoo b\nar\r\n", "foo", "b"), /* as any token: LF ends it */
    NO("version\r\n", UNAUTHENTICATED),
    NO("stats\r\n", UNAUTHENTICATED),
    NO("get a\r\n", UNAUTHENTICATED),
    NO("add a 0 0 7\r\n", UNAUTHENTICATED),
    NO("SET a 0 0 7\r\n", UNAUTHENTICATED),
    NO("set a 0 0\r\n", UNAUTHENTICATED),
    NO("set a 0 0 x\r\n", UNAUTHENTICATED),
    NO("set a 0 0 -1\r\n", UNAUTHENTICATED),
    NO("set a 0 0 7x\r\n", UNAUTHENTICATED),
    NO("set a 0 0 18446744073709551616\r\n", UNAUTHENTICATED),
    NO("      \r\n", UNAUTHENTICATED),
    NO("set a 0 0 16385\r\n", LOGIN_TOO_LONG),
    NO("set a 0 0 2147483645\r\n", LOGIN_TOO_LONG),
    NO("set a 0 0 6\r\nfoo bar\r", LOGIN_BAD_END),
    NO("set a 0 0 7\r\nfoo bar\n\r", LOGIN_BAD_END),
    NO("set a 0 0 3\r\nfoo\r\n", LOGIN_BAD_FORMAT),
    NO("set a 0 0 4\r\nfoo \r\n", LOGIN_BAD_FORMAT),
    NO("set a 0 0 0\r\n\r\n", LOGIN_BAD_FORMAT),
    NO("set a 0 0 3\r\n   \r\n", LOGIN_BAD_FORMAT),
    SHUT("\n"),
    SHUT("\r\n"),
    SHUT("quit\r\n"),
    SHUT("get a\n"),
    SHUT("set a\n"),
#undef YES
#undef NO
#undef SHUT
};

/* Whole, with a stranger's byte behind it, and cut at every byte. */
static void attempt_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(attempts); i++) {
        const size_t len = strlen(attempts[i].in);
        for (size_t more = 0; more < 2; more++) {
            const struct bytes in = exact(attempts[i].in, len + more); /* the NUL is the stranger */
            struct gate_attempt attempt;
            size_t used = 0;
            assert_int_equal(gate_text_parse(in, &attempt, &used), attempts[i].rc);
            if (attempts[i].rc != GATE_TEXT_CLOSE)
                assert_int_equal(used, len);
            if (attempts[i].rc == GATE_TEXT_REFUSED)
                assert_int_equal(attempt.refusal, attempts[i].refusal);
            if (attempts[i].rc == GATE_TEXT_ATTEMPT) {
                assert_true(bytes_is(attempt.name, attempts[i].name));
                assert_true(bytes_is(attempt.password, attempts[i].password));
            }
            exact_free(in);
        }
        for (size_t cut = 0; cut < len; cut++) {
            const struct bytes in = exact(attempts[i].in, cut);
            struct gate_attempt attempt;
            size_t used = 77;
            assert_int_equal(gate_text_parse(in, &attempt, &used), GATE_TEXT_MORE);
            assert_int_equal(used, 77);
            exact_free(in);
        }
    }
}

static void attempt_longest(void **state)
{
    (void)state;
    static char text[GATE_LINE_BYTES_MAX + PROTO_LOGIN_BYTES_MAX + 3];
    struct gate_attempt attempt;
    size_t used = 0;
    memset(text, ' ', sizeof(text)); /* a line as long as it may be, and the same for the payload */
    memcpy(text, "set a 0 0 16384", 15);
    text[GATE_LINE_BYTES_MAX] = '\n';
    memcpy(text + GATE_LINE_BYTES_MAX + 1, "u p", 3);
    memcpy(text + sizeof(text) - 2, "\r\n", 2);
    assert_int_equal(gate_text_parse(bytes_of(text, sizeof(text) - 1), &attempt, &used),
                     GATE_TEXT_MORE);
    assert_int_equal(gate_text_parse(bytes_of(text, sizeof(text)), &attempt, &used),
                     GATE_TEXT_ATTEMPT);
    assert_int_equal(used, sizeof(text));
    text[GATE_LINE_BYTES_MAX] = ' ';
    assert_int_equal(gate_text_parse(bytes_of(text, GATE_LINE_BYTES_MAX), &attempt, &used),
                     GATE_TEXT_MORE);
    assert_int_equal(gate_text_parse(bytes_of(text, GATE_LINE_BYTES_MAX + 1), &attempt, &used),
                     GATE_TEXT_CLOSE);
    text[GATE_LINE_BYTES_MAX + 1] = '\n'; /* too late, however it was cut */
    assert_int_equal(gate_text_parse(bytes_of(text, sizeof(text)), &attempt, &used),
                     GATE_TEXT_CLOSE);
}

static void plain_rows(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t len;
        const char *name, *password; /* NULL: malformed */
    } rows[] = {
#define ROW(in, name, password) {in, sizeof(in) - 1, name, password}
        ROW("\0foo\0bar", "foo", "bar"),
        ROW("foo\0foo\0bar", "foo", "bar"),
        ROW("\0f o\0 b:a r ", "f o", " b:a r "),
        ROW("root\0foo\0bar", NULL, NULL),
        ROW("", NULL, NULL),
        ROW("\0", NULL, NULL),
        ROW("\0\0", NULL, NULL),
        ROW("\0\0bar", NULL, NULL),
        ROW("\0foo\0", NULL, NULL),
        ROW("\0foo", NULL, NULL),
        ROW("foo\0bar", NULL, NULL),
        ROW("\0foo\0bar\0", NULL, NULL),
        ROW("\0foo\0bar\0more", NULL, NULL),
#undef ROW
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes in = exact(rows[i].in, rows[i].len);
        struct gate_attempt attempt;
        assert_int_equal(gate_plain_parse(in, &attempt), rows[i].name != NULL);
        if (rows[i].name != NULL) {
            assert_true(bytes_is(attempt.name, rows[i].name));
            assert_true(bytes_is(attempt.password, rows[i].password));
        }
        exact_free(in);
    }
}

/* ── files, reloads ───────────────────────────────────────────────────────────────────────── */

static void file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static uint16_t check(struct gate *gate, const char *name, const char *password)
{
    return gate_check(gate, 1, bytes_str(name), bytes_str(password));
}

static void reload(void **state)
{
    (void)state;
    char one[] = "/tmp/matte-test-users-XXXXXX", two[] = "/tmp/matte-test-users-XXXXXX";
    char error[GATE_ERROR_BYTES] = "";
    close(mkstemp(one));
    close(mkstemp(two));
    file_write(one, "foo:bar\n");
    file_write(two, "zoo:bear");
    struct gate *gate;
    const struct gate_config config = {.files = {one, two}, .slots = 2};
    assert_int_equal(gate_new(&config, &gate, error), 0);
    assert_int_equal(gate_user_count(gate), 2);
    const uint16_t foo = check(gate, "foo", "bar");
    assert_true(foo != 0 && check(gate, "zoo", "bear") != 0 && check(gate, "foo", "bear") == 0);

    file_write(one, "foo:secret\nnew\n");
    assert_int_equal(gate_reload(gate, error), -EINVAL);
    assert_non_null(strstr(error, one));
    assert_non_null(strstr(error, "line 2"));
    assert_null(strstr(error, "secret"));
    assert_int_equal(check(gate, "foo", "bar"), foo);

    file_write(one, "new:1\nfoo:secret\n");
    assert_int_equal(gate_reload(gate, error), 0);
    assert_int_equal(check(gate, "foo", "bar"), 0);
    assert_int_equal(check(gate, "foo", "secret"), foo);
    assert_true(check(gate, "new", "1") != 0 && check(gate, "zoo", "bear") != 0);

    assert_int_equal(unlink(two), 0);
    assert_int_equal(gate_reload(gate, error), -ENOENT);
    assert_non_null(strstr(error, two));
    assert_true(check(gate, "zoo", "bear") != 0);
    gate_free(gate);
    gate_free(NULL);
    assert_int_equal(gate_new(&config, &gate, error), -ENOENT);
    assert_int_equal(unlink(one), 0);
}

static void file_large(void **state)
{
    (void)state;
    char path[] = "/tmp/matte-test-users-XXXXXX", error[GATE_ERROR_BYTES] = "";
    char *text = many(0, 10000); /* several times the first buffer */
    struct gate *gate;
    close(mkstemp(path));
    file_write(path, text);
    const struct gate_config config = {.files = {path}, .slots = 2};
    assert_int_equal(gate_new(&config, &gate, error), 0);
    assert_int_equal(gate_user_count(gate), 10000);
    assert_true(check(gate, "u9999", "p9999") != 0);
    gate_free(gate);
    free(text);
    assert_int_equal(unlink(path), 0);
    const struct gate_config endless = {.files = {"/dev/zero"}, .slots = 2};
    assert_int_equal(gate_new(&endless, &gate, error), -EFBIG);
    const struct gate_config folder = {.files = {"/tmp"}, .slots = 2};
    assert_int_equal(gate_new(&folder, &gate, error), -EISDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_vectors),  cmocka_unit_test(digest_order),
        cmocka_unit_test(users_found),     cmocka_unit_test(users_none),
        cmocka_unit_test(users_malformed), cmocka_unit_test(password_longest),
        cmocka_unit_test(users_cut),       cmocka_unit_test(users_many),
        cmocka_unit_test(users_too_many),  cmocka_unit_test(ids_stay),
        cmocka_unit_test(ids_run_out),     cmocka_unit_test(attempt_rows),
        cmocka_unit_test(attempt_longest), cmocka_unit_test(plain_rows),
        cmocka_unit_test(reload),          cmocka_unit_test(file_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
