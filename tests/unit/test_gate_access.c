/* test_gate_access.c — access lists: the lines, what decides, hits, reloads.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gate/gate.h"
#include "support/kit.h"

enum { TCP, UDP, OTHER, LOCAL, LISTENERS };

/* By which the tests come in: TCP and UDP of one port, another address and port, a unix socket. */
static struct gate_listener listeners[LISTENERS] = {
    [TCP] = {.transport = GATE_TCP, .port = 11211},
    [UDP] = {.transport = GATE_UDP, .port = 11211},
    [OTHER] = {.transport = GATE_TCP, .port = 11212, .ip = {{[10] = 0xff, 0xff, 127, 0, 0, 1}}},
    [LOCAL] = {.transport = GATE_UNIX},
};

static struct ip_peer peer_of(const char *text)
{
    struct ip_peer peer = {.port = 4711};
    assert_true(ip_parse(bytes_str(text), &peer.ip));
    peer.family = ip_is_v4(&peer.ip) ? IP_V4 : IP_V6;
    return peer;
}

/* A copy of exactly this size: a read of one byte too many is seen by ASan. */
static int add(struct gate_access *access, enum gate_source source, const char *text, size_t len,
               struct gate_mistake *ret_mistake)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, text, len);
    const int rc = gate_access_add(access, source, bytes_of(copy, len), ret_mistake);
    free(copy);
    return rc;
}

static struct gate_access *list_of(const char *text)
{
    struct gate_access *access;
    struct gate_mistake mistake;
    assert_int_equal(gate_access_new(2, &access), 0);
    const int rc = add(access, GATE_SOURCE_FILE, text, strlen(text), &mistake);
    if (rc != 0)
        fail_msg("line %zu, column %zu: %s", mistake.line, mistake.column, mistake.what);
    assert_int_equal(gate_access_seal(access, listeners, LISTENERS, &mistake), 0);
    return access;
}

static unsigned look(const struct gate_access *access, unsigned listener, const char *address)
{
    const struct ip_peer peer = peer_of(address);
    return gate_access_look(access, listener, &peer);
}

static uint64_t hits(const struct gate_access *access, size_t rule)
{
    struct gate_rule_info info;
    gate_access_get(access, rule, &info);
    return info.hits;
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

/* Each with the one way to write it. */
static void lines_read(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"allow all", "allow all"},
        {"  deny\tall  ", "deny all"},
        {"deny all\r", "deny all"},
        {"allow 10.0.0.0/8 # ours", "allow 10.0.0.0/8"},
        {"allow 10.0.0.0/8#ours", "allow 10.0.0.0/8"},
        {"allow 10.1.2.3/32 read", "allow 10.1.2.3 read"},
        {"allow 10.1.2.3 write,read", "allow 10.1.2.3 read,write"},
        {"allow 10.1.2.3 admin,write,read", "allow 10.1.2.3"},
        {"allow 0.0.0.0/0", "allow 0.0.0.0/0"},
        {"allow ::/0", "allow ::/0"},
        {"allow 2001:DB8::/32 on [::1]:11211", "allow 2001:db8::/32 on [::1]:11211"},
        {"allow ::ffff:10.0.0.0/104", "allow 10.0.0.0/8"},
        {"deny all on 11211 admin", "deny all on 11211 admin"},
        {"deny all on 127.0.0.1:11212", "deny all on 127.0.0.1:11212"},
        {"deny all on tcp", "deny all on tcp"},
        {"deny all on udp write,admin", "deny all on udp write,admin"},
        {"deny all on unix read", "deny all on unix read"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gate_access *access;
        struct gate_mistake mistake;
        struct gate_rule_info info;
        assert_int_equal(gate_access_new(1, &access), 0);
        assert_int_equal(add(access, GATE_SOURCE_FILE, rows[i][0], strlen(rows[i][0]), &mistake),
                         0);
        assert_int_equal(gate_access_count(access), 1);
        const struct gate_listener all[] = {
            {.transport = GATE_TCP, .port = 11211, .ip = {{[15] = 1}}},
            {.transport = GATE_TCP, .port = 11212, .ip = listeners[OTHER].ip},
        };
        assert_int_equal(gate_access_seal(access, all, COUNT_OF(all), &mistake), 0);
        gate_access_get(access, 0, &info);
        assert_string_equal(info.text, rows[i][1]);
        assert_int_equal(info.place.line, 1);
        gate_access_free(access);
    }
    gate_access_free(NULL);
}

