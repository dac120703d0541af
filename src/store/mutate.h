/* store/mutate.h — the pattern that all writers of existing items share. Store only.
 *
 * A record must be allocated before its bucket is locked (allocation may wait for memory), but
 * how large it has to be is known for certain only under the lock. So: lock, look, say what is
 * needed; when the room at hand is not exactly that, unlock, get it, and begin again.
 *
 *     do {
 *         mutation_lock(&m);                     found? alive?
 *         ... decide; spec = the record wanted ...
 *     } while ((room = mutation_room(&m, &spec)) == ROOM_AGAIN);
 *     ... ROOM_READY: still locked: write, mutation_link(), mutation_unlock() ...
 *     mutation_end(&m);                          gives unused room back
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "store/store_priv.h"

struct mutation {
    struct store_thread *thread;
    const struct store_key *key;
    struct locked at;   /* at.slot != NULL: there is an entry, alive or not */
    struct place place; /* valid when has_place */
    bool has_place;
    bool keep_id;   /* the item's id must become a field when it is written again */
    uint64_t stamp; /* that a new record of the key must have, see (8) in store_priv.h; locked */
};

enum room {
    ROOM_READY, /* locked, m.place fits */
    ROOM_AGAIN, /* unlocked, room was fetched: lock and look again */
    ROOM_NONE,  /* unlocked, no memory */
};

/* Lock the key's bucket and find it. Returns STORE_OK, or the kind of miss (locked all the
 * same). */
enum store_rc mutation_lock(struct mutation *m);
void mutation_unlock(struct mutation *m);
MUST_USE enum room mutation_room(struct mutation *m, const struct item_spec *spec);
/* Link m.place's record instead of the old one (or as new). False: no slot could be had. */
MUST_USE bool mutation_link(struct mutation *m, uint32_t exp_s);
/* Write the found item again in m.place after `spec`, content and history kept, and link it. */
void mutation_rewrite(struct mutation *m, const struct item_spec *spec);
void mutation_end(struct mutation *m);
/* An id above `old` that no record is born with, see (7) in store_priv.h. */
uint64_t id_draw(struct store_thread *thread, uint64_t old);
/* A new id must be above the one of the found item (meta I compares them). Returns true when that
 * of m.place's record, see place_id(), would not be; then *field is one that is, for the next
 * try. Never when the client has `chosen` it. */
MUST_USE static inline bool mutation_id_raise(const struct mutation *m, bool chosen,
                                              uint64_t *field)
{
    const struct store *store = m->thread->store;
    if (chosen || store->no_cas || m->at.slot == NULL)
        return false;
    const uint64_t old = item_id(store, m->at.item, m->at.loc);
    if (place_id(store, &m->place, *field) > old)
        return false;
    const uint64_t planned = *field;
    *field = id_draw(m->thread, old);
    return *field != planned; /* behind the highest that a client can choose comes 0, its own */
}

/* The locked, found item is gone: by a delete, or because it is dead. */
void item_unlink_locked(struct store_thread *thread, struct locked *at, uint64_t hash);
/* A lookup has met an item that has expired or was flushed (`rc`, which is returned): take it out
 * if it still is, as memcached does; the next lookup is a plain miss. Ends no view. */
MUST_USE enum store_rc item_take_out_dead(struct store_thread *thread, const struct store_key *key,
                                          enum store_rc rc);

/* A put under way: what the public call says, and what only the store says. */
struct writer {
    struct store_thread *thread;
    const struct store_key *key;
    const struct store_put *put;
    uint8_t st;          /* bits that the new item begins with */
    uint64_t expect_cas; /* not 0: only in place of the item with this id, else STORE_MISS */
};

MUST_USE enum store_rc put_value(const struct writer *writer, struct store_put_result *result);
