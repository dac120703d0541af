/* opt/value.c — the one setter: text of an option to its field, wherever it is from.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/num.h"
#include "opt/opt_priv.h"

enum { RANGE_BYTES = 256 };

/* ── words of a refusal ───────────────────────────────────────────────────────────────────── */

void opt_label_format(char dst[OPT_LABEL_BYTES], const struct opt_row *row)
{
    if (row->type == OPT_ROW_SUB)
        snprintf(dst, OPT_LABEL_BYTES, "-o %s", row->name);
    else if (row->letter == '\0')
        snprintf(dst, OPT_LABEL_BYTES, "--%s", row->name);
    else if (row->name[0] == '\0')
        snprintf(dst, OPT_LABEL_BYTES, "-%c", row->letter);
    else
        snprintf(dst, OPT_LABEL_BYTES, "-%c, --%s", row->letter, row->name);
}

/* memcached ends with 64 on a bad protocol or item size, with 1 on any other bad value. */
static int exit_code_of(const struct opt_row *row)
{
    return row->letter == 'B' || row->letter == 'I' ? EX_USAGE : 1;
}

static bool refuse_value(struct opt_parse *parse, const struct opt_row *row, const char *text,
                         const char *what, const char *allowed)
{
    char label[OPT_LABEL_BYTES];
    opt_label_format(label, row);
    return opt_refuse(parse, exit_code_of(row), "%.60s: '%.100s' %s; allowed: %s",
                      parse->label != NULL ? parse->label : label, text, what, allowed);
}

/* ── numbers ──────────────────────────────────────────────────────────────────────────────── */

/* What a bare number of this kind counts. */
static uint64_t unit_of(enum opt_kind kind)
{
    return kind == OPT_KIND_SIZE_KIB                              ? 1024
           : kind == OPT_KIND_SIZE_MIB || kind == OPT_KIND_MEMORY ? 1024 * 1024
                                                                  : 1;
}

/* Take a suffix k, m or g off the end of `text` and return what it stands for. */
static uint64_t suffix_take(struct bytes *text)
{
    static const char letters[] = "kmg";
    if (text->len < 2)
        return 1;
    const char *letter = strchr(letters, text->ptr[text->len - 1] | 0x20);
    if (letter == NULL)
        return 1;
    text->len--;
    return 1024ull << (10 * (letter - letters));
}

static bool octal_parse(const char *text, double *ret_value)
{
    char *end;
    if (text[0] < '0' || text[0] > '7' || strlen(text) > 10)
        return false;
    *ret_value = (double)strtoul(text, &end, 8);
    return *end == '\0';
}

static bool real_parse(const char *text, double *ret_value)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

/* Read a number of any kind, in the unit of the field. A double holds every size up to 2^53. */
static bool number_parse(const struct opt_row *row, const char *text, double *ret_value)
{
    if (row->kind == OPT_KIND_REAL)
        return real_parse(text, ret_value);
    if (row->kind == OPT_KIND_OCTAL)
        return octal_parse(text, ret_value);
    if (row->kind == OPT_KIND_PORT && strcmp(text, "-1") == 0) {
        *ret_value = -1;
        return true;
    }
    struct bytes digits = bytes_str(text);
    const uint64_t unit = row->kind == OPT_KIND_SIZE ? suffix_take(&digits) : unit_of(row->kind);
    uint64_t value;
    if (!num_parse_u64(digits, UINT64_MAX / unit, &value))
        return false;
    *ret_value = (double)(value * unit);
    return true;
}

static void number_store(struct opts *opts, const struct opt_row *row, double value)
{
    void *field = (char *)opts + row->offset;
    if (row->kind == OPT_KIND_REAL)
        *(double *)field = value;
    else if (row->kind == OPT_KIND_PORT)
        *(int32_t *)field = (int32_t)value;
    else if (row->kind == OPT_KIND_SIZE || unit_of(row->kind) > 1)
        *(uint64_t *)field = (uint64_t)value;
    else
        *(uint32_t *)field = (uint32_t)value;
}

