/* cli/editor.c — editing one line.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/editor.h"

#include <stdlib.h>

/* ── history ──────────────────────────────────────────────────────────────────────────────── */

void cli_history_add(struct cli_history *history, const char *line)
{
    if (history->count > 0 && strcmp(history->lines[history->count - 1], line) == 0)
        return;
    char *copy = strdup(line);
    if (copy == NULL)
        return;
    if (history->count == CLI_HISTORY_MAX) {
        free(history->lines[0]);
        memmove(history->lines, history->lines + 1, sizeof(char *) * (CLI_HISTORY_MAX - 1));
        history->count--;
    }
    history->lines[history->count++] = copy;
}

void cli_history_fini(struct cli_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        free(history->lines[i]);
    history->count = 0;
}

/* ── moving ───────────────────────────────────────────────────────────────────────────────── */

/* UTF-8: a byte that goes on with a character. */
static bool is_inside(char byte)
{
    return ((uint8_t)byte & 0xc0) == 0x80;
}

static size_t before(const struct cli_editor *editor, size_t at)
{
    while (at > 0 && is_inside(editor->line[--at]))
        continue;
    return at;
}

static size_t behind(const struct cli_editor *editor, size_t at)
{
    if (at < editor->len)
        at++;
    while (at < editor->len && is_inside(editor->line[at]))
        at++;
    return at;
}

static size_t word_before(const struct cli_editor *editor)
{
    size_t at = editor->at;
    while (at > 0 && editor->line[at - 1] == ' ')
        at--;
    while (at > 0 && editor->line[at - 1] != ' ')
        at--;
    return at;
}

static size_t word_behind(const struct cli_editor *editor)
{
    size_t at = editor->at;
    while (at < editor->len && editor->line[at] == ' ')
        at++;
    while (at < editor->len && editor->line[at] != ' ')
        at++;
    return at;
}

/* ── changing ─────────────────────────────────────────────────────────────────────────────── */

/* Take [from, to) out, and put the cursor there. */
static void take_out(struct cli_editor *editor, size_t from, size_t to)
{
    memmove(editor->line + from, editor->line + to, editor->len - to + 1);
    editor->len -= to - from;
    editor->at = from;
}

/* The same, to be put back. */
static void cut_out(struct cli_editor *editor, size_t from, size_t to)
{
    memcpy(editor->cut, editor->line + from, to - from);
    editor->cut[to - from] = '\0';
    take_out(editor, from, to);
}

void cli_editor_insert(struct cli_editor *editor, const char *text, size_t len)
{
    const size_t room = sizeof(editor->line) - 1 - editor->len;
    len = len > room ? room : len;
    memmove(editor->line + editor->at + len, editor->line + editor->at,
            editor->len - editor->at + 1);
    memcpy(editor->line + editor->at, text, len);
    editor->len += len;
    editor->at += len;
}

static void line_set(struct cli_editor *editor, const char *text)
{
    snprintf(editor->line, sizeof(editor->line), "%s", text);
    editor->len = editor->at = strlen(editor->line);
}

/* `by` -1: an older line, 1: a newer one. */
static void history_walk(struct cli_editor *editor, int by)
{
    const struct cli_history *history = editor->history;
    if (history == NULL || (by < 0 && editor->history_at == 0) ||
        (by > 0 && editor->history_at >= history->count))
        return;
    if (editor->history_at == history->count)
        memcpy(editor->typed, editor->line, sizeof(editor->typed));
    editor->history_at += (size_t)by;
    line_set(editor, editor->history_at == history->count ? editor->typed
                                                          : history->lines[editor->history_at]);
}

/* ── keys ─────────────────────────────────────────────────────────────────────────────────── */

/* A sequence "ESC [ digits final" is whole. */
static void sequence_take(struct cli_editor *editor, uint8_t final)
{
    const char number = editor->sequence_len > 0 ? editor->sequence[0] : '\0';
    const bool with_control = editor->sequence_len > 2 && editor->sequence[1] == ';';
    if (final == 'A')
        history_walk(editor, -1);
    else if (final == 'B')
        history_walk(editor, 1);
    else if (final == 'C')
        editor->at = with_control ? word_behind(editor) : behind(editor, editor->at);
    else if (final == 'D')
        editor->at = with_control ? word_before(editor) : before(editor, editor->at);
    else if (final == 'H' || (final == '~' && (number == '1' || number == '7')))
        editor->at = 0;
    else if (final == 'F' || (final == '~' && (number == '4' || number == '8')))
        editor->at = editor->len;
    else if (final == '~' && number == '3' && editor->at < editor->len)
        take_out(editor, editor->at, behind(editor, editor->at));
}

