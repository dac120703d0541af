/* base/log.h — lines for the operator on stderr.
 *
 * The level is -v: 0 errors only, 1 what happens to the server, 2 what happens to connections, 3
 * internals. Nothing on the path of requests logs.
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

/* Print a line; `format` without the line end. */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
