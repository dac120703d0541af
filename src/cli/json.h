/* cli/json.h — pieces of JSON on a stream.
 *
 * Includes: base, proto.  Included by: cli and its tests.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "base/bytes.h"

/* Is it UTF-8 as RFC 3629 has it: no overlong form, no surrogate, up to U+10FFFF? */
bool cli_utf8_valid(struct bytes bytes);

/* `bytes` as a string with its quotes. What is not UTF-8 is written as U+00XX per byte, so that the
 * result is always valid; where each byte counts, ask cli_utf8_valid() first. */
void cli_json_string(FILE *file, struct bytes bytes);
/* In base64, with its quotes. */
void cli_json_base64(FILE *file, struct bytes bytes);
