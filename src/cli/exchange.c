/* cli/exchange.c — one command by RR UDP.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/exchange.h"

void cli_exchange_init(struct cli_exchange *exchange, const uint8_t nonce[MATTE_RR_NONCE_BYTES],
                       uint16_t request, uint8_t room[MATTE_RR_ROOM_BYTES])
{
    *exchange = (struct cli_exchange){.room = room, .request = request};
    matte_rr_init(&exchange->rr, nonce);
}

void cli_exchange_start(struct cli_exchange *exchange, struct bytes command, bool may_repeat,
                        uint64_t now_ms, uint64_t timeout_ms)
{
    exchange->command = command;
    exchange->may_repeat = may_repeat;
    exchange->is_sent = false;
    exchange->challenges = 0;
    exchange->wait_ms = CLI_EXCHANGE_WAIT_MS;
    exchange->next_ms = now_ms;
    exchange->end_ms = now_ms + timeout_ms;
}

size_t cli_exchange_due(struct cli_exchange *exchange, uint64_t now_ms, uint8_t *out)
{
    if (now_ms < exchange->next_ms || now_ms >= exchange->end_ms)
        return 0;
    const bool ready = exchange->command.len > 0 && matte_rr_ready(&exchange->rr, now_ms / 1000);
    if (ready && exchange->is_sent && !exchange->may_repeat) {
        exchange->next_ms = exchange->end_ms;
        return 0;
    }
    exchange->request++;
    matte_rr_answer_init(&exchange->answer, exchange->request, exchange->room, MATTE_RR_ROOM_BYTES);
    exchange->is_sent = ready;
    exchange->next_ms = now_ms + exchange->wait_ms;
    exchange->wait_ms *= 2;
    if (exchange->wait_ms > CLI_EXCHANGE_WAIT_MS_MAX)
        exchange->wait_ms = CLI_EXCHANGE_WAIT_MS_MAX;
    return ready ? matte_rr_wrap(&exchange->rr, exchange->request, exchange->command.ptr,
                                 exchange->command.len, out)
                 : matte_rr_hello(&exchange->rr, exchange->request, out);
}

enum cli_exchange_rc cli_exchange_take(struct cli_exchange *exchange, struct bytes datagram,
                                       uint64_t now_ms)
{
    switch (matte_rr_take(&exchange->rr, &exchange->answer, datagram.ptr, datagram.len,
                          now_ms / 1000)) {
    case MATTE_RR_IGNORED:
    case MATTE_RR_MORE:
        return CLI_EXCHANGE_MORE;
    case MATTE_RR_DONE:
        /* Nobody is asked before the cookie: this is not the answer to a HELLO. */
        return exchange->is_sent ? CLI_EXCHANGE_DONE : CLI_EXCHANGE_ODD;
    case MATTE_RR_AGAIN:
        /* What was sent has not been executed, even where it writes. */
        exchange->is_sent = false;
        exchange->next_ms = now_ms;
        if (exchange->command.len == 0)
            return CLI_EXCHANGE_DONE;
        return ++exchange->challenges > CLI_EXCHANGE_CHALLENGES_MAX ? CLI_EXCHANGE_ODD
                                                                    : CLI_EXCHANGE_MORE;
    case MATTE_RR_LARGE:
        return CLI_EXCHANGE_LARGE;
    }
    return CLI_EXCHANGE_ODD;
}
