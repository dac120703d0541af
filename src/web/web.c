/* web/web.c — sockets and the thread of the admin listener.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "web/web.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/thread.h"
#include "web/web_priv.h"

enum { EVENTS = 16, BACKLOG = 64, ACCEPTS_PER_TURN = 16, HOST_BYTES = 256 };

/* Monotonic and not merely coarse: samples are a second apart. */
static uint64_t now_ms_get(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t wall_ms_get(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ── opening ──────────────────────────────────────────────────────────────────────────────── */

static void peer_of(const struct sockaddr_storage *addr, struct ip_peer *ret_peer)
{
    *ret_peer = (struct ip_peer){0};
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)addr;
        *ret_peer = (struct ip_peer){.ip = ip_of_v4((const uint8_t *)&v4->sin_addr),
                                     .port = ntohs(v4->sin_port),
                                     .family = IP_V4};
    } else if (addr->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)addr;
        ret_peer->family = IP_V6;
        ret_peer->port = ntohs(v6->sin6_port);
        memcpy(ret_peer->ip.byte, &v6->sin6_addr, sizeof(ret_peer->ip.byte));
    }
}

/* Split [HOST:]PORT. Returns false when it is none. */
static bool address_split(struct bytes text, char host[HOST_BYTES], char port[8])
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    const struct bytes digits = bytes_skip(text, colon);
    struct bytes name = colon > 0 ? bytes_of(text.ptr, colon - 1) : bytes_str("127.0.0.1");
    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = bytes_of(name.ptr + 1, name.len - 2);
    else if (name.len > 0 && memchr(name.ptr, ':', name.len) != NULL)
        return false;
    uint64_t number;
    if (!num_parse_u64(digits, 65535, &number) || name.len == 0 || name.len >= HOST_BYTES)
        return false;
    (void)snprintf(host, HOST_BYTES, "%.*s", (int)name.len, (const char *)name.ptr);
    (void)snprintf(port, 8, "%u", (unsigned)number);
    return true;
}

static int socket_open(const struct addrinfo *info)
{
    const int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    const int rc = -errno;
    close(fd);
    return rc;
}

/* Take over a socket that listens. */
static int listener_add(struct web *web, int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    struct ip_peer own;
    struct web_listener *listener = &web->listeners[web->listener_count];
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return -errno;
    peer_of(&addr, &own);
    *listener = (struct web_listener){
        .fd = fd, .ip = own.ip, .port = own.port, .loopback = ip_is_loopback(&own.ip)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};
    if (epoll_ctl(web->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return -errno;
    web->listener_count++;
    return 0;
}

static int guard_check(const struct web *web, const char *text, char *error)
{
    const struct web_listener *listener = &web->listeners[web->listener_count - 1];
    if (listener->loopback || web->tokens.count > 0 ||
        (web->config.tls != NULL && web->config.certified))
        return 0;
    (void)snprintf(
        error, WEB_ERROR_BYTES,
        "-o admin: '%.100s' can be reached from other machines, so it needs -o "
        "admin_token_file=FILE, or client certificates (-o admin_tls_cert, admin_tls_ca)",
        text);
    return -EPERM;
}

/* Listen on every address that the name stands for. */
static int address_open(struct web *web, struct bytes item, char *error)
{
    char host[HOST_BYTES], port[8], text[HOST_BYTES + 16];
    (void)snprintf(text, sizeof(text), "%.*s", (int)item.len, (const char *)item.ptr);
    if (!address_split(item, host, port)) {
        (void)snprintf(error, WEB_ERROR_BYTES,
                       "-o admin: '%.100s' is no address; allowed: PORT, HOST:PORT, [IPv6]:PORT",
                       text);
        return -EINVAL;
    }
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const bool any = strcmp(host, "*") == 0;
    const int why = getaddrinfo(any ? NULL : host, port, &hints, &found);
    int rc = why != 0 ? -EINVAL : 0;
    if (why != 0)
        (void)snprintf(error, WEB_ERROR_BYTES, "-o admin: '%.100s': %s", text, gai_strerror(why));
    for (const struct addrinfo *info = found; rc == 0 && info != NULL; info = info->ai_next) {
        const int fd = web->listener_count < WEB_LISTENERS_MAX ? socket_open(info) : -E2BIG;
        rc = fd < 0 ? fd : listener_add(web, fd);
        if (rc == -EAFNOSUPPORT && found->ai_next != NULL) { /* no IPv6 here */
            rc = 0;
            continue;
        }
        if (rc != 0)
            (void)snprintf(error, WEB_ERROR_BYTES, "-o admin: cannot listen on '%.100s': %s", text,
                           strerror(-rc));
        else
            rc = guard_check(web, text, error);
    }
    if (found != NULL)
        freeaddrinfo(found);
    return rc;
}

static int listeners_open(struct web *web, char *error)
{
    struct bytes rest = bytes_str(web->config.listen);
    bool more = true;
    int rc = 0;
    while (more && rc == 0)
        rc = address_open(web, bytes_part_take(&rest, '+', &more), error);
    return rc;
}

static int tokens_init(struct web *web, char *error)
{
    if (web->config.token_path == NULL)
        return 0;
    web->token_path = realpath(web->config.token_path, NULL);
    if (web->token_path == NULL) {
        const int rc = -errno;
        (void)snprintf(error, WEB_ERROR_BYTES, "-o admin_token_file: cannot read %.300s: %s",
                       web->config.token_path, strerror(-rc));
        return rc;
    }
    return door_tokens_load(web->token_path, &web->tokens, error);
}

_Static_assert(DOOR_ERROR_BYTES <= (int)WEB_ERROR_BYTES, "errors are passed on");

int web_new(const struct web_config *config, struct web **ret_web, char *ret_error)
{
    struct web *web = calloc(1, sizeof(*web));
    if (web == NULL)
        return -ENOMEM;
    web->config = *config;
    pthread_mutex_init(&web->lock, NULL);
    ret_error[0] = '\0';
    web->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    web->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = web};
    int rc = 0;
    if (web->wake_fd < 0 || web->epoll_fd < 0 ||
        epoll_ctl(web->epoll_fd, EPOLL_CTL_ADD, web->wake_fd, &event) != 0)
        rc = -errno;
    if (rc == 0)
        rc = tokens_init(web, ret_error);
    if (rc == 0)
        rc = listeners_open(web, ret_error);
    if (rc != 0) {
        if (ret_error[0] == '\0')
            (void)snprintf(ret_error, WEB_ERROR_BYTES, "-o admin: %s", strerror(-rc));
        web_free(web);
        return rc;
    }
    *ret_web = web;
    return 0;
}

int web_reload(struct web *web, char *ret_error)
{
    struct door_tokens tokens;
    if (web->token_path == NULL)
        return 0;
    const int rc = door_tokens_load(web->token_path, &tokens, ret_error);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&web->lock);
    web->tokens = tokens;
    pthread_mutex_unlock(&web->lock);
    return 0;
}

