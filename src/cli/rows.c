/* cli/rows.c — listings of a server.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/rows.h"

#include <stdlib.h>

#include "cli/human.h"
#include "cli/json.h"
#include "cli/reply.h"

/* ── rows ─────────────────────────────────────────────────────────────────────────────────── */

void cli_rows_fini(struct cli_rows *rows)
{
    free(rows->at);
    free(rows->text);
    *rows = (struct cli_rows){0};
}

/* Make `block` of *cap elements larger than `count`. Returns it, or NULL when memory ran out: it is
 * then as it was. */
static void *grow(void *block, size_t *cap, size_t count, size_t bytes_each)
{
    if (count <= *cap)
        return block;
    size_t more = *cap == 0 ? 64 : *cap;
    while (more < count)
        more *= 2;
    void *grown = realloc(block, more * bytes_each);
    if (grown != NULL)
        *cap = more;
    return grown;
}

bool cli_rows_add(struct cli_rows *rows, struct bytes name, struct bytes value)
{
    const size_t bytes = rows->text_bytes + name.len + value.len;
    if (rows->count == CLI_ROWS_MAX || bytes > CLI_ROWS_BYTES_MAX)
        return false;
    struct cli_row *at = grow(rows->at, &rows->cap, rows->count + 1, sizeof(*at));
    if (at == NULL)
        return false;
    rows->at = at;
    uint8_t *text = grow(rows->text, &rows->text_cap, bytes + 1, 1);
    if (text == NULL)
        return false;
    rows->text = text;
    /* The text may move: what it points to is known by its length until cli_rows_done(). */
    rows->at[rows->count++] =
        (struct cli_row){.name = bytes_of(NULL, name.len), .value = bytes_of(NULL, value.len)};
    if (name.len > 0)
        memcpy(rows->text + rows->text_bytes, name.ptr, name.len);
    if (value.len > 0)
        memcpy(rows->text + rows->text_bytes + name.len, value.ptr, value.len);
    rows->text_bytes = bytes;
    return true;
}

void cli_rows_done(struct cli_rows *rows)
{
    const uint8_t *at = rows->text;
    for (size_t i = 0; i < rows->count; i++) {
        rows->at[i].name.ptr = at;
        at += rows->at[i].name.len;
        rows->at[i].value.ptr = at;
        at += rows->at[i].value.len;
    }
}

const struct bytes *cli_rows_find(const struct cli_rows *rows, const char *name)
{
    const struct bytes wanted = bytes_str(name);
    for (size_t i = 0; i < rows->count; i++)
        if (bytes_equal(rows->at[i].name, wanted))
            return &rows->at[i].value;
    return NULL;
}

double cli_rows_real(const struct cli_rows *rows, const char *name)
{
    const struct bytes *value = cli_rows_find(rows, name);
    double real = 0;
    return value != NULL && cli_real_parse(*value, &real) ? real : 0;
}

/* ── values ───────────────────────────────────────────────────────────────────────────────── */

enum cli_unit cli_unit_of(struct bytes name)
{
    static const struct {
        const char *end;
        enum cli_unit unit;
    } ends[] = {
        {"_us", CLI_UNIT_US},      {"bytes", CLI_UNIT_BYTES},
        {"_s", CLI_UNIT_SECONDS},  {"share", CLI_UNIT_SHARE},
        {"ratio", CLI_UNIT_SHARE}, {"bytes_read", CLI_UNIT_BYTES},
        {"per_s", CLI_UNIT_COUNT}, {"requests", CLI_UNIT_COUNT},
        {"count", CLI_UNIT_COUNT}, {"bytes_written", CLI_UNIT_BYTES},
    };
    enum cli_unit unit = CLI_UNIT_TEXT;
    size_t longest = 0;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        const struct bytes end = bytes_str(ends[i].end);
        if (end.len <= longest || name.len < end.len ||
            !bytes_equal(bytes_skip(name, name.len - end.len), end))
            continue;
        longest = end.len;
        unit = ends[i].unit;
    }
    return unit;
}

static const char *number_format(char text[CLI_HUMAN_BYTES], double value, enum cli_unit unit)
{
    switch (unit) {
    case CLI_UNIT_TEXT:
        return NULL;
    case CLI_UNIT_COUNT:
        if (value > 0 && value < 1000 && value != (double)(uint64_t)value) {
            snprintf(text, CLI_HUMAN_BYTES, "%.1f", value);
            return text;
        }
        return cli_human_count(text, (uint64_t)(value + 0.5));
    case CLI_UNIT_BYTES:
        return cli_human_bytes(text, value);
    case CLI_UNIT_SECONDS:
        return cli_human_seconds(text, (uint64_t)value);
    case CLI_UNIT_US:
        return cli_human_us(text, value);
    case CLI_UNIT_TIME:
        return cli_human_time(text, (uint64_t)value);
    case CLI_UNIT_SHARE:
        snprintf(text, CLI_HUMAN_BYTES, "%.1f %%", value * 100);
        return text;
    }
    return NULL;
}

char *cli_value_format(char dst[CLI_CELL_BYTES], struct bytes value, enum cli_unit unit)
{
    char text[CLI_HUMAN_BYTES];
    double real;
    const char *human = NULL;
    if (cli_real_parse(value, &real) && real >= 0 && real < 18e18)
        human = number_format(text, real, unit);
    if (human == NULL)
        return cli_text_format(dst, CLI_CELL_BYTES, value);
    snprintf(dst, CLI_CELL_BYTES, "%s", human);
    return dst;
}

