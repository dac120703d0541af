/* opt/opt.h — the options of the server: command line, environment, configuration file, defaults.
 *
 * Every option is one row of tbl/options.def; this struct, the parsers, the range checks, the error
 * texts, the help and the documents are made from the rows.
 *
 *     default  <  file  <  environment  <  command line  <  live (config set)
 *
 * Each option remembers which of these its value is from. One that may repeat (-l, --allow) is
 * collected within one of them; a higher one replaces what the lower ones have collected.
 *
 * Includes: base.  Included by: stat, gate, cmd, server.
 * Threads:  a struct is filled by one thread, and read by all afterwards.
 * Memory:   all that fills a struct keeps its own copies of texts; opt_fini() frees them.
 * I/O:      none, but for opt_report() and opt_print_...().
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

/* Where a value is from; the higher wins. */
enum opt_from {
    OPT_FROM_DEFAULT,
    OPT_FROM_FILE,
    OPT_FROM_ENVIRONMENT,
    OPT_FROM_ARGS,
    OPT_FROM_LIVE,
};

struct opt_source {
    enum opt_from from;
    uint32_t line, column; /* in the file; of what may repeat the last one */
};

struct opts {
#define OPT(field, kind, ...) OPT_CTYPE_##kind field;
#define SUB(field, kind, ...) OPT_CTYPE_##kind field;
#include "tbl/options.def"
    bool stats_detail;                      /* -D was given: `stats detail` starts switched on */
    struct opt_source source[OPT_ROWS_MAX]; /* of row n of the table */
};

enum opt_action {
    OPT_RUN,     /* go on: serve, or what the ONCE rows ask for */
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

/* All that options come from. Borrowed. */
struct opt_inputs {
    const char *file_name;    /* NULL: there is no file */
    struct bytes file;        /* its text */
    char *const *environment; /* as `environ`; NULL: none */
    int argc;
    char *const *argv;
};

/* Who is told what is wrong. A line has no end, and is valid for the call. */
struct opt_teller {
    void (*mistake)(void *arg, const char *line);
    void (*warning)(void *arg, const char *line); /* what is passed over */
    void *arg;
};

/* Find out what the command line asks the program to do, before files are read: fills the ONCE rows
 * of `opts` (after opt_init), the configuration file's name also from the environment. Checks
 * single arguments and nothing that concerns several. */
void opt_peek(struct opts *opts, const struct opt_inputs *inputs, struct opt_result *ret_result);
/* Apply file, environment and command line to `opts` (after opt_init), then check what concerns
 * several options. All mistakes of the file and the environment are told, and the first of the
 * command line. Returns OPT_RUN, or OPT_REFUSED with the first mistake. */
void opt_load(struct opts *opts, const struct opt_inputs *inputs, const struct opt_teller *teller,
              struct opt_result *ret_result);

/* Tell of every option that was given and is accepted without having an effect. */
void opt_inert_each(const struct opts *opts, void (*each)(const char *label));

/* Print the help, the licences or the version to stdout, or the refusal to stderr. The only I/O of
 * this module. Returns the exit code. */
int opt_report(const struct opt_result *result);
/* What -h prints; at most 80 columns. */
void opt_print_help(FILE *file);
/* The options for a manual page, in the language of scdoc(5). */
void opt_print_manual(FILE *file);

/* ── one option after another ─────────────────────────────────────────────────────────────── */

enum opt_when {
    OPT_WHEN_START,  /* fixed at the start */
    OPT_WHEN_LIVE,   /* `config set` and a reload change it */
    OPT_WHEN_RELOAD, /* a reload does */
    OPT_WHEN_ONCE,   /* about a run of the program, not about a server */
    OPT_WHEN_INERT,  /* without effect */
};

enum { OPT_NAME_BYTES = 40, OPT_VALUE_BYTES = 2 * 4100, OPT_SOURCE_BYTES = 4200 };

/* Rows are numbered from 0 to opt_count() - 1; some are no options. */
size_t opt_count(void);
/* Is row n an option, for people to set? */
bool opt_is_option(size_t row);
enum opt_when opt_when_of(size_t row);
/* The row of the field at this offset in struct opts. */
size_t opt_row_at(size_t offset);
#define OPT_ROW(field) opt_row_at(offsetof(struct opts, field))
/* The row of that name, with - or _ between its words. Returns false when there is none. */
MUST_USE bool opt_find(struct bytes name, size_t *ret_row);

/* The name, with _ between words; the value as it stands in a file, quoted where it must be; where
 * it is from: default, FILE:LINE, environment, command-line or live. */
void opt_name_format(size_t row, char ret_name[OPT_NAME_BYTES]);
void opt_value_format(const struct opts *opts, size_t row, char ret_value[OPT_VALUE_BYTES]);
void opt_source_format(const struct opts *opts, size_t row, char ret_source[OPT_SOURCE_BYTES]);

/* Are the two values the same, wherever they are from? */
bool opt_is_same(const struct opts *a, const struct opts *b, size_t row);
/* Take over value and source. Returns 0 or -ENOMEM. */
MUST_USE int opt_copy(struct opts *dst, const struct opts *src, size_t row);
/* The same of all rows, into a struct that is not initialised. Owns: opt_fini(), also after a
 * failure. */
MUST_USE int opt_clone(struct opts *ret_opts, const struct opts *src);
/* Read a value, written as in a file, from OPT_FROM_LIVE. Result as opt_load()'s, without a check
 * of what concerns several options. */
void opt_set_live(struct opts *opts, size_t row, struct bytes value, struct opt_result *ret_result);
/* Check what concerns several options, as opt_load(). May adjust those that follow others. */
void opt_check(struct opts *opts, struct opt_result *ret_result);

/* --print-config: what `opts` says, as a file that says the same. */
void opt_print_config(FILE *file, const struct opts *opts);
/* --print-options: the rows as a file, as tables of docs/configuration.md, as part of a manual. */
void opt_print_options(FILE *file, const char *form);

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