/* ── the thread ───────────────────────────────────────────────────────────────────────────── */

static void accept_some(struct web *web, const struct web_listener *listener)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage addr = {0};
        socklen_t len = sizeof(addr);
        struct ip_peer peer;
        const int fd =
            accept4(listener->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        peer_of(&addr, &peer);
        web_conn_begin(web, (unsigned)(listener - web->listeners), fd, &peer);
    }
}

static bool is_listener(const struct web *web, const void *ptr)
{
    return (const char *)ptr >= (const char *)web->listeners &&
           (const char *)ptr < (const char *)(web->listeners + WEB_LISTENERS_MAX);
}

/* Take a sample when it is time. Returns the milliseconds until the next one. */
static int sample_step(struct web *web)
{
    if (web->now_ms >= web->sample_ms) {
        struct web_facts facts;
        web->config.ops->facts(web->config.arg, &facts);
        history_add(&web->history, &facts, web->now_ms, wall_ms_get());
        /* On whole seconds of this clock; what was slept through is not made up for. */
        web->sample_ms = web->now_ms - web->now_ms % 1000 + 1000;
    }
    return (int)(web->sample_ms - web->now_ms);
}

static void turn(struct web *web)
{
    struct epoll_event events[EVENTS];
    const int sample_ms = sample_step(web), expire_ms = web_conns_expire(web);
    const int wait_ms = expire_ms >= 0 && expire_ms < sample_ms ? expire_ms : sample_ms;
    const int count = epoll_wait(web->epoll_fd, events, EVENTS, wait_ms);
    web->now_ms = now_ms_get();
    /* Connections first: a new one may take the slot of one that has an event here. */
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr != web && !is_listener(web, events[i].data.ptr))
            web_conn_ready(web, events[i].data.ptr);
    for (int i = 0; i < count; i++)
        if (is_listener(web, events[i].data.ptr))
            accept_some(web, events[i].data.ptr);
}

static void *web_main(void *arg)
{
    struct web *web = arg;
    (void)pthread_setname_np(pthread_self(), "admin");
    if (web->config.ops->begin != NULL)
        web->config.ops->begin(web->config.arg);
    web->now_ms = now_ms_get();
    /* acquire: pairs with web_free(), which is all that the flag tells */
    while (!atomic_load_explicit(&web->stop, memory_order_acquire))
        turn(web);
    return NULL;
}

int web_start(struct web *web)
{
    const int rc = thread_start(&web->thread, web_main, web);
    web->started = rc == 0;
    return rc;
}

void web_free(struct web *web)
{
    if (web == NULL)
        return;
    if (web->started) {
        const uint64_t one = 1;
        /* release: before the wake-up */
        atomic_store_explicit(&web->stop, true, memory_order_release);
        (void)!write(web->wake_fd, &one, sizeof(one));
        (void)pthread_join(web->thread, NULL);
    }
    for (size_t i = 0; i < WEB_CONNS_MAX; i++)
        if (web->conns[i].state != WEB_FREE)
            web_conn_end(web, &web->conns[i]);
    for (size_t i = 0; i < web->listener_count; i++)
        close(web->listeners[i].fd);
    if (web->epoll_fd >= 0)
        close(web->epoll_fd);
    if (web->wake_fd >= 0)
        close(web->wake_fd);
    history_fini(&web->history);
    pthread_mutex_destroy(&web->lock);
    free(web->token_path);
    free(web);
}

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

bool web_url(const struct web *web, size_t index, char ret_url[WEB_URL_BYTES])
{
    if (index >= web->listener_count)
        return false;
    const struct web_listener *listener = &web->listeners[index];
    char ip[IP_TEXT_BYTES];
    ip_format(&listener->ip, ip);
    const bool v6 = !ip_is_v4(&listener->ip);
    (void)snprintf(ret_url, WEB_URL_BYTES, "%s://%s%s%s:%u/",
                   web->config.tls != NULL ? "https" : "http", v6 ? "[" : "", ip, v6 ? "]" : "",
                   listener->port);
    return true;
}

bool web_is_local(const struct web *web, size_t index)
{
    return web->listeners[index].loopback;
}

bool web_has_tokens(const struct web *web)
{
    return web->config.token_path != NULL;
}
