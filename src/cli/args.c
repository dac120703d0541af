/* cli/args.c — the options of a subcommand.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/args.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/num.h"
#include "cli/cli_priv.h"

static const struct cli_option_row options[] = {
#define OPTION(id, field, kind, letter, name, word, dflt, min, max, help)                          \
    {CLI_##id,                                                                                     \
     CLI_KIND_##kind,                                                                              \
     letter,                                                                                       \
     name,                                                                                         \
     word,                                                                                         \
     dflt,                                                                                         \
     min,                                                                                          \
     max,                                                                                          \
     offsetof(struct cli_args, field),                                                             \
     help},
#include "tbl/cli_options.def"
};
_Static_assert(CLI_OPTION_COUNT <= 64, "a set of options is a uint64_t");

static const struct cli_command commands[] = {
#define HEADING(text) {.heading = (text)},
#define SUBCOMMAND(id, arguments, words_min, words_max, options, help, text)                       \
    {NULL, #id, arguments, words_min, words_max, options, cli_##id, help, text},
#include "tbl/subcommands.def"
};

static bool name_is(const char *id, const char *name)
{
    while (*id != '\0' && (*id == *name || (*id == '_' && *name == '-'))) {
        id++;
        name++;
    }
    return *id == *name;
}

const struct cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (commands[i].id != NULL && name_is(commands[i].id, name))
            return &commands[i];
    return NULL;
}

const struct cli_command *cli_command_at(size_t index)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (commands[i].id != NULL && index-- == 0)
            return &commands[i];
    return NULL;
}

const char *cli_command_name(const struct cli_command *command, char ret_name[CLI_NAME_BYTES])
{
    snprintf(ret_name, CLI_NAME_BYTES, "%s", command->id);
    for (char *at = ret_name; *at != '\0'; at++)
        *at = *at == '_' ? '-' : *at;
    return ret_name;
}

const struct cli_option_row *cli_option_at(size_t index)
{
    return index < COUNT_OF(options) ? &options[index] : NULL;
}

/* ── values ───────────────────────────────────────────────────────────────────────────────── */

/* A command line being read. */
struct parse {
    const struct cli_command *command;
    struct cli_args *args;
    char *fault;
};

static bool refuse(struct parse *parse, const char *format, ...) PRINTF_LIKE(2, 3);

/* Say why; always returns false. */
static bool refuse(struct parse *parse, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(parse->fault, CLI_FAULT_BYTES, format, args);
    va_end(args);
    return false;
}

bool cli_time_parse(struct bytes text, uint64_t max_ms, uint64_t *ret_ms)
{
    const uint8_t *dot = text.len == 0 ? NULL : memchr(text.ptr, '.', text.len);
    struct bytes whole = text, part = bytes_of(NULL, 0);
    uint64_t s, part_ms = 0;
    if (dot != NULL) {
        whole.len = (size_t)(dot - text.ptr);
        part = bytes_skip(text, whole.len + 1);
        if (part.len < 1 || part.len > 3 || !num_parse_u64(part, 999, &part_ms))
            return false;
    }
    for (size_t i = part.len; i < 3; i++)
        part_ms *= 10;
    if (!num_parse_u64(whole, max_ms / 1000, &s) || s * 1000 + part_ms > max_ms)
        return false;
    *ret_ms = s * 1000 + part_ms;
    return true;
}

static bool text_add(struct cli_texts *field, const char *text)
{
    if (field->count == CLI_TEXTS_MAX)
        return false;
    field->at[field->count++] = text;
    return true;
}

static bool number_set(int64_t *field, const struct cli_option_row *row, struct bytes text)
{
    int64_t value;
    if (!num_parse_i64(text, &value) || value < row->min || value > row->max)
        return false;
    *field = value;
    return true;
}

