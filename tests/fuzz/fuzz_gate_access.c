/* fuzz_gate_access.c — any file of rules is either refused with line, column and reason, or decides
 * as a walk over its own rules does, and can be read from what it prints.
 *
 * The first byte says how much of the rest are addresses to ask about, 16 bytes each.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gate/access_rule.h"

enum { LISTENERS = 3, RULES_MAX = 256, TEXT_BYTES = RULES_MAX * GATE_RULE_TEXT_BYTES };

static const struct gate_listener listeners[LISTENERS] = {
    {.transport = GATE_TCP, .port = 11211},
    {.transport = GATE_UDP, .port = 11211, .ip = {{[15] = 1}}},
    {.transport = GATE_UNIX},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gate_access *access_of(struct bytes text, struct gate_mistake *ret_mistake)
{
    struct gate_access *access;
    if (gate_access_new(1, &access) != 0)
        abort();
    int rc = gate_access_add(access, GATE_SOURCE_FILE, text, ret_mistake);
    if (rc == 0)
        rc = gate_access_seal(access, listeners, LISTENERS, ret_mistake);
    if (rc == 0)
        return access;
    assert(rc == -EINVAL && ret_mistake->line >= 1 && ret_mistake->column >= 1);
    assert(ret_mistake->column <= text.len + 1 && ret_mistake->what[0] != '\0');
    gate_access_free(access);
    return NULL;
}

/* The rules again, from the way in which each is printed. */
static size_t rules_read(const struct gate_access *access, struct gate_rule rules[RULES_MAX],
                         char *ret_text)
{
    size_t count = 0, len = 0;
    ret_text[0] = '\0';
    for (; count < gate_access_count(access) && count < RULES_MAX; count++) {
        struct gate_rule_info info;
        struct gate_mistake mistake;
        gate_access_get(access, count, &info);
        if (gate_rule_parse(bytes_str(info.text), &rules[count], &mistake) != 1)
            abort();
        len += (size_t)snprintf(ret_text + len, GATE_RULE_TEXT_BYTES, "%s\n", info.text);
    }
    return count;
}

static bool is_about(const struct gate_rule *rule, const struct gate_listener *listener)
{
    if (listener->transport == GATE_UNIX || rule->on == GATE_ON_UNIX)
        return listener->transport == GATE_UNIX && rule->on == GATE_ON_UNIX;
    return rule->on == GATE_ON_ANY || rule->on == GATE_ON_PORT ||
           (rule->on == GATE_ON_TCP && listener->transport == GATE_TCP) ||
           (rule->on == GATE_ON_UDP && listener->transport == GATE_UDP) ||
           (rule->on == GATE_ON_ADDRESS && ip_equal(&rule->on_ip, &listener->ip));
}

static unsigned walk(const struct gate_rule *rules, size_t count, unsigned listener,
                     const struct ip *ip)
{
    unsigned open = GATE_ALL, allowed = 0;
    bool local = false;
    for (size_t i = 0; i < count; i++)
        local |= rules[i].on == GATE_ON_UNIX;
    if (listeners[listener].transport == GATE_UNIX && !local)
        return GATE_ALL;
    for (size_t i = 0; i < count; i++) {
        const struct gate_rule *rule = &rules[i];
        const bool v4 = rule->prefix.bits >= IP_V4_BITS && ip_is_v4(&rule->prefix.ip);
        if (!is_about(rule, &listeners[listener]) ||
            !(rule->all || (ip_prefix_has(&rule->prefix, ip) && v4 == ip_is_v4(ip))))
            continue;
        allowed |= rule->allow ? open & rule->classes : 0;
        open &= ~(unsigned)rule->classes;
    }
    return allowed;
}

/* The walk decides as the table does, also of a list that is made of what this one prints. */
static void check(const struct gate_access *access, struct bytes addresses)
{
    static struct gate_rule rules[RULES_MAX];
    static char text[TEXT_BYTES + 1];
    if (gate_access_count(access) > RULES_MAX)
        return;
    const size_t count = rules_read(access, rules, text);
    struct gate_mistake mistake;
    struct gate_access *again = access_of(bytes_str(text), &mistake);
    assert(again != NULL && gate_access_count(again) == count);
    for (size_t i = 0; i + 1 <= addresses.len / 16 + count; i++) {
        struct ip_peer peer = {.family = IP_V6};
        if (i < addresses.len / 16)
            memcpy(peer.ip.byte, addresses.ptr + 16 * i, 16);
        else
            peer.ip = rules[i - addresses.len / 16].prefix.ip;
        for (unsigned listener = 0; listener < LISTENERS; listener++) {
            const unsigned want = walk(rules, count, listener, &peer.ip);
            assert(gate_access_look(access, listener, &peer) == want);
            assert(gate_access_ask(again, 0, listener, &peer) == want);
        }
    }
    gate_access_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const size_t asked = size > 1 ? (size_t)data[0] % 8 * 16 : 0;
    const size_t addresses = asked < size - 1 ? asked : 0;
    struct gate_mistake mistake = {0};
    struct gate_access *access =
        access_of(bytes_of(data + 1 + addresses, size - 1 - addresses), &mistake);
    if (access != NULL)
        check(access, bytes_of(data + 1, addresses));
    gate_access_free(access);
    return 0;
}
