/* cli/shell.c — `matte shell`: a prompt for subcommands and for lines of the protocol.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#include "cli/complete.h"
#include "cli/history.h"
#include "cli/leave.h"
#include "cli/line.h"
#include "cli/link.h"

enum { VALUE_BYTES_MAX = 1 << 20 }; /* that is typed */

struct shell {
    struct cli_args defaults; /* of each subcommand: the server, the login */
    struct cli_link link;     /* of raw lines */
    bool is_open;
    bool is_terminal;
    struct cli_editor editor;
    struct cli_history history;
    struct cli_history_file file;
    char prompt[CLI_PEER_TEXT_BYTES + 4];
};

/* ── lines in ─────────────────────────────────────────────────────────────────────────────── */

static int columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void candidates_print(const struct cli_candidates *candidates)
{
    const int each = CLI_CANDIDATE_BYTES / 2, in_line = columns() / each > 0 ? columns() / each : 1;
    fputc('\n', stdout);
    for (size_t i = 0; i < candidates->count; i++)
        printf("%-*s%s", each, candidates->at[i],
               (i + 1) % (size_t)in_line == 0 || i + 1 == candidates->count ? "\n" : "");
}

static void complete(struct cli_editor *editor)
{
    struct cli_candidates candidates;
    cli_complete(bytes_of(editor->line, editor->at), &candidates);
    if (candidates.count == 0)
        return;
    const char *first = candidates.at[0];
    if (candidates.common > candidates.word_len)
        cli_editor_insert(editor, first + candidates.word_len,
                          candidates.common - candidates.word_len);
    else if (candidates.count > 1)
        candidates_print(&candidates);
    if (candidates.count == 1 && first[candidates.common - 1] != '=')
        cli_editor_insert(editor, " ", 1);
}

/* A line from the terminal, in shell->editor.line. Returns false at the end. */
static bool line_edit(struct shell *shell, const char *prompt, bool with_history)
{
    struct cli_editor *editor = &shell->editor;
    cli_editor_start(editor, with_history ? &shell->history : NULL);
    if (!cli_leave_raw("", "\n"))
        return false;
    for (;;) {
        uint8_t byte;
        cli_editor_draw(stdout, editor, prompt, columns());
        (void)fflush(stdout);
        const ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0 && errno == EINTR)
            continue;
        const enum cli_edit edit = got <= 0 ? CLI_EDIT_END : cli_editor_take(editor, byte);
        if (edit == CLI_EDIT_COMPLETE && with_history)
            complete(editor);
        if (edit == CLI_EDIT_CLEAR)
            fputs("\x1b[H\x1b[2J", stdout);
        if (edit == CLI_EDIT_BREAK)
            cli_editor_start(editor, editor->history);
        if (edit == CLI_EDIT_SUSPEND) {
            cli_leave_cooked();
            (void)raise(SIGTSTP);
            if (!cli_leave_raw("", "\n"))
                return false;
        }
        if (edit == CLI_EDIT_LINE || edit == CLI_EDIT_END) {
            editor->at = editor->len;
            cli_editor_draw(stdout, editor, prompt, columns());
            (void)fflush(stdout);
            cli_leave_cooked();
            return edit == CLI_EDIT_LINE;
        }
    }
}

/* The next line, without its end. Returns false at the end of the input. */
static bool line_read(struct shell *shell, const char *prompt, bool with_history)
{
    if (shell->is_terminal)
        return line_edit(shell, prompt, with_history);
    struct cli_editor *editor = &shell->editor;
    if (fgets(editor->line, sizeof(editor->line), stdin) == NULL)
        return false;
    editor->len = strcspn(editor->line, "\r\n");
    editor->line[editor->len] = '\0';
    return true;
}

/* ── lines of the protocol ────────────────────────────────────────────────────────────────── */

/* Bytes of a server, printable. */
static void bytes_print(struct bytes bytes)
{
    enum { PIECE = 256 };
    char text[4 * PIECE + 8];
    while (bytes.len > 0) {
        const size_t len = bytes.len < PIECE ? bytes.len : PIECE;
        fputs(cli_text_format(text, sizeof(text), bytes_of(bytes.ptr, len)), stdout);
        bytes = bytes_skip(bytes, len);
    }
    fputc('\n', stdout);
}

static void reply_print(const struct cli_reply *reply)
{
    bytes_print(reply->line);
    if (reply->kind == CLI_REPLY_VALUE || reply->kind == CLI_REPLY_VA)
        bytes_print(reply->value);
}

static bool is_error(const struct cli_reply *reply)
{
    return reply->kind == CLI_REPLY_ERROR || reply->kind == CLI_REPLY_CLIENT_ERROR ||
           reply->kind == CLI_REPLY_SERVER_ERROR;
}

