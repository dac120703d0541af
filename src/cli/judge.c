/* cli/judge.c — what the facts about a server mean to its operator.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "cli/facts.h"

#define ADD(...) cli_finding_add(findings, __VA_ARGS__)

enum { DAY_S = 86400, CERTIFICATE_SOON_S = 21 * DAY_S, SYNACK_RETRIES_FEW = 2 };

/* Asked at a loopback address, it says that it listens on all others as well. */
static bool is_wider(const struct cli_facts *facts)
{
    return facts->reach == CLI_REACH_LOCAL && facts->listens_wide && !facts->is_unix;
}

/* Who can get there, as far as can be known. A memcached that listens everywhere serves its
 * neighbours, too; matted need not, for it has protected mode and access lists. */
static enum cli_reach reach_of(const struct cli_facts *facts)
{
    return is_wider(facts) && !facts->is_matted ? CLI_REACH_PRIVATE : facts->reach;
}

static enum cli_grade by_reach(const struct cli_facts *facts, enum cli_grade local,
                               enum cli_grade private, enum cli_grade public)
{
    switch (reach_of(facts)) {
    case CLI_REACH_LOCAL:
        return local;
    case CLI_REACH_PRIVATE:
        return private;
    case CLI_REACH_PUBLIC:
        return public;
    }
    return public;
}

static const char *who(const struct cli_facts *facts)
{
    switch (reach_of(facts)) {
    case CLI_REACH_LOCAL:
        return "every program of this machine";
    case CLI_REACH_PRIVATE:
        return "everybody in its network";
    case CLI_REACH_PUBLIC:
        return "the whole internet (unless a firewall is in front)";
    }
    return "";
}

/* Somebody without a login may read and write. */
static bool is_open(const struct cli_facts *facts)
{
    return facts->text == CLI_SPEECH_OPEN || facts->binary == CLI_SPEECH_OPEN;
}

/* ── TCP ──────────────────────────────────────────────────────────────────────────────────── */

static void version_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    if (facts->version[0] == '\0')
        return;
    if (facts->is_matted)
        ADD(CLI_GRADE_OK, "version", "matted, which says memcached %s to clients", facts->version);
    else
        ADD(CLI_GRADE_OK, "version", "memcached %s, or a server that calls itself so",
            facts->version);
    cli_advisories_judge(facts, findings);
}

/* What ends that others than this machine get in; nothing where only this machine does. */
static const char *remedy(const struct cli_facts *facts)
{
    if (reach_of(facts) == CLI_REACH_LOCAL)
        return "";
    return facts->is_matted
               ? "; give it logins (-Y FILE), an access list (--allow=CIDR), or -l 127.0.0.1"
               : "; give it -l 127.0.0.1, or put a firewall in front of it";
}

static void refusal_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    static const char protected_mode[] = "SERVER_ERROR protected mode";
    if (strncmp(facts->said, protected_mode, sizeof(protected_mode) - 1) == 0)
        ADD(CLI_GRADE_OK, "login",
            "it refuses us by protected mode; it serves others than its own machine when it has "
            "logins (-Y FILE), an access list (--allow=CIDR), or --protected-mode=no");
    else
        ADD(CLI_GRADE_OK, "login", "it refuses us: %s", facts->said);
}

static void access_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    const enum cli_grade open =
        by_reach(facts, CLI_GRADE_NOTE, CLI_GRADE_WARNING, CLI_GRADE_DANGER);
    const bool text_login = facts->text == CLI_SPEECH_LOGIN;
    const bool binary_login = facts->binary == CLI_SPEECH_LOGIN;
    if (is_open(facts) && (text_login || binary_login))
        ADD(open == CLI_GRADE_NOTE ? CLI_GRADE_WARNING : CLI_GRADE_DANGER, "login",
            "the %s protocol asks for a login and the %s protocol does not: the login is no "
            "protection",
            text_login ? "text" : "binary", text_login ? "binary" : "text");
    else if (is_open(facts))
        ADD(open, "login", "no login: %s can read and change what is stored%s%s", who(facts),
            is_wider(facts) && !facts->is_matted ? " (it says that it listens on all addresses)"
                                                 : "",
            remedy(facts));
    if (is_open(facts) && is_wider(facts) && facts->is_matted)
        ADD(CLI_GRADE_NOTE, "login",
            "it listens on all addresses as well; protected mode, logins and access lists decide "
            "who is served there: check one of these addresses, too");
    if (!is_open(facts) && (text_login || binary_login))
        ADD(CLI_GRADE_OK, "login", "a login is required%s%s",
            binary_login && facts->mechanisms[0] != '\0' ? "; SASL: " : "",
            binary_login ? facts->mechanisms : "");
    if (facts->text == CLI_SPEECH_REFUSED)
        refusal_judge(facts, findings);
    if ((text_login || binary_login) && !facts->tls.spoken && reach_of(facts) != CLI_REACH_LOCAL)
        ADD(by_reach(facts, CLI_GRADE_OK, CLI_GRADE_WARNING, CLI_GRADE_DANGER), "login",
            "there is no TLS: whoever can watch the network can read the passwords");
}

