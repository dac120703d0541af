/* test_cli_check.c — what `matte check` makes of facts, and an exchange by RR UDP on a bad network.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>

#include "cli/exchange.h"
#include "cli/facts.h"

/* ── findings ─────────────────────────────────────────────────────────────────────────────── */

/* An open memcached at a loopback address. */
static struct cli_facts facts_open(const char *version)
{
    struct cli_facts facts = {
        .tcp_open = true,
        .text = CLI_SPEECH_OPEN,
        .binary = CLI_SPEECH_OPEN,
        .stats = true,
        .settings = true,
        .udp = {.state = CLI_UDP_CLOSED, .port = 11211},
        .synack_retries = -1,
    };
    snprintf(facts.version, sizeof(facts.version), "%s", version);
    return facts;
}

/* The worst grade of a topic; -1: there is no such finding. */
static int grade_of(const struct cli_facts *facts, const char *topic)
{
    struct cli_findings findings;
    cli_judge(facts, &findings);
    int worst = -1;
    for (size_t i = 0; i < findings.count; i++) {
        assert_true(findings.row[i].text[0] != '\0');
        assert_true(strlen(findings.row[i].text) < sizeof(findings.row[i].text) - 1); /* not cut */
        if (strcmp(findings.row[i].topic, topic) == 0 && (int)findings.row[i].grade > worst)
            worst = (int)findings.row[i].grade;
    }
    return worst;
}

static void open_by_reach(void **state)
{
    (void)state;
    struct cli_facts facts = facts_open("1.6.45");
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_NOTE);
    facts.listens_wide = true;
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_WARNING);
    facts.is_matted = true; /* which may refuse others */
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_NOTE);
    facts.is_matted = false;
    facts.reach = CLI_REACH_PUBLIC;
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_DANGER);
    facts.text = facts.binary = CLI_SPEECH_LOGIN;
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_DANGER); /* passwords in the clear */
    facts.tls = (struct cli_tls_facts){.spoken = true, .version = "TLSv1.3"};
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_OK);
    facts.text = CLI_SPEECH_OPEN; /* the one protocol lets in, the other does not */
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_DANGER);
    facts = facts_open("1.6.45");
    facts.binary = CLI_SPEECH_LOGIN;
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_WARNING);
}

static void refused(void **state)
{
    (void)state;
    struct cli_facts facts = {.tcp_open = true,
                              .reach = CLI_REACH_PUBLIC,
                              .local = true,
                              .text = CLI_SPEECH_REFUSED,
                              .said = "SERVER_ERROR protected mode",
                              .udp = {.state = CLI_UDP_SILENT, .port = 11211},
                              .synack_retries = 1};
    static const char *const topics[] = {"tcp", "login", "tls", "udp", "synack"};
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        assert_true(grade_of(&facts, topics[i]) <= (int)CLI_GRADE_OK);
    assert_int_equal(grade_of(&facts, "login"), CLI_GRADE_OK);
    assert_int_equal(grade_of(&facts, "tls"), -1);
}

/* Does a finding about `topic` have these words? */
static bool has_words(const struct cli_facts *facts, const char *topic, const char *words)
{
    struct cli_findings findings;
    cli_judge(facts, &findings);
    for (size_t i = 0; i < findings.count; i++)
        if (strcmp(findings.row[i].topic, topic) == 0 &&
            strstr(findings.row[i].text, words) != NULL)
            return true;
    return false;
}

/* What is exposed comes with what ends it. */
static void advice(void **state)
{
    (void)state;
    struct cli_facts facts = facts_open("1.6.45");
    assert_false(has_words(&facts, "login", "; give it")); /* programs of this machine only */
    facts.reach = CLI_REACH_PUBLIC;
    assert_true(has_words(&facts, "login", "; give it -l 127.0.0.1, or put a firewall"));
    assert_true(has_words(&facts, "tls", "(-Z"));
    facts.is_matted = true;
    assert_true(has_words(&facts, "login", "(-Y FILE), an access list (--allow=CIDR)"));
    facts.text = CLI_SPEECH_REFUSED;
    facts.binary = CLI_SPEECH_CLOSED;
    (void)snprintf(facts.said, sizeof(facts.said), "SERVER_ERROR protected mode: this server ha");
    assert_true(has_words(&facts, "login", "or --protected-mode=no"));
    (void)snprintf(facts.said, sizeof(facts.said), "ERROR Too many open connections");
    assert_true(has_words(&facts, "login", "refuses us: ERROR Too many"));
}

