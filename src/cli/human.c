/* cli/human.c — figures as people read them.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/human.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/num.h"

char *cli_human_count(char dst[CLI_HUMAN_BYTES], uint64_t count)
{
    char digits[NUM_U64_DIGITS_MAX + 1];
    const int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    char *at = dst;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return dst;
}

/* `value` below 1000 (1024) of one of the units, with three digits. */
static char *scaled(char dst[CLI_HUMAN_BYTES], double value, double step, const char *const units[])
{
    size_t unit = 0;
    while (value >= step * 0.9995 && units[unit + 1] != NULL) {
        value /= step;
        unit++;
    }
    const int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(dst, CLI_HUMAN_BYTES, "%.*f%s", decimals, value, units[unit]);
    return dst;
}

char *cli_human_short(char dst[CLI_HUMAN_BYTES], double count)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E", NULL};
    if (count < 9.95 && count != (double)(uint64_t)count) {
        snprintf(dst, CLI_HUMAN_BYTES, "%.1f", count);
        return dst;
    }
    return scaled(dst, count, 1000, units);
}

char *cli_human_bytes(char dst[CLI_HUMAN_BYTES], double bytes)
{
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB", NULL};
    return scaled(dst, bytes, 1024, units);
}

char *cli_human_seconds(char dst[CLI_HUMAN_BYTES], uint64_t seconds)
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t unit = 0;
    while (unit < COUNT_OF(units) - 1 && seconds < units[unit].seconds)
        unit++;
    int at = snprintf(dst, CLI_HUMAN_BYTES, "%" PRIu64 " %s", seconds / units[unit].seconds,
                      units[unit].name);
    if (unit + 1 < COUNT_OF(units)) {
        const uint64_t rest = seconds % units[unit].seconds / units[unit + 1].seconds;
        if (rest > 0)
            snprintf(dst + at, (size_t)(CLI_HUMAN_BYTES - at), " %" PRIu64 " %s", rest,
                     units[unit + 1].name);
    }
    return dst;
}

char *cli_human_us(char dst[CLI_HUMAN_BYTES], double us)
{
    const char *unit = us < 999.5 ? "us" : us < 999500 ? "ms" : "s";
    const double value = us < 999.5 ? us : us < 999500 ? us / 1000 : us / 1000000;
    const int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(dst, CLI_HUMAN_BYTES, "%.*f %s", decimals, value, unit);
    return dst;
}

char *cli_human_time(char dst[CLI_HUMAN_BYTES], uint64_t unix_s)
{
    const time_t time = (time_t)unix_s;
    struct tm tm;
    /* Later than the year 9999 nobody means: it is a number that is no time. */
    if (unix_s > 253402300799 || gmtime_r(&time, &tm) == NULL ||
        strftime(dst, CLI_HUMAN_BYTES, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(dst, CLI_HUMAN_BYTES, "%" PRIu64, unix_s);
    return dst;
}

bool cli_real_parse(struct bytes text, double *ret_value)
{
    if (text.len == 0)
        return false;
    const bool negative = text.ptr[0] == '-';
    if (negative)
        text = bytes_skip(text, 1);
    bool has_fraction;
    struct bytes whole = bytes_part_take(&text, '.', &has_fraction);
    uint64_t number, fraction = 0;
    if (!num_parse_u64(whole, UINT64_MAX, &number))
        return false;
    if (text.len > 18)
        text.len = 18; /* more digits than a double tells apart */
    if (has_fraction && !num_parse_u64(text, UINT64_MAX, &fraction))
        return false;
    double part = (double)fraction;
    for (size_t i = 0; i < text.len; i++)
        part /= 10;
    const double value = (double)number + part;
    *ret_value = negative ? -value : value;
    return true;
}

bool cli_is_json_number(struct bytes text)
{
    double value;
    if (!cli_real_parse(text, &value))
        return false;
    if (text.ptr[0] == '-')
        text = bytes_skip(text, 1);
    for (size_t i = 0; i < text.len; i++) /* cli_real_parse() does not look at all of them */
        if (text.ptr[i] != '.' && (text.ptr[i] < '0' || text.ptr[i] > '9'))
            return false;
    const uint8_t *dot = memchr(text.ptr, '.', text.len);
    if (dot != NULL && memchr(dot + 1, '.', text.len - (size_t)(dot + 1 - text.ptr)) != NULL)
        return false;
    return text.ptr[0] != '0' || text.len == 1 || text.ptr[1] == '.';
}
