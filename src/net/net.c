/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/net.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/thread.h"
#include "net/net_priv.h"

enum { CONNS_CAP_MAX = 1 << 24 };

void net_wake(int wake_fd)
{
    const int saved = errno;
    const uint64_t one = 1;
    /* A full counter is as good as one more: somebody will wake up. */
    if (write(wake_fd, &one, sizeof(one)) < 0)
        errno = saved;
}

void net_wake_clear(int wake_fd)
{
    uint64_t count;
    (void)!read(wake_fd, &count, sizeof(count));
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

/* Addresses for a table; memory comes page by page. NULL: there are none left. */
static void *table_map(size_t count, size_t bytes)
{
    void *map = mmap(NULL, count * bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return map != MAP_FAILED ? map : NULL;
}

/* Reserve a slot for every fd that the process may ever have. */
static int conns_map(struct net *net)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -errno;
    net->conns_cap =
        limit.rlim_cur < CONNS_CAP_MAX ? (uint32_t)limit.rlim_cur : (uint32_t)CONNS_CAP_MAX;
    net->conns = table_map(net->conns_cap, sizeof(*net->conns));
    net->peers = table_map(net->conns_cap, sizeof(*net->peers));
    return net->conns != NULL && net->peers != NULL ? 0 : -ENOMEM;
}

static int listener_init(struct net *net, char *error)
{
    net->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    net->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (net->epoll_fd < 0 || net->wake_fd < 0 ||
        epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, net->wake_fd, &event) != 0)
        return -errno;
    return net_listen_open(net, error);
}

