/* cli/stats.c — `matte stats`, `hotkeys` and `clients`: listings of a server, laid out.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "cli/cli_priv.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/link.h"

enum show { SHOW_GROUP, SHOW_ROW, SHOW_PART };

static const struct show_row {
    enum show show;
    const char *name;
    enum cli_unit unit;
    const char *part, *rest;
    bool rest_is_all;
} shown[] = {
#define GROUP(title)                    {.show = SHOW_GROUP, .name = (title)},
#define SHOW(name, unit)                {SHOW_ROW, name, CLI_UNIT_##unit, NULL, NULL, false},
#define SHOW_SHARE(title, part, rest)   {SHOW_PART, title, CLI_UNIT_SHARE, part, rest, false},
#define SHOW_QUOTIENT(title, part, all) {SHOW_PART, title, CLI_UNIT_SHARE, part, all, true},
#include "tbl/cli_stats.def"
};

/* ── text ─────────────────────────────────────────────────────────────────────────────────── */

static void line_print(const char *name, struct bytes value, enum cli_unit unit, int width)
{
    char text[CLI_CELL_BYTES];
    printf("  %-*s  %s\n", width, name, cli_value_format(text, value, unit));
}

static void part_print(const struct cli_rows *rows, const struct show_row *row, int width)
{
    const double part = cli_rows_real(rows, row->part), rest = cli_rows_real(rows, row->rest);
    const double all = row->rest_is_all ? rest : part + rest;
    if (all > 0)
        printf("  %-*s  %.1f %%\n", width, row->name, part * 100 / all);
}

/* The general statistics, in the groups of the table. `told` marks rows that were shown. */
static void groups_print(const struct cli_rows *rows, bool *told, int width)
{
    for (size_t i = 0; i < COUNT_OF(shown); i++) {
        if (shown[i].show == SHOW_GROUP)
            printf("%s%s\n", i > 0 ? "\n" : "", shown[i].name);
        if (shown[i].show == SHOW_PART)
            part_print(rows, &shown[i], width);
        const struct bytes *value =
            shown[i].show == SHOW_ROW ? cli_rows_find(rows, shown[i].name) : NULL;
        if (value == NULL)
            continue;
        line_print(shown[i].name, *value, shown[i].unit, width);
        for (size_t j = 0; j < rows->count; j++)
            told[j] = told[j] || &rows->at[j].value == value;
    }
}

static int name_width(const struct cli_rows *rows)
{
    size_t width = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->at[i].name.len > width)
            width = rows->at[i].name.len;
    return width > 60 ? 60 : (int)width;
}

/* The head of a name "HEAD:field", perhaps empty. */
static struct bytes head_of(struct bytes name)
{
    while (name.len > 0 && name.ptr[name.len - 1] != ':')
        name.len--;
    if (name.len > 0)
        name.len--;
    return name;
}

/* What is not told yet: names without a ':' below `title`, others below what stands before it. */
static void others_print(const struct cli_rows *rows, const bool *told, const char *title)
{
    const int width = name_width(rows);
    struct bytes last = bytes_of(NULL, SIZE_MAX);
    for (size_t i = 0; i < rows->count; i++) {
        if (told[i])
            continue;
        const struct bytes name = rows->at[i].name, head = head_of(name);
        char text[CLI_CELL_BYTES];
        if (last.len == SIZE_MAX || !bytes_equal(head, last)) {
            const char *start = i > 0 ? "\n" : "";
            if (head.len > 0)
                printf("%s%s\n", start, cli_text_format(text, sizeof(text), head));
            else if (title != NULL)
                printf("%s%s\n", start, title);
            else if (i > 0)
                fputc('\n', stdout);
        }
        last = head;
        const struct bytes field = head.len > 0 ? bytes_skip(name, head.len + 1) : name;
        line_print(cli_text_format(text, sizeof(text), field), rows->at[i].value,
                   cli_unit_of(field), width);
    }
}

