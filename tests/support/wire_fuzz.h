/* support/wire_fuzz.h — a fuzz target that is a client: the input is a conversation of either
 * protocol with a small store.
 *
 * Includes: support/wire.h.  Included by: fuzz_proto_cmd, fuzz_proto_cmd_binary.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "support/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte decides how values come in. `check` sees all answers. */
static inline void wire_fuzz(struct bytes input, bool binary, void (*check)(struct bytes answers))
{
    static const struct store_config config = {
        .memory_bytes = 2 << 20, .item_bytes_max = 64 << 10, .hash_seed = 1};
    if (input.len == 0)
        return;
    struct wire wire;
    if (!wire_open(&wire, &config))
        abort();
    wire.binary = binary;
    wire.upload_from = input.ptr[0] % 2 ? 0 : SIZE_MAX;
    wire_send(&wire, bytes_skip(input, 1));
    check(wire_answer(&wire));
    wire_close(&wire);
}
