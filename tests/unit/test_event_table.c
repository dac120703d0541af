/* test_event_table.c — what is alike is one entry, nothing is left out of a count, and what an
 * entry says as a line.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>
#include <stdlib.h>

#include "event/line.h"
#include "event/table.h"
#include "support/kit.h"

enum { SEED = 7 };

static struct ip_peer peer_of(const char *text, uint16_t port)
{
    struct ip_peer peer = {.port = port};
    assert_true(ip_parse(bytes_str(text), &peer.ip));
    peer.family = ip_is_v4(&peer.ip) ? IP_V4 : IP_V6;
    return peer;
}

static void add(struct event_table *table, const struct event *event, uint64_t now_ms)
{
    struct event_place place;
    event_place_of(SEED, event, &place);
    event_table_add(table, &place, event, now_ms);
}

/* From a place: type, source and all that makes a difference in one line of a test. */
static void add_from(struct event_table *table, enum event_type type, const char *source,
                     const char *rule, uint64_t now_ms)
{
    const struct ip_peer from = peer_of(source, 1234);
    const struct event event = {
        .type = type, .from = &from, .to_port = 11211, .rule = bytes_str(rule), .bytes_in = 10};
    add(table, &event, now_ms);
}

static uint64_t total(struct event_table *table, enum event_type type)
{
    uint64_t sum = 0;
    struct event_entry *entry;
    for (size_t i = 0; (entry = event_table_at(table, i)) != NULL; i++)
        if (entry->key.type == type)
            sum += entry->count;
    return sum;
}

static void alike_is_one(void **state)
{
    (void)state;
    struct event_table *table = event_table_new(SEED);
    assert_non_null(table);
    add_from(table, EVENT_CONN_DENIED, "192.0.2.7", "deny a", 2000);
    add_from(table, EVENT_CONN_DENIED, "192.0.2.9", "deny a", 1000);
    add_from(table, EVENT_CONN_DENIED, "192.0.2.7", "deny a", 3000);
    assert_int_equal(table->count, 1);
    const struct event_entry *entry = event_table_at(table, 0);
    assert_int_equal(entry->count, 3);
    assert_int_equal(entry->bytes_in, 30);
    assert_int_equal(entry->first_ms, 1000);
    assert_int_equal(entry->last_ms, 3000);
    assert_int_equal(event_entry_sources(entry), 2);
    assert_false(entry->ports_differ);
    event_table_free(table);
}

static void what_makes_a_difference(void **state)
{
    (void)state;
    struct event_table *table = event_table_new(SEED);
    const struct ip_peer a = peer_of("192.0.2.7", 1), b = peer_of("192.0.3.7", 1),
                         c = peer_of("2001:db8:0:100::1", 1), d = peer_of("2001:db8:0:200::1", 1),
                         local = {.family = IP_LOCAL};
    const struct event base = {
        .type = EVENT_VERB_DENIED, .from = &a, .to_port = 1, .rule = bytes_str("x"), .verb = "get"};
    struct event events[16];
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(events); i++)
        events[i] = base;
    events[++count].type = EVENT_KEY_DENIED;
    events[++count].from = &b;
    events[++count].from = &c;
    events[++count].from = &d;
    events[++count].from = &local;
    events[++count].from = NULL;
    events[++count].to_port = 2;
    events[++count].rule = bytes_str("y");
    events[++count].rule = bytes_str("");
    events[++count].verb = "gets";
    events[++count].verb = NULL;
    events[++count].dry_run = true;
    count++;
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < count; i++)
            add(table, &events[i], 1);
    assert_int_equal(table->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(event_table_at(table, i)->count, 2);
    event_table_free(table);
}

/* A socket for both families gives IPv4 clients as mapped addresses. */
static void mapped_is_v4(void **state)
{
    (void)state;
    struct event_table *table = event_table_new(SEED);
    struct ip_peer a = peer_of("192.0.2.7", 1), b = peer_of("198.51.100.7", 1);
    a.family = b.family = IP_V6;
    add(table, &(const struct event){.type = EVENT_CONN_DENIED, .from = &a}, 1);
    add(table, &(const struct event){.type = EVENT_CONN_DENIED, .from = &b}, 1);
    assert_int_equal(table->count, 2);
    assert_int_equal(table->entries[0].key.family, IP_V4);
    event_table_free(table);
}

