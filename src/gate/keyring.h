/* gate/keyring.h — the keys of cookies (gate/cookie.h): where they come from, and when they change.
 *
 * Without a file they are drawn at random, live in memory alone and are replaced every
 * GATE_COOKIE_ROTATE_S; the one before goes on being accepted. Servers that stand for each other
 * share a file instead, so that a cookie of one is good with all:
 *
 *     # 16 bytes each, as 32 hex digits. New cookies are made with the first key,
 *     # those of both are accepted.
 *     4f1d...
 *     a07c...
 *
 * Nobody else may read it (mode 0600). Its keys change when it is read again. To rotate them while
 * servers run: put the new key second and have all servers read the file; swap the two, and again;
 * an hour later the old one may go.
 *
 * Includes: base, gate/cookie.h.  Included by: server.
 * Threads:  one thread makes, reloads, ticks and frees; each other one has a copy of the keys, and
 *           renews it without a lock while nothing has changed.
 * Memory:   keys are wiped before their memory is given back.
 * I/O:      reads the file; no log.
 * Spec:     docs/udp-rr.md.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "gate/cookie.h"

enum { GATE_KEYRING_ERROR_BYTES = 512, GATE_KEYRING_FILE_BYTES_MAX = 4096 };

struct gate_keyring {
    const char *path; /* NULL: keys are drawn; borrowed */
    pthread_mutex_t lock;
    struct gate_cookie_keys keys;
    uint64_t drawn_ms;
    _Atomic uint32_t number; /* of the keys; from 1 on */
};

/* A thread's copy; zeroed at first. */
struct gate_keyring_copy {
    struct gate_cookie_keys keys;
    uint32_t number;
};

/* `now_ms` is of a clock that does not go back. Returns 0, or -errno with a line in
 * ret_error[GATE_KEYRING_ERROR_BYTES], which quotes nothing of the file. Owns:
 * gate_keyring_fini(), also after a failure. */
MUST_USE int gate_keyring_init(struct gate_keyring *ring, const char *path, uint64_t now_ms,
                               char *ret_error);
void gate_keyring_fini(struct gate_keyring *ring);
/* Read the file again, if there is one. Returns as gate_keyring_init(); after a failure the keys
 * are those of before. */
MUST_USE int gate_keyring_reload(struct gate_keyring *ring, char *ret_error);
/* Draw a new key when it is time. */
void gate_keyring_tick(struct gate_keyring *ring, uint64_t now_ms);

/* Bring a copy up to date. */
void gate_keyring_copy(struct gate_keyring *ring, struct gate_keyring_copy *copy);

/* Read the text of a file of keys. Returns NULL, or what is wrong with it. Pure. */
MUST_USE const char *gate_keyring_parse(struct bytes text, struct gate_cookie_keys *ret_keys);
