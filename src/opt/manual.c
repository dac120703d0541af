/* opt/manual.c — the options as a manual page tells them; made from the rows of tbl/options.def.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "base/scdoc.h"
#include "opt/opt_priv.h"

static void name_print(FILE *file, const struct opt_row *row)
{
    const bool sub = row->type == OPT_ROW_SUB || row->type == OPT_ROW_PRESET;
    const char *word = row->kind == OPT_KIND_CHOICE ? row->dflt : opt_value_word(row);
    if (row->letter != '\0' && !sub)
        fprintf(file, "*-%c*%s", row->letter, row->name[0] != '\0' ? ", " : "");
    if (row->name[0] != '\0') {
        fputs(sub ? "*-o* *" : "*--", file);
        if (row->kind == OPT_KIND_SWITCH)
            scdoc_put(file, "[no_]");
        scdoc_put(file, row->name);
        fputc('*', file);
    }
    if (word != NULL) {
        fputs(row->name[0] != '\0' ? "=_" : " _", file);
        scdoc_put(file, word);
        fputc('_', file);
    }
    fputc('\n', file);
}

/* As in the help: nothing where there is none, or the words of a choice tell it. */
static void default_print(FILE *file, const struct opt_row *row)
{
    if (row->type == OPT_ROW_PRESET || row->dflt == NULL || row->dflt[0] == '\0')
        return;
    if (row->kind == OPT_KIND_SWITCH) {
        fputs(row->dflt[0] == '1' ? " On by default." : " Off by default.", file);
    } else if (row->kind != OPT_KIND_CHOICE && opt_value_word(row) != NULL) {
        fputs(" Default: ", file);
        scdoc_put(file, row->dflt);
        fputc('.', file);
    }
}

static void row_print(FILE *file, const struct opt_row *row)
{
    name_print(file, row);
    fputc('\t', file);
    scdoc_put(file, row->help);
    fputc('.', file);
    default_print(file, row);
    fputs("\n\n", file);
}

static void inert_print(FILE *file)
{
    fputs("## Accepted without effect\n\n"
          "For compatibility; checked, and shown by *stats settings*, but the engine has no such "
          "mechanism:\n\n",
          file);
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        if (row->when != OPT_WHEN_INERT)
            continue;
        if (row->type == OPT_ROW_OPT) {
            fprintf(file, "*-%c* ", row->letter);
            continue;
        }
        fputc('*', file);
        scdoc_put(file, row->name);
        fputs("* ", file);
    }
    fputs("\n\n", file);
}

void opt_print_manual(FILE *file)
{
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        if (row->type == OPT_ROW_ABSENT || row->when == OPT_WHEN_INERT)
            continue;
        if (row->type != OPT_ROW_GROUP) {
            row_print(file, row);
        } else if (opt_group_has_effect(row)) {
            fprintf(file, "## %s\n\n", row->name); /* a heading knows no marks */
        }
    }
    inert_print(file);
}