/* Long rules and verbs are cut; what is cut makes no difference. */
static void long_texts_are_cut(void **state)
{
    (void)state;
    struct event_table *table = event_table_new(SEED);
    char rule[2 * EVENT_RULE_BYTES_MAX], user[2 * EVENT_USER_BYTES_MAX];
    memset(rule, 'r', sizeof(rule));
    memset(user, 'u', sizeof(user));
    for (size_t len = EVENT_RULE_BYTES_MAX - 1; len < EVENT_RULE_BYTES_MAX + 3; len++)
        add(table,
            &(const struct event){.type = EVENT_LOGIN_FAILED,
                                  .rule = bytes_of(rule, len),
                                  .user = bytes_of(user, len),
                                  .verb = "a_verb_of_sixteen_bytes_and_more"},
            1);
    assert_int_equal(table->count, 2); /* one byte less, and all others */
    assert_int_equal(table->entries[1].count, 3);
    assert_int_equal(table->entries[1].user_bytes, EVENT_USER_BYTES_MAX);
    assert_false(table->entries[1].users_differ);
    char line[EVENT_LINE_BYTES_MAX];
    const size_t bytes = event_line_format(&table->entries[1], line);
    line[bytes - 1] = '\0';
    assert_non_null(strstr(line, "\"verb\":\"a_verb_of_sixtee\""));
    event_table_free(table);
}

static void no_type_pushes_out_another(void **state)
{
    (void)state;
    struct event_table *table = event_table_new(SEED);
    char text[IP_TEXT_BYTES];
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++)
        for (unsigned i = 0; i < 3 * EVENT_KINDS_MAX; i++) {
            (void)snprintf(text, sizeof(text), "10.%u.%u.1", i, type);
            add_from(table, (enum event_type)type, text, "", i + 1);
        }
    assert_int_equal(table->count, EVENT_ENTRIES_MAX);
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++) {
        assert_int_equal(total(table, (enum event_type)type), 3 * EVENT_KINDS_MAX);
        const struct event_entry *other = &table->others[type];
        assert_int_equal(other->count, 2 * EVENT_KINDS_MAX);
        assert_int_equal(other->bytes_in, 20 * EVENT_KINDS_MAX);
        assert_int_equal(other->first_ms, EVENT_KINDS_MAX + 1);
        assert_int_equal(other->last_ms, 3 * EVENT_KINDS_MAX);
        assert_true(other->key.other);
    }
    event_table_clear(table);
    assert_null(event_table_at(table, EVENT_TYPE_COUNT));
    add_from(table, EVENT_CONN_DENIED, "10.0.0.1", "", 5);
    assert_int_equal(total(table, EVENT_CONN_DENIED), 1);
    event_table_free(table);
}

/* Random events into several tables, merged, against sums kept beside them. */
static void merging_loses_nothing(void **state)
{
    (void)state;
    enum { TABLES = 3, EVENTS = 200000 };
    uint64_t random = kit_seed_init(0, NULL);
    struct event_table *merged = event_table_new(SEED), *tables[TABLES];
    uint64_t counts[EVENT_TYPE_COUNT] = {0}, bytes[EVENT_TYPE_COUNT] = {0};
    for (unsigned i = 0; i < TABLES; i++)
        tables[i] = event_table_new(SEED);
    for (unsigned i = 0; i < EVENTS; i++) {
        const uint64_t value = kit_random(&random);
        const struct ip_peer from = {.family = IP_V6,
                                     .ip = {{0x20, 1, [5] = (uint8_t)(value % 50)}},
                                     .port = (uint16_t)(value >> 50)};
        const struct event event = {
            .type = (enum event_type)((value >> 8) % EVENT_TYPE_COUNT % 7),
            .from = value % 11 == 0 ? NULL : &from,
            .rule = bytes_of("abcdefgh", (value >> 16) % 8),
            .bytes_in = (uint32_t)((value >> 24) % 1000),
            .user = bytes_of("xyz", value % 3),
        };
        counts[event.type]++;
        bytes[event.type] += event.bytes_in;
        add(tables[(value >> 32) % TABLES], &event, 1000 + i);
        if (value % 5000 == 0) {
            event_table_merge(merged, tables[i % TABLES]);
            event_table_clear(tables[i % TABLES]);
        }
    }
    for (unsigned i = 0; i < TABLES; i++) {
        event_table_merge(merged, tables[i]);
        event_table_free(tables[i]);
    }
    struct event_entry *entry;
    for (size_t i = 0; (entry = event_table_at(merged, i)) != NULL; i++) {
        counts[entry->key.type] -= entry->count;
        bytes[entry->key.type] -= entry->bytes_in;
        assert_true(entry->count == 0 ||
                    (entry->first_ms >= 1000 && entry->last_ms < 1000 + EVENTS));
    }
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++) {
        assert_int_equal(counts[type], 0);
        assert_int_equal(bytes[type], 0);
    }
    event_table_free(merged);
}