static bool is_last(enum cli_line_kind kind, const struct cli_reply *reply)
{
    switch (kind) {
    case CLI_LINE_ONE:
        return true;
    case CLI_LINE_LIST:
        return is_error(reply) || reply->kind == CLI_REPLY_END || reply->kind == CLI_REPLY_OK ||
               reply->kind == CLI_REPLY_OTHER;
    case CLI_LINE_DUMP:
        return is_error(reply) || reply->kind == CLI_REPLY_END || reply->kind == CLI_REPLY_EN;
    case CLI_LINE_SILENT:
        return reply->kind == CLI_REPLY_MN;
    case CLI_LINE_STREAM:
    case CLI_LINE_BYE:
        return is_error(reply);
    }
    return true;
}

/* Wait until the server has something to say. Returns false when the user has: Enter ends it. */
static bool stream_wait(const struct shell *shell)
{
    const struct cli_conn *conn = &shell->link.conn;
    if (cli_conn_input(conn).len > shell->link.used)
        return true;
    struct pollfd polls[2] = {{.fd = conn->fd, .events = POLLIN},
                              {.fd = shell->is_terminal ? STDIN_FILENO : -1, .events = POLLIN}};
    (void)fflush(stdout);
    while (poll(polls, 2, -1) < 0 && errno == EINTR)
        continue;
    char byte;
    if (polls[1].revents == 0)
        return true;
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        continue;
    return false;
}

static void link_close(struct shell *shell)
{
    if (shell->is_open)
        cli_link_close(&shell->link);
    shell->is_open = false;
}

static enum cli_exit answer_print(struct shell *shell, enum cli_line_kind kind)
{
    for (;;) {
        struct cli_reply reply;
        if (kind == CLI_LINE_STREAM && !stream_wait(shell)) {
            link_close(shell); /* it would go on and on */
            return CLI_FINE;
        }
        cli_link_extend(&shell->link);
        const enum cli_exit code = cli_link_reply(&shell->link, &reply);
        if (code != CLI_FINE) {
            link_close(shell);
            return code;
        }
        const bool last = is_last(kind, &reply);
        if (!last || kind != CLI_LINE_SILENT)
            reply_print(&reply);
        if (last)
            return is_error(&reply) ? CLI_NO : CLI_FINE;
    }
}

/* Send and show what comes of it. */
static enum cli_exit raw_ask(struct shell *shell, struct bytes request, enum cli_line_kind kind)
{
    enum cli_exit code = CLI_FINE;
    if (!shell->is_open) {
        code = cli_link_open(&shell->link, &shell->defaults);
        shell->is_open = true;
    }
    if (code == CLI_FINE)
        code = cli_link_ask(&shell->link, request, CLI_ASK_WRITES);
    if (code == CLI_FINE && kind == CLI_LINE_SILENT) /* a question behind it that is answered */
        code = cli_link_ask(&shell->link, bytes_str("mn\r\n"), CLI_ASK_READS);
    if (code != CLI_FINE || kind == CLI_LINE_BYE) {
        link_close(shell);
        return code;
    }
    if (kind == CLI_LINE_STREAM && shell->is_terminal)
        puts("(Enter ends it.)");
    return answer_print(shell, kind);
}

