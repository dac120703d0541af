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
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/spin.h"
#include "gate/keys.h"
#include "gate/rules.h"
#include "proto/base64.h"

_Static_assert((int)GATE_SCRAM_END_BYTES == (int)SCRAM_SIGNATURE_BYTES &&
                   (int)GATE_USER_NAME_MAX == (int)GATE_NAME_BYTES_MAX,
               "what gate.h says without users.h");

struct slot {
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct gate_rules *) reads; /* NULL: nothing */
    char text[GATE_RULE_TEXT_BYTES];                               /* see gate_explain() */
    struct gate_memory *memory; /* of its logins; NULL: nobody logs in */
};

struct gate {
    struct gate_setup setup;
    _Atomic(struct gate_rules *) rules;
    _Atomic uint32_t generation; /* of the rules; see gate_generation() */
    /* So that who has no access list need not open the rules to learn it. Relaxed: who sees them
     * late asks again, for the generation is raised behind them; and a set of rules without a list,
     * though `listed` says there is one, is answered as what it is. */
    atomic_bool listed, protect;
    struct slot *slots;
    pthread_mutex_t look; /* held while somebody looks at rules at leisure, or frees them */
};

/* ── rules ────────────────────────────────────────────────────────────────────────────────── */

int gate_listeners_set(struct gate *gate, const struct gate_listener *listeners, size_t count,
                       char *ret_error)
{
    (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
    gate->setup.listeners = calloc(count + 1, sizeof(*listeners));
    if (gate->setup.listeners == NULL)
        return -ENOMEM;
    if (count > 0)
        memcpy(gate->setup.listeners, listeners, count * sizeof(*listeners));
    gate->setup.listener_count = count;
    gate->setup.listening = true;
    const struct gate_rules *rules = atomic_load_explicit(&gate->rules, memory_order_relaxed);
    return gate_rules_seal(rules, &gate->setup, ret_error);
}

/* From 1 to GATE_GENERATION_MAX, and from the start. */
static void generation_raise(struct gate *gate)
{
    const uint32_t old = atomic_load_explicit(&gate->generation, memory_order_relaxed);
    /* Release: who sees it sees the rules, or what he keeps with it would be of the old ones. */
    const uint32_t generation = old % GATE_GENERATION_MAX + 1;
    atomic_store_explicit(&gate->generation, generation, memory_order_release);
}

struct gate_update {
    struct gate_config config; /* of which it was made */
    struct gate_rules *rules;
};

int gate_prepare(struct gate *gate, const struct gate_lists *lists, struct gate_update **ret_update,
                 char *ret_error)
{
    struct gate_setup setup = gate->setup; /* its listeners are borrowed */
    if (lists != NULL) {
        setup.config.deny = lists->deny;
        setup.config.allow = lists->allow;
        setup.config.access_file = lists->access_file;
        setup.config.protect = lists->protect;
    }
    struct gate_update *update = malloc(sizeof(*update));
    if (update == NULL) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    update->config = setup.config;
    const struct gate_rules *before = atomic_load_explicit(&gate->rules, memory_order_relaxed);
    const int rc = gate_rules_new(&setup, before, &update->rules, ret_error);
    explicit_bzero(&setup, sizeof(setup)); /* it has the key */
    if (rc == 0)
        *ret_update = update;
    else
        free(update);
    return rc;
}

void gate_discard(struct gate_update *update)
{
    if (update != NULL)
        gate_rules_free(update->rules);
    free(update);
}

void gate_commit(struct gate *gate, struct gate_update *update)
{
    (void)pthread_mutex_lock(&gate->look);
    struct gate_config *config = &gate->setup.config; /* askers read the rest of it */
    config->deny = update->config.deny;
    config->allow = update->config.allow;
    config->access_file = update->config.access_file;
    config->protect = update->config.protect;
    struct gate_rules *old = atomic_exchange(&gate->rules, update->rules);
    atomic_store_explicit(&gate->listed, update->rules->access != NULL, memory_order_relaxed);
    atomic_store_explicit(&gate->protect, update->config.protect, memory_order_relaxed);
    generation_raise(gate);
    for (unsigned i = 0; old != NULL && i < gate->setup.config.slots; i++) {
        unsigned rounds = 0;
        while (atomic_load(&gate->slots[i].reads) == old)
            spin_wait(&rounds);
    }
    gate_rules_free(old);
    free(update);
    (void)pthread_mutex_unlock(&gate->look);
}

int gate_reload(struct gate *gate, char *ret_error)
{
    struct gate_update *update;
    const int rc = gate_prepare(gate, NULL, &update, ret_error);
    if (rc == 0)
        gate_commit(gate, update);
    return rc;
}

/* The current rules, which stay until rules_close(). */
static const struct gate_rules *rules_open(struct gate *gate, unsigned slot)
{
    struct slot *own = &gate->slots[slot];
    struct gate_rules *rules = atomic_load(&gate->rules), *seen;
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
    return atomic_load_explicit(&gate->generation, memory_order_acquire);
}

bool gate_login_required(const struct gate *gate)
{
    return gate->setup.config.files[0] != NULL || gate->setup.config.files[1] != NULL;
}

/* ── logins ───────────────────────────────────────────────────────────────────────────────── */

uint16_t gate_check(struct gate *gate, unsigned slot, struct bytes name, struct bytes password)
{
    const struct gate_rules *rules = rules_open(gate, slot);
    const uint16_t id = gate_users_check(rules->users, gate->slots[slot].memory, name, password);
    rules_close(gate, slot);
    return id;
}

struct gate_exchange *gate_scram_begin(struct gate *gate, unsigned slot, struct bytes message,
                                       struct bytes *ret_answer)
{
    uint8_t random[18], nonce[BASE64_ENCODED(sizeof(random))];
    struct gate_exchange *exchange = malloc(sizeof(*exchange));
    if (exchange == NULL)
        return NULL;
    bool ok = getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random);
    if (ok) {
        const size_t len = base64_encode(nonce, bytes_of(random, sizeof(random)));
        const struct gate_rules *rules = rules_open(gate, slot);
        ok = gate_users_scram_begin(rules->users, message, bytes_of(nonce, len), exchange,
                                    ret_answer);
        rules_close(gate, slot);
    }
    if (ok)
        return exchange;
    gate_exchange_free(exchange);
    return NULL;
}

