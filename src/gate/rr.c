/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/rr.h"

#include <assert.h>

#include "base/hash.h"
#include "gate/class.h"
#include "proto/compose.h"
#include "proto/text.h"

/* ── reasons ──────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *name, *text;
    uint8_t event, status;
} reasons[GATE_RR_REASON_COUNT] = {
    [GATE_RR_REASON_NONE] = {"", "", 0, PROTO_STATUS_OK},
#define REASON(ID, name, type, text, code)                                                         \
    [GATE_RR_REASON_##ID] = {name, text, EVENT_##type, PROTO_STATUS_##code},
#include "tbl/udp_reasons.def"
};

const char *gate_rr_reason_name(enum gate_rr_reason reason)
{
    return reasons[reason].name;
}

const char *gate_rr_reason_text(enum gate_rr_reason reason)
{
    return reasons[reason].text;
}

enum proto_status gate_rr_reason_status(enum gate_rr_reason reason)
{
    return (enum proto_status)reasons[reason].status;
}

enum event_type gate_rr_reason_event(enum gate_rr_reason reason)
{
    assert(reason != GATE_RR_REASON_NONE);
    return (enum event_type)reasons[reason].event;
}

/* ── sizes ────────────────────────────────────────────────────────────────────────────────── */

enum { PART_BYTES = PROTO_UDP_ANSWER_BYTES_MAX - PROTO_UDP_HEADER_BYTES };

size_t gate_rr_datagrams(size_t answer_bytes, bool fresh)
{
    const size_t all = answer_bytes + (fresh ? PROTO_UDP_EXTENSION_BYTES : 0);
    return all == 0 ? 1 : (all + PART_BYTES - 1) / PART_BYTES;
}

size_t gate_rr_ip_bytes(bool v6, size_t answer_bytes, bool fresh)
{
    const size_t heads = (v6 ? GATE_RR_IPV6_BYTES : GATE_RR_IPV4_BYTES) + PROTO_UDP_HEADER_BYTES;
    return answer_bytes + (fresh ? PROTO_UDP_EXTENSION_BYTES : 0) +
           gate_rr_datagrams(answer_bytes, fresh) * heads;
}

/* ── R3: what is never answered ───────────────────────────────────────────────────────────── */

static bool port_reflects(uint16_t port)
{
    /* echo, discard, qotd, chargen, DNS, TFTP, portmap, NTP, NetBIOS, SNMP, LDAP, SSDP, mDNS,
     * memcached */
    static const uint16_t ports[] = {7,   9,   17,  19,  53,   69,   111,
                                     123, 137, 161, 389, 1900, 5353, 11211};
    for (size_t i = 0; i < COUNT_OF(ports); i++)
        if (ports[i] == port)
            return true;
    return false;
}

/* Does the payload begin like an answer of a server? No request begins with a capital or a digit;
 * what other servers than ours might say is in the table as well. */
static bool answer_shaped(struct bytes payload)
{
    static const char words[][8] = {
        "VALUE",   "END",    "STORED",  "STAT",  "ERROR",   "CLIENT_", "SERVER_",
        "HD",      "VA",     "EN",      "NOT_",  "NS",      "NF",      "EX",
        "ME ",     "MN",     "OK",      "BUSY",  "DELETED", "TOUCHE",  "RESET",
        "VERSION", "BADCLA", "MEMLIMI", "SAME ", "NOSPARE", "NOTSTAR", "WATCHER",
    };
    if (payload.len == 0)
        return false;
    const uint8_t first = payload.ptr[0];
    if (first == PROTO_BINARY_ANSWER || (first >= '0' && first <= '9'))
        return true;
    if (first < 'A' || first > 'Z')
        return false;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (bytes_starts(payload, bytes_str(words[i])))
            return true;
    return false;
}

/* Loopback at both ends: the system lets nothing in from outside that says so, and a server that
 * listens to its own host alone has no other clients. */
