/* This host's addresses, for who has to tell whether a datagram claims to come from ourselves. The
 * broadcast addresses of its networks are among them: an answer to one would reach us, too.
 *
 * The listener's thread asks the kernel, at the start, when poked and once per NET_TICK_S; each
 * worker has a copy, and takes a new one, under the lock, only when the number of the table has
 * changed. Addresses come and go seldom, so the lock is never fought for.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "net/net_priv.h"

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ip));
}

static size_t address_add(struct ip *ips, size_t count, const struct sockaddr *addr)
{
    struct ip_peer peer = {.family = IP_LOCAL};
    if (addr != NULL)
        net_addr_peer(addr, &peer);
    if (peer.family != IP_LOCAL)
        ips[count++] = peer.ip;
    return count;
}

/* The kernel's list, sorted. Returns 0 or -errno. Owns: *ret_ips. */
static int own_read(struct ip **ret_ips, size_t *ret_count)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0)
        return -errno;
    size_t max = 1, count = 0;
    for (const struct ifaddrs *at = list; at != NULL; at = at->ifa_next)
        max += 2;
    struct ip *ips = calloc(max, sizeof(*ips));
    for (const struct ifaddrs *at = list; ips != NULL && at != NULL; at = at->ifa_next) {
        count = address_add(ips, count, at->ifa_addr);
        if ((at->ifa_flags & IFF_BROADCAST) != 0)
            count = address_add(ips, count, at->ifa_broadaddr);
    }
    freeifaddrs(list);
    if (ips == NULL)
        return -ENOMEM;
    qsort(ips, count, sizeof(*ips), compare);
    *ret_ips = ips;
    *ret_count = count;
    return 0;
}

void net_own_init(struct net_own *own)
{
    (void)pthread_mutex_init(&own->lock, NULL);
}

void net_own_fini(struct net_own *own)
{
    (void)pthread_mutex_destroy(&own->lock);
    free(own->ips);
}

int net_own_refresh(struct net_own *own)
{
    struct ip *ips = NULL;
    size_t count = 0;
    const int rc = own_read(&ips, &count);
    if (rc != 0)
        return rc;
    /* Only this thread writes, so it may look without the lock. */
    if (count == own->count && count > 0 && memcmp(ips, own->ips, count * sizeof(*ips)) == 0) {
        free(ips);
        return 0;
    }
    (void)pthread_mutex_lock(&own->lock);
    struct ip *before = own->ips;
    own->ips = ips;
    own->count = count;
    (void)pthread_mutex_unlock(&own->lock);
    free(before);
    /* Relaxed: who sees the number takes the lock, and that orders the rest. */
    atomic_fetch_add_explicit(&own->number, 1, memory_order_relaxed);
    return 0;
}

void net_own_copy(struct net_own *own, struct net_own_copy *copy)
{
    const uint32_t number = atomic_load_explicit(&own->number, memory_order_relaxed);
    if (LIKELY(number == copy->number))
        return;
    (void)pthread_mutex_lock(&own->lock);
    struct ip *ips = malloc((own->count + 1) * sizeof(*ips));
    if (ips != NULL) { /* else the old ones serve until the next turn */
        if (own->count > 0)
            memcpy(ips, own->ips, own->count * sizeof(*ips));
        free(copy->ips);
        copy->ips = ips;
        copy->count = own->count;
        copy->number = number;
    }
    (void)pthread_mutex_unlock(&own->lock);
}

bool net_own_has(const struct net_own_copy *copy, const struct ip *ip)
{
    if (ip_is_loopback(ip))
        return true;
    size_t from = 0, to = copy->count;
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        const int order = memcmp(ip->byte, copy->ips[middle].byte, sizeof(ip->byte));
        if (order == 0)
            return true;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return false;
}