static void admin_verbs(void **state)
{
    (void)state;
    struct cli_facts facts = facts_open("1.6.45");
    cli_facts_stat(&facts, bytes_str("flush_enabled"), bytes_str("yes"));
    cli_facts_stat(&facts, bytes_str("dump_enabled"), bytes_str("no"));
    assert_int_equal(grade_of(&facts, "admin"), CLI_GRADE_NOTE);
    facts.reach = CLI_REACH_PRIVATE;
    assert_int_equal(grade_of(&facts, "admin"), CLI_GRADE_WARNING);
    facts.reach = CLI_REACH_LOCAL;
    cli_facts_stat(&facts, bytes_str("shutdown_command"), bytes_str("yes"));
    assert_int_equal(grade_of(&facts, "admin"), CLI_GRADE_WARNING);
    facts.settings = false;
    facts.permit[CLI_PERMIT_FLUSH] = facts.permit[CLI_PERMIT_SHUTDOWN] = CLI_UNKNOWN;
    assert_int_equal(grade_of(&facts, "admin"), CLI_GRADE_OK);
}

static void rows_of_statistics(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        bool wide;
    } rows[] = {
        {"inter", "NULL", true},
        {"inter", "127.0.0.1,::1", false},
        {"inter", "10.0.0.0.0", false},
        {"inter", "0.0.0.0", true},
        {"inter", "*", true},
        {"listen_addr", "tcp:0.0.0.0:1", false},
        {"24:listen_addr", "tcp:0.0.0.0:11211", true},
        {"24:listen_addr", "tcp6:[::]:11211", true},
        {"24:listen_addr", "tcp:127.0.0.1:11211", false},
        {"", "", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cli_facts facts = {0};
        cli_facts_stat(&facts, bytes_str(rows[i].name), bytes_str(rows[i].value));
        assert_int_equal(facts.listens_wide, rows[i].wide);
    }
    struct cli_facts facts = {0};
    cli_facts_stat(&facts, bytes_str("udpport"), bytes_str("65536"));
    assert_int_equal(facts.udp_port, 0);
    cli_facts_stat(&facts, bytes_str("udpport"), bytes_str("11211"));
    assert_int_equal(facts.udp_port, 11211);
    cli_facts_stat(&facts, bytes_str("libevent"), bytes_str("2.1.12-stable"));
    assert_false(facts.is_matted);
    cli_facts_stat(&facts, bytes_str("libevent"), bytes_str("none"));
    assert_true(facts.is_matted);
}

static void reach(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum cli_reach reach;
    } rows[] = {
        {"127.3.2.1", CLI_REACH_LOCAL},    {"::1", CLI_REACH_LOCAL},
        {"10.1.2.3", CLI_REACH_PRIVATE},   {"172.31.0.1", CLI_REACH_PRIVATE},
        {"172.32.0.1", CLI_REACH_PUBLIC},  {"192.168.1.1", CLI_REACH_PRIVATE},
        {"fd00::1", CLI_REACH_PRIVATE},    {"fe80::1", CLI_REACH_PRIVATE},
        {"2001:db8::1", CLI_REACH_PUBLIC}, {"198.51.100.7", CLI_REACH_PUBLIC},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ip ip;
        assert_true(ip_parse(bytes_str(rows[i].text), &ip));
        assert_int_equal(cli_reach_of(&ip), rows[i].reach);
    }
}

