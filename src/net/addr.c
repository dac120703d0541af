/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "net/net_priv.h"

void net_addr_format(const struct sockaddr *addr, socklen_t len, char *ret_text)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)addr;
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        (void)snprintf(ret_text, NET_ADDR_TEXT_BYTES, "tcp:%s:%u", host, ntohs(v4->sin_port));
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)addr;
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        (void)snprintf(ret_text, NET_ADDR_TEXT_BYTES, "tcp6:[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        /* The peer of a unix socket has no path; the kernel may leave out a path's NUL. */
        const struct sockaddr_un *un = (const void *)addr;
        const size_t head = offsetof(struct sockaddr_un, sun_path);
        const int path_len = (int)(len > head ? strnlen(un->sun_path, len - head) : 0);
        (void)snprintf(ret_text, NET_ADDR_TEXT_BYTES, "unix:%.*s", path_len, un->sun_path);
    }
}

void net_addr_peer(const struct sockaddr *addr, struct ip_peer *ret_peer)
{
    *ret_peer = (struct ip_peer){.port = (uint16_t)net_addr_port(addr)};
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)addr;
        ret_peer->family = IP_V4;
        ret_peer->ip = ip_of_v4((const uint8_t *)&v4->sin_addr);
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)addr;
        /* By a socket that takes both: only one that was handed over does. */
        ret_peer->family = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? IP_V4 : IP_V6;
        memcpy(ret_peer->ip.byte, &v6->sin6_addr, sizeof(ret_peer->ip.byte));
    }
}

int net_addr_port(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)addr)->sin_port);
    if (addr->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)addr)->sin6_port);
    return 0;
}

void net_addr_port_set(struct sockaddr *addr, int port)
{
    if (addr->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)addr)->sin_port = htons((uint16_t)port);
    else if (addr->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)addr)->sin6_port = htons((uint16_t)port);
}
