/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS_MAX = 2, HEX_DIGITS = 2 * GATE_COOKIE_KEY_BYTES };

/* ── the file ─────────────────────────────────────────────────────────────────────────────── */

/* The value of a hex digit, or -1. */
static int digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static const char *key_parse(struct bytes line, struct gate_cookie_key *ret_key)
{
    uint8_t key[GATE_COOKIE_KEY_BYTES];
    bool good = line.len == HEX_DIGITS;
    for (size_t i = 0; good && i < sizeof(key); i++) {
        const int high = digit(line.ptr[2 * i]), low = digit(line.ptr[2 * i + 1]);
        good = high >= 0 && low >= 0;
        key[i] = (uint8_t)(good ? high << 4 | low : 0);
    }
    if (good)
        gate_cookie_key_read(key, ret_key);
    explicit_bzero(key, sizeof(key));
    return good ? NULL : "has a line that is not 32 hex digits";
}

static bool same(const struct gate_cookie_key *a, const struct gate_cookie_key *b)
{
    return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1])) == 0;
}

static const char *keys_parse(struct bytes rest, struct gate_cookie_key keys[KEYS_MAX])
{
    size_t count = 0;
    while (rest.len > 0) {
        const struct bytes line = bytes_line_take(&rest);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        if (count == KEYS_MAX)
            return "has more than two keys";
        const char *fault = key_parse(line, &keys[count++]);
        if (fault != NULL)
            return fault;
    }
    if (count == 0)
        return "has no key";
    if (count == 1)
        keys[1] = keys[0];
    else if (same(&keys[0], &keys[1]))
        return "has the same key twice";
    return NULL;
}

const char *gate_keyring_parse(struct bytes text, struct gate_cookie_keys *ret_keys)
{
    struct gate_cookie_key keys[KEYS_MAX];
    const char *fault = keys_parse(text, keys);
    if (fault == NULL)
        *ret_keys = (struct gate_cookie_keys){.current = keys[0], .previous = keys[1]};
    explicit_bzero(keys, sizeof(keys));
    return fault;
}

/* Why this file must not be used, or NULL. */
static const char *file_fault(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "is not a file";
    if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return "may be used by others; allowed: mode 0600";
    return st->st_size > GATE_KEYRING_FILE_BYTES_MAX ? "is too long for two keys" : NULL;
}

/* Read all of a file. Returns its length or -errno; `cap`: it may be longer. */
static ssize_t file_read(int fd, uint8_t *dst, size_t cap)
{
    size_t len = 0;
    while (len < cap) {
        const ssize_t got = read(fd, dst + len, cap - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

static int file_load(const char *path, struct gate_cookie_keys *ret_keys, char *ret_error)
{
    uint8_t text[GATE_KEYRING_FILE_BYTES_MAX + 1];
    struct stat st = {0};
    const char *fault = NULL;
    int rc = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        rc = -errno;
    ssize_t len = 0;
    if (rc == 0 && (fault = file_fault(&st)) == NULL) {
        len = file_read(fd, text, sizeof(text));
        if (len < 0)
            rc = (int)len;
        else
            fault = len > GATE_KEYRING_FILE_BYTES_MAX
                        ? "is too long for two keys"
                        : gate_keyring_parse(bytes_of(text, (size_t)len), ret_keys);
    }
    if (fd >= 0)
        close(fd);
    explicit_bzero(text, sizeof(text));
    if (fault != NULL)
        (void)snprintf(ret_error, GATE_KEYRING_ERROR_BYTES, "%.300s %s", path, fault);
    else if (rc != 0)
        (void)snprintf(ret_error, GATE_KEYRING_ERROR_BYTES, "cannot read %.300s: %s", path,
                       strerror(-rc));
    return fault != NULL ? -EINVAL : rc;
}

/* ── the ring ─────────────────────────────────────────────────────────────────────────────── */

static void keys_set(struct gate_keyring *ring, const struct gate_cookie_keys *keys)
{
    (void)pthread_mutex_lock(&ring->lock);
    ring->keys = *keys;
    (void)pthread_mutex_unlock(&ring->lock);
    /* Relaxed: who sees the number takes the lock, and that orders the rest. */
    atomic_fetch_add_explicit(&ring->number, 1, memory_order_relaxed);
}

static bool key_draw(struct gate_cookie_key *ret_key)
{
    uint8_t bytes[GATE_COOKIE_KEY_BYTES];
    const bool drawn = getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes);
    if (drawn)
        gate_cookie_key_read(bytes, ret_key);
    explicit_bzero(bytes, sizeof(bytes));
    return drawn;
}

static int load(struct gate_keyring *ring, char *ret_error)
{
    struct gate_cookie_keys keys;
    const int rc = file_load(ring->path, &keys, ret_error);
    if (rc == 0)
        keys_set(ring, &keys);
    explicit_bzero(&keys, sizeof(keys));
    return rc;
}

int gate_keyring_init(struct gate_keyring *ring, const char *path, uint64_t now_ms, char *ret_error)
{
    *ring = (struct gate_keyring){.path = path, .drawn_ms = now_ms};
    (void)pthread_mutex_init(&ring->lock, NULL);
    if (path != NULL)
        return load(ring, ret_error);
    struct gate_cookie_keys keys;
    const bool drawn = key_draw(&keys.current);
    if (drawn) {
        keys.previous = keys.current;
        keys_set(ring, &keys);
    } else {
        (void)snprintf(ret_error, GATE_KEYRING_ERROR_BYTES,
                       "the system has no random numbers for keys");
    }
    explicit_bzero(&keys, sizeof(keys));
    return drawn ? 0 : -EIO;
}

void gate_keyring_fini(struct gate_keyring *ring)
{
    (void)pthread_mutex_destroy(&ring->lock);
    explicit_bzero(&ring->keys, sizeof(ring->keys));
}

int gate_keyring_reload(struct gate_keyring *ring, char *ret_error)
{
    return ring->path != NULL ? load(ring, ret_error) : 0;
}

void gate_keyring_tick(struct gate_keyring *ring, uint64_t now_ms)
{
    if (ring->path != NULL || now_ms - ring->drawn_ms < GATE_COOKIE_ROTATE_S * 1000ull)
        return;
    /* Only this thread writes, so it may look without the lock. */
    struct gate_cookie_keys keys = {.previous = ring->keys.current};
    if (key_draw(&keys.current)) { /* else with the next tick */
        keys_set(ring, &keys);
        ring->drawn_ms = now_ms;
    }
    explicit_bzero(&keys, sizeof(keys));
}

void gate_keyring_copy(struct gate_keyring *ring, struct gate_keyring_copy *copy)
{
    const uint32_t number = atomic_load_explicit(&ring->number, memory_order_relaxed);
    if (LIKELY(number == copy->number))
        return;
    (void)pthread_mutex_lock(&ring->lock);
    copy->keys = ring->keys;
    (void)pthread_mutex_unlock(&ring->lock);
    copy->number = number;
}
