/* event/table.h — what is alike, added up: the events of one window.
 *
 * Alike means: same type, rule, prefix of the source (/24, /56), port, command, and the same
 * answer to "was it a dry run?". Of each type there are at most EVENT_KINDS_MAX kinds, so no type
 * can push out another; the events of further kinds go to one entry of the type that has nothing
 * but sums (key.other). Nothing is ever left out of a count.
 *
 * Includes: base.  Included by: event.  Pure: no clock, no lock.
 * Threads:  one at a time.
 * Memory:   fixed; of it only what is in use is ever touched.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "event/event.h"

enum {
    EVENT_SLOTS = 4096, /* power of two; at most 3/4 of them are ever in use */
    EVENT_ENTRIES_MAX = EVENT_TYPE_COUNT * EVENT_KINDS_MAX,
    EVENT_PREFIX_V4_BITS = 24,
    EVENT_PREFIX_V6_BITS = 56,
    EVENT_SEEN_WORDS = 4,
};

/* What makes events alike. No holes, and what is behind the rule's end is no part of it. */
struct event_key {
    uint8_t type;   /* enum event_type */
    uint8_t family; /* enum ip_family; IP_LOCAL also when it came from nobody */
    bool dry_run, other;
    uint16_t to_port;
    uint8_t rule_bytes;
    bool from; /* it came from somebody */
    struct ip prefix;
    char verb[EVENT_VERB_BYTES_MAX]; /* filled up with NUL; none at the end when it is full */
    uint8_t rule[EVENT_RULE_BYTES_MAX];
};

struct event_entry {
    struct event_key key;
    struct ip_peer from; /* the first */
    struct ip to;        /* likewise; unspecified: not known */
    bool ports_differ, users_differ;
    uint8_t user_bytes;
    uint8_t user[EVENT_USER_BYTES_MAX]; /* the first */
    uint64_t count, bytes_in, bytes_out;
    uint64_t first_ms, last_ms; /* Unix time */
    /* A bit per address: exact for IPv4, as a /24 has 256; of IPv6 by hash, so at least so many. */
    uint64_t seen[EVENT_SEEN_WORDS];
};

struct event_table {
    uint64_t seed; /* of the hash, so that nobody can choose keys that collide */
    uint32_t count;
    uint32_t kinds[EVENT_TYPE_COUNT];
    uint32_t slots[EVENT_SLOTS]; /* upper half: some bits of the hash; lower: entry + 1, 0: none */
    struct event_entry others[EVENT_TYPE_COUNT];
    struct event_entry entries[EVENT_ENTRIES_MAX];
};

/* Returns NULL when there is no memory. Owns: event_table_free(). */
MUST_USE struct event_table *event_table_new(uint64_t seed);
void event_table_free(struct event_table *table); /* NULL is fine */

/* What `event` is counted under, and its hash. */
struct event_place {
    struct event_key key;
    uint64_t hash;
};
void event_place_of(uint64_t seed, const struct event *event, struct event_place *ret_place);

/* Count `event`, whose place it is, at `now_ms`. */
void event_table_add(struct event_table *table, const struct event_place *place,
                     const struct event *event, uint64_t now_ms);
/* Add all of `from`, which has the same seed, to `table`. */
void event_table_merge(struct event_table *table, const struct event_table *from);
void event_table_clear(struct event_table *table);

/* The entries, in the order in which they came, the others last. NULL behind the last; one whose
 * count is 0 tells nothing. */
struct event_entry *event_table_at(struct event_table *table, size_t index);

/* It has been told: what comes from now on begins anew. */
void event_entry_forget(struct event_entry *entry);

/* How many addresses there were (IPv6: at least so many). */
unsigned event_entry_sources(const struct event_entry *entry);
