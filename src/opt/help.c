/* opt/help.c — what -h, -V and a refusal print; made from the rows of tbl/options.def.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <opt/license.h> /* made from the file LICENSE */
#include <stdio.h>

#include "opt/opt_priv.h"

#ifndef MATTE_VERSION
#define MATTE_VERSION "unversioned"
#endif

#define OPT_VERSION_LINE "memcached " OPT_MEMCACHED_VERSION " (matted " MATTE_VERSION ")"

enum { COLUMNS = 80, HELP_COLUMN = 30 };

/* Print `text` at column `at`, broken between words, continued at column `indent`. */
static void wrapped_print(FILE *file, const char *text, int at, int indent)
{
    for (const char *blank = ""; *text != '\0'; blank = " ") {
        const int len = (int)strcspn(text, " ");
        if (at + len + 1 > COLUMNS) {
            fprintf(file, "\n%*s", indent, "");
            at = indent;
            blank = "";
        }
        at += fprintf(file, "%s%.*s", blank, len, text);
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

const char *opt_value_word(const struct opt_row *row)
{
    switch (row->kind) {
    case OPT_KIND_NONE:
        return row->letter == 'o' ? "LIST" : NULL;
    case OPT_KIND_REPEAT:
    case OPT_KIND_FLAG:
    case OPT_KIND_SWITCH:
        return NULL;
    case OPT_KIND_PORT:
    case OPT_KIND_COUNT:
    case OPT_KIND_LEVEL:
    case OPT_KIND_REAL:
        return "N";
    case OPT_KIND_OCTAL:
        return "MODE";
    case OPT_KIND_SIZE:
        return "SIZE";
    case OPT_KIND_RATE:
    case OPT_KIND_RATE_SIZE:
        return "RATE";
    case OPT_KIND_SIZE_KIB:
        return "KIB";
    case OPT_KIND_SIZE_MIB:
    case OPT_KIND_MEMORY:
        return "MIB";
    case OPT_KIND_CHAR:
        return "C";
    case OPT_KIND_LIST:
    case OPT_KIND_TEXTS:
        return "LIST";
    case OPT_KIND_TEXT:
        return "NAME";
    case OPT_KIND_CHOICE:
        return row->dflt;
    }
    return NULL;
}

static void name_format(char *dst, size_t cap, const struct opt_row *row)
{
    const char *word = opt_value_word(row);
    const bool sub = row->type == OPT_ROW_SUB || row->type == OPT_ROW_PRESET;
    if (sub)
        snprintf(dst, cap, "  %s%s%s%s", row->kind == OPT_KIND_SWITCH ? "[no_]" : "", row->name,
                 word != NULL ? "=" : "", word != NULL ? word : "");
    else if (row->letter == '\0')
        snprintf(dst, cap, "      --%s%s%s", row->name, word != NULL ? "=" : "",
                 word != NULL ? word : "");
    else if (row->name[0] == '\0')
        snprintf(dst, cap, "  -%c %s", row->letter, word != NULL ? word : "");
    else
        snprintf(dst, cap, "  -%c, --%s%s%s", row->letter, row->name, word != NULL ? "=" : "",
                 word != NULL ? word : "");
}

static void row_print(FILE *file, const struct opt_row *row)
{
    char name[96], help[512];
    name_format(name, sizeof(name), row);
    const bool has_default = row->type != OPT_ROW_PRESET && row->kind != OPT_KIND_CHOICE &&
                             opt_value_word(row) != NULL && row->dflt != NULL &&
                             row->dflt[0] != '\0';
    if (row->kind == OPT_KIND_SWITCH)
        snprintf(help, sizeof(help), "%s [%s]", row->help, row->dflt[0] == '1' ? "on" : "off");
    else if (has_default)
        snprintf(help, sizeof(help), "%s [%s]", row->help, row->dflt);
    else
        snprintf(help, sizeof(help), "%s", row->help);
    const int width = (int)strlen(name);
    if (width < HELP_COLUMN)
        fprintf(file, "%s%*s", name, HELP_COLUMN - width, "");
    else
        fprintf(file, "%s\n%*s", name, HELP_COLUMN, "");
    wrapped_print(file, help, HELP_COLUMN, HELP_COLUMN);
}

/* The names of all options without effect, as one paragraph. */
static void inert_print(FILE *file)
{
    char names[2048] = "", name[96];
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        if (row->when != OPT_WHEN_INERT)
            continue;
        if (row->type == OPT_ROW_OPT)
            snprintf(name, sizeof(name), "-%c", row->letter);
        else
            snprintf(name, sizeof(name), "%s%s", row->kind == OPT_KIND_SWITCH ? "[no_]" : "",
                     row->name);
        const size_t len = strlen(names);
        snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? " " : "", name);
    }
    fputs("\nAccepted for compatibility, checked and shown by `stats settings`, but without\n"
          "effect, because the engine has no such mechanism:\n  ",
          file);
    wrapped_print(file, names, 2, 2);
}

bool opt_group_has_effect(const struct opt_row *group)
{
    for (const struct opt_row *row = group + 1;
         row < opt_rows + opt_row_count && row->type != OPT_ROW_GROUP; row++)
        if (row->when != OPT_WHEN_INERT && row->type != OPT_ROW_PRESET &&
            row->type != OPT_ROW_ABSENT)
            return true;
    return false;
}

void opt_print_help(FILE *file)
{
    fputs("Usage: matted [options]\n"
          "A cache server that speaks memcached's protocol. Without options it serves\n"
          "127.0.0.1:11211 from 64 MiB. Defaults stand in [brackets].\n",
          file);
    bool shown = true;
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        if (row->type == OPT_ROW_GROUP) {
            shown = opt_group_has_effect(row);
            if (shown)
                fprintf(file, "\n%s\n", row->name);
        } else if (shown && row->type != OPT_ROW_ABSENT && row->when != OPT_WHEN_INERT &&
                   row->help[0] != '\0') {
            row_print(file, row);
        }
    }
    inert_print(file);
    fputs("\nExamples\n"
          "  matted -m 1024                          1 GiB, for programs of this machine\n"
          "  matted -d -u nobody -P /run/matted.pid  in the background, as nobody\n"
          "  matted -l 127.0.0.1,10.0.0.5 -c 4096    also on an inner network\n"
          "  matted -s /run/matted.sock -a 770       by unix socket only\n"
          "  matted -o idle_timeout=60,track_sizes   with sub-options\n"
          "  matted --config=/etc/memcached.conf     with the file of Debian's memcached\n",
          file);
}

static void license_print(void)
{
    fputs(OPT_VERSION_LINE
          "\n\n" OPT_LICENSE_TEXT "\n"
          "The program contains parts of the header of xxHash (BSD 2-Clause License,\n"
          "Copyright (c) 2012-2021, Yann Collet), and uses the system's C library and\n"
          "OpenSSL (Apache License 2.0).\n",
          stdout);
}

int opt_report(const struct opt_result *result)
{
    switch (result->action) {
    case OPT_RUN:
        break;
    case OPT_HELP:
        opt_print_help(stdout);
        break;
    case OPT_LICENSE:
        license_print();
        break;
    case OPT_VERSION:
        fputs(OPT_VERSION_LINE "\n", stdout);
        break;
    case OPT_REFUSED:
        fprintf(stderr, "matted: %s\n", result->text);
        break;
    }
    return result->exit_code;
}
