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
/* The same as bits, for sets of options. */
enum cli_option {
#define OPTION(id, ...) CLI_##id = 1 << CLI_NUMBER_##id,
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
    uint32_t given; /* set of enum cli_option: not the default */
    char **words;   /* what is no option */
    int word_count;
};

struct cli_command {
    const char *name, *arguments;
    int words_min, words_max;
    uint32_t options; /* set of enum cli_option */
    enum cli_exit (*run)(const struct cli_args *args);
    const char *help, *text;
};

enum { CLI_FAULT_BYTES = 200 };

/* The subcommand `name`, or NULL. */
const struct cli_command *cli_command_find(const char *name);

/* Read what follows the subcommand: `argv` of `argc` words, which are put into another order.
 * Returns false with a line for the user in `fault`. */
MUST_USE bool cli_args_parse(const struct cli_command *command, int argc, char **argv,
                             struct cli_args *ret_args, char fault[CLI_FAULT_BYTES]);

/* Seconds with up to three decimals, as milliseconds. Returns false on anything else, and above
 * `max_ms`. */
MUST_USE bool cli_time_parse(struct bytes text, uint64_t max_ms, uint64_t *ret_ms);

/* Text of words, and a line end: wrapped to a terminal of 80 columns, from column `at` on. */
void cli_wrapped_print(FILE *file, const char *text, int at);
void cli_help_print(FILE *file);
/* All subcommands for a manual page, in the language of scdoc(5). */
void cli_print_manual(FILE *file);
void cli_command_help_print(FILE *file, const struct cli_command *command);
