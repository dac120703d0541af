/* cli/args.h — the command line of `matte`: subcommands, their options and their help, from
 * tbl/subcommands.def and tbl/cli_options.def.
 *
 * Includes: base.  Included by: cli and its tests.
 * Memory:   arguments point into argv.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "cli/cli.h"

enum cli_option_number {
#define OPTION(id, ...) CLI_NUMBER_##id,
#include "tbl/cli_options.def"
    CLI_OPTION_COUNT
};
/* The same as bits, for sets of options: more than an int of ISO C has. */
__extension__ enum cli_option {
#define OPTION(id, ...) CLI_##id = 1ull << CLI_NUMBER_##id,
#include "tbl/cli_options.def"
};

#define CLI_CTYPE_FLAG(field)    bool field;
#define CLI_CTYPE_TEXT(field)    const char *field;
#define CLI_CTYPE_TEXTS(field)   struct cli_texts field;
#define CLI_CTYPE_NUMBER(field)  uint64_t field;
#define CLI_CTYPE_SIGNED(field)  int64_t field;
#define CLI_CTYPE_TIME_MS(field) uint64_t field;

/* The values of an option that may be given several times. */
enum { CLI_TEXTS_MAX = 64 };
struct cli_texts {
    const char *at[CLI_TEXTS_MAX];
    size_t count;
};

struct cli_args {
#define OPTION(id, field, kind, ...) CLI_CTYPE_##kind(field)
#include "tbl/cli_options.def"
    uint64_t given; /* set of enum cli_option: not the default */
    bool in_shell;  /* a prompt follows: a value ends with a line end */
    char **words;   /* what is no option */
    int word_count;
};

struct cli_command {
    const char *heading; /* of the group that begins here, or NULL */
    const char *id, *arguments;
    int words_min, words_max;
    uint64_t options; /* set of enum cli_option */
    enum cli_exit (*run)(const struct cli_args *args);
    const char *help, *text;
};

struct cli_option_row {
    uint64_t bit;
    enum cli_kind {
        CLI_KIND_FLAG,
        CLI_KIND_TEXT,
        CLI_KIND_TEXTS,
        CLI_KIND_NUMBER,
        CLI_KIND_SIGNED,
        CLI_KIND_TIME_MS,
    } kind;
    char letter;
    const char *name, *word, *dflt;
    int64_t min, max; /* of the field; of a text's length */
    size_t offset;    /* in struct cli_args */
    const char *help;
};

enum { CLI_FAULT_BYTES = 200, CLI_NAME_BYTES = 32 };

/* The subcommand `name`, or NULL. What has a '_' in its row is written with '-', or as the row. */
const struct cli_command *cli_command_find(const char *name);
/* The nth of all subcommands, or NULL behind the last one. */
const struct cli_command *cli_command_at(size_t index);
const char *cli_command_name(const struct cli_command *command, char ret_name[CLI_NAME_BYTES]);
/* The nth of all options, or NULL behind the last one. */
const struct cli_option_row *cli_option_at(size_t index);

void cli_args_defaults(struct cli_args *ret_args);
/* Read what follows the subcommand: `argv` of `argc` words, which are put into another order.
 * `args` has the defaults (cli_args_defaults()), or what is to be taken for them.
 * Returns false with a line for the user in `fault`. */
MUST_USE bool cli_args_parse(const struct cli_command *command, int argc, char **argv,
                             struct cli_args *args, char fault[CLI_FAULT_BYTES]);

/* Seconds with up to three decimals, as milliseconds. Returns false on anything else, and above
 * `max_ms`. */
MUST_USE bool cli_time_parse(struct bytes text, uint64_t max_ms, uint64_t *ret_ms);

/* Text of words, and a line end: wrapped to a terminal of 80 columns, from column `at` on. */
void cli_wrapped_print(FILE *file, const char *text, int at);
void cli_help_print(FILE *file);
/* All subcommands for a manual page, in the language of scdoc(5). */
void cli_print_manual(FILE *file);
void cli_command_help_print(FILE *file, const struct cli_command *command);
