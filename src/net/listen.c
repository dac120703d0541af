/* Listening sockets, and the loop that accepts.
 *
 * The limit: with conns_max_refuse a connection too many is accepted, told so and closed. Else,
 * and when fds run out, accepting pauses: connections wait in the kernel's backlog until one of
 * ours closes (the worker wakes us) or, as fds may come back without us knowing, a moment has
 * passed.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "net/net_priv.h"

enum {
    ACCEPTS_PER_EVENT = 64,
    PAUSE_MS = 10, /* as memcached's */
    NS_PER_MS = 1000 * 1000,
};
#define NS_PER_S 1000000000ull

/* ── opening ──────────────────────────────────────────────────────────────────────────────── */

static int port_of(int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return 0;
    return net_addr_port((const struct sockaddr *)&addr);
}

static int listener_add(struct net *net, const struct net_listener *listener)
{
    if (net->listener_count > UINT8_MAX)
        return -E2BIG;
    struct net_listener *listeners =
        realloc(net->listeners, (net->listener_count + 1) * sizeof(*listeners));
    if (listeners == NULL)
        return -ENOMEM;
    net->listeners = listeners;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = net->listener_count};
    if (!listener->datagrams && epoll_ctl(net->epoll_fd, EPOLL_CTL_ADD, listener->fd, &event) != 0)
        return -errno;
    struct net_listener *added = &listeners[net->listener_count++];
    *added = *listener;
    added->port = (uint16_t)port_of(listener->fd);
    return 0;
}

static void set_flag(int fd, int level, int name)
{
    const int on = 1;
    (void)setsockopt(fd, level, name, &on, sizeof(on));
}

void net_mark_set(int fd, uint32_t mark)
{
    if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0)
        log_line(LOG_ERROR, "warning: cannot mark a listening socket (-o sock_cookie_id): %s",
                 strerror(errno));
}

/* A SYN has a source that anybody can write into it, and its answer is sent again until it is
 * confirmed: five times by default. Once is enough, for a client that has missed it asks again. */
static void repeat_answers_once(int fd)
{
    const int count = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &count, sizeof(count));
}

/* Open a socket, bind, listen. Accepted sockets inherit the options. Returns the fd or -errno. */
static int socket_open(const struct net *net, const struct sockaddr *addr, socklen_t len)
{
    const int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (addr->sa_family != AF_UNIX) {
        set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
        set_flag(fd, SOL_SOCKET, SO_KEEPALIVE);
        set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
        repeat_answers_once(fd);
        if (addr->sa_family == AF_INET6)
            set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
        net_mark_set(fd, net->config.mark);
    }
    if (bind(fd, addr, len) == 0 && listen(fd, net->config.backlog) == 0)
        return fd;
    const int rc = -errno;
    close(fd);
    return rc;
}

/* Whether an address of a name that cannot be opened may be left out when another one works: the
 * machine has no such family or (IPv6's loopback) address, or somebody else is listening there. */
