/* cli/where.c — addresses of servers.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/where.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/num.h"

_Static_assert(CLI_PATH_BYTES == sizeof(((struct sockaddr_un *)0)->sun_path), "of this system");

static bool refuse(char *fault, const char *text, const char *why)
{
    snprintf(fault, CLI_WHERE_FAULT_BYTES, "'%.300s': %s", text, why);
    return false;
}

static bool unix_parse(const char *text, struct cli_where *where, char *fault)
{
    const char *path = text + strlen("unix:");
    const size_t len = strlen(path);
    if (len == 0 || len >= sizeof(where->path))
        return refuse(fault, text, "the path of a unix socket has 1 to 107 bytes");
    where->is_unix = true;
    memcpy(where->path, path, len + 1);
    return true;
}

bool cli_where_parse(const char *text, struct cli_where *ret_where,
                     char fault[CLI_WHERE_FAULT_BYTES])
{
    struct cli_where where = {.port = CLI_PORT_DEFAULT};
    if (strncmp(text, "unix:", 5) == 0) {
        if (!unix_parse(text, &where, fault))
            return false;
        *ret_where = where;
        return true;
    }
    const char *host = text, *port = NULL;
    size_t host_len = strlen(text);
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL)
            return refuse(fault, text, "the ']' is missing");
        if (end[1] != '\0' && end[1] != ':')
            return refuse(fault, text, "behind the ']' may stand :PORT alone");
        host = text + 1;
        host_len = (size_t)(end - host);
        port = end[1] == ':' ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon != NULL && strchr(colon + 1, ':') == NULL) { /* two of them: IPv6 by itself */
            host_len = (size_t)(colon - text);
            port = colon + 1;
        }
    }
    uint64_t number = where.port;
    if (port != NULL && (!num_parse_u64(bytes_str(port), UINT16_MAX, &number) || number == 0))
        return refuse(fault, text, "a port is a number from 1 to 65535");
    if (host_len == 0 || host_len >= sizeof(where.host))
        return refuse(fault, text, "a host has 1 to 255 bytes");
    where.port = (uint16_t)number;
    memcpy(where.host, host, host_len);
    *ret_where = where;
    return true;
}

static size_t unix_resolve(const struct cli_where *where, struct cli_peer *peer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, where->path, sizeof(address.sun_path));
    memcpy(&peer->address, &address, sizeof(address));
    peer->address_bytes = sizeof(address);
    return 1;
}

size_t cli_where_resolve(const struct cli_where *where, struct cli_peer peers[CLI_PEERS_MAX],
                         char fault[CLI_WHERE_FAULT_BYTES])
{
    if (where->is_unix)
        return unix_resolve(where, peers);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    const int rc = getaddrinfo(where->host, NULL, &hints, &list);
    if (rc != 0) {
        (void)refuse(fault, where->host, gai_strerror(rc));
        return 0;
    }
    size_t count = 0;
    for (const struct addrinfo *at = list; at != NULL && count < CLI_PEERS_MAX; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
            continue;
        memcpy(&peers[count].address, at->ai_addr, at->ai_addrlen);
        peers[count].address_bytes = at->ai_addrlen;
        cli_peer_port_set(&peers[count++], where->port);
    }
    freeaddrinfo(list);
    if (count == 0)
        (void)refuse(fault, where->host, "has no address");
    return count;
}

bool cli_peer_ip(const struct cli_peer *peer, struct ip *ret_ip)
{
    if (peer->address.ss_family == AF_INET) {
        struct sockaddr_in in;
        uint8_t v4[4];
        memcpy(&in, &peer->address, sizeof(in));
        memcpy(v4, &in.sin_addr, sizeof(v4));
        *ret_ip = ip_of_v4(v4);
        return true;
    }
    if (peer->address.ss_family != AF_INET6)
        return false;
    struct sockaddr_in6 in6;
    memcpy(&in6, &peer->address, sizeof(in6));
    memcpy(ret_ip->byte, &in6.sin6_addr, sizeof(ret_ip->byte));
    return true;
}

/* Both families have it at the same place. */
_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
               "the port of a socket address");

void cli_peer_port_set(struct cli_peer *peer, uint16_t port)
{
    const uint16_t wire = htons(port);
    memcpy((uint8_t *)&peer->address + offsetof(struct sockaddr_in, sin_port), &wire, sizeof(wire));
}

void cli_peer_format(const struct cli_peer *peer, char ret_text[CLI_PEER_TEXT_BYTES])
{
    struct ip ip;
    if (!cli_peer_ip(peer, &ip)) {
        struct sockaddr_un address;
        memcpy(&address, &peer->address, sizeof(address));
        snprintf(ret_text, CLI_PEER_TEXT_BYTES, "unix:%.*s", (int)sizeof(address.sun_path),
                 address.sun_path);
        return;
    }
    uint16_t port;
    memcpy(&port, (const uint8_t *)&peer->address + offsetof(struct sockaddr_in, sin_port),
           sizeof(port));
    char text[IP_TEXT_BYTES];
    ip_format(&ip, text);
    const char *form = strchr(text, ':') != NULL ? "[%s]:%u" : "%s:%u";
    snprintf(ret_text, CLI_PEER_TEXT_BYTES, form, text, ntohs(port));
}
