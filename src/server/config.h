/* server/config.h — the configuration: where it is from at the start, and what changes it later.
 *
 *     main ─► config_peek ─► config_load ─► struct opts, which stay as they are
 *                                │
 *     SIGHUP, config reload ─► again ─► compared, applied (live.h)
 *
 * Includes: base, opt.  Included by: server.
 * Threads:  the main thread, which becomes the listener's.
 * I/O:      reads the file.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "opt/opt.h"

enum {
    CONFIG_FILE_BYTES_MAX = 1 << 20,
    CONFIG_REFUSED = 78, /* EX_CONFIG: the exit code of a mistake in a file or the environment */
};

/* What can be read again. */
struct config_inputs {
    char *path; /* of the file, absolute; NULL: there is none */
    int argc;
    char *const *argv;
};

/* What does the command line ask for? Fills `ret_asked` (opt_peek) and, when it is OPT_RUN,
 * ret_inputs. Owns: opt_fini() and config_inputs_fini(), whatever came of it. */
void config_peek(int argc, char *const *argv, struct config_inputs *ret_inputs,
                 struct opts *ret_asked, struct opt_result *ret_result);
void config_inputs_fini(struct config_inputs *inputs);

/* Read file, environment and command line: as opt_load(). Owns: opt_fini(), whatever came of it. */
void config_load(const struct config_inputs *inputs, const struct opt_teller *teller,
                 struct opts *ret_opts, struct opt_result *ret_result);