static int workers_init(struct net *net)
{
    const unsigned count = net->config.worker_count;
    net->workers = aligned_alloc(CACHE_LINE_BYTES, count * sizeof(*net->workers));
    if (net->workers == NULL)
        return -ENOMEM;
    memset(net->workers, 0, count * sizeof(*net->workers));
    for (unsigned i = 0; i < count; i++)
        net->workers[i].epoll_fd = net->workers[i].wake_fd = -1;
    for (unsigned i = 0; i < count; i++) {
        const int rc = net_worker_init(&net->workers[i], net, i);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void limits_store(struct net *net, const struct net_limits *limits)
{
    uint32_t sweep_s = limits->idle_timeout_s;
    if (net->config.tls != NULL && (sweep_s == 0 || sweep_s > NET_TLS_HANDSHAKE_S))
        sweep_s = NET_TLS_HANDSHAKE_S;
    atomic_store_explicit(&net->conns_max, limits->conns_max, memory_order_relaxed);
    atomic_store_explicit(&net->requests_per_event, limits->requests_per_event,
                          memory_order_relaxed);
    atomic_store_explicit(&net->idle_timeout_s, limits->idle_timeout_s, memory_order_relaxed);
    atomic_store_explicit(&net->sweep_every_s, sweep_s, memory_order_relaxed);
}

int net_new(const struct net_config *config, struct net **ret_net, char *ret_error)
{
    ret_error[0] = '\0';
    struct net *net = aligned_alloc(CACHE_LINE_BYTES, sizeof(*net));
    if (net == NULL)
        return -ENOMEM;
    memset(net, 0, sizeof(*net));
    net->config = *config;
    net->epoll_fd = net->wake_fd = -1;
    net_own_init(&net->own);
    limits_store(net, &(const struct net_limits){.conns_max = config->conns_max,
                                                 .requests_per_event = config->requests_per_event,
                                                 .idle_timeout_s = config->idle_timeout_s});
    int rc = conns_map(net);
    if (rc == 0)
        rc = workers_init(net);
    if (rc == 0)
        rc = listener_init(net, ret_error);
    if (rc != 0) {
        if (ret_error[0] == '\0')
            (void)snprintf(ret_error, NET_ERROR_BYTES, "cannot set up the network: %s",
                           strerror(-rc));
        net_free(net);
        return rc;
    }
    *ret_net = net;
    return 0;
}

int net_run(struct net *net)
{
    for (unsigned i = 0; i < net->config.worker_count; i++) {
        struct net_worker *worker = &net->workers[i];
        const int rc = thread_start(&worker->thread, net_worker_main, worker);
        if (rc != 0)
            return rc;
        worker->started = true;
    }
    return net_listen_loop(net);
}

void net_stop(struct net *net)
{
    atomic_store_explicit(&net->stop, true, memory_order_release);
    net_wake(net->wake_fd);
}

void net_poke(struct net *net)
{
    atomic_store_explicit(&net->poked, true, memory_order_release);
    net_wake(net->wake_fd);
}

static void all_wake(struct net *net)
{
    net_wake(net->wake_fd);
    for (unsigned i = 0; i < net->config.worker_count; i++)
        net_wake(net->workers[i].wake_fd);
}

void net_drain(struct net *net, enum net_drain how)
{
    atomic_store_explicit(&net->drain, (uint8_t)how, memory_order_release);
    all_wake(net);
}

enum net_drain net_draining(const struct net *net)
{
    return atomic_load_explicit(&net->drain, memory_order_relaxed);
}

enum net_late net_late_get(const struct net *net, int fd)
{
    return net->conns[fd].late;
}

void net_late_set(struct net *net, int fd, enum net_late late)
{
    net->conns[fd].late = (uint8_t)late;
}

void net_beat(struct net *net)
{
    atomic_fetch_add_explicit(&net->beat, 1, memory_order_release);
    all_wake(net);
}

bool net_beats(const struct net *net)
{
    const uint32_t beat = atomic_load_explicit(&net->beat, memory_order_relaxed);
    bool all = atomic_load_explicit(&net->listener_beat, memory_order_acquire) == beat;
    for (unsigned i = 0; i < net->config.worker_count; i++)
        all = all && atomic_load_explicit(&net->workers[i].beat, memory_order_acquire) == beat;
    return all;
}

void net_worker_wake(struct net *net, unsigned worker)
{
    net_wake(net->workers[worker].wake_fd);
}

void net_review(struct net *net)
{
    /* Release: with it a worker sees what the caller has changed before. */
    atomic_fetch_add_explicit(&net->reviews, 1, memory_order_release);
    for (unsigned i = 0; i < net->config.worker_count; i++)
        net_worker_wake(net, i);
}

void net_limits_set(struct net *net, const struct net_limits *limits)
{
    limits_store(net, limits);
    /* Who sleeps without an end, for want of a timeout, has to look at the new one. Accepting that
     * is paused looks by itself. */
    for (unsigned i = 0; i < net->config.worker_count; i++)
        net_worker_wake(net, i);
}

void net_free(struct net *net)
{
    if (net == NULL)
        return;
    atomic_store_explicit(&net->stop, true, memory_order_release);
    for (unsigned i = 0; net->workers != NULL && i < net->config.worker_count; i++)
        net_worker_fini(&net->workers[i]);
    free(net->workers);
    net_listen_close(net);
    net_own_fini(&net->own);
    if (net->epoll_fd >= 0)
        close(net->epoll_fd);
    if (net->wake_fd >= 0)
        close(net->wake_fd);
    if (net->conns != NULL)
        (void)munmap(net->conns, net->conns_cap * sizeof(*net->conns));
    if (net->peers != NULL)
        (void)munmap(net->peers, net->conns_cap * sizeof(*net->peers));
    free(net);
}

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

typedef int (*name_call)(int fd, struct sockaddr *addr, socklen_t *len);

/* Ask the kernel for an address of `fd` as text; empty when the fd has gone meanwhile. */
static void address_text(int fd, name_call call, char *ret_text)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    ret_text[0] = '\0';
    if (call(fd, (struct sockaddr *)&addr, &len) == 0)
        net_addr_format((const struct sockaddr *)&addr, len, ret_text);
}

static int peer_name(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getpeername(fd, addr, len);
}

static int sock_name(int fd, struct sockaddr *addr, socklen_t *len)
{
    return getsockname(fd, addr, len);
}

static bool is_listener(const struct net *net, int fd)
{
    for (size_t i = 0; i < net->listener_count; i++)
        if (net->listeners[i].fd == fd)
            return true;
    return false;
}

/* The socket for datagrams that has this fd, or NULL. */
static const struct net_udp *udp_find(const struct net *net, int fd)
{
    for (unsigned i = 0; i < net->config.worker_count; i++)
        for (size_t j = 0; j < net->workers[i].udp_count; j++)
            if (net->workers[i].udp[j].fd == fd)
                return &net->workers[i].udp[j];
    return NULL;
}

static void udp_info(const struct net_udp *udp, uint32_t now_s, struct net_conn_info *ret_info)
{
    const uint32_t last_s = atomic_load_explicit(&udp->last_s, memory_order_relaxed);
    ret_info->datagrams = true;
    ret_info->state = NET_STATE_WAIT;
    ret_info->idle_s = now_s > last_s ? now_s - last_s : 0;
    address_text(udp->fd, sock_name, ret_info->address);
    memcpy(ret_info->address, "udp", 3); /* tcp: and tcp6: it says of any IP socket */
}

static bool conn_info(struct net *net, int fd, uint32_t now_s, struct net_conn_info *ret_info)
{
    *ret_info = (struct net_conn_info){.fd = fd};
    const struct net_udp *udp = udp_find(net, fd);
    if (udp != NULL) {
        udp_info(udp, now_s, ret_info);
        return true;
    }
    if (is_listener(net, fd)) {
        ret_info->state = NET_STATE_LISTEN;
        address_text(fd, sock_name, ret_info->address);
        return true;
    }
    const struct net_conn *conn = &net->conns[fd];
    /* Relaxed: of the slot only numbers are read, and the kernel is asked for the rest. */
    ret_info->state = atomic_load_explicit(&conn->state, memory_order_relaxed);
    if (ret_info->state == NET_STATE_FREE)
        return false;
    ret_info->idle_s = net_silent_s(conn, now_s);
    net_traffic_get(conn, now_s, &ret_info->traffic);
    address_text(fd, peer_name, ret_info->address);
    address_text(fd, sock_name, ret_info->listen_address);
    return ret_info->address[0] != '\0';
}

void net_conn_each(struct net *net, void (*each)(void *arg, const struct net_conn_info *info),
                   void *arg)
{
    uint32_t end = atomic_load_explicit(&net->fds_used, memory_order_relaxed);
    for (size_t i = 0; i < net->listener_count; i++)
        if ((uint32_t)net->listeners[i].fd >= end)
            end = (uint32_t)net->listeners[i].fd + 1;
    for (unsigned i = 0; i < net->config.worker_count; i++)
        for (size_t j = 0; j < net->workers[i].udp_count; j++)
            if ((uint32_t)net->workers[i].udp[j].fd >= end)
                end = (uint32_t)net->workers[i].udp[j].fd + 1;
    const uint32_t now_s = clock_now_s();
    struct net_conn_info info;
    for (uint32_t fd = 0; fd < end && fd < net->conns_cap; fd++)
        if (conn_info(net, (int)fd, now_s, &info))
            each(arg, &info);
}

bool net_listener_get(const struct net *net, size_t index, struct net_listener_info *ret_info)
{
    if (index >= net->listener_count)
        return false;
    const struct net_listener *listener = &net->listeners[index];
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    (void)getsockname(listener->fd, (struct sockaddr *)&addr, &len);
    struct ip_peer bound;
    net_addr_peer((const struct sockaddr *)&addr, &bound);
    *ret_info = (struct net_listener_info){.family = listener->family,
                                           .tag = listener->tag,
                                           .datagrams = listener->datagrams,
                                           .tls = listener->tls,
                                           .ip = bound.ip,
                                           .port = bound.port};
    net_addr_format((const struct sockaddr *)&addr, len, ret_info->address);
    if (listener->datagrams)
        memcpy(ret_info->address, "udp", 3);
    return true;
}

uint8_t net_listener_tag(const struct net *net, size_t index)
{
    assert(index < net->listener_count);
    return net->listeners[index].tag;
}

uint16_t net_listener_port(const struct net *net, size_t index)
{
    assert(index < net->listener_count);
    return net->listeners[index].port;
}

void net_limits_get(const struct net *net, struct net_limits *ret_limits)
{
    *ret_limits = (struct net_limits){
        .conns_max = atomic_load_explicit(&net->conns_max, memory_order_relaxed),
        .requests_per_event = atomic_load_explicit(&net->requests_per_event, memory_order_relaxed),
        .idle_timeout_s = atomic_load_explicit(&net->idle_timeout_s, memory_order_relaxed)};
}

uint32_t net_fds_max(const struct net *net)
{
    return net->conns_cap;
}

bool net_is_accepting(const struct net *net)
{
    return !atomic_load_explicit(&net->paused, memory_order_relaxed);
}