bool gate_scram_prove(struct gate *gate, unsigned slot, struct gate_exchange *exchange,
                      struct bytes message, uint8_t *ret_answer)
{
    const struct gate_rules *rules = rules_open(gate, slot);
    const bool proven = gate_users_scram_prove(rules->users, gate->slots[slot].memory, exchange,
                                               message, ret_answer);
    rules_close(gate, slot);
    return proven;
}

bool gate_scram_is_proven(const struct gate_exchange *exchange)
{
    return exchange->proven != 0;
}

uint16_t gate_scram_end(struct gate *gate, unsigned slot, struct gate_exchange *exchange,
                        struct bytes message)
{
    const struct gate_rules *rules = rules_open(gate, slot);
    const uint16_t id = gate_users_scram_end(rules->users, exchange, message);
    rules_close(gate, slot);
    return id;
}

struct bytes gate_exchange_name(const struct gate_exchange *exchange)
{
    return bytes_of(exchange->name, exchange->name_bytes);
}

void gate_exchange_free(struct gate_exchange *exchange)
{
    if (exchange != NULL)
        explicit_bzero(exchange, sizeof(*exchange));
    free(exchange);
}

/* ── rights ───────────────────────────────────────────────────────────────────────────────── */

size_t gate_user_name(struct gate *gate, unsigned slot, uint16_t user, uint8_t *dst)
{
    const struct gate_rules *rules = rules_open(gate, slot);
    const struct bytes name = gate_users_name(rules->users, user);
    if (name.len > 0)
        memcpy(dst, name.ptr, name.len);
    rules_close(gate, slot);
    return name.len;
}

uint8_t gate_user_classes(struct gate *gate, unsigned slot, uint16_t user, bool *ret_confined)
{
    const struct gate_rules *rules = rules_open(gate, slot);
    const uint8_t classes = gate_users_classes(rules->users, user);
    *ret_confined = gate_users_prefixes(rules->users, user).len > 0;
    rules_close(gate, slot);
    return classes;
}