static void lines_without_rules(void **state)
{
    (void)state;
    struct gate_access *access = list_of("# nothing\n\n  \t\r\n   # allow all\nallow ::1");
    struct gate_rule_info info;
    assert_int_equal(gate_access_count(access), 1);
    gate_access_get(access, 0, &info);
    assert_int_equal(info.place.line, 5);
    assert_int_equal(look(access, TCP, "::1"), GATE_ALL);
    assert_int_equal(look(access, TCP, "::2"), 0);
    gate_access_free(access);
}

static void lines_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t line, column;
        const char *words;
    } rows[] = {
        {"permit all", 1, 1, "'permit' is neither 'allow' nor 'deny'"},
        {"Allow all", 1, 1, "'Allow' is neither"},
        {"\n\n  x", 3, 3, "'x' is neither"},
        {"allow", 1, 6, "is missing"},
        {"allow # all", 1, 7, "is missing"},
        {"deny all\nallow  10.0.0.256", 2, 8, "'10.0.0.256' is no address, prefix or 'all'"},
        {"allow localhost", 1, 7, "is no address"},
        {"allow 10.1.0.0/8", 1, 7, "bits behind its prefix; the network is 10.0.0.0/8"},
        {"allow 2001:db8::1/32", 1, 7, "the network is 2001:db8::/32"},
        {"allow 10.0.0.0/33", 1, 16, "'33' is no number of bits from 0 to 32"},
        {"allow 10.0.0.0/", 1, 16, "'' is no number of bits"},
        {"allow 10.0.0.0/-8", 1, 16, "'-8' is no number of bits"},
        {"allow ::/129", 1, 10, "from 0 to 128"},
        {"allow all on", 1, 13, "'on' needs a listener"},
        {"allow all on 0", 1, 14, "'0' is no port"},
        {"allow all on 65536", 1, 14, "is no port"},
        {"allow all on eth0", 1, 14, "is no port"},
        {"allow all on 127.0.0.1", 1, 14, "is no port"},
        {"allow all on ::1:11211", 1, 14, "is no port"},
        {"allow all on [::1:11211", 1, 14, "is no port"},
        {"allow all on []:11211", 1, 14, "is no port"},
        {"allow all on [127.0.0.1]:1", 1, 14, "is no port"},
        {"allow ::1 on unix", 1, 14, "no addresses; allowed: all on unix"},
        {"allow all wriet", 1, 11,
         "'wriet' is no class; there are read, write, flush_prefix, admin"},
        {"allow all read,", 1, 16, "'' is no class"},
        {"allow all read,,write", 1, 16, "'' is no class"},
        {"allow all read,admin,read", 1, 22, "read stands here twice"},
        {"allow all on 11211 read write", 1, 25, "nothing may follow"},
        {"allow all read on 11211", 1, 16, "nothing may follow"},
        {"allow \x01\xff\x7f", 1, 7, "'\?\?\?' is no address"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gate_access *access;
        struct gate_mistake mistake;
        assert_int_equal(gate_access_new(1, &access), 0);
        const int rc = add(access, GATE_SOURCE_FILE, rows[i].text, strlen(rows[i].text), &mistake);
        if (rc != -EINVAL || mistake.line != rows[i].line || mistake.column != rows[i].column ||
            strstr(mistake.what, rows[i].words) == NULL)
            fail_msg("%s: %d, line %zu, column %zu: %s", rows[i].text, rc, mistake.line,
                     mistake.column, mistake.what);
        gate_access_free(access);
    }
}

/* Cut anywhere, it is refused or it holds the rules in front of the cut. */
static void lines_cut(void **state)
{
    (void)state;
    static const char text[] =
        "allow 10.0.0.0/8 on 11211 read,write\ndeny all on [::1]:5 admin\r\n";
    for (size_t len = 0; len < sizeof(text); len++) {
        struct gate_access *access;
        struct gate_mistake mistake;
        assert_int_equal(gate_access_new(1, &access), 0);
        if (add(access, GATE_SOURCE_FILE, text, len, &mistake) == 0)
            assert_true(gate_access_count(access) <= 1u + (len > 37));
        else
            assert_int_equal(mistake.line, 1 + (len > 37));
        gate_access_free(access);
    }
}

