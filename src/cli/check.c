/* cli/check.c — `matte check`: what of a server is exposed.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <ifaddrs.h>
#include <inttypes.h>
#include <netinet/in.h>

#include "base/num.h"
#include "cli/cli_priv.h"
#include "cli/json.h"
#include "cli/probe.h"

/* ── this host ────────────────────────────────────────────────────────────────────────────── */

static bool is_of_this_host(const struct ip *ip)
{
    struct ifaddrs *list;
    bool found = ip_is_loopback(ip);
    if (getifaddrs(&list) != 0)
        return found;
    for (const struct ifaddrs *at = list; at != NULL && !found; at = at->ifa_next) {
        if (at->ifa_addr == NULL)
            continue;
        const bool v4 = at->ifa_addr->sa_family == AF_INET;
        if (!v4 && at->ifa_addr->sa_family != AF_INET6)
            continue;
        struct cli_peer peer = {.address_bytes = 0};
        memcpy(&peer.address, at->ifa_addr,
               v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        struct ip own;
        found = cli_peer_ip(&peer, &own) && ip_equal(&own, ip);
    }
    freeifaddrs(list);
    return found;
}

/* A sysctl that is a number of one line; -1: it cannot be read. */
static int sysctl_read(const char *path)
{
    char line[32];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    const bool got = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
    uint64_t value;
    if (!got || !num_parse_u64(bytes_of(line, strcspn(line, "\n")), 255, &value))
        return -1;
    return (int)value;
}

void cli_probe_host(struct cli_probe *probe)
{
    struct cli_facts *facts = &probe->facts;
    struct ip ip;
    cli_peer_format(&probe->peer, facts->address);
    facts->is_unix = !cli_peer_ip(&probe->peer, &ip);
    facts->reach = facts->is_unix ? CLI_REACH_LOCAL : cli_reach_of(&ip);
    facts->local = facts->is_unix || is_of_this_host(&ip);
    facts->synack_retries =
        facts->local ? sysctl_read("/proc/sys/net/ipv4/tcp_synack_retries") : -1;
}

/* ── printing ─────────────────────────────────────────────────────────────────────────────── */

static void text_print(const struct cli_facts *facts, const struct cli_findings *findings)
{
    unsigned count[CLI_GRADE_DANGER + 1] = {0};
    printf("%s\n", facts->address);
    for (size_t i = 0; i < findings->count; i++) {
        const struct cli_finding *row = &findings->row[i];
        const int at = printf("  %-8s %-12s ", cli_grade_name(row->grade), row->topic);
        cli_wrapped_print(stdout, row->text, at);
        count[row->grade]++;
    }
    if (cli_findings_worst(findings) >= CLI_GRADE_WARNING)
        printf("dangers: %u, warnings: %u, notes: %u\n", count[CLI_GRADE_DANGER],
               count[CLI_GRADE_WARNING], count[CLI_GRADE_NOTE]);
    else
        printf("nothing to worry about; notes: %u\n", count[CLI_GRADE_NOTE]);
}

static void udp_json_print(const struct cli_udp_facts *udp)
{
    static const char *const names[CLI_UDP_PROBES] = {"version", "get", "stats", "hello"};
    static const char *const states[] = {"unasked", "closed", "silent", "answers"};
    const uint64_t percent = cli_udp_ratio_percent(udp);
    printf(",\"udp\":{\"state\":\"%s\",\"port\":%u,\"rr\":%s,\"amplification\":%" PRIu64
           ".%02u,\"requests\":[",
           states[udp->state], udp->port, udp->rr ? "true" : "false", percent / 100,
           (unsigned)(percent % 100));
    for (size_t i = 0; i < CLI_UDP_PROBES; i++)
        printf("%s{\"request\":\"%s\",\"sent_bytes\":%" PRIu64 ",\"got_bytes\":%" PRIu64
               ",\"got_datagrams\":%" PRIu64 "}",
               i == 0 ? "" : ",", names[i], udp->probe[i].sent_bytes, udp->probe[i].got_bytes,
               udp->probe[i].got_datagrams);
    fputs("]}", stdout);
}

static void json_print(const struct cli_facts *facts, const struct cli_findings *findings)
{
    fputs("{\"address\":", stdout);
    cli_json_string(stdout, bytes_str(facts->address));
    printf(",\"tcp\":%s,\"tls\":%s,\"matted\":%s,\"version\":", facts->tcp_open ? "true" : "false",
           facts->tls.spoken ? "true" : "false", facts->is_matted ? "true" : "false");
    cli_json_string(stdout, bytes_str(facts->version));
    udp_json_print(&facts->udp);
    printf(",\"worst\":\"%s\",\"findings\":[", cli_grade_name(cli_findings_worst(findings)));
    for (size_t i = 0; i < findings->count; i++) {
        const struct cli_finding *row = &findings->row[i];
        printf("%s{\"grade\":\"%s\",\"topic\":\"%s\",\"text\":", i == 0 ? "" : ",",
               cli_grade_name(row->grade), row->topic);
        cli_json_string(stdout, bytes_str(row->text));
        putchar('}');
    }
    fputs("]}\n", stdout);
}

/* ── the subcommand ───────────────────────────────────────────────────────────────────────── */

static enum cli_exit prepare(struct cli_probe *probe, const char *address)
{
    char fault[CLI_WHERE_FAULT_BYTES];
    if (!cli_where_parse(address, &probe->where, fault)) {
        cli_error("%s", fault);
        return CLI_USAGE;
    }
    probe->peer_count = cli_where_resolve(&probe->where, probe->peers, fault);
    if (probe->peer_count == 0) {
        cli_error("%s", fault);
        return CLI_FAILED;
    }
    uint64_t number;
    cli_random(&number, sizeof(number));
    snprintf(probe->miss, sizeof(probe->miss), "matte-check-%016" PRIx64, number);
    return CLI_FINE;
}

enum cli_exit cli_check(const struct cli_args *args)
{
    struct cli_probe probe = {.args = args};
    struct cli_findings findings;
    const char *address = cli_server_word(args);
    enum cli_exit code = address == NULL ? CLI_USAGE : prepare(&probe, address);
    if (code != CLI_FINE)
        return code;
    cli_probe_tcp(&probe);
    cli_probe_host(&probe);
    if (!probe.where.is_unix)
        cli_probe_udp(&probe);
    const struct cli_facts *facts = &probe.facts;
    cli_judge(facts, &findings);
    if (args->json)
        json_print(facts, &findings);
    if (!facts->tcp_open && facts->udp.state != CLI_UDP_ANSWERS) {
        cli_error("%s cannot be reached: %s", facts->address, facts->tcp_error);
        return CLI_FAILED;
    }
    if (!args->json)
        text_print(facts, &findings);
    return cli_findings_worst(&findings) >= CLI_GRADE_WARNING ? CLI_NO : CLI_FINE;
}
