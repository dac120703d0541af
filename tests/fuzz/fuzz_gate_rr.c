/* fuzz_gate_rr.c — the verdict on any datagram: nobody unproven gets more than was sent.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/rr_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)rr_check(bytes_of(data, size));
    return 0;
}
