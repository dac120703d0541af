/* stat/manual.c — the statistics as a manual page tells them; made from the rows of tbl/stats.def.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/attr.h"
#include "base/scdoc.h"
#include "stat/stat.h"

enum kind { COUNTER, GAUGE, COMPUTED, ABSENT };

static const struct row {
    enum kind kind;
    const char *name, *help;
} rows[] = {
#define STAT(id, kind, when, name, family, labels, help) {kind, name, help},
#include "tbl/stats.def"
#undef STAT
};

void stat_print_manual(FILE *file)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].kind == ABSENT || rows[i].name[0] == '\0')
            continue;
        fputc('*', file);
        scdoc_put(file, rows[i].name);
        fputs("*\n\t", file);
        scdoc_put(file, rows[i].help);
        fputs("\n\n", file);
    }
    fputs("Always 0, because the engine has no such mechanism:\n\n", file);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].kind != ABSENT)
            continue;
        fputc('*', file);
        scdoc_put(file, rows[i].name);
        fputs("* ", file);
    }
    fputs("\n\n", file);
}
