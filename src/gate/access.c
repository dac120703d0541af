/* The table that an access list becomes.
 *
 * Two prefixes are either disjoint or one is part of the other. So when the rules stand sorted by
 * where their prefix begins, the wider one first, those that match an address are on a stack while
 * one walks over the addresses, and it has at most as many entries as an address has bits. Each
 * entry knows per class the first rule (in the order of the list) of itself and all below it; at
 * each beginning and end of a prefix a new interval begins, in which the top entry's rules decide.
 *
 * IPv4 lies within IPv6 as ::ffff:0:0/96 (base/ip.h), where rules for IPv6 do not match: there, an
 * entry of its own knows of `all` alone.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "gate/access.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/be.h"
#include "gate/access_rule.h"

enum {
    CLASSES = GATE_CLASS_COUNT,
    RULES_FIRST = 64,
};

static const uint32_t NONE = UINT32_MAX; /* no rule */

/* An address as a number. */
struct key {
    uint64_t hi, lo;
};

struct decision {
    uint32_t rule[CLASSES]; /* which decides about class 1 << i, or NONE */
    uint32_t classes;       /* what comes of it */
};

/* Interval i goes from starts[i] to the address before starts[i + 1]; starts[0] is 0. */
struct table {
    size_t count;
    struct key *starts;
    struct decision *decisions;
};

struct gate_access {
    struct gate_rule *rules;
    size_t count, cap;
    unsigned slots;
    size_t listener_count;
    struct gate_listener *listeners;
    uint32_t *table_of; /* by listener; NONE: all is allowed, and no rule is about it */
    struct table *tables;
    size_t table_count;
    /* Per slot one per rule and one for "nothing matched"; its slot alone writes to it, so relaxed
     * loads and stores do. */
    _Atomic uint64_t *hits;
    size_t hits_stride; /* from slot to slot: whole cache lines */
};

/* ── rules ────────────────────────────────────────────────────────────────────────────────── */

int gate_access_new(unsigned slots, struct gate_access **ret_access)
{
    struct gate_access *access = calloc(1, sizeof(*access));
    if (access == NULL)
        return -ENOMEM;
    access->slots = slots;
    *ret_access = access;
    return 0;
}

void gate_access_free(struct gate_access *access)
{
    if (access == NULL)
        return;
    for (size_t i = 0; i < access->table_count; i++) {
        free(access->tables[i].starts);
        free(access->tables[i].decisions);
    }
    free(access->tables);
    free(access->table_of);
    free(access->listeners);
    free(access->rules);
    free((void *)access->hits);
    free(access);
}

static int rule_add(struct gate_access *access, const struct gate_rule *rule,
                    struct gate_mistake *ret_mistake)
{
    if (access->count == GATE_RULES_MAX) {
        (void)snprintf(ret_mistake->what, sizeof(ret_mistake->what), "more than %d rules",
                       GATE_RULES_MAX);
        return -EINVAL;
    }
    if (access->count == access->cap) {
        const size_t cap = access->cap > 0 ? 2 * access->cap : RULES_FIRST;
        struct gate_rule *rules = realloc(access->rules, cap * sizeof(*rules));
        if (rules == NULL)
            return -ENOMEM;
        access->rules = rules;
        access->cap = cap;
    }
    access->rules[access->count++] = *rule;
    return 0;
}

/* The part of `text` up to one of the bytes in `ends`, which is skipped. */
static struct bytes part_take(struct bytes *text, const char *ends)
{
    size_t len = 0;
    while (len < text->len && (text->ptr[len] == '\0' || strchr(ends, text->ptr[len]) == NULL))
        len++;
    const struct bytes part = bytes_of(text->ptr, len);
    *text = bytes_skip(*text, len < text->len ? len + 1 : len);
    return part;
}

static int line_add(struct gate_access *access, struct bytes line, struct gate_mistake *ret_mistake)
{
    struct gate_rule rule;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    const int rc = gate_rule_parse(line, &rule, ret_mistake);
    if (rc <= 0)
        return rc;
    rule.place = (struct gate_place){GATE_SOURCE_FILE, (uint32_t)ret_mistake->line};
    return rule_add(access, &rule, ret_mistake);
}

