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
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/spin.h"
#include "gate/keys.h"
#include "gate/users.h"
#include "proto/base64.h"

enum {
    FILE_BYTES_MAX = 16 * 1024 * 1024,
    FILE_BYTES_FIRST = 4096,
};

_Static_assert((int)GATE_SCRAM_END_BYTES == (int)SCRAM_SIGNATURE_BYTES &&
                   (int)GATE_USER_NAME_MAX == (int)GATE_NAME_BYTES_MAX,
               "what gate.h says without users.h");

/* All that is read from files, as one. */
struct rules {
    struct gate_users *users;
    struct gate_access *access; /* NULL: there is none */
};

struct slot {
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct rules *) reads; /* NULL: nothing */
    char text[GATE_RULE_TEXT_BYTES];                          /* see gate_explain() */
    struct gate_memory *memory; /* of its logins; NULL: nobody logs in */
};

struct gate {
    struct gate_config config;
    struct gate_digest key;
    _Atomic(struct rules *) rules;
    _Atomic uint32_t generation; /* of the rules; see gate_generation() */
    struct slot *slots;
    struct gate_listener *listeners;
    size_t listener_count;
    bool listening;       /* gate_listeners_set() */
    pthread_mutex_t look; /* held while somebody looks at rules at leisure, or frees them */
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

bool gate_has_access(const struct gate *gate)
{
    const struct gate_config *config = &gate->config;
    return config->deny != NULL || config->allow != NULL || config->access_file != NULL;
}

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

static int access_seal(const struct gate *gate, struct gate_access *access, char *ret_error)
{
    const char *path = gate->config.access_file;
    struct gate_mistake mistake = {0};
    const int rc = gate_access_seal(access, gate->listeners, gate->listener_count, &mistake);
    return mistake_describe(path != NULL ? path : "-o allow and deny", &mistake, rc, ret_error);
}

/* Read all of it; rules that are used before anybody listens are sealed later. */
static int access_fill(struct gate_access *access, const struct gate *gate, char *ret_error)
{
    const struct gate_config *config = &gate->config;
    int rc = 0;
    if (config->deny != NULL)
        rc = access_add_option(access, GATE_SOURCE_DENY, config->deny, ret_error);
    if (rc == 0 && config->allow != NULL)
        rc = access_add_option(access, GATE_SOURCE_ALLOW, config->allow, ret_error);
    if (rc == 0 && config->access_file != NULL)
        rc = access_add_file(access, config->access_file, ret_error);
    return rc == 0 && gate->listening ? access_seal(gate, access, ret_error) : rc;
}

int gate_listeners_set(struct gate *gate, const struct gate_listener *listeners, size_t count,
                       char *ret_error)
{
    (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
    gate->listeners = calloc(count + 1, sizeof(*listeners));
    if (gate->listeners == NULL)
        return -ENOMEM;
    if (count > 0)
        memcpy(gate->listeners, listeners, count * sizeof(*listeners));
    gate->listener_count = count;
    gate->listening = true;
    const struct rules *rules = atomic_load_explicit(&gate->rules, memory_order_relaxed);
    return rules->access != NULL ? access_seal(gate, rules->access, ret_error) : 0;
}

/* ── rules ────────────────────────────────────────────────────────────────────────────────── */

static void rules_free(struct rules *rules)
{
    if (rules != NULL) {
        gate_users_free(rules->users);
        gate_access_free(rules->access);
    }
    free(rules);
}

static int users_fill(struct gate_users *users, const struct gate *gate, char *ret_error)
{
    const char *paths[COUNT_OF(gate->config.files)] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(gate->config.files); i++) {
        if (gate->config.files[i] == NULL)
            continue;
        paths[count++] = gate->config.files[i];
        const int rc = file_add(users, gate->config.files[i], ret_error);
        if (rc != 0)
            return rc;
    }
    const struct rules *before = atomic_load_explicit(&gate->rules, memory_order_relaxed);
    struct gate_fault fault = {.what = "out of memory"};
    const int rc = gate_users_seal(users, before != NULL ? before->users : NULL, &fault);
    if (rc != 0)
        fault_describe(paths[fault.file], &fault, ret_error);
    return rc;
}

static int rules_new(const struct gate *gate, struct rules **ret_rules, char *ret_error)
{
    (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
    struct rules *rules = calloc(1, sizeof(*rules));
    int rc = rules != NULL ? gate_users_new(gate->key, &rules->users) : -ENOMEM;
    if (rc == 0 && gate_has_access(gate))
        rc = gate_access_new(gate->config.slots, &rules->access);
    if (rc == 0)
        rc = users_fill(rules->users, gate, ret_error);
    if (rc == 0 && rules->access != NULL)
        rc = access_fill(rules->access, gate, ret_error);
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
    /* Release: who sees it sees the rules, or what he keeps with it would be of the old ones. */
    const uint32_t generation = old % GATE_GENERATION_MAX + 1;
    atomic_store_explicit(&gate->generation, generation, memory_order_release);
}

int gate_reload(struct gate *gate, char *ret_error)
{
    struct rules *rules;
    const int rc = rules_new(gate, &rules, ret_error);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&gate->look);
    struct rules *old = atomic_exchange(&gate->rules, rules);
    generation_raise(gate);
    for (unsigned i = 0; old != NULL && i < gate->config.slots; i++) {
        unsigned rounds = 0;
        while (atomic_load(&gate->slots[i].reads) == old)
            spin_wait(&rounds);
    }
    rules_free(old);
    (void)pthread_mutex_unlock(&gate->look);
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
    return atomic_load_explicit(&gate->generation, memory_order_acquire);
}

bool gate_login_required(const struct gate *gate)
{
    return gate->config.files[0] != NULL || gate->config.files[1] != NULL;
}

/* ── logins ───────────────────────────────────────────────────────────────────────────────── */

uint16_t gate_check(struct gate *gate, unsigned slot, struct bytes name, struct bytes password)
{
    const struct rules *rules = rules_open(gate, slot);
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
        const struct rules *rules = rules_open(gate, slot);
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
    const struct rules *rules = rules_open(gate, slot);
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
    const struct rules *rules = rules_open(gate, slot);
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
    const struct rules *rules = rules_open(gate, slot);
    const struct bytes name = gate_users_name(rules->users, user);
    if (name.len > 0)
        memcpy(dst, name.ptr, name.len);
    rules_close(gate, slot);
    return name.len;
}

uint8_t gate_user_classes(struct gate *gate, unsigned slot, uint16_t user, bool *ret_confined)
{
    const struct rules *rules = rules_open(gate, slot);
    const uint8_t classes = gate_users_classes(rules->users, user);
    *ret_confined = gate_users_prefixes(rules->users, user).len > 0;
    rules_close(gate, slot);
    return classes;
}

bool gate_user_may_touch(struct gate *gate, unsigned slot, uint16_t user,
                         const struct proto_request *req)
{
    const struct rules *rules = rules_open(gate, slot);
    const struct bytes prefixes = gate_users_prefixes(rules->users, user);
    /* Who is confined no more, since a moment ago, may go everywhere; who is no more, nowhere. */
    const bool may =
        prefixes.len > 0 ? gate_keys_covered(prefixes, req) : gate_users_has(rules->users, user);
    rules_close(gate, slot);
    return may;
}

/* Is this peer one that protected mode keeps out? */
static bool protects(const struct gate *gate, unsigned listener, const struct ip_peer *peer)
{
    if (!gate->config.protect || gate_login_required(gate) || gate_has_access(gate))
        return false;
    if (peer->family == IP_LOCAL || ip_is_loopback(&peer->ip))
        return false;
    return listener >= gate->listener_count || !gate->listeners[listener].certified;
}

uint8_t gate_address_classes(struct gate *gate, unsigned slot, unsigned listener,
                             const struct ip_peer *peer)
{
    if (!gate_has_access(gate))
        return protects(gate, listener, peer) ? 0 : GATE_ALL;
    const struct rules *rules = rules_open(gate, slot);
    const uint8_t classes = gate_access_ask(rules->access, slot, listener, peer);
    rules_close(gate, slot);
    return classes;
}

enum gate_verdict gate_admit(struct gate *gate, unsigned slot, unsigned listener,
                             const struct ip_peer *peer)
{
    if (!gate_has_access(gate))
        return protects(gate, listener, peer) ? GATE_PROTECTED : GATE_WELCOME;
    const struct rules *rules = rules_open(gate, slot);
    const bool welcome = gate_access_look(rules->access, listener, peer) != 0 ||
                         gate_access_ask(rules->access, slot, listener, peer) != 0;
    rules_close(gate, slot);
    return welcome ? GATE_WELCOME : GATE_DENIED;
}

const char *gate_explain(struct gate *gate, unsigned slot, unsigned listener,
                         const struct ip_peer *peer, uint8_t classes)
{
    if (!gate_has_access(gate))
        return "protected mode";
    const struct rules *rules = rules_open(gate, slot);
    gate_access_explain(rules->access, listener, peer, classes, gate->slots[slot].text);
    rules_close(gate, slot);
    return gate->slots[slot].text;
}

uint16_t gate_listener_port(const struct gate *gate, unsigned listener)
{
    return listener < gate->listener_count ? gate->listeners[listener].port : 0;
}

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

size_t gate_user_count(const struct gate *gate)
{
    return gate_users_count(atomic_load_explicit(&gate->rules, memory_order_relaxed)->users);
}

bool gate_is_protected(const struct gate *gate)
{
    return gate->config.protect;
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
    out_printf(out, "STAT protected_mode %s\r\n", gate->config.protect ? "yes" : "no");
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
    if (getrandom(&gate->key, sizeof(gate->key), 0) != (ssize_t)sizeof(gate->key)) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "no random numbers: %s", strerror(errno));
        return -EIO;
    }
    gate->slots = aligned_alloc(CACHE_LINE_BYTES, gate->config.slots * sizeof(*gate->slots));
    if (gate->slots == NULL) {
        (void)snprintf(ret_error, GATE_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    for (unsigned i = 0; i < gate->config.slots; i++) {
        atomic_init(&gate->slots[i].reads, NULL);
        gate->slots[i].memory = NULL;
    }
    for (unsigned i = 0; gate_login_required(gate) && i < gate->config.slots; i++) {
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
    gate->config = *config;
    (void)pthread_mutex_init(&gate->look, NULL);
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
    for (unsigned i = 0; gate->slots != NULL && i < gate->config.slots; i++) {
        if (gate->slots[i].memory != NULL)
            explicit_bzero(gate->slots[i].memory, sizeof(*gate->slots[i].memory));
        free(gate->slots[i].memory);
    }
    free(gate->slots);
    free(gate->listeners);
    (void)pthread_mutex_destroy(&gate->look);
    explicit_bzero(gate, sizeof(*gate));
    free(gate);
}
