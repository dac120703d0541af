/* cli/facts.c — what rows of statistics and addresses tell.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/facts.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/num.h"

enum cli_reach cli_reach_of(const struct ip *ip)
{
    static const char *const private_prefixes[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                                   "100.64.0.0/10", "fc00::/7"};
    if (ip_is_loopback(ip))
        return CLI_REACH_LOCAL;
    if (ip_is_link_local(ip))
        return CLI_REACH_PRIVATE;
    for (size_t i = 0; i < COUNT_OF(private_prefixes); i++) {
        struct ip_prefix prefix;
        if (ip_prefix_parse(bytes_str(private_prefixes[i]), &prefix) && ip_prefix_has(&prefix, ip))
            return CLI_REACH_PRIVATE;
    }
    return CLI_REACH_PUBLIC;
}

static enum cli_known known(struct bytes value)
{
    if (bytes_is(value, "yes") || bytes_is(value, "on") || bytes_is(value, "1"))
        return CLI_YES_IT_IS;
    return bytes_is(value, "no") || bytes_is(value, "off") || bytes_is(value, "0")
               ? CLI_NO_IT_IS_NOT
               : CLI_UNKNOWN;
}

static bool ends(struct bytes bytes, const char *tail)
{
    const size_t len = strlen(tail);
    return bytes.len >= len && bytes_is(bytes_skip(bytes, bytes.len - len), tail);
}

/* `inter` is the value of -l; memcached without one says NULL and listens everywhere. */
static bool inter_is_wide(struct bytes value)
{
    static const char *const wide[] = {"NULL", "*", "0.0.0.0", "::", "[::]"};
    for (size_t i = 0; i < COUNT_OF(wide); i++)
        if (bytes_is(value, wide[i]) || bytes_starts(value, bytes_str("0.0.0.0,")) ||
            bytes_starts(value, bytes_str("0.0.0.0:")))
            return true;
    return false;
}

void cli_facts_stat(struct cli_facts *facts, struct bytes name, struct bytes value)
{
    static const char *const permits[CLI_PERMIT_COUNT] = {"flush_enabled", "dump_enabled",
                                                          "shutdown_command"};
    for (size_t i = 0; i < CLI_PERMIT_COUNT; i++)
        if (bytes_is(name, permits[i]))
            facts->permit[i] = known(value);
    uint64_t port;
    if (bytes_is(name, "udpport") && num_parse_u64(value, UINT16_MAX, &port))
        facts->udp_port = (uint16_t)port;
    if (bytes_is(name, "libevent"))
        facts->is_matted = bytes_is(value, "none"); /* the one row that tells the two apart */
    if (bytes_is(name, "inter") && inter_is_wide(value))
        facts->listens_wide = true;
    /* "24:listen_addr tcp:0.0.0.0:11211": where a connection came in. */
    if (ends(name, ":listen_addr") && (bytes_starts(value, bytes_str("tcp:0.0.0.0:")) ||
                                       bytes_starts(value, bytes_str("tcp6:[::]:"))))
        facts->listens_wide = true;
}

uint64_t cli_udp_ratio_percent(const struct cli_udp_facts *udp)
{
    uint64_t most = 0;
    for (size_t i = 0; i < CLI_UDP_HELLO; i++) {
        const struct cli_udp_count *count = &udp->probe[i];
        const uint64_t ratio =
            count->sent_bytes == 0 ? 0 : count->got_bytes * 100 / count->sent_bytes;
        most = ratio > most ? ratio : most;
    }
    return most;
}

void cli_finding_add(struct cli_findings *findings, enum cli_grade grade, const char *topic,
                     const char *format, ...)
{
    if (findings->count == CLI_FINDINGS_MAX)
        return; /* there are not so many topics */
    struct cli_finding *row = &findings->row[findings->count++];
    row->grade = grade;
    row->topic = topic;
    va_list args;
    va_start(args, format);
    vsnprintf(row->text, sizeof(row->text), format, args);
    va_end(args);
}

enum cli_grade cli_findings_worst(const struct cli_findings *findings)
{
    enum cli_grade worst = CLI_GRADE_OK;
    for (size_t i = 0; i < findings->count; i++)
        worst = findings->row[i].grade > worst ? findings->row[i].grade : worst;
    return worst;
}

const char *cli_grade_name(enum cli_grade grade)
{
    switch (grade) {
    case CLI_GRADE_OK:
        return "ok";
    case CLI_GRADE_NOTE:
        return "note";
    case CLI_GRADE_WARNING:
        return "warning";
    case CLI_GRADE_DANGER:
        return "danger";
    }
    return "";
}
