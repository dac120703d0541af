/* store/write.c — put (set, add, replace, append, prepend, compare), delete, flush.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "base/num.h"
#include "store/mutate.h"

/* ── which CAS unique a new record gets ───────────────────────────────────────────────────── */

uint64_t id_draw(struct store_thread *thread, uint64_t old)
{
    enum { PLACE_MASK = (1 << ID_PLACE_BITS) - 1 };
    assert(thread->store->segment_bytes / ITEM_ALIGN <= ID_RAISED);
    if ((old & ID_RAISED) != 0 && (old + 1) % ID_RUN != 0)
        return old + 1;
    if (old == UINT64_MAX) /* that a client chose: nothing is above, so begin anew */
        old = 0;
    if (thread->id_next <= old || (thread->id_next & PLACE_MASK) == 0) {
        /* Relaxed: only the number counts; no segment gets it. */
        const uint64_t seqno =
            atomic_fetch_add_explicit(&thread->store->seq_counter, 1, memory_order_relaxed) + 1;
        thread->id_next = seqno << ID_PLACE_BITS | ID_RAISED;
    }
    /* Only an id that a client chose (explicit_cas) can still be above. */
    if (thread->id_next <= old)
        return old + 1;
    const uint64_t id = thread->id_next;
    thread->id_next += ID_RUN;
    return id;
}

enum { PUT_TRIES_MAX = 8 };

/* ── put ──────────────────────────────────────────────────────────────────────────────────── */

/* Where a key goes that is not there. */
static uint8_t queue_for_new(struct store_thread *thread, const struct store_key *key,
                             uint64_t bytes)
{
    const enum ghost ghost = index_find_ghost(thread->store, key->hash);
    if (ghost == GHOST_NONE)
        return QUEUE_SMALL;
    count_add(thread, COUNT_GHOST_HITS + keep_returns_of(thread->store, ghost, bytes), 1);
    return QUEUE_MAIN;
}

uint8_t queue_for(struct store_thread *thread, const struct store_key *key, uint64_t bytes)
{
    uint64_t loc;
    return index_find(thread->store, key, &loc) != NULL ? loc_seg(thread->store, loc)->queue
                                                        : queue_for_new(thread, key, bytes);
}

/* What a look without the lock tells of a record to come. */
struct outlook {
    uint64_t old_id; /* of the record that it will replace; 0: none */
    uint8_t queue;
};

static struct outlook look_ahead(const struct writer *w)
{
    const struct store *store = w->thread->store;
    const struct store_upload *upload = w->put->upload;
    uint64_t loc;
    const struct item *item = index_find(store, w->key, &loc);
    struct outlook outlook = {.old_id = item != NULL ? item_id(store, item, loc) : 0};
    if (upload != NULL) /* decided when it began */
        outlook.queue = upload_queue(upload);
    else if (LIKELY(item != NULL))
        outlook.queue = loc_seg(store, loc)->queue;
    else
        outlook.queue = queue_for_new(w->thread, w->key, w->key->key.len + w->put->value.len);
    return outlook;
}

struct decision {
    enum store_rc rc;
    bool stale; /* stored over a newer item: keep its exptime, mark it */
};

static struct decision put_decide(const struct writer *w, const struct mutation *m,
                                  enum store_rc found)
{
    const struct store_put *put = w->put;
    if (w->expect_cas != 0 &&
        (found != STORE_OK || w->expect_cas != item_id(w->thread->store, m->at.item, m->at.loc)))
        return (struct decision){STORE_MISS, false};
    if (put->mode == STORE_ADD) {
        if (found == STORE_OK)
            item_bump(w->thread, m->at.item, m->at.loc, 0); /* a use, but no fetch */
        return (struct decision){found == STORE_OK ? STORE_NOT_STORED : STORE_OK, false};
    }
    if (!put->compare || w->expect_cas != 0)
        return (struct decision){
            put->mode == STORE_REPLACE && found != STORE_OK ? STORE_NOT_STORED : STORE_OK, false};
    if (found != STORE_OK)
        return (struct decision){found, false};
    const uint64_t old = item_cas(w->thread->store, m->at.item, m->at.loc);
    if (old != 0 && old == put->compare_cas)
        return (struct decision){STORE_OK, false};
    const bool stale = put->allow_stale && put->compare_cas != 0 && put->compare_cas < old;
    return (struct decision){stale ? STORE_OK : STORE_EXISTS, stale};
}

