/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/users_priv.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

int gate_users_new(struct gate_digest key, struct gate_users **ret_users)
{
    static _Atomic uint64_t number;
    struct gate_users *users = calloc(1, sizeof(*users));
    if (users == NULL)
        return -ENOMEM;
    users->key = key;
    /* Relaxed: each gets another one. */
    users->number = atomic_fetch_add_explicit(&number, 1, memory_order_relaxed) + 1;
    users->iterations = GATE_ITERATIONS_MIN;
    *ret_users = users;
    return 0;
}

static void wipe_free(void *ptr, size_t bytes)
{
    if (ptr != NULL)
        explicit_bzero(ptr, bytes);
    free(ptr);
}

void gate_users_free(struct gate_users *users)
{
    if (users == NULL)
        return;
    wipe_free(users->lines, users->line_cap * sizeof(*users->lines));
    wipe_free(users->secrets, users->plain_count * sizeof(*users->secrets));
    wipe_free(users->users, users->user_count * sizeof(*users->users));
    wipe_free(users->text, users->text_cap);
    free(users->of_id);
    wipe_free(users, sizeof(*users));
}

/* ── filling ──────────────────────────────────────────────────────────────────────────────── */

/* Make room for more. Not realloc(): it leaves copies. */
static bool array_grow(void **array, size_t size, size_t used, size_t *cap)
{
    const size_t grown_cap = *cap > 0 ? 2 * *cap : 16;
    void *grown = calloc(grown_cap, size);
    if (grown == NULL)
        return false;
    if (used > 0)
        memcpy(grown, *array, used * size);
    wipe_free(*array, *cap * size);
    *array = grown;
    *cap = grown_cap;
    return true;
}

/* Bounded by the files: at most 16 MiB each. */
static bool text_keep(struct gate_users *users, struct bytes text, uint32_t *ret_at)
{
    void *grown = users->text;
    while (users->text_cap - users->text_bytes < text.len) {
        if (!array_grow(&grown, 1, users->text_bytes, &users->text_cap))
            return false;
        users->text = grown;
    }
    *ret_at = (uint32_t)users->text_bytes;
    if (text.len > 0)
        memcpy(users->text + users->text_bytes, text.ptr, text.len);
    users->text_bytes += text.len;
    return true;
}

struct gate_digest users_name_digest(const struct gate_users *users, struct bytes name)
{
    return gate_digest(users->key, name);
}

static bool line_keep(struct gate_users *users, const struct gate_entry *entry, size_t number)
{
    void *lines = users->lines;
    if (users->line_count == users->line_cap &&
        !array_grow(&lines, sizeof(*users->lines), users->line_count, &users->line_cap))
        return false;
    users->lines = lines;
    struct line *line = &users->lines[users->line_count];
    const struct bytes prefixes = bytes_of(entry->rights.prefixes, entry->rights.prefixes_bytes);
    *line = (struct line){
        .name = users_name_digest(users, entry->name),
        .number = (uint32_t)number,
        .file = users->file,
        .hashed = entry->hashed,
        .classes = gate_rights_classes(&entry->rights),
        .name_bytes = (uint32_t)entry->name.len,
        .prefixes_bytes = (uint32_t)prefixes.len,
    };
    if (!text_keep(users, entry->name, &line->name_at) ||
        !text_keep(users, prefixes, &line->prefixes_at))
        return false;
    users->line_count++;
    if (entry->hashed) {
        line->verifier = entry->verifier;
        if (users->iterations < entry->verifier.iterations)
            users->iterations = entry->verifier.iterations;
    } else {
        users->plain_count++;
        line->plain.secret = gate_digest(line->name, entry->password);
        gate_hmac_init(&line->plain.hmac, entry->password);
    }
    return true;
}

int gate_users_add(struct gate_users *users, struct bytes text, struct gate_fault *ret_fault)
{
    for (size_t number = 1; text.len > 0; number++) {
        const struct bytes line = bytes_line_take(&text);
        struct gate_entry entry;
        const char *what = gate_entry_parse(line, &entry);
        if (what == NULL && users->line_count == GATE_LINES_MAX)
            what = "there are more than 65536 lines";
        if (what != NULL) {
            *ret_fault = (struct gate_fault){.line = number, .file = users->file, .what = what};
            return -EINVAL;
        }
        const bool kept = line_keep(users, &entry, number);
        explicit_bzero(&entry, sizeof(entry));
        if (!kept)
            return -ENOMEM;
    }
    users->file++;
    return 0;
}

/* ── ids ──────────────────────────────────────────────────────────────────────────────────── */

static int digest_order(struct gate_digest a, struct gate_digest b)
{
    return (int)gate_digest_less(b, a) - (int)gate_digest_less(a, b);
}

static int by_name(const void *one, const void *other)
{
    const struct line *a = one, *b = other;
    const int order = digest_order(a->name, b->name);
    if (order != 0)
        return order;
    return a->file != b->file ? a->file - b->file
                              : (a->number > b->number) - (a->number < b->number);
}

static int by_secret(const void *a, const void *b)
{
    return digest_order(((const struct secret *)a)->secret, ((const struct secret *)b)->secret);
}

static int user_by_name(const void *key, const void *user)
{
    return digest_order(*(const struct gate_digest *)key, ((const struct user *)user)->name);
}

bool users_line_is_first(const struct gate_users *users, size_t line)
{
    return line == 0 || !gate_digest_equal(users->lines[line - 1].name, users->lines[line].name);
}

