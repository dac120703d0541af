/* test_event_sink.c — how sinks are named, and what they do when nobody takes their lines: by a
 * clock of the test's, against sockets of the test's.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "event/sink.h"

struct fixture {
    char folder[64], path[96];
    struct event_sink sinks[EVENT_SINKS_MAX];
};

static int prepare(void **state)
{
    struct fixture *fix = calloc(1, sizeof(*fix));
    (void)snprintf(fix->folder, sizeof(fix->folder), "/tmp/matte-sink-XXXXXX");
    assert_non_null(mkdtemp(fix->folder));
    (void)snprintf(fix->path, sizeof(fix->path), "%s/at", fix->folder);
    *state = fix;
    return 0;
}

static int tidy_up(void **state)
{
    struct fixture *fix = *state;
    (void)unlink(fix->path);
    assert_int_equal(rmdir(fix->folder), 0);
    free(fix);
    return 0;
}

static struct event_sink *open_sink(struct fixture *fix, const char *kind, uint64_t now_ms)
{
    char text[160], error[EVENT_ERROR_BYTES] = "";
    (void)snprintf(text, sizeof(text), "%s:%s", kind, fix->path);
    if (event_sinks_parse(text, fix->sinks, error) != 1 ||
        event_sink_init(&fix->sinks[0], now_ms, error) != 0)
        fail_msg("%s", error);
    return &fix->sinks[0];
}

static int listen_at(const struct fixture *fix, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, fix->path, strlen(fix->path) + 1);
    (void)unlink(fix->path);
    const int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void put(struct event_sink *sink, unsigned number)
{
    char line[64];
    const int len = snprintf(line, sizeof(line), "{\"line\":%u}\n", number);
    event_sink_put(sink, bytes_of(line, (size_t)len), EVENT_CONN_DENIED, 1767225600123u);
}

static void expect(int fd, const char *want)
{
    char got[256];
    const ssize_t len = read(fd, got, sizeof(got) - 1);
    got[len > 0 ? len : 0] = '\0';
    assert_string_equal(got, want);
}

static uint64_t lost(const struct event_sink *sink)
{
    return atomic_load(&sink->lost);
}

static uint64_t lines(const struct event_sink *sink)
{
    return atomic_load(&sink->lines);
}

/* ── names ────────────────────────────────────────────────────────────────────────────────── */

