/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/rr_check.h"

#include "gate/rr.h"
#include "support/kit.h"

enum { AT_NONCE = 8, AT_STAMP = 20, AT_MAC = 24 };

static const uint32_t now_s = 0xffffff00; /* some ages turn over 2^32 */

static const struct gate_cookie_keys keys = {.current = {{1, 2}}, .previous = {{3, 4}}};

/* What the input chose, and what must come of it. */
struct trial {
    struct gate_rr_policy policy;
    struct gate_rr_datagram in;
    bool good; /* its cookie */
};

static struct ip_peer peer_of(uint8_t address, uint16_t port)
{
    static const char *const addresses[] = {
        "192.0.2.7", "2001:db8::7", "127.0.0.1", "::1",          "0.0.0.0",     "255.255.255.255",
        "224.0.0.1", "ff02::1",     "fe80::1",   "198.51.100.9", "169.254.1.1", "::",
    };
    struct ip_peer peer = {.port = port};
    KIT_CHECK(ip_parse(bytes_str(addresses[address % COUNT_OF(addresses)]), &peer.ip), "address");
    return peer;
}

/* The input wants a cookie of ours. */
static void cookie_put(const struct gate_cookie_ends *ends, uint8_t age, uint8_t *datagram)
{
    static const int32_t ages_s[] = {0, 1800, 1801, 3600, 3601, -300, -301, 100};
    struct proto_cookie cookie;
    memcpy(cookie.nonce, datagram + AT_NONCE, sizeof(cookie.nonce));
    const uint32_t stamp = now_s - (uint32_t)ages_s[age % COUNT_OF(ages_s)];
    gate_cookie_make(&keys, ends, stamp, &cookie);
    (void)be_write_u32(datagram + AT_STAMP, stamp);
    memcpy(datagram + AT_MAC, cookie.mac, sizeof(cookie.mac));
}

/* Is the cookie ours, whoever made it? The fuzzer watches the comparison of macs and so learns the
 * right one, as nobody outside of the process could. */
static bool cookie_good(const struct gate_cookie_ends *ends, const uint8_t *datagram)
{
    const uint32_t stamp = be_read_u32(datagram + AT_STAMP);
    const uint32_t age_s = now_s - stamp;
    bool made = false;
    for (unsigned i = 0; i < 2; i++) {
        const struct gate_cookie_keys one = {.current = i == 0 ? keys.current : keys.previous};
        struct proto_cookie cookie;
        memcpy(cookie.nonce, datagram + AT_NONCE, sizeof(cookie.nonce));
        gate_cookie_make(&one, ends, stamp, &cookie);
        made |= memcmp(cookie.mac, datagram + AT_MAC, sizeof(cookie.mac)) == 0;
    }
    return made && (age_s <= 3600 || age_s >= UINT32_MAX - 299);
}

static void trial_init(struct trial *trial, struct bytes input, uint8_t *datagram)
{
    static const uint16_t ports[] = {40000, 0, 7, 19, 53, 11211, 11222, 1024};
    const uint8_t *head = input.ptr;
    const size_t len = input.len - RR_CHECK_HEAD_BYTES;
    *trial = (struct trial){
        .policy = {.serves = head[0] & 0x1f,
                   .writes = (head[1] & 1) != 0,
                   .link_local = (head[1] & 2) != 0,
                   .answer_bytes_max = GATE_RR_ANSWER_BYTES_DEFAULT},
        .in = {.ends = {.client = peer_of(head[2], ports[head[3] % COUNT_OF(ports)]),
                        .server = peer_of(head[4], 11222)},
               .bytes = bytes_of(datagram, len),
               .source_ours = (head[1] & 4) != 0,
               .destination_ours = (head[1] & 8) == 0,
               .vouched = (head[1] & 16) != 0,
               .in_prefixes = (head[1] & 32) != 0},
    };
    if (len < PROTO_UDP_FRAME_BYTES || datagram[6] != 0xce || datagram[7] != 3)
        return;
    if ((head[1] & RR_CHECK_GENUINE) != 0)
        cookie_put(&trial->in.ends, head[5], datagram);
    trial->good = cookie_good(&trial->in.ends, datagram);
}

/* Who may be trusted at all, said once more and differently. */
static bool trust_fits(const struct trial *trial, const struct gate_rr_verdict *verdict)
{
    const struct gate_rr_policy *policy = &trial->policy;
    const struct ip_peer *client = &trial->in.ends.client;
    if (verdict->trust == GATE_RR_TRUST_NONE)
        return true;
    if (!trial->in.destination_ours || client->port == 0 || client->port < 1024 ||
        client->port == 11211 || client->port == 11222 || ip_is_multicast(&client->ip) ||
        ip_is_unspecified(&client->ip) || ip_is_broadcast(&client->ip))
        return false;
    if (verdict->trust == GATE_RR_TRUST_PROVEN)
        return trial->good && (policy->serves & GATE_RR_PROVEN) != 0;
    return trial->in.bytes.ptr[6] == 0 && trial->in.bytes.ptr[7] == 0 &&
           (policy->serves & (GATE_RR_VOUCHED | GATE_RR_PREFIXES | GATE_RR_OPEN)) != 0;
}