static bool may_be_absent(const struct addrinfo *info, int rc)
{
    if (rc == -EADDRINUSE || rc == -EAFNOSUPPORT)
        return true;
    const struct sockaddr_in6 *v6 = (const void *)info->ai_addr;
    return rc == -EADDRNOTAVAIL && info->ai_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int listener_open(struct net *net, const struct addrinfo *info,
                         const struct net_address *address)
{
    struct net_listener listener = {
        .family = info->ai_family, .tls = address->tls, .datagrams = address->datagrams};
    if (address->datagrams) {
        const unsigned index = (unsigned)net->listener_count;
        const int rc = net_udp_open(net, info->ai_addr, info->ai_addrlen, index);
        if (rc != 0)
            return rc;
        listener.fd = net->workers[0].udp[net->workers[0].udp_count - 1].fd;
        return listener_add(net, &listener);
    }
    listener.fd = socket_open(net, info->ai_addr, info->ai_addrlen);
    if (listener.fd < 0)
        return listener.fd;
    const int rc = listener_add(net, &listener);
    if (rc != 0)
        close(listener.fd);
    return rc;
}

/* Open one of the addresses that a name has. `*any_port` is what the kernel chose for an earlier
 * one, so that all addresses of a server on "any free port" share it where that is possible. */
static int info_open(struct net *net, const struct addrinfo *info,
                     const struct net_address *address, int *any_port)
{
    const bool any = address->port == 0;
    int rc = -EADDRINUSE;
    if (any && *any_port != 0) {
        net_addr_port_set(info->ai_addr, *any_port);
        rc = listener_open(net, info, address);
        net_addr_port_set(info->ai_addr, 0);
    }
    if (rc != 0)
        rc = listener_open(net, info, address);
    if (rc == 0 && any)
        *any_port = port_of(net->listeners[net->listener_count - 1].fd);
    return rc;
}

/* Open all addresses of a name; one that works is enough where others may be absent. */
static int address_open(struct net *net, const struct net_address *address, int *any_port,
                        char *error)
{
    const char *host = address->host != NULL ? address->host : "*";
    char port[16];
    (void)snprintf(port, sizeof(port), "%d", address->port);
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE,
                                   .ai_socktype = address->datagrams ? SOCK_DGRAM : SOCK_STREAM};
    struct addrinfo *infos;
    const int gai_rc = getaddrinfo(address->host, port, &hints, &infos);
    if (gai_rc != 0) {
        (void)snprintf(error, NET_ERROR_BYTES, "cannot resolve %s: %s", host, gai_strerror(gai_rc));
        return gai_rc == EAI_MEMORY ? -ENOMEM : -ENXIO;
    }
    int rc = 0;
    size_t opened = 0;
    for (const struct addrinfo *info = infos; info != NULL; info = info->ai_next) {
        const int info_rc = info_open(net, info, address, any_port);
        opened += info_rc == 0;
        if (info_rc != 0)
            rc = info_rc;
        if (info_rc != 0 && !may_be_absent(info, info_rc)) {
            opened = 0;
            break;
        }
    }
    freeaddrinfo(infos);
    if (opened > 0)
        return 0;
    (void)snprintf(error, NET_ERROR_BYTES, "failed to listen on %s, %s port %s: %s", host,
                   address->datagrams ? "UDP" : "TCP", port, strerror(-rc));
    return rc;
}

static int unix_open(struct net *net, char *error)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = net->config.unix_path;
    int rc = -ENAMETOOLONG;
    if (strlen(path) < sizeof(addr.sun_path)) {
        memcpy(addr.sun_path, path, strlen(path));
        struct stat st;
        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
            (void)unlink(path); /* left behind by an earlier server */
        const mode_t mask = umask((mode_t)(~net->config.unix_mask & 0777));
        const int fd = socket_open(net, (struct sockaddr *)&addr, sizeof(addr));
        (void)umask(mask);
        const struct net_listener listener = {.fd = fd, .family = AF_UNIX, .tls = NET_TLS_OFF};
        rc = fd < 0 ? fd : listener_add(net, &listener);
        if (rc != 0 && fd >= 0)
            close(fd);
    }
    if (rc != 0)
        (void)snprintf(error, NET_ERROR_BYTES, "failed to listen on unix socket %s: %s", path,
                       strerror(-rc));
    return rc;
}

/* memcached's connections include its listeners and each worker's sockets for datagrams, and one of
 * them is left out where it shows how many there are. */
static void listeners_count(const struct net *net)
{
    size_t count = 0;
    for (size_t i = 0; i < net->listener_count; i++)
        count += net->listeners[i].datagrams ? net->config.worker_count : 1;
    stat_add(net->config.stats, STAT_CURR_CONNECTIONS, count - 1);
    stat_add(net->config.stats, STAT_TOTAL_CONNECTIONS, count);
    stat_add(net->config.stats, STAT_CONNECTION_STRUCTURES, count);
}

/* What only datagrams need: the addresses of this host, and ticks. */
static int datagrams_begin(struct net *net, char *error)
{
    bool any = false;
    for (size_t i = 0; i < net->listener_count; i++)
        any |= net->listeners[i].datagrams;
    if (!any)
        return 0;
    const int rc = net_own_refresh(&net->own);
    if (rc != 0)
        (void)snprintf(error, NET_ERROR_BYTES, "cannot find out this host's addresses: %s",
                       strerror(-rc));
    net->tick_ns = clock_mono_ns() + NET_TICK_S * NS_PER_S;
    return rc;
}