static void speech_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    if (!facts->tcp_open) {
        ADD(CLI_GRADE_NOTE, "tcp", "no connection: %s", facts->tcp_error);
        return;
    }
    ADD(CLI_GRADE_OK, "tcp", "it takes connections");
    const bool known = facts->text >= CLI_SPEECH_OPEN || facts->binary >= CLI_SPEECH_OPEN;
    if (known)
        return;
    if (facts->tls.wants_certificate)
        ADD(CLI_GRADE_OK, "protocol", "it asks for a client certificate, and says no more");
    else if (facts->text == CLI_SPEECH_STRANGE)
        ADD(CLI_GRADE_WARNING, "protocol", "this is no memcached: it says %s", facts->said);
    else
        ADD(CLI_GRADE_WARNING, "protocol", "it does not answer as memcached does: %s",
            facts->text == CLI_SPEECH_CLOSED ? "it closes the connection" : "it says nothing");
}

static void certificate_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    const struct cli_tls_facts *tls = &facts->tls;
    if (tls->dated && tls->until_end_s <= 0)
        ADD(CLI_GRADE_DANGER, "certificate", "it ended %" PRId64 " days ago (%s)",
            -tls->until_end_s / DAY_S, tls->subject);
    else if (tls->dated && tls->until_start_s > 0)
        ADD(CLI_GRADE_WARNING, "certificate", "it is not valid yet (%s)", tls->subject);
    else if (tls->dated && tls->until_end_s < CERTIFICATE_SOON_S)
        ADD(CLI_GRADE_WARNING, "certificate", "it ends in %" PRId64 " days (%s)",
            tls->until_end_s / DAY_S, tls->subject);
    else if (tls->dated)
        ADD(CLI_GRADE_OK, "certificate", "valid for %" PRId64 " more days (%s)",
            tls->until_end_s / DAY_S, tls->subject);
    if (tls->distrust[0] != '\0')
        ADD(CLI_GRADE_NOTE, "certificate", "not trusted here: %s (--ca=FILE says whom to trust)",
            tls->distrust);
}

static void tls_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    if (!facts->tls.spoken) {
        const bool talks =
            is_open(facts) || facts->text == CLI_SPEECH_LOGIN || facts->binary == CLI_SPEECH_LOGIN;
        if (talks && reach_of(facts) == CLI_REACH_LOCAL)
            ADD(CLI_GRADE_OK, "tls", "none, and nothing leaves this machine");
        else if (talks)
            ADD(by_reach(facts, CLI_GRADE_OK, CLI_GRADE_NOTE, CLI_GRADE_WARNING), "tls",
                "none: keys and values pass in the clear (-Z switches TLS on)");
        return;
    }
    ADD(facts->tls.old ? CLI_GRADE_WARNING : CLI_GRADE_OK, "tls", "%s%s%s", facts->tls.version,
        facts->tls.old ? ", which is broken; allow TLS 1.2 and newer only" : "",
        facts->tls.wants_certificate ? ", asks for a client certificate" : "");
    certificate_judge(facts, findings);
}

static void admin_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    static const struct {
        const char *can, *advice;
        enum cli_grade local, private, public;
    } permits[CLI_PERMIT_COUNT] = {
        [CLI_PERMIT_FLUSH] = {"empty the cache by flush_all", "-F forbids it", CLI_GRADE_NOTE,
                              CLI_GRADE_WARNING, CLI_GRADE_DANGER},
        [CLI_PERMIT_DUMP] = {"list all keys by lru_crawler metadump", "-X forbids it",
                             CLI_GRADE_NOTE, CLI_GRADE_WARNING, CLI_GRADE_DANGER},
        [CLI_PERMIT_SHUTDOWN] = {"stop the server by shutdown",
                                 "start it without -A, --enable-shutdown", CLI_GRADE_WARNING,
                                 CLI_GRADE_DANGER, CLI_GRADE_DANGER},
    };
    if (facts->text != CLI_SPEECH_OPEN)
        return;
    for (size_t i = 0; i < CLI_PERMIT_COUNT; i++)
        if (facts->permit[i] == CLI_YES_IT_IS)
            ADD(by_reach(facts, permits[i].local, permits[i].private, permits[i].public), "admin",
                "%s can %s (%s)", who(facts), permits[i].can, permits[i].advice);
    if (facts->conns)
        ADD(by_reach(facts, CLI_GRADE_OK, CLI_GRADE_NOTE, CLI_GRADE_WARNING), "admin",
            "`stats conns` tells the addresses of the clients");
    if (!facts->settings && !facts->conns)
        ADD(CLI_GRADE_OK, "admin", "`stats settings` and `stats conns` are refused");
}

