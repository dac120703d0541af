/* cli/top.c — `matte top`: asking the servers, and the terminal.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/leave.h"
#include "cli/link.h"

enum {
    RETRY_NS_PART = 1000000000, /* a server that is down is asked again after 5 of these */
    RETRIES = 5,
    TIMEOUT_MS = 1000, /* unless --timeout says something: one that hangs holds up the others */
    KEY_CTRL_C = 3,
    KEY_CTRL_L = 12,
    KEY_CTRL_Z = 26,
};

struct top {
    struct cli_args args[CLI_TOP_SERVERS_MAX];
    struct cli_link links[CLI_TOP_SERVERS_MAX];
    bool open[CLI_TOP_SERVERS_MAX];
    bool no_latency[CLI_TOP_SERVERS_MAX], no_hot[CLI_TOP_SERVERS_MAX]; /* it does not know them */
    uint64_t retry_ns[CLI_TOP_SERVERS_MAX];
    struct cli_top_server servers[CLI_TOP_SERVERS_MAX];
    size_t count;
    struct cli_top_screen screen;
};

/* ── asking ───────────────────────────────────────────────────────────────────────────────── */

/* A listing that not every server has. */
static enum cli_exit extra_ask(struct cli_link *link, const char *request, bool *unknown,
                               struct cli_rows *rows)
{
    if (*unknown)
        return CLI_FINE;
    const enum cli_exit code = cli_link_rows(link, request, NULL, rows);
    *unknown = code == CLI_NO;
    if (code == CLI_NO)
        cli_rows_fini(rows);
    return code == CLI_NO ? CLI_FINE : code;
}

static enum cli_exit server_ask(struct top *top, size_t i)
{
    struct cli_top_look look = {0};
    enum cli_exit code = CLI_FINE;
    if (!top->open[i]) {
        code = cli_link_open(&top->links[i], &top->args[i]);
        top->open[i] = true;
    }
    const uint64_t start_ns = clock_mono_ns();
    if (code == CLI_FINE)
        code = cli_link_rows(&top->links[i], "stats\r\n", "it does not know `stats`", &look.stats);
    look.at_ns = clock_mono_ns();
    look.asked_us = (double)(look.at_ns - start_ns) / 1000;
    if (code == CLI_FINE)
        code = extra_ask(&top->links[i], "stats latency\r\n", &top->no_latency[i], &look.latency);
    if (code == CLI_FINE)
        code = extra_ask(&top->links[i], "stats hotkeys\r\n", &top->no_hot[i], &look.hot);
    if (code == CLI_FINE)
        cli_top_take(&top->servers[i], &look);
    cli_rows_fini(&look.stats);
    cli_rows_fini(&look.latency);
    cli_rows_fini(&look.hot);
    return code;
}

static void server_close(struct top *top, size_t i)
{
    if (top->open[i])
        cli_link_close(&top->links[i]);
    top->open[i] = top->no_latency[i] = top->no_hot[i] = false;
}

/* Ask all of them. Returns how many answered. */
static size_t round_run(struct top *top)
{
    size_t up = 0;
    for (size_t i = 0; i < top->count; i++) {
        struct cli_top_server *server = &top->servers[i];
        if (clock_mono_ns() < top->retry_ns[i])
            continue;
        char fault[sizeof(server->fault)];
        cli_error_catch(fault, sizeof(fault));
        const enum cli_exit code = server_ask(top, i);
        cli_error_catch(NULL, 0);
        if (code == CLI_FINE) {
            up++;
            continue;
        }
        snprintf(server->fault, sizeof(server->fault), "%s", fault);
        server->samples = 0; /* rates begin anew */
        server_close(top, i);
        top->retry_ns[i] = clock_mono_ns() + RETRIES * (uint64_t)RETRY_NS_PART;
    }
    return up;
}

/* ── the terminal ─────────────────────────────────────────────────────────────────────────── */

static bool is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

static void screen_look(struct top *top)
{
    struct winsize size;
    top->screen.columns = 80;
    top->screen.lines = 0;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        top->screen.columns = size.ws_col;
        top->screen.lines = size.ws_row;
    }
    const time_t now = time(NULL);
    struct tm tm;
    if (localtime_r(&now, &tm) != NULL)
        (void)strftime(top->screen.clock, sizeof(top->screen.clock), "%H:%M:%S", &tm);
}

/* A whole frame by one write, so that it does not flicker: each line ends by clearing its rest. */
static void frame_draw(struct top *top)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    if (file == NULL)
        return;
    screen_look(top);
    cli_top_draw(file, top->servers, top->count, &top->screen);
    if (fclose(file) != 0)
        return;
    fputs("\x1b[H", stdout);
    for (const char *at = text; *at != '\0';) {
        const size_t line = strcspn(at, "\n");
        fwrite(at, 1, line, stdout);
        fputs("\x1b[K", stdout);
        at += line;
        if (*at == '\n' && *++at != '\0')
            fputc('\n', stdout);
    }
    fputs("\x1b[J", stdout);
    (void)fflush(stdout);
    free(text);
}