/* Take what others have opened, and set what accepted sockets inherit. */
static int handed_take(struct net *net, const struct net_handed *handed)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(handed->fd, (struct sockaddr *)&addr, &len) != 0)
        return -errno;
    if (addr.ss_family != AF_UNIX) {
        set_flag(handed->fd, SOL_SOCKET, SO_KEEPALIVE);
        set_flag(handed->fd, IPPROTO_TCP, TCP_NODELAY);
        repeat_answers_once(handed->fd);
        net_mark_set(handed->fd, net->config.mark);
    }
    const struct net_listener listener = {.fd = handed->fd,
                                          .family = addr.ss_family,
                                          .tag = handed->tag,
                                          .tls = handed->tls,
                                          .handed = true};
    return listener_add(net, &listener);
}

static int listeners_open(struct net *net, char *error)
{
    int any_port[2] = {0, 0}; /* of TCP, of UDP */
    int absent_rc = 0;
    for (size_t i = 0; i < net->config.handed_count; i++) {
        const int rc = handed_take(net, &net->config.handed[i]);
        if (rc != 0)
            return rc;
    }
    for (size_t i = 0; i < net->config.address_count; i++) {
        const size_t before = net->listener_count;
        const struct net_address *address = &net->config.addresses[i];
        const int rc = address_open(net, address, &any_port[address->datagrams], error);
        for (size_t opened = before; opened < net->listener_count; opened++)
            net->listeners[opened].tag = address->tag;
        if (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT)
            absent_rc = rc; /* fine when another one works: a machine without IPv6 */
        else if (rc != 0)
            return rc;
    }
    if (net->config.unix_path != NULL)
        return unix_open(net, error);
    return net->listener_count > 0 ? 0 : absent_rc;
}

int net_listen_open(struct net *net, char *error)
{
    int rc = listeners_open(net, error);
    if (rc == 0)
        rc = datagrams_begin(net, error);
    if (rc == 0)
        listeners_count(net);
    return rc;
}

void net_listen_close(struct net *net)
{
    for (size_t i = 0; i < net->listener_count; i++)
        if (!net->listeners[i].datagrams)
            close(net->listeners[i].fd);
    free(net->listeners);
    net->listeners = NULL;
    net->listener_count = 0;
}

/* ── accepting ────────────────────────────────────────────────────────────────────────────── */

static void listeners_watch(struct net *net, uint32_t events)
{
    for (size_t i = 0; i < net->listener_count; i++) {
        struct epoll_event event = {.events = events, .data.u64 = i};
        if (!net->listeners[i].datagrams)
            (void)epoll_ctl(net->epoll_fd, EPOLL_CTL_MOD, net->listeners[i].fd, &event);
    }
}

static bool is_full(const struct net *net)
{
    return atomic_load(&net->open_count) >=
           atomic_load_explicit(&net->conns_max, memory_order_relaxed);
}

static void pause_accepting(struct net *net)
{
    atomic_store(&net->paused, true); /* seq_cst: see net_conn_close() */
    net->paused_since_ns = clock_mono_ns();
    listeners_watch(net, 0);
    stat_inc(net->config.stats, STAT_LISTEN_DISABLED_NUM);
}

static void try_resume(struct net *net)
{
    if (is_full(net))
        return;
    atomic_store(&net->paused, false);
    listeners_watch(net, EPOLLIN);
    stat_add(net->config.stats, STAT_TIME_IN_LISTEN_DISABLED_US,
             (clock_mono_ns() - net->paused_since_ns) / 1000);
}

static struct net_worker *least_loaded(struct net *net)
{
    struct net_worker *best = &net->workers[0];
    uint32_t best_count = UINT32_MAX;
    for (unsigned i = 0; i < net->config.worker_count; i++) {
        const uint32_t count = atomic_load_explicit(&net->workers[i].conns, memory_order_relaxed);
        if (count < best_count) {
            best = &net->workers[i];
            best_count = count;
        }
    }
    return best;
}

/* The worker for the receive queue that a connection came in by, so that interrupt and worker share
 * a processor. Each new queue gets the next worker without one; a queue too many means that the
 * card was set up anew, and all forget theirs. */
