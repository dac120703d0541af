/* test_event.c — from events to lines in a file, by a clock of the test's: windows, what is told at
 * once, rotation, the end. The thread runs in the last test only.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "event/event.h"

struct fixture {
    char folder[64], path[96], old_path[96], sink[128];
    struct events *events;
    struct event_source *sources[2];
};

static int prepare(void **state)
{
    struct fixture *fix = calloc(1, sizeof(*fix));
    (void)snprintf(fix->folder, sizeof(fix->folder), "/tmp/matte-events-XXXXXX");
    assert_non_null(mkdtemp(fix->folder));
    (void)snprintf(fix->path, sizeof(fix->path), "%s/log", fix->folder);
    (void)snprintf(fix->old_path, sizeof(fix->old_path), "%s/log.1", fix->folder);
    (void)snprintf(fix->sink, sizeof(fix->sink), "file:%s", fix->path);
    *state = fix;
    return 0;
}

static int tidy_up(void **state)
{
    struct fixture *fix = *state;
    (void)unlink(fix->path);
    (void)unlink(fix->old_path);
    assert_int_equal(rmdir(fix->folder), 0);
    free(fix);
    return 0;
}

static void begin(struct fixture *fix, bool sink, bool all)
{
    char error[EVENTS_ERROR_BYTES];
    const struct events_config config = {
        .sinks = sink ? fix->sink : NULL, .window_s = 10, .all = all};
    assert_int_equal(events_new(&config, &fix->events, error), 0);
    for (size_t i = 0; i < COUNT_OF(fix->sources); i++)
        assert_int_equal(event_source_new(fix->events, &fix->sources[i]), 0);
}

static void note(struct event_source *source, enum event_type type, uint8_t net)
{
    const struct ip_peer from = {
        .ip = ip_of_v4((const uint8_t[]){10, 0, net, 1}), .port = 1, .family = IP_V4};
    event_note_at(source, &(const struct event){.type = type, .from = &from, .bytes_in = 1}, 5000);
}

static char *read_all(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, (1 << 20) - 1, file) < (1 << 20) - 1);
    (void)fclose(file);
    return text;
}

/* How many lines there are, how many of them are about `type`, and the counts of these. */
struct found {
    unsigned lines, ours;
    uint64_t count;
};

static struct found look(const char *path, enum event_type type)
{
    char want[64];
    (void)snprintf(want, sizeof(want), "\"mc\":{\"type\":\"%s\"", event_name(type));
    struct found found = {0};
    char *text = read_all(path);
    for (char *line = text, *lf; (lf = strchr(line, '\n')) != NULL; line = lf + 1) {
        *lf = '\0';
        found.lines++;
        if (strstr(line, want) == NULL)
            continue;
        const char *count = strstr(line, "\"count\":");
        assert_non_null(count);
        found.ours++;
        found.count += strtoull(count + 8, NULL, 10);
    }
    free(text);
    return found;
}

static uint64_t count_of(struct fixture *fix, enum event_type type)
{
    uint64_t counts[EVENT_TYPE_COUNT];
    events_sum(fix->events, counts);
    return counts[type];
}

/* ── tests ────────────────────────────────────────────────────────────────────────────────── */

static void counted_without_sinks(void **state)
{
    struct fixture *fix = *state;
    begin(fix, false, false);
    event_note(NULL, &(const struct event){.type = EVENT_CONN_DENIED});
    note(fix->sources[0], EVENT_CONN_DENIED, 1);
    note(fix->sources[1], EVENT_CONN_DENIED, 2);
    note(fix->sources[1], EVENT_LOGIN_OK, 2);
    assert_int_equal(count_of(fix, EVENT_CONN_DENIED), 2);
    assert_int_equal(count_of(fix, EVENT_LOGIN_OK), 1);
    events_reset(fix->events);
    note(fix->sources[0], EVENT_CONN_DENIED, 1);
    assert_int_equal(count_of(fix, EVENT_CONN_DENIED), 1);
    assert_int_equal(count_of(fix, EVENT_LOGIN_OK), 0);
    struct events_sink_info info;
    assert_false(events_sink_get(fix->events, 0, &info));
    events_reopen(fix->events); /* nothing */
    events_free(fix->events);
}

static void a_window_is_a_line_per_kind(void **state)
{
    struct fixture *fix = *state;
    begin(fix, true, false);
    assert_int_equal(events_step(fix->events, 1000), 11000);
    for (unsigned i = 0; i < 100000; i++)
        note(fix->sources[i % 2], EVENT_CONN_DENIED, i % 3 == 0);
    note(fix->sources[0], EVENT_LOGIN_OK, 0); /* counted only */
    assert_int_equal(events_step(fix->events, 10999), 11000);
    assert_int_equal(look(fix->path, EVENT_CONN_DENIED).lines, 0);
    assert_int_equal(events_step(fix->events, 11000), 21000);
    const struct found found = look(fix->path, EVENT_CONN_DENIED);
    assert_int_equal(found.lines, 2);
    assert_int_equal(found.count, 100000);
    /* The next one begins from nothing; one late by far does not shift those that follow. */
    assert_int_equal(events_step(fix->events, 21500), 31000);
    assert_int_equal(look(fix->path, EVENT_CONN_DENIED).lines, 2);
    assert_int_equal(events_step(fix->events, 99000), 109000);
    struct events_sink_info info;
    assert_true(events_sink_get(fix->events, 0, &info));
    assert_string_equal(info.name, fix->sink);
    assert_int_equal(info.lines, 2);
    assert_int_equal(info.lost, 0);
    events_reset(fix->events);
    assert_true(events_sink_get(fix->events, 0, &info));
    assert_int_equal(info.lines, 0);
    struct stat stat_of;
    assert_int_equal(stat(fix->path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0137, 0);
    events_free(fix->events);
}

static void all_types_are_told_when_asked(void **state)
{
    struct fixture *fix = *state;
    begin(fix, true, true);
    (void)events_step(fix->events, 1000);
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++)
        note(fix->sources[0], (enum event_type)type, 0);
    (void)events_step(fix->events, 11000);
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++)
        assert_int_equal(look(fix->path, (enum event_type)type).count, 1);
    events_free(fix->events);
}

