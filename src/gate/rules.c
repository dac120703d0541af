/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 16 * 1024 * 1024,
    FILE_BYTES_FIRST = 4096,
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

/* ── the access list ──────────────────────────────────────────────────────────────────────── */

static int mistake_describe(const char *where, const struct gate_mistake *mistake, int rc,
                            char *ret_error)
{
    if (rc != -EINVAL)
        return rc;
    int len = snprintf(ret_error, GATE_ERROR_BYTES, "malformed rule in %.200s", where);
    if (mistake->line > 0)
        len += snprintf(ret_error + len, GATE_ERROR_BYTES - (size_t)len, ", line %zu, column %zu",
                        mistake->line, mistake->column);
    (void)snprintf(ret_error + len, GATE_ERROR_BYTES - (size_t)len, ": %s", mistake->what);
    return rc;
}

static int access_add_file(struct gate_access *access, const char *path, char *ret_error)
{
    struct text text = {0};
    int rc = file_read(path, &text);
    if (rc != 0) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "could not open %.300s for reading rules: %s",
                       path, strerror(-rc));
        return rc;
    }
    struct gate_mistake mistake;
    rc = gate_access_add(access, GATE_SOURCE_FILE, bytes_of(text.ptr, text.len), &mistake);
    text_free(&text);
    return mistake_describe(path, &mistake, rc, ret_error);
}

static int access_add_option(struct gate_access *access, enum gate_source source, const char *text,
                             char *ret_error)
{
    struct gate_mistake mistake;
    const int rc = gate_access_add(access, source, bytes_str(text), &mistake);
    mistake.line = rc != 0 ? 1 : 0;
    return mistake_describe(source == GATE_SOURCE_ALLOW ? "-o allow" : "-o deny", &mistake, rc,
                            ret_error);
}

static int access_seal(const struct gate_setup *setup, struct gate_access *access, char *ret_error)
{
    const char *path = setup->config.access_file;
    struct gate_mistake mistake = {0};
    const int rc = gate_access_seal(access, setup->listeners, setup->listener_count, &mistake);
    return mistake_describe(path != NULL ? path : "-o allow and deny", &mistake, rc, ret_error);
}

/* Read all of it; rules that are used before anybody listens are sealed later. */
static int access_fill(struct gate_access *access, const struct gate_setup *setup, char *ret_error)
{
    const struct gate_config *config = &setup->config;
    int rc = 0;
    if (config->deny != NULL)
        rc = access_add_option(access, GATE_SOURCE_DENY, config->deny, ret_error);
    if (rc == 0 && config->allow != NULL)
        rc = access_add_option(access, GATE_SOURCE_ALLOW, config->allow, ret_error);
    if (rc == 0 && config->access_file != NULL)
        rc = access_add_file(access, config->access_file, ret_error);
    return rc == 0 && setup->listening ? access_seal(setup, access, ret_error) : rc;
}

/* ── rules ────────────────────────────────────────────────────────────────────────────────── */

void gate_rules_free(struct gate_rules *rules)
{
    if (rules != NULL) {
        gate_users_free(rules->users);
        gate_access_free(rules->access);
    }
    free(rules);
}

static int users_fill(struct gate_users *users, const struct gate_setup *setup,
                      const struct gate_rules *before, char *ret_error)
{
    const char *paths[COUNT_OF(setup->config.files)] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(setup->config.files); i++) {
        if (setup->config.files[i] == NULL)
            continue;
        paths[count++] = setup->config.files[i];
        const int rc = file_add(users, setup->config.files[i], ret_error);
        if (rc != 0)
            return rc;
    }
    struct gate_fault fault = {.what = "out of memory"};
    const int rc = gate_users_seal(users, before != NULL ? before->users : NULL, &fault);
    if (rc != 0)
        fault_describe(paths[fault.file], &fault, ret_error);
    return rc;
}

int gate_rules_new(const struct gate_setup *setup, const struct gate_rules *before,
                   struct gate_rules **ret_rules, char *ret_error)
{
    (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
    struct gate_rules *rules = calloc(1, sizeof(*rules));
    int rc = rules != NULL ? gate_users_new(setup->key, &rules->users) : -ENOMEM;
    if (rc == 0 && gate_setup_has_access(setup))
        rc = gate_access_new(setup->config.slots, &rules->access);
    if (rc == 0)
        rc = users_fill(rules->users, setup, before, ret_error);
    if (rc == 0 && rules->access != NULL)
        rc = access_fill(rules->access, setup, ret_error);
    if (rc == 0)
        *ret_rules = rules;
    else
        gate_rules_free(rules);
    return rc;
}

int gate_rules_seal(const struct gate_rules *rules, const struct gate_setup *setup, char *ret_error)
{
    return rules->access != NULL ? access_seal(setup, rules->access, ret_error) : 0;
}
