/* test_proto_foreign.c — other protocols are recognised by their first bytes, and no command is
 * mistaken for one.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/foreign.h"

/* A copy that ends where its memory ends, so that a sanitizer sees a byte too many. */
static enum proto_foreign recognise(const void *bytes, size_t len, const char **ret_name)
{
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    const enum proto_foreign verdict = proto_foreign_recognise(bytes_of(copy, len), ret_name);
    free(copy);
    return verdict;
}

#define ROW(name, text)                                                                            \
    {                                                                                              \
        name, text, sizeof(text) - 1                                                               \
    }

static const struct {
    const char *name; /* NULL: one of ours, or nobody's */
    const char *bytes;
    size_t len;
} rows[] = {
    ROW("http", "GET / HTTP/1.1\r\n"),
    ROW("http", "POST /cgi HTTP/1.0\r\n"),
    ROW("http", "HEAD / HTTP/1.1\r\n"),
    ROW("http", "PUT /x HTTP/1.1\r\n"),
    ROW("http", "DELETE /x HTTP/1.1\r\n"),
    ROW("http", "OPTIONS * HTTP/1.1\r\n"),
    ROW("http", "OPTIONS rtsp://x RTSP/1.0\r\n"),
    ROW("http", "OPTIONS sip:x SIP/2.0\r\n"),
    ROW("http", "PATCH /x HTTP/1.1\r\n"),
    ROW("http", "TRACE / HTTP/1.1\r\n"),
    ROW("http", "PROPFIND / HTTP/1.1\r\n"),
    ROW("http", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ROW("http", "CONNECT example.org:443 HTTP/1.1\r\n"),
    ROW("http", "GET http://example.org/ HTTP/1.1\r\n"),
    ROW("http", "GET https://example.org/ HTTP/1.1\r\n"),
    ROW("tls", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ROW("ssh", "SSH-2.0-OpenSSH_9.2\r\n"),
    ROW("redis", "*1\r\n$4\r\nPING\r\n"),
    ROW("redis", "*12\r\n"),
    ROW("proxy", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ROW("smtp", "EHLO example.org\r\n"),
    ROW("smtp", "HELO example.org\r\n"),
    ROW("amqp", "AMQP\0\0\x09\x01"),
    ROW("rdp", "\x03\0\0\x13\x0e\xe0"),
    ROW(NULL, "GET key\r\n"),
    ROW(NULL, "GETS /\r\n"),
    ROW(NULL, "GET\r\n"),
    ROW(NULL, "SET a 0 0 1\r\n"),
    ROW(NULL, "*\r\n"),
    ROW(NULL, "*x\r\n"),
    ROW(NULL, "\r\n"),
    ROW(NULL, "\r\n\r\n"),
    ROW(NULL, "\r\n\r\n\0\r\nQUIT"),
    ROW(NULL, "\n"),
    ROW(NULL, "PROXY\r\n"),
    ROW(NULL, "\x16\r\n"),
    ROW(NULL, "\x03\0\r\n"),
    ROW(NULL, "\x80\0\0\0"),
    ROW(NULL, "\x81\0\0\0"),
    ROW(NULL, "\xff\xff"),
};

/* Cut at every byte: only what it is, or that it may be that. */
static void known_beginnings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *name = NULL;
        const enum proto_foreign want = rows[i].name != NULL ? PROTO_FOREIGN_YES : PROTO_FOREIGN_NO;
        if (recognise(rows[i].bytes, rows[i].len, &name) != want)
            fail_msg("row %zu", i);
        if (rows[i].name != NULL)
            assert_string_equal(name, rows[i].name);
        for (size_t cut = 1; cut < rows[i].len; cut++) {
            const enum proto_foreign part = recognise(rows[i].bytes, cut, &name);
            if (part == PROTO_FOREIGN_YES)
                assert_string_equal(name, rows[i].name);
            if (part == PROTO_FOREIGN_NO && rows[i].name != NULL)
                fail_msg("row %zu at %zu", i, cut);
            if (part == PROTO_FOREIGN_MAYBE) /* nobody waits for an answer yet */
                assert_null(memchr(rows[i].bytes, '\n', cut));
        }
    }
}

/* It begins like empty lines, which are answered one by one, so it has to come whole. */
static void version_two_of_proxy(void **state)
{
    (void)state;
    static const char head[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11";
    const char *name = NULL;
    for (size_t cut = 1; cut < sizeof(head); cut++) {
        const enum proto_foreign part = recognise(head, cut, &name);
        assert_int_equal(part, cut < 12 ? PROTO_FOREIGN_NO : PROTO_FOREIGN_YES);
    }
    assert_string_equal(name, "proxy");
}

/* Commands begin with a small letter, packets of the binary protocol with 0x80: whatever follows,
 * they are ours. */
static void ours_are_ours(void **state)
{
    (void)state;
    const char *name = NULL;
    for (unsigned second = 0; second < 256; second++)
        for (unsigned first = 'a'; first <= 0x80; first = first == 'z' ? 0x80 : first + 1) {
            const uint8_t bytes[] = {(uint8_t)first, (uint8_t)second, 0, 0};
            for (size_t len = 1; len <= sizeof(bytes); len++)
                assert_int_equal(recognise(bytes, len, &name), PROTO_FOREIGN_NO);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_beginnings),
        cmocka_unit_test(version_two_of_proxy),
        cmocka_unit_test(ours_are_ours),
    };
    return cmocka_run_group_tests_name("foreign protocols", tests, NULL, NULL);
}
