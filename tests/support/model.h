/* support/model.h — what the store must answer: the rules of store.h on a plain chained map.
 *
 * It has no memory limit, no threads and no cleverness. Arguments and results are the store's own
 * structs, so a test gives both the same call and compares. The model draws CAS uniques of its
 * own; a test that mirrors a real store overwrites them (model_item.cas) with what the store
 * said.
 *
 * Includes: base, store (types only).  Included by: test_store_model.c, fake_store.c.
 * Threads:  one at a time.
 * Spec:     memcached doc/protocol.txt; store/store.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/bytes.h"
#include "store/store.h"

struct model;

struct model_item {
    struct model_item *next; /* in its bucket */
    uint8_t *value;
    uint64_t value_bytes;
    uint64_t cas;       /* 0: not known to the test */
    uint64_t cas_floor; /* the test's note: its unique must be above this one */
    uint64_t seqno;
    uint32_t stored_s, exp_s, client_flags, last_access_s;
    bool fetched, stale, win_sent, key_binary;
    bool lease_vague; /* stale and win_sent may go either way (arithmetic on a stale item) */
    uint8_t key_len;
    uint8_t key[STORE_KEY_BYTES_MAX];
};

struct model *model_new(uint64_t item_bytes_max, bool no_cas);
void model_free(struct model *model);
void model_time_set(struct model *model, uint32_t now_s);
uint64_t model_item_count(const struct model *model);
uint64_t model_data_bytes(const struct model *model); /* keys and values */

/* Call `each` for every live item. */
void model_each(struct model *model, void (*each)(void *arg, const struct model_item *item),
                void *arg);
/* The live item of `key`, or NULL and in *ret_miss why (may be NULL). */
struct model_item *model_find(struct model *model, struct bytes key, enum store_rc *ret_miss);
void model_remove(struct model *model, struct bytes key);
/* Remove one item, whichever comes next. Returns false when there is none. */
bool model_evict(struct model *model);

/* The calls of store.h; views and results are filled alike, `value` points into the model. */
enum store_rc model_get(struct model *model, const struct store_key *key, unsigned flags,
                        struct store_view *ret_view);
enum store_rc model_fetch(struct model *model, const struct store_key *key,
                          const struct store_fetch *how, struct store_view *ret_view);
enum store_rc model_put(struct model *model, const struct store_key *key,
                        const struct store_put *put, struct store_put_result *ret_result);
enum store_rc model_arith(struct model *model, const struct store_key *key,
                          const struct store_arith *arith, struct store_arith_result *ret_result);
enum store_rc model_delete(struct model *model, const struct store_key *key,
                           const struct store_delete *how);
void model_flush(struct model *model, uint32_t when_s);
void model_delete_prefix(struct model *model, struct bytes prefix);
