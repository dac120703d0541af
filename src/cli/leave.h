/* cli/leave.h — what must be undone however the program ends: a file that is not whole yet, a
 * terminal that is not as it was.
 *
 * Signals that end the program (INT, TERM, HUP, QUIT and those of a fault of ours) undo it first.
 *
 * Includes: base.  Included by: cli.
 * Threads:  one.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <termios.h>

#include "base/attr.h"
#include "base/bytes.h"

/* Remove `path`, which stays the caller's, if a signal comes; NULL: no more. */
void cli_leave_file(const char *path);

/* Make the terminal give every key at once and without echo, and write `enter` (perhaps nothing) to
 * it. Returns false, with nothing changed, when it is none. */
MUST_USE bool cli_leave_raw(const char *enter, const char *leave);
/* The terminal as it was, after `leave`. May be called at any time. */
void cli_leave_cooked(void);
