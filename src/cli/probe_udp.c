/* cli/probe_udp.c — what `matte check` asks by UDP, and how many bytes that draws.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/probe.h"
#include "proto/udp.h"

enum {
    WAIT_MS_MAX = 1000, /* for answers; one that is later says little about the server */
    QUIET_MS = 200,     /* after the last answer, once each request has one */
    DATAGRAM_BYTES_MAX = 65535,
    HEADERS_V4 = 20 + 8, /* of IP and UDP */
    HEADERS_V6 = 40 + 8,
};

struct udp_probe {
    int fd;
    struct cli_peer peer;
    size_t headers;
    uint64_t wait_ms;
    uint16_t request[CLI_UDP_PROBES]; /* ids */
    uint8_t nonce[PROTO_UDP_NONCE_BYTES];
    struct cli_udp_facts *facts;
};

/* Returns false when the port is closed, as an earlier datagram has found. */
static bool send_one(struct udp_probe *udp, enum cli_udp_probe which, const char *line)
{
    struct proto_udp frame = {.request = udp->request[which], .total = 1};
    uint8_t datagram[PROTO_UDP_FRAME_BYTES + 64];
    if (which == CLI_UDP_HELLO) {
        frame.kind = PROTO_UDP_HELLO;
        memcpy(frame.cookie.nonce, udp->nonce, sizeof(udp->nonce));
    }
    uint8_t *end = proto_udp_write(datagram, &frame);
    const size_t line_len = strlen(line);
    memcpy(end, line, line_len);
    const size_t len = (size_t)(end - datagram) + line_len;
    const ssize_t count =
        sendto(udp->fd, datagram, len, 0, (const struct sockaddr *)&udp->peer.address,
               udp->peer.address_bytes);
    if (count < 0)
        return errno != ECONNREFUSED;
    udp->facts->probe[which].sent_bytes = len + udp->headers;
    return true;
}

/* Whose answer it is; CLI_UDP_PROBES: none of ours. What comes from the server and cannot be told
 * counts for the last request. */
static enum cli_udp_probe whose(const struct udp_probe *udp, struct bytes datagram, bool is_peer)
{
    struct proto_udp frame;
    if (proto_udp_parse(datagram, &frame) == PROTO_UDP_OK)
        for (size_t i = 0; i < CLI_UDP_PROBES; i++)
            if (frame.request == udp->request[i])
                return (enum cli_udp_probe)i;
    if (!is_peer)
        return CLI_UDP_PROBES;
    return udp->facts->probe[CLI_UDP_STATS].sent_bytes > 0 ? CLI_UDP_STATS : CLI_UDP_HELLO;
}

static bool is_challenge(const struct udp_probe *udp, struct bytes datagram)
{
    struct proto_udp frame;
    return proto_udp_parse(datagram, &frame) == PROTO_UDP_OK && frame.kind == PROTO_UDP_CHALLENGE &&
           frame.request == udp->request[CLI_UDP_HELLO] &&
           memcmp(frame.cookie.nonce, udp->nonce, sizeof(udp->nonce)) == 0;
}

/* Has each of the probes first..last been answered? */
static bool all_answered(const struct cli_udp_facts *facts, size_t first, size_t last)
{
    for (size_t i = first; i <= last; i++)
        if (facts->probe[i].got_datagrams == 0)
            return false;
    return true;
}

static void datagram_count(struct udp_probe *udp, struct bytes datagram,
                           const struct cli_peer *from)
{
    struct cli_udp_facts *facts = udp->facts;
    struct ip asked, got;
    const bool is_peer =
        cli_peer_ip(&udp->peer, &asked) && cli_peer_ip(from, &got) && ip_equal(&asked, &got);
    const enum cli_udp_probe probe = whose(udp, datagram, is_peer);
    if (probe == CLI_UDP_PROBES)
        return;
    facts->probe[probe].got_datagrams++;
    facts->probe[probe].got_bytes += datagram.len + udp->headers;
    if (!is_peer)
        facts->elsewhere = true;
    else if (probe == CLI_UDP_HELLO && is_challenge(udp, datagram))
        facts->rr = true;
}

