/* opt/opt.h — the options of the server: command line, defaults, help.
 *
 * Every option is one row of tbl/options.def; this struct, the parser, the range checks, the error
 * texts and the help are made from the rows.
 *
 * Includes: base.  Included by: stat, gate, cmd, server.
 * Threads:  filled once at the start, read by all afterwards.
 * Memory:   opt_init() and opt_parse() keep their own copies of texts; opt_fini() frees them.
 * I/O:      none, but for opt_report() and opt_print_help().
 * Spec:     memcached 1.6.45, command line, -o, exit codes.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/ip.h"

/* The release whose behaviour we keep; scripts look for it. */
#define OPT_MEMCACHED_VERSION "1.6.45"

/* How the text of an option is read, and the type of its field. */
#define OPT_CTYPE_PORT      int32_t  /* 0..65535, or -1: any free one */
#define OPT_CTYPE_COUNT     uint32_t /* decimal */
#define OPT_CTYPE_OCTAL     uint32_t
#define OPT_CTYPE_LEVEL     uint32_t /* decimal, 1 without a value; "no_" in front: 0 */
#define OPT_CTYPE_REPEAT    uint32_t /* takes no value; how often it was given */
#define OPT_CTYPE_SIZE      uint64_t /* bytes; or with a suffix k, m, g */
#define OPT_CTYPE_SIZE_KIB  uint64_t /* the text is in KiB, the field in bytes */
#define OPT_CTYPE_SIZE_MIB  uint64_t
#define OPT_CTYPE_MEMORY    uint64_t /* as SIZE_MIB; or "auto", see opt_machine_set() */
#define OPT_CTYPE_REAL      double
#define OPT_CTYPE_RATE      struct opt_rate /* N or N:BURST, per second; 0: off */
#define OPT_CTYPE_RATE_SIZE struct opt_rate /* likewise; each may have a suffix k, m, g */
#define OPT_CTYPE_FLAG      bool            /* takes no value */
#define OPT_CTYPE_SWITCH    bool            /* takes no value; "no_" in front: false */
#define OPT_CTYPE_CHAR      char
#define OPT_CTYPE_TEXT      char * /* NULL: not given; min..max bytes */
#define OPT_CTYPE_LIST      char * /* addresses; several are joined by commas */
#define OPT_CTYPE_TEXTS     char * /* as TEXT; several are joined by + */
#define OPT_CTYPE_CHOICE    char * /* the default column names all, the first is the default */

enum {
    OPT_ROWS_MAX = 224,
    OPT_BURST_S_MAX = 3600, /* a burst is at most what the rate allows in this time */
};

struct opt_rate {
    uint32_t per_s; /* 0: no limit */
    uint32_t burst; /* twice as much, unless it was given */
};

struct opts {
#define OPT(field, kind, ...) OPT_CTYPE_##kind field;
#define SUB(field, kind, ...) OPT_CTYPE_##kind field;
#include "tbl/options.def"
    bool stats_detail;        /* -D was given: `stats detail` starts switched on */
    bool given[OPT_ROWS_MAX]; /* row n of the table was on the command line */
};

enum opt_action {
    OPT_RUN,     /* go on and serve */
    OPT_HELP,    /* -h */
    OPT_LICENSE, /* -i */
    OPT_VERSION, /* -V */
    OPT_REFUSED, /* `text` says what was wrong and what is allowed */
};

enum { OPT_TEXT_BYTES = 512 };

struct opt_result {
    enum opt_action action;
    int exit_code;             /* of the process, unless OPT_RUN: 0, 1 or 64 as memcached's */
    char text[OPT_TEXT_BYTES]; /* a line without its end; empty unless OPT_REFUSED */
};

/* Fill in all defaults. Returns 0 or -ENOMEM. Owns: texts, free them with opt_fini(). */
MUST_USE int opt_init(struct opts *opts);
void opt_fini(struct opts *opts); /* also after a failed opt_init() or a refused opt_parse() */

/* Apply a command line to `opts` (after opt_init), argument by argument, and stop at the first bad
 * one, -h or -V; then check what concerns several options. */
void opt_parse(struct opts *opts, int argc, char *const argv[], struct opt_result *ret_result);

/* How much memory there is, for -m auto; without, that is refused. Once, before anything is parsed.
 */
void opt_machine_set(uint64_t machine_bytes);
/* What -m auto stands for: three quarters of `machine_bytes` less what the server needs besides,
 * with `conns` connections; at least a quarter. */
uint64_t opt_memory_auto(uint64_t machine_bytes, uint32_t conns);

/* Tell of every option on the command line that is accepted without having an effect. */
void opt_inert_each(const struct opts *opts, void (*each)(const char *label));

/* Print the help, the licences or the version to stdout, or the refusal to stderr. The only I/O of
 * this module. Returns the exit code. */
int opt_report(const struct opt_result *result);
/* What -h prints; at most 80 columns. */
void opt_print_help(FILE *file);
/* The options for a manual page, in the language of scdoc(5). */
void opt_print_manual(FILE *file);

enum opt_protocol {
    OPT_PROTOCOL_DEFAULT,
    OPT_PROTOCOL_AUTO,
    OPT_PROTOCOL_TEXT,
    OPT_PROTOCOL_BINARY
};

enum opt_listen_tls {
    OPT_LISTEN_DEFAULT, /* TLS with -Z */
    OPT_LISTEN_NOTLS,
    OPT_LISTEN_BTLS, /* without client certificates */
    OPT_LISTEN_MTLS, /* client certificate required */
};

/* One address of -l, or of a name without a port. */
struct opt_listen {
    enum opt_protocol protocol; /* DEFAULT: that of -B */
    char host[256];             /* name or address without brackets; "*": all of this machine */
    int32_t port;               /* -1: the one of -p */
    enum opt_listen_tls tls;
};

/* Take the next address off the front of `rest`, the text of opts->listen.
 * Returns 1; 0 at the end; -EINVAL when it is malformed (never after opt_parse() went well). */
int opt_listen_next(struct bytes *rest, struct opt_listen *ret_listen);

/* What -o udp_policy says, as a set. DROP is what happens without the others to what is not RR. */
enum {
    OPT_UDP_RR = 1,
    OPT_UDP_DROP = 2,
    OPT_UDP_MISS = 4,
    OPT_UDP_VOUCHED = 8,
    OPT_UDP_PREFIXES = 16,
    OPT_UDP_OPEN = 32,
};

enum { OPT_UDP_PREFIXES_MAX = 64 };

struct opt_udp {
    uint8_t policy;
    size_t prefix_count;
    struct ip_prefix prefixes[OPT_UDP_PREFIXES_MAX];
};

/* Read a policy. Returns NULL, or what is wrong with it, to stand behind the text (never after
 * opt_parse() went well). */
MUST_USE const char *opt_udp_parse(const char *text, struct opt_udp *ret_udp);

/* What -B says; never DEFAULT. */
enum opt_protocol opt_protocol_of(const struct opts *opts);