static void nul_is_a_mistake(void **state)
{
    (void)state;
    struct gate_access *access;
    struct gate_mistake mistake;
    assert_int_equal(gate_access_new(1, &access), 0);
    assert_int_equal(add(access, GATE_SOURCE_FILE, "allow all\0", 10, &mistake), -EINVAL);
    gate_access_free(access);
}

static void options_read(void **state)
{
    (void)state;
    struct gate_access *access;
    struct gate_mistake mistake;
    struct gate_rule_info info;
    assert_int_equal(gate_access_new(1, &access), 0);
    assert_int_equal(add(access, GATE_SOURCE_DENY, "10.9.0.0/16", 11, &mistake), 0);
    assert_int_equal(add(access, GATE_SOURCE_ALLOW, "10.0.0.0/8+::1,fe80::/10", 24, &mistake), 0);
    assert_int_equal(gate_access_seal(access, listeners, LISTENERS, &mistake), 0);
    assert_int_equal(gate_access_count(access), 4);
    gate_access_get(access, 2, &info);
    assert_string_equal(info.text, "allow ::1");
    assert_int_equal(info.place.source, GATE_SOURCE_ALLOW);
    assert_int_equal(info.place.line, 2);
    assert_int_equal(look(access, TCP, "10.8.0.1"), GATE_ALL);
    assert_int_equal(look(access, UDP, "10.9.0.1"), 0);
    assert_int_equal(look(access, TCP, "fe80::5"), GATE_ALL);
    gate_access_free(access);
    assert_int_equal(gate_access_new(1, &access), 0);
    assert_int_equal(add(access, GATE_SOURCE_ALLOW, "10.0.0.0/8+10.1.1.1/8", 21, &mistake),
                     -EINVAL);
    assert_int_equal(mistake.column, 12);
    gate_access_free(access);
}

static void listeners_unknown(void **state)
{
    (void)state;
    static const char *const rows[] = {"allow all on 11213", "allow all on 127.0.0.1:11211",
                                       "allow all on [::1]:11212"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gate_access *access;
        struct gate_mistake mistake;
        assert_int_equal(gate_access_new(1, &access), 0);
        assert_int_equal(add(access, GATE_SOURCE_FILE, rows[i], strlen(rows[i]), &mistake), 0);
        assert_int_equal(gate_access_seal(access, listeners, LISTENERS, &mistake), -EINVAL);
        assert_int_equal(mistake.line, 1);
        assert_int_equal(mistake.column, 14);
        assert_non_null(strstr(mistake.what, "nothing listens"));
        gate_access_free(access);
    }
    struct gate_access *access = list_of("allow all on 127.0.0.1:11212\nallow all on 11211");
    gate_access_free(access);
}

/* ── what decides ─────────────────────────────────────────────────────────────────────────── */

