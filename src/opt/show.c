/* opt/show.c — options as text again: one by one, as a file, and as documents.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "opt/opt_priv.h"

/* ── one option ───────────────────────────────────────────────────────────────────────────── */

size_t opt_count(void)
{
    return opt_row_count;
}

bool opt_is_option(size_t row)
{
    return opt_row_is_setting(&opt_rows[row]) && opt_rows[row].help[0] != '\0';
}

enum opt_when opt_when_of(size_t row)
{
    return opt_rows[row].when;
}

size_t opt_row_at(size_t offset)
{
    for (size_t i = 0; i < opt_row_count; i++)
        if ((opt_rows[i].type == OPT_ROW_OPT || opt_rows[i].type == OPT_ROW_SUB) &&
            opt_rows[i].offset == offset)
            return i;
    return 0; /* of no field: never */
}

bool opt_find(struct bytes name, size_t *ret_row)
{
    for (size_t i = 0; i < opt_row_count; i++)
        if (opt_is_option(i) && opt_name_means(&opt_rows[i], name)) {
            *ret_row = i;
            return true;
        }
    return false;
}

void opt_name_format(size_t row, char ret_name[OPT_NAME_BYTES])
{
    const char *name = opt_rows[row].name[0] != '\0' ? opt_rows[row].name : opt_rows[row].field;
    (void)snprintf(ret_name, OPT_NAME_BYTES, "%s", name);
    for (char *at = ret_name; (at = strchr(at, '-')) != NULL;)
        *at = '_';
}

/* With the largest suffix that leaves it whole. */
static int size_format(char *dst, size_t cap, uint64_t bytes)
{
    static const char suffixes[] = "kmg";
    unsigned power = 0;
    while (power < 3 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        power++;
    }
    return snprintf(dst, cap, "%llu%.1s", (unsigned long long)bytes,
                    power > 0 ? &suffixes[power - 1] : "");
}

static void rate_format(char *dst, size_t cap, const struct opt_row *row,
                        const struct opt_rate *rate)
{
    if (row->kind == OPT_KIND_RATE) {
        (void)snprintf(dst, cap, rate->per_s != 0 ? "%u:%u" : "%u", rate->per_s, rate->burst);
        return;
    }
    int len = size_format(dst, cap, rate->per_s);
    if (rate->per_s == 0)
        return;
    dst[len++] = ':';
    (void)size_format(dst + len, cap - (size_t)len, rate->burst);
}

/* As bare text; "" for a text that was not given. */
static void plain_format(const struct opts *opts, const struct opt_row *row, char *dst, size_t cap)
{
    const void *field = (const char *)opts + row->offset;
    const char *text;
    switch (row->kind) {
    case OPT_KIND_NONE:
        dst[0] = '\0';
        break;
    case OPT_KIND_PORT:
        (void)snprintf(dst, cap, "%d", *(const int32_t *)field);
        break;
    case OPT_KIND_COUNT:
    case OPT_KIND_LEVEL:
    case OPT_KIND_REPEAT:
        (void)snprintf(dst, cap, "%u", *(const uint32_t *)field);
        break;
    case OPT_KIND_OCTAL:
        (void)snprintf(dst, cap, "%o", *(const uint32_t *)field);
        break;
    case OPT_KIND_SIZE:
        (void)size_format(dst, cap, *(const uint64_t *)field);
        break;
    case OPT_KIND_SIZE_KIB:
        (void)snprintf(dst, cap, "%llu", (unsigned long long)*(const uint64_t *)field >> 10);
        break;
    case OPT_KIND_SIZE_MIB:
    case OPT_KIND_MEMORY:
        (void)snprintf(dst, cap, "%llu", (unsigned long long)*(const uint64_t *)field >> 20);
        break;
    case OPT_KIND_REAL:
        (void)snprintf(dst, cap, "%.10g", *(const double *)field);
        break;
    case OPT_KIND_RATE:
    case OPT_KIND_RATE_SIZE:
        rate_format(dst, cap, row, field);
        break;
    case OPT_KIND_FLAG:
    case OPT_KIND_SWITCH:
        (void)snprintf(dst, cap, "%s", *(const bool *)field ? "yes" : "no");
        break;
    case OPT_KIND_CHAR:
        (void)snprintf(dst, cap, "%c", *(const char *)field);
        break;
    case OPT_KIND_TEXT:
    case OPT_KIND_LIST:
    case OPT_KIND_TEXTS:
    case OPT_KIND_CHOICE:
        text = *(char *const *)field;
        (void)snprintf(dst, cap, "%s", text != NULL ? text : "");
        break;
    }
}