/* Set the row's field. Returns false when the text is not in its range. */
static bool value_set(struct cli_args *args, const struct cli_option_row *row, const char *text)
{
    void *field = (char *)args + row->offset;
    const struct bytes bytes = bytes_str(text);
    int64_t number;
    switch (row->kind) {
    case CLI_KIND_FLAG:
        *(bool *)field = true;
        return true;
    case CLI_KIND_TEXT:
        *(const char **)field = text;
        return bytes.len >= (size_t)row->min && bytes.len <= (size_t)row->max;
    case CLI_KIND_TEXTS:
        return bytes.len >= (size_t)row->min && bytes.len <= (size_t)row->max &&
               text_add(field, text);
    case CLI_KIND_NUMBER:
        if (!number_set(&number, row, bytes))
            return false;
        *(uint64_t *)field = (uint64_t)number;
        return true;
    case CLI_KIND_SIGNED:
        return number_set(field, row, bytes);
    case CLI_KIND_TIME_MS:
        return cli_time_parse(bytes, (uint64_t)row->max, field) &&
               *(uint64_t *)field >= (uint64_t)row->min;
    }
    return false;
}

static bool value_refuse(struct parse *parse, const struct cli_option_row *row, const char *text)
{
    switch (row->kind) {
    case CLI_KIND_FLAG:
    case CLI_KIND_TEXT:
        return refuse(parse, "--%s: a text of %lld to %lld bytes", row->name, (long long)row->min,
                      (long long)row->max);
    case CLI_KIND_TEXTS:
        return refuse(parse, "--%s: a text of %lld to %lld bytes, %d times at most", row->name,
                      (long long)row->min, (long long)row->max, CLI_TEXTS_MAX);
    case CLI_KIND_NUMBER:
    case CLI_KIND_SIGNED:
        return refuse(parse, "--%s: '%.40s' is not a number from %lld to %lld", row->name, text,
                      (long long)row->min, (long long)row->max);
    case CLI_KIND_TIME_MS:
        return refuse(parse, "--%s: '%.40s' is not a time from %g to %g seconds", row->name, text,
                      (double)row->min / 1000, (double)row->max / 1000);
    }
    return false;
}

/* ── the line ─────────────────────────────────────────────────────────────────────────────── */

/* Is it "--name", "--name=value", "-c" or "-cvalue" of this row? *ret_value is what stands behind
 * it in the same word, or NULL. */
static bool option_is(const struct cli_option_row *row, const char *word, const char **ret_value)
{
    const size_t len = strlen(row->name);
    *ret_value = NULL;
    if (word[1] != '-') {
        if (row->letter == '\0' || word[1] != row->letter)
            return false;
        if (word[2] != '\0')
            *ret_value = word + 2;
        return true;
    }
    if (strncmp(word + 2, row->name, len) != 0)
        return false;
    const char *behind = word + 2 + len;
    if (*behind == '=')
        *ret_value = behind + 1;
    return *behind == '=' || *behind == '\0';
}

/* The row that the word stands for: one of the subcommand's, or else of another one, or NULL. */
static const struct cli_option_row *option_find(const struct parse *parse, const char *word,
                                                const char **ret_value)
{
    const struct cli_option_row *other = NULL;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if (!option_is(&options[i], word, ret_value))
            continue;
        if ((options[i].bit & parse->command->options) != 0)
            return &options[i];
        other = &options[i];
    }
    return other;
}

/* Apply the option argv[*at], and move *at to the last word that it took. */
static bool option_apply(struct parse *parse, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *value;
    const struct cli_option_row *row = option_find(parse, word, &value);
    if (row == NULL)
        return refuse(parse, "there is no option '%.60s'", word);
    if ((parse->command->options & row->bit) == 0)
        return refuse(parse, "'%.60s' is not for this subcommand", word);
    if (row->kind == CLI_KIND_FLAG && value != NULL)
        return refuse(parse, "--%s takes no value", row->name);
    if (row->kind != CLI_KIND_FLAG && value == NULL) {
        if (*at + 1 == argc)
            return refuse(parse, "--%s needs a value: %s", row->name, row->word);
        value = argv[++*at];
    }
    if (!value_set(parse->args, row, value == NULL ? "" : value))
        return value_refuse(parse, row, value);
    parse->args->given |= row->bit;
    return true;
}