static int prefix_add(struct gate_access *access, enum gate_source source, struct bytes word,
                      size_t column, struct gate_mistake *ret_mistake)
{
    struct gate_rule rule = {
        .classes = GATE_ALL,
        .allow = source == GATE_SOURCE_ALLOW,
        .place = {source, (uint32_t)ret_mistake->line},
    };
    const int rc = gate_rule_parse_prefix(word, column, &rule, ret_mistake);
    return rc == 0 ? rule_add(access, &rule, ret_mistake) : rc;
}

int gate_access_add(struct gate_access *access, enum gate_source source, struct bytes text,
                    struct gate_mistake *ret_mistake)
{
    const bool file = source == GATE_SOURCE_FILE;
    const uint8_t *start = text.ptr;
    *ret_mistake = (struct gate_mistake){0};
    int rc = 0;
    while (rc == 0 && text.len > 0) {
        ret_mistake->line++;
        const size_t column = (size_t)(text.ptr - start) + 1;
        const struct bytes part = part_take(&text, file ? "\n" : "+,");
        rc = file ? line_add(access, part, ret_mistake)
                  : prefix_add(access, source, part, column, ret_mistake);
    }
    return rc;
}

/* Is a rule about those who come in by this listener? */
static bool applies(const struct gate_rule *rule, const struct gate_listener *listener)
{
    switch ((enum gate_on)rule->on) {
    case GATE_ON_ANY:
        return listener->transport != GATE_UNIX;
    case GATE_ON_TCP:
        return listener->transport == GATE_TCP;
    case GATE_ON_UDP:
        return listener->transport == GATE_UDP;
    case GATE_ON_UNIX:
        return listener->transport == GATE_UNIX;
    case GATE_ON_PORT:
        return listener->transport != GATE_UNIX && listener->port == rule->on_port;
    case GATE_ON_ADDRESS:
        return listener->transport != GATE_UNIX && listener->port == rule->on_port &&
               ip_equal(&listener->ip, &rule->on_ip);
    }
    return false;
}

/* ── numbers ──────────────────────────────────────────────────────────────────────────────── */

static struct key key_of(const struct ip *ip)
{
    return (struct key){be_read_u64(ip->byte), be_read_u64(ip->byte + 8)};
}

