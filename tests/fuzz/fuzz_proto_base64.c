/* Decode anything; what was decoded survives the way to text and back.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "proto/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *plain = malloc(BASE64_DECODED_MAX(size) + 1);
    const size_t len = base64_decode(plain, bytes_of(data, size));
    uint8_t *text = malloc(BASE64_ENCODED(len) + 1), *again = malloc(len + 3);
    const size_t text_len = base64_encode(text, bytes_of(plain, len));
    assert(text_len == BASE64_ENCODED(len));
    assert(base64_decode(again, bytes_of(text, text_len)) == len);
    assert(memcmp(plain, again, len) == 0);
    free(plain);
    free(text);
    free(again);
    return 0;
}
