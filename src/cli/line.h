/* cli/line.h — a line that was typed at the prompt of `matte shell`: its words, and what of the
 * protocol it is.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_LINE_WORDS_MAX = 128 };

/* Cut `line` into words, as a shell does: '...' takes all as it is, "..." all but \, and a \ the
 * next byte. The words lie in `line`, which is changed, and stay as long as it. Returns how many
 * there are, or -1 with what is wrong in *ret_fault. */
int cli_line_split(char *line, char *words[CLI_LINE_WORDS_MAX], const char **ret_fault);

/* When the answer to a line of the protocol is whole. */
enum cli_line_kind {
    CLI_LINE_ONE,    /* with one reply */
    CLI_LINE_LIST,   /* with END, or something that is wrong */
    CLI_LINE_DUMP,   /* likewise, and OK is not the end */
    CLI_LINE_SILENT, /* there may be none: `noreply`, or q of a meta command */
    CLI_LINE_STREAM, /* never: watch */
    CLI_LINE_BYE,    /* the connection closes */
};

struct cli_line {
    enum cli_line_kind kind;
    bool has_value; /* a data block follows */
    uint64_t value_bytes;
};

/* What the line with these words is; `count` > 0. */
struct cli_line cli_line_of(char *const *words, int count);