/* Would a file read it as it is? */
static bool is_plain(const char *text)
{
    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text == ' ' || *text == '\t' || strchr("#\"'\\", *text) != NULL)
            return false;
    return true;
}

void opt_value_format(const struct opts *opts, size_t row, char ret_value[OPT_VALUE_BYTES])
{
    char text[OPT_VALUE_BYTES / 2];
    plain_format(opts, &opt_rows[row], text, sizeof(text));
    if (is_plain(text)) {
        memcpy(ret_value, text, strlen(text) + 1);
        return;
    }
    char *dst = ret_value;
    const char *end = ret_value + OPT_VALUE_BYTES - 4;
    *dst++ = '"';
    for (const char *at = text; *at != '\0' && dst < end; at++) {
        if (*at == '"' || *at == '\\')
            *dst++ = '\\';
        *dst++ = *at;
    }
    *dst++ = '"';
    *dst = '\0';
}

void opt_source_format(const struct opts *opts, size_t row, char ret_source[OPT_SOURCE_BYTES])
{
    const struct opt_source *source = &opts->source[row];
    const char *word = "default";
    switch (source->from) {
    case OPT_FROM_DEFAULT:
        break;
    case OPT_FROM_FILE:
        (void)snprintf(ret_source, OPT_SOURCE_BYTES, "%s:%u",
                       opts->config_file != NULL ? opts->config_file : "file", source->line);
        return;
    case OPT_FROM_ENVIRONMENT:
        word = "environment";
        break;
    case OPT_FROM_ARGS:
        word = "command-line";
        break;
    case OPT_FROM_LIVE:
        word = "live";
        break;
    }
    (void)snprintf(ret_source, OPT_SOURCE_BYTES, "%s", word);
}

static bool is_text(const struct opt_row *row)
{
    return row->kind == OPT_KIND_TEXT || row->kind == OPT_KIND_LIST ||
           row->kind == OPT_KIND_TEXTS || row->kind == OPT_KIND_CHOICE;
}

bool opt_is_same(const struct opts *a, const struct opts *b, size_t row)
{
    char text_a[OPT_VALUE_BYTES / 2], text_b[OPT_VALUE_BYTES / 2];
    plain_format(a, &opt_rows[row], text_a, sizeof(text_a));
    plain_format(b, &opt_rows[row], text_b, sizeof(text_b));
    return strcmp(text_a, text_b) == 0;
}

static size_t field_bytes(const struct opt_row *row)
{
    switch (row->kind) {
    case OPT_KIND_NONE:
        return 0;
    case OPT_KIND_FLAG:
    case OPT_KIND_SWITCH:
        return sizeof(bool);
    case OPT_KIND_CHAR:
        return sizeof(char);
    case OPT_KIND_PORT:
    case OPT_KIND_COUNT:
    case OPT_KIND_LEVEL:
    case OPT_KIND_REPEAT:
    case OPT_KIND_OCTAL:
        return sizeof(uint32_t);
    case OPT_KIND_SIZE:
    case OPT_KIND_SIZE_KIB:
    case OPT_KIND_SIZE_MIB:
    case OPT_KIND_MEMORY:
        return sizeof(uint64_t);
    case OPT_KIND_REAL:
        return sizeof(double);
    case OPT_KIND_RATE:
    case OPT_KIND_RATE_SIZE:
        return sizeof(struct opt_rate);
    case OPT_KIND_TEXT:
    case OPT_KIND_LIST:
    case OPT_KIND_TEXTS:
    case OPT_KIND_CHOICE:
        return sizeof(char *);
    }
    return 0;
}

int opt_copy(struct opts *dst, const struct opts *src, size_t row)
{
    const struct opt_row *own = &opt_rows[row];
    void *to = (char *)dst + own->offset;
    const void *from = (const char *)src + own->offset;
    if (is_text(own)) {
        const char *text = *(char *const *)from;
        char *copy = text != NULL ? strdup(text) : NULL;
        if (text != NULL && copy == NULL)
            return -ENOMEM;
        free(*(char **)to);
        *(char **)to = copy;
    } else {
        memcpy(to, from, field_bytes(own));
    }
    dst->source[row] = src->source[row];
    return 0;
}

