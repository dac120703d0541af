/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/session.h"

#include "proto/text.h"
#include "server/transfer.h"

enum parsed { PARSED, PARSED_PART, PARSED_LARGE, PARSED_LAST };

/* Parse the request at `in`, with its data block. *ret_used counts both; PARSED_LARGE: only the
 * line. */
static enum parsed parse(struct bytes in, struct proto_request *req, size_t *ret_used)
{
    size_t line = 0;
    const enum proto_rc rc = proto_text_parse(in, req, &line);
    *ret_used = line;
    if (rc != PROTO_OK)
        return rc == PROTO_MORE ? PARSED_PART : PARSED_LAST;
    if (!req->has_value)
        return PARSED;
    const uint64_t block = req->value_bytes + 2;
    if (in.len - line < block)
        return line + block <= NET_IN_BYTES ? PARSED_PART : PARSED_LARGE;
    req->value = bytes_of(in.ptr + line, (size_t)req->value_bytes);
    req->value_bad = memcmp(req->value.ptr + req->value.len, "\r\n", 2) != 0;
    *ret_used = line + (size_t)block;
    return PARSED;
}

enum net_rc session_run(void *arg, void **self, struct net_io *io)
{
    struct session_worker *worker = arg;
    struct cmd_ctx *cmd = &worker->cmd;
    struct proto_request *batch = worker->batch;
    cmd->out = io->out;
    if (*self != NULL)
        return transfer_resume(worker, self, io);

    /* 1. Parse what one read brought; meanwhile the buckets of the keys parsed so far arrive. */
    enum parsed parsed = PARSED;
    size_t count = 0, at = 0, len = 0;
    while (at < io->in.len && count < SESSION_BATCH) {
        parsed = parse(bytes_skip(io->in, at), &batch[count], &len);
        if (parsed != PARSED)
            break;
        cmd_prefetch_bucket(cmd, &batch[count]);
        worker->ends[count++] = at += len;
    }
    /* 2. With the buckets there, have the items fetched. */
    for (size_t i = 0; count > 1 && i < count; i++)
        cmd_prefetch_item(cmd, &batch[i]);
    /* 3. Run them in order; net sends the answers together. */
    for (size_t i = 0; i < count; i++) {
        const enum cmd_rc rc = cmd_run(cmd, &batch[i]);
        if (rc == CMD_AGAIN)
            return transfer_suspend(self, &batch[i], worker->ends[i] - io->used);
        io->used = worker->ends[i];
        io->requests++;
        if (rc == CMD_CLOSE)
            return NET_CLOSE;
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
        io->used += len;
        return transfer_upload(worker, self, io, &batch[count]);
    case PARSED_LAST:
        break;
    }
    if (batch[count].error != NULL)
        (void)!cmd_run(cmd, &batch[count]);
    return NET_CLOSE;
}