static void number_range_format(char dst[RANGE_BYTES], const struct opt_row *row)
{
    const double unit = (double)unit_of(row->kind);
    double dflt = row->min;
    (void)number_parse(row, row->dflt, &dflt);
    const char *also = row->kind == OPT_KIND_PORT && row->max > 0 ? ", or -1" : "";
    const char *suffix = row->kind == OPT_KIND_SIZE       ? " bytes, or with k, m, g"
                         : row->kind == OPT_KIND_SIZE_KIB ? " (KiB)"
                         : row->kind == OPT_KIND_SIZE_MIB ? " (MiB)"
                         : row->kind == OPT_KIND_MEMORY   ? " (MiB), or auto"
                                                          : "";
    if (row->min >= row->max)
        snprintf(dst, RANGE_BYTES, "%.15g (%s)", row->min, row->help);
    else if (row->kind == OPT_KIND_OCTAL)
        snprintf(dst, RANGE_BYTES, "0..%o, octal", (unsigned)row->max);
    else if (dflt < row->min)
        snprintf(dst, RANGE_BYTES, "%s, or %.15g..%.15g%s", row->dflt, row->min / unit,
                 row->max / unit, suffix);
    else
        snprintf(dst, RANGE_BYTES, "%.15g..%.15g%s%s", row->min / unit, row->max / unit, suffix,
                 also);
}

static bool number_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    char range[RANGE_BYTES];
    number_range_format(range, row);
    double value, dflt;
    if (!number_parse(row, text, &value))
        return refuse_value(parse, row, text, "is not a number", range);
    const bool is_default = number_parse(row, row->dflt, &dflt) && value >= dflt && value <= dflt;
    const bool is_any_port = row->kind == OPT_KIND_PORT && value < 0 && row->max > 0;
    if ((value < row->min || value > row->max) && !is_default && !is_any_port)
        return refuse_value(parse, row, text, "is out of range", range);
    number_store(parse->opts, row, value);
    return true;
}

static uint64_t known_bytes; /* of memory; written once, before any thread */

void opt_machine_set(uint64_t bytes)
{
    known_bytes = bytes;
}

uint64_t opt_machine_bytes(void)
{
    return known_bytes;
}

uint64_t opt_memory_auto(uint64_t machine_bytes, uint32_t conns)
{
    /* Measured: without clients a server has 4 MiB more than -m, and 16 KiB for a connection that
     * has sent half a request. The rest is for TLS, answers that wait, and buffers of the kernel,
     * which count for the container as well. */
    const uint64_t besides = (32ull << 20) + conns * (16ull << 10);
    const uint64_t quarter = machine_bytes / 4, share = 3 * quarter;
    const uint64_t bytes = share > besides + quarter ? share - besides : quarter;
    return bytes < 1 << 20 ? 1 << 20 : bytes >> 20 << 20;
}

/* 0 until all options are known: opt_memory_auto(). */
static bool memory_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    if (strcmp(text, "auto") != 0)
        return number_set(parse, row, text);
    if (opt_machine_bytes() == 0)
        return refuse_value(parse, row, text,
                            "is not possible: how much memory there is, is unknown",
                            "a number of MiB");
    number_store(parse->opts, row, 0);
    return true;
}

/* ── rates ────────────────────────────────────────────────────────────────────────────────── */

static bool rate_number_parse(const struct opt_row *row, struct bytes text, uint32_t *ret_value)
{
    const uint64_t unit = row->kind == OPT_KIND_RATE_SIZE ? suffix_take(&text) : 1;
    uint64_t value;
    if (!num_parse_u64(text, UINT32_MAX / unit, &value))
        return false;
    *ret_value = (uint32_t)(value * unit);
    return true;
}

static bool rate_parse(const struct opt_row *row, const char *text, struct opt_rate *ret_rate)
{
    struct bytes number = bytes_of(text, strcspn(text, ":"));
    struct opt_rate rate;
    if (!rate_number_parse(row, number, &rate.per_s))
        return false;
    rate.burst = rate.per_s <= UINT32_MAX / 2 ? rate.per_s * 2 : UINT32_MAX;
    if (text[number.len] == ':' &&
        !rate_number_parse(row, bytes_str(text + number.len + 1), &rate.burst))
        return false;
    *ret_rate = rate;
    return true;
}

static bool rate_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    struct opt_rate rate;
    const char *form = row->kind == OPT_KIND_RATE_SIZE
                           ? "N or N:BURST, in bytes per second and bytes, below 4g, or with k, m, "
                             "g; 0 is off"
                           : "N or N:BURST, per second; 0 is off";
    if (!rate_parse(row, text, &rate))
        return refuse_value(parse, row, text, "is no rate", form);
    if (rate.per_s != 0 && (rate.burst == 0 || rate.burst > (uint64_t)rate.per_s * OPT_BURST_S_MAX))
        return refuse_value(parse, row, text, "has a burst out of range",
                            "a burst of 1..3600 times the rate");
    *(struct opt_rate *)(void *)((char *)parse->opts + row->offset) = rate;
    return true;
}

/* ── texts ────────────────────────────────────────────────────────────────────────────────── */

