/* cli/cli_priv.h — what the subcommands share.
 *
 * Includes: base.  Included by: cli.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/args.h"
#include "cli/cli.h"

#ifndef MATTE_VERSION
#define MATTE_VERSION "unversioned"
#endif

/* The handlers. */
#define SUBCOMMAND(name, ...) enum cli_exit cli_##name(const struct cli_args *args);
#include "tbl/subcommands.def"

/* Print "matte: ..." on stderr. Bytes of a server among the arguments must be made printable
 * before (cli_text_format()). */
void cli_error(const char *format, ...) PRINTF_LIKE(1, 2);

/* From here on the last message is kept in `text` of `cap` bytes and not printed; NULL ends that.
 * For who asks many servers and shows what came of it in a place of its own. */
void cli_error_catch(char *text, size_t cap);

/* Run a subcommand on its words and options; what they do not say is as in `defaults`. */
enum cli_exit cli_command_run(const struct cli_command *command, const struct cli_args *defaults,
                              int argc, char **argv);

/* The server of a subcommand that takes its address as a word as well as by --server; NULL after an
 * error line when it is named twice. */
const char *cli_server_word(const struct cli_args *args);

/* Fill `dst` with `count` (up to 256) bytes that nobody can guess. */
void cli_random(void *dst, size_t count);