static struct net_worker *worker_by_queue(struct net *net, int fd)
{
    unsigned id = 0;
    socklen_t len = sizeof(id);
    if (getsockopt(fd, SOL_SOCKET, SO_INCOMING_NAPI_ID, &id, &len) != 0 || id == 0) {
        stat_inc(net->config.stats, STAT_ROUND_ROBIN_FALLBACK); /* a unix socket, loopback */
        return least_loaded(net);
    }
    struct net_worker *workers = net->workers;
    for (unsigned i = 0; i < net->config.worker_count; i++) {
        if (workers[i].napi_id == 0)
            workers[i].napi_id = id;
        if (workers[i].napi_id == id)
            return &workers[i];
    }
    stat_inc(net->config.stats, STAT_UNEXPECTED_NAPI_IDS);
    for (unsigned i = 0; i < net->config.worker_count; i++)
        workers[i].napi_id = 0;
    workers[0].napi_id = id;
    return &workers[0];
}

static void arrival_log(struct net *net, int fd)
{
    const struct logger_event event = {
        .type = LOGGER_CONN_NEW,
        .fd = fd,
        .text = bytes_of(&net->peers[fd], sizeof(net->peers[fd])),
    };
    logger_write(net->config.log, &event);
}

/* Give a new connection to a worker. From epoll_ctl on the slot is the worker's; the call orders
 * what we wrote before it. */
static void hand_out(struct net *net, int fd, const struct net_listener *listener)
{
    struct net_worker *worker = net->config.napi_ids ? worker_by_queue(net, fd) : least_loaded(net);
    struct net_conn *conn = &net->conns[fd];
    conn->want = NET_MORE;
    conn->readable = conn->hangup = conn->queued = conn->watch_out = false;
    conn->local = listener->family == AF_UNIX;
    conn->secure = listener->tls != NET_TLS_OFF;
    conn->late = net_draining(net) != NET_DRAIN_OFF ? NET_LATE_NEW : NET_LATE_NOT;
    conn->reason = LOGGER_ERROR;
    conn->listener = (uint8_t)(listener - net->listeners);
    conn->note = 0;
    atomic_store_explicit(&conn->worker, (uint16_t)worker->index, memory_order_relaxed);
    conn->in_at = conn->in_end = 0;
    conn->in = NULL;
    conn->pending = NULL;
    conn->session = NULL;
    conn->ready_next = NULL;
    conn->tls = NULL;
    const uint32_t now_s = clock_now_s();
    atomic_store_explicit(&conn->last_s, now_s, memory_order_relaxed);
    net_traffic_init(conn, now_s);
    atomic_store_explicit(&conn->state, NET_STATE_WAIT, memory_order_release);
    const uint32_t used = atomic_load_explicit(&net->fds_used, memory_order_relaxed);
    if ((uint32_t)fd >= used) {
        atomic_store_explicit(&net->fds_used, (uint32_t)fd + 1, memory_order_relaxed);
        stat_inc(net->config.stats, STAT_CONNECTION_STRUCTURES);
    }
    atomic_fetch_add(&net->open_count, 1);
    atomic_fetch_add_explicit(&worker->conns, 1, memory_order_relaxed);
    stat_inc(net->config.stats, STAT_CURR_CONNECTIONS);
    stat_inc(net->config.stats, STAT_TOTAL_CONNECTIONS);
    if (net->config.log != NULL && (logger_watched(net->config.log) & LOGGER_CONNEVENTS) != 0)
        arrival_log(net, fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = conn};
    if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return;
    stat_sub(net->config.stats, STAT_CURR_CONNECTIONS, 1); /* no memory for the watch */
    atomic_fetch_sub_explicit(&worker->conns, 1, memory_order_relaxed);
    atomic_fetch_sub(&net->open_count, 1);
    atomic_store_explicit(&conn->state, NET_STATE_FREE, memory_order_release);
    close(fd);
}

/* Plain words on a port with TLS would be taken for a broken handshake: there, only the end. */
static void refuse(int fd, const struct net_listener *listener, const char *words)
{
    if (words != NULL && listener->tls == NET_TLS_OFF)
        (void)send(fd, words, strlen(words), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

/* Ask the ops whether they want this one, and give it to a worker. */
static void arrive(struct net *net, int fd, const struct net_listener *listener,
                   const struct sockaddr *addr)
{
    /* Acquire: the worker that had this slot before is done with it. */
    const uint8_t state = atomic_load_explicit(&net->conns[fd].state, memory_order_acquire);
    assert(state == NET_STATE_FREE);
    (void)state;
    struct ip_peer *peer = &net->peers[fd];
    net_addr_peer(addr, peer);
    const char *words = NULL;
    if (net->config.arrive != NULL &&
        !net->config.arrive(net->config.arg, (unsigned)(listener - net->listeners), peer, &words))
        refuse(fd, listener, words);
    else
        hand_out(net, fd, listener);
}

static void accept_some(struct net *net, const struct net_listener *listener)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        if (!net->config.conns_max_refuse && is_full(net)) {
            pause_accepting(net);
            return;
        }
        struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
        struct sockaddr *addr = (struct sockaddr *)&storage;
        socklen_t len = sizeof(storage);
        const int fd = accept4(listener->fd, addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            const bool want =
                errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (want)
                pause_accepting(net);
            if (want || errno == EAGAIN || errno == EWOULDBLOCK)
                return;
            continue; /* that client has gone already */
        }
        if (is_full(net) || (uint32_t)fd >= net->conns_cap) {
            stat_inc(net->config.stats, STAT_REJECTED_CONNECTIONS);
            refuse(fd, listener, net->config.refusal);
        } else {
            arrive(net, fd, listener, addr);
        }
    }
}

