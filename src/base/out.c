/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/num.h"

enum { OUT_BYTES_FIRST = 16 * 1024, OUT_BLOBS_FIRST = 8 };

void out_init(struct out *out)
{
    *out = (struct out){0};
}

static void release_blobs(struct out *out)
{
    for (size_t i = out->blobs_sent; i < out->blob_count; i++)
        out->blobs[i].release(out->blobs[i].owner);
    out->blob_count = out->blobs_sent = 0;
    out->spans_sent = out->span_bytes_sent = 0;
    out->blob_bytes = 0;
}

void out_fini(struct out *out)
{
    release_blobs(out);
    free(out->buf);
    free(out->blobs);
    *out = (struct out){0};
}

void out_reset(struct out *out)
{
    if (UNLIKELY(out->blob_count > 0))
        release_blobs(out);
    if (UNLIKELY(out->cap > OUT_BYTES_KEPT)) {
        free(out->buf);
        out->buf = NULL;
        out->cap = 0;
    }
    out->len = out->sent = 0;
    out->failed = false;
}

void out_move(struct out *dst, struct out *src)
{
    const size_t len = src->len - src->sent;
    uint8_t *buf = len <= src->cap / 4 && src->blob_count == 0 ? malloc(len + 1) : NULL;
    if (buf == NULL) { /* much is left (or there is no memory for a copy): it goes as it is */
        *dst = *src;
        out_init(src);
        return;
    }
    memcpy(buf, src->buf + src->sent, len);
    *dst = (struct out){.buf = buf, .len = len, .cap = len + 1, .failed = src->failed};
    out_reset(src);
}

uint8_t *out_grow(struct out *out, size_t bytes)
{
    size_t want;
    size_t cap = out->cap > 0 ? out->cap : OUT_BYTES_FIRST;
    if (__builtin_add_overflow(out->len, bytes, &want))
        goto fail;
    while (cap < want)
        if (__builtin_mul_overflow(cap, 2u, &cap))
            goto fail;
    uint8_t *buf = realloc(out->buf, cap);
    if (buf == NULL)
        goto fail;
    out->buf = buf;
    out->cap = cap;
    return buf + out->len;
fail:
    out->failed = true;
    return NULL;
}

void out_put_u64(struct out *out, uint64_t value)
{
    uint8_t *dst = out_reserve(out, NUM_U64_DIGITS_MAX);
    if (dst != NULL)
        out_commit(out, num_format_u64(dst, value));
}

void out_printf(struct out *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len >= 0) {
        uint8_t *dst = out_reserve(out, (size_t)len + 1); /* vsnprintf writes a NUL behind */
        if (dst != NULL) {
            (void)vsnprintf((char *)dst, (size_t)len + 1, format, again);
            out_commit(out, (size_t)len);
        }
    }
    va_end(again);
}

void out_blob(struct out *out, const struct bytes *spans, size_t count,
              void (*release)(void *owner), void *owner)
{
    if (out->blob_count == out->blob_cap) {
        const size_t cap = out->blob_cap > 0 ? out->blob_cap * 2 : OUT_BLOBS_FIRST;
        struct out_blob *blobs = realloc(out->blobs, cap * sizeof(*blobs));
        if (blobs == NULL) {
            out->failed = true;
            release(owner);
            return;
        }
        out->blobs = blobs;
        out->blob_cap = cap;
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += spans[i].len;
    out->blobs[out->blob_count++] = (struct out_blob){.at = out->len,
                                                      .spans = spans,
                                                      .span_count = count,
                                                      .bytes = bytes,
                                                      .release = release,
                                                      .owner = owner};
    out->blob_bytes += bytes;
}

static ALWAYS_INLINE size_t iovecs_of(const struct out *out, struct iovec *iov, size_t max)
{
    size_t count = 0, at = out->sent, span = out->spans_sent, skip = out->span_bytes_sent;
    for (size_t i = out->blobs_sent; i < out->blob_count && count < max; i++) {
        const struct out_blob *blob = &out->blobs[i];
        if (blob->at > at) {
            iov[count++] = (struct iovec){.iov_base = out->buf + at, .iov_len = blob->at - at};
            at = blob->at;
        }
        for (; span < blob->span_count && count < max; span++, skip = 0)
            if (blob->spans[span].len > skip)
                iov[count++] = (struct iovec){.iov_base = (void *)(blob->spans[span].ptr + skip),
                                              .iov_len = blob->spans[span].len - skip};
        span = 0;
    }
    if (count < max && out->len > at)
        iov[count++] = (struct iovec){.iov_base = out->buf + at, .iov_len = out->len - at};
    return count;
}

/* Take `bytes` or what is left of the current blob off it. Returns how many; the blob is released
 * when whole. */
static uint64_t consume_blob(struct out *out, uint64_t bytes)
{
    const struct out_blob *blob = &out->blobs[out->blobs_sent];
    uint64_t taken = 0;
    while (out->spans_sent < blob->span_count) {
        const size_t left = blob->spans[out->spans_sent].len - out->span_bytes_sent;
        if (left > bytes - taken) {
            out->span_bytes_sent += (size_t)(bytes - taken);
            out->blob_bytes -= bytes;
            return bytes;
        }
        taken += left;
        out->spans_sent++;
        out->span_bytes_sent = 0;
    }
    out->blob_bytes -= taken;
    out->blobs_sent++;
    out->spans_sent = 0;
    blob->release(blob->owner);
    return taken;
}

static ALWAYS_INLINE void consume(struct out *out, uint64_t bytes)
{
    while (out->blobs_sent < out->blob_count) {
        const size_t before = out->blobs[out->blobs_sent].at - out->sent;
        if (before > bytes) {
            out->sent += (size_t)bytes;
            return;
        }
        out->sent += before;
        bytes -= before;
        bytes -= consume_blob(out, bytes);
        if (bytes == 0)
            return;
    }
    out->sent += (size_t)bytes;
}

/* Senders call these once per batch and have them inlined, which takes that nobody else calls them:
 * out_take() has copies of its own. */
size_t out_iovecs(const struct out *out, struct iovec *iov, size_t max)
{
    return iovecs_of(out, iov, max);
}

void out_consume(struct out *out, uint64_t bytes)
{
    consume(out, bytes);
}

void out_take(struct out *out, uint8_t *dst, size_t len)
{
    struct iovec piece;
    while (len > 0 && iovecs_of(out, &piece, 1) > 0) {
        const size_t bytes = piece.iov_len < len ? piece.iov_len : len;
        memcpy(dst, piece.iov_base, bytes);
        consume(out, bytes);
        dst += bytes;
        len -= bytes;
    }
}