static void udp_findings(void **state)
{
    (void)state;
    struct cli_facts facts = facts_open("1.6.45");
    assert_int_equal(grade_of(&facts, "udp"), CLI_GRADE_OK);
    facts.udp.state = CLI_UDP_SILENT;
    assert_int_equal(grade_of(&facts, "udp"), CLI_GRADE_OK);
    facts.udp.state = CLI_UDP_ANSWERS;
    facts.udp.rr = true;
    facts.udp.probe[CLI_UDP_HELLO] = (struct cli_udp_count){60, 60, 1};
    assert_int_equal(grade_of(&facts, "udp"), CLI_GRADE_OK);
    assert_int_equal(grade_of(&facts, "rr"), CLI_GRADE_OK);
    facts.udp.probe[CLI_UDP_GET] = (struct cli_udp_count){67, 41, 1};
    assert_int_equal(grade_of(&facts, "udp"), CLI_GRADE_NOTE);
    assert_int_equal(cli_udp_ratio_percent(&facts.udp), 61);
    facts.udp.probe[CLI_UDP_VERSION] = (struct cli_udp_count){45, 52, 1};
    assert_int_equal(grade_of(&facts, "udp"), CLI_GRADE_WARNING);
    facts.reach = CLI_REACH_PUBLIC;
    assert_int_equal(grade_of(&facts, "udp"), CLI_GRADE_DANGER);
    facts.udp.probe[CLI_UDP_HELLO].got_bytes = 61;
    assert_int_equal(grade_of(&facts, "rr"), CLI_GRADE_DANGER);
}

static void certificates(void **state)
{
    (void)state;
    enum { DAY_S = 86400 };
    static const struct {
        int64_t start_s, end_s;
        enum cli_grade grade;
    } rows[] = {
        {-10, 90 * DAY_S, CLI_GRADE_OK},
        {-10, 20 * DAY_S, CLI_GRADE_WARNING},
        {-10, 0, CLI_GRADE_DANGER},
        {10, 90 * DAY_S, CLI_GRADE_WARNING},
    };
    struct cli_facts facts = facts_open("1.6.45");
    facts.tls = (struct cli_tls_facts){.spoken = true, .version = "TLSv1.3", .dated = true};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        facts.tls.until_start_s = rows[i].start_s;
        facts.tls.until_end_s = rows[i].end_s;
        assert_int_equal(grade_of(&facts, "certificate"), rows[i].grade);
    }
    facts.tls.old = true;
    assert_int_equal(grade_of(&facts, "tls"), CLI_GRADE_WARNING);
}

static void advisories(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        int grade;
    } rows[] = {
        {"1.4.5", CLI_GRADE_DANGER},
        {"1.4.32", CLI_GRADE_DANGER},
        {"1.4.33", CLI_GRADE_WARNING},
        {"1.4.39", CLI_GRADE_NOTE},
        {"1.5.5", CLI_GRADE_WARNING},
        {"1.5.13", CLI_GRADE_WARNING},
        {"1.5.14", -1},
        {"1.5.16", CLI_GRADE_NOTE},
        {"1.6.1", CLI_GRADE_WARNING},
        {"1.6.2", -1},
        {"1.6.18", CLI_GRADE_NOTE},
        {"1.6.22", -1},
        {"1.6.45", -1},
        {"none", -1},
        {"", -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cli_facts facts = facts_open(rows[i].version);
        assert_int_equal(grade_of(&facts, "advisory"), rows[i].grade);
        facts.is_matted = true;
        assert_int_equal(grade_of(&facts, "advisory"), -1);
    }
    struct cli_facts facts = facts_open("1.4.39"); /* CVE-2018-1000115 */
    facts.udp.state = CLI_UDP_ANSWERS;
    assert_int_equal(grade_of(&facts, "advisory"), CLI_GRADE_DANGER);
}

static void not_a_memcached(void **state)
{
    (void)state;
    static const enum cli_speech speeches[] = {CLI_SPEECH_NONE, CLI_SPEECH_CLOSED,
                                               CLI_SPEECH_STRANGE};
    for (size_t i = 0; i < COUNT_OF(speeches); i++) {
        struct cli_facts facts = {.tcp_open = true, .text = speeches[i], .said = "220 hello"};
        assert_int_equal(grade_of(&facts, "protocol"), CLI_GRADE_WARNING);
        facts.binary = CLI_SPEECH_LOGIN;
        assert_int_equal(grade_of(&facts, "protocol"), -1);
    }
}

