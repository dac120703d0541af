/* fuzz_gate_users.c — any file of users is either refused with line and reason, or opens for
 * exactly the lines that it holds.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <stdlib.h>

#include "gate/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gate_digest KEY = {.lo = 1, .hi = 2};

/* 16384 times 100000 iterations would not be a test. */
static bool is_cheap(struct bytes text)
{
    return text.len < 4096 && memmem(text.ptr, text.len, "$scram", 6) == NULL;
}

/* Every plain line opens; it does not with a byte more or less. A hashed one is written as it was
 * read. */
static void check_line(const struct gate_users *users, const struct gate_users *again,
                       struct bytes line, bool cheap)
{
    static struct gate_memory memory;
    struct gate_entry entry, reread;
    const char *what = gate_entry_parse(line, &entry);
    assert(what == NULL && gate_name_fault(entry.name) == NULL);
    if (entry.hashed) {
        uint8_t text[GATE_ENTRY_BYTES_MAX], twice[GATE_ENTRY_BYTES_MAX];
        const size_t len = gate_entry_write(text, &entry);
        assert(len <= sizeof(text));
        what = gate_entry_parse(bytes_of(text, len), &reread);
        assert(what == NULL && reread.hashed);
        assert(gate_rights_classes(&reread.rights) == gate_rights_classes(&entry.rights));
        assert(bytes_equal(bytes_of(twice, gate_entry_write(twice, &reread)), bytes_of(text, len)));
        return;
    }
    const struct bytes name = entry.name, password = entry.password;
    const uint16_t id = gate_users_check(users, &memory, name, password);
    assert(id != 0 && gate_users_classes(users, id) == GATE_ALL);
    assert(bytes_equal(gate_users_name(users, id), name));
    assert(gate_users_check(again, &memory, name, password) == id);
    if (!cheap)
        return;
    assert(gate_users_check(users, &memory, name, bytes_of(password.ptr, 0)) == 0);
    assert(gate_users_check(users, &memory, bytes_of(name.ptr, name.len + 1), password) == 0);
}

static void check_lines(const struct gate_users *users, const struct gate_users *again,
                        struct bytes text)
{
    const bool cheap = is_cheap(text);
    while (text.len > 0) {
        const uint8_t *lf = memchr(text.ptr, '\n', text.len);
        struct bytes line = bytes_of(text.ptr, lf == NULL ? text.len : (size_t)(lf - text.ptr));
        text = bytes_skip(text, line.len + (lf != NULL));
        if (line.ptr[line.len - 1] == '\r')
            line.len--;
        check_line(users, again, line, cheap);
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
    if (gate_users_seal(users, NULL, &fault) != 0) {
        assert(fault.line >= 2 && fault.what != NULL);
        gate_users_free(users);
        return 0;
    }
    /* Read again, everybody keeps his id. */
    if (gate_users_new(KEY, &next) != 0 || gate_users_add(next, text, &fault) != 0 ||
        gate_users_seal(next, users, &fault) != 0)
        abort();
    assert(gate_users_count(next) == gate_users_count(users));
    check_lines(users, next, text);
    gate_users_free(users);
    gate_users_free(next);
    return 0;
}
