/* manual — prints what manual pages have from the tables, for tools/manual.py; part of the build,
 * never installed.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "opt/opt.h"
#include "stat/stat.h"

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(FILE *file);
    } sections[] = {
        {"options", opt_print_manual},
        {"statistics", stat_print_manual},
        {"subcommands", cli_print_manual},
    };
    for (size_t i = 0; argc == 2 && i < COUNT_OF(sections); i++)
        if (strcmp(argv[1], sections[i].name) == 0) {
            sections[i].print(stdout);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    fputs("usage: manual options|statistics|subcommands\n", stderr);
    return EXIT_FAILURE;
}
