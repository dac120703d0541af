/* Whole conversations of the text protocol against a store: nothing may crash, leak or hang, and
 * every answer ends in a line end.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "support/wire_fuzz.h"

static void check(struct bytes answers)
{
    assert(answers.len == 0 || answers.ptr[answers.len - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wire_fuzz(bytes_of(data, size), false, check);
    return 0;
}
