/* opt/opt_priv.h — the rows of tbl/options.def as an array, shared by the files of this module.
 *
 * Includes: base.  Included by: opt.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "opt/conf.h"
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

struct opt_row {
    enum opt_row_type type;
    enum opt_kind kind;
    enum opt_when when;
    char letter;       /* 0: none */
    const char *name;  /* long name, sub-option, or the title of a group; "": none */
    const char *field; /* its name; of a group: its section */
    const char *dflt;  /* of a preset: the sub-options it stands for */
    const char *help;
    double min, max; /* of the field; of a text's length */
    size_t offset;   /* of the field in struct opts */
};

extern const struct opt_row opt_rows[];
extern const size_t opt_row_count; /* <= OPT_ROWS_MAX */

/* Options being applied, and where they are from. */
struct opt_parse {
    struct opts *opts;
    struct opt_result *result;
    struct opt_source source; /* of what is being applied now */
    const char *label;        /* NAME of a NAME = VALUE; NULL: it is a flag */
};

/* Arguments not looked at yet: of a command line, or of a line of flags in a file. */
struct opt_args {
    struct opt_parse *parse;
    size_t left;
    char *const *next;                /* of a command line... */
    const struct opt_conf_word *word; /* ...or of a file; NULL: of a command line */
};

/* Apply them, one by one. Returns false to stop: refused, or -h and the like. */
bool opt_args_apply(struct opt_args *args);
/* Apply a command line alone, without opt_together_check(). */
void opt_command_line_apply(struct opts *opts, const struct opt_inputs *inputs,
                            struct opt_result *ret_result);
/* Check what concerns several options. Returns false after opt_refuse(). */
bool opt_together_check(struct opt_parse *parse);

/* May it be set at all, other than on the command line? */
bool opt_row_is_setting(const struct opt_row *row);
/* The word that stands for a value in help and documents; NULL: it takes none. */
const char *opt_value_word(const struct opt_row *row);
/* Does a name, of a file or the like, mean this row? - and _ are the same. */
bool opt_name_means(const struct opt_row *row, struct bytes name);

/* Refuse what is being applied: `format` completes "matted: ", behind the place when it is a file.
 * Always returns false. */
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

/* Set the row's field from `text` (NULL: no value was given), and its source. Returns false after
 * opt_refuse(). */
MUST_USE bool opt_value_set(struct opt_parse *parse, const struct opt_row *row, const char *text);
/* The row's "no_" form was given. */
void opt_value_clear(struct opts *opts, const struct opt_row *row);
/* Set the row's field to its default. Returns 0 or -ENOMEM. */
MUST_USE int opt_value_default(struct opts *opts, const struct opt_row *row);
