/* cli/terminal.h — asking for a password, unseen.
 *
 * Includes: base, cli/password.h.  Included by: cli.
 * Threads:  one; signal handlers are set and given back.
 * Memory:   the caller wipes what it got.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/password.h"

/* Ask on the terminal (not on standard input), twice, until both are the same. Returns false with a
 * line for the user in `fault`. A signal that ends the program finds the terminal as it was. */
MUST_USE bool cli_terminal_password(const char *question, char ret_password[CLI_PASSWORD_BYTES],
                                    char fault[CLI_PASSWORD_FAULT_BYTES]);
