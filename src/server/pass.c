/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/pass.h"

#include "gate/gate.h"
#include "gate/limit.h"
#include "proto/binary.h"
#include "proto/compose.h"
#include "server/note.h"

static void note_set(const struct net_io *io, uint32_t mask, uint32_t bits)
{
    *io->note = (*io->note & ~mask) | bits;
}

static uint8_t address_classes(uint32_t note)
{
    return note >> PASS_CLASSES_SHIFT & GATE_ALL;
}

/* Has it come in while the server is being drained, or has it begun that? */
static bool is_late(const struct session_worker *worker, const struct net_io *io)
{
    const struct net *net = worker->net != NULL ? *worker->net : NULL; /* NULL: a test's */
    return net != NULL && net_draining(net) != NET_DRAIN_OFF &&
           net_late_get(net, io->fd) != NET_LATE_NOT;
}

void pass_user_set(const struct session_worker *worker, const struct net_io *io, uint16_t user)
{
    bool confined = false;
    uint8_t classes = address_classes(*io->note);
    if (user != 0)
        classes &= gate_user_classes(worker->gate, worker->index, user, &confined);
    note_set(io, PASS_RESTRICTED | 0x3fffu << PASS_USER_SHIFT,
             (uint32_t)user << PASS_USER_SHIFT |
                 (classes != GATE_ALL || confined || is_late(worker, io) ? PASS_RESTRICTED : 0u));
}

void pass_late_set(const struct session_worker *worker, const struct net_io *io)
{
    net_late_set(*worker->net, io->fd, NET_LATE_STAY);
    *io->note |= PASS_RESTRICTED;
}

static COLD void denial_note(const struct session_worker *worker, const struct net_io *io)
{
    const char *rule = gate_explain(worker->gate, worker->index, io->listener, io->peer, GATE_ALL);
    note_event(worker, io, (struct event){.type = EVENT_CONN_DENIED, .rule = bytes_str(rule)});
}

bool pass_renew(const struct session_worker *worker, const struct net_io *io)
{
    const uint8_t classes =
        gate_address_classes(worker->gate, worker->index, io->listener, io->peer);
    note_set(
        io, PASS_LIMITED | (uint32_t)GATE_ALL << PASS_CLASSES_SHIFT | ~0u << PASS_GENERATION_SHIFT,
        (gate_limit_concerns(worker->limiter, io->peer) ? PASS_LIMITED : 0u) |
            (uint32_t)classes << PASS_CLASSES_SHIFT | worker->generation << PASS_GENERATION_SHIFT);
    bool confined;
    uint16_t user = pass_user(*io->note);
    if (user != 0 && gate_user_classes(worker->gate, worker->index, user, &confined) == 0)
        user = 0;
    pass_user_set(worker, io, user);
    if (classes == 0)
        denial_note(worker, io);
    return classes != 0;
}

bool pass_may_stay(void *arg, const struct net_io *io)
{
    const struct session_worker *worker = arg;
    /* Its pass stays what it is: whoever finds it outdated looks at more than the address. */
    if (gate_admit(worker->gate, worker->index, io->listener, io->peer) == GATE_WELCOME)
        return true;
    denial_note(worker, io);
    return false;
}

/* Of the access list: which rule withholds what the request needs? */
static const char *rule_of(const struct session_worker *worker, const struct net_io *io,
                           const struct proto_request *req)
{
    return gate_explain(worker->gate, worker->index, io->listener, io->peer, gate_class_of(req));
}

static COLD void refuse(const struct session_worker *worker, const struct net_io *io,
                        struct proto_request *req, enum event_type why, bool of_user)
{
    uint8_t name[GATE_USER_NAME_MAX];
    const size_t name_bytes =
        gate_user_name(worker->gate, worker->index, pass_user(*io->note), name);
    note_event(worker, io,
               (struct event){.type = why,
                              .rule = bytes_str(of_user ? "user" : rule_of(worker, io, req)),
                              .user = bytes_of(name, name_bytes),
                              .verb = proto_name_of(req->cmd)});
    if (proto_is_binary(req))
        proto_binary_refuse(req, PROTO_STATUS_DENIED);
    else
        req->error = proto_reply_texts[PROTO_REPLY_DENIED];
}

/* Who is late may administrate, or else `drain stop` could not be said: that makes it stay.
 * Anything else is refused, and as it is idle then, it is closed. */
static COLD void late_judge(const struct session_worker *worker, const struct net_io *io,
                            struct proto_request *req)
{
    const uint8_t needed = gate_class_of(req);
    if (needed == 0)
        return;
    const bool administrates =
        needed == GATE_ADMIN || req->cmd == PROTO_CMD_STATS || req->cmd == PROTO_CMD_BIN_STAT;
    net_late_set(*worker->net, io->fd, administrates ? NET_LATE_STAY : NET_LATE_REFUSED);
    if (administrates)
        return;
    if (proto_is_binary(req))
        proto_binary_refuse(req, PROTO_STATUS_BUSY);
    else
        req->error = proto_reply_texts[PROTO_REPLY_DRAINING];
}

void pass_judge(const struct session_worker *worker, const struct net_io *io,
                struct proto_request *req)
{
    if (req->error != NULL)
        return;
    bool confined = false;
    const uint16_t user = pass_user(*io->note);
    const uint8_t needed = gate_class_of(req);
    uint8_t classes = GATE_ALL;
    if (user != 0)
        classes = gate_user_classes(worker->gate, worker->index, user, &confined);
    if ((needed & ~address_classes(*io->note)) != 0)
        refuse(worker, io, req, EVENT_VERB_DENIED, false);
    else if ((needed & ~classes) != 0)
        refuse(worker, io, req, EVENT_VERB_DENIED, true);
    else if (confined && !gate_user_may_touch(worker->gate, worker->index, user, req))
        refuse(worker, io, req, EVENT_KEY_DENIED, true);
    else if (is_late(worker, io))
        late_judge(worker, io, req);
}
