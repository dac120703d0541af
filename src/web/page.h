/* web/page.h — the admin page: one document, made of src/web/page and src/web/vendor when we are
 * built (tools/embed_page.py).
 *
 * Includes: base.  Included by: web.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>
#include <stdint.h>

extern const uint8_t page_bytes[];
extern const size_t page_bytes_count;
/* The lines of the head that belong to it: what the page may load and run, by its digests. */
extern const char page_headers[];
