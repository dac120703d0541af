/* SPDX-License-Identifier: BSD-3-Clause */
#include "event/table.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"

static_assert(EVENT_ENTRIES_MAX <= EVENT_SLOTS / 4 * 3, "more slots for so many types");
static_assert(EVENT_ENTRIES_MAX < UINT16_MAX, "the lower half of a slot");
static_assert(EVENT_TYPE_COUNT <= UINT8_MAX, "event_key.type");
static_assert(offsetof(struct event_key, rule) == 24 + EVENT_VERB_BYTES_MAX, "no holes");

struct event_table *event_table_new(uint64_t seed)
{
    struct event_table *table = calloc(1, sizeof(*table));
    if (table != NULL)
        table->seed = seed;
    return table;
}

void event_table_free(struct event_table *table)
{
    free(table);
}

void event_table_clear(struct event_table *table)
{
    if (table->count > 0)
        memset(table->slots, 0, sizeof(table->slots));
    table->count = 0;
    memset(table->kinds, 0, sizeof(table->kinds));
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
        table->others[i].count = 0;
}

struct event_entry *event_table_at(struct event_table *table, size_t index)
{
    if (index < table->count)
        return &table->entries[index];
    index -= table->count;
    return index < EVENT_TYPE_COUNT ? &table->others[index] : NULL;
}

void event_entry_forget(struct event_entry *entry)
{
    memset((char *)entry + sizeof(entry->key), 0, sizeof(*entry) - sizeof(entry->key));
}

unsigned event_entry_sources(const struct event_entry *entry)
{
    unsigned count = 0;
    for (size_t i = 0; i < EVENT_SEEN_WORDS; i++)
        count += (unsigned)__builtin_popcountll(entry->seen[i]);
    return count;
}

/* ── what an event is counted under ───────────────────────────────────────────────────────── */

static size_t key_bytes(const struct event_key *key)
{
    return offsetof(struct event_key, rule) + key->rule_bytes;
}

void event_place_of(uint64_t seed, const struct event *event, struct event_place *ret_place)
{
    struct event_key *key = &ret_place->key;
    memset(key, 0, offsetof(struct event_key, rule));
    key->type = (uint8_t)event->type;
    key->dry_run = event->dry_run;
    key->to_port = event->to_port;
    if (event->from != NULL) {
        key->from = true;
        key->family = event->from->family;
        if (key->family == IP_V6 && ip_is_v4(&event->from->ip))
            key->family = IP_V4; /* a socket for both */
        const size_t bytes = key->family == IP_V4   ? (IP_V4_BITS + EVENT_PREFIX_V4_BITS) / 8
                             : key->family == IP_V6 ? EVENT_PREFIX_V6_BITS / 8
                                                    : 0;
        memcpy(key->prefix.byte, event->from->ip.byte, bytes);
    }
    if (event->verb != NULL)
        memcpy(key->verb, event->verb, strnlen(event->verb, sizeof(key->verb)));
    size_t rule_bytes = event->rule.len;
    if (rule_bytes > sizeof(key->rule))
        rule_bytes = sizeof(key->rule);
    key->rule_bytes = (uint8_t)rule_bytes;
    if (rule_bytes > 0)
        memcpy(key->rule, event->rule.ptr, rule_bytes);
    ret_place->hash = hash_bytes(bytes_of(key, key_bytes(key)), seed);
}

/* ── entries ──────────────────────────────────────────────────────────────────────────────── */

/* Begin an entry with what is the same for all of its kind; the rest is 0. */
static void entry_init(struct event_entry *entry, const struct event_key *key)
{
    memset(entry, 0, sizeof(*entry));
    memcpy(&entry->key, key, key_bytes(key));
}

static struct event_entry *entry_other(struct event_table *table, uint8_t type)
{
    struct event_entry *entry = &table->others[type];
    if (entry->count == 0)
        entry_init(entry, &(const struct event_key){.type = type, .other = true});
    return entry;
}

/* The entry of this place, new when its count is 0; that of the others when there is no more
 * room. */