int opt_clone(struct opts *ret_opts, const struct opts *src)
{
    *ret_opts = (struct opts){.stats_detail = src->stats_detail};
    int rc = 0;
    for (size_t i = 0; i < opt_row_count && rc == 0; i++)
        if (opt_rows[i].type == OPT_ROW_OPT || opt_rows[i].type == OPT_ROW_SUB)
            rc = opt_copy(ret_opts, src, i);
    return rc;
}

/* ── as a file ────────────────────────────────────────────────────────────────────────────── */

enum { COLUMNS = 80, SOURCE_COLUMN = 40 };

static void comment_print(FILE *file, const char *text)
{
    int at = fprintf(file, "#");
    while (*text != '\0') {
        const int len = (int)strcspn(text, " ");
        if (at + 1 + len > COLUMNS) {
            fputs("\n#", file);
            at = 1;
        }
        at += fprintf(file, " %.*s", len, text);
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

/* Call `each` for every option, section by section, in the order of the table; `begin` before the
 * first of a section. */
struct walk {
    void (*begin)(struct walk *walk, const char *section);
    void (*each)(struct walk *walk, size_t row);
    FILE *file;
    const struct opts *opts;
};

/* The section that the row stands in. */
static const char *section_of(size_t row)
{
    while (opt_rows[row].type != OPT_ROW_GROUP)
        row--;
    return opt_rows[row].field;
}

static void walk_section(struct walk *walk, const char *section)
{
    bool any = false;
    for (size_t i = 0; i < opt_row_count; i++) {
        if (!opt_is_option(i) || strcmp(section_of(i), section) != 0)
            continue;
        if (!any)
            walk->begin(walk, section);
        any = true;
        walk->each(walk, i);
    }
}

static bool is_first_of_section(size_t group)
{
    for (size_t i = 0; i < group; i++)
        if (opt_rows[i].type == OPT_ROW_GROUP &&
            strcmp(opt_rows[i].field, opt_rows[group].field) == 0)
            return false;
    return true;
}

static void walk_all(struct walk *walk)
{
    for (size_t i = 0; i < opt_row_count; i++)
        if (opt_rows[i].type == OPT_ROW_GROUP && is_first_of_section(i))
            walk_section(walk, opt_rows[i].field);
}

static void config_section(struct walk *walk, const char *section)
{
    fprintf(walk->file, "\n[%s]\n", section);
}

static void config_row(struct walk *walk, size_t row)
{
    char name[OPT_NAME_BYTES], value[OPT_VALUE_BYTES], source[OPT_SOURCE_BYTES];
    opt_name_format(row, name);
    opt_value_format(walk->opts, row, value);
    opt_source_format(walk->opts, row, source);
    const bool given = walk->opts->source[row].from != OPT_FROM_DEFAULT;
    const int width = fprintf(walk->file, "%s%s = %s", given ? "" : "#", name, value);
    fprintf(walk->file, "%*s # %s\n", width < SOURCE_COLUMN ? SOURCE_COLUMN - width : 0, "",
            source);
}

void opt_print_config(FILE *file, const struct opts *opts)
{
    struct walk walk = {.begin = config_section, .each = config_row, .file = file, .opts = opts};
    fputs("# What is in effect, and where it is from (matted --print-config). Defaults are\n"
          "# commented out.\n",
          file);
    walk_all(&walk);
}

/* ── documents ────────────────────────────────────────────────────────────────────────────── */

/* The default, as help and documents show it. */
static void default_format(size_t row, char dst[OPT_VALUE_BYTES])
{
    struct opts opts = {0};
    const int rc = opt_value_default(&opts, &opt_rows[row]);
    opt_value_format(&opts, row, dst);
    if (rc == 0 && is_text(&opt_rows[row]))
        free(*(char **)(void *)((char *)&opts + opt_rows[row].offset));
}

static void sample_section(struct walk *walk, const char *section)
{
    fprintf(walk->file, "\n[%s]\n", section);
    if (strcmp(section, "compatibility") == 0)
        comment_print(walk->file, "For files of memcached: about mechanisms that are not needed "
                                  "here. Accepted, checked and without effect.");
}

static void sample_row(struct walk *walk, size_t row)
{
    char name[OPT_NAME_BYTES], value[OPT_VALUE_BYTES];
    const struct opt_row *own = &opt_rows[row];
    opt_name_format(row, name);
    default_format(row, value);
    if (own->when != OPT_WHEN_INERT) {
        fputc('\n', walk->file);
        comment_print(walk->file, own->help);
    }
    const bool empty = strcmp(value, "\"\"") == 0;
    fprintf(walk->file, "#%s = %s\n", name, empty ? opt_value_word(own) : value);
}

static const char *when_word(enum opt_when when)
{
    switch (when) {
    case OPT_WHEN_START:
        return "start";
    case OPT_WHEN_LIVE:
        return "live";
    case OPT_WHEN_RELOAD:
        return "reload";
    case OPT_WHEN_INERT:
        return "no effect";
    case OPT_WHEN_ONCE:
        break;
    }
    return "";
}

static void flag_format(const struct opt_row *row, char dst[OPT_LABEL_BYTES])
{
    if (row->type == OPT_ROW_SUB)
        (void)snprintf(dst, OPT_LABEL_BYTES, "-o");
    else
        (void)snprintf(dst, OPT_LABEL_BYTES, "-%c", row->letter);
}

static void table_section(struct walk *walk, const char *section)
{
    fprintf(walk->file,
            "\n### [%s]\n\n| name | flag | default | changes | |\n|---|---|---|---|---|\n",
            section);
}

/* In a table | would end the column. */
static void cell_print(FILE *file, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '|')
            fputs("\\|", file);
        else
            fputc(*text, file);
}

static void table_row(struct walk *walk, size_t row)
{
    char name[OPT_NAME_BYTES], value[OPT_VALUE_BYTES], flag[OPT_LABEL_BYTES];
    const struct opt_row *own = &opt_rows[row];
    opt_name_format(row, name);
    default_format(row, value);
    flag_format(own, flag);
    const bool empty = strcmp(value, "\"\"") == 0;
    fprintf(walk->file, "| `%s` | `%s` | %s%s%s | %s | ", name, flag, empty ? "" : "`",
            empty ? "" : value, empty ? "" : "`", when_word(own->when));
    if (own->kind == OPT_KIND_CHOICE) {
        cell_print(walk->file, own->dflt);
        fputs("; ", walk->file);
    }
    cell_print(walk->file, own->help);
    fputs(" |\n", walk->file);
}

static void man_section(struct walk *walk, const char *section)
{
    fprintf(walk->file, "## [%s]\n\n", section);
}

/* scdoc: what means something to it stands behind a backslash. */
static void man_text(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("*_\\#`[]", *text) != NULL)
            fputc('\\', file);
        fputc(*text, file);
    }
}