static bool ends_loopback(const struct gate_cookie_ends *ends)
{
    return ip_is_loopback(&ends->client.ip) && ip_is_loopback(&ends->server.ip);
}

static enum gate_rr_reason ends_check(const struct gate_rr_policy *policy,
                                      const struct gate_rr_datagram *in)
{
    const struct ip_peer *client = &in->ends.client;
    if (!in->destination_ours)
        return GATE_RR_REASON_DESTINATION;
    if (client->port == 0 || client->port == in->ends.server.port || port_reflects(client->port))
        return GATE_RR_REASON_SOURCE_PORT;
    if (ip_is_unspecified(&client->ip) || ip_is_multicast(&client->ip) ||
        ip_is_broadcast(&client->ip))
        return GATE_RR_REASON_SOURCE;
    if ((in->source_ours || ip_is_loopback(&client->ip)) && !ends_loopback(&in->ends))
        return GATE_RR_REASON_SOURCE;
    if (ip_is_link_local(&client->ip) && !policy->link_local)
        return GATE_RR_REASON_LINK_LOCAL;
    return GATE_RR_REASON_NONE;
}

/* ── the frame and the cookie ─────────────────────────────────────────────────────────────── */

static enum gate_rr_reason frame_check(const struct gate_rr_policy *policy,
                                       const struct gate_rr_datagram *in,
                                       struct proto_udp *ret_frame)
{
    switch (proto_udp_parse(in->bytes, ret_frame)) {
    case PROTO_UDP_OK:
        break;
    case PROTO_UDP_SHORT:
        return GATE_RR_REASON_SHORT;
    case PROTO_UDP_KIND:
        return GATE_RR_REASON_KIND;
    case PROTO_UDP_EXTENSION:
        return GATE_RR_REASON_EXTENSION;
    }
    if (ret_frame->kind == PROTO_UDP_CHALLENGE || ret_frame->kind == PROTO_UDP_FRESH)
        return GATE_RR_REASON_LOOP;
    if (ret_frame->sequence != 0 || ret_frame->total != 1)
        return GATE_RR_REASON_SEQUENCE;
    const enum gate_rr_reason reason = ends_check(policy, in);
    if (reason != GATE_RR_REASON_NONE)
        return reason;
    return answer_shaped(ret_frame->payload) ? GATE_RR_REASON_ANSWER_SHAPED : GATE_RR_REASON_NONE;
}

static bool legacy_served(const struct gate_rr_policy *policy, const struct gate_rr_datagram *in)
{
    return (policy->serves & GATE_RR_OPEN) != 0 ||
           ((policy->serves & GATE_RR_VOUCHED) != 0 && in->vouched) ||
           ((policy->serves & GATE_RR_PREFIXES) != 0 && in->in_prefixes);
}

static void judge_legacy(const struct gate_rr_policy *policy, const struct gate_rr_datagram *in,
                         struct gate_rr_verdict *verdict)
{
    const bool served = legacy_served(policy, in);
    if (!served && (policy->serves & GATE_RR_MISS) == 0) {
        verdict->reason = GATE_RR_REASON_LEGACY;
        return;
    }
    verdict->action = GATE_RR_READ;
    verdict->trust = served ? GATE_RR_TRUST_POLICY : GATE_RR_TRUST_NONE;
    verdict->reason = served ? GATE_RR_REASON_LEGACY_SERVED : GATE_RR_REASON_LEGACY_MISS;
}

/* As large as the smallest HELLO or PROVEN that there can be, so never larger than what came in. */
static void judge_unproven(enum gate_rr_reason reason, struct gate_rr_verdict *verdict)
{
    verdict->action = GATE_RR_CHALLENGE;
    verdict->reason = reason;
    verdict->ip_bytes_max = (uint32_t)gate_rr_ip_bytes(verdict->v6, 0, true);
}

