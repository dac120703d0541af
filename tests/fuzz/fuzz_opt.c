/* fuzz_opt.c — any command line either is accepted with values in range, or is refused with a text.
 *
 * Input: the arguments, each ended by a NUL.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "opt/opt.h"

enum { ARGS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[ARGS_MAX] = {"matted"};
    int argc = 1;
    for (size_t at = 0; at < size && argc < ARGS_MAX;
         argc++) { /* each in a block of its own size */
        argv[argc] = strndup((const char *)data + at, size - at);
        require(argv[argc] != NULL);
        at += strlen(argv[argc]) + 1;
    }
    struct opts opts;
    struct opt_result result;
    require(opt_init(&opts) == 0);
    opt_parse(&opts, argc, argv, &result);
    if (result.action == OPT_REFUSED)
        require(result.exit_code != 0 && result.text[0] != '\0');
    else
        require(result.exit_code == 0 && result.text[0] == '\0');
    if (result.action == OPT_RUN) {
        require(opts.port >= -1 && opts.port <= 65535 && opts.threads >= 1);
        require(opts.max_item_bytes >= 1024 && opts.max_item_bytes <= opts.memory_limit_bytes / 2);
        struct bytes rest = bytes_str(opts.listen);
        struct opt_listen listen;
        int rc;
        while ((rc = opt_listen_next(&rest, &listen)) > 0)
            require(listen.host[0] != '\0');
        require(rc == 0);
    }
    opt_fini(&opts);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    return 0;
}