/* At once, ten times a second at most; what else is in the window stays there. */
static void what_matters_is_told_at_once(void **state)
{
    struct fixture *fix = *state;
    begin(fix, true, false);
    (void)events_step(fix->events, 1000);
    note(fix->sources[0], EVENT_CONN_DENIED, 0);
    note(fix->sources[1], EVENT_ADMIN_VERB, 0);
    assert_int_equal(events_step(fix->events, 1001), 11000);
    assert_int_equal(look(fix->path, EVENT_ADMIN_VERB).lines, 1);
    note(fix->sources[1], EVENT_ADMIN_VERB, 0);
    note(fix->sources[0], EVENT_ADMIN_VERB, 0);
    assert_int_equal(events_step(fix->events, 1050), 1101);
    assert_int_equal(look(fix->path, EVENT_ADMIN_VERB).lines, 1);
    assert_int_equal(events_step(fix->events, 1101), 11000);
    assert_int_equal(look(fix->path, EVENT_ADMIN_VERB).count, 3);
    note(fix->sources[0], EVENT_CONN_DENIED, 0);
    (void)events_step(fix->events, 11000);
    assert_int_equal(look(fix->path, EVENT_ADMIN_VERB).lines, 3);
    const struct found found = look(fix->path, EVENT_CONN_DENIED);
    assert_int_equal(found.ours, 1);
    assert_int_equal(found.count, 2);
    events_free(fix->events);
}

static void a_renamed_file_is_opened_anew(void **state)
{
    struct fixture *fix = *state;
    begin(fix, true, false);
    (void)events_step(fix->events, 1000);
    note(fix->sources[0], EVENT_CONN_DENIED, 0);
    (void)events_step(fix->events, 11000);
    assert_int_equal(rename(fix->path, fix->old_path), 0);
    note(fix->sources[0], EVENT_CONN_DENIED, 0);
    (void)events_step(fix->events, 21000); /* nobody has said anything: still the old one */
    events_reopen(fix->events);
    note(fix->sources[0], EVENT_CONN_DENIED, 0);
    (void)events_step(fix->events, 31000);
    assert_int_equal(look(fix->old_path, EVENT_CONN_DENIED).lines, 2);
    assert_int_equal(look(fix->path, EVENT_CONN_DENIED).lines, 1);
    /* One that cannot be opened: the old one stays. */
    assert_int_equal(rename(fix->path, fix->old_path), 0);
    assert_int_equal(mkdir(fix->path, 0700), 0);
    events_reopen(fix->events);
    note(fix->sources[0], EVENT_CONN_DENIED, 0);
    (void)events_step(fix->events, 41000);
    assert_int_equal(look(fix->old_path, EVENT_CONN_DENIED).lines, 2);
    assert_int_equal(rmdir(fix->path), 0);
    events_free(fix->events);
}

static void the_end_tells_what_is_left(void **state)
{
    struct fixture *fix = *state;
    begin(fix, true, false);
    (void)events_step(fix->events, 1000);
    note(fix->sources[0], EVENT_CONN_DENIED, 0);
    note(fix->sources[1], EVENT_CONN_DENIED, 0);
    events_free(fix->events);
    assert_int_equal(look(fix->path, EVENT_CONN_DENIED).count, 2);
}

static void the_thread_does_it_by_itself(void **state)
{
    struct fixture *fix = *state;
    begin(fix, true, false);
    assert_int_equal(events_start(fix->events), 0);
    note(fix->sources[0], EVENT_RULES_REJECTED, 0);
    struct events_sink_info info = {0};
    for (unsigned i = 0; i < 1000 && info.lines == 0; i++) {
        assert_true(events_sink_get(fix->events, 0, &info));
        (void)nanosleep(&(const struct timespec){.tv_nsec = 10000000}, NULL);
    }
    assert_int_equal(info.lines, 1);
    note(fix->sources[1], EVENT_CONN_DENIED, 0);
    events_free(fix->events);
    assert_int_equal(look(fix->path, EVENT_CONN_DENIED).count, 1);
    assert_int_equal(look(fix->path, EVENT_RULES_REJECTED).count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, tidy_up)
        TEST(counted_without_sinks),         TEST(a_window_is_a_line_per_kind),
        TEST(all_types_are_told_when_asked), TEST(what_matters_is_told_at_once),
        TEST(a_renamed_file_is_opened_anew), TEST(the_end_tells_what_is_left),
        TEST(the_thread_does_it_by_itself),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