static void judge_cookie(enum gate_cookie_verdict cookie, struct gate_rr_verdict *verdict)
{
    switch (cookie) {
    case GATE_COOKIE_FRESH:
    case GATE_COOKIE_RENEW:
        verdict->action = GATE_RR_READ;
        verdict->trust = GATE_RR_TRUST_PROVEN;
        verdict->renew = cookie == GATE_COOKIE_RENEW;
        return;
    case GATE_COOKIE_EXPIRED:
        judge_unproven(GATE_RR_REASON_COOKIE_EXPIRED, verdict);
        return;
    case GATE_COOKIE_FUTURE:
        judge_unproven(GATE_RR_REASON_COOKIE_FUTURE, verdict);
        return;
    case GATE_COOKIE_FORGED:
        judge_unproven(GATE_RR_REASON_COOKIE_FORGED, verdict);
        return;
    }
}

struct gate_rr_verdict gate_rr_arrive(const struct gate_rr_policy *policy,
                                      const struct gate_cookie_keys *keys, uint32_t now_s,
                                      const struct gate_rr_datagram *in,
                                      struct proto_udp *ret_frame)
{
    const bool v6 = !ip_is_v4(&in->ends.client.ip);
    struct gate_rr_verdict verdict = {
        .action = GATE_RR_DROP,
        .v6 = v6,
        .answer_bytes_max = policy->answer_bytes_max,
        .ip_bytes_in = (uint32_t)in->bytes.len + (v6 ? GATE_RR_IPV6_BYTES : GATE_RR_IPV4_BYTES),
    };
    verdict.reason = frame_check(policy, in, ret_frame);
    if (verdict.reason != GATE_RR_REASON_NONE)
        return verdict;
    if (ret_frame->kind == PROTO_UDP_LEGACY)
        judge_legacy(policy, in, &verdict);
    else if ((policy->serves & GATE_RR_PROVEN) == 0)
        verdict.reason = GATE_RR_REASON_RR_OFF;
    else if (ret_frame->kind == PROTO_UDP_HELLO)
        judge_unproven(GATE_RR_REASON_HELLO, &verdict);
    else
        judge_cookie(gate_cookie_check(keys, &in->ends, now_s, &ret_frame->cookie), &verdict);
    return verdict;
}

/* ── the command ──────────────────────────────────────────────────────────────────────────── */

/* The commands of R6; which of them write, gate_class_of() knows. */
static const bool offered[PROTO_CMD_ALL_COUNT] = {
    [PROTO_CMD_GET] = true,
    [PROTO_CMD_GETS] = true,
    [PROTO_CMD_GAT] = true,
    [PROTO_CMD_GATS] = true,
    [PROTO_CMD_MG] = true,
    [PROTO_CMD_MN] = true,
    [PROTO_CMD_VERSION] = true,
    [PROTO_CMD_SET] = true,
    [PROTO_CMD_MS] = true,
    [PROTO_CMD_TOUCH] = true,
    [PROTO_CMD_DELETE] = true,
    [PROTO_CMD_MD] = true,
    [PROTO_CMD_DELETE_PREFIX] = true,
    [PROTO_CMD_MDP] = true,
    [PROTO_CMD_MA] = true,
    [PROTO_CMD_INCR] = true,
    [PROTO_CMD_DECR] = true,
    [PROTO_CMD_BIN_GET] = true,
    [PROTO_CMD_BIN_GETK] = true,
    [PROTO_CMD_BIN_NOOP] = true,
    [PROTO_CMD_BIN_VERSION] = true,
    [PROTO_CMD_BIN_SET] = true,
    [PROTO_CMD_BIN_DELETE] = true,
    [PROTO_CMD_BIN_INCREMENT] = true,
    [PROTO_CMD_BIN_DECREMENT] = true,
    [PROTO_CMD_BIN_TOUCH] = true,
    [PROTO_CMD_BIN_GAT] = true,
    [PROTO_CMD_BIN_GATK] = true,
    /* No such command: answered with the parser's error. */
    [PROTO_CMD_NONE] = true,
    [PROTO_CMD_BIN_NONE] = true,
};