static void good_names(void **state)
{
    struct fixture *fix = *state;
    static const struct {
        const char *text;
        int count;
        enum event_sink_kind kinds[3];
        const char *targets[3];
    } rows[] = {
        {"stderr", 1, {EVENT_SINK_STDERR}, {""}},
        {"file:/a:b", 1, {EVENT_SINK_FILE}, {"/a:b"}},
        {"file:a", 1, {EVENT_SINK_FILE}, {"a"}},
        {"unix:/run/x", 1, {EVENT_SINK_UNIX}, {"/run/x"}},
        {"syslog", 1, {EVENT_SINK_SYSLOG_UNIX}, {"/dev/log"}},
        {"syslog:", 1, {EVENT_SINK_SYSLOG_UNIX}, {"/dev/log"}},
        {"syslog:/run/log", 1, {EVENT_SINK_SYSLOG_UNIX}, {"/run/log"}},
        {"syslog:127.0.0.1:514", 1, {EVENT_SINK_SYSLOG_UDP}, {"127.0.0.1:514"}},
        {"syslog:[::1]:514", 1, {EVENT_SINK_SYSLOG_UDP}, {"[::1]:514"}},
        {"stderr+file:/x+syslog",
         3,
         {EVENT_SINK_STDERR, EVENT_SINK_FILE, EVENT_SINK_SYSLOG_UNIX},
         {"", "/x", "/dev/log"}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char error[EVENT_ERROR_BYTES] = "";
        const int count = event_sinks_parse(rows[i].text, fix->sinks, error);
        if (count != rows[i].count)
            fail_msg("%s: %d %s", rows[i].text, count, error);
        for (int k = 0; k < count; k++) {
            assert_int_equal(fix->sinks[k].kind, rows[i].kinds[k]);
            assert_string_equal(fix->sinks[k].target, rows[i].targets[k]);
            event_sink_fini(&fix->sinks[k]);
        }
    }
}

static void bad_names(void **state)
{
    struct fixture *fix = *state;
    static const char *const rows[][2] = {
        {"", "not a sink"},
        {"+", "not a sink"},
        {"stderr+", "not a sink"},
        {"stderr:x", "stands alone"},
        {"stderrx", "not a sink"},
        {"File:/x", "not a sink"},
        {"file", "needs a path"},
        {"file:", "needs a path"},
        {"file:/x+unix:", "needs a path"},
        {"syslog:host", "not syslog:HOST:PORT"},
        {"syslog:host:", "not syslog:HOST:PORT"},
        {"syslog::514", "not syslog:HOST:PORT"},
        {"syslog:::1:514", "in brackets"},
        {"syslog:127.0.0.1:port", "1..65535"},
        {"syslog:127.0.0.1:65536", "1..65535"},
        {"syslog:127.0.0.1:0", "1..65535"},
        {"file:1+file:2+file:3+file:4+file:5+file:6+file:7+file:8+file:9", "8 at most"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char error[EVENT_ERROR_BYTES] = "";
        const int count = event_sinks_parse(rows[i][0], fix->sinks, error);
        if (count >= 0 || strstr(error, rows[i][1]) == NULL)
            fail_msg("%s: %d %s", rows[i][0], count, error);
    }
    char text[256] = "unix:", error[EVENT_ERROR_BYTES];
    memset(text + 5, 'p', 108);
    assert_true(event_sinks_parse(text, fix->sinks, error) < 0);
    assert_non_null(strstr(error, "107 bytes"));
    text[5 + 107] = '\0';
    assert_int_equal(event_sinks_parse(text, fix->sinks, error), 1);
    event_sink_fini(&fix->sinks[0]);
}

static void a_file_that_cannot_be_opened(void **state)
{
    struct fixture *fix = *state;
    char error[EVENT_ERROR_BYTES];
    assert_int_equal(event_sinks_parse("file:/nowhere/at/all", fix->sinks, error), 1);
    assert_int_equal(event_sink_init(&fix->sinks[0], 0, error), -ENOENT);
    assert_string_equal(error, "-o events: file:/nowhere/at/all: No such file or directory");
    event_sink_fini(&fix->sinks[0]);
}

/* ── streams ──────────────────────────────────────────────────────────────────────────────── */

static void a_stream(void **state)
{
    struct fixture *fix = *state;
    const int listener = listen_at(fix, SOCK_STREAM);
    struct event_sink *sink = open_sink(fix, "unix", 0);
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(event_sink_due_ms(sink), UINT64_MAX);
    put(sink, 1);
    put(sink, 2);
    assert_int_equal(event_sink_due_ms(sink), 0);
    event_sink_send(sink, 0);
    expect(fd, "{\"line\":1}\n{\"line\":2}\n");
    assert_int_equal(lines(sink), 2);
    /* It ends: noticed by poll, opened again with the next line, after a pause. */
    short events;
    assert_true(event_sink_poll(sink, &events));
    close(fd);
    event_sink_polled(sink, POLLHUP, 5000);
    assert_false(event_sink_poll(sink, &events));
    put(sink, 3);
    assert_int_equal(event_sink_due_ms(sink), 6000);
    event_sink_send(sink, 5999);
    assert_int_equal(lines(sink), 2);
    event_sink_send(sink, 6000);
    assert_int_equal(lines(sink), 3);
    const int again = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(again >= 0);
    expect(again, "{\"line\":3}\n");
    event_sink_fini(sink);
    close(again);
    close(listener);
}

/* Nobody reads: what fits waits, the rest is counted, and nothing of a line is left out. */
static void a_reader_that_does_not_read(void **state)
{
    enum { LINES = 60000 };
    struct fixture *fix = *state;
    const int listener = listen_at(fix, SOCK_STREAM);
    struct event_sink *sink = open_sink(fix, "unix", 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    for (unsigned i = 0; i < LINES; i++) {
        put(sink, 100000 + i); /* lines of equal length */
        event_sink_send(sink, 0);
    }
    short events;
    assert_true(event_sink_poll(sink, &events));
    assert_int_equal(events, POLLOUT);
    assert_int_equal(event_sink_due_ms(sink), UINT64_MAX);
    assert_true(lost(sink) > 0);
    const size_t line_bytes = strlen("{\"line\":100000}\n");
    assert_int_equal(lines(sink) + lost(sink) + (sink->to - sink->from) / line_bytes, LINES);
    /* Then it reads all: the first ones, in order. */
    char *all = malloc(LINES * line_bytes);
    assert_non_null(all);
    size_t got = 0;
    for (ssize_t some; (some = read(fd, all + got, LINES * line_bytes - got)) > 0;) {
        got += (size_t)some;
        event_sink_polled(sink, POLLOUT, 0);
        event_sink_send(sink, 0);
    }
    assert_int_equal(got, lines(sink) * line_bytes);
    assert_int_equal(lines(sink) + lost(sink), LINES);
    for (unsigned i = 0; i < lines(sink); i++) {
        char want[64];
        (void)snprintf(want, sizeof(want), "{\"line\":%u}\n", 100000 + i);
        assert_memory_equal(all + i * line_bytes, want, line_bytes);
    }
    free(all);
    close(fd);
    event_sink_fini(sink);
    close(listener);
}

/* A line that was cut by the end of a connection is sent whole on the next. */
static void a_cut_line_is_sent_again(void **state)
{
    struct fixture *fix = *state;
    const int listener = listen_at(fix, SOCK_STREAM);
    struct event_sink *sink = open_sink(fix, "unix", 0);
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    unsigned number = 0;
    while (!(sink->full && sink->sent > 0) && number < 100000) {
        for (unsigned i = 0; i < 7; i++)
            put(sink, number++);
        event_sink_send(sink, 0);
        if (sink->full && sink->sent == 0) { /* make room for a part of one */
            char some[11];
            assert_true(read(fd, some, sizeof(some)) > 0);
            event_sink_polled(sink, POLLOUT, 0);
        }
    }
    close(fd);
    const uint64_t before = lines(sink);
    event_sink_polled(sink, POLLHUP, 0);
    event_sink_send(sink, 1000);
    const int again = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    char first[2] = "";
    assert_int_equal(read(again, first, 1), 1);
    assert_string_equal(first, "{");
    assert_true(lines(sink) > before);
    event_sink_fini(sink);
    close(again);
    close(listener);
}

/* Nobody listens at first: tried after 1 s, 2 s, 4 s, ... 30 s; then all comes that has waited. */
static void an_absent_reader(void **state)
{
    struct fixture *fix = *state;
    struct event_sink *sink = open_sink(fix, "unix", 1000);
    put(sink, 1);
    uint64_t now_ms = 1000;
    static const unsigned pauses[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (size_t i = 0; i < COUNT_OF(pauses); i++) {
        now_ms += pauses[i];
        assert_int_equal(event_sink_due_ms(sink), now_ms);
        event_sink_send(sink, now_ms - 1);
        assert_int_equal(event_sink_due_ms(sink), now_ms);
        event_sink_send(sink, now_ms);
    }
    const int listener = listen_at(fix, SOCK_STREAM);
    put(sink, 2);
    event_sink_send(sink, now_ms + 30000);
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    expect(fd, "{\"line\":1}\n{\"line\":2}\n");
    assert_int_equal(lost(sink), 0);
    event_sink_fini(sink);
    close(fd);
    close(listener);
}

/* A pipe that nobody reads is no reason not to start, and no reason to wait. */
static void a_pipe(void **state)
{
    struct fixture *fix = *state;
    assert_int_equal(mkfifo(fix->path, 0600), 0);
    struct event_sink *sink = open_sink(fix, "file", 0);
    put(sink, 1);
    event_sink_send(sink, 500);
    const int fd = open(fix->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    event_sink_send(sink, 1000);
    expect(fd, "{\"line\":1}\n");
    close(fd);
    put(sink, 2);
    event_sink_send(sink, 2000);
    const int again = open(fix->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    event_sink_send(sink, 3000);
    expect(again, "{\"line\":2}\n");
    close(again);
    event_sink_fini(sink);
}

/* /dev/full takes nothing, ever. */
static void a_full_disk(void **state)
{
    struct fixture *fix = *state;
    char error[EVENT_ERROR_BYTES];
    assert_int_equal(event_sinks_parse("file:/dev/full", fix->sinks, error), 1);
    struct event_sink *sink = &fix->sinks[0];
    assert_int_equal(event_sink_init(sink, 0, error), 0);
    for (unsigned i = 0; i < 30000; i++) {
        put(sink, i);
        event_sink_send(sink, 10);
    }
    assert_int_equal(lines(sink), 0);
    assert_true(lost(sink) > 0);
    assert_int_equal(event_sink_due_ms(sink), 1010);
    event_sink_fini(sink);
}

/* A file that may not grow takes half a line. The name is opened again meanwhile, once as the same
 * file, once as a new one. */
static void half_a_line(void **state)
{
    struct fixture *fix = *state;
    struct rlimit all, some;
    struct event_sink *sink = open_sink(fix, "file", 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    some = all;
    for (unsigned i = 0; i < 2; i++) {
        some.rlim_cur = (rlim_t)lseek(sink->fd, 0, SEEK_END) + 15;
        put(sink, 1);
        put(sink, 2);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &some), 0);
        event_sink_send(sink, 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        assert_int_equal(sink->sent, 4);
        if (i == 1)
            assert_int_equal(unlink(fix->path), 0);
        event_sink_reopen(sink);
        event_sink_send(sink, 0);
        const int fd = open(fix->path, O_RDONLY | O_CLOEXEC);
        expect(fd, i == 0 ? "{\"line\":1}\n{\"line\":2}\n" : "{\"line\":2}\n");
        close(fd);
    }
    event_sink_fini(sink);
}

/* ── packets ──────────────────────────────────────────────────────────────────────────────── */

static void packets(void **state)
{
    struct fixture *fix = *state;
    const int fd = listen_at(fix, SOCK_DGRAM);
    struct event_sink *sink = open_sink(fix, "unix", 0);
    put(sink, 1);
    put(sink, 2);
    event_sink_send(sink, 0);
    expect(fd, "{\"line\":1}");
    expect(fd, "{\"line\":2}");
    for (unsigned i = 0; i < 2000; i++)
        put(sink, i);
    event_sink_send(sink, 0); /* more than its queue takes */
    short events;
    assert_true(event_sink_poll(sink, &events));
    const uint64_t before = lines(sink);
    expect(fd, "{\"line\":0}");
    event_sink_polled(sink, POLLOUT, 0);
    event_sink_send(sink, 0);
    assert_true(lines(sink) > before);
    close(fd);
    event_sink_polled(sink, POLLOUT, 0);
    event_sink_send(sink, 0);
    assert_int_equal(event_sink_due_ms(sink), 1000);
    event_sink_fini(sink);
}

static void syslog_lines(void **state)
{
    struct fixture *fix = *state;
    const int fd = listen_at(fix, SOCK_DGRAM);
    struct event_sink *sink = open_sink(fix, "syslog", 0);
    put(sink, 1);
    event_sink_send(sink, 0);
    char want[256];
    (void)snprintf(want, sizeof(want),
                   "<85>1 2026-01-01T00:00:00.123000Z %s matted %ld conn_denied - {\"line\":1}",
                   sink->host, (long)getpid());
    expect(fd, want);
    assert_null(strchr(sink->host, ' '));
    event_sink_fini(sink);
    close(fd);
}

/* Over UDP a collector that is away is noticed when the system says so, a packet late. */
static void syslog_over_udp(void **state)
{
    struct fixture *fix = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char text[64], error[EVENT_ERROR_BYTES], got[256];
    (void)snprintf(text, sizeof(text), "syslog:127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(event_sinks_parse(text, fix->sinks, error), 1);
    struct event_sink *sink = &fix->sinks[0];
    assert_int_equal(event_sink_init(sink, 0, error), 0);
    put(sink, 1);
    event_sink_send(sink, 0);
    assert_true(recv(fd, got, sizeof(got), 0) > 0);
    close(fd);
    for (unsigned i = 0; i < 3; i++) {
        put(sink, i);
        event_sink_send(sink, 100000 * (i + 1)); /* loopback tells at once */
    }
    assert_int_equal(lost(sink), 2);
    assert_int_equal(sink->from, sink->to);
    event_sink_fini(sink);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the server does */
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, tidy_up)
        TEST(good_names),
        TEST(bad_names),
        TEST(a_file_that_cannot_be_opened),
        TEST(a_stream),
        TEST(a_reader_that_does_not_read),
        TEST(a_cut_line_is_sent_again),
        TEST(an_absent_reader),
        TEST(a_pipe),
        TEST(a_full_disk),
        TEST(half_a_line),
        TEST(packets),
        TEST(syslog_lines),
        TEST(syslog_over_udp),
    };
    return cmocka_run_group_tests_name("event sinks", tests, NULL, NULL);
}
