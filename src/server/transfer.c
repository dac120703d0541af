/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/transfer.h"

#include <assert.h>
#include <stdlib.h>

#include "gate/gate.h"
#include "server/login.h"
#include "server/pass.h"

struct session {
    enum { UPLOAD, SWALLOW, SUSPENDED, WATCHING, LOGIN } state;
    uint32_t generation; /* of the rules by which it may do what it does */
    uint64_t left;       /* UPLOAD, SWALLOW: bytes of the data block, its end bytes included */
    size_t line_bytes;   /* SUSPENDED: of the request, which stays in the input until it is done */
    struct cmd_upload upload;       /* SUSPENDED, WATCHING: only its req is used */
    struct logger_watcher *watcher; /* WATCHING */
    struct gate_exchange *exchange; /* LOGIN */
};

static enum net_rc verdict(enum cmd_rc rc)
{
    return rc == CMD_CLOSE ? NET_CLOSE : rc == CMD_AGAIN ? NET_YIELD : NET_AGAIN;
}

static void session_end(void **session)
{
    free(*session);
    *session = NULL;
}

static uint64_t value_left(const struct session *session)
{
    return session->left - session->upload.req.tail_bytes;
}

static void upload_fill(struct session_worker *worker, struct session *session, size_t len)
{
    session->left -= len;
    if (store_upload_fill(worker->cmd.thread, session->upload.upload, len) == STORE_OK)
        return;
    cmd_upload_fail(&worker->cmd, &session->upload);
    session->state = SWALLOW;
}

static enum net_rc resume_upload(struct session_worker *worker, void **self, struct net_io *io)
{
    struct session *session = *self;
    while (session->state == UPLOAD && value_left(session) > 0 && io->used < io->in.len) {
        size_t len;
        uint8_t *space = store_upload_space(session->upload.upload, &len);
        if (len > io->in.len - io->used)
            len = io->in.len - io->used;
        memcpy(space, io->in.ptr + io->used, len);
        io->used += len;
        upload_fill(worker, session, len);
    }
    if (session->state == SWALLOW)
        return transfer_resume(worker, self, io);
    if (value_left(session) > 0)
        return NET_FILL;
    const size_t tail_bytes = session->upload.req.tail_bytes;
    if (io->in.len - io->used < tail_bytes)
        return NET_MORE;
    const bool terminated =
        tail_bytes == 0 || memcmp(io->in.ptr + io->used, "\r\n", tail_bytes) == 0;
    io->used += tail_bytes;
    io->requests++;
    const enum cmd_rc rc = cmd_upload_end(&worker->cmd, &session->upload, terminated);
    session_count(worker, &session->upload.req);
    session_end(self);
    return verdict(rc);
}

enum net_rc transfer_close(struct session_worker *worker, struct net_io *io)
{
    io->reason = worker->cmd.close_reason;
    worker->cmd.close_reason = LOGGER_ERROR;
    return NET_CLOSE;
}

/* So much of a watcher's lines waits outside of its own buffer. */
enum { WATCH_BYTES_MAX = 32 * 1024 };

enum net_rc transfer_watch(struct session_worker *worker, void **self)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        logger_watcher_free(worker->cmd.watcher);
        return NET_CLOSE;
    }
    *self = session;
    session->generation = worker->generation;
    session->state = WATCHING;
    session->watcher = worker->cmd.watcher;
    session->upload.req.cmd = PROTO_CMD_WATCH;
    return NET_HOLD;
}

/* The rules have changed: may it still do what it is at? */
static bool may_go_on(const struct session_worker *worker, struct session *session,
                      const struct net_io *io)
{
    session->generation = worker->generation;
    if (!pass_is_current(worker, *io->note) && !pass_renew(worker, io))
        return false;
    if (login_wanted(worker, io))
        return false;
    struct proto_request req = session->upload.req;
    if (req.error != NULL || (*io->note & PASS_RESTRICTED) == 0)
        return true;
    pass_judge(worker, io, &req);
    return req.error == NULL;
}

