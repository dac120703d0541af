/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/limit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "gate/gate.h"
#include "gate/ledger.h"

static const struct {
    const char *name[GATE_LEDGER_SCOPES]; /* of the option, and of the rule in an event */
    size_t rate[GATE_LEDGER_SCOPES];      /* offset in struct opts */
    enum event_type event;
    bool trust; /* trusted prefixes are exempt */
} kinds[GATE_LIMITS] = {
#define KIND(field, event_type, trusts)                                                            \
    {                                                                                              \
        .name = {#field, #field "_prefix"},                                                        \
        .rate = {offsetof(struct opts, field), offsetof(struct opts, field##_prefix)},             \
        .event = event_type, .trust = trusts,                                                      \
    }
    [GATE_LIMIT_REQUESTS] = KIND(limit_requests, EVENT_REQUEST_LIMITED, true),
    [GATE_LIMIT_BYTES] = KIND(limit_bytes, EVENT_BYTE_LIMITED, true),
    [GATE_LIMIT_CONNS] = KIND(limit_conns, EVENT_CONN_LIMITED, true),
    [GATE_LIMIT_LOGINS] = KIND(limit_logins, EVENT_LOGIN_LIMITED, false),
    [GATE_LIMIT_UDP_CHALLENGES] = KIND(limit_udp_challenges, EVENT_UDP_CHALLENGE_LIMITED, false),
    [GATE_LIMIT_UDP_BYTES] = KIND(limit_udp_bytes, EVENT_UDP_ANSWER_LIMITED, true),
    [GATE_LIMIT_UDP_LEGACY] = KIND(limit_udp_legacy, EVENT_UDP_ANSWER_LIMITED, false),
#undef KIND
};

enum outcome { LIMITED, DRY_RUN, OUTCOMES };

/* How often each limit was reached. */
struct counts {
    _Atomic uint64_t value[OUTCOMES][GATE_LIMITS][GATE_LEDGER_SCOPES];
};

struct gate_limiter {
    _Alignas(CACHE_LINE_BYTES) struct gate_limits *limits;
    struct event_source *events;
    struct counts counts; /* its thread writes; relaxed, they guard nothing */
};

struct gate_limits {
    const struct opts *opts;
    struct gate_ledger *ledger[GATE_LIMITS]; /* NULL: there is no UDP; what is off may come on */
    /* The rates just now, for people: per_s above, burst below. Relaxed, as dry_run: each says all
     * about itself. */
    _Atomic uint64_t rate[GATE_LIMITS][GATE_LEDGER_SCOPES];
    atomic_bool dry_run;
    struct ip_prefix *trusted;
    size_t trusted_count;
    struct gate_limiter *limiters; /* by thread */
    unsigned thread_count;
    struct counts base; /* what was counted before the last reset; relaxed, likewise */
};

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

static bool is_trusted(const struct gate_limits *limits, const struct ip_peer *peer)
{
    for (size_t i = 0; i < limits->trusted_count; i++)
        if (ip_prefix_has(&limits->trusted[i], &peer->ip))
            return true;
    return false;
}

/* The ledger to ask; NULL: this limit does not concern the peer. */
static struct gate_ledger *ledger_of(const struct gate_limits *limits, enum gate_limit limit,
                                     const struct ip_peer *peer)
{
    if (limits->ledger[limit] == NULL || !gate_ledger_is_on(limits->ledger[limit]) ||
        peer->family == IP_LOCAL || (kinds[limit].trust && is_trusted(limits, peer)))
        return NULL;
    return limits->ledger[limit];
}

/* What sources draw that may be forged is limited in a dry run as well: others would pay for it. */
static bool is_dry(const struct gate_limits *limits, enum gate_limit limit)
{
    return atomic_load_explicit(&limits->dry_run, memory_order_relaxed) &&
           limit != GATE_LIMIT_UDP_CHALLENGES && limit != GATE_LIMIT_UDP_LEGACY;
}

/* Count and note that a limit was reached. Returns whether that is to have consequences. */
static COLD bool reached(struct gate_limiter *limiter, enum gate_limit limit,
                         enum gate_ledger_scope scope, const struct gate_limit_ends *ends)
{
    const bool dry_run = is_dry(limiter->limits, limit);
    _Atomic uint64_t *count = &limiter->counts.value[dry_run ? DRY_RUN : LIMITED][limit][scope];
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    event_note(limiter->events, &(const struct event){.type = kinds[limit].event,
                                                      .dry_run = dry_run,
                                                      .from = ends->from,
                                                      .to = ends->to,
                                                      .to_port = ends->to_port,
                                                      .rule = bytes_str(kinds[limit].name[scope])});
    return !dry_run;
}

bool gate_limit_take(struct gate_limiter *limiter, enum gate_limit limit,
                     const struct gate_limit_ends *ends, uint32_t cost, uint64_t now_ms)
{
    struct gate_ledger *ledger = ledger_of(limiter->limits, limit, ends->from);
    if (ledger == NULL)
        return true;
    const enum gate_ledger_rc rc = gate_ledger_take(ledger, &ends->from->ip, cost, now_ms);
    return LIKELY(rc == GATE_LEDGER_FITS) ||
           !reached(limiter, limit, (enum gate_ledger_scope)rc, ends);
}

bool gate_limit_concerns(const struct gate_limiter *limiter, const struct ip_peer *peer)
{
    return ledger_of(limiter->limits, GATE_LIMIT_REQUESTS, peer) != NULL ||
           ledger_of(limiter->limits, GATE_LIMIT_BYTES, peer) != NULL;
}

uint32_t gate_limit_wait_ms(struct gate_limiter *limiter, const struct gate_limit_ends *ends,
                            uint64_t now_ms)
{
    uint32_t wait_ms = 0;
    for (enum gate_limit limit = GATE_LIMIT_REQUESTS; limit <= GATE_LIMIT_BYTES; limit++) {
        const struct gate_ledger *ledger = limiter->limits->ledger[limit];
        enum gate_ledger_scope scope = GATE_LEDGER_ADDRESS;
        const uint32_t ms =
            ledger != NULL ? gate_ledger_wait_ms(ledger, &ends->from->ip, now_ms, &scope) : 0;
        if (UNLIKELY(ms > 0) && reached(limiter, limit, scope, ends) && ms > wait_ms)
            wait_ms = ms;
    }
    return wait_ms < GATE_LIMIT_WAIT_MS_MAX ? wait_ms : GATE_LIMIT_WAIT_MS_MAX;
}

void gate_limit_used(struct gate_limiter *limiter, const struct ip_peer *peer, uint32_t requests,
                     uint64_t bytes, uint64_t now_ms)
{
    struct gate_ledger *const *ledger = limiter->limits->ledger;
    const uint32_t cost = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    if (ledger[GATE_LIMIT_REQUESTS] != NULL && requests > 0)
        gate_ledger_charge(ledger[GATE_LIMIT_REQUESTS], &peer->ip, requests, now_ms);
    if (ledger[GATE_LIMIT_BYTES] != NULL && cost > 0)
        gate_ledger_charge(ledger[GATE_LIMIT_BYTES], &peer->ip, cost, now_ms);
}

bool gate_limit_login(struct gate_limiter *limiter, const struct gate_limit_ends *ends,
                      uint64_t now_ms)
{
    const struct gate_ledger *ledger = ledger_of(limiter->limits, GATE_LIMIT_LOGINS, ends->from);
    if (ledger == NULL)
        return true;
    const enum gate_ledger_rc rc = gate_ledger_look(ledger, &ends->from->ip, 1, now_ms);
    return rc == GATE_LEDGER_FITS ||
           !reached(limiter, GATE_LIMIT_LOGINS, (enum gate_ledger_scope)rc, ends);
}

void gate_limit_login_failed(struct gate_limiter *limiter, const struct ip_peer *peer,
                             uint64_t now_ms)
{
    struct gate_ledger *ledger = ledger_of(limiter->limits, GATE_LIMIT_LOGINS, peer);
    if (ledger != NULL)
        gate_ledger_charge(ledger, &peer->ip, 1, now_ms);
}

/* ── set-up ───────────────────────────────────────────────────────────────────────────────── */

static struct gate_rate rate_of(const struct opts *opts, enum gate_limit limit,
                                enum gate_ledger_scope scope)
{
    const struct opt_rate *rate = (const void *)((const char *)opts + kinds[limit].rate[scope]);
    return (struct gate_rate){.per_s = rate->per_s, .burst = rate->burst};
}

static void rate_remember(struct gate_limits *limits, enum gate_limit limit,
                          enum gate_ledger_scope scope, struct gate_rate rate)
{
    atomic_store_explicit(&limits->rate[limit][scope], (uint64_t)rate.per_s << 32 | rate.burst,
                          memory_order_relaxed);
}

void gate_limits_change(struct gate_limits *limits, const struct opts *opts)
{
    atomic_store_explicit(&limits->dry_run, opts->limit_dry_run, memory_order_relaxed);
    for (enum gate_limit limit = 0; limit < GATE_LIMITS; limit++)
        for (enum gate_ledger_scope scope = 0; scope < GATE_LEDGER_SCOPES; scope++) {
            const struct gate_rate rate = rate_of(opts, limit, scope);
            rate_remember(limits, limit, scope, rate);
            if (limits->ledger[limit] != NULL)
                gate_ledger_rate_set(limits->ledger[limit], scope, rate);
        }
}

static int ledger_init(struct gate_limits *limits, enum gate_limit limit)
{
    const struct opts *opts = limits->opts;
    const struct gate_ledger_scope_config config[GATE_LEDGER_SCOPES] = {
        [GATE_LEDGER_ADDRESS] = {.rate = rate_of(opts, limit, GATE_LEDGER_ADDRESS),
                                 .v4_bits = IP_BITS - IP_V4_BITS,
                                 .v6_bits = (uint8_t)opts->limit_address_v6},
        [GATE_LEDGER_PREFIX] = {.rate = rate_of(opts, limit, GATE_LEDGER_PREFIX),
                                .v4_bits = (uint8_t)opts->limit_prefix_v4,
                                .v6_bits = (uint8_t)opts->limit_prefix_v6},
    };
    for (enum gate_ledger_scope scope = 0; scope < GATE_LEDGER_SCOPES; scope++)
        rate_remember(limits, limit, scope, config[scope].rate);
    if (limit >= GATE_LIMIT_UDP_CHALLENGES && opts->udp_port == 0)
        return 0;
    return gate_ledger_new(config, &limits->ledger[limit]);
}

/* The prefixes of -o limit_trusted, separated by '+'. */
static int trusted_init(struct gate_limits *limits, char *error)
{
    struct bytes rest = bytes_str(limits->opts->limit_trusted);
    limits->trusted = calloc(rest.len / 2 + 1, sizeof(*limits->trusted));
    if (limits->trusted == NULL)
        return -ENOMEM;
    for (bool more = rest.len > 0; more;) {
        const struct bytes part = bytes_part_take(&rest, '+', &more);
        if (!ip_prefix_parse(part, &limits->trusted[limits->trusted_count++])) {
            (void)snprintf(error, GATE_ERROR_BYTES,
                           "-o limit_trusted: '%.*s' is no address and no prefix; allowed: "
                           "ADDRESS or ADDRESS/BITS without a bit behind them, several with '+'",
                           (int)(part.len < 100 ? part.len : 100), (const char *)part.ptr);
            return -EINVAL;
        }
    }
    return 0;
}

static int limiters_init(struct gate_limits *limits, unsigned threads)
{
    limits->limiters = aligned_alloc(CACHE_LINE_BYTES, threads * sizeof(*limits->limiters));
    if (limits->limiters == NULL)
        return -ENOMEM;
    memset(limits->limiters, 0, threads * sizeof(*limits->limiters));
    for (unsigned i = 0; i < threads; i++)
        limits->limiters[i].limits = limits;
    limits->thread_count = threads;
    return 0;
}

int gate_limits_new(const struct opts *opts, unsigned threads, struct gate_limits **ret_limits,
                    char *ret_error)
{
    struct gate_limits *limits = calloc(1, sizeof(*limits));
    if (limits == NULL)
        return -ENOMEM;
    limits->opts = opts;
    atomic_init(&limits->dry_run, opts->limit_dry_run);
    int rc = trusted_init(limits, ret_error);
    if (rc == 0)
        rc = limiters_init(limits, threads);
    for (enum gate_limit limit = 0; limit < GATE_LIMITS && rc == 0; limit++)
        rc = ledger_init(limits, limit);
    if (rc == 0)
        *ret_limits = limits;
    else
        gate_limits_free(limits);
    return rc;
}

void gate_limits_free(struct gate_limits *limits)
{
    if (limits == NULL)
        return;
    for (enum gate_limit limit = 0; limit < GATE_LIMITS; limit++)
        gate_ledger_free(limits->ledger[limit]);
    free(limits->trusted);
    free(limits->limiters);
    free(limits);
}

struct gate_limiter *gate_limiter_of(struct gate_limits *limits, unsigned thread,
                                     struct event_source *events)
{
    limits->limiters[thread].events = events;
    return &limits->limiters[thread];
}

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

static uint64_t counted(const struct gate_limits *limits, enum outcome outcome,
                        enum gate_limit limit, enum gate_ledger_scope scope)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < limits->thread_count; i++)
        sum += atomic_load_explicit(&limits->limiters[i].counts.value[outcome][limit][scope],
                                    memory_order_relaxed);
    return sum;
}

static uint64_t since_reset(const struct gate_limits *limits, enum outcome outcome,
                            enum gate_limit limit, enum gate_ledger_scope scope)
{
    return counted(limits, outcome, limit, scope) -
           atomic_load_explicit(&limits->base.value[outcome][limit][scope], memory_order_relaxed);
}

static void put_row(struct out *out, const char *name, const char *what, uint64_t value)
{
    out_printf(out, "STAT %s:%s %llu\r\n", name, what, (unsigned long long)value);
}

static void limit_print(const struct gate_limits *limits, enum gate_limit limit,
                        enum gate_ledger_scope scope, uint64_t now_ms, struct out *out)
{
    const char *name = kinds[limit].name[scope];
    const uint64_t rate = atomic_load_explicit(&limits->rate[limit][scope], memory_order_relaxed);
    put_row(out, name, "per_s", rate >> 32);
    if (rate >> 32 == 0)
        return;
    put_row(out, name, "burst", (uint32_t)rate);
    put_row(out, name, "limited", since_reset(limits, LIMITED, limit, scope));
    put_row(out, name, "dry_run", since_reset(limits, DRY_RUN, limit, scope));
    if (limits->ledger[limit] != NULL)
        put_row(out, name, "cells", gate_ledger_cells(limits->ledger[limit], scope, now_ms));
}

void gate_limits_print(struct gate_limits *limits, struct out *out, uint64_t now_ms)
{
    out_printf(out, "STAT limit_dry_run %s\r\n",
               atomic_load_explicit(&limits->dry_run, memory_order_relaxed) ? "yes" : "no");
    out_printf(out, "STAT limit_trusted %s\r\n",
               limits->trusted_count > 0 ? limits->opts->limit_trusted : "none");
    for (enum gate_limit limit = 0; limit < GATE_LIMITS; limit++)
        for (enum gate_ledger_scope scope = 0; scope < GATE_LEDGER_SCOPES; scope++)
            limit_print(limits, limit, scope, now_ms, out);
}

void gate_limits_reset(struct gate_limits *limits)
{
    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++)
        for (enum gate_limit limit = 0; limit < GATE_LIMITS; limit++)
            for (enum gate_ledger_scope scope = 0; scope < GATE_LEDGER_SCOPES; scope++)
                atomic_store_explicit(&limits->base.value[outcome][limit][scope],
                                      counted(limits, outcome, limit, scope), memory_order_relaxed);
}
