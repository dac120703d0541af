/* Whole conversations of the binary protocol against a store: nothing may crash, leak or hang, and
 * the answers are sound packets. The first byte decides how values come in.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "support/packet.h"
#include "support/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct store_config config = {
        .memory_bytes = 2 << 20, .item_bytes_max = 64 << 10, .hash_seed = 1};
    if (size == 0)
        return 0;
    struct wire wire;
    struct out shown;
    out_init(&shown);
    if (!wire_open(&wire, &config))
        abort();
    wire.binary = true;
    wire.upload_from = data[0] % 2 ? 0 : SIZE_MAX;
    wire_send(&wire, bytes_of(data + 1, size - 1));
    const uint64_t cas_last = packet_show(&shown, wire_answer(&wire));
    assert(cas_last != UINT64_MAX);
    out_fini(&shown);
    wire_close(&wire);
    return 0;
}