static void first_match_decides(void **state)
{
    (void)state;
    struct gate_access *access = list_of("deny 10.1.2.3\n"
                                         "allow 10.1.0.0/16 read\n"
                                         "allow 10.0.0.0/8\n"
                                         "deny 2001:db8:1::/48 admin\n"
                                         "allow 2001:db8::/32\n");
    static const struct {
        const char *address;
        unsigned classes;
    } rows[] = {
        {"10.1.2.3", 0},
        {"10.1.2.2", GATE_ALL},
        {"10.0.0.0", GATE_ALL},
        {"10.255.255.255", GATE_ALL},
        {"9.255.255.255", 0},
        {"11.0.0.0", 0},
        {"2001:db8::1", GATE_ALL},
        {"2001:db8:1::", GATE_READ | GATE_WRITE},
        {"2001:db8:1:ffff:ffff:ffff:ffff:ffff", GATE_READ | GATE_WRITE},
        {"2001:db8:2::", GATE_ALL},
        {"2001:db9::", 0},
        {"::1", 0},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(look(access, TCP, rows[i].address), rows[i].classes);
    gate_access_free(access);
}

static void classes_decide_alone(void **state)
{
    (void)state;
    struct gate_access *access = list_of("deny all admin\nallow 10.0.0.0/8 read\n"
                                         "deny 10.1.0.0/16\nallow 10.0.0.0/8 write");
    assert_int_equal(look(access, TCP, "10.2.0.0"), GATE_READ | GATE_WRITE);
    assert_int_equal(look(access, TCP, "10.1.0.0"), GATE_READ);
    assert_int_equal(look(access, TCP, "12.1.0.0"), 0);
    gate_access_free(access);
}

static void families_apart(void **state)
{
    (void)state;
    struct gate_access *access = list_of("deny ::/0\nallow all read\nallow 0.0.0.0/0 write");
    assert_int_equal(look(access, TCP, "10.2.0.0"), GATE_READ | GATE_WRITE);
    assert_int_equal(look(access, TCP, "0.0.0.0"), GATE_READ | GATE_WRITE);
    assert_int_equal(look(access, TCP, "255.255.255.255"), GATE_READ | GATE_WRITE);
    assert_int_equal(look(access, TCP, "::1"), 0);
    assert_int_equal(look(access, TCP, "::1:0:0:0"), 0);
    gate_access_free(access);
}

static void listeners_apart(void **state)
{
    (void)state;
    struct gate_access *access =
        list_of("deny 10.0.0.0/8 on udp\nallow 10.0.0.0/8 on 11211\nallow ::1 on tcp read\n"
                "allow ::1 on 127.0.0.1:11212 write\n");
    static const unsigned rows[LISTENERS][2] = {
        [TCP] = {GATE_ALL, GATE_READ},
        [UDP] = {0, 0},
        [OTHER] = {0, GATE_READ | GATE_WRITE},
        [LOCAL] = {GATE_ALL, GATE_ALL},
    };
    for (unsigned i = 0; i < LISTENERS; i++) {
        assert_int_equal(look(access, i, "10.0.0.1"), rows[i][0]);
        assert_int_equal(look(access, i, "::1"), rows[i][1]);
    }
    gate_access_free(access);
}

static void unix_sockets(void **state)
{
    (void)state;
    struct gate_access *access = list_of("deny all");
    const struct ip_peer peer = {.family = IP_LOCAL};
    assert_int_equal(gate_access_look(access, LOCAL, &peer), GATE_ALL);
    assert_int_equal(gate_access_ask(access, 0, LOCAL, &peer), GATE_ALL);
    assert_int_equal(gate_access_default_hits(access), 0);
    gate_access_free(access);
    access = list_of("deny all\nallow all on unix read");
    assert_int_equal(gate_access_look(access, LOCAL, &peer), GATE_READ);
    assert_int_equal(look(access, TCP, "::1"), 0);
    gate_access_free(access);
}

static void empty_list_denies(void **state)
{
    (void)state;
    struct gate_access *access = list_of("");
    assert_int_equal(look(access, TCP, "127.0.0.1"), 0);
    gate_access_free(access);
}

/* ── hits, dead rules, explanations ───────────────────────────────────────────────────────── */

static void hits_counted(void **state)
{
    (void)state;
    struct gate_access *access = list_of("deny all admin\nallow 10.0.0.0/8\n");
    const struct ip_peer ours = peer_of("10.1.1.1"), strange = peer_of("1.1.1.1");
    assert_int_equal(gate_access_ask(access, 0, TCP, &ours), GATE_READ | GATE_WRITE);
    assert_int_equal(gate_access_ask(access, 1, UDP, &ours), GATE_READ | GATE_WRITE);
    assert_int_equal(gate_access_ask(access, 1, TCP, &strange), 0);
    (void)look(access, TCP, "10.1.1.1");
    assert_int_equal(hits(access, 0), 3); /* once for an asker, whatever it decides about */
    assert_int_equal(hits(access, 1), 2);
    assert_int_equal(gate_access_default_hits(access), 1);
    gate_access_free(access);
}

static void dead_found(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t dead;
        uint32_t killer; /* its line; 0: nothing is dead */
    } rows[] = {
        {"allow 10.0.0.0/8\ndeny 10.1.0.0/16", 1, 1},
        {"allow 10.0.0.0/8\nallow 10.0.0.0/8", 1, 1},
        {"allow all\ndeny ::/0", 1, 1},
        {"allow ::/0\ndeny 10.0.0.0/8", 1, 0},
        {"allow 10.0.0.0/9 \nallow 10.128.0.0/9\ndeny 10.0.0.0/8", 2, 1},
        {"allow 10.0.0.0/9 \nallow 10.128.0.0/10\ndeny 10.0.0.0/8", 2, 0},
        {"allow 10.0.0.0/8 read\ndeny 10.1.0.0/16", 1, 0},
        {"allow 10.0.0.0/8 read\nallow 10.0.0.0/8 admin\ndeny 10.1.0.0/16 read,admin", 2, 1},
        {"allow all on tcp\ndeny 10.0.0.0/8", 1, 0},
        {"allow all on tcp\nallow all on udp\ndeny 10.0.0.0/8", 2, 1},
        {"allow all\nallow all on unix", 1, 0},
        {"allow 10.1.0.0/16\nallow 10.0.0.0/8", 1, 0},
        {"allow 0.0.0.0/0\nallow ::/0\ndeny all", 2, 2},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gate_access *access = list_of(rows[i].text);
        for (size_t j = 0; j < gate_access_count(access); j++) {
            struct gate_rule_info info;
            gate_access_get(access, j, &info);
            assert_int_equal(info.dead, rows[i].killer != 0 && j == rows[i].dead);
            if (info.dead)
                assert_int_equal(info.killer.line, rows[i].killer);
        }
        gate_access_free(access);
    }
}