/* What one try of a put assumes, and learns under the lock. */
struct layout {
    uint64_t cas, stamp; /* 0: no such field */
    uint32_t exp_s;
};

static struct item_spec put_spec(const struct writer *w, const struct layout *layout)
{
    const struct store_put *put = w->put;
    const bool large = put->upload != NULL && upload_is_large(put->upload);
    const unsigned extra = (layout->cas != 0 ? FMT_CAS : 0u) | (large ? FMT_LARGE : 0u) |
                           (w->key->binary ? FMT_BINARY : 0u) |
                           (layout->stamp != 0 ? FMT_STAMP : 0u);
    struct item_spec spec = {
        .key = w->key->key,
        .cas = layout->cas,
        .stamp = layout->stamp,
        .client_flags = put->client_flags,
        .exp_s = layout->exp_s,
        .fmt = item_fmt(layout->exp_s, put->client_flags, extra),
    };
    spec.value_bytes = large                 ? upload_table_bytes(put->upload)
                       : put->upload != NULL ? upload_value(put->upload).len
                                             : put->value.len;
    return spec;
}

static void put_write(const struct writer *w, const struct item_spec *spec,
                      const struct place *place)
{
    const struct store_put *put = w->put;
    uint8_t *value = item_write(place->item, spec);
    if (spec->fmt & FMT_LARGE) {
        upload_write_table(put->upload, value);
        return;
    }
    const struct bytes bytes = put->upload != NULL ? upload_value(put->upload) : put->value;
    if (bytes.len > 0)
        memcpy(value, bytes.ptr, bytes.len);
}

/* The old item's use goes on, but it has not been fetched; a stale store keeps the win as it
 * was. A value that takes much of the memory begins with uses to spare: other evictions that it
 * makes necessary walk all of the main queue, and would come to itself before the client can. */
static ALWAYS_INLINE void put_inherit(const struct writer *w, const struct mutation *m, bool alive,
                                      bool stale)
{
    unsigned use = alive ? item_use(m->at.item) & ~(unsigned)USE_FETCHED : 0;
    if (UNLIKELY(w->put->upload != NULL) && upload_takes_much(w->put->upload))
        use |= USE_FREQ_MAX << USE_FREQ_SHIFT;
    unsigned st = w->st;
    if (stale)
        st |= ST_STALE | (item_st(m->at.item) & ST_WIN);
    if (st != 0)
        item_st_set(m->place.item, st, 0);
    item_use_set(w->thread->store, &m->place, (uint16_t)use, w->thread->now_s);
}

/* One try with a record of that spec. Returns ROOM_AGAIN when the layout had to be changed. */
static enum room put_try(const struct writer *w, struct mutation *m, const struct item_spec *spec,
                         struct layout *layout, enum store_rc *ret_rc)
{
    const enum store_rc found = mutation_lock(m);
    const struct decision decision = put_decide(w, m, found);
    *ret_rc = decision.rc;
    if (decision.rc != STORE_OK)
        return ROOM_NONE;
    const bool alive = found == STORE_OK;
    const bool lacks_field = mutation_id(m, w->put->explicit_cas != 0, &layout->cas);
    const uint32_t exp_needed = decision.stale ? item_exp_s(m->at.item) : layout->exp_s;
    if (lacks_field || exp_needed != layout->exp_s || UNLIKELY(m->stamp > layout->stamp)) {
        layout->exp_s = exp_needed;
        layout->stamp = m->stamp > layout->stamp ? m->stamp : layout->stamp;
        return ROOM_AGAIN;
    }
    if (spec->fmt & FMT_CAS)
        item_cas_field_set(m->place.item, layout->cas);
    put_inherit(w, m, alive, decision.stale);
    if (!mutation_link(m, spec->exp_s)) { /* no slot and no line: fetch lines and try again */
        *ret_rc = STORE_NO_MEMORY;
        return ROOM_AGAIN;
    }
    if (spec->fmt & FMT_LARGE)
        upload_commit(w->thread, w->put->upload, spec->exp_s);
    return ROOM_READY;
}

