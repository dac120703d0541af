/* support/rr_check.h — the promise of gate/rr.h, checked on any bytes.
 *
 * Includes: base.  Included by: test_gate_rr, fuzz_gate_rr.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"

/* The input's first bytes choose the policy, the two ends and what the caller knows; the rest is
 * the datagram. */
enum { RR_CHECK_HEAD_BYTES = 6, RR_CHECK_GENUINE = 0x40 };

/* Judge it and end the program (KIT_CHECK) when an unproven source would get more than it sent, an
 * error or a legacy answer would not be shorter than its request, or somebody is served who should
 * not be. With RR_CHECK_GENUINE in its second byte a PROVEN datagram gets a cookie of ours, of the
 * age that the sixth chooses. Returns the action. */
int rr_check(struct bytes input);
