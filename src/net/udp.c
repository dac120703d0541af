/* Datagrams: batches in, batches of answers out.
 *
 *     epoll ─► recvmmsg ─► ops.datagrams ─► sendmmsg ─┐
 *       ▲          ▲                                  │ the batch was full
 *       │          └──────────────────────────────────┤
 *       └─────────────────────────────────────────────┘
 *
 * Each worker has a socket of its own on every address, and the kernel chooses among them by the
 * sender's address and port (SO_REUSEPORT): nothing is handed from thread to thread, and nothing is
 * shared. The first socket of an address is bound before it says so, so that no other process can
 * be on that port already.
 *
 * What is sent and does not go out is counted and forgotten: an answer is worth nothing to whoever
 * asks later, and a socket must not stop because of one client.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/net_priv.h"

enum {
    BATCHES_PER_EVENT = 4,
    SOCKET_BYTES = 4 << 20, /* what we ask for, either way; the kernel gives what it allows */
    /* Not 64 KiB: buffers whose first lines share a set of the cache push each other out. */
    STRIDE_BYTES = NET_DATAGRAM_BYTES + CACHE_LINE_BYTES,
    MESSAGES = 64,             /* per sendmmsg */
    SEGMENTS_MAX = 64,         /* per message, the kernel's UDP_MAX_SEGMENTS of old */
    MESSAGE_BYTES_MAX = 65000, /* likewise: 65507 with IPv4 */
    CONTROL_BYTES = 64,
};
_Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)) <=
                   CONTROL_BYTES,
               "room for both");

union control {
    size_t align; /* as a cmsghdr */
    uint8_t bytes[CONTROL_BYTES];
};

union name {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct message {
    struct iovec iov;
    union control control;
    const struct net_datagram *to; /* whose sender it is for */
    uint16_t segment;              /* GSO: bytes of each piece but the last; 0: one datagram */
};

struct net_batch {
    uint8_t *data; /* NET_DATAGRAMS buffers, STRIDE_BYTES apart; memory comes as it is touched */
    struct out out;
    struct net_datagram item[NET_DATAGRAMS];
    struct mmsghdr in[NET_DATAGRAMS];
    struct iovec in_iov[NET_DATAGRAMS];
    union name name[NET_DATAGRAMS];
    union control in_control[NET_DATAGRAMS];
    unsigned
        scope[NET_DATAGRAMS]; /* the interface, when the answer depends on it; 0: it does not */
    size_t queued;
    struct mmsghdr queue[MESSAGES];
    struct message message[MESSAGES];
};

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

static int batch_new(struct net_worker *worker)
{
    struct net_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL)
        return -ENOMEM;
    void *data = mmap(NULL, (size_t)NET_DATAGRAMS * STRIDE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        free(batch);
        return -ENOMEM;
    }
    batch->data = data;
    out_init(&batch->out);
    for (size_t i = 0; i < NET_DATAGRAMS; i++) {
        batch->in_iov[i] = (struct iovec){.iov_base = batch->data + i * STRIDE_BYTES,
                                          .iov_len = NET_DATAGRAM_BYTES};
        batch->in[i].msg_hdr = (struct msghdr){.msg_name = &batch->name[i],
                                               .msg_iov = &batch->in_iov[i],
                                               .msg_iovlen = 1,
                                               .msg_control = &batch->in_control[i]};
    }
    worker->batch = batch;
    return 0;
}

void net_udp_fini(struct net_worker *worker)
{
    for (size_t i = 0; i < worker->udp_count; i++)
        close(worker->udp[i].fd);
    free(worker->udp);
    free(worker->own.ips);
    if (worker->batch == NULL)
        return;
    out_fini(&worker->batch->out);
    (void)munmap(worker->batch->data, (size_t)NET_DATAGRAMS * STRIDE_BYTES);
    free(worker->batch);
}

static int socket_options(int fd, int family)
{
    const int on = 1, bytes = SOCKET_BYTES, no_discovery = IP_PMTUDISC_OMIT;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    /* What ICMP says of a path is not asked for: whoever can forge it could cut answers up. */
    if (family == AF_INET) {
        (void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &no_discovery, sizeof(no_discovery));
        return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    }
    (void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &no_discovery, sizeof(no_discovery));
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
        return -1;
    return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
}

