/* store/file.h — the memory file and what saves and restores the store in it. Store only.
 *
 * Spec: memcached 1.6.45, warm restart; the argument for it is in store_priv.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "store/snapshot.h"
#include "store/store_priv.h"

/* Have pages for a range, so that a full disk is an error here and no SIGBUS later. Returns 0 or
 * -errno; a file system that cannot do it is no error. */
MUST_USE int file_allocate(int fd, uint64_t at, uint64_t bytes);
/* Give the pages of a range back; what cannot be given back stays. */
void file_punch(int fd, uint64_t at, uint64_t bytes);

enum { FILE_THREADS_MAX = 64 };
/* Run work(arg) in `threads` threads, this one included; fewer when the system has no more. */
void file_parallel(unsigned threads, void *(*work)(void *arg), void *arg);

/* Fill an empty store from the segments that the snapshot names; cache time has been set to what it
 * is now in store->now_s. Returns false and a
 * reason[SNAPSHOT_REASON_BYTES] when something is not as it was; the store may then only be
 * freed. */
MUST_USE bool store_restore(struct store *store, const struct snapshot *snapshot, unsigned threads,
                            char *ret_reason, uint64_t *ret_items);
