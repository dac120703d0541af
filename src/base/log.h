/* base/log.h — lines for the operator on stderr.
 *
 * The level is -v: 0 errors only, 1 what happens to the server, 2 what happens to connections, 3
 * internals. The path of requests logs at 2 alone.
 *
 * Includes: base.  Included by: all but store and proto.
 * Threads:  any; a line is one write.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>

#include "base/attr.h"

enum log_level { LOG_ERROR, LOG_INFO, LOG_CONN, LOG_DEBUG };

void log_level_set(unsigned level);
unsigned log_level_get(void);

/* Print a line; `format` without the line end. log_plain() leaves out who says it. */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
void log_plain(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