/* Count what comes, until each of first..last is answered and it is quiet, or the time is over.
 * Returns false when the port is closed. */
static bool collect(struct udp_probe *udp, size_t first, size_t last)
{
    static uint8_t datagram[DATAGRAM_BYTES_MAX];
    struct cli_udp_facts *facts = udp->facts;
    const uint64_t end_ns = clock_mono_ns() + udp->wait_ms * 1000000;
    for (;;) {
        const uint64_t now_ns = clock_mono_ns();
        if (now_ns >= end_ns)
            return true;
        uint64_t left_ms = (end_ns - now_ns) / 1000000 + 1;
        const bool answered = all_answered(facts, first, last);
        if (answered && left_ms > QUIET_MS)
            left_ms = QUIET_MS;
        struct pollfd poll_fd = {.fd = udp->fd, .events = POLLIN};
        const int ready = poll(&poll_fd, 1, (int)left_ms);
        if (ready == 0 && answered)
            return true;
        struct cli_peer from = {.address_bytes = sizeof(from.address)};
        const ssize_t count = recvfrom(udp->fd, datagram, sizeof(datagram), MSG_DONTWAIT,
                                       (struct sockaddr *)&from.address, &from.address_bytes);
        if (count < 0 && errno == ECONNREFUSED)
            return false;
        if (count >= 0)
            datagram_count(udp, bytes_of(datagram, (size_t)count), &from);
    }
}

/* Returns false when the port is closed. */
static bool ask_all(struct udp_probe *udp, const struct cli_probe *probe)
{
    char get[8 + sizeof(probe->miss)];
    snprintf(get, sizeof(get), "get %s\r\n", probe->miss);
    return send_one(udp, CLI_UDP_HELLO, "") && collect(udp, CLI_UDP_HELLO, CLI_UDP_HELLO) &&
           send_one(udp, CLI_UDP_VERSION, "version\r\n") && send_one(udp, CLI_UDP_GET, get) &&
           send_one(udp, CLI_UDP_STATS, "stats\r\n") &&
           collect(udp, CLI_UDP_VERSION, CLI_UDP_STATS);
}

/* Not connected, for a server may answer from another address than was asked, which is counted as
 * well; ICMP is told all the same. Returns a descriptor or -1. */
static int socket_open(sa_family_t family)
{
    const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family == AF_INET)
        (void)setsockopt(fd, IPPROTO_IP, IP_RECVERR, &(int){1}, sizeof(int));
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &(int){1}, sizeof(int));
    return fd;
}

void cli_probe_udp(struct cli_probe *probe)
{
    struct cli_udp_facts *facts = &probe->facts.udp;
    struct udp_probe udp = {
        .peer = probe->peer,
        .headers = probe->peer.address.ss_family == AF_INET ? HEADERS_V4 : HEADERS_V6,
        .wait_ms = probe->args->timeout_ms < WAIT_MS_MAX ? probe->args->timeout_ms : WAIT_MS_MAX,
        .facts = facts,
    };
    /* The server's own word is better than the guess that UDP has the port of TCP. */
    facts->port = probe->facts.udp_port != 0 ? probe->facts.udp_port : probe->where.port;
    cli_peer_port_set(&udp.peer, facts->port);
    uint16_t first;
    cli_random(&first, sizeof(first));
    for (size_t i = 0; i < CLI_UDP_PROBES; i++)
        udp.request[i] = (uint16_t)(first + i);
    /* Letters: a server that takes the HELLO for a command never sees a line end in it. */
    cli_random(udp.nonce, sizeof(udp.nonce));
    for (size_t i = 0; i < sizeof(udp.nonce); i++)
        udp.nonce[i] = (uint8_t)('a' + udp.nonce[i] % 16);
    udp.fd = socket_open(udp.peer.address.ss_family);
    if (udp.fd < 0)
        return;
    const bool open = ask_all(&udp, probe);
    uint64_t got = 0;
    for (size_t i = 0; i < CLI_UDP_PROBES; i++)
        got += facts->probe[i].got_datagrams;
    facts->state = got > 0 ? CLI_UDP_ANSWERS : open ? CLI_UDP_SILENT : CLI_UDP_CLOSED;
    (void)close(udp.fd);
}
