/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/note.h"

void note_event(const struct session_worker *worker, const struct net_io *io, struct event event)
{
    if (worker->cmd.events == NULL) /* tests, which have no listener either */
        return;
    event.from = io->peer;
    event.to_port = net_listener_port(*worker->net, io->listener);
    event_note(worker->cmd.events, &event);
}
