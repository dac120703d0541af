/* opt/table.c — tbl/options.def as an array.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "opt/opt_priv.h"

#include <assert.h>

#define ROW(row_type, field_, kind_, letter_, name_, dflt_, min_, max_, when_, help_)              \
    {.type = row_type,                                                                             \
     .kind = OPT_KIND_##kind_,                                                                     \
     .when = OPT_WHEN_##when_,                                                                     \
     .letter = letter_,                                                                            \
     .name = name_,                                                                                \
     .field = #field_,                                                                             \
     .dflt = dflt_,                                                                                \
     .help = help_,                                                                                \
     .min = min_,                                                                                  \
     .max = max_,                                                                                  \
     .offset = offsetof(struct opts, field_)},

const struct opt_row opt_rows[] = {
#define GROUP(section, title) {.type = OPT_ROW_GROUP, .field = section, .name = title},
#define OPT(...)              ROW(OPT_ROW_OPT, __VA_ARGS__)
#define SUB(...)              ROW(OPT_ROW_SUB, __VA_ARGS__)
#define PRESET(name_, list, help_)                                                                 \
    {.type = OPT_ROW_PRESET, .name = name_, .dflt = list, .help = help_},
#define ACTION(_, letter_, name_, help_)                                                           \
    {.type = OPT_ROW_ACTION, .letter = letter_, .name = name_, .help = help_},
#define ABSENT(prefix, why) {.type = OPT_ROW_ABSENT, .name = prefix, .help = why},
#include "tbl/options.def"
};

const size_t opt_row_count = COUNT_OF(opt_rows);
static_assert(COUNT_OF(opt_rows) <= OPT_ROWS_MAX, "raise OPT_ROWS_MAX");
