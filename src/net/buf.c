/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "net/net_priv.h"

/* Free buffers that a worker keeps, 1 MiB: enough to spare malloc under load, little enough to
 * forget. */
enum { FREE_COUNT_MAX = 64 };

static struct net_buf *buf_new(struct net_pool *pool, size_t cap)
{
    if (pool->bytes_max > 0 && pool->bytes + cap > pool->bytes_max)
        return NULL;
    struct net_buf *buf = malloc(sizeof(*buf) + cap);
    if (buf == NULL)
        return NULL;
    buf->cap = cap;
    pool->bytes += cap;
    stat_inc(pool->stats, STAT_READ_BUF_COUNT);
    stat_add(pool->stats, STAT_READ_BUF_BYTES, cap);
    return buf;
}

static void buf_free(struct net_pool *pool, struct net_buf *buf)
{
    pool->bytes -= buf->cap;
    stat_sub(pool->stats, STAT_READ_BUF_COUNT, 1);
    stat_sub(pool->stats, STAT_READ_BUF_BYTES, buf->cap);
    free(buf);
}

struct net_buf *net_buf_take(struct net_pool *pool)
{
    struct net_buf *buf = pool->free;
    if (LIKELY(buf != NULL)) {
        pool->free = buf->next;
        pool->free_count--;
        stat_sub(pool->stats, STAT_READ_BUF_BYTES_FREE, buf->cap);
        return buf;
    }
    buf = buf_new(pool, NET_IN_BYTES);
    if (buf == NULL)
        stat_inc(pool->stats, STAT_READ_BUF_OOM);
    return buf;
}

void net_buf_give(struct net_pool *pool, struct net_buf *buf)
{
    if (buf->cap != NET_IN_BYTES || pool->free_count == FREE_COUNT_MAX) {
        buf_free(pool, buf);
        return;
    }
    buf->next = pool->free;
    pool->free = buf;
    pool->free_count++;
    stat_add(pool->stats, STAT_READ_BUF_BYTES_FREE, buf->cap);
}

struct net_buf *net_buf_grow(struct net_pool *pool, struct net_buf *buf)
{
    if (buf->cap >= NET_IN_BYTES_MAX)
        return NULL;
    struct net_buf *grown = buf_new(pool, buf->cap * 2);
    if (grown == NULL) {
        stat_inc(pool->stats, STAT_READ_BUF_OOM);
        return NULL;
    }
    memcpy(grown->data, buf->data, buf->cap);
    net_buf_give(pool, buf);
    return grown;
}

void net_pool_fini(struct net_pool *pool)
{
    while (pool->free != NULL)
        buf_free(pool, net_buf_take(pool));
}
