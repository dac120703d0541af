/* base/out.h — the answer bytes of one connection: one contiguous buffer plus borrowed blobs.
 *
 *    buf:   VALUE a 0 9000\r\n | \r\nEND\r\n ...
 *    blobs:                    ^ at=17: spans of a large value that lies elsewhere
 *
 * Small answers are formatted straight into the buffer (out_reserve, write, out_commit). A value
 * too large to be worth copying is sent from where it lies: out_blob() remembers its spans and the
 * place in the buffer where they belong, and calls `release` once they are sent or dropped.
 *
 * Sending: out_iovecs() shows what waits, out_consume() tells what the socket took; a blob is
 * released with its last byte. Nothing is appended to an `out` that is partly sent.
 *
 * Includes: base.  Included by: stat, logger, proto, gate, cmd, net, server.
 * Threads:  one owner at a time.
 * Memory:   grows by doubling; out_reset() keeps up to OUT_BYTES_KEPT of it, out_fini() frees it.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

struct iovec;

enum { OUT_BYTES_KEPT = 512 * 1024 }; /* twice the high-water mark of pending answers */

struct out_blob {
    size_t at;                 /* offset in buf before which the spans are sent */
    const struct bytes *spans; /* borrowed until release(owner) */
    size_t span_count;
    uint64_t bytes; /* sum of the spans */
    void (*release)(void *owner);
    void *owner;
};

struct out {
    uint8_t *buf;
    size_t len, cap;
    struct out_blob *blobs;
    size_t blob_count, blob_cap;
    uint64_t blob_bytes; /* of all blobs, still to be sent */
    size_t sent;         /* bytes of buf */
    size_t blobs_sent;   /* whole blobs, released; of the next one: */
    size_t spans_sent, span_bytes_sent;
    bool failed; /* memory ran out: answers are incomplete, the connection must close */
};

void out_init(struct out *out);
void out_fini(struct out *out);  /* releases blobs, frees the buffer */
void out_reset(struct out *out); /* releases blobs, empties the buffer, keeps its memory */
/* Move what waits in `src` to `dst` (just initialised), and leave `src` empty and usable. The
 * memory of `dst` fits what it holds: a few left-over bytes do not keep a large buffer. */
void out_move(struct out *dst, struct out *src);

/* Slow path of out_reserve: grow. Returns NULL and sets `failed` when memory ran out. */
uint8_t *out_grow(struct out *out, size_t bytes);

/* Room for `bytes` more bytes at the end; write them, then out_commit() what was written.
 * Returns NULL when memory ran out (sticky, see `failed`). */
MUST_USE static inline uint8_t *out_reserve(struct out *out, size_t bytes)
{
    if (LIKELY(out->cap - out->len >= bytes))
        return out->buf + out->len;
    return out_grow(out, bytes);
}

static inline void out_commit(struct out *out, size_t bytes)
{
    out->len += bytes;
}

static inline void out_put(struct out *out, const void *ptr, size_t len)
{
    uint8_t *dst = out_reserve(out, len);
    if (LIKELY(dst != NULL) && len > 0) {
        memcpy(dst, ptr, len);
        out->len += len;
    }
}

static inline void out_put_str(struct out *out, const char *text)
{
    out_put(out, text, strlen(text));
}

void out_put_u64(struct out *out, uint64_t value);
void out_printf(struct out *out, const char *format, ...) PRINTF_LIKE(2, 3);

/* Send `count` spans here without copying them. `release(owner)` is called exactly once, also
 * when this call fails (out->failed). */
void out_blob(struct out *out, const struct bytes *spans, size_t count,
              void (*release)(void *owner), void *owner);

/* Bytes waiting, blobs included. */
static inline uint64_t out_bytes(const struct out *out)
{
    return out->len - out->sent + out->blob_bytes;
}

/* Write the next pieces to be sent to iov[0..max). Returns how many; 0 when nothing waits. */
size_t out_iovecs(const struct out *out, struct iovec *iov, size_t max);
/* The first `bytes` of these were sent; bytes <= out_bytes(). */
void out_consume(struct out *out, uint64_t bytes);
/* Copy the next `len` bytes to `dst` and take them off; len <= out_bytes(). */
void out_take(struct out *out, uint8_t *dst, size_t len);
