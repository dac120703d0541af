/* cli/human.h — figures as people read them.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_HUMAN_BYTES = 40 }; /* of each text, with its NUL */

/* Each returns `dst`. */
char *cli_human_count(char dst[CLI_HUMAN_BYTES], uint64_t count); /* 12,345,678 */
char *cli_human_short(char dst[CLI_HUMAN_BYTES], double count);   /* 12.3M: 6 characters at most */
char *cli_human_bytes(char dst[CLI_HUMAN_BYTES], double bytes);   /* 12.3 MiB */
char *cli_human_seconds(char dst[CLI_HUMAN_BYTES], uint64_t seconds); /* 3 d 4 h */
char *cli_human_us(char dst[CLI_HUMAN_BYTES], double us);             /* 12.3 ms */
char *cli_human_time(char dst[CLI_HUMAN_BYTES], uint64_t unix_s);     /* 2026-01-31 23:59:59 UTC */

/* A number as the statistics have them: digits, perhaps a '-' before and a fraction behind. */
MUST_USE bool cli_real_parse(struct bytes text, double *ret_value);
/* Is it a number of JSON as it stands? */
bool cli_is_json_number(struct bytes text);