static void explained(void **state)
{
    (void)state;
    char text[GATE_RULE_TEXT_BYTES];
    struct gate_access *access = list_of("deny 10.0.0.0/8 admin\nallow 10.0.0.0/8 admin,read");
    const struct ip_peer ours = peer_of("10.1.1.1");
    gate_access_explain(access, TCP, &ours, GATE_ADMIN, text);
    assert_string_equal(text, "deny 10.0.0.0/8 admin");
    gate_access_explain(access, TCP, &ours, GATE_READ | GATE_WRITE, text);
    assert_string_equal(text, "nothing allows it");
    gate_access_free(access);
}

/* ── against a plain walk over the rules ──────────────────────────────────────────────────── */

struct model_rule {
    struct ip_prefix prefix;
    bool all, allow;
    uint8_t classes;
    unsigned on; /* 0: any, 1: tcp, 2: udp, 3: port 11211, 4: the address of OTHER, 5: unix */
};

static bool model_is_about(const struct model_rule *rule, unsigned listener)
{
    switch (rule->on) {
    case 0:
        return listener != LOCAL;
    case 1:
        return listener == TCP || listener == OTHER;
    case 2:
        return listener == UDP;
    case 3:
        return listener == TCP || listener == UDP;
    case 4:
        return listener == OTHER;
    default:
        return listener == LOCAL;
    }
}

static bool model_matches(const struct model_rule *rule, const struct ip *ip)
{
    const bool v4 = rule->prefix.bits >= IP_V4_BITS && ip_is_v4(&rule->prefix.ip);
    return rule->all || (ip_prefix_has(&rule->prefix, ip) && v4 == ip_is_v4(ip));
}

static unsigned model_look(const struct model_rule *rules, size_t count, unsigned listener,
                           const struct ip *ip)
{
    unsigned allowed = 0, open = GATE_ALL;
    bool local = false;
    for (size_t i = 0; i < count; i++)
        local |= rules[i].on == 5;
    if (listener == LOCAL && !local)
        return GATE_ALL;
    for (size_t i = 0; i < count; i++) {
        if (!model_is_about(&rules[i], listener) || !model_matches(&rules[i], ip))
            continue;
        if (rules[i].allow)
            allowed |= open & rules[i].classes;
        open &= ~(unsigned)rules[i].classes;
    }
    return allowed;
}

/* Few different bytes, so that prefixes meet: each is 0, 1, 254, 255, or of another address. */
static struct ip random_ip(uint64_t *random, bool v4)
{
    static const uint8_t bytes[] = {0, 1, 254, 255};
    struct ip ip;
    for (size_t i = 0; i < sizeof(ip.byte); i++)
        ip.byte[i] = bytes[kit_random_below(random, COUNT_OF(bytes))];
    if (v4)
        return ip_of_v4(ip.byte);
    if (kit_random_below(random, 2) == 0) /* near what maps IPv4 */
        memset(ip.byte, 0, kit_random_below(random, 11));
    return ip;
}

