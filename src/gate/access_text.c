/* The lines of an access list, in and out.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/num.h"
#include "gate/access_rule.h"

enum { QUOTE_BYTES = 48 };

/* A word of a line, and where it begins, from 1. */
struct word {
    struct bytes text;
    size_t column;
};

/* ── mistakes ─────────────────────────────────────────────────────────────────────────────── */

PRINTF_LIKE(3, 4)
static int mistake(struct gate_mistake *ret, size_t column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret->what, sizeof(ret->what), format, args);
    va_end(args);
    ret->column = column;
    return -EINVAL;
}

/* A word that can be shown: files hold anything. */
static const char *quote(struct bytes word, char ret_text[QUOTE_BYTES])
{
    size_t len = 0;
    for (; len < word.len && len < QUOTE_BYTES - 4; len++)
        ret_text[len] = word.ptr[len] > ' ' && word.ptr[len] < 127 ? (char)word.ptr[len] : '?';
    (void)snprintf(ret_text + len, 4, "%s", len < word.len ? "..." : "");
    return ret_text;
}

/* ── words ────────────────────────────────────────────────────────────────────────────────── */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* The next word behind column *at (from 0), which moves behind it; empty at the end of the line. */
static struct word word_take(struct bytes line, size_t *at)
{
    while (*at < line.len && is_blank(line.ptr[*at]))
        (*at)++;
    const size_t start = *at;
    while (*at < line.len && !is_blank(line.ptr[*at]) && line.ptr[*at] != '#')
        (*at)++;
    return (struct word){bytes_of(line.ptr + start, *at - start), start + 1};
}

/* The position of `byte` in `text`, or text.len. */
static size_t find(struct bytes text, char byte)
{
    const uint8_t *at = text.len > 0 ? memchr(text.ptr, byte, text.len) : NULL;
    return at != NULL ? (size_t)(at - text.ptr) : text.len;
}

/* ── addresses ────────────────────────────────────────────────────────────────────────────── */

/* It is no prefix: is it one with bits that no address of it has? Returns -EINVAL. */
static int prefix_mistake(struct bytes word, size_t column, struct gate_mistake *ret)
{
    char quoted[QUOTE_BYTES], network[IP_PREFIX_TEXT_BYTES];
    const size_t slash = find(word, '/');
    struct ip ip;
    uint64_t bits;
    if (slash == word.len || !ip_parse(bytes_of(word.ptr, slash), &ip))
        return mistake(ret, column, "'%s' is no address, prefix or 'all'", quote(word, quoted));
    const bool v4 = find(word, ':') == word.len;
    const uint64_t width = v4 ? IP_BITS - IP_V4_BITS : IP_BITS;
    const struct bytes digits = bytes_skip(word, slash + 1);
    if (!num_parse_u64(digits, width, &bits))
        return mistake(ret, column + slash + 1, "'%s' is no number of bits from 0 to %u",
                       quote(digits, quoted), (unsigned)width);
    const struct ip_prefix prefix = ip_prefix_of(&ip, (unsigned)(bits + IP_BITS - width));
    ip_prefix_format(&prefix, network);
    return mistake(ret, column, "%s has bits behind its prefix; the network is %s",
                   quote(word, quoted), network);
}

int gate_rule_parse_prefix(struct bytes word, size_t column, struct gate_rule *rule,
                           struct gate_mistake *ret_mistake)
{
    rule->all = bytes_is(word, "all");
    if (rule->all)
        rule->prefix = (struct ip_prefix){.bits = 0};
    else if (!ip_prefix_parse(word, &rule->prefix))
        return prefix_mistake(word, column, ret_mistake);
    return 0;
}

/* ── listeners ────────────────────────────────────────────────────────────────────────────── */