static void man_row(struct walk *walk, size_t row)
{
    char name[OPT_NAME_BYTES], value[OPT_VALUE_BYTES];
    const struct opt_row *own = &opt_rows[row];
    const char *word = opt_value_word(own);
    opt_name_format(row, name);
    default_format(row, value);
    fputc('*', walk->file);
    man_text(walk->file, name);
    fputs("* = ", walk->file);
    man_text(walk->file, word != NULL ? word : own->kind == OPT_KIND_REPEAT ? "N" : "yes|no");
    fputs("\n\t", walk->file);
    man_text(walk->file, own->help);
    if (strcmp(value, "\"\"") != 0) {
        fputs(" \\[", walk->file);
        man_text(walk->file, value);
        fputs("\\]", walk->file);
    }
    if (own->when != OPT_WHEN_START)
        fprintf(walk->file, " (%s)", when_word(own->when));
    fputs("\n\n", walk->file);
}

void opt_print_options(FILE *file, const char *form)
{
    struct walk walk = {.begin = sample_section, .each = sample_row, .file = file};
    if (strcmp(form, "markdown") == 0) {
        walk.begin = table_section;
        walk.each = table_row;
    } else if (strcmp(form, "man") == 0) {
        walk.begin = man_section;
        walk.each = man_row;
    } else {
        fputs("# matted.conf, for matted --config=FILE: every option with its default. Take the\n"
              "# first # of a line away to give an option another value. Sections are headings\n"
              "# for people. Lines of flags, as in memcached.conf, may stand anywhere: -m 64\n"
              "# docs/configuration.md says what changes while the server runs.\n",
              file);
    }
    walk_all(&walk);
}
