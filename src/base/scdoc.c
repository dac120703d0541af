/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/scdoc.h"

#include <string.h>

void scdoc_put(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\*_`[]|#<>~.-;", *text) != NULL)
            fputc('\\', file);
        fputc(*text, file);
    }
}