void cli_args_defaults(struct cli_args *ret_args)
{
    *ret_args = (struct cli_args){0};
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i].dflt[0] != '\0' && !value_set(ret_args, &options[i], options[i].dflt))
            abort(); /* a row whose default is outside of its own range */
}

bool cli_args_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args,
                    char fault[CLI_FAULT_BYTES])
{
    struct parse parse = {.command = command, .args = args, .fault = fault};
    args->words = argv;
    args->word_count = 0;
    args->given &= command->options;
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!option_apply(&parse, argc, argv, &i))
                return false;
        } else {
            argv[args->word_count++] = argv[i]; /* never behind i */
        }
    }
    if (args->word_count < command->words_min)
        return refuse(&parse, "something is missing: %s", command->arguments);
    if (args->word_count > command->words_max)
        return refuse(&parse, "'%.60s' is one word too many", args->words[command->words_max]);
    return true;
}

/* ── help ─────────────────────────────────────────────────────────────────────────────────── */

void cli_wrapped_print(FILE *file, const char *text, int at)
{
    enum { COLUMNS = 79 };
    int column = at;
    for (const char *blank = ""; *text != '\0'; blank = " ") {
        const int len = (int)strcspn(text, " ");
        if (column + len + 1 > COLUMNS && column > at) {
            fprintf(file, "\n%*s", at, "");
            column = at;
            blank = "";
        }
        column += fprintf(file, "%s%.*s", blank, len, text);
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

void cli_help_print(FILE *file)
{
    fputs("usage: matte SUBCOMMAND [OPTION...] [ARGUMENT...]\n", file);
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        char name[CLI_NAME_BYTES], head[64];
        if (commands[i].heading != NULL) {
            fprintf(file, "\n%s:\n", commands[i].heading);
            continue;
        }
        snprintf(head, sizeof(head), "%s %s", cli_command_name(&commands[i], name),
                 commands[i].arguments);
        const int at = fprintf(file, "  %-28s ", head);
        cli_wrapped_print(file, commands[i].help, at);
    }
    fputs("\nWithout a subcommand, on a terminal: a prompt (`matte help shell`).\n"
          "`matte help SUBCOMMAND` tells its options; `matte --version` the version.\n"
          "Exit status: 0 fine, 1 the answer is no, 2 no answer could be had,\n"
          "64 a wrong call.\n",
          file);
}

static void option_help_print(FILE *file, const struct cli_option_row *row)
{
    char head[64], letter[8] = "    ", text[256];
    if (row->letter != '\0')
        snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    snprintf(head, sizeof(head), "%s--%s%s%s", letter, row->name, row->word[0] != '\0' ? "=" : "",
             row->word);
    snprintf(text, sizeof(text), "%s%s%s%s", row->help, row->dflt[0] != '\0' ? " (" : "", row->dflt,
             row->dflt[0] != '\0' ? ")" : "");
    const int at = fprintf(file, "  %-28s ", head);
    cli_wrapped_print(file, text, at);
}

void cli_command_help_print(FILE *file, const struct cli_command *command)
{
    char name[CLI_NAME_BYTES];
    fprintf(file, "usage: matte %s%s%s%s\n\n%s\n%s", cli_command_name(command, name),
            command->options != 0 ? " [OPTION...] " : "",
            command->options == 0 && command->arguments[0] != '\0' ? " " : "", command->arguments,
            command->help, command->text);
    if (command->options != 0)
        fputc('\n', file);
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if ((command->options & options[i].bit) != 0)
            option_help_print(file, &options[i]);
}
