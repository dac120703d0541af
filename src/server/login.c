/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/login.h"

#include "gate/attempt.h"
#include "gate/gate.h"

static void user_set(struct net_io *io, uint16_t user)
{
    const uint16_t low = (1u << SESSION_USER_SHIFT) - 1;
    *io->note = (uint16_t)((*io->note & low) | user << SESSION_USER_SHIFT);
}

/* Check an attempt and remember its outcome. Returns false when it failed. */
static bool attempt_check(struct session_worker *worker, struct net_io *io,
                          const struct gate_attempt *attempt)
{
    const uint16_t user = gate_check(worker->gate, worker->index, attempt->name, attempt->password);
    user_set(io, user);
    stat_inc(worker->cmd.stats, STAT_AUTH_CMDS);
    if (user == 0)
        stat_inc(worker->cmd.stats, STAT_AUTH_ERRORS);
    return user != 0;
}

enum net_rc login_run(struct session_worker *worker, struct net_io *io)
{
    struct gate_attempt attempt;
    size_t used = 0;
    enum proto_reply reply = PROTO_REPLY_UNAUTHENTICATED;
    switch (gate_text_parse(io->in, &attempt, &used)) {
    case GATE_TEXT_MORE:
        return NET_MORE;
    case GATE_TEXT_CLOSE:
        return NET_CLOSE;
    case GATE_TEXT_REFUSED:
        reply = attempt.refusal;
        break;
    case GATE_TEXT_ATTEMPT:
        reply = attempt_check(worker, io, &attempt) ? PROTO_REPLY_STORED : PROTO_REPLY_LOGIN_FAILED;
        break;
    }
    proto_reply(io->out, reply);
    io->used = used;
    io->requests++;
    return NET_AGAIN;
}
