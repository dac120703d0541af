/* cli/cli_priv.h — what the subcommands share.
 *
 * Includes: base.  Included by: cli.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/args.h"
#include "cli/cli.h"

/* The handlers. */
#define SUBCOMMAND(name, ...) enum cli_exit cli_##name(const struct cli_args *args);
#include "tbl/subcommands.def"

/* Print "matte: ..." on stderr. Bytes of a server among the arguments must be made printable
 * before (cli/text.h). */
void cli_error(const char *format, ...) PRINTF_LIKE(1, 2);

/* The server of a subcommand that takes its address as a word as well as by --server; NULL after an
 * error line when it is named twice. */
const char *cli_server_word(const struct cli_args *args);

/* Fill `dst` with `count` (up to 256) bytes that nobody can guess. */
void cli_random(void *dst, size_t count);
