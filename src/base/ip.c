/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/num.h"

static const uint8_t v4_head[IP_V4_BITS / 8] = {[10] = 0xff, [11] = 0xff};

struct ip ip_of_v4(const uint8_t v4[4])
{
    struct ip ip;
    memcpy(ip.byte, v4_head, sizeof(v4_head));
    memcpy(ip.byte + sizeof(v4_head), v4, 4);
    return ip;
}

bool ip_parse(struct bytes text, struct ip *ret_ip)
{
    char copy[IP_TEXT_BYTES];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    uint8_t v4[4];
    if (inet_pton(AF_INET, copy, v4) == 1) {
        *ret_ip = ip_of_v4(v4);
        return true;
    }
    struct ip ip;
    if (inet_pton(AF_INET6, copy, ip.byte) != 1)
        return false;
    *ret_ip = ip;
    return true;
}

void ip_format(const struct ip *ip, char ret_text[IP_TEXT_BYTES])
{
    const bool v4 = ip_is_v4(ip);
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip->byte + sizeof(v4_head) : ip->byte, ret_text,
                  IP_TEXT_BYTES) == NULL)
        ret_text[0] = '\0';
}

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->byte, v4_head, sizeof(v4_head)) == 0;
}

/* The first byte of the IPv4 address, or -1. */
static int v4_first(const struct ip *ip)
{
    return ip_is_v4(ip) ? ip->byte[12] : -1;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip v6 = {{[15] = 1}};
    return v4_first(ip) == 127 || ip_equal(ip, &v6);
}

bool ip_is_unspecified(const struct ip *ip)
{
    static const struct ip v6 = {{0}}, v4 = {{[10] = 0xff, [11] = 0xff}};
    return ip_equal(ip, &v4) || ip_equal(ip, &v6);
}

bool ip_is_multicast(const struct ip *ip)
{
    return (v4_first(ip) & 0xf0) == 0xe0 || ip->byte[0] == 0xff;
}

bool ip_is_broadcast(const struct ip *ip)
{
    static const uint8_t all[4] = {255, 255, 255, 255};
    return ip_is_v4(ip) && memcmp(ip->byte + 12, all, sizeof(all)) == 0;
}

bool ip_is_link_local(const struct ip *ip)
{
    return (v4_first(ip) == 169 && ip->byte[13] == 254) ||
           (ip->byte[0] == 0xfe && (ip->byte[1] & 0xc0) == 0x80);
}

/* ── prefixes ─────────────────────────────────────────────────────────────────────────────── */

bool ip_prefix_parse(struct bytes text, struct ip_prefix *ret_prefix)
{
    const uint8_t *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
    const struct bytes host =
        bytes_of(text.ptr, slash != NULL ? (size_t)(slash - text.ptr) : text.len);
    struct ip ip;
    if (!ip_parse(host, &ip))
        return false;
    /* An IPv4 address that was written as IPv6 has IPv6's bits. */
    const bool v4 = memchr(host.ptr, ':', host.len) == NULL;
    const uint64_t width = v4 ? IP_BITS - IP_V4_BITS : IP_BITS;
    uint64_t bits = width;
    if (slash != NULL && !num_parse_u64(bytes_skip(text, host.len + 1), width, &bits))
        return false;
    const struct ip_prefix prefix = ip_prefix_of(&ip, (unsigned)(bits + IP_BITS - width));
    if (!ip_equal(&prefix.ip, &ip))
        return false;
    *ret_prefix = prefix;
    return true;
}

void ip_prefix_format(const struct ip_prefix *prefix, char ret_text[IP_PREFIX_TEXT_BYTES])
{
    ip_format(&prefix->ip, ret_text);
    if (prefix->bits == IP_BITS)
        return;
    const unsigned head = ip_is_v4(&prefix->ip) && prefix->bits >= IP_V4_BITS ? IP_V4_BITS : 0;
    const size_t len = strlen(ret_text);
    (void)snprintf(ret_text + len, IP_PREFIX_TEXT_BYTES - len, "/%u", prefix->bits - head);
}

struct ip_prefix ip_prefix_of(const struct ip *ip, unsigned bits)
{
    struct ip_prefix prefix = {.ip = *ip, .bits = (uint8_t)bits};
    for (unsigned i = bits / 8; i < sizeof(ip->byte); i++) {
        const unsigned kept = i == bits / 8 ? bits % 8 : 0;
        prefix.ip.byte[i] &= (uint8_t)(0xff00u >> kept);
    }
    return prefix;
}

bool ip_prefix_has(const struct ip_prefix *prefix, const struct ip *ip)
{
    const struct ip_prefix own = ip_prefix_of(ip, prefix->bits);
    return ip_equal(&own.ip, &prefix->ip);
}