static enum cli_exit rows_print(const struct cli_rows *rows, bool general)
{
    bool *told = calloc(rows->count + 1, sizeof(*told));
    if (told == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    if (general)
        groups_print(rows, told, name_width(rows));
    others_print(rows, told, general ? "Other" : NULL);
    free(told);
    return CLI_FINE;
}

static void rows_print_raw(const struct cli_rows *rows)
{
    char name[CLI_CELL_BYTES], value[4096];
    for (size_t i = 0; i < rows->count; i++)
        printf("%s %s\n", cli_text_format(name, sizeof(name), rows->at[i].name),
               cli_text_format(value, sizeof(value), rows->at[i].value));
}

static void rows_print_json(const struct cli_rows *rows)
{
    fputc('{', stdout);
    for (size_t i = 0; i < rows->count; i++) {
        fputs(i > 0 ? "," : "", stdout);
        cli_json_string(stdout, rows->at[i].name);
        fputc(':', stdout);
        cli_json_fact(stdout, rows->at[i].value);
    }
    fputs("}\n", stdout);
}

/* ── subcommands ──────────────────────────────────────────────────────────────────────────── */

/* Connect and ask for a listing. Whatever is returned: end with cli_rows_fini(). */
static enum cli_exit listing_get(const struct cli_args *args, const char *request,
                                 const char *unknown, struct cli_rows *rows)
{
    struct cli_link link;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = cli_link_rows(&link, request, unknown, rows);
    cli_link_close(&link);
    return code;
}

enum cli_exit cli_stats(const struct cli_args *args)
{
    char request[200] = "stats";
    size_t len = strlen(request);
    for (int i = 0; i < args->word_count; i++) {
        for (const char *at = args->words[i]; *at != '\0'; at++)
            if ((uint8_t)*at <= 0x20 || *at == 0x7f || len + strlen(at) + 4 > sizeof(request)) {
                cli_error("'%.40s' is not a group of statistics", args->words[i]);
                return CLI_USAGE;
            }
        len += (size_t)snprintf(request + len, sizeof(request) - len, " %s", args->words[i]);
    }
    snprintf(request + len, sizeof(request) - len, "\r\n");
    struct cli_rows rows = {0};
    enum cli_exit code = listing_get(args, request, "this server has no such group", &rows);
    if (code == CLI_FINE) {
        if (args->json)
            rows_print_json(&rows);
        else if (args->raw)
            rows_print_raw(&rows);
        else
            code = rows_print(&rows, args->word_count == 0);
    }
    cli_rows_fini(&rows);
    return code;
}

/* Print a table of the rows, or say that it is empty. */
static enum cli_exit grid_show(const struct cli_args *args, const struct cli_rows *rows,
                               const char *prefix, const char *id_title, const char *none)
{
    struct cli_grid grid;
    if (!cli_grid_of(rows, prefix, &grid)) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    if (args->json)
        cli_grid_json(stdout, &grid, id_title);
    else if (grid.line_count == 0)
        printf("%s\n", none);
    else
        cli_grid_print(stdout, &grid, id_title, args->raw);
    cli_grid_fini(&grid);
    return CLI_FINE;
}

enum cli_exit cli_hotkeys(const struct cli_args *args)
{
    struct cli_rows rows = {0};
    enum cli_exit code =
        listing_get(args, "stats hotkeys\r\n", "this server does not tell its hot keys", &rows);
    if (code == CLI_FINE) {
        fputs(args->json ? "{\"keys\":" : "", stdout);
        code = grid_show(args, &rows, "hot_key:", "", "No hot keys.");
        fputs(args->json ? ",\"prefixes\":" : "\n", stdout);
        if (code == CLI_FINE)
            code = grid_show(args, &rows, "hot_prefix:", "", "No hot prefixes.");
        fputs(args->json ? "}\n" : "", stdout);
    }
    cli_rows_fini(&rows);
    return code;
}

enum cli_exit cli_clients(const struct cli_args *args)
{
    struct cli_rows rows = {0};
    struct cli_link link;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = cli_link_rows(&link, "stats clients\r\n", NULL, &rows);
    if (code == CLI_NO && rows.count == 0) /* memcached knows them, but not what they do */
        code =
            cli_link_rows(&link, "stats conns\r\n", "this server does not tell its clients", &rows);
    if (code == CLI_FINE) {
        code = grid_show(args, &rows, "", "fd", "No clients.");
        fputs(args->json ? "\n" : "", stdout);
    }
    cli_link_close(&link);
    cli_rows_fini(&rows);
    return code;
}