static size_t random_rule(uint64_t *random, struct model_rule *rule, char *text, size_t cap)
{
    static const char *const ons[] = {
        "", " on tcp", " on udp", " on 11211", " on 127.0.0.1:11212", " on unix"};
    static const struct {
        const char *words;
        unsigned classes;
    } lists[] = {
        {"", GATE_ALL},
        {" read", GATE_READ},
        {" write", GATE_WRITE},
        {" write,read", GATE_READ | GATE_WRITE},
        {" admin", GATE_ADMIN | GATE_FLUSH},
        {" read,admin", GATE_READ | GATE_ADMIN | GATE_FLUSH},
        {" admin,write", GATE_WRITE | GATE_ADMIN | GATE_FLUSH},
        {" flush_prefix", GATE_FLUSH},
        {" flush_prefix,read", GATE_FLUSH | GATE_READ},
    };
    const size_t list =
        kit_random_below(random, 2) == 0 ? 0 : kit_random_below(random, COUNT_OF(lists));
    const bool v4 = kit_random_below(random, 2) == 0;
    const struct ip ip = random_ip(random, v4);
    const unsigned from = v4 ? IP_V4_BITS : 0;
    *rule = (struct model_rule){
        .prefix = ip_prefix_of(&ip, from + (unsigned)kit_random_below(random, IP_BITS - from + 1)),
        .allow = kit_random_below(random, 2) == 0,
        .classes = (uint8_t)lists[list].classes,
        .on = kit_random_below(random, 2) == 0 ? 0 : (unsigned)kit_random_below(random, 6),
    };
    rule->all = rule->on == 5 || kit_random_below(random, 16) == 0;
    char where[IP_PREFIX_TEXT_BYTES] = "all";
    if (!rule->all)
        ip_prefix_format(&rule->prefix, where);
    return (size_t)snprintf(text, cap, "%s %s%s%s\n", rule->allow ? "allow" : "deny", where,
                            ons[rule->on], lists[list].words);
}

