/* bench/args.c — see args.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "args.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const struct args_row *rows, const char *program)
{
    printf("usage: %s [--name value]...\n", program);
    for (; rows->name != NULL; rows++)
        printf("  --%-14s %s\n", rows->name, rows->help);
}

static const struct args_row *row_find(const struct args_row *rows, const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return NULL;
    for (; rows->name != NULL; rows++)
        if (strcmp(rows->name, word + 2) == 0)
            return rows;
    return NULL;
}

static bool row_set(const struct args_row *row, void *target, const char *text)
{
    void *field = (char *)target + row->offset;
    uint64_t count;
    double real;
    char *end;
    switch (row->kind) {
    case ARGS_COUNT:
        if (!num_parse_u64(bytes_str(text), (uint64_t)row->max, &count) || (double)count < row->min)
            return false;
        *(uint64_t *)field = count;
        return true;
    case ARGS_REAL:
        real = strtod(text, &end);
        if (end == text || *end != '\0' || !(real >= row->min && real <= row->max))
            return false;
        *(double *)field = real;
        return true;
    case ARGS_TEXT:
        *(const char **)field = text;
        return true;
    case ARGS_SIZES:
        return dist_sizes_parse(field, text);
    }
    return false;
}

void args_parse(const struct args_row *rows, void *target, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(rows, argv[0]);
            exit(0);
        }
        const struct args_row *row = row_find(rows, argv[i]);
        if (row == NULL || i + 1 == argc) {
            fprintf(stderr, "%s: %s %s\n", argv[0], row == NULL ? "unknown" : "no value for",
                    argv[i]);
            exit(1);
        }
        if (!row_set(row, target, argv[i + 1])) {
            fprintf(stderr, "%s: bad value \"%s\" for --%s: %s", argv[0], argv[i + 1], row->name,
                    row->help);
            if (row->kind == ARGS_COUNT || row->kind == ARGS_REAL)
                fprintf(stderr, " (%g..%g)", row->min, row->max);
            fputc('\n', stderr);
            exit(1);
        }
    }
}