static void put_show(const struct writer *w, const struct mutation *m,
                     struct store_put_result *result)
{
    struct item *item = m->place.item;
    item_st_set(item, ST_CAS_SEEN, 0);
    result->cas_unique = item_cas(w->thread->store, item, m->place.loc);
    result->value_bytes = item_value_bytes(item);
}

/* Get room for a record of that spec. */
static ALWAYS_INLINE bool put_room(struct mutation *m, const struct item_spec *spec,
                                   struct log_class where)
{
    const uint64_t bytes = item_bytes_for(spec->fmt, spec->key.len, spec->value_bytes);
    m->has_place = record_fits(m->thread->store, spec) &&
                   log_alloc(m->thread, where, (uint32_t)bytes, &m->place);
    return m->has_place;
}

/* Get room for what the layout says, and write the record there. */
static ALWAYS_INLINE bool put_prepare(const struct writer *w, struct mutation *m,
                                      struct layout *layout, struct item_spec *spec)
{
    struct store_thread *thread = w->thread;
    const struct outlook outlook = look_ahead(w);
    const struct log_class where = {.queue = outlook.queue,
                                    .class = class_of(thread, layout->exp_s)};
    *spec = put_spec(w, layout);
    mutation_end(m);
    index_prepare(thread);
    if (!put_room(m, spec, where))
        return false;
    /* Where two threads write a key in turn, the place is mostly too low for its id. To find that
     * out under the lock would cost a second try of each put. */
    if (layout->cas == 0 && UNLIKELY(place_id(thread->store, &m->place, 0) <= outlook.old_id) &&
        !thread->store->no_cas) {
        spec->cas = layout->cas = ID_LATER;
        spec->fmt |= FMT_CAS;
        mutation_end(m);
        if (!put_room(m, spec, where))
            return false;
    }
    put_write(w, spec, &m->place);
    return true;
}

enum store_rc put_value(const struct writer *w, struct store_put_result *result)
{
    struct store_thread *thread = w->thread;
    struct mutation m;
    mutation_begin(&m, thread, w->key);
    struct layout layout = {
        .cas = thread->store->no_cas ? 0 : w->put->explicit_cas,
        .stamp = barriers_stamp_for(thread->store, w->key->key),
        .exp_s = w->put->exp_s,
    };
    enum store_rc rc = STORE_OK;
    enum room room;
    unsigned tries = 0;
    do {
        struct item_spec spec;
        if (!put_prepare(w, &m, &layout, &spec)) /* outside the lock, so that the lock is short */
            return STORE_NO_MEMORY;
        room = put_try(w, &m, &spec, &layout, &rc);
        const bool fresh = room == ROOM_READY && m.at.item == NULL;
        if (room == ROOM_READY && result != NULL)
            put_show(w, &m, result);
        mutation_unlock(&m);
        if (fresh)
            index_account(thread, 1);
    } while (room == ROOM_AGAIN && (rc == STORE_OK || tries++ < PUT_TRIES_MAX));
    mutation_end(&m);
    if (rc == STORE_OK)
        count_add(thread, COUNT_ITEMS_TOTAL, 1);
    return rc;
}

/* ── append, prepend ──────────────────────────────────────────────────────────────────────── */

static uint64_t put_value_bytes(const struct store_put *put)
{
    return put->upload != NULL ? upload_bytes(put->upload) : put->value.len;
}

