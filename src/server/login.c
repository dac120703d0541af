/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/login.h"

#include "gate/attempt.h"
#include "gate/gate.h"
#include "proto/binary.h"

#include "server/note.h"

#define SASL_MECHANISMS "PLAIN" /* all that there are */

enum { SASL_MECHANISM_BYTES_MAX = 32 };

/* How it was tried. */
static const char *login_verb(const struct net_io *io)
{
    return (*io->note & SESSION_BINARY) != 0 ? "sasl_auth" : "set";
}

/* Check an attempt and remember its outcome. Returns false when it failed. */
static bool attempt_check(struct session_worker *worker, struct net_io *io,
                          const struct gate_attempt *attempt)
{
    const uint16_t user = gate_check(worker->gate, worker->index, attempt->name, attempt->password);
    pass_user_set(worker, io, user);
    stat_inc(worker->cmd.stats, STAT_AUTH_CMDS);
    if (user == 0)
        stat_inc(worker->cmd.stats, STAT_AUTH_ERRORS);
    note_event(worker, io,
               (struct event){.type = user != 0 ? EVENT_LOGIN_OK : EVENT_LOGIN_FAILED,
                              .user = attempt->name,
                              .verb = login_verb(io)});
    return user != 0;
}

/* ── text ─────────────────────────────────────────────────────────────────────────────────── */

static enum net_rc text_run(struct session_worker *worker, struct net_io *io)
{
    struct gate_attempt attempt;
    size_t used = 0;
    enum proto_reply reply = PROTO_REPLY_UNAUTHENTICATED;
    switch (gate_text_parse(bytes_skip(io->in, io->used), &attempt, &used)) {
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
    io->used += used;
    io->requests++;
    return NET_AGAIN;
}

/* ── binary ───────────────────────────────────────────────────────────────────────────────── */

static void answer(struct net_io *io, const struct proto_request *req, enum proto_status status,
                   const char *text)
{
    proto_binary_reply(io->out, req, status, bytes_str(text));
}

static enum net_rc refuse(struct net_io *io, const struct proto_request *req)
{
    answer(io, req, PROTO_STATUS_AUTH_ERROR, "");
    return NET_CLOSE;
}

/* PLAIN is one message, so a step, which continues something, can never go well. */
static void sasl_attempt(struct session_worker *worker, struct net_io *io,
                         const struct proto_request *req)
{
    struct gate_attempt attempt;
    if (req->cmd == PROTO_CMD_BIN_SASL_AUTH && bytes_is(req->key, SASL_MECHANISMS) &&
        gate_plain_parse(req->value, &attempt)) {
        const bool ok = attempt_check(worker, io, &attempt);
        answer(io, req, ok ? PROTO_STATUS_OK : PROTO_STATUS_AUTH_ERROR, ok ? "Authenticated" : "");
        return;
    }
    stat_inc(worker->cmd.stats, STAT_AUTH_CMDS);
    stat_inc(worker->cmd.stats, STAT_AUTH_ERRORS);
    note_event(worker, io,
               (struct event){.type = EVENT_LOGIN_FAILED,
                              .rule = bytes_str("malformed"),
                              .verb = login_verb(io)});
    answer(io, req, PROTO_STATUS_AUTH_ERROR, "");
}

static enum net_rc binary_run(struct session_worker *worker, struct net_io *io)
{
    struct proto_request req;
    size_t used = 0;
    const struct bytes in = bytes_skip(io->in, io->used);
    const enum proto_rc rc = proto_binary_parse(in, &req, &used);
    if (rc == PROTO_OK &&
        (req.cmd == PROTO_CMD_BIN_SASL_AUTH || req.cmd == PROTO_CMD_BIN_SASL_STEP))
        pass_user_set(worker, io, 0); /* whatever comes of it, it is no longer who it was */
    if (rc == PROTO_MORE)
        return NET_MORE;
    if (rc == PROTO_CLOSE && req.error == NULL)
        return NET_CLOSE; /* not even this protocol */
    if (req.error != NULL || proto_class_of(req.cmd) != PROTO_CLASS_LOGIN)
        return refuse(io, &req);
    if (in.len - used < req.value_bytes)
        return NET_MORE;
    req.value = bytes_of(in.ptr + used, (size_t)req.value_bytes);
    if (req.cmd == PROTO_CMD_BIN_VERSION)
        (void)!cmd_run(&worker->cmd, &req);
    else if (req.cmd == PROTO_CMD_BIN_SASL_LIST)
        answer(io, &req, PROTO_STATUS_OK, SASL_MECHANISMS);
    else if (req.key.len > SASL_MECHANISM_BYTES_MAX)
        answer(io, &req, PROTO_STATUS_INVALID, "");
    else
        sasl_attempt(worker, io, &req);
    io->used += used + (size_t)req.value_bytes;
    io->requests++;
    return NET_AGAIN;
}

enum net_rc login_run(struct session_worker *worker, struct net_io *io)
{
    return (*io->note & SESSION_BINARY) != 0 ? binary_run(worker, io) : text_run(worker, io);
}
