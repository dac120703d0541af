/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/limit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gate/gate.h"
#include "support/cm.h"

/* Limits of a server that was started with -o `subs`, -U 1 behind it. */
struct scene {
    struct opts opts;
    struct gate_limits *limits;
    struct gate_limiter *limiter;
    struct events *events;
    struct event_source *source;
};

static int scene_try(struct scene *scene, const char *subs, char *error)
{
    char name[] = "matted", letter[] = "-o", text[512];
    (void)snprintf(text, sizeof(text), "%s", subs);
    char *argv[] = {name, letter, text};
    struct opt_result result;
    *scene = (struct scene){.limits = NULL};
    assert_int_equal(opt_init(&scene->opts), 0);
    opt_parse(&scene->opts, COUNT_OF(argv), argv, &result);
    assert_string_equal(result.text, "");
    scene->opts.udp_port = 1;
    const struct events_config config = {.window_s = 10};
    char events_error[EVENTS_ERROR_BYTES];
    assert_int_equal(events_new(&config, &scene->events, events_error), 0);
    assert_int_equal(event_source_new(scene->events, &scene->source), 0);
    return gate_limits_new(&scene->opts, 2, &scene->limits, error);
}

static void scene_open(struct scene *scene, const char *subs)
{
    char error[GATE_ERROR_BYTES];
    assert_int_equal(scene_try(scene, subs, error), 0);
    scene->limiter = gate_limiter_of(scene->limits, 0, scene->source);
}

static void scene_close(struct scene *scene)
{
    gate_limits_free(scene->limits);
    events_free(scene->events);
    opt_fini(&scene->opts);
}

static uint64_t noted(const struct scene *scene, enum event_type type)
{
    uint64_t counts[EVENT_TYPE_COUNT];
    events_sum(scene->events, counts);
    return counts[type];
}

/* The value of a row of `stats limits`, as text. */
static const char *stat_of(const struct scene *scene, const char *name, uint64_t now_ms)
{
    static char value[128];
    char format[128];
    struct out out;
    out_init(&out);
    gate_limits_print(scene->limits, &out, now_ms);
    out_put(&out, "\0", 1);
    (void)snprintf(format, sizeof(format), "STAT %s ", name);
    const char *at = strstr((const char *)out.buf, format);
    assert_non_null(at);
    at += strlen(format);
    (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
    out_fini(&out);
    return value;
}

static struct ip_peer peer_from(const char *text)
{
    struct ip_peer peer = {.port = 40000, .family = strchr(text, ':') != NULL ? IP_V6 : IP_V4};
    assert_true(ip_parse(bytes_str(text), &peer.ip));
    return peer;
}

static struct gate_limit_ends ends_of(const struct ip_peer *peer)
{
    return (struct gate_limit_ends){.from = peer, .to_port = 11211};
}

static bool take(struct scene *scene, enum gate_limit limit, const struct ip_peer *peer,
                 uint32_t cost, uint64_t now_ms)
{
    const struct gate_limit_ends ends = ends_of(peer);
    return gate_limit_take(scene->limiter, limit, &ends, cost, now_ms);
}

static uint32_t wait_ms(struct scene *scene, const struct ip_peer *peer, uint64_t now_ms)
{
    const struct gate_limit_ends ends = ends_of(peer);
    return gate_limit_wait_ms(scene->limiter, &ends, now_ms);
}

static bool may_log_in(struct scene *scene, const struct ip_peer *peer, uint64_t now_ms)
{
    const struct gate_limit_ends ends = ends_of(peer);
    return gate_limit_login(scene->limiter, &ends, now_ms);
}

static unsigned taken(struct scene *scene, enum gate_limit limit, const char *from, uint64_t now_ms)
{
    const struct ip_peer peer = peer_from(from);
    unsigned count = 0;
    while (count < 10000 && take(scene, limit, &peer, 1, now_ms))
        count++;
    return count;
}

static void connections_over_the_limit(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "limit_conns=10:5,limit_conns_prefix=100:12");
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "192.0.2.1", 0), 5);
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "192.0.2.2", 0), 5);
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "192.0.2.3", 0), 2);
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "192.0.3.3", 0), 5);
    assert_int_equal(noted(&scene, EVENT_CONN_LIMITED), 4);
    assert_string_equal(stat_of(&scene, "limit_conns:per_s", 0), "10");
    assert_string_equal(stat_of(&scene, "limit_conns:burst", 0), "5");
    assert_string_equal(stat_of(&scene, "limit_conns:limited", 0), "3");
    assert_string_equal(stat_of(&scene, "limit_conns:cells", 0), "4");
    assert_string_equal(stat_of(&scene, "limit_conns_prefix:limited", 0), "1");
    assert_string_equal(stat_of(&scene, "limit_conns_prefix:cells", 0), "2");
    assert_string_equal(stat_of(&scene, "limit_requests:per_s", 0), "0");
    gate_limits_reset(scene.limits);
    assert_string_equal(stat_of(&scene, "limit_conns:limited", 0), "0");
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "192.0.2.1", 100), 1);
    assert_string_equal(stat_of(&scene, "limit_conns:limited", 0), "1");
    scene_close(&scene);
}