/* Not for a large upload. */
static struct bytes put_bytes(const struct store_put *put)
{
    return put->upload != NULL ? upload_value(put->upload) : put->value;
}

static bool join_compare_ok(const struct store_put *put, const struct store *store,
                            const struct mutation *m)
{
    return !put->compare || put->compare_cas == 0 ||
           put->compare_cas == item_cas(store, m->at.item, m->at.loc);
}

/* Old or new value is large: put both into an upload of their own and swap it in. The old item's
 * CAS unique, which we make known, tells whether it is still the same. */
static enum store_rc join_large(struct store_thread *thread, const struct store_key *key,
                                const struct store_put *put, struct store_put_result *result)
{
    struct store_view view;
    struct store_put whole = *put;
    struct writer writer = {.thread = thread, .key = key, .put = &whole};
    if (store_get(thread, key, STORE_GET_CAS | STORE_GET_NO_BUMP, &view) != STORE_OK)
        return STORE_MISS;
    writer.expect_cas = item_id(thread->store, view.item, loc_of(thread->store, view.item));
    whole.mode = STORE_SET;
    whole.client_flags = view.client_flags;
    whole.exp_s = view.exp_s;
    struct store_ref *ref = NULL;
    size_t count = 1;
    const struct bytes *old = &view.value; /* a number: its digits are in the view */
    if (view.value.ptr != view.digits) {
        ref = store_ref_new(thread, &view);
        if (ref == NULL)
            return STORE_NO_MEMORY;
        old = store_ref_spans(ref, &count);
    }
    whole.upload = upload_join(thread, key, &(struct upload_join){old, count, put});
    const enum store_rc rc = whole.upload == NULL ? STORE_NO_MEMORY : put_value(&writer, result);
    store_upload_free(whole.upload);
    store_ref_free(ref);
    return rc;
}

/* The joined record, if it is one record: its layout from the locked old item. */
static struct item_spec join_spec(const struct mutation *m, const struct store_put *put,
                                  uint64_t cas)
{
    struct item_spec spec = item_spec_of(m->thread->store, m->at.item, m->at.loc, false);
    spec.value_bytes += put_value_bytes(put);
    spec.cas = cas;
    spec.fmt = (uint8_t)((spec.fmt & ~(FMT_CAS | FMT_NUMBER)) | (cas != 0 ? FMT_CAS : 0));
    return spec;
}

static void join_write(const struct mutation *m, const struct store_put *put,
                       const struct item_spec *spec)
{
    uint8_t digits[ITEM_NUMBER_WIDTH_MAX + 4];
    const struct item *old = m->at.item;
    const struct bytes more = put_bytes(put);
    struct bytes have = bytes_of(item_value_ptr(old), item_vlen(old));
    if (old->fmt & FMT_NUMBER)
        have = bytes_of(digits, number_print(digits, old));
    uint8_t *value = item_write(m->place.item, spec);
    const bool before = put->mode == STORE_PREPEND;
    if (more.len > 0)
        memcpy(value + (before ? 0 : have.len), more.ptr, more.len);
    if (have.len > 0)
        memcpy(value + (before ? more.len : 0), have.ptr, have.len);
}

enum joined { JOINED, JOIN_MISSING, JOIN_LARGE, JOIN_FAILED };

