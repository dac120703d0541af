/* Tables of users that are swapped while they are in use.
 *
 * A table never changes once it is in `gate->users`. A checking thread announces which one it is
 * about to read, then looks whether that is still the current one; the reloading thread sets the
 * new one, then looks whether anybody has announced the old one. All four are seq_cst, so there is
 * one order of them all. If a checker's second look sees the old table, it comes before the swap
 * in that order, and so does the announcement; the reloader's look comes after the swap, sees the
 * announcement, and waits until the checker takes it back. If the second look sees another table,
 * the checker has not touched the old one and begins again. That the old address may be that of a
 * newer table by then does no harm: what the second look has seen is current.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "gate/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/spin.h"
#include "gate/users.h"

enum {
    FILE_BYTES_MAX = 16 * 1024 * 1024,
    FILE_BYTES_FIRST = 4096,
};

struct slot {
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct gate_users *) reads; /* NULL: nothing */
};

struct gate {
    struct gate_config config;
    struct gate_digest key;
    _Atomic(struct gate_users *) users;
    struct slot *slots;
};

/* ── files ────────────────────────────────────────────────────────────────────────────────── */

/* A buffer that leaves no copy behind. */
struct text {
    uint8_t *ptr;
    size_t len, cap;
};

static void text_free(struct text *text)
{
    if (text->ptr != NULL)
        explicit_bzero(text->ptr, text->cap);
    free(text->ptr);
}

static bool text_grow(struct text *text)
{
    struct text grown = {.cap = text->cap > 0 ? 2 * text->cap : FILE_BYTES_FIRST};
    grown.ptr = malloc(grown.cap);
    if (grown.ptr == NULL)
        return false;
    if (text->len > 0)
        memcpy(grown.ptr, text->ptr, text->len);
    grown.len = text->len;
    text_free(text);
    *text = grown;
    return true;
}

static int text_read(int fd, struct text *text)
{
    for (;;) {
        if (text->len == text->cap && !text_grow(text))
            return -ENOMEM;
        const ssize_t got = read(fd, text->ptr + text->len, text->cap - text->len);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        if (got > 0)
            text->len += (size_t)got;
        if (text->len > FILE_BYTES_MAX)
            return -EFBIG;
    }
}

static int file_read(const char *path, struct text *ret_text)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct text text = {0};
    const int rc = text_read(fd, &text);
    close(fd);
    if (rc == 0)
        *ret_text = text;
    else
        text_free(&text);
    return rc;
}

static void fault_describe(const char *path, const struct gate_fault *fault, char *ret_error)
{
    if (fault->line > 0)
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "malformed entry in %.300s, line %zu: %s", path,
                       fault->line, fault->what);
    else
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "cannot use %.300s: %s", path, fault->what);
}

static int file_add(struct gate_users *users, const char *path, char *ret_error)
{
    struct text text = {0};
    int rc = file_read(path, &text);
    if (rc != 0) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "could not open %.300s for reading users: %s",
                       path, strerror(-rc));
        return rc;
    }
    struct gate_fault fault = {.what = "out of memory"};
    rc = gate_users_add(users, bytes_of(text.ptr, text.len), &fault);
    text_free(&text);
    if (rc != 0)
        fault_describe(path, &fault, ret_error);
    return rc;
}

/* ── tables ───────────────────────────────────────────────────────────────────────────────── */

static int table_fill(struct gate_users *users, const struct gate *gate, char *ret_error)
{
    const char *path = NULL;
    for (size_t i = 0; i < COUNT_OF(gate->config.files); i++) {
        if (gate->config.files[i] == NULL)
            continue;
        path = gate->config.files[i];
        const int rc = file_add(users, path, ret_error);
        if (rc != 0)
            return rc;
    }
    const struct gate_users *before = atomic_load_explicit(&gate->users, memory_order_relaxed);
    struct gate_fault fault = {.what = "out of memory"};
    const int rc = gate_users_seal(users, before, &fault);
    if (rc != 0)
        fault_describe(path, &fault, ret_error);
    return rc;
}

static int table_new(const struct gate *gate, struct gate_users **ret_users, char *ret_error)
{
    struct gate_users *users;
    int rc = gate_users_new(gate->key, &users);
    if (rc != 0) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
        return rc;
    }
    rc = table_fill(users, gate, ret_error);
    if (rc == 0)
        *ret_users = users;
    else
        gate_users_free(users);
    return rc;
}

int gate_reload(struct gate *gate, char *ret_error)
{
    struct gate_users *users;
    const int rc = table_new(gate, &users, ret_error);
    if (rc != 0)
        return rc;
    struct gate_users *old = atomic_exchange(&gate->users, users);
    for (unsigned i = 0; old != NULL && i < gate->config.slots; i++) {
        unsigned rounds = 0;
        while (atomic_load(&gate->slots[i].reads) == old)
            spin_wait(&rounds);
    }
    gate_users_free(old);
    return 0;
}

uint16_t gate_check(struct gate *gate, unsigned slot, struct bytes name, struct bytes password)
{
    struct slot *own = &gate->slots[slot];
    struct gate_users *users = atomic_load(&gate->users), *seen;
    do {
        seen = users;
        atomic_store(&own->reads, seen);
        users = atomic_load(&gate->users);
    } while (users != seen);
    const uint16_t id = gate_users_find(users, name, password);
    /* Release: the table is freed only after the last look into it. */
    atomic_store_explicit(&own->reads, NULL, memory_order_release);
    return id;
}

size_t gate_user_count(const struct gate *gate)
{
    return gate_users_count(atomic_load_explicit(&gate->users, memory_order_relaxed));
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

static int gate_init(struct gate *gate, char *ret_error)
{
    /* Blocks until the kernel has gathered randomness; up to 256 bytes come whole. */
    if (getrandom(&gate->key, sizeof(gate->key), 0) != (ssize_t)sizeof(gate->key)) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "no random numbers: %s", strerror(errno));
        return -EIO;
    }
    gate->slots = aligned_alloc(CACHE_LINE_BYTES, gate->config.slots * sizeof(*gate->slots));
    if (gate->slots == NULL) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    for (unsigned i = 0; i < gate->config.slots; i++)
        atomic_init(&gate->slots[i].reads, NULL);
    return gate_reload(gate, ret_error);
}

int gate_new(const struct gate_config *config, struct gate **ret_gate, char *ret_error)
{
    struct gate *gate = calloc(1, sizeof(*gate));
    if (gate == NULL) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    gate->config = *config;
    atomic_init(&gate->users, NULL);
    const int rc = gate_init(gate, ret_error);
    if (rc == 0)
        *ret_gate = gate;
    else
        gate_free(gate);
    return rc;
}

void gate_free(struct gate *gate)
{
    if (gate == NULL)
        return;
    gate_users_free(atomic_load_explicit(&gate->users, memory_order_relaxed));
    free(gate->slots);
    explicit_bzero(gate, sizeof(*gate));
    free(gate);
}