static void the_trusted_and_the_local_are_exempt(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "limit_conns=1:1,limit_trusted=10.0.0.0/8+2001:db8::7");
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "10.1.2.3", 0), 10000);
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "2001:db8::7", 0), 10000);
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "2001:db8::8", 0), 1);
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "127.0.0.1", 0), 1); /* not named */
    const struct ip_peer local = {.family = IP_LOCAL};
    for (unsigned i = 0; i < 10; i++)
        assert_true(take(&scene, GATE_LIMIT_CONNS, &local, 1, 0));
    /* ...but datagrams can be forged. */
    assert_int_equal(taken(&scene, GATE_LIMIT_UDP_CHALLENGES, "10.1.2.3", 0), 200);
    scene_close(&scene);
    scene_open(&scene, "limit_conns=1:1");
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "127.0.0.1", 0), 10000);
    assert_int_equal(taken(&scene, GATE_LIMIT_CONNS, "::1", 0), 10000);
    scene_close(&scene);
}

static void bad_prefixes_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"limit_trusted=10.0.0.1/8", "limit_trusted=10.0.0.0/8+x",
                                      "limit_trusted=+", "limit_trusted=::1+",
                                      "limit_trusted=::1++::2"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct scene scene;
        char error[GATE_ERROR_BYTES] = "";
        assert_int_equal(scene_try(&scene, bad[i], error), -EINVAL);
        assert_non_null(strstr(error, "limit_trusted: '"));
        scene_close(&scene);
    }
}

static void requests_and_bytes_are_waited_for(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "limit_requests=100:50,limit_bytes=1m:1m");
    const struct ip_peer peer = peer_from("2001:db8::1"), trusted = peer_from("127.0.0.5");
    assert_true(gate_limit_concerns(scene.limiter, &peer));
    assert_false(gate_limit_concerns(scene.limiter, &trusted));
    assert_int_equal(wait_ms(&scene, &peer, 0), 0);
    gate_limit_used(scene.limiter, &peer, 60, 1000, 0);
    assert_int_equal(wait_ms(&scene, &peer, 0), 100);
    assert_int_equal(wait_ms(&scene, &peer, 100), 0);
    gate_limit_used(scene.limiter, &peer, 0, 3 << 20, 100);
    assert_int_equal(wait_ms(&scene, &peer, 100), GATE_LIMIT_WAIT_MS_MAX);
    assert_int_equal(wait_ms(&scene, &peer, 2099), 1);
    assert_int_equal(wait_ms(&scene, &peer, 2101), 0);
    assert_int_equal(noted(&scene, EVENT_REQUEST_LIMITED), 1);
    assert_int_equal(noted(&scene, EVENT_BYTE_LIMITED), 2);
    scene_close(&scene);
}

static void only_failed_logins_count(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "limit_logins=1:3");
    const struct ip_peer peer = peer_from("127.0.0.1"); /* trusted, but not in this */
    const struct ip_peer other = peer_from("127.0.0.2"), local = {.family = IP_LOCAL};
    for (unsigned i = 0; i < 100; i++)
        assert_true(may_log_in(&scene, &peer, 0));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(may_log_in(&scene, &peer, 0));
        gate_limit_login_failed(scene.limiter, &peer, 0);
        gate_limit_login_failed(scene.limiter, &local, 0);
    }
    assert_false(may_log_in(&scene, &peer, 0));
    assert_true(may_log_in(&scene, &other, 0));
    assert_true(may_log_in(&scene, &local, 0));
    assert_true(may_log_in(&scene, &peer, 1000));
    assert_int_equal(noted(&scene, EVENT_LOGIN_LIMITED), 1);
    scene_close(&scene);
}

