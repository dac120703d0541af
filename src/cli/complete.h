/* cli/complete.h — what a word at the prompt may go on with.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_CANDIDATES_MAX = 96, CLI_CANDIDATE_BYTES = 48 };

struct cli_candidates {
    char at[CLI_CANDIDATES_MAX][CLI_CANDIDATE_BYTES];
    size_t count;
    size_t word_len; /* bytes of the word before the cursor that they begin with */
    size_t common;   /* bytes that all of them begin with */
};

/* What the last word of `line` (up to the cursor) may be: the first a subcommand, a word of the
 * prompt or of the protocol; later ones options of the subcommand, or what `help` tells of. */
void cli_complete(struct bytes line, struct cli_candidates *ret_candidates);

/* Words of the text protocol that are not subcommands, NULL at the end. */
extern const char *const cli_protocol_words[];
