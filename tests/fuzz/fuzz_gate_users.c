/* fuzz_gate_users.c — any file of users is either refused with line and reason, or opens for
 * exactly the lines that it holds.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "gate/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gate_digest KEY = {.lo = 1, .hi = 2};

/* Every line opens; it does not with a byte more or less. */
static void check_lines(const struct gate_users *users, struct bytes text)
{
    while (text.len > 0) {
        const uint8_t *lf = memchr(text.ptr, '\n', text.len);
        struct bytes line = bytes_of(text.ptr, lf == NULL ? text.len : (size_t)(lf - text.ptr));
        text = bytes_skip(text, line.len + (lf != NULL));
        if (line.ptr[line.len - 1] == '\r')
            line.len--;
        const uint8_t *colon = memchr(line.ptr, ':', line.len);
        assert(colon != NULL);
        const struct bytes name = bytes_of(line.ptr, (size_t)(colon - line.ptr));
        const struct bytes password = bytes_skip(line, name.len + 1);
        assert(gate_users_find(users, name, password) != 0);
        assert(gate_users_find(users, name, bytes_of(password.ptr, 0)) == 0);
        assert(gate_users_find(users, bytes_of(name.ptr, name.len + 1), password) == 0);
    }
}

static size_t lines_of(struct bytes text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes text = bytes_of(data, size);
    struct gate_users *users, *next;
    struct gate_fault fault = {0};
    if (gate_users_new(KEY, &users) != 0)
        abort();
    if (gate_users_add(users, text, &fault) != 0) {
        assert(fault.line >= 1 && fault.line <= lines_of(text) && fault.what != NULL);
        gate_users_free(users);
        return 0;
    }
    if (gate_users_seal(users, NULL, &fault) != 0)
        abort();
    check_lines(users, text);
    /* Read again, everybody keeps his id. */
    if (gate_users_new(KEY, &next) != 0 || gate_users_add(next, text, &fault) != 0 ||
        gate_users_seal(next, users, &fault) != 0)
        abort();
    assert(gate_users_count(next) == gate_users_count(users));
    const uint8_t *colon = size > 0 ? memchr(data, ':', size) : NULL;
    if (colon != NULL) {
        const struct bytes name = bytes_of(data, (size_t)(colon - data));
        struct bytes password = bytes_skip(text, name.len + 1);
        const uint8_t *lf = memchr(password.ptr, '\n', password.len);
        if (lf != NULL)
            password.len = (size_t)(lf - password.ptr);
        if (password.ptr[password.len - 1] == '\r')
            password.len--;
        assert(gate_users_find(next, name, password) == gate_users_find(users, name, password));
    }
    gate_users_free(users);
    gate_users_free(next);
    return 0;
}
