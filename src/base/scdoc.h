/* base/scdoc.h — text for manual pages, in the language of scdoc(5).
 *
 * Includes: nothing of ours.  Included by: opt, stat, cli (for the program that makes the pages).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

/* Print `text` so that it stands in the page as it is. */
void scdoc_put(FILE *file, const char *text);