static void escaped_take(struct cli_editor *editor, uint8_t byte)
{
    if (editor->state == CLI_KEYS_ESCAPE) {
        editor->state = byte == '[' || byte == 'O' ? CLI_KEYS_SEQUENCE : CLI_KEYS_PLAIN;
        editor->sequence_len = 0;
        if (byte == 'b')
            editor->at = word_before(editor);
        else if (byte == 'f')
            editor->at = word_behind(editor);
        return;
    }
    if ((byte >= '0' && byte <= '9') || byte == ';') {
        if (editor->sequence_len < sizeof(editor->sequence))
            editor->sequence[editor->sequence_len++] = (char)byte;
        return;
    }
    editor->state = byte == 0x1b ? CLI_KEYS_ESCAPE : CLI_KEYS_PLAIN; /* it was cut: a new one */
    sequence_take(editor, byte);
}

#define CONTROL(letter) ((letter) - 'A' + 1)

/* Keys that change the line or the cursor. */
static void control_take(struct cli_editor *editor, uint8_t byte)
{
    switch (byte) {
    case CONTROL('A'):
        editor->at = 0;
        break;
    case CONTROL('B'):
        editor->at = before(editor, editor->at);
        break;
    case CONTROL('E'):
        editor->at = editor->len;
        break;
    case CONTROL('F'):
        editor->at = behind(editor, editor->at);
        break;
    case CONTROL('H'):
    case 0x7f:
        take_out(editor, before(editor, editor->at), editor->at);
        break;
    case CONTROL('K'):
        cut_out(editor, editor->at, editor->len);
        break;
    case CONTROL('N'):
        history_walk(editor, 1);
        break;
    case CONTROL('P'):
        history_walk(editor, -1);
        break;
    case CONTROL('U'):
        cut_out(editor, 0, editor->at);
        break;
    case CONTROL('W'):
        cut_out(editor, word_before(editor), editor->at);
        break;
    case CONTROL('Y'):
        cli_editor_insert(editor, editor->cut, strlen(editor->cut));
        break;
    case 0x1b:
        editor->state = CLI_KEYS_ESCAPE;
        break;
    }
}

enum cli_edit cli_editor_take(struct cli_editor *editor, uint8_t byte)
{
    if (editor->state != CLI_KEYS_PLAIN) {
        escaped_take(editor, byte);
        return CLI_EDIT_MORE;
    }
    switch (byte) {
    case '\r':
    case '\n':
        return CLI_EDIT_LINE;
    case CONTROL('C'):
        return CLI_EDIT_BREAK;
    case CONTROL('D'):
        if (editor->len == 0)
            return CLI_EDIT_END;
        take_out(editor, editor->at, behind(editor, editor->at));
        return CLI_EDIT_MORE;
    case '\t':
        return CLI_EDIT_COMPLETE;
    case CONTROL('L'):
        return CLI_EDIT_CLEAR;
    case CONTROL('Z'):
        return CLI_EDIT_SUSPEND;
    }
    if (byte < 0x20 || byte == 0x7f)
        control_take(editor, byte);
    else
        cli_editor_insert(editor, (const char *)&byte, 1);
    return CLI_EDIT_MORE;
}

void cli_editor_start(struct cli_editor *editor, const struct cli_history *history)
{
    editor->line[0] = '\0';
    editor->len = editor->at = 0;
    editor->history = history;
    editor->history_at = history == NULL ? 0 : history->count;
    editor->state = CLI_KEYS_PLAIN;
}

/* ── drawing ──────────────────────────────────────────────────────────────────────────────── */

/* Columns of a text: one for each character. */
static int columns_of(const char *text, size_t len)
{
    int columns = 0;
    for (size_t i = 0; i < len; i++)
        columns += !is_inside(text[i]);
    return columns;
}

void cli_editor_draw(FILE *file, const struct cli_editor *editor, const char *prompt, int columns)
{
    const int start = columns_of(prompt, strlen(prompt));
    const int room = columns - start - 1 > 8 ? columns - start - 1 : 8;
    size_t first = 0, end = editor->len;
    while (columns_of(editor->line + first, editor->at - first) > room)
        first = behind(editor, first);
    while (columns_of(editor->line + first, end - first) > room)
        end = before(editor, end);
    fprintf(file, "\r%s%.*s\x1b[K\r", prompt, (int)(end - first), editor->line + first);
    const int at = start + columns_of(editor->line + first, editor->at - first);
    if (at > 0)
        fprintf(file, "\x1b[%dC", at);
}