static bool key_less(struct key a, struct key b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static bool key_equal(struct key a, struct key b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

/* The last address of a prefix that begins with `key`. */
static struct key key_last(struct key key, unsigned bits)
{
    if (bits < 64) {
        key.hi |= UINT64_MAX >> bits;
        key.lo = UINT64_MAX;
    } else if (bits < IP_BITS) {
        key.lo |= UINT64_MAX >> (bits - 64);
    }
    return key;
}

static struct key key_next(struct key key)
{
    key.lo++;
    key.hi += key.lo == 0;
    return key;
}

/* ── building a table ─────────────────────────────────────────────────────────────────────── */

/* A rule that is about the listener. */
struct item {
    struct key start;
    unsigned bits;
    uint32_t rule; /* NONE: the beginning of IPv4 */
};

/* A prefix that the walk is in. */
struct entry {
    struct key start, last;
    unsigned bits;
    uint32_t first[CLASSES]; /* per class the first rule that matches here, or NONE */
};

struct walk {
    const struct gate_access *access;
    struct table table;
    struct entry stack[IP_BITS + 2]; /* one per length of a prefix, and the bottom */
    size_t depth;
    uint32_t first_all[CLASSES]; /* likewise, of the rules about `all` */
};

static int item_compare(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (!key_equal(a->start, b->start))
        return key_less(a->start, b->start) ? -1 : 1;
    if (a->bits != b->bits)
        return a->bits < b->bits ? -1 : 1;
    /* The beginning of IPv4 comes before the rules about all of it. */
    if ((a->rule == NONE) != (b->rule == NONE))
        return a->rule == NONE ? -1 : 1;
    return a->rule < b->rule ? -1 : a->rule > b->rule;
}

/* NONE is greater than any rule. */
static void first_lower(const struct gate_rule *rules, uint32_t rule, uint32_t first[CLASSES])
{
    for (unsigned i = 0; i < CLASSES; i++)
        if ((rules[rule].classes & 1u << i) != 0 && rule < first[i])
            first[i] = rule;
}

/* From `start` on the top entry's rules decide. */
static void interval_begin(struct walk *walk, struct key start)
{
    struct table *table = &walk->table;
    const struct entry *top = &walk->stack[walk->depth - 1];
    if (table->count > 0 && key_equal(table->starts[table->count - 1], start))
        table->count--;
    struct decision decision = {.classes = 0};
    for (unsigned i = 0; i < CLASSES; i++) {
        decision.rule[i] = top->first[i];
        if (top->first[i] != NONE && walk->access->rules[top->first[i]].allow)
            decision.classes |= 1u << i;
    }
    if (table->count > 0 &&
        memcmp(&table->decisions[table->count - 1], &decision, sizeof(decision)) == 0)
        return; /* goes on as before */
    table->starts[table->count] = start;
    table->decisions[table->count++] = decision;
}

/* Leave all prefixes that end before `next`; NULL: all but the bottom. */
static void prefixes_leave(struct walk *walk, const struct key *next)
{
    for (;;) {
        const struct key last = walk->stack[walk->depth - 1].last;
        if (walk->depth == 1 || (next != NULL && !key_less(last, *next)))
            return;
        walk->depth--;
        const struct key behind = key_next(last);
        if (!key_equal(behind, (struct key){0, 0})) /* else it was the last address of all */
            interval_begin(walk, behind);
    }
}

static void prefix_enter(struct walk *walk, const struct item *item)
{
    prefixes_leave(walk, &item->start);
    struct entry *top = &walk->stack[walk->depth - 1];
    if (walk->depth == 1 || top->bits != item->bits || !key_equal(top->start, item->start)) {
        assert(walk->depth < COUNT_OF(walk->stack));
        struct entry *entry = &walk->stack[walk->depth++];
        *entry = *top;
        entry->start = item->start;
        entry->last = key_last(item->start, item->bits);
        entry->bits = item->bits;
        top = entry;
    }
    if (item->rule == NONE)
        memcpy(top->first, walk->first_all, sizeof(top->first));
    else
        first_lower(walk->access->rules, item->rule, top->first);
    interval_begin(walk, item->start);
}

/* What is about the listener, sorted. Returns how many items, or 0 without memory. */
static size_t items_new(const struct gate_access *access, const struct gate_listener *listener,
                        struct item **ret_items)
{
    static const struct ip v4 = {{[10] = 0xff, [11] = 0xff}};
    struct item *items = malloc((access->count + 1) * sizeof(*items));
    if (items == NULL)
        return 0;
    size_t count = 0;
    items[count++] = (struct item){key_of(&v4), IP_V4_BITS, NONE};
    for (uint32_t i = 0; i < access->count; i++) {
        const struct gate_rule *rule = &access->rules[i];
        if (applies(rule, listener))
            items[count++] = (struct item){key_of(&rule->prefix.ip), rule->prefix.bits, i};
    }
    qsort(items, count, sizeof(*items), item_compare);
    *ret_items = items;
    return count;
}

/* Give back what the table did not need. */
static void table_trim(struct table *table)
{
    struct key *starts = realloc(table->starts, table->count * sizeof(*starts));
    if (starts != NULL)
        table->starts = starts;
    struct decision *decisions = realloc(table->decisions, table->count * sizeof(*decisions));
    if (decisions != NULL)
        table->decisions = decisions;
}

static int table_init(struct table *ret_table, const struct gate_access *access,
                      const struct gate_listener *listener)
{
    struct item *items;
    const size_t count = items_new(access, listener, &items);
    if (count == 0)
        return -ENOMEM;
    struct walk walk = {.access = access, .depth = 1};
    walk.stack[0] = (struct entry){.last = {UINT64_MAX, UINT64_MAX}};
    memset(walk.stack[0].first, 0xff, sizeof(walk.stack[0].first));
    memset(walk.first_all, 0xff, sizeof(walk.first_all));
    for (size_t i = 0; i < count; i++)
        if (items[i].rule != NONE && access->rules[items[i].rule].all)
            first_lower(access->rules, items[i].rule, walk.first_all);
    const size_t cap = 2 * count + 1; /* a beginning and an end each, and the bottom */
    walk.table.starts = malloc(cap * sizeof(*walk.table.starts));
    walk.table.decisions = malloc(cap * sizeof(*walk.table.decisions));
    const bool ok = walk.table.starts != NULL && walk.table.decisions != NULL;
    if (ok) {
        interval_begin(&walk, (struct key){0, 0});
        for (size_t i = 0; i < count; i++)
            prefix_enter(&walk, &items[i]);
        prefixes_leave(&walk, NULL);
        table_trim(&walk.table);
    }
    free(items);
    *ret_table = walk.table; /* also what there is of it after a failure */
    return ok ? 0 : -ENOMEM;
}

/* ── sealing ──────────────────────────────────────────────────────────────────────────────── */

/* Whoever names a port or an address means one that is there; `udp` may be switched off. */
static int listeners_check(const struct gate_access *access, struct gate_mistake *ret_mistake)
{
    for (size_t i = 0; i < access->count; i++) {
        const struct gate_rule *rule = &access->rules[i];
        bool known = rule->on != GATE_ON_PORT && rule->on != GATE_ON_ADDRESS;
        for (size_t j = 0; j < access->listener_count && !known; j++)
            known = applies(rule, &access->listeners[j]);
        if (known)
            continue;
        *ret_mistake = (struct gate_mistake){.line = rule->place.line, .column = rule->on_column};
        (void)snprintf(ret_mistake->what, sizeof(ret_mistake->what), "%s",
                       rule->on == GATE_ON_PORT ? "nothing listens on this port"
                                                : "nothing listens on this address and port");
        return -EINVAL;
    }
    return 0;
}

/* Are the same rules about both? */
static bool listeners_alike(const struct gate_access *access, const struct gate_listener *a,
                            const struct gate_listener *b)
{
    for (size_t i = 0; i < access->count; i++)
        if (applies(&access->rules[i], a) != applies(&access->rules[i], b))
            return false;
    return true;
}

/* Is there any rule about a unix socket? */
static bool is_free(const struct gate_access *access, const struct gate_listener *listener)
{
    if (listener->transport != GATE_UNIX)
        return false;
    for (size_t i = 0; i < access->count; i++)
        if (access->rules[i].on == GATE_ON_UNIX)
            return false;
    return true;
}

static int tables_init(struct gate_access *access)
{
    for (size_t i = 0; i < access->listener_count; i++) {
        const struct gate_listener *listener = &access->listeners[i];
        access->table_of[i] = NONE;
        if (is_free(access, listener))
            continue;
        for (size_t j = 0; j < i && access->table_of[i] == NONE; j++)
            if (access->table_of[j] != NONE &&
                listeners_alike(access, listener, &access->listeners[j]))
                access->table_of[i] = access->table_of[j];
        if (access->table_of[i] != NONE)
            continue;
        access->table_of[i] = (uint32_t)access->table_count;
        const int rc = table_init(&access->tables[access->table_count++], access, listener);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Find the rules that are about a listener and never decide. */
static int dead_find(struct gate_access *access)
{
    bool *used = calloc(access->count + 1, sizeof(*used));
    if (used == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < access->table_count; i++)
        for (size_t j = 0; j < access->tables[i].count; j++)
            for (unsigned c = 0; c < CLASSES; c++) {
                const uint32_t rule = access->tables[i].decisions[j].rule[c];
                if (rule != NONE)
                    used[rule] = true;
            }
    for (size_t i = 0; i < access->count; i++)
        for (size_t j = 0; j < access->listener_count && !used[i]; j++)
            if (applies(&access->rules[i], &access->listeners[j]))
                access->rules[i].dead = true;
    free(used);
    return 0;
}

static int hits_init(struct gate_access *access)
{
    const size_t per_line = CACHE_LINE_BYTES / sizeof(*access->hits);
    access->hits_stride = (access->count + 1 + per_line - 1) / per_line * per_line;
    /* Large ones come from the kernel as pages that exist once they are written to. One line more:
     * calloc() does not align to it, and slots must not share one. */
    access->hits = calloc((access->slots + 1) * access->hits_stride, sizeof(*access->hits));
    return access->hits != NULL ? 0 : -ENOMEM;
}

int gate_access_seal(struct gate_access *access, const struct gate_listener *listeners,
                     size_t count, struct gate_mistake *ret_mistake)
{
    access->listeners = calloc(count + 1, sizeof(*listeners));
    access->table_of = calloc(count + 1, sizeof(*access->table_of));
    access->tables = calloc(count + 1, sizeof(*access->tables));
    if (access->listeners == NULL || access->table_of == NULL || access->tables == NULL)
        return -ENOMEM;
    if (count > 0)
        memcpy(access->listeners, listeners, count * sizeof(*listeners));
    access->listener_count = count;
    int rc = listeners_check(access, ret_mistake);
    if (rc == 0)
        rc = hits_init(access);
    if (rc == 0)
        rc = tables_init(access);
    return rc == 0 ? dead_find(access) : rc;
}

/* ── questions ────────────────────────────────────────────────────────────────────────────── */

/* What decides; NULL: no rule is about that listener. */
static const struct decision *decision_find(const struct gate_access *access, unsigned listener,
                                            const struct ip *ip)
{
    assert(listener < access->listener_count);
    if (access->table_of[listener] == NONE)
        return NULL;
    const struct table *table = &access->tables[access->table_of[listener]];
    const struct key key = key_of(ip);
    size_t from = 0; /* the last start that is not above the key is in [from, from + len) */
    for (size_t len = table->count; len > 1;) {
        const size_t half = len / 2;
        from = key_less(key, table->starts[from + half]) ? from : from + half;
        len -= half;
    }
    return &table->decisions[from];
}

static _Atomic uint64_t *hits_of(const struct gate_access *access, unsigned slot)
{
    const uintptr_t line = CACHE_LINE_BYTES;
    const uintptr_t first = ((uintptr_t)access->hits + line - 1) / line * line;
    return (_Atomic uint64_t *)first + slot * access->hits_stride;
}

uint8_t gate_access_look(const struct gate_access *access, unsigned listener,
                         const struct ip_peer *peer)
{
    const struct decision *decision = decision_find(access, listener, &peer->ip);
    return decision != NULL ? (uint8_t)decision->classes : GATE_ALL;
}

uint8_t gate_access_ask(const struct gate_access *access, unsigned slot, unsigned listener,
                        const struct ip_peer *peer)
{
    const struct decision *decision = decision_find(access, listener, &peer->ip);
    if (decision == NULL)
        return GATE_ALL;
    _Atomic uint64_t *hits = hits_of(access, slot);
    for (unsigned i = 0; i < CLASSES; i++) {
        const uint32_t rule = decision->rule[i];
        unsigned before = 0;
        while (decision->rule[before] != rule)
            before++;
        if (before < i)
            continue; /* has been counted */
        _Atomic uint64_t *hit = &hits[rule != NONE ? rule : access->count];
        atomic_store_explicit(hit, atomic_load_explicit(hit, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    }
    return (uint8_t)decision->classes;
}

void gate_access_explain(const struct gate_access *access, unsigned listener,
                         const struct ip_peer *peer, uint8_t classes,
                         char ret_text[GATE_RULE_TEXT_BYTES])
{
    const struct decision *decision = decision_find(access, listener, &peer->ip);
    for (unsigned i = 0; decision != NULL && i < CLASSES; i++) {
        if ((classes & ~decision->classes & 1u << i) == 0)
            continue;
        if (decision->rule[i] != NONE) {
            gate_rule_format(&access->rules[decision->rule[i]], ret_text);
            return;
        }
    }
    (void)snprintf(ret_text, GATE_RULE_TEXT_BYTES, "nothing allows it");
}

/* ── seen from outside ────────────────────────────────────────────────────────────────────── */

size_t gate_access_count(const struct gate_access *access)
{
    return access->count;
}

bool gate_access_allows(const struct gate_access *access)
{
    for (size_t i = 0; i < access->count; i++)
        if (access->rules[i].allow)
            return true;
    return false;
}

static uint64_t hits_sum(const struct gate_access *access, size_t rule)
{
    uint64_t sum = 0;
    for (unsigned slot = 0; slot < access->slots; slot++)
        sum += atomic_load_explicit(&hits_of(access, slot)[rule], memory_order_relaxed);
    return sum;
}

/* What decides at a dead rule's first address. */
static struct gate_place killer_find(const struct gate_access *access, const struct gate_rule *rule)
{
    for (unsigned i = 0; i < access->listener_count; i++) {
        if (!applies(rule, &access->listeners[i]))
            continue;
        const struct decision *decision = decision_find(access, i, &rule->prefix.ip);
        for (unsigned c = 0; c < CLASSES; c++)
            if ((rule->classes & 1u << c) != 0)
                return access->rules[decision->rule[c]].place;
    }
    return rule->place;
}

void gate_access_get(const struct gate_access *access, size_t index,
                     struct gate_rule_info *ret_info)
{
    assert(index < access->count);
    const struct gate_rule *rule = &access->rules[index];
    *ret_info = (struct gate_rule_info){
        .place = rule->place, .hits = hits_sum(access, index), .dead = rule->dead};
    if (rule->dead)
        ret_info->killer = killer_find(access, rule);
    gate_rule_format(rule, ret_info->text);
}

uint64_t gate_access_default_hits(const struct gate_access *access)
{
    return hits_sum(access, access->count);
}