bool gate_user_may_touch(struct gate *gate, unsigned slot, uint16_t user,
                         const struct proto_request *req)
{
    const struct gate_rules *rules = rules_open(gate, slot);
    const struct bytes prefixes = gate_users_prefixes(rules->users, user);
    /* Who is confined no more, since a moment ago, may go everywhere; who is no more, nowhere. */
    const bool may =
        prefixes.len > 0 ? gate_keys_covered(prefixes, req) : gate_users_has(rules->users, user);
    rules_close(gate, slot);
    return may;
}

bool gate_has_access(const struct gate *gate)
{
    return atomic_load_explicit(&gate->listed, memory_order_relaxed);
}

/* Without an access list: is this peer one that protected mode keeps out? */
static bool protects(const struct gate *gate, unsigned listener, const struct ip_peer *peer)
{
    if (!gate_is_protected(gate) || gate_login_required(gate))
        return false;
    if (peer->family == IP_LOCAL || ip_is_loopback(&peer->ip))
        return false;
    return listener >= gate->setup.listener_count || !gate->setup.listeners[listener].certified;
}

uint8_t gate_address_classes(struct gate *gate, unsigned slot, unsigned listener,
                             const struct ip_peer *peer)
{
    if (!gate_has_access(gate))
        return protects(gate, listener, peer) ? 0 : GATE_ALL;
    const struct gate_rules *rules = rules_open(gate, slot);
    uint8_t classes;
    if (LIKELY(rules->access != NULL))
        classes = gate_access_ask(rules->access, slot, listener, peer);
    else
        classes = protects(gate, listener, peer) ? 0 : GATE_ALL;
    rules_close(gate, slot);
    return classes;
}

enum gate_verdict gate_admit(struct gate *gate, unsigned slot, unsigned listener,
                             const struct ip_peer *peer)
{
    if (!gate_has_access(gate))
        return protects(gate, listener, peer) ? GATE_PROTECTED : GATE_WELCOME;
    const struct gate_rules *rules = rules_open(gate, slot);
    enum gate_verdict verdict;
    if (UNLIKELY(rules->access == NULL))
        verdict = protects(gate, listener, peer) ? GATE_PROTECTED : GATE_WELCOME;
    else if (gate_access_look(rules->access, listener, peer) != 0 ||
             gate_access_ask(rules->access, slot, listener, peer) != 0)
        verdict = GATE_WELCOME;
    else
        verdict = GATE_DENIED;
    rules_close(gate, slot);
    return verdict;
}

const char *gate_explain(struct gate *gate, unsigned slot, unsigned listener,
                         const struct ip_peer *peer, uint8_t classes)
{
    if (!gate_has_access(gate))
        return "protected mode";
    const struct gate_rules *rules = rules_open(gate, slot);
    const bool listed = rules->access != NULL;
    if (listed)
        gate_access_explain(rules->access, listener, peer, classes, gate->slots[slot].text);
    rules_close(gate, slot);
    return listed ? gate->slots[slot].text : "protected mode";
}

uint16_t gate_listener_port(const struct gate *gate, unsigned listener)
{
    return listener < gate->setup.listener_count ? gate->setup.listeners[listener].port : 0;
}

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

size_t gate_user_count(const struct gate *gate)
{
    return gate_users_count(atomic_load_explicit(&gate->rules, memory_order_relaxed)->users);
}

bool gate_is_protected(const struct gate *gate)
{
    return atomic_load_explicit(&gate->protect, memory_order_relaxed);
}

static const struct gate_access *access_now(const struct gate *gate)
{
    return atomic_load_explicit(&gate->rules, memory_order_relaxed)->access;
}

size_t gate_rule_count(const struct gate *gate)
{
    const struct gate_access *access = access_now(gate);
    return access != NULL ? gate_access_count(access) : 0;
}

bool gate_admits_nobody(const struct gate *gate)
{
    const struct gate_access *access = access_now(gate);
    return access != NULL && !gate_access_allows(access);
}

