/* Logins, by password and by SCRAM, against a table of users that is sealed. gate/users.h says what
 * their time must not tell.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "gate/users_priv.h"

static const uint32_t NOBODY = UINT32_MAX;

_Static_assert((int)SCRAM_HASH_BYTES == (int)GATE_HASH_BYTES &&
                   (int)SCRAM_NAME_BYTES_MAX == (int)GATE_NAME_BYTES_MAX &&
                   (int)SCRAM_SALT_BYTES_MAX == (int)GATE_SALT_BYTES_MAX,
               "messages and keys agree");

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
    const struct gate_digest name_key = users_name_digest(users, name);
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
    const struct gate_digest name_key = users_name_digest(users, name);
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
        if (users_line_is_first(users, at))
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