/* Replace the text of a field by a copy of `text`; NULL: by nothing. */
static int text_store(struct opts *opts, const struct opt_row *row, struct bytes text)
{
    char **field = (char **)(void *)((char *)opts + row->offset);
    char *copy = NULL;
    if (text.ptr != NULL) {
        copy = strndup((const char *)text.ptr, text.len);
        if (copy == NULL)
            return -ENOMEM;
    }
    free(*field);
    *field = copy;
    return 0;
}

static bool text_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    const double len = (double)strlen(text);
    if (len < row->min || len > row->max) {
        char range[RANGE_BYTES];
        snprintf(range, sizeof(range), "%.0f..%.0f bytes", row->min, row->max);
        return refuse_value(parse, row, text, len > 0 ? "is too long" : "is empty", range);
    }
    if (text_store(parse->opts, row, bytes_str(text)) < 0)
        return opt_refuse(parse, EX_OSERR, "out of memory");
    return true;
}

/* Has the row been set before by what is being applied: is this one to be added to it? */
static bool is_repeated(const struct opt_parse *parse, const struct opt_row *row)
{
    return parse->opts->source[row - opt_rows].from == parse->source.from;
}

/* The first one replaces what is there, the others add to it. */
static bool text_join(struct opt_parse *parse, const struct opt_row *row, const char *text,
                      char between)
{
    const char *before = *(char **)(void *)((char *)parse->opts + row->offset);
    if (!is_repeated(parse, row) || before == NULL)
        return text_set(parse, row, text);
    char *joined;
    if (asprintf(&joined, "%s%c%s", before, between, text) < 0)
        return opt_refuse(parse, EX_OSERR, "out of memory");
    const bool ok = text_set(parse, row, joined);
    free(joined);
    return ok;
}

static bool list_is_valid(const char *text)
{
    struct bytes rest = bytes_str(text);
    struct opt_listen listen;
    int rc;
    size_t count = 0;
    while ((rc = opt_listen_next(&rest, &listen)) > 0)
        count++;
    return rc == 0 && count > 0;
}

/* The first -l replaces the default, the others add to it. Like memcached, one that is part of
 * what is already there changes nothing. */
static bool list_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    if (!list_is_valid(text))
        return refuse_value(parse, row, text, "is no address",
                            "HOST, HOST:PORT, [IPv6]:PORT, *; several with commas");
    const char *before = *(char **)(void *)((char *)parse->opts + row->offset);
    if (is_repeated(parse, row) && before != NULL && strstr(before, text) != NULL)
        return true;
    return text_join(parse, row, text, ',');
}

static bool texts_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    return text_join(parse, row, text, '+');
}

/* ── yes or no ────────────────────────────────────────────────────────────────────────────── */

static bool bool_parse(const char *text, bool *ret_value)
{
    static const char *const words[][2] = {
        {"no", "yes"}, {"off", "on"}, {"false", "true"}, {"0", "1"}};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        for (int value = 0; value < 2; value++)
            if (strcasecmp(text, words[i][value]) == 0) {
                *ret_value = value != 0;
                return true;
            }
    return false;
}

/* A flag is set by being there, and in NAME = VALUE by its value. */
static bool bool_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    bool *field = (bool *)((char *)parse->opts + row->offset);
    if (parse->label == NULL) {
        *field = true;
        return true;
    }
    return bool_parse(text, field) || refuse_value(parse, row, text, "is neither yes nor no",
                                                   "yes, on, true, 1, no, off, false, 0");
}

/* Likewise: each time that it is there counts. */
static bool repeat_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    uint32_t *field = (uint32_t *)(void *)((char *)parse->opts + row->offset);
    if (parse->label != NULL)
        return number_set(parse, row, text);
    if (!is_repeated(parse, row))
        *field = 0;
    if (*field < row->max)
        ++*field;
    return true;
}

/* And this has a value of its own for being there. */
static bool level_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    bool yes;
    if (text != NULL && parse->label != NULL && bool_parse(text, &yes))
        text = yes ? "1" : "0";
    return number_set(parse, row, text != NULL ? text : "1");
}

/* ── choices ──────────────────────────────────────────────────────────────────────────────── */

/* The next of the names in "a|b|c"; false at the end. */
static bool choice_next(struct bytes *rest, struct bytes *ret_name)
{
    if (rest->len == 0)
        return false;
    const uint8_t *bar = memchr(rest->ptr, '|', rest->len);
    const size_t len = bar != NULL ? (size_t)(bar - rest->ptr) : rest->len;
    *ret_name = bytes_of(rest->ptr, len);
    *rest = bytes_skip(*rest, bar != NULL ? len + 1 : len);
    return true;
}