/* `line 7` of the file, `allow 2`: the second prefix of -o allow. */
static void place_format(struct gate_place place, char *dst, size_t cap)
{
    static const char *const words[] = {
        [GATE_SOURCE_FILE] = "line", [GATE_SOURCE_ALLOW] = "allow", [GATE_SOURCE_DENY] = "deny"};
    (void)snprintf(dst, cap, "%s:%u", words[place.source], place.line);
}

void gate_dead_each(const struct gate *gate, size_t max, void (*each)(const char *line))
{
    const struct gate_access *access = access_now(gate);
    const size_t count = gate_rule_count(gate);
    for (size_t i = 0, told = 0; i < count && told < max; i++) {
        struct gate_rule_info info;
        gate_access_get(access, i, &info);
        if (!info.dead)
            continue;
        char line[2 * GATE_RULE_TEXT_BYTES], place[24], killer[24];
        place_format(info.place, place, sizeof(place));
        place_format(info.killer, killer, sizeof(killer));
        (void)snprintf(line, sizeof(line),
                       "access rule %s never matches, for %s and others before it match first: %s",
                       place, killer, info.text);
        each(line);
        told++;
    }
}

static void rule_print(struct out *out, const struct gate_rule_info *info)
{
    char place[24];
    place_format(info->place, place, sizeof(place));
    out_printf(out, "STAT %s %llu %s\r\n", place, (unsigned long long)info->hits, info->text);
}

void gate_print(struct gate *gate, struct out *out)
{
    (void)pthread_mutex_lock(&gate->look);
    const struct gate_access *access = access_now(gate);
    const size_t count = access != NULL ? gate_access_count(access) : 0;
    out_printf(out, "STAT protected_mode %s\r\n", gate_is_protected(gate) ? "yes" : "no");
    out_printf(out, "STAT access_list %s\r\n", access != NULL ? "yes" : "no");
    out_printf(out, "STAT rules %zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        struct gate_rule_info info;
        gate_access_get(access, i, &info);
        rule_print(out, &info);
    }
    if (access != NULL)
        out_printf(out, "STAT default %llu deny all\r\n",
                   (unsigned long long)gate_access_default_hits(access));
    (void)pthread_mutex_unlock(&gate->look);
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

static int gate_init(struct gate *gate, char *ret_error)
{
    /* Blocks until the kernel has gathered randomness; up to 256 bytes come whole. */
    if (getrandom(&gate->setup.key, sizeof(gate->setup.key), 0) !=
        (ssize_t)sizeof(gate->setup.key)) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "no random numbers: %s", strerror(errno));
        return -EIO;
    }
    gate->slots = aligned_alloc(CACHE_LINE_BYTES, gate->setup.config.slots * sizeof(*gate->slots));
    if (gate->slots == NULL) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    for (unsigned i = 0; i < gate->setup.config.slots; i++) {
        atomic_init(&gate->slots[i].reads, NULL);
        gate->slots[i].memory = NULL;
    }
    for (unsigned i = 0; gate_login_required(gate) && i < gate->setup.config.slots; i++) {
        gate->slots[i].memory = calloc(1, sizeof(*gate->slots[i].memory));
        if (gate->slots[i].memory == NULL) {
            (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
            return -ENOMEM;
        }
    }
    return gate_reload(gate, ret_error);
}

int gate_new(const struct gate_config *config, struct gate **ret_gate, char *ret_error)
{
    struct gate *gate = calloc(1, sizeof(*gate));
    if (gate == NULL) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    gate->setup.config = *config;
    (void)pthread_mutex_init(&gate->look, NULL);
    atomic_init(&gate->rules, NULL);
    atomic_init(&gate->generation, 0);
    atomic_init(&gate->listed, false);
    atomic_init(&gate->protect, config->protect);
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
    gate_rules_free(atomic_load_explicit(&gate->rules, memory_order_relaxed));
    for (unsigned i = 0; gate->slots != NULL && i < gate->setup.config.slots; i++) {
        if (gate->slots[i].memory != NULL)
            explicit_bzero(gate->slots[i].memory, sizeof(*gate->slots[i].memory));
        free(gate->slots[i].memory);
    }
    free(gate->slots);
    free(gate->setup.listeners);
    (void)pthread_mutex_destroy(&gate->look);
    explicit_bzero(gate, sizeof(*gate));
    free(gate);
}
