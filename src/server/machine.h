/* server/machine.h — how much memory there is for us.
 *
 * Includes: base, opt.  Included by: server.
 * Threads:  the main thread.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

#include "opt/opt.h"

/* The lowest memory limit of our control group and those above it, old or unified; 0: none. */
uint64_t machine_limit_bytes(void);
/* What the machine has, or that limit where it is lower; 0: unknown. */
uint64_t machine_memory_bytes(void);
/* Warn when -m is more than that limit: a cache that fills beyond it is ended by the kernel, long
 * after anybody looks at the start. */
void machine_check(const struct opts *opts);
