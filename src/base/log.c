/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

/* Relaxed: a line more or less around a change does not matter. */
static _Atomic unsigned current_level;

void log_level_set(unsigned level)
{
    atomic_store_explicit(&current_level, level, memory_order_relaxed);
}

unsigned log_level_get(void)
{
    return atomic_load_explicit(&current_level, memory_order_relaxed);
}

static void line_write(const char *who, const char *format, va_list args) PRINTF_LIKE(2, 0);

static void line_write(const char *who, const char *format, va_list args)
{
    char line[LINE_BYTES];
    int len = snprintf(line, sizeof(line), "%s", who);
    const int more = vsnprintf(line + len, sizeof(line) - 1 - (size_t)len, format, args);
    if (more < 0)
        return;
    len += more;
    if (len > LINE_BYTES - 2) /* too long: cut */
        len = LINE_BYTES - 2;
    line[len++] = '\n';
    (void)!write(STDERR_FILENO, line, (size_t)len);
}

void log_line(enum log_level level, const char *format, ...)
{
    if ((unsigned)level > log_level_get())
        return;
    va_list args;
    va_start(args, format);
    line_write("matted: ", format, args);
    va_end(args);
}

void log_plain(enum log_level level, const char *format, ...)
{
    if ((unsigned)level > log_level_get())
        return;
    va_list args;
    va_start(args, format);
    line_write("", format, args);
    va_end(args);
}
