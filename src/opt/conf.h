/* opt/conf.h — the lines of a configuration file, taken apart:
 *
 *     # comment                       to the end of the line, anywhere outside of quotes
 *     -m 64 -o idle_timeout=60        FLAGS: what could stand on the command line
 *     [network]                       SECTION
 *     conn-limit = 4096               SETTING: a name, and the rest of the line as its value
 *     events = "file:/var/log/a b"    quoted: 'as it is', "with \" and \\", or a\ b
 *
 * What Debian's start scripts leave out of memcached.conf is left out here, too: `logfile ...`, and
 * -d or -h alone on a line. What names and flags mean is not known here (opt/layer.c).
 *
 * Includes: base.  Included by: opt, tests.  Pure.
 * Threads:  one per struct.
 * Memory:   none but the struct; texts are valid until the next call.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    OPT_CONF_LINE_BYTES_MAX = 8192,
    OPT_CONF_WORDS_MAX = 64, /* of one line of flags */
};

enum opt_conf_what {
    OPT_CONF_END,
    OPT_CONF_SECTION, /* word[0]: its name */
    OPT_CONF_FLAGS,   /* words as on a command line, at least one */
    OPT_CONF_SETTING, /* word[0]: the name, word[1]: the value, which may be empty */
    OPT_CONF_FAULT,   /* word[0]: where, and what is wrong with this line */
};

struct opt_conf_word {
    const char *text;
    uint32_t column; /* in bytes, from 1 */
};

struct opt_conf {
    struct bytes rest; /* what has not been read yet */
    uint32_t line;     /* of what the last call returned, from 1 */
    size_t count;      /* of its words */
    struct opt_conf_word word[OPT_CONF_WORDS_MAX];
    char text[OPT_CONF_LINE_BYTES_MAX + OPT_CONF_WORDS_MAX + 2]; /* what they point into */
};

/* Begin to read `text`, which is borrowed. */
void opt_conf_init(struct opt_conf *conf, struct bytes text);
/* Read on to the next line that says something. A faulty line is skipped: the call after it returns
 * what follows. */
MUST_USE enum opt_conf_what opt_conf_next(struct opt_conf *conf);
