/* web/door.h — who may see the admin listener: names in Host, and tokens.
 *
 *     Host: a page of a stranger can have its name point to 127.0.0.1 (DNS rebinding), and then
 *           read what is served there; but its requests still carry its name. So on a loopback
 *           address only names of this machine are answered.
 *     Token: `Authorization: Bearer TOKEN`, or the password of `Basic` with any user, for browsers.
 *
 * Includes: base, proto (base64).  Included by: web, server.
 * Threads:  any; pure, but for door_tokens_load(), which reads a file.
 * Memory:   of tokens only digests are kept.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    DOOR_TOKENS_MAX = 16,
    DOOR_TOKEN_BYTES_MIN = 16, /* shorter ones are guessed */
    DOOR_TOKEN_BYTES_MAX = 256,
    DOOR_DIGEST_BYTES = 32,
    DOOR_FILE_BYTES_MAX = 8192,
    DOOR_ERROR_BYTES = 512,
};

struct door_tokens {
    uint8_t digest[DOOR_TOKENS_MAX][DOOR_DIGEST_BYTES]; /* SHA-256 */
    size_t count;
};

/* Read the text of a file of tokens: one per line, printable and without blanks; empty lines and
 * those that begin with '#' are left out. Returns NULL, or what is wrong with it. */
MUST_USE const char *door_tokens_parse(struct bytes text, struct door_tokens *ret_tokens);
/* The same from a file, which others than its owner and group must not be able to read. Returns 0
 * or -errno with a line in ret_error[DOOR_ERROR_BYTES]. */
MUST_USE int door_tokens_load(const char *path, struct door_tokens *ret_tokens, char *ret_error);

enum door_rc {
    DOOR_OPEN,    /* it is one of the tokens */
    DOOR_ABSENT,  /* there is none: a browser asks so before it asks its user */
    DOOR_REFUSED, /* a wrong one, or none that can be read */
};

/* Check the value of an Authorization header. Takes as long for every token of the same length. */
MUST_USE enum door_rc door_token_check(const struct door_tokens *tokens,
                                       struct bytes authorization);

/* Is the value of a Host header one of ours: localhost, 127.0.0.1, [::1], or one of `names` (joined
 * by '+'; NULL: none), with any port? An empty one (HTTP/1.0) is: browsers always send it. */
MUST_USE bool door_host_is_ours(struct bytes host, const char *names);