/* Returns the fd or -errno. */
static int socket_open(const struct net *net, const struct sockaddr *addr, socklen_t len,
                       bool first)
{
    const int fd = socket(addr->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const int on = 1;
    net_mark_set(fd, net->config.mark);
    int rc = socket_options(fd, addr->sa_family);
    if (rc == 0 && !first)
        rc = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (rc == 0)
        rc = bind(fd, addr, len);
    if (rc == 0 && first)
        rc = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (rc == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

/* Owns fd, also after a failure. */
static int worker_add(struct net_worker *worker, int fd, unsigned listener, uint16_t port)
{
    struct net_udp *udp = realloc(worker->udp, (worker->udp_count + 1) * sizeof(*udp));
    int rc = udp != NULL ? 0 : -ENOMEM;
    if (udp != NULL)
        worker->udp = udp;
    if (rc == 0 && worker->batch == NULL)
        rc = batch_new(worker);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = net_event_of_udp(worker->udp_count)};
    if (rc == 0 && epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        rc = -errno;
    if (rc == 0) {
        udp = &worker->udp[worker->udp_count++];
        udp->fd = fd;
        udp->listener = (uint8_t)listener;
        udp->port = port;
        atomic_init(&udp->last_s, clock_now_s());
    } else {
        close(fd);
    }
    return rc;
}

static int open_all(struct net *net, union name *name, socklen_t len, unsigned listener)
{
    for (unsigned i = 0; i < net->config.worker_count; i++) {
        const int fd = socket_open(net, &name->any, len, i == 0);
        if (fd < 0)
            return fd;
        socklen_t name_len = sizeof(*name); /* the port that the kernel chose is for all */
        if (i == 0 && getsockname(fd, &name->any, &name_len) != 0) {
            close(fd);
            return -EBADF;
        }
        const uint16_t port = (uint16_t)net_addr_port(&name->any);
        const int rc = worker_add(&net->workers[i], fd, listener, port);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int net_udp_open(struct net *net, const struct sockaddr *addr, socklen_t len, unsigned listener)
{
    union name name = {.any.sa_family = AF_UNSPEC};
    assert(len <= sizeof(name));
    memcpy(&name, addr, len);
    const int rc = open_all(net, &name, len, listener);
    for (unsigned i = 0; rc != 0 && i < net->config.worker_count; i++) {
        struct net_worker *worker = &net->workers[i];
        if (worker->udp_count > 0 && worker->udp[worker->udp_count - 1].listener == listener)
            close(worker->udp[--worker->udp_count].fd);
    }
    return rc;
}

/* ── in ───────────────────────────────────────────────────────────────────────────────────── */

/* Was it sent to one of our addresses, and to which? For IPv4 the kernel names the address that an
 * answer should come from: of a broadcast or multicast that is another one. */
static bool destination(const struct cmsghdr *head, struct ip *ret_to, unsigned *ret_scope)
{
    if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(head), sizeof(info));
        *ret_to = ip_of_v4((const uint8_t *)&info.ipi_addr);
        *ret_scope = 0;
        return info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr && info.ipi_addr.s_addr != 0;
    }
    if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(head), sizeof(info));
        memcpy(ret_to->byte, &info.ipi6_addr, sizeof(ret_to->byte));
        *ret_scope = ip_is_link_local(ret_to) ? info.ipi6_ifindex : 0;
        return !ip_is_multicast(ret_to) && !ip_is_unspecified(ret_to);
    }
    return false;
}

static void datagram_read(struct net_worker *worker, size_t i)
{
    struct net_batch *batch = worker->batch;
    struct msghdr *msg = &batch->in[i].msg_hdr;
    struct net_datagram *item = &batch->item[i];
    *item = (struct net_datagram){
        .in = bytes_of(batch->in_iov[i].iov_base, batch->in[i].msg_len),
        .truncated = (msg->msg_flags & MSG_TRUNC) != 0,
    };
    batch->scope[i] = 0;
    if (msg->msg_namelen > 0)
        net_addr_peer(&batch->name[i].any, &item->from);
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL; head = CMSG_NXTHDR(msg, head))
        item->to_us |= destination(head, &item->to, &batch->scope[i]);
    item->from_us = net_own_has(&worker->own, &item->from.ip);
}