/* ── an exchange ──────────────────────────────────────────────────────────────────────────── */

static uint8_t room[MATTE_RR_ROOM_BYTES];
static const uint8_t nonce[MATTE_RR_NONCE_BYTES] = "01234567";

static uint16_t u16_at(const uint8_t *datagram, size_t at)
{
    return (uint16_t)(datagram[at] << 8 | datagram[at + 1]);
}

/* A datagram of the server's for the request of `sent`. */
static struct bytes answer(const uint8_t *sent, unsigned kind, const char *text)
{
    static uint8_t datagram[MATTE_RR_FRAME_BYTES + 100];
    const bool extended = kind != MATTE_RR_KIND_LEGACY;
    memset(datagram, 0, sizeof(datagram));
    memcpy(datagram, sent, 2);
    datagram[5] = 1;
    datagram[6] = (uint8_t)(kind >> 8);
    datagram[7] = (uint8_t)kind;
    size_t len = MATTE_RR_HEADER_BYTES;
    if (extended) {
        memcpy(datagram + 8, nonce, sizeof(nonce));
        datagram[16] = 1;
        memset(datagram + 20, 'c', 12);
        len = MATTE_RR_FRAME_BYTES;
    }
    memcpy(datagram + len, text, strlen(text));
    return bytes_of(datagram, len + strlen(text));
}

static struct cli_exchange exchange_new(const char *command, bool may_repeat)
{
    struct cli_exchange exchange;
    cli_exchange_init(&exchange, nonce, 0xfffe, room);
    cli_exchange_start(&exchange, bytes_str(command), may_repeat, 1000, 10000);
    return exchange;
}

static void exchange_repeats(void **state)
{
    (void)state;
    struct cli_exchange exchange = exchange_new("get k\r\n", true);
    uint8_t out[200];
    static const uint64_t due_ms[] = {1000, 1250, 1750, 2750, 4750, 6750, 8750, 10750};
    uint16_t last = 0xfffe;
    for (size_t i = 0; i < COUNT_OF(due_ms); i++) { /* HELLO, again and again */
        assert_int_equal(cli_exchange_due(&exchange, due_ms[i] - 1, out), 0);
        assert_int_equal(cli_exchange_due(&exchange, due_ms[i], out), MATTE_RR_FRAME_BYTES);
        assert_int_equal(u16_at(out, 6), MATTE_RR_KIND_HELLO);
        assert_int_equal(u16_at(out, 0), (uint16_t)(last + 1));
        last = u16_at(out, 0);
    }
    assert_int_equal(cli_exchange_due(&exchange, 11000, out), 0);
}

static void exchange_whole(void **state)
{
    (void)state;
    uint8_t out[200];
    for (unsigned kind = MATTE_RR_KIND_LEGACY; kind <= MATTE_RR_KIND_FRESH;
         kind += MATTE_RR_KIND_FRESH) {
        struct cli_exchange exchange = exchange_new("get k\r\n", true);
        assert_true(cli_exchange_due(&exchange, 1000, out) > 0);
        assert_int_equal(
            cli_exchange_take(&exchange, answer(out, MATTE_RR_KIND_CHALLENGE, ""), 1010),
            CLI_EXCHANGE_MORE);
        assert_int_equal(cli_exchange_due(&exchange, 1010, out), MATTE_RR_FRAME_BYTES + 7);
        assert_int_equal(u16_at(out, 6), MATTE_RR_KIND_PROVEN);
        assert_memory_equal(out + 8, nonce, 8);
        assert_memory_equal(out + 20, "cccccccccccc", 12);
        assert_memory_equal(out + 32, "get k\r\n", 7);
        assert_int_equal(cli_exchange_take(&exchange, answer(out, kind, "END\r\n"), 1020),
                         CLI_EXCHANGE_DONE);
        assert_true(bytes_is(bytes_of(room, exchange.answer.bytes), "END\r\n"));
        /* The cookie serves the next command, and for an hour. */
        cli_exchange_start(&exchange, bytes_str("get l\r\n"), true, 2000, 10000);
        assert_true(cli_exchange_due(&exchange, 2000, out) > 0);
        assert_int_equal(u16_at(out, 6), MATTE_RR_KIND_PROVEN);
        cli_exchange_start(&exchange, bytes_str("get l\r\n"), true, 4000000, 10000);
        assert_true(cli_exchange_due(&exchange, 4000000, out) > 0);
        assert_int_equal(u16_at(out, 6), MATTE_RR_KIND_HELLO);
    }
}