/* Read the one request that `payload` is. Returns false when it is none, is cut off, or something
 * follows it (R4). */
static bool request_read(struct bytes payload, struct proto_request *ret_req)
{
    if (payload.len == 0)
        return false;
    const bool binary = payload.ptr[0] == PROTO_BINARY_REQUEST;
    struct proto_request req;
    size_t used;
    const enum proto_rc rc =
        binary ? proto_binary_parse(payload, &req, &used) : proto_text_parse(payload, &req, &used);
    if (rc != PROTO_OK)
        return false;
    const struct bytes block = bytes_skip(payload, used);
    if (block.len != (req.has_value ? req.value_bytes + req.tail_bytes : 0))
        return false;
    if (req.has_value) {
        req.value = bytes_of(block.ptr, (size_t)req.value_bytes);
        if (req.tail_bytes != 0 && memcmp(block.ptr + req.value_bytes, "\r\n", 2) != 0)
            return false;
    }
    *ret_req = req;
    return true;
}

/* R5. At most GATE_RR_KEYS_MAX are looked at, so at most 2016 pairs of numbers are compared. */
static enum gate_rr_reason keys_check(const struct proto_request *req)
{
    const bool several = req->cmd == PROTO_CMD_GET || req->cmd == PROTO_CMD_GETS ||
                         req->cmd == PROTO_CMD_GAT || req->cmd == PROTO_CMD_GATS;
    if (!several || req->error != NULL)
        return GATE_RR_REASON_NONE;
    struct bytes keys[GATE_RR_KEYS_MAX], key = req->key, rest = req->rest;
    uint64_t hashes[GATE_RR_KEYS_MAX];
    size_t count = 0;
    do {
        if (count == GATE_RR_KEYS_MAX)
            return GATE_RR_REASON_KEYS;
        keys[count] = key;
        hashes[count] = hash_bytes(key, 0);
        for (size_t i = 0; i < count; i++)
            if (hashes[i] == hashes[count] && bytes_equal(keys[i], key))
                return GATE_RR_REASON_REPEAT;
        count++;
    } while (proto_token_next(&rest, &key));
    return GATE_RR_REASON_NONE;
}

static enum gate_rr_reason request_check(const struct gate_rr_policy *policy,
                                         const struct proto_request *req)
{
    if (!offered[req->cmd])
        return GATE_RR_REASON_VERB;
    const uint8_t needs = gate_class_of(req);
    if ((needs & GATE_ADMIN) != 0)
        return GATE_RR_REASON_VERB;
    if ((needs & (GATE_WRITE | GATE_FLUSH)) != 0 && !policy->writes)
        return GATE_RR_REASON_WRITE;
    return keys_check(req);
}

/* Bytes of the answer to a request that cannot be served, without frame. */
static size_t error_bytes(const struct proto_request *req, const char *text)
{
    return proto_is_binary(req) ? PROTO_BINARY_HEADER_BYTES + strlen(text) : strlen(text) + 2;
}

static struct gate_rr_verdict dropped(const struct gate_rr_verdict *verdict,
                                      enum gate_rr_reason reason)
{
    struct gate_rr_verdict out = *verdict;
    out.action = GATE_RR_DROP;
    out.reason = reason;
    out.ip_bytes_max = 0;
    return out;
}