void cli_json_fact(FILE *file, struct bytes value)
{
    if (cli_is_json_number(value))
        fwrite(value.ptr, 1, value.len, file);
    else
        cli_json_string(file, value);
}

/* ── tables ───────────────────────────────────────────────────────────────────────────────── */

/* The column of `field`, made when there is none; 0: there are too many. */
static size_t column_of(struct cli_grid *grid, struct bytes field)
{
    for (size_t i = 1; i < grid->column_count; i++)
        if (bytes_equal(grid->columns[i], field))
            return i;
    if (grid->column_count == CLI_GRID_COLUMNS_MAX)
        return 0;
    grid->columns[grid->column_count] = field;
    return grid->column_count++;
}

static struct bytes *line_at(const struct cli_grid *grid, size_t line)
{
    return &grid->cells[line * CLI_GRID_COLUMNS_MAX];
}

/* The line of `id`, which is the last one or a new one: a server tells of one after the other. */
static struct bytes *line_of(struct cli_grid *grid, struct bytes id)
{
    if (grid->line_count > 0 && bytes_equal(line_at(grid, grid->line_count - 1)[0], id))
        return line_at(grid, grid->line_count - 1);
    struct bytes *cells = grow(grid->cells, &grid->line_cap, grid->line_count + 1,
                               sizeof(struct bytes) * CLI_GRID_COLUMNS_MAX);
    if (cells == NULL)
        return NULL;
    grid->cells = cells;
    struct bytes *line = line_at(grid, grid->line_count++);
    memset(line, 0, sizeof(struct bytes) * CLI_GRID_COLUMNS_MAX);
    line[0] = id;
    return line;
}

bool cli_grid_of(const struct cli_rows *rows, const char *prefix, struct cli_grid *ret_grid)
{
    *ret_grid = (struct cli_grid){.column_count = 1};
    const struct bytes start = bytes_str(prefix);
    for (size_t i = 0; i < rows->count; i++) {
        struct bytes field = rows->at[i].name;
        bool more;
        if (!bytes_starts(field, start))
            continue;
        field = bytes_skip(field, start.len);
        const struct bytes id = bytes_part_take(&field, ':', &more);
        const size_t column = more && field.len > 0 ? column_of(ret_grid, field) : 0;
        if (column == 0)
            continue;
        struct bytes *line = line_of(ret_grid, id);
        if (line == NULL) {
            cli_grid_fini(ret_grid);
            return false;
        }
        line[column] = rows->at[i].value;
    }
    return true;
}

void cli_grid_fini(struct cli_grid *grid)
{
    free(grid->cells);
    *grid = (struct cli_grid){0};
}

static char *cell_format(char dst[CLI_CELL_BYTES], const struct cli_grid *grid, size_t line,
                         size_t column, bool raw)
{
    const enum cli_unit unit = raw ? CLI_UNIT_TEXT : cli_unit_of(grid->columns[column]);
    return cli_value_format(dst, line_at(grid, line)[column], unit);
}

/* A column of figures stands to the right. */
static bool is_number(const struct cli_grid *grid, size_t column)
{
    double value;
    for (size_t i = 0; i < grid->line_count; i++)
        if (line_at(grid, i)[column].len > 0 && !cli_real_parse(line_at(grid, i)[column], &value))
            return false;
    return true;
}

void cli_grid_print(FILE *file, const struct cli_grid *grid, const char *id_title, bool raw)
{
    const size_t first = id_title[0] == '\0' ? 1 : 0;
    int widths[CLI_GRID_COLUMNS_MAX] = {0};
    bool right[CLI_GRID_COLUMNS_MAX];
    char text[CLI_CELL_BYTES];
    for (size_t column = first; column < grid->column_count; column++) {
        cli_text_format(text, sizeof(text),
                        column == 0 ? bytes_str(id_title) : grid->columns[column]);
        widths[column] = (int)strlen(text);
        right[column] = is_number(grid, column);
        for (size_t line = 0; line < grid->line_count; line++) {
            const int len = (int)strlen(cell_format(text, grid, line, column, raw));
            widths[column] = len > widths[column] ? len : widths[column];
        }
    }
    for (size_t line = 0; line <= grid->line_count; line++) {
        for (size_t column = first; column < grid->column_count; column++) {
            const bool is_last = column + 1 == grid->column_count;
            if (line == 0)
                cli_text_format(text, sizeof(text),
                                column == 0 ? bytes_str(id_title) : grid->columns[column]);
            else
                cell_format(text, grid, line - 1, column, raw);
            const int width = is_last && !right[column] ? 0 : widths[column];
            fprintf(file, "%s%*s", column > first ? "  " : "", right[column] ? width : -width,
                    text);
        }
        fputc('\n', file);
    }
}

void cli_grid_json(FILE *file, const struct cli_grid *grid, const char *id_title)
{
    fputc('[', file);
    for (size_t line = 0; line < grid->line_count; line++) {
        fputs(line > 0 ? ",{" : "{", file);
        bool any = false;
        for (size_t column = 0; column < grid->column_count; column++) {
            const struct bytes value = line_at(grid, line)[column];
            if (value.ptr == NULL || (column == 0 && id_title[0] == '\0'))
                continue;
            fputs(any ? "," : "", file);
            cli_json_string(file, column == 0 ? bytes_str(id_title) : grid->columns[column]);
            fputc(':', file);
            cli_json_fact(file, value);
            any = true;
        }
        fputc('}', file);
    }
    fputc(']', file);
}