static void told_begins_anew(void **state)
{
    (void)state;
    struct event_table *table = event_table_new(SEED), *more = event_table_new(SEED);
    add_from(table, EVENT_ADMIN_VERB, "10.0.0.1", "", 5);
    event_entry_forget(event_table_at(table, 0));
    add_from(more, EVENT_ADMIN_VERB, "10.0.0.2", "", 9);
    event_table_merge(table, more);
    const struct event_entry *entry = event_table_at(table, 0);
    assert_int_equal(table->count, 1);
    assert_int_equal(entry->count, 1);
    assert_int_equal(entry->first_ms, 9);
    assert_int_equal(event_entry_sources(entry), 1);
    assert_int_equal(entry->from.ip.byte[15], 2);
    event_table_free(table);
    event_table_free(more);
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static char *line_of(const struct event *event, uint64_t now_ms)
{
    struct event_table *table = event_table_new(SEED);
    char *line = malloc(EVENT_LINE_BYTES_MAX + 1);
    add(table, event, now_ms);
    const size_t len = event_line_format(event_table_at(table, 0), line);
    assert_int_equal(line[len - 1], '\n');
    line[len] = '\0';
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    event_table_free(table);
    return line;
}

static void a_whole_line(void **state)
{
    (void)state;
    const struct ip_peer from = peer_of("192.0.2.7", 4711);
    const struct ip to = peer_of("203.0.113.1", 0).ip;
    char *line = line_of(&(const struct event){.type = EVENT_CONN_DENIED,
                                               .from = &from,
                                               .to = &to,
                                               .to_port = 11211,
                                               .rule = bytes_str("deny \"x\""),
                                               .verb = "get",
                                               .user = bytes_str("bob"),
                                               .bytes_in = 3,
                                               .bytes_out = 4},
                         1767225600123u);
    assert_string_equal(
        line,
        "{\"timestamp\":\"2026-01-01T00:00:00.123000+0000\",\"event_type\":\"alert\","
        "\"src_ip\":\"192.0.2.7\",\"src_port\":4711,\"dest_ip\":\"203.0.113.1\",\"dest_port\":"
        "11211,"
        "\"proto\":\"TCP\",\"app_proto\":\"memcached\","
        "\"alert\":{\"action\":\"blocked\",\"gid\":1,\"signature_id\":11211102,\"rev\":1,"
        "\"signature\":\"refused by the access list\",\"category\":\"Access "
        "denied\",\"severity\":2},"
        "\"mc\":{\"type\":\"conn_denied\",\"action\":\"closed\",\"rule\":\"deny \\\"x\\\"\","
        "\"prefix\":\"192.0.2.0/24\",\"verb\":\"get\",\"user\":\"bob\",\"count\":1,\"sources\":1,"
        "\"bytes_in\":3,\"bytes_out\":4,\"first\":\"2026-01-01T00:00:00.123000+0000\","
        "\"last\":\"2026-01-01T00:00:00.123000+0000\"}}\n");
    free(line);
}

static void parts_of_lines(void **state)
{
    (void)state;
    const struct ip_peer v6 = peer_of("2001:db8:1:2ff::7", 4711), local = {.family = IP_LOCAL};
    static const char *const absent[] = {"src_", "dest_", "\"prefix\"", "\"sources\"", "\"proto\""};
    char *line = line_of(&(const struct event){.type = EVENT_RULES_REJECTED}, 0);
    for (size_t i = 0; i < COUNT_OF(absent); i++)
        assert_null(strstr(line, absent[i]));
    assert_null(strstr(line, "\"local\""));
    free(line);
    line = line_of(&(const struct event){.type = EVENT_LOGIN_FAILED, .from = &local}, 0);
    for (size_t i = 0; i < COUNT_OF(absent); i++)
        assert_null(strstr(line, absent[i]));
    assert_non_null(strstr(line, "\"local\":true"));
    free(line);
    line = line_of(&(const struct event){.type = EVENT_UDP_LOOP, .from = &v6, .dry_run = true}, 0);
    assert_non_null(strstr(line, "\"proto\":\"UDP\""));
    assert_non_null(strstr(line, "\"prefix\":\"2001:db8:1:200::/56\""));
    assert_non_null(strstr(line, "\"action\":\"allowed\",\"gid\""));
    assert_non_null(strstr(line, "\"action\":\"allowed\",\"prefix\""));
    assert_non_null(strstr(line, "\"dry_run\":true"));
    free(line);
}

static void texts_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},
        {"a\"b\\c", "a\\\"b\\\\c"},
        {"a\nb\r\t\x01\x7f", "a\\u000ab\\u000d\\u0009\\u0001\\u007f"},
        {"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xff\xfe", "\\ufffd\\ufffd"},
        {"\xc3", "\\ufffd"},                                  /* cut */
        {"\xe2\x82", "\\ufffd\\ufffd"},                       /* likewise */
        {"\xc0\x80", "\\ufffd\\ufffd"},                       /* an overlong NUL */
        {"\xe0\x80\x80", "\\ufffd\\ufffd\\ufffd"},            /* overlong */
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},            /* half a surrogate pair */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond Unicode */
        {"\xc2\x9b", "\\ufffd\\ufffd"},                       /* a control character */
        {"\x80z", "\\ufffdz"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char want[256];
        (void)snprintf(want, sizeof(want), "\"user\":\"%s\",\"count\"", rows[i].out);
        char *line = line_of(
            &(const struct event){.type = EVENT_LOGIN_FAILED, .user = bytes_str(rows[i].in)}, 0);
        if (strstr(line, want) == NULL)
            fail_msg("%s is not in %s", want, line);
        free(line);
    }
    char *line =
        line_of(&(const struct event){.type = EVENT_LOGIN_FAILED, .user = bytes_of("a\0b", 3)}, 0);
    assert_non_null(strstr(line, "\"user\":\"a\\u0000b\""));
    free(line);
}