static enum joined join_small(const struct writer *w, struct store_put_result *result,
                              enum store_rc *ret_rc)
{
    struct store *store = w->thread->store;
    struct mutation m;
    mutation_begin(&m, w->thread, w->key);
    const struct store_put *put = w->put;
    uint64_t cas = store->no_cas ? 0 : put->explicit_cas;
    enum joined done = JOIN_FAILED;
    enum room room;
    do {
        room = ROOM_READY;
        const enum store_rc found = mutation_lock(&m);
        if (found != STORE_OK) {
            done = JOIN_MISSING;
            break;
        }
        struct item_spec spec = join_spec(&m, put, cas);
        *ret_rc = STORE_EXISTS;
        if (!join_compare_ok(put, store, &m))
            break;
        *ret_rc = STORE_TOO_LARGE;
        if (w->key->key.len + item_value_bytes(m.at.item) + put_value_bytes(put) +
                STORE_ITEM_BYTES_EXTRA >
            store->item_bytes_max)
            break;
        done = JOIN_LARGE;
        if ((m.at.item->fmt & FMT_LARGE) || (put->upload != NULL && upload_is_large(put->upload)) ||
            item_bytes_for(spec.fmt, spec.key.len, spec.value_bytes) > store->record_bytes_max)
            break;
        done = JOIN_FAILED;
        *ret_rc = STORE_NO_MEMORY;
        room = mutation_room(&m, &spec);
        if (room != ROOM_READY)
            continue;
        if (mutation_id(&m, put->explicit_cas != 0, &cas)) {
            mutation_unlock(&m);
            room = ROOM_AGAIN;
            continue;
        }
        spec.cas = cas;
        join_write(&m, put, &spec);
        put_inherit(w, &m, true, false);
        if (mutation_link(&m, spec.exp_s)) {
            done = JOINED;
            if (result != NULL)
                put_show(w, &m, result);
        }
    } while (room == ROOM_AGAIN);
    if (room == ROOM_READY)
        mutation_unlock(&m);
    mutation_end(&m);
    return done;
}

static enum store_rc put_joined(struct store_thread *thread, const struct store_key *key,
                                const struct store_put *put, struct store_put_result *result)
{
    const struct writer writer = {.thread = thread, .key = key, .put = put};
    for (;;) {
        enum store_rc rc = STORE_NO_MEMORY;
        switch (join_small(&writer, result, &rc)) {
        case JOINED:
            count_add(thread, COUNT_ITEMS_TOTAL, 1);
            return STORE_OK;
        case JOIN_FAILED:
            return rc;
        case JOIN_MISSING: {
            if (!put->vivify)
                return STORE_NOT_STORED;
            struct store_put add = *put;
            add.mode = STORE_ADD;
            add.exp_s = put->vivify_exp_s;
            const struct writer adder = {.thread = thread, .key = key, .put = &add};
            rc = put_value(&adder, result);
            break;
        }
        case JOIN_LARGE:
            rc = join_large(thread, key, put, result);
            break;
        }
        /* somebody was quicker: look again */
        if (rc != STORE_NOT_STORED && !store_rc_is_miss(rc))
            return rc;
    }
}

enum store_rc store_put(struct store_thread *thread, const struct store_key *key,
                        const struct store_put *put, struct store_put_result *ret_result)
{
    const struct writer writer = {.thread = thread, .key = key, .put = put};
    const struct store *store = thread->store;
    const uint64_t bytes = put_value_bytes(put);
    const bool join = put->mode == STORE_APPEND || put->mode == STORE_PREPEND;
    enum store_rc rc;
    if (bytes + key->key.len + STORE_ITEM_BYTES_EXTRA > store->item_bytes_max)
        rc = STORE_TOO_LARGE;
    else if (join)
        rc = put_joined(thread, key, put, ret_result);
    else if (put->upload == NULL && value_is_large(store, key->key.len, bytes)) {
        struct store_put whole = *put; /* a large value that is all there: upload it at once */
        const struct writer uploader = {.thread = thread, .key = key, .put = &whole};
        whole.upload = upload_join(thread, key, &(struct upload_join){NULL, 0, put});
        rc = whole.upload != NULL ? put_value(&uploader, ret_result) : STORE_NO_MEMORY;
        store_upload_free(whole.upload);
    } else
        rc = put_value(&writer, ret_result);
    store_upload_free(put->upload);
    return rc;
}

/* ── delete, invalidate ───────────────────────────────────────────────────────────────────── */

