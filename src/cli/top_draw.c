/* cli/top_draw.c — the picture of `matte top`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>

#include "cli/human.h"
#include "cli/top.h"

/* A frame under way. A line is put together piece by piece, and never wider than the screen. */
struct canvas {
    FILE *file;
    const struct cli_top_screen *screen;
    int line, column;
};

enum { NAME_COLUMNS = 21 };

static bool is_full(const struct canvas *canvas)
{
    return canvas->screen->lines > 0 && canvas->line >= canvas->screen->lines;
}

static void put(struct canvas *canvas, const char *format, ...) PRINTF_LIKE(2, 3);

/* Printable ASCII, cut at the edge. */
static void put(struct canvas *canvas, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const int room = canvas->screen->columns - canvas->column;
    len = len >= (int)sizeof(text) ? (int)sizeof(text) - 1 : len;
    len = len > room ? room : len;
    if (len <= 0 || is_full(canvas))
        return;
    fwrite(text, 1, (size_t)len, canvas->file);
    canvas->column += len;
}

static void style(const struct canvas *canvas, const char *code)
{
    if (canvas->screen->colors && !is_full(canvas))
        fprintf(canvas->file, "\x1b[%sm", code);
}

static void line_end(struct canvas *canvas)
{
    if (!is_full(canvas))
        fputc('\n', canvas->file);
    canvas->line++;
    canvas->column = 0;
}

/* ── sparklines ───────────────────────────────────────────────────────────────────────────── */

/* The newest `width` values of a series; `top` is the full height, 0: the highest of them. */
static void spark(struct canvas *canvas, const struct cli_top_server *server,
                  enum cli_top_series series, double top, int width)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const plain[] = {" ", ".", ".", ":", "-", "=", "+", "*", "#"};
    const int room = canvas->screen->columns - canvas->column;
    width = width > room ? room : width;
    width = width > CLI_TOP_HISTORY ? CLI_TOP_HISTORY : width;
    if (width <= 0 || is_full(canvas))
        return;
    const double *values = server->history[series];
    const size_t count = server->history_count;
    for (size_t i = 0; top <= 0 && i < (size_t)width && i < count; i++) {
        const double value = values[(count - 1 - i) % CLI_TOP_HISTORY];
        top = value > top ? value : top;
    }
    for (int i = width - 1; i >= 0; i--) {
        const bool there = (size_t)i < count && (size_t)i < CLI_TOP_HISTORY;
        const double value = there ? values[(count - 1 - (size_t)i) % CLI_TOP_HISTORY] : -1;
        int height = top > 0 && value >= 0 ? (int)(value / top * 7 + 0.5) + 1 : value >= 0 ? 1 : 0;
        height = height > 8 ? 8 : height;
        fputs((canvas->screen->utf8 ? blocks : plain)[height], canvas->file);
    }
    canvas->column += width;
}

/* ── figures ──────────────────────────────────────────────────────────────────────────────── */

static const char *short_or_dash(char text[CLI_HUMAN_BYTES], double value)
{
    return value < 0 ? "-" : cli_human_short(text, value);
}

static const char *us_or_dash(char text[CLI_HUMAN_BYTES], double value)
{
    return value < 0 ? "-" : cli_human_us(text, value);
}

static const char *bytes_or_dash(char text[CLI_HUMAN_BYTES], double value)
{
    return value < 0 ? "-" : cli_human_bytes(text, value);
}

static const char *percent_or_dash(char text[CLI_HUMAN_BYTES], double share)
{
    if (share < 0)
        return "-";
    snprintf(text, CLI_HUMAN_BYTES, "%.1f %%", share * 100);
    return text;
}

/* ── one server ───────────────────────────────────────────────────────────────────────────── */

static void row(struct canvas *canvas, const struct cli_top_server *server, const char *title,
                const char *value, enum cli_top_series series)
{
    put(canvas, "  %-13s", title);
    style(canvas, "1");
    put(canvas, "%-27s", value);
    style(canvas, "0;36");
    const double top = series == CLI_TOP_HITS ? 1
                       : series == CLI_TOP_MEMORY && server->last.limit_bytes > 0
                           ? server->last.limit_bytes
                           : 0;
    spark(canvas, server, series, top, canvas->screen->columns - canvas->column - 1);
    style(canvas, "0");
    line_end(canvas);
}

static void hot_draw(struct canvas *canvas, const struct cli_top_server *server)
{
    char text[CLI_HUMAN_BYTES], share[CLI_HUMAN_BYTES];
    if (server->hot_count == 0)
        return;
    line_end(canvas);
    style(canvas, "4");
    put(canvas, "  %10s  %8s  %s", "ops/s", "share", "hot key");
    style(canvas, "0");
    line_end(canvas);
    for (size_t i = 0; i < server->hot_count && !is_full(canvas); i++) {
        put(canvas, "  %10s  %8s  %s", cli_human_short(text, server->hot[i].ops_per_s),
            percent_or_dash(share, server->hot[i].share), server->hot[i].key);
        line_end(canvas);
    }
}