enum net_rc transfer_resume(struct session_worker *worker, void **self, struct net_io *io)
{
    struct session *session = *self;
    if (session->state == LOGIN)
        return login_run(worker, self, io);
    if (UNLIKELY(session->generation != worker->generation) && !may_go_on(worker, session, io))
        return NET_CLOSE;
    if (session->state == WATCHING) {
        (void)logger_watcher_take(session->watcher, io->out, WATCH_BYTES_MAX);
        return NET_HOLD;
    }
    if (session->state == UPLOAD)
        return resume_upload(worker, self, io);
    if (session->state == SWALLOW) {
        const uint64_t avail = io->in.len - io->used;
        const uint64_t len = session->left < avail ? session->left : avail;
        io->used += (size_t)len;
        session->left -= len;
        if (session->left > 0)
            return NET_MORE;
    }
    io->requests++;
    const enum cmd_rc rc = cmd_run(&worker->cmd, &session->upload.req);
    if (rc == CMD_AGAIN)
        return NET_YIELD;
    session_count(worker, &session->upload.req);
    io->used += session->line_bytes;
    session_end(self);
    return verdict(rc);
}

enum net_rc transfer_upload(struct session_worker *worker, void **self, struct net_io *io,
                            const struct proto_request *req)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NET_CLOSE;
    *self = session;
    session->generation = worker->generation;
    cmd_hot(&worker->cmd, req, 1);
    session->left = req->value_bytes + req->tail_bytes;
    session->state = cmd_upload_begin(&worker->cmd, req, &session->upload) ? UPLOAD : SWALLOW;
    const uint64_t here = io->in.len - io->used;
    if (session->state == UPLOAD && session->left > here)
        worker->upload_bytes = session->left - here;
    return transfer_resume(worker, self, io);
}

enum net_rc transfer_suspend(struct session_worker *worker, void **self, struct proto_request *req,
                             size_t line_bytes)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        cmd_abort(&worker->cmd, req);
        return NET_CLOSE;
    }
    *self = session;
    session->generation = worker->generation;
    session->state = SUSPENDED;
    session->line_bytes = line_bytes;
    session->upload.req = *req;
    return NET_YIELD;
}

bool transfer_login(void **self, struct gate_exchange *exchange)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        gate_exchange_free(exchange);
        return false;
    }
    session->state = LOGIN;
    session->exchange = exchange;
    *self = session;
    return true;
}

struct gate_exchange *transfer_login_take(void **self)
{
    struct session *session = *self;
    if (session == NULL)
        return NULL;
    assert(session->state == LOGIN);
    struct gate_exchange *exchange = session->exchange;
    session_end(self);
    return exchange;
}

uint8_t *transfer_space(void *worker, void *self, size_t *ret_len, bool *ret_last)
{
    (void)worker;
    struct session *session = self;
    uint8_t *space = store_upload_space(session->upload.upload, ret_len);
    *ret_last = *ret_len == value_left(session);
    return space;
}

enum net_rc transfer_filled(void *worker, void *self, size_t len)
{
    struct session *session = self;
    upload_fill(worker, session, len);
    if (session->state == UPLOAD && value_left(session) > 0)
        return NET_FILL;
    return session->left > 0 ? NET_MORE : NET_AGAIN; /* nothing more has to come: go on with it */
}

void transfer_gone(void *worker, void *self)
{
    struct session_worker *context = worker;
    struct session *session = self;
    if (session->state == UPLOAD)
        cmd_upload_abort(&session->upload);
    else if (session->state == WATCHING)
        logger_watcher_free(session->watcher);
    else if (session->state == LOGIN)
        gate_exchange_free(session->exchange);
    else
        cmd_abort(&context->cmd, &session->upload.req);
    free(session);
}