/* The locked item again, as `how` says: stale, empty, with a new CAS unique. */
static enum room delete_rewrite(struct mutation *m, const struct store_delete *how, uint64_t *cas)
{
    struct store_thread *thread = m->thread;
    struct item_spec spec = item_spec_of(thread->store, m->at.item, m->at.loc, false);
    spec.exp_s = how->touch ? how->touch_exp_s : how->clear_value ? 0 : spec.exp_s;
    spec.cas = *cas;
    if (how->clear_value) {
        spec.value_bytes = 0;
        spec.client_flags = 0;
        spec.fmt &= FMT_BINARY | FMT_STAMP;
    }
    spec.fmt = (uint8_t)((spec.fmt & ~(FMT_EXP | FMT_CAS)) | (spec.exp_s != 0 ? FMT_EXP : 0) |
                         (*cas != 0 ? FMT_CAS : 0));
    const enum room room = mutation_room(m, &spec);
    if (room != ROOM_READY)
        return room;
    if (mutation_id(m, how->explicit_cas != 0, cas)) {
        mutation_unlock(m);
        return ROOM_AGAIN;
    }
    spec.cas = *cas;
    const struct item *old = m->at.item;
    if (how->clear_value) {
        item_write(m->place.item, &spec);
        item_use_set(thread->store, &m->place, item_use(old), thread->now_s);
        item_st_set(m->place.item, how->invalidate ? ST_STALE : 0, 0);
        (void)!mutation_link(m, spec.exp_s); /* replaces: cannot fail */
    } else {
        mutation_rewrite(m, &spec);
        item_st_set(m->at.item, ST_STALE, ST_WIN);
    }
    return ROOM_READY;
}

enum store_rc store_delete(struct store_thread *thread, const struct store_key *key,
                           const struct store_delete *how)
{
    struct mutation m;
    mutation_begin(&m, thread, key);
    uint64_t cas = thread->store->no_cas ? 0 : how->explicit_cas;
    bool deleted = false;
    enum store_rc rc;
    enum room room = ROOM_READY;
    do {
        rc = mutation_lock(&m);
        if (rc == STORE_OK && how->compare &&
            how->compare_cas != item_cas(thread->store, m.at.item, m.at.loc))
            rc = STORE_EXISTS;
        if (rc == STORE_OK && (how->invalidate || how->clear_value)) {
            room = delete_rewrite(&m, how, &cas);
            if (room == ROOM_NONE)
                rc = STORE_NO_MEMORY;
        } else if (rc == STORE_OK) {
            item_unlink_locked(thread, &m.at, key->hash);
            deleted = true;
            room = ROOM_READY;
        } else {
            room = ROOM_READY;
            if (m.at.slot != NULL && rc != STORE_EXISTS) { /* expired or flushed: out with it */
                item_unlink_locked(thread, &m.at, key->hash);
                deleted = true;
            }
        }
    } while (room == ROOM_AGAIN);
    if (room == ROOM_READY)
        mutation_unlock(&m);
    mutation_end(&m);
    if (deleted)
        index_account(thread, -1);
    return rc;
}

/* ── flush_all ────────────────────────────────────────────────────────────────────────────── */

void store_flush(struct store_thread *thread, uint32_t when_s)
{
    struct store *store = thread->store;
    if (when_s > thread->now_s) {
        atomic_store_explicit(&store->flush_at_s, when_s, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&store->flush_at_s, 0, memory_order_relaxed);
    spin_lock(&store->flush_lock);
    /* See (6) and group_open(): segments that begin while the generation is odd wait. */
    atomic_fetch_add_explicit(&store->flush_gen, 1, memory_order_seq_cst);
    const uint64_t bound = atomic_load_explicit(&store->seq_counter, memory_order_seq_cst);
    atomic_store_explicit(&store->flush_seq, bound, memory_order_relaxed);
    atomic_fetch_or_explicit(&store->hide_pending, HIDE_FLUSH, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->flush_gen, 1, memory_order_seq_cst);
    spin_unlock(&store->flush_lock);
    log_seal_all(store, false);
    store_maintain_wake(store);
}
