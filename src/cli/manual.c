/* cli/manual.c — the subcommands as a manual page tells them: what `matte help` says of each.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/args.h"

void cli_print_manual(FILE *file)
{
    char name[CLI_NAME_BYTES];
    const struct cli_command *command;
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++) {
        fprintf(file, "## %s\n\n```\n", cli_command_name(command, name));
        cli_command_help_print(file, command);
        fputs("```\n\n", file);
    }
}
