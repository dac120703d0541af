/* Rules that are swapped while they are in use.
 *
 * Rules never change once they are in `gate->rules`. An asking thread announces which ones it is
 * about to read, then looks whether they are still the current ones; the reloading thread sets the
 * new ones, then looks whether anybody has announced the old ones. All four are seq_cst, so there
 * is one order of them all. If an asker's second look sees the old rules, it comes before the swap
 * in that order, and so does the announcement; the reloader's look comes after the swap, sees the
 * announcement, and waits until the asker takes it back. If the second look sees other rules, the
 * asker has not touched the old ones and begins again. That the old address may be that of newer
 * rules by then does no harm: what the second look has seen is current.
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

/* All that is read from files, as one. */
struct rules {
    struct gate_users *users;
};

struct slot {
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct rules *) reads; /* NULL: nothing */
};

struct gate {
    struct gate_config config;
    struct gate_digest key;
    _Atomic(struct rules *) rules;
    _Atomic uint32_t generation; /* of the rules; relaxed: see gate_generation() */
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

/* ── rules ────────────────────────────────────────────────────────────────────────────────── */

static void rules_free(struct rules *rules)
{
    if (rules != NULL)
        gate_users_free(rules->users);
    free(rules);
}

static int users_fill(struct gate_users *users, const struct gate *gate, char *ret_error)
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
    const struct rules *before = atomic_load_explicit(&gate->rules, memory_order_relaxed);
    struct gate_fault fault = {.what = "out of memory"};
    const int rc = gate_users_seal(users, before != NULL ? before->users : NULL, &fault);
    if (rc != 0)
        fault_describe(path, &fault, ret_error);
    return rc;
}

static int rules_new(const struct gate *gate, struct rules **ret_rules, char *ret_error)
{
    (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
    struct rules *rules = calloc(1, sizeof(*rules));
    int rc = rules != NULL ? gate_users_new(gate->key, &rules->users) : -ENOMEM;
    if (rc == 0)
        rc = users_fill(rules->users, gate, ret_error);
    if (rc == 0)
        *ret_rules = rules;
    else
        rules_free(rules);
    return rc;
}

/* From 1 to GATE_GENERATION_MAX, and from the start. */
static void generation_raise(struct gate *gate)
{
    const uint32_t old = atomic_load_explicit(&gate->generation, memory_order_relaxed);
    atomic_store_explicit(&gate->generation, old % GATE_GENERATION_MAX + 1, memory_order_relaxed);
}

int gate_reload(struct gate *gate, char *ret_error)
{
    struct rules *rules;
    const int rc = rules_new(gate, &rules, ret_error);
    if (rc != 0)
        return rc;
    struct rules *old = atomic_exchange(&gate->rules, rules);
    generation_raise(gate);
    for (unsigned i = 0; old != NULL && i < gate->config.slots; i++) {
        unsigned rounds = 0;
        while (atomic_load(&gate->slots[i].reads) == old)
            spin_wait(&rounds);
    }
    rules_free(old);
    return 0;
}

/* The current rules, which stay until rules_close(). */
static const struct rules *rules_open(struct gate *gate, unsigned slot)
{
    struct slot *own = &gate->slots[slot];
    struct rules *rules = atomic_load(&gate->rules), *seen;
    do {
        seen = rules;
        atomic_store(&own->reads, seen);
        rules = atomic_load(&gate->rules);
    } while (rules != seen);
    return rules;
}

static void rules_close(struct gate *gate, unsigned slot)
{
    /* Release: the rules are freed only after the last look into them. */
    atomic_store_explicit(&gate->slots[slot].reads, NULL, memory_order_release);
}

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

uint32_t gate_generation(const struct gate *gate)
{
    return atomic_load_explicit(&gate->generation, memory_order_relaxed);
}

bool gate_login_required(const struct gate *gate)
{
    return gate->config.files[0] != NULL || gate->config.files[1] != NULL;
}

uint16_t gate_check(struct gate *gate, unsigned slot, struct bytes name, struct bytes password)
{
    const struct rules *rules = rules_open(gate, slot);
    const uint16_t id = gate_users_find(rules->users, name, password);
    rules_close(gate, slot);
    return id;
}

uint8_t gate_user_classes(struct gate *gate, unsigned slot, uint16_t user, bool *ret_confined)
{
    const struct rules *rules = rules_open(gate, slot);
    const bool known = gate_users_has(rules->users, user);
    rules_close(gate, slot);
    *ret_confined = false;
    return known ? GATE_ALL : 0;
}

bool gate_user_may_touch(struct gate *gate, unsigned slot, uint16_t user,
                         const struct proto_request *req)
{
    (void)gate, (void)slot, (void)user, (void)req;
    return true;
}

uint8_t gate_address_classes(struct gate *gate, unsigned slot, unsigned listener,
                             const struct ip_peer *peer)
{
    (void)gate, (void)slot, (void)listener, (void)peer;
    return GATE_ALL;
}

size_t gate_user_count(const struct gate *gate)
{
    return gate_users_count(atomic_load_explicit(&gate->rules, memory_order_relaxed)->users);
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
    atomic_init(&gate->rules, NULL);
    atomic_init(&gate->generation, 0);
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
    rules_free(atomic_load_explicit(&gate->rules, memory_order_relaxed));
    free(gate->slots);
    explicit_bzero(gate, sizeof(*gate));
    free(gate);
}
