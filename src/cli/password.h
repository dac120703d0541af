/* cli/password.h — the password of a login, from a file or the environment; never from the command
 * line, which other users of the machine can read.
 *
 * Includes: base.  Included by: cli.
 * Memory:   the caller wipes what it got.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_PASSWORD_BYTES = 1025, CLI_PASSWORD_FAULT_BYTES = 300 }; /* each with its NUL */

/* The first line of `file`, or MATTE_PASSWORD where `file` is NULL. Returns false with a line for
 * the user in `fault`. */
MUST_USE bool cli_password_read(const char *file, char ret_password[CLI_PASSWORD_BYTES],
                                char fault[CLI_PASSWORD_FAULT_BYTES]);