/* Returns how many have come. */
static size_t receive(struct net_worker *worker, const struct net_udp *udp)
{
    struct net_batch *batch = worker->batch;
    for (size_t i = 0; i < NET_DATAGRAMS; i++) {
        batch->in[i].msg_hdr.msg_namelen = sizeof(batch->name[i]);
        batch->in[i].msg_hdr.msg_controllen = sizeof(batch->in_control[i]);
    }
    const int got = recvmmsg(udp->fd, batch->in, NET_DATAGRAMS, MSG_DONTWAIT, NULL);
    if (got <= 0)
        return 0; /* nothing there, or a report of ICMP's that concerns nobody */
    uint64_t bytes = 0;
    for (size_t i = 0; i < (size_t)got; i++) {
        datagram_read(worker, i);
        bytes += batch->item[i].in.len;
    }
    stat_add(worker->stats, STAT_BYTES_READ, bytes);
    stat_add(worker->stats, STAT_UDP_DATAGRAMS_IN, (uint64_t)got);
    stat_add(worker->stats, STAT_UDP_BYTES_IN, bytes);
    return (size_t)got;
}

/* ── out ──────────────────────────────────────────────────────────────────────────────────── */

static void count_sent(struct net_worker *worker, uint64_t datagrams, uint64_t bytes)
{
    stat_add(worker->stats, STAT_BYTES_WRITTEN, bytes);
    stat_add(worker->stats, STAT_UDP_DATAGRAMS_OUT, datagrams);
    stat_add(worker->stats, STAT_UDP_BYTES_OUT, bytes);
}

static uint64_t pieces_of(const struct message *message)
{
    if (message->segment == 0)
        return 1;
    return (message->iov.iov_len + message->segment - 1) / message->segment;
}

static void count_failed(struct net_worker *worker, const struct net_udp *udp,
                         const struct message *message, uint64_t datagrams)
{
    event_note(worker->events, &(const struct event){.type = EVENT_UDP_SEND_FAILED,
                                                     .from = &message->to->from,
                                                     .to = &message->to->to,
                                                     .to_port = udp->port});
    stat_add(worker->stats, STAT_UDP_SEND_ERRORS, datagrams);
}

/* Is it the size or the cutting that the kernel does not like? */
static bool cut_is_refused(const struct message *message, int error)
{
    return message->segment > 0 && (error == EIO || error == EINVAL || error == EMSGSIZE ||
                                    error == ENOPROTOOPT || error == EOPNOTSUPP);
}

