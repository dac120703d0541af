/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/limit.h"

#include "base/clock.h"
#include "gate/limit.h"
#include "server/note.h"

static struct gate_limit_ends ends_of(const struct session_worker *worker, const struct net_io *io)
{
    return (struct gate_limit_ends){.from = io->peer, .to_port = note_port(worker, io)};
}

bool limit_begin(struct session_worker *worker, struct net_io *io, bool under_way)
{
    worker->upload_bytes = 0;
    worker->answer_bytes = out_bytes(io->out);
    if (under_way)
        return true;
    const struct gate_limit_ends ends = ends_of(worker, io);
    io->pause_ms = gate_limit_wait_ms(worker->limiter, &ends, clock_mono_ms());
    return io->pause_ms == 0;
}

void limit_end(struct session_worker *worker, const struct net_io *io)
{
    const uint64_t bytes =
        io->used + worker->upload_bytes + out_bytes(io->out) - worker->answer_bytes;
    gate_limit_used(worker->limiter, io->peer, io->requests, bytes, clock_mono_ms());
}

bool limit_login(struct session_worker *worker, const struct net_io *io)
{
    const struct gate_limit_ends ends = ends_of(worker, io);
    return gate_limit_login(worker->limiter, &ends, clock_mono_ms());
}

void limit_login_failed(struct session_worker *worker, const struct net_io *io)
{
    gate_limit_login_failed(worker->limiter, io->peer, clock_mono_ms());
}
