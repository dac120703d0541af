/* cli/metadump.h — lines of `lru_crawler metadump`, and which of them are wanted.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * Spec:     memcached 1.6.45, lru_crawler metadump.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { CLI_META_KEY_BYTES_MAX = 250 };

/* An item as a metadump tells of it. */
struct cli_meta {
    uint8_t key[CLI_META_KEY_BYTES_MAX];
    size_t key_bytes;
    bool expires;
    uint64_t expires_s; /* Unix time, where it expires */
    uint64_t access_s;  /* Unix time of the last use */
    uint64_t cas_unique;
    uint64_t size_bytes; /* of the item with its key and header */
    bool fetched;
};

/* Read a line without its end: "key=... exp=... la=... ...", the key percent-encoded. Words that
 * are not known are passed over. Returns false when it is no such line. */
MUST_USE bool cli_meta_parse(struct bytes line, struct cli_meta *ret_meta);

/* Which items are wanted. All zero: every one. */
struct cli_filter {
    struct bytes prefix, glob;   /* glob: len 0 takes all */
    uint64_t size_min, size_max; /* size_max 0: no limit */
    bool has_ttl, ttl_never;     /* wanted are those that never expire, or */
    uint64_t ttl_min, ttl_max;   /* those whose rest of life is so long, in seconds */
};

/* Read what --ttl says: "never", "N" (at most N), "MIN..MAX", "MIN.." or "..MAX". Returns false on
 * anything else. */
MUST_USE bool cli_filter_ttl_parse(struct bytes text, struct cli_filter *filter);
/* `now_s` is Unix time. */
bool cli_filter_takes(const struct cli_filter *filter, const struct cli_meta *meta, uint64_t now_s);

/* Does all of `text` match `pattern`? '*' is any bytes, '?' one, [a-z] one of these, [^a-z] one of
 * the others, and a '\' takes the next byte as it is. In time pattern * text, whatever they are. */
bool cli_glob_match(struct bytes pattern, struct bytes text);

/* The key as a word of printable ASCII: what is none of it, and '%', become %XX. Returns dst. */
enum { CLI_KEY_TEXT_BYTES = 3 * CLI_META_KEY_BYTES_MAX + 1 };
char *cli_key_format(char dst[CLI_KEY_TEXT_BYTES], struct bytes key);
/* A key that the text protocol has no word for: it must be sent in base64. */
bool cli_key_is_binary(struct bytes key);
