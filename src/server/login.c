/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/login.h"

#include "gate/attempt.h"
#include "gate/gate.h"
#include "proto/binary.h"
#include "server/limit.h"
#include "server/note.h"
#include "server/transfer.h"

/* All that there are, the best first. */
#define SASL_SCRAM      "SCRAM-SHA-256"
#define SASL_PLAIN      "PLAIN"
#define SASL_MECHANISMS SASL_SCRAM " " SASL_PLAIN

enum { SASL_MECHANISM_BYTES_MAX = 32 };

/* How it was tried. */
static const char *login_verb(const struct net_io *io)
{
    return (*io->note & SESSION_BINARY) != 0 ? "sasl_auth" : "set";
}

/* Has this address failed so often that its attempts are not even looked at? */
static bool is_over(struct session_worker *worker, const struct net_io *io)
{
    worker->login_over = !limit_login(worker, io);
    return worker->login_over;
}

/* An attempt is over: who it is now (0: nobody), and who it claimed to be (empty: it was
 * malformed). */
static void attempt_end(struct session_worker *worker, const struct net_io *io, uint16_t user,
                        struct bytes name)
{
    pass_user_set(worker, io, user);
    stat_inc(worker->cmd.stats, STAT_AUTH_CMDS);
    if (user == 0)
        stat_inc(worker->cmd.stats, STAT_AUTH_ERRORS);
    if (worker->login_over)
        return; /* the limiter has noted it */
    if (user == 0)
        limit_login_failed(worker, io);
    note_event(worker, io,
               (struct event){.type = user != 0 ? EVENT_LOGIN_OK : EVENT_LOGIN_FAILED,
                              .rule = bytes_str(name.len > 0 ? "" : "malformed"),
                              .user = name,
                              .verb = login_verb(io)});
}

/* Check an attempt and remember its outcome. Returns false when it failed. */
static bool attempt_check(struct session_worker *worker, const struct net_io *io,
                          const struct gate_attempt *attempt)
{
    const uint16_t user = is_over(worker, io) ? 0
                                              : gate_check(worker->gate, worker->index,
                                                           attempt->name, attempt->password);
    attempt_end(worker, io, user, attempt->name);
    return user != 0;
}

/* Somebody who has not logged in sent something else than a login. */
static void intruder_note(const struct session_worker *worker, const struct net_io *io,
                          const char *verb)
{
    note_event(worker, io,
               (struct event){
                   .type = EVENT_VERB_DENIED, .rule = bytes_str("not logged in"), .verb = verb});
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
        intruder_note(worker, io, NULL);
        return NET_CLOSE;
    case GATE_TEXT_REFUSED:
        intruder_note(worker, io, NULL);
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

static enum net_rc refuse(const struct session_worker *worker, struct net_io *io,
                          const struct proto_request *req)
{
    intruder_note(worker, io, req->error != NULL ? NULL : proto_name_of(req->cmd));
    answer(io, req, PROTO_STATUS_AUTH_ERROR, "");
    return NET_CLOSE;
}

static void sasl_failed(struct session_worker *worker, struct net_io *io,
                        const struct proto_request *req)
{
    attempt_end(worker, io, 0, bytes_of(NULL, 0));
    answer(io, req, PROTO_STATUS_AUTH_ERROR, "");
}

/* The first message by SCRAM. Counts as an attempt only when it comes to nothing here. */
static void scram_begin(struct session_worker *worker, void **self, struct net_io *io,
                        const struct proto_request *req)
{
    struct bytes text;
    struct gate_exchange *exchange =
        is_over(worker, io) ? NULL
                            : gate_scram_begin(worker->gate, worker->index, req->value, &text);
    if (exchange != NULL && transfer_login(self, exchange))
        proto_binary_reply(io->out, req, PROTO_STATUS_AUTH_CONTINUE, text);
    else
        sasl_failed(worker, io, req);
}

/* The final one, and then an empty one: as memcached with Cyrus does it, so that the client can
 * check our proof before it goes on. */
static void scram_step(struct session_worker *worker, void **self, struct net_io *io,
                       const struct proto_request *req, struct gate_exchange **exchange)
{
    uint8_t text[GATE_SCRAM_END_BYTES];
    uint16_t user = 0;
    if (gate_scram_is_proven(*exchange)) {
        user = gate_scram_end(worker->gate, worker->index, *exchange, req->value);
    } else if (!is_over(worker, io) &&
               gate_scram_prove(worker->gate, worker->index, *exchange, req->value, text)) {
        const bool kept = transfer_login(self, *exchange);
        *exchange = NULL;
        if (kept)
            proto_binary_reply(io->out, req, PROTO_STATUS_AUTH_CONTINUE,
                               bytes_of(text, sizeof(text)));
        else
            sasl_failed(worker, io, req);
        return;
    }
    attempt_end(worker, io, user, gate_exchange_name(*exchange));
    answer(io, req, user != 0 ? PROTO_STATUS_OK : PROTO_STATUS_AUTH_ERROR,
           user != 0 ? "Authenticated" : "");
}

/* A message of a login. `*exchange` is what the message before has begun, or NULL; set to NULL when
 * it goes on. */
static void sasl_message(struct session_worker *worker, void **self, struct net_io *io,
                         const struct proto_request *req, struct gate_exchange **exchange)
{
    struct gate_attempt attempt;
    const bool begins = req->cmd == PROTO_CMD_BIN_SASL_AUTH;
    const bool is_scram = bytes_is(req->key, SASL_SCRAM);
    if (begins && is_scram) {
        scram_begin(worker, self, io, req);
    } else if (begins && bytes_is(req->key, SASL_PLAIN) && gate_plain_parse(req->value, &attempt)) {
        const bool ok = attempt_check(worker, io, &attempt);
        answer(io, req, ok ? PROTO_STATUS_OK : PROTO_STATUS_AUTH_ERROR, ok ? "Authenticated" : "");
    } else if (!begins && is_scram && *exchange != NULL) {
        scram_step(worker, self, io, req, exchange);
    } else {
        sasl_failed(worker, io, req);
    }
}

static enum net_rc binary_run(struct session_worker *worker, void **self, struct net_io *io)
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
        return refuse(worker, io, &req);
    if (in.len - used < req.value_bytes)
        return NET_MORE;
    req.value = bytes_of(in.ptr + used, (size_t)req.value_bytes);
    struct gate_exchange *exchange = transfer_login_take(self);
    if (req.cmd == PROTO_CMD_BIN_VERSION)
        (void)!cmd_run(&worker->cmd, &req);
    else if (req.cmd == PROTO_CMD_BIN_SASL_LIST)
        answer(io, &req, PROTO_STATUS_OK, SASL_MECHANISMS);
    else if (req.key.len > SASL_MECHANISM_BYTES_MAX)
        answer(io, &req, PROTO_STATUS_INVALID, "");
    else
        sasl_message(worker, self, io, &req, &exchange);
    gate_exchange_free(exchange);
    io->used += used + (size_t)req.value_bytes;
    io->requests++;
    return NET_AGAIN;
}

enum net_rc login_run(struct session_worker *worker, void **self, struct net_io *io)
{
    worker->login_over = false;
    const enum net_rc rc =
        (*io->note & SESSION_BINARY) != 0 ? binary_run(worker, self, io) : text_run(worker, io);
    return worker->login_over ? NET_CLOSE : rc;
}
