/* support/cm.h — cmocka with the headers that it forgets to include, and asserts for the store's
 * results.
 *
 * Included by: unit tests, as their first header.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Compares two enum store_rc and prints their names when they differ (needs support/kit.h). */
#define assert_rc(got, want) assert_string_equal(kit_rc_name(got), kit_rc_name(want))
