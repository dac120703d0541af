/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/note.h"

uint16_t note_port(const struct session_worker *worker, const struct net_io *io)
{
    if (worker->cmd.events == NULL) /* tests, which have no listener either */
        return 0;
    return net_listener_port(*worker->net, io->listener);
}

void note_event(const struct session_worker *worker, const struct net_io *io, struct event event)
{
    event.from = io->peer;
    event.to_port = note_port(worker, io);
    event_note(worker->cmd.events, &event);
}
