/* support/open_gate.h — a gate and limits that keep nobody out, for fuzz targets of what is behind.
 *
 * Both are made once and live as long as the program.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdlib.h>

#include "gate/gate.h"
#include "gate/limit.h"

/* Everybody may come in. */
static inline struct gate *open_gate(void)
{
    static struct gate *gate;
    char error[GATE_ERROR_BYTES];
    const struct gate_config config = {.slots = 1};
    if (gate == NULL && gate_new(&config, &gate, error) != 0)
        abort();
    return gate;
}

/* Limits nothing: what was used would be in the way of the next input. */
static inline struct gate_limiter *no_limits(const struct opts *model)
{
    static struct gate_limits *limits;
    static struct opts opts; /* which the limits look at */
    char error[GATE_ERROR_BYTES];
    opts = *model;
    opts.limit_logins.per_s = opts.limit_logins_prefix.per_s = 0;
    opts.limit_udp_challenges.per_s = opts.limit_udp_challenges_prefix.per_s = 0;
    opts.limit_udp_bytes.per_s = opts.limit_udp_bytes_prefix.per_s = 0;
    opts.limit_udp_legacy.per_s = opts.limit_udp_legacy_prefix.per_s = 0;
    if (limits == NULL && gate_limits_new(&opts, 1, &limits, error) != 0)
        abort();
    return gate_limiter_of(limits, 0, NULL);
}