/* ── UDP ──────────────────────────────────────────────────────────────────────────────────── */

static void legacy_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    static const char *const names[] = {"version", "get of a missing key", "stats"};
    const struct cli_udp_facts *udp = &facts->udp;
    const uint64_t percent = cli_udp_ratio_percent(udp);
    if (udp->elsewhere)
        ADD(CLI_GRADE_NOTE, "udp",
            "it answers from another address than was asked; usual clients never get that");
    if (percent == 0) {
        ADD(CLI_GRADE_OK, "udp", "requests of the old kind are not answered");
        return;
    }
    size_t worst = 0;
    for (size_t i = 1; i < CLI_UDP_HELLO; i++) {
        const struct cli_udp_count *a = &udp->probe[i], *b = &udp->probe[worst];
        if (a->got_bytes * b->sent_bytes > b->got_bytes * a->sent_bytes)
            worst = i;
    }
    const struct cli_udp_count *most = &udp->probe[worst];
    if (percent <= 100) {
        ADD(CLI_GRADE_NOTE, "udp",
            "requests of the old kind are answered, by no more bytes than "
            "were sent (%s: %" PRIu64 " for %" PRIu64 ")",
            names[worst], most->got_bytes, most->sent_bytes);
        return;
    }
    ADD(by_reach(facts, CLI_GRADE_WARNING, CLI_GRADE_DANGER, CLI_GRADE_DANGER), "udp",
        "it can be made a reflector: %s draws %" PRIu64 " bytes for %" PRIu64 " (%" PRIu64 ".%02u "
        "times; with large values many thousand), sent to whatever address a datagram claims. "
        "Switch UDP off (-U 0)",
        names[worst], most->got_bytes, most->sent_bytes, percent / 100, (unsigned)(percent % 100));
}

static void udp_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    const struct cli_udp_facts *udp = &facts->udp;
    const struct cli_udp_count *hello = &udp->probe[CLI_UDP_HELLO];
    switch (udp->state) {
    case CLI_UDP_UNASKED:
        return;
    case CLI_UDP_CLOSED:
        ADD(CLI_GRADE_OK, "udp", "port %u is closed", udp->port);
        return;
    case CLI_UDP_SILENT:
        ADD(CLI_GRADE_OK, "udp", "port %u does not answer%s%s", udp->port,
            facts->udp_port != 0 ? ", though the server says that UDP is on" : "",
            facts->local && facts->reach != CLI_REACH_LOCAL
                ? "; matted never answers a datagram that has its own host's address, so ask from "
                  "another host, too"
                : "");
        return;
    case CLI_UDP_ANSWERS:
        break;
    }
    if (udp->rr && hello->got_bytes <= hello->sent_bytes)
        ADD(CLI_GRADE_OK, "rr",
            "it makes sources prove their address (RR): %" PRIu64 " bytes answer %" PRIu64,
            hello->got_bytes, hello->sent_bytes);
    else if (hello->got_bytes > hello->sent_bytes)
        ADD(CLI_GRADE_DANGER, "rr", "a HELLO of %" PRIu64 " bytes draws %" PRIu64,
            hello->sent_bytes, hello->got_bytes);
    legacy_judge(facts, findings);
}

/* ── this host ────────────────────────────────────────────────────────────────────────────── */

static void host_judge(const struct cli_facts *facts, struct cli_findings *findings)
{
    if (!facts->local || facts->is_unix || facts->synack_retries < 0)
        return;
    if (facts->synack_retries <= SYNACK_RETRIES_FEW)
        ADD(CLI_GRADE_OK, "synack", "this host repeats an unanswered SYN-ACK %d times",
            facts->synack_retries);
    else
        ADD(CLI_GRADE_NOTE, "synack",
            "this host repeats a SYN-ACK %d times, to whatever address a SYN claims, for any "
            "service that does not set less itself; sysctl net.ipv4.tcp_synack_retries=2 is enough",
            facts->synack_retries);
}

void cli_judge(const struct cli_facts *facts, struct cli_findings *ret_findings)
{
    ret_findings->count = 0;
    speech_judge(facts, ret_findings);
    version_judge(facts, ret_findings);
    access_judge(facts, ret_findings);
    tls_judge(facts, ret_findings);
    admin_judge(facts, ret_findings);
    udp_judge(facts, ret_findings);
    host_judge(facts, ret_findings);
}
