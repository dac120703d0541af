/* cli/exchange.h — one command by RR UDP, from HELLO to the whole answer, over a network that loses
 * datagrams: what is sent when, and what a datagram received means.
 *
 * Each try has a request id of its own, so that no parts of two answers are mixed. A command that
 * writes is sent once: whether a lost answer means a lost request cannot be told.
 *
 * Includes: base.  Included by: cli and its tests.  Pure: no socket, no clock.
 * Memory:   the caller's; `room` below.
 * Spec:     docs/udp-rr.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#define MATTE_RR_PARTS_MAX 1024 /* servers may be told to answer more than the usual 64 KiB */
#include <matte/rr.h>

#include "base/attr.h"
#include "base/bytes.h"

enum {
    CLI_EXCHANGE_WAIT_MS = 250,      /* until the first repeat; each wait is twice the last, */
    CLI_EXCHANGE_WAIT_MS_MAX = 2000, /* up to this */
    CLI_EXCHANGE_CHALLENGES_MAX = 4, /* in a row, then the server is odd */
    CLI_EXCHANGE_COMMAND_MAX = 65507 - MATTE_RR_FRAME_BYTES, /* what one IPv4 datagram holds */
};

enum cli_exchange_rc {
    CLI_EXCHANGE_MORE,
    CLI_EXCHANGE_DONE,  /* the answer is complete */
    CLI_EXCHANGE_LARGE, /* it is longer than UDP should carry */
    CLI_EXCHANGE_ODD,   /* the server does not take its own cookies */
};

struct cli_exchange {
    struct matte_rr rr; /* stays from one command to the next */
    struct matte_rr_answer answer;
    uint8_t *room; /* MATTE_RR_ROOM_BYTES, the caller's */
    struct bytes command;
    bool may_repeat; /* it only reads */
    bool is_sent;    /* with the cookie that we have */
    unsigned challenges;
    uint16_t request;
    uint64_t wait_ms, next_ms, end_ms;
};

/* `nonce` and `request` are random. */
void cli_exchange_init(struct cli_exchange *exchange, const uint8_t nonce[MATTE_RR_NONCE_BYTES],
                       uint16_t request, uint8_t room[MATTE_RR_ROOM_BYTES]);

/* Begin with a command of up to CLI_EXCHANGE_COMMAND_MAX bytes, which stay until it is done; an
 * empty one is done when a cookie has come.
 * `now_ms` is monotonic; the exchange is over at now_ms + timeout_ms. */
void cli_exchange_start(struct cli_exchange *exchange, struct bytes command, bool may_repeat,
                        uint64_t now_ms, uint64_t timeout_ms);

/* The datagram to send now: its bytes in `out`, which has room for MATTE_RR_FRAME_BYTES and the
 * command; 0: none before `next_ms`. */
MUST_USE size_t cli_exchange_due(struct cli_exchange *exchange, uint64_t now_ms, uint8_t *out);

/* Take one datagram in. DONE: the answer is `answer.bytes` at `room`. */
MUST_USE enum cli_exchange_rc cli_exchange_take(struct cli_exchange *exchange,
                                                struct bytes datagram, uint64_t now_ms);
