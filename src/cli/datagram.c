/* cli/datagram.c — the socket of a server that is asked by RR UDP.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/datagram.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/exchange.h"

_Static_assert(CLI_DATAGRAM_COMMAND_MAX == (int)CLI_EXCHANGE_COMMAND_MAX, "the same limit");

struct cli_datagram {
    int fd;
    struct cli_exchange exchange;
    uint8_t out[MATTE_RR_FRAME_BYTES + CLI_EXCHANGE_COMMAND_MAX];
    uint8_t in[UINT16_MAX];
    uint8_t room[MATTE_RR_ROOM_BYTES];
};

struct cli_datagram *cli_datagram_new(const struct cli_peer *peer)
{
    struct cli_datagram *datagram = malloc(sizeof(*datagram));
    if (datagram == NULL)
        return NULL;
    uint8_t nonce[MATTE_RR_NONCE_BYTES];
    uint16_t request;
    cli_random(nonce, sizeof(nonce));
    cli_random(&request, sizeof(request));
    cli_exchange_init(&datagram->exchange, nonce, request, datagram->room);
    datagram->fd = socket(peer->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (datagram->fd >= 0 &&
        connect(datagram->fd, (const struct sockaddr *)&peer->address, peer->address_bytes) == 0)
        return datagram;
    const int error = errno;
    cli_datagram_free(datagram);
    errno = error;
    return NULL;
}

void cli_datagram_free(struct cli_datagram *datagram)
{
    if (datagram != NULL && datagram->fd >= 0)
        (void)close(datagram->fd);
    free(datagram);
}

/* Errors that a later datagram may not have. */
static bool is_passing(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS;
}

static enum cli_datagram_rc failed(void)
{
    return errno == ECONNREFUSED ? CLI_DATAGRAM_CLOSED : CLI_DATAGRAM_FAILED;
}

static enum cli_datagram_rc rc_of(enum cli_exchange_rc rc)
{
    switch (rc) {
    case CLI_EXCHANGE_DONE:
        return CLI_DATAGRAM_OK;
    case CLI_EXCHANGE_LARGE:
        return CLI_DATAGRAM_LARGE;
    case CLI_EXCHANGE_MORE:
    case CLI_EXCHANGE_ODD:
        break;
    }
    return CLI_DATAGRAM_ODD;
}

enum cli_datagram_rc cli_datagram_ask(struct cli_datagram *datagram, struct bytes command,
                                      bool may_repeat, uint64_t timeout_ms,
                                      struct bytes *ret_answer)
{
    struct cli_exchange *exchange = &datagram->exchange;
    uint64_t now_ms = clock_mono_ns() / 1000000;
    cli_exchange_start(exchange, command, may_repeat, now_ms, timeout_ms);
    for (; now_ms < exchange->end_ms; now_ms = clock_mono_ns() / 1000000) {
        const size_t len = cli_exchange_due(exchange, now_ms, datagram->out);
        if (len > 0 && send(datagram->fd, datagram->out, len, 0) < 0 && !is_passing(errno))
            return failed();
        const uint64_t next_ms =
            exchange->next_ms < exchange->end_ms ? exchange->next_ms : exchange->end_ms;
        struct pollfd poll_fd = {.fd = datagram->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, next_ms > now_ms ? (int)(next_ms - now_ms) : 0) <= 0)
            continue;
        const ssize_t count = recv(datagram->fd, datagram->in, sizeof(datagram->in), 0);
        if (count < 0 && !is_passing(errno))
            return failed();
        if (count < 0)
            continue;
        const enum cli_exchange_rc rc =
            cli_exchange_take(exchange, bytes_of(datagram->in, (size_t)count), now_ms);
        if (rc == CLI_EXCHANGE_DONE)
            *ret_answer = bytes_of(datagram->room, exchange->answer.bytes);
        if (rc != CLI_EXCHANGE_MORE)
            return rc_of(rc);
    }
    return exchange->is_sent && !may_repeat ? CLI_DATAGRAM_UNCERTAIN : CLI_DATAGRAM_TIMEOUT;
}

enum cli_datagram_rc cli_datagram_hello(struct cli_datagram *datagram, uint64_t timeout_ms)
{
    struct bytes none;
    return cli_datagram_ask(datagram, bytes_of(NULL, 0), true, timeout_ms, &none);
}

const char *cli_datagram_text(enum cli_datagram_rc rc)
{
    switch (rc) {
    case CLI_DATAGRAM_OK:
        return "fine";
    case CLI_DATAGRAM_TIMEOUT:
        return "no answer by UDP in time";
    case CLI_DATAGRAM_UNCERTAIN:
        return "no answer by UDP in time; whether it was done is not known";
    case CLI_DATAGRAM_CLOSED:
        return "no UDP on this port";
    case CLI_DATAGRAM_LARGE:
        return "the answer is too long for UDP; ask by TCP";
    case CLI_DATAGRAM_ODD:
        return "the server does not answer as RR UDP should";
    case CLI_DATAGRAM_FAILED:
        return strerror(errno);
    }
    return "";
}