static struct event_entry *entry_find(struct event_table *table, const struct event_place *place)
{
    const struct event_key *key = &place->key;
    const uint32_t tag = (uint32_t)(place->hash >> 48) << 16;
    size_t at = place->hash % EVENT_SLOTS;
    /* Ends: there is always a free slot. */
    for (uint32_t slot; (slot = table->slots[at]) != 0; at = (at + 1) % EVENT_SLOTS) {
        if ((slot & 0xffff0000u) != tag)
            continue;
        struct event_entry *entry = &table->entries[(slot & 0xffff) - 1];
        if (memcmp(&entry->key, key, key_bytes(key)) == 0)
            return entry;
    }
    if (table->kinds[key->type] == EVENT_KINDS_MAX)
        return entry_other(table, key->type);
    table->kinds[key->type]++;
    struct event_entry *entry = &table->entries[table->count++];
    table->slots[at] = tag | table->count;
    entry_init(entry, key);
    return entry;
}

static void seen_add(struct event_entry *entry, const struct ip_peer *from, uint64_t seed)
{
    uint64_t bit = 0;
    if (entry->key.family == IP_V4)
        bit = from->ip.byte[15];
    else if (entry->key.family == IP_V6)
        bit = hash_bytes(bytes_of(from->ip.byte, sizeof(from->ip.byte)), seed);
    entry->seen[bit / 64 % EVENT_SEEN_WORDS] |= 1ull << bit % 64;
}

static void times_add(struct event_entry *entry, uint64_t first_ms, uint64_t last_ms)
{
    if (entry->count == 0 || first_ms < entry->first_ms)
        entry->first_ms = first_ms;
    if (last_ms > entry->last_ms)
        entry->last_ms = last_ms;
}

static void entry_begin(struct event_entry *entry, const struct event *event)
{
    if (event->from != NULL)
        entry->from = *event->from;
    if (event->to != NULL)
        entry->to = *event->to;
    const size_t len = event->user.len;
    entry->user_bytes = len < sizeof(entry->user) ? (uint8_t)len : (uint8_t)sizeof(entry->user);
    if (len > 0)
        memcpy(entry->user, event->user.ptr, entry->user_bytes);
}

void event_table_add(struct event_table *table, const struct event_place *place,
                     const struct event *event, uint64_t now_ms)
{
    struct event_entry *entry = entry_find(table, place);
    times_add(entry, now_ms, now_ms);
    if (!entry->key.other) {
        if (entry->count == 0)
            entry_begin(entry, event);
        if (event->from != NULL) {
            entry->ports_differ |= event->from->port != entry->from.port;
            seen_add(entry, event->from, table->seed);
        }
        struct bytes user = event->user;
        if (user.len > sizeof(entry->user))
            user.len = sizeof(entry->user);
        entry->users_differ |= !bytes_equal(user, bytes_of(entry->user, entry->user_bytes));
    }
    entry->count++;
    entry->bytes_in += event->bytes_in;
    entry->bytes_out += event->bytes_out;
}

/* ── two tables ───────────────────────────────────────────────────────────────────────────── */

/* Add `from` to `entry`; if that is of the others, its sums alone. */
static void entry_merge(struct event_entry *entry, const struct event_entry *from)
{
    if (!entry->key.other && entry->count == 0) {
        *entry = *from;
        return;
    }
    times_add(entry, from->first_ms, from->last_ms);
    entry->count += from->count;
    entry->bytes_in += from->bytes_in;
    entry->bytes_out += from->bytes_out;
    if (entry->key.other)
        return;
    entry->ports_differ |= from->ports_differ || from->from.port != entry->from.port;
    entry->users_differ |=
        from->users_differ || !bytes_equal(bytes_of(from->user, from->user_bytes),
                                           bytes_of(entry->user, entry->user_bytes));
    for (size_t i = 0; i < EVENT_SEEN_WORDS; i++)
        entry->seen[i] |= from->seen[i];
}

void event_table_merge(struct event_table *table, const struct event_table *from)
{
    struct event_place place;
    for (size_t i = 0; i < from->count; i++) {
        const struct event_entry *entry = &from->entries[i];
        memcpy(&place.key, &entry->key, key_bytes(&entry->key));
        place.hash = hash_bytes(bytes_of(&place.key, key_bytes(&place.key)), table->seed);
        entry_merge(entry_find(table, &place), entry);
    }
    for (size_t i = 0; i < EVENT_TYPE_COUNT; i++)
        if (from->others[i].count > 0)
            entry_merge(entry_other(table, (uint8_t)i), &from->others[i]);
}
