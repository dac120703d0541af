/* cli/cli.c — from the command line to the subcommand.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/cli_priv.h"

/* Where messages go instead of stderr, or NULL. */
static char *caught;
static size_t caught_cap;

void cli_error_catch(char *text, size_t cap)
{
    caught = text;
    caught_cap = cap;
    if (text != NULL)
        text[0] = '\0';
}

void cli_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (caught != NULL) {
        vsnprintf(caught, caught_cap, format, args);
    } else {
        fputs("matte: ", stderr);
        vfprintf(stderr, format, args);
        fputc('\n', stderr);
    }
    va_end(args);
}

const char *cli_server_word(const struct cli_args *args)
{
    if (args->word_count == 0)
        return args->server;
    if ((args->given & CLI_SERVER) == 0)
        return args->words[0];
    cli_error("the server is named twice: %s and %s", args->server, args->words[0]);
    return NULL;
}

void cli_random(void *dst, size_t count)
{
    if (getrandom(dst, count, 0) != (ssize_t)count)
        abort(); /* up to 256 bytes never fail */
}

static enum cli_exit no_subcommand(const char *name)
{
    cli_error("there is no subcommand '%s'; `matte --help` lists them", name);
    return CLI_USAGE;
}

enum cli_exit cli_help(const struct cli_args *args)
{
    if (args->word_count == 0) {
        cli_help_print(stdout);
        return CLI_FINE;
    }
    const struct cli_command *command = cli_command_find(args->words[0]);
    if (command == NULL)
        return no_subcommand(args->words[0]);
    cli_command_help_print(stdout, command);
    return CLI_FINE;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

enum cli_exit cli_command_run(const struct cli_command *command, const struct cli_args *defaults,
                              int argc, char **argv)
{
    if (wants_help(argc, argv)) {
        cli_command_help_print(stdout, command);
        return CLI_FINE;
    }
    struct cli_args args = *defaults;
    char fault[CLI_FAULT_BYTES], name[CLI_NAME_BYTES];
    if (!cli_args_parse(command, argc, argv, &args, fault)) {
        cli_command_name(command, name);
        cli_error("%s: %s; see `matte help %s`", name, fault, name);
        return CLI_USAGE;
    }
    return command->run(&args);
}

/* A terminal, and no subcommand: nothing at all, or an option of the prompt. */
static bool wants_prompt(int argc, char **argv)
{
    static const char *const others[] = {"-h", "--help", "-V", "--version"};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || (argc > 1 && argv[1][0] != '-'))
        return false;
    for (size_t i = 0; argc > 1 && i < COUNT_OF(others); i++)
        if (strcmp(argv[1], others[i]) == 0)
            return false;
    return true;
}

static enum cli_exit dispatch(int argc, char **argv)
{
    struct cli_args defaults;
    cli_args_defaults(&defaults);
    if (wants_prompt(argc, argv))
        return cli_command_run(cli_command_find("shell"), &defaults, argc - 1, argv + 1);
    if (argc < 2) {
        cli_help_print(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) {
        puts("matte " MATTE_VERSION);
        return CLI_FINE;
    }
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
        name = "help";
    const struct cli_command *command = cli_command_find(name);
    return command == NULL ? no_subcommand(name)
                           : cli_command_run(command, &defaults, argc - 2, argv + 2);
}

int cli_run(int argc, char **argv)
{
    enum cli_exit code = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_error("cannot write the answer");
        code = code == CLI_USAGE ? code : CLI_FAILED;
    }
    return (int)code;
}
