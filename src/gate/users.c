/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/users.h"

#include <errno.h>
#include <stdlib.h>

/* A name and one of its passwords. */
struct login {
    struct gate_digest name;
    struct gate_digest secret; /* of the password, keyed by `name` */
    uint16_t id;
};

/* A name. What it may do (classes of verbs, prefixes of keys) will stand here. */
struct user {
    struct gate_digest name;
    uint16_t id;
};

struct gate_users {
    struct gate_digest key;
    struct login *logins; /* sealed: sorted by secret */
    size_t login_count, login_cap;
    struct user *users; /* sealed: sorted by name */
    size_t user_count;
    uint16_t *of_id;  /* sealed: where the user of an id stands in `users`, plus one; 0: nowhere */
    uint16_t id_last; /* given out last */
};

int gate_users_new(struct gate_digest key, struct gate_users **ret_users)
{
    struct gate_users *users = calloc(1, sizeof(*users));
    if (users == NULL)
        return -ENOMEM;
    users->key = key;
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
    wipe_free(users->logins, users->login_cap * sizeof(*users->logins));
    wipe_free(users->users, users->user_count * sizeof(*users->users));
    free(users->of_id);
    wipe_free(users, sizeof(*users));
}

/* ── filling ──────────────────────────────────────────────────────────────────────────────── */

/* Not realloc(): it leaves copies. */
static bool logins_grow(struct gate_users *users)
{
    const size_t cap = users->login_cap > 0 ? 2 * users->login_cap : 16;
    struct login *logins = calloc(cap, sizeof(*logins));
    if (logins == NULL)
        return false;
    if (users->login_count > 0)
        memcpy(logins, users->logins, users->login_count * sizeof(*logins));
    wipe_free(users->logins, users->login_cap * sizeof(*logins));
    users->logins = logins;
    users->login_cap = cap;
    return true;
}

static struct gate_digest name_digest(const struct gate_users *users, struct bytes name)
{
    return gate_digest(users->key, name);
}

/* What is wrong with a line, or NULL. Two forms are as good as no line at all, since no client can
 * send an empty name or password: that would be a typing error that nobody notices. */
static const char *line_split(struct bytes line, struct bytes *ret_name, struct bytes *ret_password)
{
    if (line.len == 0)
        return "the line is empty, and should be user:password";
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL)
        return "there is no ':' between user and password";
    *ret_name = bytes_of(line.ptr, (size_t)(colon - line.ptr));
    *ret_password = bytes_skip(line, ret_name->len + 1);
    if (ret_name->len == 0)
        return "there is no user in front of the ':'";
    if (ret_password->len == 0)
        return "there is no password behind the ':'";
    if (ret_name->len > GATE_NAME_BYTES_MAX)
        return "the user's name is longer than 255 bytes";
    if (ret_password->len > GATE_PASSWORD_BYTES_MAX)
        return "the password is longer than 1024 bytes";
    if (memchr(line.ptr, '\0', line.len) != NULL)
        return "there is a NUL byte in it";
    if (memchr(line.ptr, '\r', line.len) != NULL)
        return "there is a carriage return in the middle of it";
    return NULL;
}

int gate_users_add(struct gate_users *users, struct bytes text, struct gate_fault *ret_fault)
{
    for (size_t number = 1; text.len > 0; number++) {
        const uint8_t *lf = memchr(text.ptr, '\n', text.len);
        struct bytes line = bytes_of(text.ptr, lf == NULL ? text.len : (size_t)(lf - text.ptr));
        text = bytes_skip(text, line.len + (lf != NULL));
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        struct bytes name, password;
        const char *what = line_split(line, &name, &password);
        if (what == NULL && users->login_count == GATE_LINES_MAX)
            what = "there are more than 65536 lines";
        if (what != NULL) {
            *ret_fault = (struct gate_fault){.line = number, .what = what};
            return -EINVAL;
        }
        if (users->login_count == users->login_cap && !logins_grow(users))
            return -ENOMEM;
        struct login *login = &users->logins[users->login_count++];
        login->name = name_digest(users, name);
        login->secret = gate_digest(login->name, password);
    }
    return 0;
}

/* ── ids ──────────────────────────────────────────────────────────────────────────────────── */

static int digest_order(struct gate_digest a, struct gate_digest b)
{
    return (int)gate_digest_less(b, a) - (int)gate_digest_less(a, b);
}

static int by_name(const void *a, const void *b)
{
    return digest_order(((const struct login *)a)->name, ((const struct login *)b)->name);
}

static int by_secret(const void *a, const void *b)
{
    return digest_order(((const struct login *)a)->secret, ((const struct login *)b)->secret);
}

static int user_by_name(const void *key, const void *user)
{
    return digest_order(*(const struct gate_digest *)key, ((const struct user *)user)->name);
}

/* Collect the names of the logins, which are sorted by them. */
static int users_collect(struct gate_users *users, struct gate_fault *ret_fault)
{
    const struct login *logins = users->logins;
    size_t count = 0;
    for (size_t i = 0; i < users->login_count; i++)
        count += i == 0 || !gate_digest_equal(logins[i - 1].name, logins[i].name);
    if (count > GATE_USERS_MAX) {
        *ret_fault = (struct gate_fault){.what = "there are more than 16383 users"};
        return -EINVAL;
    }
    users->users = calloc(count > 0 ? count : 1, sizeof(*users->users));
    users->of_id = calloc(GATE_USERS_MAX + 1, sizeof(*users->of_id));
    if (users->users == NULL || users->of_id == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < users->login_count; i++)
        if (i == 0 || !gate_digest_equal(logins[i - 1].name, logins[i].name))
            users->users[users->user_count++].name = logins[i].name;
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

int gate_users_seal(struct gate_users *users, const struct gate_users *before,
                    struct gate_fault *ret_fault)
{
    if (users->login_count > 0)
        qsort(users->logins, users->login_count, sizeof(*users->logins), by_name);
    const int rc = users_collect(users, ret_fault);
    if (rc != 0)
        return rc;
    ids_give(users, before);
    for (size_t i = 0; i < users->user_count; i++)
        users->of_id[users->users[i].id] = (uint16_t)(i + 1);
    size_t user = 0;
    for (size_t i = 0; i < users->login_count; i++) {
        user += !gate_digest_equal(users->users[user].name, users->logins[i].name);
        users->logins[i].id = users->users[user].id;
    }
    if (users->login_count > 0)
        qsort(users->logins, users->login_count, sizeof(*users->logins), by_secret);
    return 0;
}

/* ── asking ───────────────────────────────────────────────────────────────────────────────── */

uint16_t gate_users_find(const struct gate_users *users, struct bytes name, struct bytes password)
{
    const struct gate_digest secret = gate_digest(name_digest(users, name), password);
    if (users->login_count == 0)
        return 0;
    /* The last one that is not greater. As many steps as the count has binary digits. */
    const struct login *at = users->logins;
    for (size_t left = users->login_count; left > 1;) {
        const size_t half = left / 2;
        at += half * !gate_digest_less(secret, at[half].secret);
        left -= half;
    }
    return (uint16_t)(at->id * gate_digest_equal(at->secret, secret));
}

bool gate_users_has(const struct gate_users *users, uint16_t id)
{
    return id <= GATE_USERS_MAX && users->of_id[id] != 0;
}

size_t gate_users_count(const struct gate_users *users)
{
    return users->user_count;
}
