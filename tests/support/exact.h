/* support/exact.h — copies of exactly their size: a read of one byte too many is seen by ASan.
 *
 * Includes: base.  Included by: unit tests of parsers, after support/cm.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdlib.h>

#include "base/bytes.h"

/* exact_free() frees it. */
static inline struct bytes exact(const void *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, data, len);
    return bytes_of(len == 0 ? copy + 1 : copy, len);
}

static inline void exact_free(struct bytes bytes)
{
    free((void *)(uintptr_t)(bytes.len == 0 ? bytes.ptr - 1 : bytes.ptr));
}
