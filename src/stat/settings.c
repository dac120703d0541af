/* stat/settings.c — `stats settings`, from the rows of tbl/settings.def.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "stat/stat.h"

static void put_NUMBER(struct out *out, uint64_t value)
{
    out_put_u64(out, value);
}

static void put_INT(struct out *out, int32_t value)
{
    out_printf(out, "%" PRId32, value);
}

static void put_YES(struct out *out, bool value)
{
    out_put_str(out, value ? "yes" : "no");
}

static void put_TEXT(struct out *out, const char *value)
{
    out_put_str(out, value != NULL ? value : "NULL");
}

static void put_OR_NULL(struct out *out, uint64_t value)
{
    if (value > 0)
        out_put_u64(out, value);
    else
        out_put_str(out, "(null)");
}

static void put_TLS_VERSION(struct out *out, uint32_t value)
{
    out_printf(out, "tlsv1.%" PRIu32, value);
}

static void put_CHAR(struct out *out, char value)
{
    out_put(out, &value, 1);
}

static void put_OCTAL(struct out *out, uint32_t value)
{
    out_printf(out, "%" PRIo32, value);
}

static void put_REAL(struct out *out, double value)
{
    out_printf(out, "%.2f", value);
}

void stat_print_settings(struct out *out, const struct opts *opts, const struct stat_settings *live)
{
#define SETTING(name, format, value)                                                               \
    out_put_str(out, "STAT " name " ");                                                            \
    put_##format(out, value);                                                                      \
    out_put_str(out, "\r\n");
#include "tbl/settings.def"
}
