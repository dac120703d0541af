/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/session.h"

#include "proto/binary.h"
#include "proto/foreign.h"
#include "proto/text.h"
#include "server/limit.h"
#include "server/login.h"
#include "server/note.h"
#include "server/pass.h"
#include "server/transfer.h"

enum parsed { PARSED, PARSED_PART, PARSED_LARGE, PARSED_LAST };

/* Which protocol does a new connection speak? */
static uint32_t protocol_choose(const struct session_worker *worker, const struct net_io *io)
{
    enum opt_protocol protocol = (enum opt_protocol)net_listener_tag(*worker->net, io->listener);
    if (protocol == OPT_PROTOCOL_DEFAULT)
        protocol = worker->protocol;
    if (protocol == OPT_PROTOCOL_AUTO)
        return io->in.ptr[0] == PROTO_BINARY_REQUEST ? SESSION_BINARY : SESSION_TEXT;
    return protocol == OPT_PROTOCOL_BINARY ? SESSION_BINARY : SESSION_TEXT;
}

/* The first bytes of a connection choose its protocol. Those of another one than ours end it: an
 * HTTP request may carry lines of ours, and a TLS client would wait for an answer that never comes.
 * Returns as enter(). */
static enum net_rc begin(const struct session_worker *worker, const struct net_io *io)
{
    const char *name = NULL;
    switch (proto_foreign_recognise(io->in, &name)) {
    case PROTO_FOREIGN_MAYBE:
        return NET_MORE;
    case PROTO_FOREIGN_YES:
        if (strcmp(name, "tls") == 0)
            stat_inc(worker->cmd.stats, STAT_SSL_PROTO_ERRORS);
        note_event(worker, io,
                   (struct event){.type = EVENT_FOREIGN_PROTOCOL, .rule = bytes_str(name)});
        return NET_CLOSE;
    case PROTO_FOREIGN_NO:
        break;
    }
    *io->note |= protocol_choose(worker, io);
    return NET_AGAIN;
}

/* The first bytes of a connection, or the first since the rules have changed. Returns NET_AGAIN
 * when it may go on. */
static enum net_rc enter(const struct session_worker *worker, const struct net_io *io)
{
    enum net_rc rc = NET_AGAIN;
    if ((*io->note & (SESSION_TEXT | SESSION_BINARY)) == 0)
        rc = begin(worker, io);
    return rc == NET_AGAIN && !pass_renew(worker, io) ? NET_CLOSE : rc;
}

/* Parse the request at `in`, with its data block. *ret_used counts both; PARSED_LARGE: only the
 * line, or head. */
static ALWAYS_INLINE enum parsed parse(uint32_t note, struct bytes in, struct proto_request *req,
                                       size_t *ret_used)
{
    size_t head = 0;
    const enum proto_rc rc = UNLIKELY(note & SESSION_BINARY) ? proto_binary_parse(in, req, &head)
                                                             : proto_text_parse(in, req, &head);
    *ret_used = head;
    if (rc != PROTO_OK)
        return rc == PROTO_MORE ? PARSED_PART : PARSED_LAST;
    if (!req->has_value)
        return PARSED;
    const uint64_t block = req->value_bytes + req->tail_bytes;
    if (in.len - head < block)
        return head + block <= NET_IN_BYTES || proto_value_is_login(req) ? PARSED_PART
                                                                         : PARSED_LARGE;
    req->value = bytes_of(in.ptr + head, (size_t)req->value_bytes);
    req->value_bad = req->tail_bytes > 0 && memcmp(req->value.ptr + req->value.len, "\r\n", 2) != 0;
    *ret_used = head + (size_t)block;
    return PARSED;
}

void session_ahead(void *arg, const struct net_ahead *all, unsigned count)
{
    struct session_worker *worker = arg;
    const struct store *store = worker->cmd.store;
    for (unsigned i = 0; i < count; i++) {
        struct session_ahead *ahead = &worker->ahead[i];
        ahead->key = all[i].note & SESSION_BINARY ? proto_binary_key_peek(all[i].in)
                                                  : proto_text_key_peek(all[i].in);
        ahead->hash = store_hash(store, ahead->key);
        store_prefetch_bucket(store, ahead->hash);
    }
    for (unsigned i = 0; i < count; i++)
        worker->ahead[i].hint = store_prefetch_item(store, worker->ahead[i].hash);
}

