/* support/kit.h — what the store's tests share: a store with one thread's handle, random numbers,
 * seeds, patterned values and a check that also works outside the main thread.
 *
 * Includes: base, store.  Included by: tests of the store.
 * Threads:  a kit belongs to one thread; several kits may share a store (kit_join).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "store/store.h"

/* Sanitizers keep memory of their own: tests that weigh the process ask this first. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KIT_SANITIZED 1
#endif
#endif
#ifndef KIT_SANITIZED
#define KIT_SANITIZED 0
#endif

#define KIT_MIB (1024ull * 1024)

/* End the program with a message when `cond` does not hold; usable in every thread. */
#define KIT_CHECK(cond, ...)                                                                       \
    do {                                                                                           \
        if (UNLIKELY(!(cond)))                                                                     \
            kit_fail(__FILE__, __LINE__, #cond, __VA_ARGS__);                                      \
    } while (0)

/* Called by kit_fail() in the thread that failed, to tell more; NULL: nobody. */
extern void (*kit_fail_hook)(void);
_Noreturn void kit_fail(const char *file, int line, const char *cond, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* ── random numbers ───────────────────────────────────────────────────────────────────────── */

/* The seed of this run: the first argument, else MATTE_SEED, else drawn; printed and kept for
 * kit_fail(). */
uint64_t kit_seed_init(int argc, char **argv);
uint64_t kit_env_u64(const char *name, uint64_t otherwise);
uint64_t kit_random(uint64_t *state);
/* 0 <= result < bound */
uint64_t kit_random_below(uint64_t *state, uint64_t bound);

/* ── a store in use ───────────────────────────────────────────────────────────────────────── */

struct kit {
    struct store *store;
    struct store_thread *thread;
    uint32_t now_s;
    bool owner; /* kit_close() frees the store as well */
};

enum { KIT_START_S = 1000 };

void kit_open(struct kit *kit, const struct store_config *config);
void kit_open_default(struct kit *kit); /* 16 MiB, items up to 1 MiB, fixed hash seed */
void kit_join(struct kit *kit, struct store *store, uint32_t now_s);
void kit_close(struct kit *kit);
/* Be the housekeeping thread of a store whose time stands still, until `stop`; between two rounds
 * asleep for at most `wait_ms`. */
void kit_keep_house(struct store *store, const _Atomic bool *stop, uint32_t wait_ms);
void kit_tick(struct kit *kit); /* a quiescent point */
void kit_time_set(struct kit *kit, uint32_t now_s);
struct store_info kit_info(struct kit *kit);

/* ── keys and values ──────────────────────────────────────────────────────────────────────── */

struct store_key kit_key(const struct kit *kit, struct bytes key);
struct store_key kit_key_str(const struct kit *kit, const char *key);

/* Fill `dst` with bytes that only (`tag`, position) decide. */
void kit_pattern_fill(uint8_t *dst, size_t len, uint64_t tag);
bool kit_pattern_is(const uint8_t *src, size_t len, uint64_t tag);

/* A value that can prove itself: of which key it is, by whom, which version, all bytes right. */
struct kit_stamp {
    uint64_t key_id, version;
    uint32_t writer, len;
    uint64_t checksum; /* of the former */
};
/* Write a stamped value of `len` >= sizeof(struct kit_stamp) bytes. */
void kit_stamp_write(uint8_t *dst, size_t len, uint64_t key_id, uint32_t writer, uint64_t version);
/* Returns false when any byte is not what the stamp promises. */
MUST_USE bool kit_stamp_read(const uint8_t *src, size_t len, struct kit_stamp *ret_stamp);

/* ── calls, shorter ───────────────────────────────────────────────────────────────────────── */

enum store_rc kit_put(struct kit *kit, enum store_mode mode, struct bytes key, struct bytes value,
                      uint32_t exp_s);
enum store_rc kit_set(struct kit *kit, const char *key, const char *value);
enum store_rc kit_get(struct kit *kit, const char *key, struct store_view *ret_view);
/* Copy the whole value of a view to `dst` (view->value_bytes of room), fragmented or not.
 * Returns false when the store would not pin it. */
MUST_USE bool kit_view_copy(struct kit *kit, const struct store_view *view, uint8_t *dst);
/* Put `put.value` by an upload whose pieces are at most `piece` bytes. */
enum store_rc kit_put_pieces(struct kit *kit, const struct store_key *key, struct store_put put,
                             size_t piece, struct store_put_result *ret_result);
const char *kit_rc_name(enum store_rc rc);

/* ── the process ──────────────────────────────────────────────────────────────────────────── */

uint64_t kit_rss_bytes(void);
uint64_t kit_mono_ns(void);
