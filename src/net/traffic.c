/* What a connection does: counted by its worker, told to whoever asks.
 *
 * The rate of its requests is that of the last NET_RATE_S seconds, as if those of a period had come
 * evenly: the worker keeps the number of the period before and of the one that is going on,
 *
 *     ├──── rate_before ────┤├── requests - rate_requests ──┤
 *                      └──────────── NET_RATE_S ────────────┘ now
 *
 * and begins another period with a batch, so that a silent connection costs nothing; who asks sees
 * by the time how much of either is meant.
 *
 * The reader may meet a change of periods half done: then the rate is wrong by a period, once.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "net/net_priv.h"

static const uint32_t NO_PERIOD =
    UINT32_MAX; /* rate_before of a connection that is younger than one */

static uint64_t number(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void number_set(_Atomic uint64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static uint32_t second(const _Atomic uint32_t *second)
{
    return atomic_load_explicit(second, memory_order_relaxed);
}

static void second_set(_Atomic uint32_t *second, uint32_t value)
{
    atomic_store_explicit(second, value, memory_order_relaxed);
}

void net_traffic_init(struct net_conn *conn, uint32_t now_s)
{
    conn->read_ticks = 0;
    number_set(&conn->requests, 0);
    number_set(&conn->bytes_read, 0);
    number_set(&conn->bytes_written, 0);
    number_set(&conn->pending_bytes, 0);
    number_set(&conn->rate_requests, 0);
    second_set(&conn->rate_s, now_s);
    second_set(&conn->rate_before, NO_PERIOD);
    second_set(&conn->taken_s, now_s);
}

void net_traffic_rate_renew(struct net_conn *conn, uint32_t now_s)
{
    const uint64_t requests = number(&conn->requests);
    const uint32_t passed_s = now_s - second(&conn->rate_s);
    const uint64_t counted = requests - number(&conn->rate_requests);
    /* A period that has become longer, in silence: as many as the last NET_RATE_S of it had, had
     * they come evenly. */
    const uint64_t before = counted * NET_RATE_S / passed_s;
    second_set(&conn->rate_before, before < NO_PERIOD ? (uint32_t)before : NO_PERIOD - 1);
    number_set(&conn->rate_requests, requests);
    second_set(&conn->rate_s, now_s);
}

static double rate_of(const struct net_conn *conn, uint64_t requests, uint32_t now_s)
{
    const uint64_t earlier = number(&conn->rate_requests);
    const uint32_t began_s = second(&conn->rate_s);
    const double counted = requests > earlier ? (double)(requests - earlier) : 0;
    const uint32_t passed_s = now_s > began_s ? now_s - began_s : 0;
    const uint32_t before = second(&conn->rate_before);
    if (passed_s >= NET_RATE_S || before == NO_PERIOD)
        return counted / (passed_s > 0 ? passed_s : 1);
    return (counted + (double)before * (NET_RATE_S - passed_s) / NET_RATE_S) / NET_RATE_S;
}

void net_traffic_get(const struct net_conn *conn, uint32_t now_s, struct net_traffic *ret_traffic)
{
    const uint64_t requests = number(&conn->requests);
    const uint32_t taken_s = second(&conn->taken_s);
    *ret_traffic = (struct net_traffic){
        .requests = requests,
        .requests_per_s = rate_of(conn, requests, now_s),
        .bytes_read = number(&conn->bytes_read),
        .bytes_written = number(&conn->bytes_written),
        .pending_bytes = number(&conn->pending_bytes),
        .slow_s = now_s > taken_s ? now_s - taken_s : 0,
    };
}