static void one_draw(struct canvas *canvas, const struct cli_top_server *server)
{
    char text[CLI_HUMAN_BYTES], more[CLI_HUMAN_BYTES], value[2 * CLI_HUMAN_BYTES + 8];
    const double *now = server->now;
    put(canvas, "  version %s, up %s, %s items", server->version,
        cli_human_seconds(text, (uint64_t)server->last.uptime_s),
        cli_human_count(more, (uint64_t)server->last.items));
    line_end(canvas);
    line_end(canvas);
    row(canvas, server, "ops/s", short_or_dash(text, now[CLI_TOP_OPS]), CLI_TOP_OPS);
    row(canvas, server, "hit ratio", percent_or_dash(text, now[CLI_TOP_HITS]), CLI_TOP_HITS);
    snprintf(value, sizeof(value), "%s / %s", us_or_dash(text, server->p50_us),
             us_or_dash(more, now[CLI_TOP_P99]));
    row(canvas, server, server->server_times ? "p50 / p99" : "answers in",
        server->server_times ? value : us_or_dash(text, now[CLI_TOP_P99]), CLI_TOP_P99);
    snprintf(value, sizeof(value), "%s of %s", bytes_or_dash(text, now[CLI_TOP_MEMORY]),
             cli_human_bytes(more, server->last.limit_bytes));
    row(canvas, server, "memory", value, CLI_TOP_MEMORY);
    row(canvas, server, "evictions/s", short_or_dash(text, now[CLI_TOP_EVICTIONS]),
        CLI_TOP_EVICTIONS);
    snprintf(value, sizeof(value), "%s of %s", short_or_dash(text, now[CLI_TOP_CONNECTIONS]),
             cli_human_count(more, (uint64_t)server->last.connections_max));
    row(canvas, server, "connections", value, CLI_TOP_CONNECTIONS);
    row(canvas, server, "in/s", bytes_or_dash(text, now[CLI_TOP_IN]), CLI_TOP_IN);
    row(canvas, server, "out/s", bytes_or_dash(text, now[CLI_TOP_OUT]), CLI_TOP_OUT);
    hot_draw(canvas, server);
}

static void fault_draw(struct canvas *canvas, const struct cli_top_server *server)
{
    style(canvas, "31");
    put(canvas, "  %s", server->fault);
    style(canvas, "0");
    line_end(canvas);
}

/* ── several ──────────────────────────────────────────────────────────────────────────────── */

static void table_draw(struct canvas *canvas, const struct cli_top_server *servers, size_t count)
{
    style(canvas, "4");
    put(canvas, "%-*s %6s %7s %8s %9s %7s %6s  %s", NAME_COLUMNS, "server", "ops/s", "hits", "p99",
        "memory", "evict/s", "conns", "ops/s");
    style(canvas, "0");
    line_end(canvas);
    for (size_t i = 0; i < count; i++) {
        const struct cli_top_server *server = &servers[i];
        const double *now = server->now;
        char a[CLI_HUMAN_BYTES], b[CLI_HUMAN_BYTES], c[CLI_HUMAN_BYTES];
        put(canvas, "%-*.*s", NAME_COLUMNS, NAME_COLUMNS, server->name);
        if (server->fault[0] != '\0') {
            fault_draw(canvas, server);
            continue;
        }
        put(canvas, " %6s %7s %8s", short_or_dash(a, now[CLI_TOP_OPS]),
            percent_or_dash(b, now[CLI_TOP_HITS]), us_or_dash(c, now[CLI_TOP_P99]));
        put(canvas, " %9s %7s %6s  ", bytes_or_dash(a, now[CLI_TOP_MEMORY]),
            short_or_dash(b, now[CLI_TOP_EVICTIONS]), short_or_dash(c, now[CLI_TOP_CONNECTIONS]));
        style(canvas, "36");
        spark(canvas, server, CLI_TOP_OPS, 0, canvas->screen->columns - canvas->column - 1);
        style(canvas, "0");
        line_end(canvas);
    }
}

void cli_top_draw(FILE *file, const struct cli_top_server *servers, size_t count,
                  const struct cli_top_screen *screen)
{
    struct canvas canvas = {.file = file, .screen = screen};
    style(&canvas, "7");
    put(&canvas, "%-*s", screen->columns - 10, count == 1 ? servers[0].name : "matte top");
    put(&canvas, "%9s ", screen->clock);
    style(&canvas, "0");
    line_end(&canvas);
    if (count > 1)
        table_draw(&canvas, servers, count);
    else if (servers[0].fault[0] != '\0')
        fault_draw(&canvas, &servers[0]);
    else
        one_draw(&canvas, &servers[0]);
}