/* Is there, of several lines with a name, a hashed one? */
static bool lines_conflict(const struct gate_users *users, struct gate_fault *ret_fault)
{
    for (size_t i = 0; i < users->line_count; i++) {
        const struct line *line = &users->lines[i];
        if (users_line_is_first(users, i) || (!line->hashed && !line[-1].hashed))
            continue;
        *ret_fault = (struct gate_fault){
            .line = line->number,
            .file = line->file,
            .what = "the user has another line, and one of them is hashed",
        };
        return true;
    }
    return false;
}

/* Collect the names of the lines, which are sorted by them. */
static int users_collect(struct gate_users *users, struct gate_fault *ret_fault)
{
    size_t count = 0;
    for (size_t i = 0; i < users->line_count; i++)
        count += users_line_is_first(users, i);
    if (count > GATE_USERS_MAX) {
        *ret_fault = (struct gate_fault){.what = "there are more than 16383 users"};
        return -EINVAL;
    }
    if (lines_conflict(users, ret_fault))
        return -EINVAL;
    users->users = calloc(count > 0 ? count : 1, sizeof(*users->users));
    users->of_id = calloc(GATE_USERS_MAX + 1, sizeof(*users->of_id));
    users->secrets = calloc(users->plain_count + 1, sizeof(*users->secrets));
    if (users->users == NULL || users->of_id == NULL || users->secrets == NULL)
        return -ENOMEM;
    uint32_t tries = 0;
    for (size_t i = 0; i < users->line_count; i++) {
        users->user_count += users_line_is_first(users, i);
        tries = users_line_is_first(users, i) ? 1 : tries + 1;
        if (users->tries < tries && tries <= SCRAM_LINES)
            users->tries = tries;
        struct user *user = &users->users[users->user_count - 1];
        user->name = users->lines[i].name;
        user->line = (uint32_t)i;
    }
    return 0;
}

static void ids_give(struct gate_users *users, const struct gate_users *before)
{
    bool taken[GATE_USERS_MAX + 1] = {true};
    for (size_t i = 0; before != NULL && i < before->user_count; i++)
        taken[before->users[i].id] = true;
    for (size_t i = 0; before != NULL && i < users->user_count; i++) {
        const struct user *same = bsearch(&users->users[i].name, before->users, before->user_count,
                                          sizeof(*before->users), user_by_name);
        users->users[i].id = same != NULL ? same->id : 0;
    }
    users->id_last = before != NULL ? before->id_last : 0;
    size_t free_ids = 0;
    for (size_t id = 1; id <= GATE_USERS_MAX; id++)
        free_ids += !taken[id];
    for (size_t i = 0; i < users->user_count; i++) {
        struct user *user = &users->users[i];
        if (user->id != 0)
            continue;
        if (free_ids == 0) { /* only now those of names that are gone with this table */
            memset(taken + 1, false, GATE_USERS_MAX);
            for (size_t j = 0; j < users->user_count; j++)
                taken[users->users[j].id] = true;
            free_ids = GATE_USERS_MAX;
        }
        do
            users->id_last = (uint16_t)(users->id_last % GATE_USERS_MAX + 1);
        while (taken[users->id_last]);
        user->id = users->id_last;
        taken[user->id] = true;
        free_ids--;
    }
}

/* All passwords that are there in plain, with whom they open for. */
static void secrets_collect(struct gate_users *users)
{
    size_t user = 0, count = 0;
    for (size_t i = 0; i < users->line_count; i++) {
        const struct line *line = &users->lines[i];
        user += i > 0 && users_line_is_first(users, i);
        if (!line->hashed)
            users->secrets[count++] =
                (struct secret){.secret = line->plain.secret, .id = users->users[user].id};
    }
    if (count > 0)
        qsort(users->secrets, count, sizeof(*users->secrets), by_secret);
}

int gate_users_seal(struct gate_users *users, const struct gate_users *before,
                    struct gate_fault *ret_fault)
{
    if (users->line_count > 0)
        qsort(users->lines, users->line_count, sizeof(*users->lines), by_name);
    const int rc = users_collect(users, ret_fault);
    if (rc != 0)
        return rc;
    ids_give(users, before);
    for (size_t i = 0; i < users->user_count; i++)
        users->of_id[users->users[i].id] = (uint16_t)(i + 1);
    secrets_collect(users);
    return 0;
}

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

bool gate_users_has(const struct gate_users *users, uint16_t id)
{
    return id <= GATE_USERS_MAX && users->of_id[id] != 0;
}

size_t gate_users_count(const struct gate_users *users)
{
    return users->user_count;
}

static const struct line *line_of(const struct gate_users *users, uint16_t id)
{
    if (!gate_users_has(users, id))
        return NULL;
    return &users->lines[users->users[users->of_id[id] - 1].line];
}

struct bytes gate_users_name(const struct gate_users *users, uint16_t id)
{
    const struct line *line = line_of(users, id);
    return line == NULL ? bytes_of(NULL, 0)
                        : bytes_of(users->text + line->name_at, line->name_bytes);
}

uint8_t gate_users_classes(const struct gate_users *users, uint16_t id)
{
    const struct line *line = line_of(users, id);
    return line == NULL ? 0 : line->classes;
}

struct bytes gate_users_prefixes(const struct gate_users *users, uint16_t id)
{
    const struct line *line = line_of(users, id);
    return line == NULL ? bytes_of(NULL, 0)
                        : bytes_of(users->text + line->prefixes_at, line->prefixes_bytes);
}
