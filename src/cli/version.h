/* cli/version.h — numbers of versions.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

/* Read A.B.C at the start of `text`, whatever follows, as a number that compares like the version.
 * Returns false when it is none, or a part is above 65535. */
MUST_USE bool cli_version_parse(struct bytes text, uint64_t *ret_version);
