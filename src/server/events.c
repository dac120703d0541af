/* server/events.c — security events: their thread, stats security, and those that commands tell of.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>

#include "gate/gate.h"
#include "server/confine.h"
#include "server/note.h"
#include "server/pass.h"
#include "server/server.h"

static_assert(EVENTS_ERROR_BYTES <= (int)SERVER_ERROR_BYTES, "errors are passed on");

static void begin(void *arg)
{
    const struct server *server = arg;
    confine_events(server->opts);
}

int server_events_init(struct server *server, char *ret_error)
{
    const struct opts *opts = server->opts;
    const struct events_config config = {
        .sinks = opts->events,
        .window_s = opts->events_window_s,
        .all = opts->events_all,
        .keep = opts->admin != NULL, /* its page shows them */
        .begin = begin,
        .begin_arg = server,
    };
    const int rc = events_new(&config, &server->events, ret_error);
    if (rc != 0)
        return rc == -ENOMEM ? rc : -EKEYREJECTED; /* what was asked for cannot be used */
    return event_source_new(server->events, &server->listener_events);
}

void server_events_print(struct server *server, struct out *out)
{
    uint64_t counts[EVENT_TYPE_COUNT];
    events_sum(server->events, counts);
    for (enum event_type type = 0; type < EVENT_TYPE_COUNT; type++)
        out_printf(out, "STAT %s %llu\r\n", event_name(type), (unsigned long long)counts[type]);
    struct events_sink_info info;
    for (unsigned i = 0; events_sink_get(server->events, i, &info); i++) {
        out_printf(out, "STAT sink:%u:name %s\r\n", i, info.name);
        out_printf(out, "STAT sink:%u:lines %llu\r\n", i, (unsigned long long)info.lines);
        out_printf(out, "STAT sink:%u:lines_lost %llu\r\n", i, (unsigned long long)info.lost);
    }
}

static void used(const struct cmd_ctx *ctx, enum event_type type, const char *verb)
{
    const struct session_worker *worker = (const struct session_worker *)ctx; /* its first member */
    const struct net_io *io = ctx->conn;
    if (io == NULL)
        return;
    uint8_t name[GATE_USER_NAME_MAX];
    const size_t name_bytes =
        gate_user_name(worker->gate, worker->index, pass_user(*io->note), name);
    note_event(worker, io,
               (struct event){.type = type, .verb = verb, .user = bytes_of(name, name_bytes)});
}

void server_admin_used(const struct cmd_ctx *ctx, const char *verb)
{
    used(ctx, EVENT_ADMIN_VERB, verb);
}

void server_prefix_deleted(const struct cmd_ctx *ctx, const char *verb)
{
    used(ctx, EVENT_PREFIX_DELETED, verb);
}