static bool choice_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    struct bytes rest = bytes_str(row->dflt), name;
    bool yes;
    if (parse->label != NULL && strcmp(row->dflt, "yes|no") == 0 && bool_parse(text, &yes))
        text = yes ? "yes" : "no";
    while (choice_next(&rest, &name))
        if (bytes_is(name, text)) {
            if (text_store(parse->opts, row, name) < 0)
                return opt_refuse(parse, EX_OSERR, "out of memory");
            return true;
        }
    return refuse_value(parse, row, text, "is unknown", row->dflt);
}

static bool char_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    if (strlen(text) != 1)
        return refuse_value(parse, row, text, "is not one character", "one character");
    *((char *)parse->opts + row->offset) = text[0];
    return true;
}

/* ── the setter ───────────────────────────────────────────────────────────────────────────── */

bool opt_kind_has_value(enum opt_kind kind)
{
    return kind != OPT_KIND_NONE && kind != OPT_KIND_REPEAT && kind != OPT_KIND_FLAG &&
           kind != OPT_KIND_SWITCH;
}

static bool value_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    switch (row->kind) {
    case OPT_KIND_NONE:
        return true;
    case OPT_KIND_FLAG:
    case OPT_KIND_SWITCH:
        return bool_set(parse, row, text);
    case OPT_KIND_REPEAT:
        return repeat_set(parse, row, text);
    case OPT_KIND_LEVEL:
        return level_set(parse, row, text);
    case OPT_KIND_PORT:
    case OPT_KIND_COUNT:
    case OPT_KIND_OCTAL:
    case OPT_KIND_SIZE:
    case OPT_KIND_SIZE_KIB:
    case OPT_KIND_SIZE_MIB:
    case OPT_KIND_REAL:
        return number_set(parse, row, text);
    case OPT_KIND_MEMORY:
        return memory_set(parse, row, text);
    case OPT_KIND_RATE:
    case OPT_KIND_RATE_SIZE:
        return rate_set(parse, row, text);
    case OPT_KIND_CHAR:
        return char_set(parse, row, text);
    case OPT_KIND_TEXT:
        return text_set(parse, row, text);
    case OPT_KIND_LIST:
        return list_set(parse, row, text);
    case OPT_KIND_TEXTS:
        return texts_set(parse, row, text);
    case OPT_KIND_CHOICE:
        return choice_set(parse, row, text);
    }
    return false;
}

bool opt_value_set(struct opt_parse *parse, const struct opt_row *row, const char *text)
{
    if (text == NULL && opt_kind_has_value(row->kind) && row->kind != OPT_KIND_LEVEL) {
        char label[OPT_LABEL_BYTES];
        opt_label_format(label, row);
        return opt_refuse(parse, 1, "%s needs a value: %s", label, row->help);
    }
    if (text != NULL)
        text += strspn(text, " \t");
    if (!value_set(parse, row, text))
        return false;
    parse->opts->source[row - opt_rows] = parse->source;
    return true;
}

void opt_value_clear(struct opts *opts, const struct opt_row *row)
{
    void *field = (char *)opts + row->offset;
    if (row->kind == OPT_KIND_LEVEL)
        *(uint32_t *)field = 0;
    else
        *(bool *)field = false;
}

int opt_value_default(struct opts *opts, const struct opt_row *row)
{
    void *field = (char *)opts + row->offset;
    struct bytes text = bytes_str(row->dflt != NULL ? row->dflt : "");
    struct bytes first = text;
    double value;
    switch (row->kind) {
    case OPT_KIND_NONE:
        return 0;
    case OPT_KIND_FLAG:
    case OPT_KIND_SWITCH:
        *(bool *)field = row->dflt[0] == '1';
        return 0;
    case OPT_KIND_CHAR:
        *(char *)field = row->dflt[0];
        return 0;
    case OPT_KIND_CHOICE:
        (void)choice_next(&text, &first);
        return text_store(opts, row, first);
    case OPT_KIND_TEXT:
    case OPT_KIND_LIST:
    case OPT_KIND_TEXTS:
        return text_store(opts, row, text.len > 0 ? text : bytes_of(NULL, 0));
    case OPT_KIND_PORT:
    case OPT_KIND_COUNT:
    case OPT_KIND_OCTAL:
    case OPT_KIND_LEVEL:
    case OPT_KIND_REPEAT:
    case OPT_KIND_SIZE:
    case OPT_KIND_SIZE_KIB:
    case OPT_KIND_SIZE_MIB:
    case OPT_KIND_MEMORY:
    case OPT_KIND_REAL:
        if (!number_parse(row, row->dflt, &value))
            return -EINVAL;
        number_store(opts, row, value);
        return 0;
    case OPT_KIND_RATE:
    case OPT_KIND_RATE_SIZE:
        return rate_parse(row, row->dflt, field) ? 0 : -EINVAL;
    }
    return -EINVAL;
}
