/* store/mutate.h — the pattern that all writers of existing items share. Store only.
 *
 * A record must be allocated before its bucket is locked (allocation may wait for memory), but
 * how large it has to be is known for certain only under the lock. So: lock, look, say what is
 * needed; when the room at hand is not exactly that, unlock, get it, and begin again.
 *
 *     mutation_begin(&m, thread, key);
 *     do {
 *         mutation_lock(&m);                     found? alive?
 *         ... decide; spec = the record wanted ...
 *     } while ((room = mutation_room(&m, &spec)) == ROOM_AGAIN);
 *     ... ROOM_READY: still locked: write, mutation_link(), mutation_unlock() ...
 *     mutation_end(&m);                          gives unused room back
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "store/store_priv.h"

/* What remains to be done about a linked record when its bucket is unlocked. */
struct settling {
    struct item *gone; /* the record that it replaced; NULL: none */
    uint64_t gone_loc;
    uint32_t exp_s;
    bool due;
    bool whole; /* the replaced item has gone with its fragments; else they are the new one's */
};

struct mutation {
    struct store_thread *thread;
    const struct store_key *key;
    struct locked at;   /* at.slot != NULL: there is an entry, alive or not */
    struct place place; /* valid when has_place, or settling is due */
    struct settling settling;
    bool has_place;
    bool keep_id;   /* the item's id must become a field when it is written again */
    uint64_t stamp; /* that a new record of the key must have, see (8) in store_priv.h; locked */
};

enum room {
    ROOM_READY, /* locked, m.place fits */
    ROOM_AGAIN, /* unlocked, room was fetched: lock and look again */
    ROOM_NONE,  /* unlocked, no memory */
};

/* Field by field: to clear all of it costs 10 ns (rep stos), of 40 that an increment takes. */
static inline void mutation_begin(struct mutation *m, struct store_thread *thread,
                                  const struct store_key *key)
{
    m->thread = thread;
    m->key = key;
    m->has_place = false;
    m->keep_id = false;
    m->settling.due = false;
}
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
/* An id above `old` (of the locked item; 0: there is none) that no record is born with, see (7) in
 * store_priv.h. Whoever gets it gives it to the item before he unlocks the bucket, or nobody. */
uint64_t id_draw(struct store_thread *thread, uint64_t old);
enum { ID_LATER = 1 }; /* in a field whose id is drawn under the lock */
/* A new id must be above the one of the found item (meta I compares them). m.place's record is laid
 * out for an id in a field when *field is not 0: then *field becomes that id. Returns true when it
 * is not, but would have to be: then *field says so, for the next try. Nothing to do when the
 * client has `chosen` it. Locked; the record is linked under the same lock. */
MUST_USE static inline bool mutation_id(const struct mutation *m, bool chosen, uint64_t *field)
{
    const struct store *store = m->thread->store;
    if (chosen || store->no_cas)
        return false;
    const uint64_t old = m->at.slot != NULL ? item_id(store, m->at.item, m->at.loc) : 0;
    const bool has_field = *field != 0;
    if (!has_field && place_id(store, &m->place, 0) > old)
        return false;
    *field = has_field ? id_draw(m->thread, old) : ID_LATER;
    return !has_field;
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
