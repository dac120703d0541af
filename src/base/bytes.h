/* base/bytes.h — a borrowed run of bytes, passed by value.
 *
 * Includes: nothing of ours.  Included by: all.
 * Memory:   never owns; whoever hands out a `struct bytes` says how long it lives.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *ptr; /* may be NULL when len is 0 */
    size_t len;
};

static inline struct bytes bytes_of(const void *ptr, size_t len)
{
    return (struct bytes){.ptr = ptr, .len = len};
}

/* Wrap a C string without its NUL. */
static inline struct bytes bytes_str(const char *text)
{
    return bytes_of(text, strlen(text));
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Is `bytes` exactly the C string `text`? */
static inline bool bytes_is(struct bytes bytes, const char *text)
{
    return bytes_equal(bytes, bytes_str(text));
}

static inline bool bytes_starts(struct bytes bytes, struct bytes prefix)
{
    return bytes.len >= prefix.len &&
           (prefix.len == 0 || memcmp(bytes.ptr, prefix.ptr, prefix.len) == 0);
}

/* What is left of `bytes` behind its first `count`; count <= bytes.len. */
static inline struct bytes bytes_skip(struct bytes bytes, size_t count)
{
    return bytes_of(bytes.ptr + count, bytes.len - count);
}

/* Cut the first line off `rest`, which is not empty. Returns it without its end, LF or CR LF. */
static inline struct bytes bytes_line_take(struct bytes *rest)
{
    const uint8_t *lf = memchr(rest->ptr, '\n', rest->len);
    const size_t len = lf != NULL ? (size_t)(lf - rest->ptr) : rest->len;
    const struct bytes line = bytes_of(rest->ptr, len);
    *rest = bytes_skip(*rest, lf != NULL ? len + 1 : len);
    return len > 0 && line.ptr[len - 1] == '\r' ? bytes_of(line.ptr, len - 1) : line;
}

/* Cut what stands before the first `separator` off `rest`: all of it when there is none. *ret_more
 * (may be NULL): there was one, so that another part follows, be it empty. */
static inline struct bytes bytes_part_take(struct bytes *rest, char separator, bool *ret_more)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    const size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    const struct bytes part = bytes_of(rest->ptr, len);
    if (ret_more != NULL)
        *ret_more = end != NULL;
    *rest = bytes_skip(*rest, end != NULL ? len + 1 : len);
    return part;
}