/* `get` falls through to the client's database; all else of a legacy client is not for us. */
static struct gate_rr_verdict judge_miss(const struct gate_rr_verdict *arrived,
                                         const struct proto_request *req)
{
    if ((req->cmd != PROTO_CMD_GET && req->cmd != PROTO_CMD_GETS) || req->error != NULL)
        return dropped(arrived, GATE_RR_REASON_LEGACY);
    struct gate_rr_verdict out = *arrived;
    out.action = GATE_RR_ANSWER_MISS;
    out.ip_bytes_max = (uint32_t)gate_rr_ip_bytes(out.v6, PROTO_END_BYTES, false);
    assert(out.ip_bytes_max < out.ip_bytes_in); /* "get k\n" is longer than "END\r\n" */
    return out;
}

struct gate_rr_verdict gate_rr_read(const struct gate_rr_policy *policy,
                                    const struct gate_rr_verdict *arrived, struct bytes payload,
                                    struct proto_request *ret_req)
{
    assert(arrived->action == GATE_RR_READ);
    if (!request_read(payload, ret_req))
        return dropped(arrived, GATE_RR_REASON_MALFORMED);
    if (arrived->trust == GATE_RR_TRUST_NONE)
        return judge_miss(arrived, ret_req);
    enum gate_rr_reason reason = request_check(policy, ret_req);
    if (reason == GATE_RR_REASON_NONE && ret_req->error != NULL &&
        arrived->trust == GATE_RR_TRUST_POLICY &&
        gate_rr_ip_bytes(arrived->v6, error_bytes(ret_req, ret_req->error), false) >=
            arrived->ip_bytes_in)
        reason = GATE_RR_REASON_ERROR_LONG;
    if (reason != GATE_RR_REASON_NONE)
        return gate_rr_refuse(arrived, ret_req, reason);
    struct gate_rr_verdict out = *arrived;
    out.action = out.renew ? GATE_RR_SERVE_AND_RENEW : GATE_RR_SERVE;
    out.ip_bytes_max = (uint32_t)gate_rr_ip_bytes(out.v6, out.answer_bytes_max, out.renew);
    return out;
}

/* ── the answer ───────────────────────────────────────────────────────────────────────────── */

/* A miss and the like are no errors. */
static bool binary_error(uint16_t status)
{
    return status != PROTO_STATUS_OK && status != PROTO_STATUS_NOT_FOUND &&
           status != PROTO_STATUS_EXISTS && status != PROTO_STATUS_NOT_STORED;
}

static bool answer_is_error(struct bytes head)
{
    if (head.len >= 8 && head.ptr[0] == PROTO_BINARY_ANSWER)
        return binary_error(be_read_u16(head.ptr + 6));
    return bytes_starts(head, bytes_str("ERROR")) || bytes_starts(head, bytes_str("CLIENT_E")) ||
           bytes_starts(head, bytes_str("SERVER_E"));
}

enum gate_rr_reason gate_rr_answer(const struct gate_rr_verdict *verdict, struct bytes head,
                                   size_t answer_bytes)
{
    if (answer_bytes > verdict->answer_bytes_max)
        return GATE_RR_REASON_ANSWER_LONG;
    if (verdict->trust != GATE_RR_TRUST_PROVEN && answer_is_error(head) &&
        gate_rr_ip_bytes(verdict->v6, answer_bytes, false) >= verdict->ip_bytes_in)
        return GATE_RR_REASON_ERROR_LONG;
    return GATE_RR_REASON_NONE;
}

struct gate_rr_verdict gate_rr_refuse(const struct gate_rr_verdict *verdict,
                                      const struct proto_request *req, enum gate_rr_reason reason)
{
    if (verdict->trust != GATE_RR_TRUST_PROVEN || req->noreply || reasons[reason].text[0] == '\0')
        return dropped(verdict, reason);
    const char *text = proto_is_binary(req) ? proto_status_text(gate_rr_reason_status(reason))
                                            : gate_rr_reason_text(reason);
    struct gate_rr_verdict out = *verdict;
    out.action = GATE_RR_REFUSE;
    out.reason = reason;
    out.ip_bytes_max = (uint32_t)gate_rr_ip_bytes(out.v6, error_bytes(req, text), false);
    return out;
}
