/* cli/editor.h — editing one line: what each byte of the keyboard does to it, and how it is drawn.
 *
 * Our own, since it is short: the usual keys of readline for one line, which scrolls sideways when
 * the terminal is narrow. No library, so `matte` needs nothing more than it did.
 *
 * Includes: base.  Included by: cli and its tests.  Pure: no terminal.
 * Memory:   fixed, but for the history.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_EDITOR_BYTES = 4096, CLI_HISTORY_MAX = 1000 };

/* Lines of before, the oldest first. */
struct cli_history {
    char *lines[CLI_HISTORY_MAX];
    size_t count;
};

/* Remember a line, unless it is the last one again. */
void cli_history_add(struct cli_history *history, const char *line);
void cli_history_fini(struct cli_history *history);

enum cli_edit {
    CLI_EDIT_MORE,
    CLI_EDIT_LINE,     /* Enter: it is in `line` */
    CLI_EDIT_END,      /* Ctrl-D on an empty line */
    CLI_EDIT_BREAK,    /* Ctrl-C */
    CLI_EDIT_COMPLETE, /* Tab */
    CLI_EDIT_CLEAR,    /* Ctrl-L */
    CLI_EDIT_SUSPEND,  /* Ctrl-Z */
};

struct cli_editor {
    char line[CLI_EDITOR_BYTES];  /* with its NUL */
    size_t len, at;               /* bytes; the cursor */
    char cut[CLI_EDITOR_BYTES];   /* Ctrl-K, U, W; Ctrl-Y puts it back */
    char typed[CLI_EDITOR_BYTES]; /* what was there before the history */
    const struct cli_history *history;
    size_t history_at; /* history->count: the line of now */
    enum { CLI_KEYS_PLAIN, CLI_KEYS_ESCAPE, CLI_KEYS_SEQUENCE } state;
    char sequence[8]; /* behind ESC [ or ESC O */
    size_t sequence_len;
};

/* Begin an empty line. `history` may be NULL; it stays the caller's. */
void cli_editor_start(struct cli_editor *editor, const struct cli_history *history);
MUST_USE enum cli_edit cli_editor_take(struct cli_editor *editor, uint8_t byte);
/* Put `text` in at the cursor, as far as there is room. */
void cli_editor_insert(struct cli_editor *editor, const char *text, size_t len);
/* Draw prompt and line from the first column on, and put the cursor to its place. */
void cli_editor_draw(FILE *file, const struct cli_editor *editor, const char *prompt, int columns);