/* What goes out, by the size that is really written. */
static void check_sizes(const struct gate_rr_verdict *verdict, const struct proto_udp *frame)
{
    const uint32_t heads = verdict->v6 ? GATE_RR_IPV6_BYTES : GATE_RR_IPV4_BYTES;
    uint8_t room[PROTO_UDP_FRAME_BYTES];
    struct proto_udp out = *frame;
    switch (verdict->action) {
    case GATE_RR_DROP:
        KIT_CHECK(verdict->ip_bytes_max == 0, "drop");
        break;
    case GATE_RR_CHALLENGE:
        out.kind = PROTO_UDP_CHALLENGE;
        KIT_CHECK(heads + (uint32_t)(proto_udp_write(room, &out) - room) == verdict->ip_bytes_max,
                  "challenge: %u", verdict->ip_bytes_max);
        KIT_CHECK(verdict->ip_bytes_max <= verdict->ip_bytes_in, "challenge");
        KIT_CHECK(verdict->trust == GATE_RR_TRUST_NONE, "challenge");
        break;
    case GATE_RR_ANSWER_MISS:
        KIT_CHECK(verdict->ip_bytes_max == heads + PROTO_UDP_HEADER_BYTES + 5, "miss");
        KIT_CHECK(verdict->ip_bytes_max < verdict->ip_bytes_in, "miss");
        break;
    case GATE_RR_REFUSE:
        KIT_CHECK(verdict->trust == GATE_RR_TRUST_PROVEN, "refusal");
        KIT_CHECK(verdict->ip_bytes_max <= heads + PROTO_UDP_HEADER_BYTES + 64, "refusal");
        break;
    case GATE_RR_SERVE:
    case GATE_RR_SERVE_AND_RENEW:
        KIT_CHECK(verdict->trust != GATE_RR_TRUST_NONE, "served");
        KIT_CHECK(verdict->renew == (verdict->action == GATE_RR_SERVE_AND_RENEW), "renewal");
        break;
    case GATE_RR_READ:
        KIT_CHECK(false, "read twice");
    }
}

static void check_served(const struct trial *trial, const struct gate_rr_verdict *verdict,
                         const struct proto_request *req)
{
    static const char error[] = "SERVER_ERROR out of memory\r\n";
    const struct bytes line = bytes_str(error);
    struct bytes rest = req->rest, key;
    unsigned count = 1;
    KIT_CHECK(proto_is_binary(req) || req->cmd == PROTO_CMD_NONE ||
                  proto_class_of(req->cmd) != PROTO_CLASS_ADMIN,
              "administration");
    if (req->cmd == PROTO_CMD_GET && req->error == NULL) {
        while (proto_token_next(&rest, &key))
            count++;
        KIT_CHECK(count <= GATE_RR_KEYS_MAX, "%u keys", count);
    }
    if (req->cmd == PROTO_CMD_SET || req->cmd == PROTO_CMD_BIN_SET)
        KIT_CHECK(trial->policy.writes, "write");
    if (req->has_value)
        KIT_CHECK(req->value.ptr + req->value_bytes + req->tail_bytes ==
                      trial->in.bytes.ptr + trial->in.bytes.len,
                  "value");
    if (req->error != NULL && verdict->trust == GATE_RR_TRUST_POLICY && !proto_is_binary(req))
        KIT_CHECK(PROTO_UDP_HEADER_BYTES + strlen(req->error) + 2 < trial->in.bytes.len, "error");
    const size_t out = gate_rr_ip_bytes(verdict->v6, line.len, false);
    const bool may = verdict->trust == GATE_RR_TRUST_PROVEN || out < verdict->ip_bytes_in;
    KIT_CHECK((gate_rr_answer(verdict, line, line.len) == GATE_RR_REASON_NONE) == may, "error");
}

int rr_check(struct bytes input)
{
    if (input.len < RR_CHECK_HEAD_BYTES)
        return -1;
    const size_t len = input.len - RR_CHECK_HEAD_BYTES;
    uint8_t *datagram = malloc(len > 0 ? len : 1); /* exact: ASan sees a byte too many */
    KIT_CHECK(datagram != NULL, "memory");
    memcpy(datagram, input.ptr + RR_CHECK_HEAD_BYTES, len);
    struct trial trial;
    trial_init(&trial, input, datagram);
    struct proto_udp frame = {.request = 0};
    struct proto_request req;
    struct gate_rr_verdict verdict = gate_rr_arrive(&trial.policy, &keys, now_s, &trial.in, &frame);
    KIT_CHECK(
        verdict.ip_bytes_in ==
            len + (ip_is_v4(&trial.in.ends.client.ip) ? GATE_RR_IPV4_BYTES : GATE_RR_IPV6_BYTES),
        "bytes in");
    KIT_CHECK(trust_fits(&trial, &verdict), "trust %d", verdict.trust);
    if (verdict.action == GATE_RR_READ) {
        verdict = gate_rr_read(&trial.policy, &verdict, frame.payload, &req);
        if (verdict.action == GATE_RR_SERVE || verdict.action == GATE_RR_SERVE_AND_RENEW)
            check_served(&trial, &verdict, &req);
    }
    check_sizes(&verdict, &frame);
    free(datagram);
    return (int)verdict.action;
}
