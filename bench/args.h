/* bench/args.h — the command line of a bench program: "--name value" pairs from a table of rows.
 *
 * Includes: base, dist.  Included by: the bench programs.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "dist.h"

#include <stddef.h>

enum args_kind {
    ARGS_COUNT, /* uint64_t */
    ARGS_REAL,  /* double */
    ARGS_TEXT,  /* const char * */
    ARGS_SIZES, /* struct dist_sizes */
};

struct args_row {
    const char *name;
    enum args_kind kind;
    size_t offset; /* of the field in the program's own struct */
    double min, max;
    const char *help;
};

/* Read argv into the fields of `target`, which holds the defaults. `rows` ends with a NULL name.
 * Prints what was wrong and exits with 1, or the help and exits with 0. */
void args_parse(const struct args_row *rows, void *target, int argc, char **argv);
