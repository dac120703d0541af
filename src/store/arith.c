/* store/arith.c — incr and decr. The first one turns text into a number record; later ones
 * change it in place.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "base/num.h"
#include "store/mutate.h"

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* What ends a number: the value's end, a blank, or (as strtoull sees it) a NUL. */
static bool is_end(uint8_t byte)
{
    return byte == '\0' || is_blank(byte);
}

/* Read a value as strtoull would up to white space (observed 1.6.45): leading blanks, a sign,
 * digits; a blank and anything may follow. */
static bool text_number(struct bytes text, uint64_t *ret_number)
{
    size_t at = 0;
    while (at < text.len && is_blank(text.ptr[at]))
        at++;
    const bool negative = at < text.len && text.ptr[at] == '-';
    if (at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+'))
        at++;
    size_t end = at;
    while (end < text.len && !is_end(text.ptr[end]))
        end++;
    uint64_t number;
    if (!num_parse_u64(bytes_of(text.ptr + at, end - at), UINT64_MAX, &number))
        return false;
    number = negative ? 0 - number : number;
    if (negative && (int64_t)number < 0)
        return false;
    *ret_number = number;
    return true;
}

static bool item_number_read(const struct item *item, uint64_t *ret_number)
{
    if (item->fmt & FMT_LARGE)
        return false;
    if ((item->fmt & FMT_NUMBER) == 0)
        return text_number(bytes_of(item_value_ptr(item), item_vlen(item)), ret_number);
    *ret_number = atomic_load_explicit(item_number(item), memory_order_relaxed);
    return true;
}

/* Does the new number fit where the old one is, without anybody noticing? Nobody may know its
 * CAS unique. */
static bool in_place(const struct mutation *m, const struct store_arith *arith, size_t digits)
{
    const struct item *item = m->at.item;
    return (item->fmt & FMT_NUMBER) && !item_cas_known(item) && digits <= item_vlen(item) &&
           arith->explicit_cas == 0 && !arith->touch;
}

/* Layout of the record that holds the result: a number, or text padded to an odd width. */
static struct item_spec arith_spec(const struct mutation *m, const struct store_arith *arith,
                                   size_t digits, uint64_t cas)
{
    struct item_spec spec = item_spec_of(m->thread->store, m->at.item, m->at.loc, false);
    if (arith->touch)
        spec.exp_s = arith->touch_exp_s;
    if (spec.value_bytes < digits)
        spec.value_bytes = digits;
    spec.cas = cas;
    spec.fmt = item_fmt(spec.exp_s, spec.client_flags,
                        (m->at.item->fmt & (FMT_BINARY | FMT_STAMP)) | (cas != 0 ? FMT_CAS : 0u) |
                            (spec.value_bytes <= ITEM_NUMBER_WIDTH_MAX ? FMT_NUMBER : 0u));
    return spec;
}

static void arith_write(const struct mutation *m, const struct item_spec *spec, uint64_t number)
{
    const struct item *old = m->at.item;
    uint8_t *value = item_write(m->place.item, spec);
    if (spec->fmt & FMT_NUMBER) {
        atomic_store_explicit(item_number(m->place.item), number, memory_order_relaxed);
    } else {
        const size_t digits = num_format_u64(value, number);
        memset(value + digits, ' ', spec->value_bytes - digits);
    }
    item_use_set(m->thread->store, &m->place, item_use(old), m->thread->now_s);
    item_st_set(m->place.item, item_st(old) & (ST_STALE | ST_WIN), 0);
}

static enum room arith_store(struct mutation *m, const struct store_arith *arith, uint64_t number,
                             uint64_t *cas)
{
    const size_t digits = num_digits_u64(number);
    if (in_place(m, arith, digits)) {
        /* release: who sees cas-seen afterwards sees this number */
        atomic_store_explicit(item_number(m->at.item), number, memory_order_release);
        item_bump(m->thread, m->at.item, m->at.loc, 0);
        return ROOM_READY;
    }
    struct item_spec spec = arith_spec(m, arith, digits, *cas);
    const enum room room = mutation_room(m, &spec);
    if (room != ROOM_READY)
        return room;
    if (mutation_id(m, arith->explicit_cas != 0, cas)) {
        mutation_unlock(m);
        return ROOM_AGAIN;
    }
    spec.cas = *cas;
    arith_write(m, &spec, number);
    const struct place place = m->place;
    (void)!mutation_link(m, spec.exp_s); /* replaces: cannot fail */
    m->at.item = place.item;
    m->at.loc = place.loc;
    return ROOM_READY;
}

/* Bucket locked, item alive. */
static enum room arith_locked(struct mutation *m, const struct store_arith *arith, uint64_t *cas,
                              struct store_arith_result *result, enum store_rc *ret_rc)
{
    const struct store *store = m->thread->store;
    uint64_t number;
    *ret_rc = STORE_EXISTS;
    if (arith->compare && arith->compare_cas != item_cas(store, m->at.item, m->at.loc))
        return ROOM_READY;
    *ret_rc = STORE_NOT_NUMBER;
    if (!item_number_read(m->at.item, &number))
        return ROOM_READY;
    if (!arith->decr)
        number += arith->delta;
    else
        number = arith->delta > number ? 0 : number - arith->delta;
    const enum room room = arith_store(m, arith, number, cas);
    *ret_rc = room == ROOM_NONE ? STORE_NO_MEMORY : STORE_OK;
    if (room != ROOM_READY)
        return room;
    *result = (struct store_arith_result){.value = number, .exp_s = item_exp_s(m->at.item)};
    if (arith->flags & STORE_GET_CAS) {
        item_st_set(m->at.item, ST_CAS_SEEN, 0);
        result->cas_unique = item_cas(store, m->at.item, m->at.loc);
    }
    return ROOM_READY;
}

static enum store_rc arith_vivify(struct store_thread *thread, const struct store_key *key,
                                  const struct store_arith *arith,
                                  struct store_arith_result *result)
{
    uint8_t digits[NUM_U64_DIGITS_MAX];
    const struct store_put put = {
        .mode = STORE_ADD,
        .exp_s = arith->vivify_exp_s,
        .explicit_cas = arith->explicit_cas,
        .value = bytes_of(digits, num_format_u64(digits, arith->initial)),
    };
    struct store_put_result stored = {0};
    const bool want_cas = (arith->flags & STORE_GET_CAS) != 0;
    const enum store_rc rc = store_put(thread, key, &put, want_cas ? &stored : NULL);
    if (rc == STORE_OK)
        *result = (struct store_arith_result){.value = arith->initial,
                                              .cas_unique = stored.cas_unique,
                                              .exp_s = arith->vivify_exp_s,
                                              .created = true};
    return rc;
}

enum store_rc store_arith(struct store_thread *thread, const struct store_key *key,
                          const struct store_arith *arith, struct store_arith_result *ret_result)
{
    struct mutation m;
    mutation_begin(&m, thread, key);
    uint64_t cas = thread->store->no_cas ? 0 : arith->explicit_cas;
    enum store_rc rc;
    enum room room;
    do {
        room = ROOM_READY;
        rc = mutation_lock(&m);
        if (rc == STORE_OK)
            room = arith_locked(&m, arith, &cas, ret_result, &rc);
        if (room == ROOM_READY)
            mutation_unlock(&m);
        if (store_rc_is_miss(rc) && arith->vivify) {
            rc = arith_vivify(thread, key, arith, ret_result);
            if (rc == STORE_NOT_STORED) /* somebody else made it first: count on it */
                room = ROOM_AGAIN;
        } else if (store_rc_is_miss(rc) && rc != STORE_MISS) {
            rc = item_take_out_dead(thread, key, rc);
        }
    } while (room == ROOM_AGAIN);
    mutation_end(&m);
    return rc;
}
