/* cli/facts.h — what `matte check` found out about a server, and what that means.
 *
 * The probes fill the facts (cli/probe_*.c), cli_judge() makes findings of them. It is a function
 * of the facts alone, so that each finding can be tested without a server that has it.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * Memory:   all text is printable already (cli_text_format()) and lies in the struct.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"

/* From where the server can be reached, as its address tells. */
enum cli_reach { CLI_REACH_LOCAL, CLI_REACH_PRIVATE, CLI_REACH_PUBLIC };

/* What a port answers to a text request. */
enum cli_speech {
    CLI_SPEECH_UNASKED,
    CLI_SPEECH_NONE,    /* nothing at all */
    CLI_SPEECH_CLOSED,  /* the end of the connection */
    CLI_SPEECH_STRANGE, /* something that is not the text protocol */
    CLI_SPEECH_OPEN,    /* VERSION */
    CLI_SPEECH_LOGIN,   /* it asks for a login */
    CLI_SPEECH_REFUSED, /* another error */
};

enum cli_known { CLI_UNKNOWN, CLI_NO_IT_IS_NOT, CLI_YES_IT_IS };

/* A row of `stats settings` that tells whether something is allowed. */
enum cli_permit {
    CLI_PERMIT_FLUSH,
    CLI_PERMIT_DUMP,
    CLI_PERMIT_SHUTDOWN,
    CLI_PERMIT_COUNT,
};

struct cli_tls_facts {
    bool spoken;
    bool old;               /* below TLS 1.2 */
    bool wants_certificate; /* of clients */
    char version[16];
    char subject[120];
    int64_t until_start_s, until_end_s; /* of the certificate's time; negative: ago */
    bool dated;                         /* the two are known */
    char distrust[120];                 /* why it is not trusted here; "": it is */
};

enum cli_udp_probe { CLI_UDP_VERSION, CLI_UDP_GET, CLI_UDP_STATS, CLI_UDP_HELLO, CLI_UDP_PROBES };

/* Bytes with the headers of IP and UDP. */
struct cli_udp_count {
    uint64_t sent_bytes, got_bytes, got_datagrams;
};

struct cli_udp_facts {
    enum { CLI_UDP_UNASKED, CLI_UDP_CLOSED, CLI_UDP_SILENT, CLI_UDP_ANSWERS } state;
    bool rr;        /* the answer to HELLO is a CHALLENGE */
    bool elsewhere; /* answers came from another address than was asked */
    uint16_t port;
    struct cli_udp_count probe[CLI_UDP_PROBES];
};

struct cli_facts {
    char address[128];
    enum cli_reach reach;
    bool local; /* an address of this host */
    bool is_unix;
    bool tcp_open;
    char tcp_error[120]; /* why not */
    enum cli_speech text;
    char said[160]; /* the line that `text` is about */
    char version[60];
    bool is_matted;
    enum cli_speech binary; /* OPEN: answers a get without a login; LOGIN: asks for one */
    char mechanisms[100];   /* SASL; "": none */
    struct cli_tls_facts tls;
    struct cli_udp_facts udp;
    bool stats, settings, conns; /* these kinds of `stats` are answered */
    enum cli_known permit[CLI_PERMIT_COUNT];
    bool listens_wide;  /* it says that it listens on all addresses */
    uint16_t udp_port;  /* it says so; 0: none, or unknown */
    int synack_retries; /* of this host; -1: not read */
};

enum cli_grade { CLI_GRADE_OK, CLI_GRADE_NOTE, CLI_GRADE_WARNING, CLI_GRADE_DANGER };

struct cli_finding {
    enum cli_grade grade;
    const char *topic; /* a word for machines */
    char text[400];
};

enum { CLI_FINDINGS_MAX = 48 };

struct cli_findings {
    size_t count;
    struct cli_finding row[CLI_FINDINGS_MAX];
};

enum cli_reach cli_reach_of(const struct ip *ip);

/* Take what is of use from a row of `stats`, `stats settings` or `stats conns`. */
void cli_facts_stat(struct cli_facts *facts, struct bytes name, struct bytes value);

/* Set `ret_findings`, worst last within a topic, in the order in which one reads it. */
void cli_judge(const struct cli_facts *facts, struct cli_findings *ret_findings);
enum cli_grade cli_findings_worst(const struct cli_findings *findings);
const char *cli_grade_name(enum cli_grade grade);

void cli_finding_add(struct cli_findings *findings, enum cli_grade grade, const char *topic,
                     const char *format, ...) PRINTF_LIKE(4, 5);

/* Add what is known of this version of memcached. */
void cli_advisories_judge(const struct cli_facts *facts, struct cli_findings *findings);

/* The highest of got/sent of the requests that are no HELLO, in hundredths; 0: no answer. */
uint64_t cli_udp_ratio_percent(const struct cli_udp_facts *udp);
