/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/users.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static const uint32_t NOBODY = UINT32_MAX;
enum { SCRAM_LINES = 4 }; /* of one name, for each costs the iterations */

_Static_assert((int)SCRAM_HASH_BYTES == (int)GATE_HASH_BYTES &&
                   (int)SCRAM_NAME_BYTES_MAX == (int)GATE_NAME_BYTES_MAX &&
                   (int)SCRAM_SALT_BYTES_MAX == (int)GATE_SALT_BYTES_MAX,
               "messages and keys agree");

struct line {
    struct gate_digest name;
    uint32_t number; /* in its file, from 1 */
    uint8_t file;
    bool hashed;
    union {
        struct {
            struct gate_digest secret; /* of the password, keyed by `name` */
            struct gate_hmac hmac;     /* of the password */
        } plain;
        struct gate_verifier verifier;
    };
    uint8_t classes;
    uint32_t name_at, name_bytes; /* in `text` */
    uint32_t prefixes_at, prefixes_bytes;
};

/* Of a plain line. */
struct secret {
    struct gate_digest secret;
    uint16_t id;
};

struct user {
    struct gate_digest name;
    uint32_t line; /* the last one with the name */
    uint16_t id;
};

struct gate_users {
    struct gate_digest key;
    uint64_t number;    /* unlike any other table's */
    uint8_t file;       /* how many were added */
    struct line *lines; /* sealed: sorted by name, then as they were added */
    size_t line_count, line_cap;
    struct secret *secrets; /* sealed: sorted */
    size_t plain_count;
    struct user *users; /* sealed: sorted by name */
    size_t user_count;
    uint8_t *text; /* names and prefixes of the lines */
    size_t text_bytes, text_cap;
    uint32_t iterations; /* of the costliest line */
    uint32_t tries;      /* by SCRAM, of the name with the most plain lines */
    uint16_t *of_id;  /* sealed: where the user of an id stands in `users`, plus one; 0: nowhere */
    uint16_t id_last; /* given out last */
};

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

static struct gate_digest name_digest(const struct gate_users *users, struct bytes name)
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
        .name = name_digest(users, entry->name),
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

static bool is_first(const struct gate_users *users, size_t line)
{
    return line == 0 || !gate_digest_equal(users->lines[line - 1].name, users->lines[line].name);
}