/* ── the end ──────────────────────────────────────────────────────────────────────────────── */

/* Nobody comes in any more. Who is in the queue already has been let in by the kernel, so he is
 * served as well; but that of a socket that others go on with waits for them. The fds stay ours:
 * `stats conns` and the listeners' numbers count on it. */
static void listeners_end(struct net *net)
{
    for (size_t i = 0; i < net->listener_count; i++) {
        const struct net_listener *listener = &net->listeners[i];
        if (listener->datagrams || listener->handed)
            continue;
        accept_some(net, listener);
        (void)shutdown(listener->fd, SHUT_RDWR);
    }
    listeners_watch(net, 0);
}

static NOINLINE void end_begin(struct net *net)
{
    net->end_ns = clock_mono_ns() + net->config.drain_s * NS_PER_S;
    log_line(LOG_INFO, "ending in an orderly way, within %u s", net->config.drain_s);
    listeners_end(net);
}

/* Is it the end? */
static bool is_over(const struct net *net)
{
    /* Acquire: pairs with net_stop(). */
    if (atomic_load_explicit(&net->stop, memory_order_acquire))
        return true;
    return UNLIKELY(net->end_ns > 0) &&
           (atomic_load(&net->open_count) == 0 || clock_mono_ns() >= net->end_ns);
}

static void woken(struct net *net)
{
    net_wake_clear(net->wake_fd);
    atomic_store_explicit(&net->listener_beat,
                          atomic_load_explicit(&net->beat, memory_order_acquire),
                          memory_order_release);
    if (net->end_ns == 0 &&
        atomic_load_explicit(&net->drain, memory_order_acquire) == NET_DRAIN_END)
        end_begin(net);
    if (!atomic_exchange_explicit(&net->poked, false, memory_order_acquire))
        return;
    if (net->tick_ns > 0)
        (void)!net_own_refresh(&net->own); /* a failure leaves what was known */
    if (net->config.poked != NULL)
        net->config.poked(net->config.arg);
}

/* How long the loop may sleep. */
static int timeout_ms(const struct net *net, bool paused)
{
    if (paused || net->end_ns > 0)
        return PAUSE_MS;
    if (net->tick_ns == 0)
        return -1;
    const uint64_t now_ns = clock_mono_ns();
    return now_ns < net->tick_ns ? (int)((net->tick_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

static void tick_when_due(struct net *net)
{
    if (LIKELY(net->tick_ns == 0) || clock_mono_ns() < net->tick_ns)
        return;
    net->tick_ns = clock_mono_ns() + NET_TICK_S * NS_PER_S;
    (void)!net_own_refresh(&net->own);
    if (net->config.tick != NULL)
        net->config.tick(net->config.arg);
}

int net_listen_loop(struct net *net)
{
    while (!is_over(net)) {
        struct epoll_event events[16];
        const bool paused = net->end_ns == 0 && atomic_load(&net->paused);
        const int count =
            epoll_wait(net->epoll_fd, events, COUNT_OF(events), timeout_ms(net, paused));
        if (count < 0 && errno != EINTR)
            return -errno;
        if (paused)
            try_resume(net);
        tick_when_due(net);
        for (int i = 0; i < count; i++)
            if (events[i].data.u64 < net->listener_count && net->end_ns == 0)
                accept_some(net, &net->listeners[events[i].data.u64]);
            else if (events[i].data.u64 == UINT64_MAX)
                woken(net);
    }
    return 0;
}