static bool port_parse(struct bytes text, uint16_t *ret_port)
{
    uint64_t port;
    if (!num_parse_u64(text, UINT16_MAX, &port) || port == 0)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

/* ADDRESS:PORT or [IPv6]:PORT */
static bool address_parse(struct bytes text, struct gate_rule *rule)
{
    struct bytes host;
    size_t colon;
    if (text.len > 0 && text.ptr[0] == '[') {
        const size_t end = find(text, ']');
        colon = end + 1;
        host = bytes_of(text.ptr + 1, end - 1);
        if (find(host, ':') == host.len)
            return false;
    } else {
        colon = find(text, ':');
        host = bytes_of(text.ptr, colon);
    }
    return colon < text.len && text.ptr[colon] == ':' && ip_parse(host, &rule->on_ip) &&
           port_parse(bytes_skip(text, colon + 1), &rule->on_port);
}

static int listener_parse(const struct word *word, struct gate_rule *rule, struct gate_mistake *ret)
{
    char quoted[QUOTE_BYTES];
    rule->on_column = (uint32_t)word->column;
    if (word->text.len == 0)
        return mistake(ret, word->column, "'on' needs a listener behind it");
    if (bytes_is(word->text, "tcp"))
        rule->on = GATE_ON_TCP;
    else if (bytes_is(word->text, "udp"))
        rule->on = GATE_ON_UDP;
    else if (bytes_is(word->text, "unix"))
        rule->on = GATE_ON_UNIX;
    else if (port_parse(word->text, &rule->on_port))
        rule->on = GATE_ON_PORT;
    else if (address_parse(word->text, rule))
        rule->on = GATE_ON_ADDRESS;
    else
        return mistake(ret, word->column,
                       "'%s' is no port, ADDRESS:PORT, [IPv6]:PORT, tcp, udp or unix",
                       quote(word->text, quoted));
    if (rule->on == GATE_ON_UNIX && !rule->all)
        return mistake(ret, word->column, "a unix socket has no addresses; allowed: all on unix");
    return 0;
}

/* ── classes ──────────────────────────────────────────────────────────────────────────────── */

static int classes_parse(const struct word *word, struct gate_rule *rule, struct gate_mistake *ret)
{
    char quoted[QUOTE_BYTES];
    unsigned named = 0;
    rule->classes = 0;
    for (size_t at = 0; at <= word->text.len;) {
        const struct bytes rest = bytes_skip(word->text, at);
        const struct bytes name = bytes_of(rest.ptr, find(rest, ','));
        const size_t class = gate_class_find(name);
        if (class == GATE_CLASS_COUNT)
            return mistake(
                ret, word->column + at,
                "'%s' is no class; there are read, write, flush_prefix, admin, with commas",
                quote(name, quoted));
        if ((named & 1u << class) != 0)
            return mistake(ret, word->column + at, "%s stands here twice", quote(name, quoted));
        named |= 1u << class;
        rule->classes |= gate_class_names[class].classes;
        at += name.len + 1;
    }
    return 0;
}

/* ── rules ────────────────────────────────────────────────────────────────────────────────── */

/* What may follow the addresses. */
static int rest_parse(struct bytes line, size_t at, struct gate_rule *rule,
                      struct gate_mistake *ret)
{
    struct word word = word_take(line, &at);
    int rc = 0;
    if (bytes_is(word.text, "on")) {
        word = word_take(line, &at);
        rc = listener_parse(&word, rule, ret);
        word = word_take(line, &at);
    }
    if (rc == 0 && word.text.len > 0) {
        rc = classes_parse(&word, rule, ret);
        word = word_take(line, &at);
    }
    if (rc == 0 && word.text.len > 0)
        rc = mistake(ret, word.column, "nothing may follow the classes");
    return rc;
}

int gate_rule_parse(struct bytes line, struct gate_rule *ret_rule, struct gate_mistake *ret_mistake)
{
    char quoted[QUOTE_BYTES];
    size_t at = 0;
    const struct word verb = word_take(line, &at);
    if (verb.text.len == 0)
        return 0;
    *ret_rule = (struct gate_rule){.classes = GATE_ALL, .allow = bytes_is(verb.text, "allow")};
    if (!ret_rule->allow && !bytes_is(verb.text, "deny"))
        return mistake(ret_mistake, verb.column, "'%s' is neither 'allow' nor 'deny'",
                       quote(verb.text, quoted));
    const struct word where = word_take(line, &at);
    if (where.text.len == 0)
        return mistake(ret_mistake, where.column, "an address, a prefix or 'all' is missing");
    int rc = gate_rule_parse_prefix(where.text, where.column, ret_rule, ret_mistake);
    if (rc == 0)
        rc = rest_parse(line, at, ret_rule, ret_mistake);
    return rc == 0 ? 1 : rc;
}

/* ── as text ──────────────────────────────────────────────────────────────────────────────── */

static void listener_format(const struct gate_rule *rule, char *dst, size_t cap)
{
    char address[IP_TEXT_BYTES];
    switch ((enum gate_on)rule->on) {
    case GATE_ON_ANY:
        dst[0] = '\0';
        break;
    case GATE_ON_TCP:
        (void)snprintf(dst, cap, " on tcp");
        break;
    case GATE_ON_UDP:
        (void)snprintf(dst, cap, " on udp");
        break;
    case GATE_ON_UNIX:
        (void)snprintf(dst, cap, " on unix");
        break;
    case GATE_ON_PORT:
        (void)snprintf(dst, cap, " on %u", rule->on_port);
        break;
    case GATE_ON_ADDRESS:
        ip_format(&rule->on_ip, address);
        (void)snprintf(dst, cap, ip_is_v4(&rule->on_ip) ? " on %s:%u" : " on [%s]:%u", address,
                       rule->on_port);
        break;
    }
}

void gate_rule_format(const struct gate_rule *rule, char ret_text[GATE_RULE_TEXT_BYTES])
{
    char where[IP_PREFIX_TEXT_BYTES] = "all", on[IP_TEXT_BYTES + 16];
    if (!rule->all)
        ip_prefix_format(&rule->prefix, where);
    listener_format(rule, on, sizeof(on));
    int len = snprintf(ret_text, GATE_RULE_TEXT_BYTES, "%s %s%s", rule->allow ? "allow" : "deny",
                       where, on);
    char separator = ' ';
    uint8_t left = rule->classes == GATE_ALL ? 0 : rule->classes;
    for (const char *name; (name = gate_class_name_take(&left)) != NULL; separator = ',')
        len +=
            snprintf(ret_text + len, GATE_RULE_TEXT_BYTES - (size_t)len, "%c%s", separator, name);
}