/* Is there, of several lines with a name, a hashed one? */
static bool lines_conflict(const struct gate_users *users, struct gate_fault *ret_fault)
{
    for (size_t i = 0; i < users->line_count; i++) {
        const struct line *line = &users->lines[i];
        if (is_first(users, i) || (!line->hashed && !line[-1].hashed))
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
        count += is_first(users, i);
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
        users->user_count += is_first(users, i);
        tries = is_first(users, i) ? 1 : tries + 1;
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
        user += i > 0 && is_first(users, i);
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

/* ── logins by password ───────────────────────────────────────────────────────────────────── */

/* The user of a plain line with this digest, or 0. */
static uint16_t secret_find(const struct gate_users *users, struct gate_digest secret)
{
    if (users->plain_count == 0)
        return 0;
    /* The last one that is not greater. As many steps as the count has binary digits. */
    const struct secret *at = users->secrets;
    for (size_t left = users->plain_count; left > 1;) {
        const size_t half = left / 2;
        at += half * !gate_digest_less(secret, at[half].secret);
        left -= half;
    }
    return (uint16_t)(at->id * gate_digest_equal(at->secret, secret));
}

/* The user with this name, or NULL, likewise. */
static const struct user *user_find(const struct gate_users *users, struct gate_digest name)
{
    if (users->user_count == 0)
        return NULL;
    const struct user *at = users->users;
    for (size_t left = users->user_count; left > 1;) {
        const size_t half = left / 2;
        at += half * !gate_digest_less(name, at[half].name);
        left -= half;
    }
    return gate_digest_equal(at->name, name) ? at : NULL;
}

/* What was seen of another table is forgotten. */
static void memory_use(struct gate_memory *memory, const struct gate_users *users)
{
    if (memory->table == users->number)
        return;
    explicit_bzero(memory, sizeof(*memory));
    memory->table = users->number;
}

/* Check a password against the hashed line with this name, if there is one. */
static bool hash_check(const struct gate_users *users, const struct user *user,
                       struct bytes password)
{
    const struct line *line = user != NULL ? &users->lines[user->line] : NULL;
    bool right = false;
    uint32_t cost = 0;
    if (line != NULL && line->hashed) {
        struct gate_hmac key;
        gate_hmac_init(&key, password);
        right = gate_verifier_matches(&line->verifier, &key);
        explicit_bzero(&key, sizeof(key));
        cost = line->verifier.iterations;
    }
    if (!right)
        gate_verifier_burn(users->iterations - cost);
    return right;
}

uint16_t gate_users_check(const struct gate_users *users, struct gate_memory *memory,
                          struct bytes name, struct bytes password)
{
    const struct gate_digest name_key = name_digest(users, name);
    const struct gate_digest secret = gate_digest(name_key, password);
    const uint16_t plain = secret_find(users, secret);
    if (plain != 0 || users->plain_count == users->line_count)
        return plain;
    memory_use(memory, users);
    const size_t place = secret.lo % GATE_MEMORY_LOGINS;
    if (memory->logins[place].id != 0 && gate_digest_equal(memory->logins[place].secret, secret))
        return memory->logins[place].id;
    const struct user *user = user_find(users, name_key);
    if (!hash_check(users, user, password))
        return 0;
    memory->logins[place].secret = secret;
    memory->logins[place].id = user->id;
    return user->id;
}

/* ── logins by SCRAM ──────────────────────────────────────────────────────────────────────── */

/* A salt for names that have none: always the same, and nobody can know it beforehand. */
static void salt_invent(const struct gate_users *users, struct bytes name,
                        struct gate_verifier *ret_verifier)
{
    const struct gate_digest key = gate_digest(users->key, bytes_str("salts of the others"));
    const struct gate_digest salt = gate_digest(key, name);
    *ret_verifier =
        (struct gate_verifier){.iterations = users->iterations, .salt_bytes = GATE_SALT_BYTES};
    memcpy(ret_verifier->salt, &salt, sizeof(salt));
}

bool gate_users_scram_begin(const struct gate_users *users, struct bytes message,
                            struct bytes own_nonce, struct gate_exchange *ret_exchange,
                            struct bytes *ret_answer)
{
    struct scram_first first;
    struct gate_exchange *exchange = ret_exchange;
    if (!scram_first_parse(message, &first))
        return false;
    const struct bytes name = bytes_of(first.name, first.name_bytes);
    const struct gate_digest name_key = name_digest(users, name);
    const struct user *user = user_find(users, name_key);
    exchange->table = users->number;
    exchange->proven = 0;
    exchange->line = user != NULL ? user->line : NOBODY;
    salt_invent(users, name, &exchange->verifier);
    if (user != NULL && users->lines[user->line].hashed)
        exchange->verifier = users->lines[user->line].verifier;
    exchange->name_bytes = first.name_bytes;
    memcpy(exchange->name, first.name, first.name_bytes);
    exchange->head_bytes = (uint16_t)first.head.len;
    exchange->nonce_bytes = (uint16_t)(first.nonce.len + own_nonce.len);
    memcpy(exchange->text, message.ptr, message.len);
    uint8_t *at = exchange->text + message.len;
    *at++ = ',';
    exchange->answer_at = (uint16_t)(at - exchange->text);
    const struct bytes salt = bytes_of(exchange->verifier.salt, exchange->verifier.salt_bytes);
    uint8_t *end =
        scram_answer_write(at, first.nonce, own_nonce, salt, exchange->verifier.iterations);
    exchange->text_bytes = (uint16_t)(end - exchange->text);
    *ret_answer = bytes_of(at, (size_t)(end - at));
    return true;
}

/* Does the final message go with what was said before? */
static bool final_fits(const struct gate_exchange *exchange, const struct scram_final *final)
{
    const uint8_t *nonce = exchange->text + exchange->answer_at + 2; /* behind r= */
    return bytes_equal(final->nonce, bytes_of(nonce, exchange->nonce_bytes)) &&
           scram_channel_fits(final->channel, bytes_of(exchange->text, exchange->head_bytes));
}

static void keys_remember(struct gate_memory *memory, uint16_t id,
                          const struct gate_verifier *verifier)
{
    const size_t place = id % GATE_MEMORY_KEYS;
    memory->keys[place].id = id;
    memcpy(memory->keys[place].stored, verifier->stored, GATE_HASH_BYTES);
    memcpy(memory->keys[place].server, verifier->server, GATE_HASH_BYTES);
}

/* Does the proof belong to the text of the exchange, under the keys in it? Makes our own signature
 * as well. */
static bool proof_check(struct gate_exchange *exchange, const struct scram_final *final)
{
    uint8_t text[sizeof(exchange->text) + 1 + SCRAM_MESSAGE_BYTES_MAX];
    size_t len = exchange->text_bytes - exchange->head_bytes;
    memcpy(text, exchange->text + exchange->head_bytes, len);
    text[len++] = ',';
    memcpy(text + len, final->text.ptr, final->text.len);
    len += final->text.len;
    struct gate_hmac key;
    gate_hmac_init(&key, bytes_of(exchange->verifier.server, GATE_HASH_BYTES));
    gate_hmac(&key, bytes_of(text, len), exchange->signature);
    explicit_bzero(&key, sizeof(key));
    return gate_verifier_proves(&exchange->verifier, bytes_of(text, len), final->proof);
}

/* Of a name with plain lines: derive the keys of each, and see whether the proof goes with them.
 * What was right last time comes first. *cost: how many iterations that took. */
static bool plain_prove(const struct gate_users *users, struct gate_memory *memory,
                        struct gate_exchange *exchange, const struct scram_final *final,
                        uint32_t *cost)
{
    struct gate_verifier *verifier = &exchange->verifier;
    const uint16_t id = user_find(users, users->lines[exchange->line].name)->id;
    const size_t place = id % GATE_MEMORY_KEYS;
    if (memory->keys[place].id == id) {
        memcpy(verifier->stored, memory->keys[place].stored, GATE_HASH_BYTES);
        memcpy(verifier->server, memory->keys[place].server, GATE_HASH_BYTES);
        if (proof_check(exchange, final))
            return true;
    }
    for (size_t i = 0, at = exchange->line; i < SCRAM_LINES; i++, at--) {
        gate_verifier_derive(verifier, &users->lines[at].plain.hmac);
        *cost += verifier->iterations;
        if (proof_check(exchange, final)) {
            keys_remember(memory, id, verifier);
            return true;
        }
        if (is_first(users, at))
            break;
    }
    return false;
}

static bool final_prove(const struct gate_users *users, struct gate_memory *memory,
                        struct gate_exchange *exchange, const struct scram_final *final)
{
    uint32_t cost = 0;
    bool right;
    if (exchange->line != NOBODY && !users->lines[exchange->line].hashed)
        right = plain_prove(users, memory, exchange, final, &cost);
    else
        right = proof_check(exchange, final) && exchange->line != NOBODY;
    if (!right && users->plain_count > 0)
        gate_verifier_burn(users->iterations * users->tries - cost);
    return right;
}

/* Nothing but the name is needed any more. */
static void exchange_wipe(struct gate_exchange *exchange)
{
    explicit_bzero(&exchange->verifier, sizeof(exchange->verifier));
    explicit_bzero(exchange->text, sizeof(exchange->text));
    exchange->text_bytes = 0;
}

bool gate_users_scram_prove(const struct gate_users *users, struct gate_memory *memory,
                            struct gate_exchange *exchange, struct bytes message,
                            uint8_t ret_answer[SCRAM_SIGNATURE_BYTES])
{
    struct scram_final final;
    exchange->proven = 0;
    if (exchange->table == users->number && exchange->text_bytes > 0 &&
        scram_final_parse(message, &final) && final_fits(exchange, &final)) {
        memory_use(memory, users);
        if (final_prove(users, memory, exchange, &final)) {
            exchange->proven = user_find(users, users->lines[exchange->line].name)->id;
            scram_signature_write(ret_answer, exchange->signature);
        }
    }
    exchange_wipe(exchange);
    return exchange->proven != 0;
}

uint16_t gate_users_scram_end(const struct gate_users *users, struct gate_exchange *exchange,
                              struct bytes message)
{
    const bool same = exchange->table == users->number && message.len == 0;
    const uint16_t id = same ? exchange->proven : 0;
    exchange_wipe(exchange);
    exchange->table = 0;
    exchange->proven = 0;
    return id;
}
