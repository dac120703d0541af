/* support/depot.h — a store in a memory file that a test stops and starts again.
 *
 * Includes: base, store.  Included by: tests of the warm restart.
 * Threads:  one.
 * Memory:   the file lies in a folder of its own, in memory where the system allows it;
 *           depot_free() removes both.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "support/kit.h"

struct depot {
    char folder[64];
    char path[80], meta_path[96];
    struct store_config config;
    const char *settings;
    unsigned threads;
    int64_t wall_s; /* moves with the test's own hand */
    struct kit kit; /* while it runs */
    bool runs;
    struct store_restart restart; /* what the last start or stop said */
};

/* 8 MiB, items up to 1 MiB, two threads; the test may change all of it before a start. */
void depot_init(struct depot *depot);
void depot_free(struct depot *depot);
/* Start; a failure of the file ends the test. Cache time is what the store says, or KIT_START_S. */
void depot_start(struct depot *depot);
/* The same, but returns the code. */
MUST_USE int depot_try(struct depot *depot);
void depot_stop(struct depot *depot); /* gracefully */
void depot_kill(struct depot *depot); /* not */
void depot_restart(struct depot *depot);

uint64_t depot_file_bytes(const char *path); /* 0: there is none */
void depot_file_flip(const char *path, uint64_t at, uint8_t mask);
void depot_file_cut(const char *path, uint64_t bytes);
/* The whole file, *ret_len bytes to be freed. */
uint8_t *depot_file_read(const char *path, size_t *ret_len);
void depot_file_write(const char *path, struct bytes bytes);
