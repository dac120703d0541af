/* Whole conversations of the binary protocol against a store: nothing may crash, leak or hang, and
 * the answers are sound packets.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "support/packet.h"
#include "support/wire_fuzz.h"

static void check(struct bytes answers)
{
    struct out shown;
    out_init(&shown);
    const uint64_t cas_last = packet_show(&shown, answers);
    assert(cas_last != UINT64_MAX);
    out_fini(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wire_fuzz(bytes_of(data, size), true, check);
    return 0;
}
