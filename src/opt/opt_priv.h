/* opt/opt_priv.h — the rows of tbl/options.def as an array, shared by the files of this module.
 *
 * Includes: base.  Included by: opt.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "opt/opt.h"

enum opt_row_type {
    OPT_ROW_GROUP,
    OPT_ROW_OPT,
    OPT_ROW_SUB,
    OPT_ROW_PRESET,
    OPT_ROW_ACTION,
    OPT_ROW_ABSENT
};

enum opt_kind {
    OPT_KIND_NONE, /* the row sets no field */
    OPT_KIND_PORT,
    OPT_KIND_COUNT,
    OPT_KIND_OCTAL,
    OPT_KIND_LEVEL,
    OPT_KIND_REPEAT,
    OPT_KIND_SIZE,
    OPT_KIND_SIZE_KIB,
    OPT_KIND_SIZE_MIB,
    OPT_KIND_MEMORY,
    OPT_KIND_REAL,
    OPT_KIND_RATE,
    OPT_KIND_RATE_SIZE,
    OPT_KIND_FLAG,
    OPT_KIND_SWITCH,
    OPT_KIND_CHAR,
    OPT_KIND_TEXT,
    OPT_KIND_LIST,
    OPT_KIND_TEXTS,
    OPT_KIND_CHOICE,
};

enum opt_when { OPT_WHEN_START, OPT_WHEN_LIVE, OPT_WHEN_INERT };

struct opt_row {
    enum opt_row_type type;
    enum opt_kind kind;
    enum opt_when when;
    char letter;      /* 0: none */
    const char *name; /* long name, sub-option, or the title of a group; "": none */
    const char *dflt; /* of a preset: the sub-options it stands for */
    const char *help;
    double min, max; /* of the field; of a text's length */
    size_t offset;   /* of the field in struct opts */
};

extern const struct opt_row opt_rows[];
extern const size_t opt_row_count; /* <= OPT_ROWS_MAX */

/* A command line being applied. */
struct opt_parse {
    struct opts *opts;
    struct opt_result *result;
};

/* Refuse the command line: `format` completes "matted: ". Always returns false. */
bool opt_refuse(struct opt_parse *parse, int exit_code, const char *format, ...) PRINTF_LIKE(3, 4);

enum { OPT_LABEL_BYTES = 64 };
/* What a person calls the option: "-c, --conn-limit", "-D" or "-o idle_timeout". */
void opt_label_format(char dst[OPT_LABEL_BYTES], const struct opt_row *row);

/* The word that stands for the value in help and manual; NULL: it takes none. */
const char *opt_value_word(const struct opt_row *row);
/* Is there anything to tell below this heading? */
bool opt_group_has_effect(const struct opt_row *group);

/* What opt_machine_set() was told; 0: nothing. */
uint64_t opt_machine_bytes(void);

/* Does the option take a value (LEVEL: may it)? */
bool opt_kind_has_value(enum opt_kind kind);

/* Set the row's field from `text` (NULL: no value was given). Returns false after opt_refuse(). */
MUST_USE bool opt_value_set(struct opt_parse *parse, const struct opt_row *row, const char *text);
/* The row's "no_" form was given. */
void opt_value_clear(struct opts *opts, const struct opt_row *row);
/* Set the row's field to its default. Returns 0 or -ENOMEM. */
MUST_USE int opt_value_default(struct opts *opts, const struct opt_row *row);
