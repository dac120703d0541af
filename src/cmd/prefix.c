/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/prefix.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/spin.h"

enum {
    SHARDS = 16,
    SHARD_BUCKETS = 1024,
    PRINT_BUCKETS = 64, /* at a time: some 250 prefixes when the table is full */
};

struct prefix {
    struct prefix *next;
    uint64_t gets, hits, sets, deletes;
    size_t len;
    uint8_t text[];
};

struct shard {
    _Alignas(CACHE_LINE_BYTES) struct spin lock;
    struct prefix *buckets[SHARD_BUCKETS];
};

struct cmd_prefix_table {
    struct shard shards[SHARDS];
    _Atomic uint32_t count; /* of all shards; relaxed, it is only a bound */
    uint64_t seed;          /* secret, so that nobody chooses prefixes that share a bucket */
    char delimiter;
};

int cmd_prefixes_init(struct cmd_prefixes *prefixes, char delimiter, bool on)
{
    struct cmd_prefix_table *table = aligned_alloc(CACHE_LINE_BYTES, sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    memset(table, 0, sizeof(*table));
    if (getrandom(&table->seed, sizeof(table->seed), 0) != (ssize_t)sizeof(table->seed)) {
        const int rc = -errno;
        free(table);
        return rc;
    }
    table->delimiter = delimiter;
    prefixes->table = table;
    atomic_init(&prefixes->on, on);
    return 0;
}

/* Returns how many there were. */
static uint32_t shard_clear(struct shard *shard)
{
    uint32_t count = 0;
    for (size_t i = 0; i < SHARD_BUCKETS; i++) {
        struct prefix *next = shard->buckets[i];
        while (next != NULL) {
            struct prefix *prefix = next;
            next = prefix->next;
            free(prefix);
            count++;
        }
        shard->buckets[i] = NULL;
    }
    return count;
}

void cmd_prefixes_reset(struct cmd_prefixes *prefixes)
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &prefixes->table->shards[i];
        spin_lock(&shard->lock);
        atomic_fetch_sub_explicit(&prefixes->table->count, shard_clear(shard),
                                  memory_order_relaxed);
        spin_unlock(&shard->lock);
    }
}

void cmd_prefixes_fini(struct cmd_prefixes *prefixes)
{
    if (prefixes->table != NULL)
        cmd_prefixes_reset(prefixes);
    free(prefixes->table);
    prefixes->table = NULL;
}

/* Take one of the PREFIX_COUNT_MAX places. */
static bool place_take(struct cmd_prefix_table *table)
{
    if (atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed) < PREFIX_COUNT_MAX)
        return true;
    atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
    return false;
}

/* The shard's lock is held. Returns NULL when the table is full or memory ran out. */
static struct prefix *shard_find(struct cmd_prefix_table *table, struct shard *shard,
                                 struct bytes text, uint64_t hash)
{
    struct prefix **bucket = &shard->buckets[hash / SHARDS % SHARD_BUCKETS];
    for (struct prefix *prefix = *bucket; prefix != NULL; prefix = prefix->next)
        if (bytes_equal(bytes_of(prefix->text, prefix->len), text))
            return prefix;
    if (!place_take(table))
        return NULL;
    struct prefix *prefix = calloc(1, sizeof(*prefix) + text.len);
    if (prefix == NULL) {
        atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
        return NULL;
    }
    prefix->len = text.len;
    if (text.len > 0)
        memcpy(prefix->text, text.ptr, text.len);
    prefix->next = *bucket;
    *bucket = prefix;
    return prefix;
}

void cmd_prefixes_count(struct cmd_prefixes *prefixes, struct bytes key, enum prefix_event event)
{
    struct cmd_prefix_table *table = prefixes->table;
    const uint8_t *delimiter = memchr(key.ptr, table->delimiter, key.len);
    if (delimiter == NULL)
        return;
    const struct bytes text = bytes_of(key.ptr, (size_t)(delimiter - key.ptr));
    const uint64_t hash = hash_bytes(text, table->seed);
    struct shard *shard = &table->shards[hash % SHARDS];
    spin_lock(&shard->lock);
    struct prefix *prefix = shard_find(table, shard, text, hash);
    if (prefix != NULL) {
        prefix->gets += event == PREFIX_GET_HIT || event == PREFIX_GET_MISS;
        prefix->hits += event == PREFIX_GET_HIT;
        prefix->sets += event == PREFIX_SET;
        prefix->deletes += event == PREFIX_DELETE;
    }
    spin_unlock(&shard->lock);
}

static void prefix_print(const struct prefix *prefix, struct out *out)
{
    out_put_str(out, "PREFIX ");
    out_put(out, prefix->text, prefix->len);
    out_put_str(out, " get ");
    out_put_u64(out, prefix->gets);
    out_put_str(out, " hit ");
    out_put_u64(out, prefix->hits);
    out_put_str(out, " set ");
    out_put_u64(out, prefix->sets);
    out_put_str(out, " del ");
    out_put_u64(out, prefix->deletes);
    out_put_str(out, "\r\n");
}

bool cmd_prefixes_print(struct cmd_prefixes *prefixes, size_t *at, struct out *out)
{
    struct shard *shard = &prefixes->table->shards[*at / SHARD_BUCKETS];
    const size_t first = *at % SHARD_BUCKETS;
    spin_lock(&shard->lock);
    for (size_t i = first; i < first + PRINT_BUCKETS; i++)
        for (struct prefix *prefix = shard->buckets[i]; prefix; prefix = prefix->next)
            prefix_print(prefix, out);
    spin_unlock(&shard->lock);
    *at += PRINT_BUCKETS;
    return *at < (size_t)SHARDS * SHARD_BUCKETS;
}
