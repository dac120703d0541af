/* First bytes of anything, cut at every byte: what is recognised stays so with more bytes, what may
 * still become one has no line's end, and what is ours is ours from the first byte on.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "proto/foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LEN_MAX = 64 };
    const char *known = NULL;
    bool ours = false;
    for (size_t len = 1; len <= size && len <= LEN_MAX; len++) {
        uint8_t *copy = malloc(len); /* ends where its memory ends */
        memcpy(copy, data, len);
        const char *name = NULL;
        const enum proto_foreign verdict = proto_foreign_recognise(bytes_of(copy, len), &name);
        assert((verdict == PROTO_FOREIGN_YES) == (name != NULL));
        if (known != NULL)
            assert(verdict == PROTO_FOREIGN_YES && strcmp(name, known) == 0);
        if (verdict == PROTO_FOREIGN_MAYBE)
            assert(!ours && memchr(copy, '\n', len) == NULL);
        if (ours) /* but for the one that begins like empty lines */
            assert(verdict == PROTO_FOREIGN_NO || copy[0] == '\r');
        known = name;
        ours |= verdict == PROTO_FOREIGN_NO;
        free(copy);
    }
    return 0;
}