static void compare(uint64_t *random, size_t rule_max)
{
    static struct model_rule rules[64];
    static char text[64 * 160];
    const size_t count = kit_random_below(random, rule_max + 1);
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += random_rule(random, &rules[i], text + len, sizeof(text) - len);
    text[len] = '\0';
    struct gate_access *access = list_of(text);
    assert_int_equal(gate_access_count(access), count);
    for (unsigned i = 0; i < 200; i++) {
        const unsigned listener = (unsigned)kit_random_below(random, LISTENERS);
        struct ip_peer peer = {.ip = random_ip(random, i % 2 == 0)};
        if (count > 0 && i % 4 < 2) { /* the ends of prefixes, and what lies beside them */
            const struct ip_prefix *prefix = &rules[kit_random_below(random, count)].prefix;
            peer.ip = prefix->ip;
            for (unsigned bit = prefix->bits; i % 4 == 1 && bit < IP_BITS; bit++)
                peer.ip.byte[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
            peer.ip.byte[15] = (uint8_t)(peer.ip.byte[15] + kit_random_below(random, 3) - 1);
        }
        const unsigned want = model_look(rules, count, listener, &peer.ip);
        if (gate_access_look(access, listener, &peer) != want)
            fail_msg("listener %u, wanted %u, of:\n%s", listener, want, text);
    }
    gate_access_free(access);
}

static void like_a_plain_walk(void **state)
{
    (void)state;
    uint64_t random = kit_seed_init(0, NULL);
    for (unsigned i = 0; i < 600; i++)
        compare(&random, i % 3 == 0 ? 3 : i % 3 == 1 ? 10 : 64);
}

static void many_rules(void **state)
{
    (void)state;
    enum { RULES = 100000, BYTES = 32 };
    char *text = malloc((size_t)RULES * BYTES);
    assert_non_null(text);
    size_t len = 0;
    for (unsigned i = 0; i < RULES; i++)
        len += (size_t)snprintf(text + len, BYTES, "%s 10.%u.%u.%u\n",
                                i % 3 != 0 ? "allow" : "deny", i >> 15, i >> 7 & 255, i << 1 & 255);
    struct gate_access *access = list_of(text);
    assert_int_equal(gate_access_count(access), RULES);
    for (unsigned i = 0; i < RULES; i += 7) {
        const uint8_t v4[4] = {10, (uint8_t)(i >> 15), (uint8_t)(i >> 7), (uint8_t)(i << 1)};
        struct ip_peer peer = {.ip = ip_of_v4(v4)};
        assert_int_equal(gate_access_look(access, TCP, &peer), i % 3 != 0 ? GATE_ALL : 0);
        peer.ip.byte[15]++;
        assert_int_equal(gate_access_look(access, UDP, &peer), 0);
    }
    gate_access_free(access);
    free(text);
}

/* ── the gate ─────────────────────────────────────────────────────────────────────────────── */

static void file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct gate *gate_of(const struct gate_config *config)
{
    struct gate *gate;
    char error[GATE_ERROR_BYTES];
    if (gate_new(config, &gate, error) != 0 ||
        gate_listeners_set(gate, listeners, LISTENERS, error) != 0)
        fail_msg("%s", error);
    return gate;
}

static void reloads(void **state)
{
    (void)state;
    char path[] = "/tmp/matte-access-XXXXXX", error[GATE_ERROR_BYTES], words[128];
    close(mkstemp(path));
    file_write(path, "allow 10.0.0.0/8\n");
    const struct gate_config config = {
        .slots = 2, .access_file = path, .deny = "10.9.0.0/16", .protect = true};
    struct gate *gate = gate_of(&config);
    const struct ip_peer one = peer_of("10.1.1.1"), two = peer_of("11.1.1.1"),
                         nine = peer_of("10.9.1.1");
    const uint32_t generation = gate_generation(gate);
    assert_int_equal(gate_address_classes(gate, 0, TCP, &one), GATE_ALL);
    assert_int_equal(gate_admit(gate, 1, TCP, &two), GATE_DENIED);
    assert_int_equal(gate_admit(gate, 1, TCP, &nine), GATE_DENIED);
    assert_int_equal(gate_admit(gate, 1, TCP, &one), GATE_WELCOME);
    file_write(path, "deny 10.0.0.0/8\n\nallow all reat\n");
    assert_int_equal(gate_reload(gate, error), -EINVAL);
    (void)snprintf(words, sizeof(words), "malformed rule in %s, line 3, column 11: 'reat' is no",
                   path);
    assert_memory_equal(error, words, strlen(words));
    file_write(path, "allow all on 1\n");
    assert_int_equal(gate_reload(gate, error), -EINVAL);
    assert_non_null(strstr(error, "line 1, column 14: nothing listens on this port"));
    assert_int_equal(gate_generation(gate), generation);
    assert_int_equal(gate_address_classes(gate, 0, TCP, &one), GATE_ALL);
    file_write(path, "allow 11.0.0.0/8 read\n");
    assert_int_equal(gate_reload(gate, error), 0);
    assert_true(gate_generation(gate) != generation);
    assert_int_equal(gate_address_classes(gate, 0, TCP, &one), 0);
    assert_int_equal(gate_address_classes(gate, 0, TCP, &two), GATE_READ);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(gate_reload(gate, error), -ENOENT);
    assert_int_equal(gate_address_classes(gate, 0, TCP, &two), GATE_READ);
    gate_free(gate);
}

static void printed(void **state)
{
    (void)state;
    const struct gate_config config = {
        .slots = 2, .allow = "10.0.0.0/8+10.1.0.0/16", .deny = "::1", .protect = true};
    struct gate *gate = gate_of(&config);
    const struct ip_peer peer = peer_of("10.1.1.1"), strange = peer_of("1.1.1.1");
    assert_int_equal(gate_address_classes(gate, 0, TCP, &peer), GATE_ALL);
    assert_int_equal(gate_admit(gate, 1, TCP, &peer), GATE_WELCOME); /* not counted */
    assert_int_equal(gate_admit(gate, 1, TCP, &strange), GATE_DENIED);
    struct out out;
    out_init(&out);
    gate_print(gate, &out);
    static const char want[] = "STAT protected_mode yes\r\nSTAT access_list yes\r\nSTAT rules 3\r\n"
                               "STAT deny:1 0 deny ::1\r\nSTAT allow:1 1 allow 10.0.0.0/8\r\n"
                               "STAT allow:2 0 allow 10.1.0.0/16\r\nSTAT default 1 deny all\r\n";
    assert_int_equal(out.len, sizeof(want) - 1);
    assert_memory_equal(out.buf, want, out.len);
    out_fini(&out);
    gate_free(gate);
}

/* Every way to come in, on a server that has none of the things that say who may. */
static void protected_mode(void **state)
{
    (void)state;
    static const struct {
        bool protect;
        const char *allow;
        bool certified;
        const char *address; /* NULL: by the unix socket */
        enum gate_verdict verdict;
    } rows[] = {
        {true, NULL, false, "127.0.0.1", GATE_WELCOME},
        {true, NULL, false, "127.9.9.9", GATE_WELCOME},
        {true, NULL, false, "::1", GATE_WELCOME},
        {true, NULL, false, NULL, GATE_WELCOME},
        {true, NULL, false, "10.0.0.1", GATE_PROTECTED},
        {true, NULL, false, "2001:db8::1", GATE_PROTECTED},
        {true, NULL, false, "::2", GATE_PROTECTED},
        {true, NULL, true, "10.0.0.1", GATE_WELCOME},
        {true, "10.0.0.0/8", false, "10.0.0.1", GATE_WELCOME},
        {true, "10.0.0.0/8", false, "11.0.0.1", GATE_DENIED},
        {true, "10.0.0.0/8", false, "127.0.0.1", GATE_DENIED},
        {false, NULL, false, "10.0.0.1", GATE_WELCOME},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct gate_config config = {
            .slots = 1, .allow = rows[i].allow, .protect = rows[i].protect};
        listeners[TCP].certified = rows[i].certified;
        struct gate *gate = gate_of(&config);
        listeners[TCP].certified = false;
        const struct ip_peer local = {.family = IP_LOCAL};
        const struct ip_peer peer = rows[i].address != NULL ? peer_of(rows[i].address) : local;
        const unsigned listener = rows[i].address != NULL ? TCP : LOCAL;
        assert_int_equal(gate_admit(gate, 0, listener, &peer), rows[i].verdict);
        assert_int_equal(gate_address_classes(gate, 0, listener, &peer),
                         rows[i].verdict == GATE_WELCOME ? GATE_ALL : 0);
        gate_free(gate);
    }
}

static void users_lift_protection(void **state)
{
    (void)state;
    char path[] = "/tmp/matte-access-XXXXXX";
    close(mkstemp(path));
    file_write(path, "foo:bar\n");
    const struct gate_config config = {.files = {path}, .slots = 1, .protect = true};
    struct gate *gate = gate_of(&config);
    const struct ip_peer peer = peer_of("10.1.1.1");
    assert_int_equal(gate_admit(gate, 0, TCP, &peer), GATE_WELCOME);
    gate_free(gate);
    (void)unlink(path);
}

static unsigned dead_told;

static void dead_tell(const char *line)
{
    dead_told++;
    assert_string_equal(line, "access rule allow:2 never matches, for allow:1 and others before it "
                              "match first: allow 10.1.0.0/16");
}

static void dead_told_of(void **state)
{
    (void)state;
    const struct gate_config config = {.slots = 1, .allow = "10.0.0.0/8+10.1.0.0/16+10.2.0.0/16"};
    struct gate *gate = gate_of(&config);
    dead_told = 0;
    gate_dead_each(gate, 1, dead_tell);
    assert_int_equal(dead_told, 1);
    gate_free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_read),
        cmocka_unit_test(lines_without_rules),
        cmocka_unit_test(lines_malformed),
        cmocka_unit_test(lines_cut),
        cmocka_unit_test(nul_is_a_mistake),
        cmocka_unit_test(options_read),
        cmocka_unit_test(listeners_unknown),
        cmocka_unit_test(first_match_decides),
        cmocka_unit_test(classes_decide_alone),
        cmocka_unit_test(families_apart),
        cmocka_unit_test(listeners_apart),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(empty_list_denies),
        cmocka_unit_test(hits_counted),
        cmocka_unit_test(dead_found),
        cmocka_unit_test(explained),
        cmocka_unit_test(like_a_plain_walk),
        cmocka_unit_test(many_rules),
        cmocka_unit_test(reloads),
        cmocka_unit_test(printed),
        cmocka_unit_test(protected_mode),
        cmocka_unit_test(users_lift_protection),
        cmocka_unit_test(dead_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