static void a_dry_run_limits_nothing(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "limit_dry_run,limit_conns=1:1,limit_requests=1:1,limit_logins=1:1");
    const struct ip_peer peer = peer_from("192.0.2.1");
    for (unsigned i = 0; i < 4; i++) {
        assert_true(take(&scene, GATE_LIMIT_CONNS, &peer, 1, 0));
        assert_int_equal(wait_ms(&scene, &peer, 0), 0);
        gate_limit_used(scene.limiter, &peer, 1, 100, 0);
        assert_true(may_log_in(&scene, &peer, 0));
        gate_limit_login_failed(scene.limiter, &peer, 0);
    }
    assert_string_equal(stat_of(&scene, "limit_dry_run", 0), "yes");
    assert_string_equal(stat_of(&scene, "limit_conns:dry_run", 0), "3");
    assert_string_equal(stat_of(&scene, "limit_conns:limited", 0), "0");
    assert_string_equal(stat_of(&scene, "limit_requests:dry_run", 0), "2");
    assert_string_equal(stat_of(&scene, "limit_logins:dry_run", 0), "3");
    assert_int_equal(noted(&scene, EVENT_CONN_LIMITED), 3);
    /* ...but what sources draw that may be forged. */
    assert_int_equal(taken(&scene, GATE_LIMIT_UDP_CHALLENGES, "192.0.2.1", 0), 200);
    assert_false(take(&scene, GATE_LIMIT_UDP_LEGACY, &peer, UINT32_MAX, 0));
    assert_true(take(&scene, GATE_LIMIT_UDP_BYTES, &peer, UINT32_MAX, 0));
    scene_close(&scene);
}

/* The defaults for datagrams: 100 and 1000 challenges, 8 and 64 MiB of answers, and twice that at
 * once. */
static void datagrams_have_limits_by_default(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "limit_trusted=");
    assert_string_equal(stat_of(&scene, "limit_trusted", 0), "none");
    assert_int_equal(taken(&scene, GATE_LIMIT_UDP_CHALLENGES, "192.0.2.1", 0), 200);
    assert_int_equal(taken(&scene, GATE_LIMIT_UDP_CHALLENGES, "192.0.2.1", 1000), 100);
    unsigned prefix = 0;
    for (unsigned i = 2; i < 100; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "192.0.2.%u", i);
        prefix += taken(&scene, GATE_LIMIT_UDP_CHALLENGES, text, 1000);
    }
    assert_int_equal(prefix, 1900); /* of the 2000, the first has had 100 in this second */
    const struct ip_peer peer = peer_from("2001:db8::1");
    unsigned chunks = 0;
    while (take(&scene, GATE_LIMIT_UDP_BYTES, &peer, 65536, 0))
        chunks++;
    assert_int_equal(chunks, 16 * 16);
    scene_close(&scene);
}

static void who_may_be_forged_is_not_trusted(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "limit_trusted=192.0.2.0/24,limit_udp_legacy=1000,limit_udp_bytes=1000");
    assert_int_equal(taken(&scene, GATE_LIMIT_UDP_LEGACY, "192.0.2.1", 0), 2000);
    assert_int_equal(taken(&scene, GATE_LIMIT_UDP_LEGACY, "198.51.100.1", 0), 2000);
    /* nor has it cost those anything who have proved that they are there */
    assert_int_equal(taken(&scene, GATE_LIMIT_UDP_BYTES, "198.51.100.1", 0), 2000);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_over_the_limit),
        cmocka_unit_test(the_trusted_and_the_local_are_exempt),
        cmocka_unit_test(bad_prefixes_are_named),
        cmocka_unit_test(requests_and_bytes_are_waited_for),
        cmocka_unit_test(only_failed_logins_count),
        cmocka_unit_test(a_dry_run_limits_nothing),
        cmocka_unit_test(datagrams_have_limits_by_default),
        cmocka_unit_test(who_may_be_forged_is_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