/* Have the data block of a store typed, of as many lines as it takes. Values are not remembered. */
static enum cli_exit value_ask(struct shell *shell, const char *text, const struct cli_line *line)
{
    if (line->value_bytes > VALUE_BYTES_MAX) {
        cli_error("a value that is typed has %d bytes at most", VALUE_BYTES_MAX);
        return CLI_USAGE;
    }
    const size_t head = strlen(text) + 2, wanted = head + (size_t)line->value_bytes;
    char *request = malloc(wanted + CLI_EDITOR_BYTES + 4);
    if (request == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    size_t len = (size_t)sprintf(request, "%s\r\n", text);
    enum cli_exit code = CLI_USAGE;
    while (line_read(shell, "value> ", false)) {
        memcpy(request + len, shell->editor.line, shell->editor.len);
        len += shell->editor.len;
        memcpy(request + len, "\r\n", 2);
        len += 2;
        explicit_bzero(shell->editor.line, sizeof(shell->editor.line));
        if (len < wanted + 2)
            continue;
        if (len == wanted + 2)
            code = raw_ask(shell, bytes_of(request, len), line->kind);
        else
            cli_error("that is %zu bytes, not %llu; nothing was sent", len - 2 - head,
                      (unsigned long long)line->value_bytes);
        break;
    }
    explicit_bzero(request, len);
    free(request);
    return code;
}

/* ── lines of the prompt ──────────────────────────────────────────────────────────────────── */

static void help_print(void)
{
    puts("A line is a subcommand with its options, as behind `matte`; with quotes as in a shell.\n"
         "Anything else is sent to the server as it is, and its answer shown:\n"
         "  mg key v t f      ms key 5 T60      lru_crawler metadump all      watch fetchers\n"
         "  set key 0 60 5    (all four numbers: as the protocol has it; the value is asked for)\n"
         "  raw LINE          send LINE, though it begins with the name of a subcommand\n"
         "  help SUBCOMMAND   what there is to say about one\n"
         "  exit, quit        leave; so does Ctrl-D\n"
         "Tab completes; lines that begin with a blank are not remembered.\n");
    cli_help_print(stdout);
}

/* Returns false to leave. */
static bool line_run(struct shell *shell, const char *text, enum cli_exit *ret_code)
{
    char copy[CLI_EDITOR_BYTES], *words[CLI_LINE_WORDS_MAX + 1];
    const char *fault = NULL;
    while (*text == ' ' || *text == '\t')
        text++;
    snprintf(copy, sizeof(copy), "%s", text);
    int count = text[0] == '#' ? 0 : cli_line_split(copy, words, &fault);
    if (count < 0) {
        cli_error("%s", fault);
        *ret_code = CLI_USAGE;
        return true;
    }
    *ret_code = CLI_FINE;
    if (count == 0)
        return true;
    if (strcmp(words[0], "exit") == 0 || (strcmp(words[0], "quit") == 0 && count == 1))
        return false;
    const bool raw = strcmp(words[0], "raw") == 0 && count > 1;
    if (raw)
        text += strcspn(text, " \t") + strspn(text + strcspn(text, " \t"), " \t");
    const struct cli_line line = cli_line_of(words + raw, count - raw);
    const struct cli_command *command = raw || line.has_value ? NULL : cli_command_find(words[0]);
    if (command != NULL && command->run == cli_shell) {
        cli_error("this is the shell");
        *ret_code = CLI_USAGE;
    } else if (command != NULL && command->run == cli_help && count == 1) {
        help_print();
    } else if (command != NULL) {
        *ret_code = cli_command_run(command, &shell->defaults, count - 1, words + 1);
    } else if (line.has_value) {
        char head[CLI_EDITOR_BYTES];
        snprintf(head, sizeof(head), "%s", text);
        *ret_code = value_ask(shell, head, &line);
    } else {
        char request[CLI_EDITOR_BYTES + 2];
        const int len = snprintf(request, sizeof(request), "%s\r\n", text);
        *ret_code = raw_ask(shell, bytes_of(request, (size_t)len), line.kind);
    }
    return true;
}

/* The subcommands get what this one was told about server and login. */
static bool shell_open(struct shell *shell, const struct cli_args *args)
{
    shell->defaults = *args;
    shell->defaults.words = NULL;
    shell->defaults.in_shell = true;
    shell->defaults.server = cli_server_word(args);
    if (shell->defaults.server == NULL)
        return false;
    shell->is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    char name[CLI_PEER_TEXT_BYTES];
    cli_text_format(name, sizeof(name), bytes_str(shell->defaults.server));
    snprintf(shell->prompt, sizeof(shell->prompt), "%s> ", name);
    if (shell->is_terminal)
        cli_history_open(&shell->file, &shell->history);
    return true;
}

enum cli_exit cli_shell(const struct cli_args *args)
{
    struct shell *shell = calloc(1, sizeof(*shell));
    if (shell == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    shell->link.conn.fd = -1;
    enum cli_exit worst = CLI_FINE, code = CLI_FINE;
    if (!shell_open(shell, args))
        worst = CLI_USAGE;
    else if (shell->is_terminal)
        printf("matte %s; `help` tells what can be typed, Ctrl-D leaves.\n", MATTE_VERSION);
    while (worst != CLI_USAGE && line_read(shell, shell->prompt, true)) {
        char line[CLI_EDITOR_BYTES];
        snprintf(line, sizeof(line), "%s", shell->editor.line);
        if (shell->is_terminal && line[0] != ' ' && line[strspn(line, " \t")] != '\0') {
            cli_history_add(&shell->history, line);
            cli_history_append(&shell->file, line);
        }
        const bool more = line_run(shell, line, &code);
        (void)fflush(stdout);
        worst = code > worst && !shell->is_terminal ? code : worst;
        if (!more)
            break;
        worst = worst == CLI_USAGE ? CLI_FAILED : worst; /* the others are run, too */
    }
    link_close(shell);
    cli_history_fini(&shell->history);
    free(shell);
    return worst;
}
