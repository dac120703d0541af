/* cli/history.h — the file of the prompt's history.
 *
 * $XDG_STATE_HOME/matte/history, or ~/.local/state/matte/history: for its owner alone. What is a
 * value, and so may be a password, never gets here: the caller sees to that.
 *
 * Includes: base.  Included by: cli.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/editor.h"

struct cli_history_file {
    char path[4096]; /* "": there is none */
};

/* Find the file, make its folders, and read what it has. Nobody needs to have a home: then there is
 * no file. */
void cli_history_open(struct cli_history_file *file, struct cli_history *history);
void cli_history_append(const struct cli_history_file *file, const char *line);