static const char enter[] = "\x1b[?1049h\x1b[?25l"; /* another screen, no cursor */
static const char leave[] = "\x1b[?25h\x1b[?1049l";

static void on_resize(int number)
{
    (void)number; /* poll() ends, and a frame is drawn */
}

/* What a key asks for. Returns false to quit. */
static bool key_take(struct top *top, char key)
{
    if (key == KEY_CTRL_Z) {
        cli_leave_cooked();
        (void)raise(SIGTSTP);
        if (!cli_leave_raw(enter, leave))
            return false;
    }
    if (key == KEY_CTRL_L || key == KEY_CTRL_Z)
        frame_draw(top);
    return key != 'q' && key != 'Q' && key != KEY_CTRL_C;
}

/* Wait for the next round. Returns false to quit. */
static bool interval_wait(struct top *top, uint64_t next_ns)
{
    for (;;) {
        const uint64_t now_ns = clock_mono_ns();
        if (now_ns >= next_ns)
            return true;
        struct pollfd poll_fd = {.fd = STDIN_FILENO, .events = POLLIN};
        const int rc = poll(&poll_fd, 1, (int)((next_ns - now_ns) / 1000000) + 1);
        if (rc < 0 && errno == EINTR)
            frame_draw(top);
        if (rc <= 0)
            continue;
        char key;
        if (read(STDIN_FILENO, &key, 1) != 1 || !key_take(top, key))
            return false;
    }
}

static enum cli_exit live_run(struct top *top, uint64_t interval_ns)
{
    const struct sigaction resize = {.sa_handler = on_resize}; /* no SA_RESTART */
    (void)sigaction(SIGWINCH, &resize, NULL);
    if (!cli_leave_raw(enter, leave)) {
        cli_error("top: standard input is no terminal");
        return CLI_FAILED;
    }
    uint64_t next_ns = clock_mono_ns();
    do {
        (void)round_run(top);
        frame_draw(top);
        next_ns += interval_ns;
        const uint64_t now_ns = clock_mono_ns();
        next_ns = next_ns < now_ns ? now_ns : next_ns; /* what was missed is not made up for */
    } while (interval_wait(top, next_ns));
    cli_leave_cooked();
    return CLI_FINE;
}

/* ── without a terminal ───────────────────────────────────────────────────────────────────── */

static void json_print(const struct top *top)
{
    fputc('[', stdout);
    for (size_t i = 0; i < top->count; i++) {
        fputs(i > 0 ? "," : "", stdout);
        cli_top_json(stdout, &top->servers[i]);
    }
    fputs("]\n", stdout);
    (void)fflush(stdout);
}

static enum cli_exit plain_run(struct top *top, const struct cli_args *args)
{
    const struct timespec pause = {.tv_sec = (time_t)(args->top_interval_ms / 1000),
                                   .tv_nsec = (long)(args->top_interval_ms % 1000) * 1000000};
    size_t up = round_run(top);
    do {
        (void)nanosleep(&pause, NULL);
        up = round_run(top);
        if (args->json) {
            json_print(top);
        } else {
            screen_look(top);
            top->screen.lines = 0;
            cli_top_draw(stdout, top->servers, top->count, &top->screen);
        }
    } while (!args->once && !ferror(stdout));
    return up == top->count ? CLI_FINE : CLI_FAILED;
}

enum cli_exit cli_top(const struct cli_args *args)
{
    const bool live = !args->once && !args->json;
    if (live && !isatty(STDOUT_FILENO)) {
        cli_error("top: standard output is no terminal; --once prints one frame");
        return CLI_USAGE;
    }
    if (args->word_count > 0 && (args->given & CLI_SERVER) != 0) {
        cli_error("top: the servers are named twice");
        return CLI_USAGE;
    }
    struct top *top = calloc(1, sizeof(*top));
    if (top == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    top->count = args->word_count > 0 ? (size_t)args->word_count : 1;
    top->screen.utf8 = is_utf8();
    top->screen.colors = live && getenv("NO_COLOR") == NULL;
    for (size_t i = 0; i < top->count; i++) {
        top->args[i] = *args;
        top->args[i].server = args->word_count > 0 ? args->words[i] : args->server;
        if ((args->given & CLI_TIMEOUT) == 0)
            top->args[i].timeout_ms = TIMEOUT_MS;
        struct cli_top_server *server = &top->servers[i];
        cli_text_format(server->name, sizeof(server->name), bytes_str(top->args[i].server));
    }
    const enum cli_exit code =
        live ? live_run(top, args->top_interval_ms * 1000000) : plain_run(top, args);
    for (size_t i = 0; i < top->count; i++)
        server_close(top, i);
    free(top);
    return code;
}
