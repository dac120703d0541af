/* cli/manual.c — the subcommands as a manual page tells them: what `matte help` says of each.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/attr.h"
#include "cli/args.h"

enum { NAME_BYTES = 32 };

/* Users write '-' for '_'. */
static void name_copy(char dst[NAME_BYTES], const char *name)
{
    snprintf(dst, NAME_BYTES, "%s", name);
    for (char *at; (at = strchr(dst, '_')) != NULL;)
        *at = '-';
}

void cli_print_manual(FILE *file)
{
    static const char *const names[] = {
#define SUBCOMMAND(name, ...) #name,
#include "tbl/subcommands.def"
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char name[NAME_BYTES];
        name_copy(name, names[i]);
        fprintf(file, "## %s\n\n```\n", name);
        cli_command_help_print(file, cli_command_find(name));
        fputs("```\n\n", file);
    }
}
