/* opt/udp.c — the policy of -o udp_policy:
 *
 *     WORD[+WORD]...     WORD: rr, drop, miss, tcp-vouched, open, or prefixes:CIDR[+CIDR]...
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "opt/opt.h"

/* Shorter prefixes are as good as everybody, which `open` would say. */
enum { V4_BITS_MIN = IP_V4_BITS + 8, V6_BITS_MIN = 16 };

static const struct {
    const char *word;
    uint8_t policy;
} words[] = {
    {"rr", OPT_UDP_RR},     {"drop", OPT_UDP_DROP},
    {"miss", OPT_UDP_MISS}, {"tcp-vouched", OPT_UDP_VOUCHED},
    {"open", OPT_UDP_OPEN},
};

static uint8_t word_find(struct bytes word)
{
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (bytes_is(word, words[i].word))
            return words[i].policy;
    return 0;
}

/* ::/16 and the like have the addresses in them by which IPv4 is held (base/ip.h): all of it. */
static bool too_short(const struct ip_prefix *prefix)
{
    const struct ip v4 = ip_of_v4((const uint8_t[4]){0});
    if (ip_is_v4(&prefix->ip))
        return prefix->bits < V4_BITS_MIN;
    return prefix->bits < V6_BITS_MIN || ip_prefix_has(prefix, &v4);
}

static const char *prefix_add(struct bytes text, struct opt_udp *udp)
{
    if (udp->prefix_count == OPT_UDP_PREFIXES_MAX)
        return "has more than 64 prefixes";
    struct ip_prefix *prefix = &udp->prefixes[udp->prefix_count];
    if (!ip_prefix_parse(text, prefix))
        return "has something that is neither a policy nor a prefix";
    if (too_short(prefix))
        return "has a prefix that is too short: /8 at least, /16 of IPv6";
    udp->prefix_count++;
    udp->policy |= OPT_UDP_PREFIXES;
    return NULL;
}

const char *opt_udp_parse(const char *text, struct opt_udp *ret_udp)
{
    static const char prefixes[] = "prefixes:";
    struct opt_udp udp = {0};
    struct bytes rest = bytes_str(text);
    bool in_prefixes = false, more;
    do {
        struct bytes word = bytes_part_take(&rest, '+', &more);
        const uint8_t policy = word_find(word);
        udp.policy |= policy;
        const bool begins = bytes_starts(word, bytes_str(prefixes));
        if (begins)
            word = bytes_skip(word, sizeof(prefixes) - 1);
        in_prefixes = policy == 0 && (in_prefixes || begins);
        if (policy == 0 && !in_prefixes)
            return "is unknown";
        const char *fault = in_prefixes ? prefix_add(word, &udp) : NULL;
        if (fault != NULL)
            return fault;
    } while (more);
    if ((udp.policy & OPT_UDP_DROP) != 0 && (udp.policy & ~(OPT_UDP_DROP | OPT_UDP_RR)) != 0)
        return "wants legacy datagrams dropped and served";
    *ret_udp = udp;
    return NULL;
}