/* The kernel would not cut it up: send piece by piece. */
static void send_pieces(struct net_worker *worker, const struct net_udp *udp,
                        const struct msghdr *whole, const struct message *message)
{
    struct msghdr msg = *whole;
    struct iovec iov = message->iov;
    msg.msg_iov = &iov;
    msg.msg_controllen -= CMSG_SPACE(sizeof(uint16_t)); /* the last one: UDP_SEGMENT */
    for (size_t left = message->iov.iov_len; left > 0; left -= iov.iov_len) {
        iov.iov_base = (uint8_t *)message->iov.iov_base + (message->iov.iov_len - left);
        iov.iov_len = left < message->segment ? left : message->segment;
        if (sendmsg(udp->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            count_failed(worker, udp, message, 1);
        else
            count_sent(worker, 1, iov.iov_len);
    }
}

static void count_queued(struct net_worker *worker, size_t from, size_t to)
{
    const struct net_batch *batch = worker->batch;
    uint64_t datagrams = 0, bytes = 0;
    for (size_t i = from; i < to; i++) {
        datagrams += pieces_of(&batch->message[i]);
        bytes += batch->message[i].iov.iov_len;
    }
    count_sent(worker, datagrams, bytes);
}

/* Send the queue. */
static void flush(struct net_worker *worker, const struct net_udp *udp)
{
    struct net_batch *batch = worker->batch;
    size_t at = 0;
    while (at < batch->queued) {
        const int sent = sendmmsg(udp->fd, batch->queue + at, (unsigned)(batch->queued - at),
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            count_queued(worker, at, at + (size_t)sent);
            at += (size_t)sent;
        } else if (sent < 0 && errno == EINTR) {
            continue;
        } else { /* only the first of them can be the reason */
            const struct message *message = &batch->message[at];
            if (cut_is_refused(message, errno))
                send_pieces(worker, udp, &batch->queue[at].msg_hdr, message);
            else
                count_failed(worker, udp, message, pieces_of(message));
            at++;
        }
    }
    batch->queued = 0;
}

static uint8_t *control_put(struct msghdr *msg, int level, int type, size_t len)
{
    struct cmsghdr *head = (void *)((uint8_t *)msg->msg_control + msg->msg_controllen);
    head->cmsg_level = level;
    head->cmsg_type = type;
    head->cmsg_len = CMSG_LEN(len);
    msg->msg_controllen += CMSG_SPACE(len);
    return CMSG_DATA(head);
}

/* The answer leaves from the address that was asked. */
static void source_put(struct msghdr *msg, const struct net_datagram *item, unsigned scope)
{
    if (item->from.family == IP_V4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, item->to.byte + IP_V4_BITS / 8, sizeof(info.ipi_spec_dst));
        memcpy(control_put(msg, IPPROTO_IP, IP_PKTINFO, sizeof(info)), &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = scope};
        memcpy(&info.ipi6_addr, item->to.byte, sizeof(info.ipi6_addr));
        memcpy(control_put(msg, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), &info, sizeof(info));
    }
}

/* Queue `piece` for whoever sent datagram `i`; `segment`: cut it up. */
static void queue(struct net_worker *worker, size_t i, struct bytes piece, uint16_t segment)
{
    struct net_batch *batch = worker->batch;
    struct message *message = &batch->message[batch->queued];
    struct msghdr *msg = &batch->queue[batch->queued++].msg_hdr;
    message->iov = (struct iovec){.iov_base = (void *)piece.ptr, .iov_len = piece.len};
    message->to = &batch->item[i];
    message->segment = segment;
    *msg = (struct msghdr){
        .msg_name = &batch->name[i],
        .msg_namelen = batch->in[i].msg_hdr.msg_namelen,
        .msg_iov = &message->iov,
        .msg_iovlen = 1,
        .msg_control = &message->control,
    };
    source_put(msg, &batch->item[i], batch->scope[i]);
    if (segment > 0)
        memcpy(control_put(msg, IPPROTO_UDP, UDP_SEGMENT, sizeof(segment)), &segment,
               sizeof(segment));
}

/* Queue the answer to datagram `i`, in messages as large as the kernel takes. */
static void answer(struct net_worker *worker, const struct net_udp *udp, size_t i)
{
    struct net_batch *batch = worker->batch;
    const struct net_datagram *item = &batch->item[i];
    struct bytes rest = bytes_of(batch->out.buf + item->answer_at, item->answer_bytes);
    const size_t piece = item->piece_bytes;
    size_t count = piece > 0 ? MESSAGE_BYTES_MAX / piece : 0;
    if (count > SEGMENTS_MAX)
        count = SEGMENTS_MAX;
    while (rest.len > 0) {
        const bool whole = piece == 0 || rest.len <= piece;
        const size_t len = whole || rest.len < piece * count ? rest.len : piece * count;
        if (batch->queued == MESSAGES)
            flush(worker, udp);
        queue(worker, i, bytes_of(rest.ptr, len), whole ? 0 : (uint16_t)piece);
        rest = bytes_skip(rest, len);
    }
}

/* ── a turn ───────────────────────────────────────────────────────────────────────────────── */

void net_udp_serve(struct net_worker *worker, struct net_udp *udp)
{
    struct net_batch *batch = worker->batch;
    atomic_store_explicit(&udp->last_s, worker->now_s, memory_order_relaxed);
    net_own_copy(&worker->net->own, &worker->own);
    size_t count = NET_DATAGRAMS;
    for (int turn = 0; turn < BATCHES_PER_EVENT && count == NET_DATAGRAMS; turn++) {
        count = receive(worker, udp);
        if (count == 0)
            return;
        (void)stat_timing_read(worker->timing);
        struct net_datagrams all = {.item = batch->item,
                                    .count = count,
                                    .listener = udp->listener,
                                    .fd = udp->fd,
                                    .out = &batch->out};
        worker->net->config.ops->datagrams(worker->arg, &all);
        for (size_t i = 0; i < count && !batch->out.failed; i++)
            if (batch->item[i].answer_bytes > 0)
                answer(worker, udp, i);
        flush(worker, udp);
        stat_timing_sent(worker->timing);
        out_reset(&batch->out);
    }
}
