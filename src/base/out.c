/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"

enum { OUT_BYTES_FIRST = 4096, OUT_BLOBS_FIRST = 8 };

void out_init(struct out *out)
{
    *out = (struct out){0};
}

static void release_blobs(struct out *out)
{
    for (size_t i = 0; i < out->blob_count; i++)
        out->blobs[i].release(out->blobs[i].owner);
    out->blob_count = 0;
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
    release_blobs(out);
    out->len = 0;
    out->failed = false;
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
