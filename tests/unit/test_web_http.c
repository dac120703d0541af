/* The requests of the admin listener: every row runs whole, cut at each byte, and with another
 * request behind it, from a block of exactly its size. `src` tells a rule from a choice of ours.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "support/cm.h"
#include "support/exact.h"
#include "web/http.h"

#define H     "Host: a\r\n"
#define END   "\r\n"
#define K10   "kkkkkkkkkk"
#define K100  K10 K10 K10 K10 K10 K10 K10 K10 K10 K10
#define K1000 K100 K100 K100 K100 K100 K100 K100 K100 K100 K100
#define X8    "x: y\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\n"
#define X63   X8 X8 X8 X8 X8 X8 X8 "x: y\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\n"
#define KEEP  false, true /* no HEAD, and the connection stays */

static const struct row {
    const char *name, *src, *in;
    unsigned status; /* 0: a request */
    const char *path, *query, *host, *authorization;
    bool head, keep;
} rows[] = {
    /* first lines */
    {"get", "RFC 9112 3", "GET / HTTP/1.1\r\n" H END, 0, "/", "", "a", "", KEEP},
    {"head", "RFC 9110 9.3.2", "HEAD /x HTTP/1.1\r\n" H END, 0, "/x", "", "a", "", true, true},
    {"query", "RFC 9112 3.2.1", "GET /a?b=c?d HTTP/1.1\r\n" H END, 0, "/a", "b=c?d", "a", "", KEEP},
    {"nothing is decoded", "ours", "GET /%2e%00/../ HTTP/1.1\r\n" H END, 0, "/%2e%00/../", "", "a",
     "", KEEP},
    {"longest target", "ours", "GET /" K1000 K10 K10 "kkk HTTP/1.1\r\n" H END, 0,
     "/" K1000 K10 K10 "kkk", "", "a", "", KEEP},
    {"target too long", "RFC 9110 15.5.15", "GET /" K1000 K10 K10 "kkkk HTTP/1.1\r\n" H END,
     .status = 414},
    {"target without an end", "ours", "GET /" K1000 K100, .status = 414},
    {"old version", "RFC 9112 2.3", "GET / HTTP/1.0\r\n" END, 0, "/", "", "", "", false, false},
    {"later minor version", "RFC 9110 2.5", "GET / HTTP/1.9\r\n" H END, 0, "/", "", "a", "", KEEP},
    {"HTTP/2", "RFC 9110 15.6.6", "GET / HTTP/2.0\r\n" H END, .status = 505},
    {"HTTP/2 preface", "RFC 9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .status = 505},
    {"HTTP/0.9", "RFC 9112 C.1", "GET /\r\n", .status = 400},
    {"version without number", "RFC 9112 2.3", "GET / HTTP/x.1\r\n" H END, .status = 400},
    {"lower case version", "RFC 9112 2.3", "GET / http/1.1\r\n" H END, .status = 400},
    {"longer version", "RFC 9112 2.3", "GET / HTTP/1.10\r\n" H END, .status = 400},
    {"two blanks", "RFC 9112 3", "GET  / HTTP/1.1\r\n" H END, .status = 400},
    {"blank behind", "RFC 9112 3", "GET / HTTP/1.1 \r\n" H END, .status = 400},
    {"tab for blank", "RFC 9112 3", "GET\t/\tHTTP/1.1\r\n" H END, .status = 400},
    {"empty line in front", "ours; RFC 9112 2.2 allows it", "\r\nGET / HTTP/1.1\r\n" H END,
     .status = 400},
    {"blank in front", "RFC 9112 3", " GET / HTTP/1.1\r\n" H END, .status = 400},
    {"absolute form", "ours: no proxy", "GET http://a/ HTTP/1.1\r\n" H END, .status = 400},
    {"asterisk", "RFC 9112 3.2.4", "GET * HTTP/1.1\r\n" H END, .status = 400},
    {"fragment", "RFC 9112 3.2", "GET /#a HTTP/1.1\r\n" H END, .status = 400},
    {"byte above ASCII", "RFC 9112 3.2", "GET /\xc3\xa4 HTTP/1.1\r\n" H END, .status = 400},
    {"post", "RFC 9110 15.5.6", "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx",
     .status = 405},
    {"options", "RFC 9110 15.5.6", "OPTIONS / HTTP/1.1\r\n" H END, .status = 405},
    {"lower case method", "RFC 9110 9.1", "get / HTTP/1.1\r\n" H END, .status = 405},
    {"no method", "RFC 9112 3", "G(T / HTTP/1.1\r\n" H END, .status = 400},
    {"LF alone", "ours; RFC 9112 2.2 allows it", "GET / HTTP/1.1\n" H END, .status = 400},
    {"CR alone", "RFC 9112 2.2", "GET / HTTP/1.1\rx", .status = 400},
    {"NUL", "RFC 9110 5.5", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", .status = 400},
    /* other protocols, told at their first byte */
    {"TLS", "ours", "\x16\x03\x01\x02", .status = 400},
    {"memcached, binary", "ours", "\x80\x10", .status = 400},
    /* headers */
    {"authorization", "RFC 9110 11.6.2",
     "GET / HTTP/1.1\r\n" H "authorization: Bearer x y \r\n\r\n", 0, "/", "", "a", "Bearer x y",
     KEEP},
    {"blanks around", "RFC 9112 5.1", "GET / HTTP/1.1\r\nHOST:\t b:1 \t\r\n\r\n", 0, "/", "", "b:1",
     "", KEEP},
    {"empty host", "RFC 9112 3.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, "/", "", "", "", KEEP},
    {"no host", "RFC 9112 3.2", "GET / HTTP/1.1\r\n\r\n", .status = 400},
    {"two hosts", "RFC 9112 3.2", "GET / HTTP/1.1\r\n" H H END, .status = 400},
    {"two authorizations", "RFC 9110 5.3",
     "GET / HTTP/1.1\r\n" H "Authorization: a\r\nAuthorization: b\r\n\r\n", .status = 400},
    {"no body", "RFC 9110 8.6", "GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0, "/", "", "a",
     "", KEEP},
    {"body", "ours", "GET / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", .status = 413},
    {"two lengths", "RFC 9112 6.3",
     "GET / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 0\r\n", .status = 400},
    {"length with sign", "RFC 9110 8.6", "GET / HTTP/1.1\r\n" H "Content-Length: +0\r\n\r\n",
     .status = 400},
    {"list of lengths", "ours", "GET / HTTP/1.1\r\n" H "Content-Length: 0, 0\r\n\r\n",
     .status = 400},
    {"chunks", "ours", "GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     .status = 413},
    {"blank before colon", "RFC 9112 5.1", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", .status = 400},
    {"folded", "RFC 9112 5.2", "GET / HTTP/1.1\r\n" H "x: y\r\n z\r\n\r\n", .status = 400},
    {"no colon", "RFC 9112 5", "GET / HTTP/1.1\r\n" H "x\r\n\r\n", .status = 400},
    {"no name", "RFC 9112 5", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", .status = 400},
    {"64 headers", "ours", "GET / HTTP/1.1\r\n" H X63 END, 0, "/", "", "a", "", KEEP},
    {"65 headers", "ours", "GET / HTTP/1.1\r\n" H X63 "x: y\r\n" END, .status = 431},
    {"bytes above ASCII in a value", "RFC 9110 5.5", "GET / HTTP/1.1\r\n" H "x: \xc3\xa4\r\n\r\n",
     0, "/", "", "a", "", KEEP},
    /* the connection */
    {"close", "RFC 9112 9.6", "GET / HTTP/1.1\r\n" H "Connection: x, CLOSE\r\n\r\n", 0, "/", "",
     "a", "", false, false},
    {"keep old", "RFC 9112 9.3", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, "/", "", "",
     "", KEEP},
    {"keep and close", "RFC 9112 9.3",
     "GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", 0, "/", "", "", "",
     false, false},
};

struct outcome {
    enum http_rc rc;
    unsigned status;
    size_t used;
    struct http_request request;
};

/* From a copy of exactly that size; *ret_copy backs the request. */
static struct outcome parse(const char *in, size_t len, struct bytes *ret_copy)
{
    struct outcome outcome = {.status = 0};
    *ret_copy = exact(in, len);
    outcome.rc = http_parse(*ret_copy, &outcome.request, &outcome.used, &outcome.status);
    return outcome;
}

static void whole_check(const struct row *row, const char *in, size_t len)
{
    struct bytes copy;
    const struct outcome got = parse(in, len, &copy);
    const struct http_request *request = &got.request;
    if (row->status != 0) {
        if (got.rc != HTTP_BAD || got.status != row->status)
            fail_msg("%s: %d, status %u", row->name, (int)got.rc, got.status);
    } else if (got.rc != HTTP_OK || got.used != strlen(row->in) ||
               !bytes_is(request->path, row->path) || !bytes_is(request->query, row->query) ||
               !bytes_is(request->host, row->host) ||
               !bytes_is(request->authorization, row->authorization) ||
               (request->method == HTTP_HEAD) != row->head || request->keep_alive != row->keep) {
        fail_msg("%s: %d, status %u, used %zu", row->name, (int)got.rc, got.status, got.used);
    }
    exact_free(copy);
}

/* A beginning asks for more, or says already what the whole says. */
static void cut_check(const struct row *row)
{
    for (size_t len = 0; len < strlen(row->in); len++) {
        struct bytes copy;
        const struct outcome got = parse(row->in, len, &copy);
        exact_free(copy);
        if (got.rc == HTTP_MORE ||
            (row->status != 0 && got.rc == HTTP_BAD && got.status == row->status))
            continue;
        fail_msg("%s, %zu bytes of it: %d, status %u", row->name, len, (int)got.rc, got.status);
    }
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char more[4096];
        whole_check(&rows[i], rows[i].in, strlen(rows[i].in));
        cut_check(&rows[i]);
        const int len = snprintf(more, sizeof(more), "%sGET /next HTTP/1.1\r\n", rows[i].in);
        whole_check(&rows[i], more, (size_t)len);
    }
}

/* Whatever it is, 8192 bytes are enough to say so. */
static void test_long(void **state)
{
    (void)state;
    static const char line[] = "GET / HTTP/1.1\r\nHost: a\r\nx: ";
    char in[HTTP_HEAD_BYTES_MAX + 4];
    memset(in, 'y', sizeof(in));
    memcpy(in, line, sizeof(line) - 1);
    struct bytes copy;
    struct outcome got = parse(in, HTTP_HEAD_BYTES_MAX - 1, &copy);
    assert_int_equal(got.rc, HTTP_MORE);
    exact_free(copy);
    got = parse(in, HTTP_HEAD_BYTES_MAX, &copy);
    assert_int_equal(got.rc, HTTP_BAD);
    assert_int_equal(got.status, 431);
    exact_free(copy);
    memcpy(in + HTTP_HEAD_BYTES_MAX - 4, "\r\n\r\n", 4); /* just fits */
    got = parse(in, HTTP_HEAD_BYTES_MAX, &copy);
    assert_int_equal(got.rc, HTTP_OK);
    exact_free(copy);
    in[HTTP_HEAD_BYTES_MAX - 4] = 'y';
    memcpy(in + HTTP_HEAD_BYTES_MAX - 3, "\r\n\r\n", 4); /* just does not */
    got = parse(in, HTTP_HEAD_BYTES_MAX + 1, &copy);
    assert_int_equal(got.rc, HTTP_BAD);
    assert_int_equal(got.status, 431);
    exact_free(copy);
}

static void test_query(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        bool found;
        uint64_t value;
    } table[] = {
        {"since=12", true, 12},       {"a=1&since=3", true, 3}, {"since=3&since=4", true, 3},
        {"since=", false, 0},         {"since", false, 0},      {"", false, 0},
        {"since=1001", false, 0},     {"since=-1", false, 0},   {"sinc=1", false, 0},
        {"since=1000&x", true, 1000}, {"&&since=5", true, 5},   {"since=0x5", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        uint64_t value = 0;
        const struct bytes query = exact(table[i].query, strlen(table[i].query));
        const bool found = http_query_u64(query, "since", 1000, &value);
        if (found != table[i].found || value != table[i].value)
            fail_msg("%s: %d, %llu", table[i].query, found, (unsigned long long)value);
        exact_free(query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
