/* test_service.c — what a service manager writes into the environment.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "opt/opt.h"
#include "server/notify.h"

enum { US = 4321 }; /* our process */

static void addresses(void **state)
{
    (void)state;
    struct sockaddr_un addr;
    socklen_t len;
    const socklen_t head = offsetof(struct sockaddr_un, sun_path);
    assert_int_equal(notify_address_parse("/run/notify", &addr, &len), 0);
    assert_string_equal(addr.sun_path, "/run/notify");
    assert_int_equal(len, head + 12);
    assert_int_equal(notify_address_parse("@ab", &addr, &len), 0);
    assert_memory_equal(addr.sun_path, "\0ab", 4);
    assert_int_equal(len, head + 3);
    char text[sizeof(addr.sun_path) + 1];
    memset(text, 'x', sizeof(text));
    text[0] = '/';
    text[sizeof(text) - 2] = '\0';
    assert_int_equal(notify_address_parse(text, &addr, &len), 0);
    text[sizeof(text) - 2] = 'x';
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(notify_address_parse(text, &addr, &len), -ENAMETOOLONG);
    static const char *const bad[] = {"", "/", "@", "x", "run/notify", "vsock:2:3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(notify_address_parse(bad[i], &addr, &len), -EINVAL);
}

static void watchdogs(void **state)
{
    (void)state;
    static const struct {
        const char *usec, *pid;
        uint64_t us;
    } rows[] = {
        {NULL, NULL, 0},
        {"30000000", NULL, 30000000},
        {"30000000", "4321", 30000000},
        {"30000000", "4322", 0},
        {"30000000", "", 0},
        {"30000000", "x", 0},
        {"", NULL, 0},
        {"-1", NULL, 0},
        {"1s", NULL, 0},
        {"18446744073709551615", NULL, 0}, /* systemd's word for "never" */
        {"99999999999999999999", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(notify_watchdog_us(rows[i].usec, rows[i].pid, US), rows[i].us);
}

static void counts(void **state)
{
    (void)state;
    static const struct {
        const char *pid, *fds;
        int rc;
        size_t count;
    } rows[] = {
        {NULL, NULL, 0, 0},        {"4321", NULL, 0, 0},       {NULL, "2", 0, 0},
        {"4321", "2", 0, 2},       {"4321", "0", 0, 0},        {"432", "2", 0, 0},
        {"", "2", 0, 0},           {"4321 ", "2", 0, 0},       {"4321", "64", 0, 64},
        {"4321", "65", -E2BIG, 0}, {"4321", "", -EINVAL, 0},   {"4321", "-1", -EINVAL, 0},
        {"4321", "x", -EINVAL, 0}, {"4321", "2 ", -EINVAL, 0}, {"432", "x", 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const texts[3] = {rows[i].pid, rows[i].fds, NULL};
        struct activation taken = {.count = 99};
        char error[ACTIVATION_ERROR_BYTES] = "";
        assert_int_equal(activation_parse(texts, US, &taken, error), rows[i].rc);
        if (rows[i].rc != 0) {
            assert_int_equal(taken.count, 99);
            assert_non_null(strstr(error, "LISTEN_FDS"));
            continue;
        }
        assert_int_equal(taken.count, rows[i].count);
        for (size_t j = 0; j < taken.count; j++) {
            assert_int_equal(taken.sockets[j].fd, 3 + j);
            assert_int_equal(taken.sockets[j].protocol, OPT_PROTOCOL_DEFAULT);
            assert_int_equal(taken.sockets[j].tls, OPT_LISTEN_DEFAULT);
        }
    }
}

/* Each row for two sockets. */
static void names(void **state)
{
    (void)state;
    enum { DEF, TEXT = OPT_PROTOCOL_TEXT, BIN = OPT_PROTOCOL_BINARY };
    enum { NOTLS = OPT_LISTEN_NOTLS, BTLS = OPT_LISTEN_BTLS, MTLS = OPT_LISTEN_MTLS };
    static const struct {
        const char *text;
        struct {
            int protocol, tls;
        } want[2];
    } rows[] = {
        {"", {{DEF, DEF}, {DEF, DEF}}},
        {":", {{DEF, DEF}, {DEF, DEF}}},
        {":ascii", {{DEF, DEF}, {TEXT, DEF}}},
        {"binary", {{BIN, DEF}, {DEF, DEF}}},
        {"binary:ascii:binary", {{BIN, DEF}, {TEXT, DEF}}},
        {"matted.socket:matted.socket", {{DEF, DEF}, {DEF, DEF}}},
        {"notls:mtls", {{DEF, NOTLS}, {DEF, MTLS}}},
        {"mtls-ascii:mine-binary-btls", {{TEXT, MTLS}, {BIN, BTLS}}},
        {"-:--ascii--", {{DEF, DEF}, {TEXT, DEF}}},
        {"asci:asciii", {{DEF, DEF}, {DEF, DEF}}},
        {"ascii-binary:binary-ascii", {{BIN, DEF}, {TEXT, DEF}}}, /* the last counts */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const texts[3] = {"4321", "2", rows[i].text};
        struct activation taken;
        char error[ACTIVATION_ERROR_BYTES];
        assert_int_equal(activation_parse(texts, US, &taken, error), 0);
        assert_int_equal(taken.count, 2);
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(taken.sockets[j].protocol, rows[i].want[j].protocol);
            assert_int_equal(taken.sockets[j].tls, rows[i].want[j].tls);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(watchdogs),
        cmocka_unit_test(counts),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
