/* cli/item.h — what the subcommands about single items share.
 *
 * Includes: base.  Included by: cli.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "cli/cli_priv.h"
#include "cli/link.h"

enum {
    CLI_KEY_BYTES_MAX = 250,
    CLI_KEYS_MAX = 65, /* words_max of their rows */
};

/* Keys as the text protocol has them: with a blank or a line end in it, it would be something else
 * than a key. Returns false after an error line. */
MUST_USE bool cli_keys_fine(char *const *keys, int count);

/* The lifetime that `text` says. Returns false after an error line. */
MUST_USE bool cli_exptime_fine(const char *text, int64_t *ret_exptime);

/* "value":"..." where it is UTF-8, "value_base64":"..." where it is not. */
void cli_json_value(struct bytes value);