/* The longest line of each type has room, whatever its bytes are. */
static void the_longest_line_fits(void **state)
{
    (void)state;
    uint8_t texts[3][EVENT_RULE_BYTES_MAX];
    for (unsigned byte = 0; byte < 256; byte++) {
        memset(texts, (int)byte, sizeof(texts));
        char verb[EVENT_VERB_BYTES_MAX + 1] = {0};
        memset(verb, (int)byte, EVENT_VERB_BYTES_MAX);
        struct ip_peer from = {.family = IP_V6, .port = 65535};
        memset(&from.ip, 0xff, sizeof(from.ip));
        for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++) {
            struct event_table *table = event_table_new(SEED);
            const struct event event = {.type = (enum event_type)type,
                                        .from = &from,
                                        .to = &from.ip,
                                        .to_port = 65535,
                                        .rule = bytes_of(texts[0], sizeof(texts[0])),
                                        .user = bytes_of(texts[1], EVENT_USER_BYTES_MAX),
                                        .verb = verb,
                                        .dry_run = true};
            add(table, &event, 253402300799999u); /* the last millisecond of the year 9999 */
            struct event_entry *entry = event_table_at(table, 0);
            entry->count = entry->bytes_in = entry->bytes_out = UINT64_MAX;
            entry->users_differ = true;
            char line[EVENT_LINE_BYTES_MAX];
            assert_true(event_line_format(entry, line) <= EVENT_LINE_BYTES_MAX);
            event_table_free(table);
        }
    }
}

static void times(void **state)
{
    (void)state;
    char text[EVENT_TIME_BYTES];
    event_time_format(0, "Z", text);
    assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
    event_time_format(1709210096789u, "+0000", text);
    assert_string_equal(text, "2024-02-29T12:34:56.789000+0000");
    event_time_format(UINT64_MAX, "+0000", text); /* no such year; only that it ends */
    assert_true(strlen(text) < EVENT_TIME_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alike_is_one),
        cmocka_unit_test(what_makes_a_difference),
        cmocka_unit_test(mapped_is_v4),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(no_type_pushes_out_another),
        cmocka_unit_test(merging_loses_nothing),
        cmocka_unit_test(told_begins_anew),
        cmocka_unit_test(a_whole_line),
        cmocka_unit_test(parts_of_lines),
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests_name("event table", tests, NULL, NULL);
}