static void exchange_write(void **state)
{
    (void)state;
    uint8_t out[200], first[200];
    struct cli_exchange exchange = exchange_new("delete k\r\n", false);
    assert_true(cli_exchange_due(&exchange, 1000, first) > 0);
    assert_true(cli_exchange_due(&exchange, 1250, out) > 0); /* a HELLO may be repeated */
    /* What answers the first of them is late. */
    assert_int_equal(cli_exchange_take(&exchange, answer(first, MATTE_RR_KIND_CHALLENGE, ""), 1260),
                     CLI_EXCHANGE_MORE);
    assert_int_equal(cli_exchange_due(&exchange, 1260, out + 100), 0);
    assert_int_equal(cli_exchange_take(&exchange, answer(out, MATTE_RR_KIND_CHALLENGE, ""), 1270),
                     CLI_EXCHANGE_MORE);
    assert_true(cli_exchange_due(&exchange, 1270, out) > 0);
    /* The cookie has ended: it was not executed, and may be sent again. */
    assert_int_equal(cli_exchange_take(&exchange, answer(out, MATTE_RR_KIND_CHALLENGE, ""), 1280),
                     CLI_EXCHANGE_MORE);
    assert_true(cli_exchange_due(&exchange, 1280, out) > 0);
    assert_int_equal(u16_at(out, 6), MATTE_RR_KIND_PROVEN);
    for (uint64_t now_ms = 1281; now_ms < 12000; now_ms++) /* from here on nobody knows */
        assert_int_equal(cli_exchange_due(&exchange, now_ms, first), 0);
    assert_true(exchange.is_sent);
}

static void exchange_odd(void **state)
{
    (void)state;
    uint8_t out[200];
    struct cli_exchange exchange = exchange_new("get k\r\n", true);
    enum cli_exchange_rc rc = CLI_EXCHANGE_MORE;
    unsigned rounds = 0;
    for (uint64_t now_ms = 1000; rc == CLI_EXCHANGE_MORE; now_ms++, rounds++) {
        assert_true(cli_exchange_due(&exchange, now_ms, out) > 0);
        rc = cli_exchange_take(&exchange, answer(out, MATTE_RR_KIND_CHALLENGE, ""), now_ms);
    }
    assert_int_equal(rc, CLI_EXCHANGE_ODD);
    assert_int_equal(rounds, CLI_EXCHANGE_CHALLENGES_MAX + 1);
    exchange = exchange_new("get k\r\n", true); /* an answer to a HELLO */
    assert_true(cli_exchange_due(&exchange, 1000, out) > 0);
    assert_int_equal(
        cli_exchange_take(&exchange, answer(out, MATTE_RR_KIND_LEGACY, "END\r\n"), 1001),
        CLI_EXCHANGE_ODD);
    exchange = exchange_new("", true); /* a cookie alone */
    assert_true(cli_exchange_due(&exchange, 1000, out) > 0);
    assert_int_equal(cli_exchange_take(&exchange, answer(out, MATTE_RR_KIND_CHALLENGE, ""), 1001),
                     CLI_EXCHANGE_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_by_reach),
        cmocka_unit_test(advice),
        cmocka_unit_test(admin_verbs),
        cmocka_unit_test(refused),
        cmocka_unit_test(reach),
        cmocka_unit_test(rows_of_statistics),
        cmocka_unit_test(udp_findings),
        cmocka_unit_test(certificates),
        cmocka_unit_test(advisories),
        cmocka_unit_test(not_a_memcached),
        cmocka_unit_test(exchange_repeats),
        cmocka_unit_test(exchange_whole),
        cmocka_unit_test(exchange_write),
        cmocka_unit_test(exchange_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
