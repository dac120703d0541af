/* fuzz_gate_keyring.c — any text as a file of keys.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "gate/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gate_cookie_keys keys = {.current = {{0, 0}}};
    const char *fault = gate_keyring_parse(bytes_of(data, size), &keys);
    assert(fault != NULL || size >= 32);
    return 0;
}
