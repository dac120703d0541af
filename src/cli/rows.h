/* cli/rows.h — a listing of a server (STAT or CONFIG lines up to END): reading it, finding names in
 * it, and laying it out as a table.
 *
 * Includes: base.  Included by: cli and its tests.
 * Memory:   copies of the rows on the heap: CLI_ROWS_BYTES_MAX and CLI_ROWS_MAX at most.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_ROWS_MAX = 1 << 20, CLI_ROWS_BYTES_MAX = 64 << 20 };

struct cli_row {
    struct bytes name, value;
};

struct cli_rows {
    struct cli_row *at; /* valid after cli_rows_done() */
    size_t count, cap;
    uint8_t *text;
    size_t text_bytes, text_cap;
};

void cli_rows_fini(struct cli_rows *rows); /* of a zeroed struct, too; it may be used again */
/* Copy a row. Returns false when there are too many, or no memory. */
MUST_USE bool cli_rows_add(struct cli_rows *rows, struct bytes name, struct bytes value);
/* No more rows come. */
void cli_rows_done(struct cli_rows *rows);
/* The value of `name`, or NULL. */
const struct bytes *cli_rows_find(const struct cli_rows *rows, const char *name);
/* The same as a number; 0 when it is not there, or is none. */
double cli_rows_real(const struct cli_rows *rows, const char *name);

/* ── tables: of names ID:FIELD, a line per ID and a column per FIELD ──────────────────────── */

enum { CLI_GRID_COLUMNS_MAX = 32 };

struct cli_grid {
    struct bytes columns[CLI_GRID_COLUMNS_MAX]; /* the first is that of the ids, without a name */
    size_t column_count;
    struct bytes *cells; /* line by line, CLI_GRID_COLUMNS_MAX each */
    size_t line_count, line_cap;
};

/* Make a table of the rows whose names begin with `prefix` (perhaps nothing): behind it stand the
 * id, a ':' and the field. Names of another form are left out. Returns false when memory ran out.
 * Owns: cli_grid_fini(); the cells point into `rows`. */
MUST_USE bool cli_grid_of(const struct cli_rows *rows, const char *prefix,
                          struct cli_grid *ret_grid);
void cli_grid_fini(struct cli_grid *grid);
/* Print it with its columns aligned, figures as people read them unless `raw`; the first column has
 * `id_title` ("": it is left out). */
void cli_grid_print(FILE *file, const struct cli_grid *grid, const char *id_title, bool raw);
/* An array of objects; the id is the member `id_title`. */
void cli_grid_json(FILE *file, const struct cli_grid *grid, const char *id_title);

/* ── values ───────────────────────────────────────────────────────────────────────────────── */

enum cli_unit {
    CLI_UNIT_TEXT, /* as it is */
    CLI_UNIT_COUNT,
    CLI_UNIT_BYTES,
    CLI_UNIT_SECONDS,
    CLI_UNIT_US,
    CLI_UNIT_TIME,
    CLI_UNIT_SHARE, /* of 1, shown in percent */
};

/* What the end of a name says about its value. */
enum cli_unit cli_unit_of(struct bytes name);

enum { CLI_CELL_BYTES = 300 };
/* `value` as people read it; printable. Returns dst. */
char *cli_value_format(char dst[CLI_CELL_BYTES], struct bytes value, enum cli_unit unit);
/* A number as it is, all else as a string. */
void cli_json_fact(FILE *file, struct bytes value);
