/* base/attr.h — compiler attributes and small macros that every module uses.
 *
 * Includes: nothing.  Included by: all.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#define MUST_USE               __attribute__((warn_unused_result))
#define LIKELY(x)              __builtin_expect(!!(x), 1)
#define UNLIKELY(x)            __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define COLD                   __attribute__((cold, noinline)) /* out of the way of the usual */
#define NOINLINE               __attribute__((noinline)) /* its registers and stack are its own */
#define ALWAYS_INLINE          inline __attribute__((always_inline))
#define COUNT_OF(array)        (sizeof(array) / sizeof((array)[0]))

/* ThreadSanitizer is watching: it does not understand some things that are all right. */
#if defined(__SANITIZE_THREAD__)
#define MATTE_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MATTE_TSAN
#endif
#endif

/* One cache line on every machine that we run on; what two threads write lies on different ones. */
enum { CACHE_LINE_BYTES = 64 };