/* Is this the request whose key session_ahead() has seen? Then its hash is known, and what it looks
 * at is on its way. */
static ALWAYS_INLINE bool ahead_take(const struct session_worker *worker, const struct net_io *io,
                                     struct proto_request *req)
{
    if (io->ahead == 0)
        return false;
    const struct session_ahead *ahead = &worker->ahead[io->ahead - 1];
    if (ahead->key.ptr != req->key.ptr || ahead->key.len != req->key.len || req->key_base64)
        return false;
    req->hash = ahead->hash;
    req->hint = ahead->hint;
    return req->hashed = true;
}

static ALWAYS_INLINE enum net_rc batch_run(struct session_worker *worker, void **self,
                                           struct net_io *io)
{
    struct cmd_ctx *cmd = &worker->cmd;
    struct proto_request *batch = worker->batch;
    if (*self != NULL)
        return transfer_resume(worker, self, io);
    if (login_wanted(worker, io))
        return login_run(worker, self, io);
    const uint32_t note = *io->note;

    /* 1. Parse what one read brought; meanwhile the buckets of the keys parsed so far arrive. */
    enum parsed parsed = PARSED;
    size_t count = 0, at = 0, len = 0;
    while (at < io->in.len && count < SESSION_BATCH) {
        parsed = parse(note, bytes_skip(io->in, at), &batch[count], &len);
        if (parsed != PARSED)
            break;
        if (count > 0 || !ahead_take(worker, io, &batch[0]))
            cmd_prefetch_bucket(cmd, &batch[count]);
        worker->ends[count++] = at += len;
    }
    /* 2. With the buckets there, have the items fetched. */
    for (size_t i = 0; count > 1 && i < count; i++)
        cmd_prefetch_item(cmd, &batch[i]);
    cmd_hot(cmd, batch, count);
    /* 3. Run them in order; net sends the answers together. */
    for (size_t i = 0; i < count; i++) {
        if (login_again(worker, &batch[i]))
            return login_run(worker, self, io);
        if (UNLIKELY(note & PASS_RESTRICTED))
            pass_judge(worker, io, &batch[i]);
        const enum cmd_rc rc = cmd_run(cmd, &batch[i]);
        if (rc == CMD_AGAIN)
            return transfer_suspend(worker, self, &batch[i], worker->ends[i] - io->used);
        io->used = worker->ends[i];
        io->requests++;
        session_count(worker, &batch[i]);
        if (rc == CMD_CLOSE)
            return transfer_close(worker, io);
        if (rc == CMD_HOLD)
            return transfer_watch(worker, self);
        if (out_bytes(io->out) >= CMD_OUT_BYTES_MAX)
            return NET_FLUSH;
    }
    /* 4. What comes behind the last whole request. */
    switch (parsed) {
    case PARSED:
        return NET_AGAIN;
    case PARSED_PART:
        return NET_MORE;
    case PARSED_LARGE:
        if (login_again(worker, &batch[count]))
            return login_run(worker, self, io);
        if (UNLIKELY(note & PASS_RESTRICTED))
            pass_judge(worker, io, &batch[count]);
        io->used += len;
        return transfer_upload(worker, self, io, &batch[count]);
    case PARSED_LAST:
        break;
    }
    if (batch[count].error != NULL)
        (void)!cmd_run(cmd, &batch[count]);
    return NET_CLOSE;
}

enum net_rc session_run(void *arg, void **self, struct net_io *io)
{
    struct session_worker *worker = arg;
    worker->cmd.out = io->out;
    worker->cmd.fd = io->fd;
    worker->cmd.conn = io;
    if (UNLIKELY(!pass_is_current(worker, *io->note)) && *self == NULL) {
        const enum net_rc rc = enter(worker, io);
        if (rc != NET_AGAIN)
            return rc;
    }
    const bool limited = (*io->note & PASS_LIMITED) != 0;
    if (UNLIKELY(limited) && !limit_begin(worker, io, *self != NULL))
        return NET_PAUSE;
    const enum net_rc rc = batch_run(worker, self, io);
    if (UNLIKELY(limited))
        limit_end(worker, io);
    return rc;
}
