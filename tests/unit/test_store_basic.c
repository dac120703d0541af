/* unit/test_store_basic.c — storing and reading: every mode and result code, keys, values, uploads.
 *
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"
#include "support/kit.h"

static int setup(void **state)
{
    static struct kit kit;
    kit_open_default(&kit);
    *state = &kit;
    return 0;
}

static int teardown(void **state)
{
    kit_close(*state);
    return 0;
}

static void assert_value(struct kit *kit, const char *key, const char *want)
{
    struct store_view view;
    assert_rc(kit_get(kit, key, &view), STORE_OK);
    assert_int_equal(view.value_bytes, strlen(want));
    assert_int_equal(view.value.len, strlen(want));
    assert_memory_equal(view.value.ptr, want, strlen(want));
}

static uint64_t cas_of(struct kit *kit, const char *key)
{
    struct store_view view;
    assert_rc(kit_get(kit, key, &view), STORE_OK);
    assert_true(view.cas_unique != 0);
    return view.cas_unique;
}

/* ── modes and result codes ───────────────────────────────────────────────────────────────── */

enum present { MISSING, PRESENT };
enum cas_kind { NO_CAS, SAME, LOWER, HIGHER };

/* What each mode answers over a key that holds "old" (or is missing) when asked to store "new". */
static const struct {
    const char *name;
    enum store_mode mode;
    enum present present;
    enum cas_kind compare;
    bool allow_stale, vivify;
    enum store_rc rc;
    const char *after; /* NULL: the key is missing */
    bool stale;
} put_rows[] = {
    {"set new", STORE_SET, MISSING, NO_CAS, 0, 0, STORE_OK, "new", 0},
    {"set over", STORE_SET, PRESENT, NO_CAS, 0, 0, STORE_OK, "new", 0},
    {"add new", STORE_ADD, MISSING, NO_CAS, 0, 0, STORE_OK, "new", 0},
    {"add over", STORE_ADD, PRESENT, NO_CAS, 0, 0, STORE_NOT_STORED, "old", 0},
    {"replace none", STORE_REPLACE, MISSING, NO_CAS, 0, 0, STORE_NOT_STORED, NULL, 0},
    {"replace", STORE_REPLACE, PRESENT, NO_CAS, 0, 0, STORE_OK, "new", 0},
    {"append none", STORE_APPEND, MISSING, NO_CAS, 0, 0, STORE_NOT_STORED, NULL, 0},
    {"append", STORE_APPEND, PRESENT, NO_CAS, 0, 0, STORE_OK, "oldnew", 0},
    {"append vivify", STORE_APPEND, MISSING, NO_CAS, 0, 1, STORE_OK, "new", 0},
    {"append vivify hit", STORE_APPEND, PRESENT, NO_CAS, 0, 1, STORE_OK, "oldnew", 0},
    {"prepend none", STORE_PREPEND, MISSING, NO_CAS, 0, 0, STORE_NOT_STORED, NULL, 0},
    {"prepend", STORE_PREPEND, PRESENT, NO_CAS, 0, 0, STORE_OK, "newold", 0},
    {"prepend vivify", STORE_PREPEND, MISSING, NO_CAS, 0, 1, STORE_OK, "new", 0},
    {"cas same", STORE_SET, PRESENT, SAME, 0, 0, STORE_OK, "new", 0},
    {"cas lower", STORE_SET, PRESENT, LOWER, 0, 0, STORE_EXISTS, "old", 0},
    {"cas higher", STORE_SET, PRESENT, HIGHER, 0, 0, STORE_EXISTS, "old", 0},
    {"cas none", STORE_SET, MISSING, HIGHER, 0, 0, STORE_MISS, NULL, 0},
    {"cas replace same", STORE_REPLACE, PRESENT, SAME, 0, 0, STORE_OK, "new", 0},
    {"cas replace other", STORE_REPLACE, PRESENT, HIGHER, 0, 0, STORE_EXISTS, "old", 0},
    {"cas append same", STORE_APPEND, PRESENT, SAME, 0, 0, STORE_OK, "oldnew", 0},
    {"cas append other", STORE_APPEND, PRESENT, LOWER, 0, 0, STORE_EXISTS, "old", 0},
    {"cas prepend other", STORE_PREPEND, PRESENT, HIGHER, 0, 0, STORE_EXISTS, "old", 0},
    {"stale same", STORE_SET, PRESENT, SAME, 1, 0, STORE_OK, "new", 0},
    {"stale lower", STORE_SET, PRESENT, LOWER, 1, 0, STORE_OK, "new", 1},
    {"stale higher", STORE_SET, PRESENT, HIGHER, 1, 0, STORE_EXISTS, "old", 0},
    {"stale none", STORE_SET, MISSING, LOWER, 1, 0, STORE_MISS, NULL, 0},
};

static uint64_t compare_cas(enum cas_kind kind, uint64_t cas)
{
    switch (kind) {
    case NO_CAS:
        return 0;
    case SAME:
        return cas;
    case LOWER:
        return cas - 1;
    case HIGHER:
        return cas + 1;
    }
    return 0;
}

static void put_row_run(struct kit *kit, size_t row, bool upload)
{
    struct store_put_result result = {0};
    const struct store_key key = kit_key_str(kit, "key");
    struct store_put put = {.mode = put_rows[row].mode,
                            .compare = put_rows[row].compare != NO_CAS,
                            .allow_stale = put_rows[row].allow_stale,
                            .vivify = put_rows[row].vivify,
                            .value = bytes_str("new")};
    uint64_t cas = 7;
    if (put_rows[row].present == PRESENT) {
        assert_rc(kit_set(kit, "key", "old"), STORE_OK);
        cas = cas_of(kit, "key");
    }
    put.compare_cas = compare_cas(put_rows[row].compare, cas);
    if (upload)
        assert_rc(kit_put_pieces(kit, &key, put, 2, &result), put_rows[row].rc);
    else
        assert_rc(store_put(kit->thread, &key, &put, &result), put_rows[row].rc);
    struct store_view view;
    if (put_rows[row].after == NULL) {
        assert_rc(kit_get(kit, "key", &view), STORE_MISS);
        return;
    }
    assert_value(kit, "key", put_rows[row].after);
    assert_rc(kit_get(kit, "key", &view), STORE_OK);
    assert_int_equal(view.stale, put_rows[row].stale);
    if (put_rows[row].rc == STORE_OK) {
        assert_int_equal(result.value_bytes, strlen(put_rows[row].after));
        assert_true(result.cas_unique == view.cas_unique);
    }
    if (put_rows[row].present == PRESENT)
        assert_true(put_rows[row].rc == STORE_OK ? view.cas_unique > cas : view.cas_unique == cas);
}

static void test_put_rows(void **state)
{
    for (size_t row = 0; row < COUNT_OF(put_rows); row++)
        for (int upload = 0; upload < 2; upload++) {
            print_message("row \"%s\"%s\n", put_rows[row].name, upload ? ", uploaded" : "");
            put_row_run(*state, row, upload);
            teardown(state);
            setup(state);
        }
}

static void test_miss(void **state)
{
    struct store_view view = {.client_flags = 77};
    assert_rc(kit_get(*state, "nobody", &view), STORE_MISS);
    assert_int_equal(view.client_flags, 77); /* untouched */
}

static void test_get_again_in_batch(void **state)
{
    struct kit *kit = *state;
    struct store_view a, b;
    assert_rc(kit_set(kit, "a", "first value"), STORE_OK);
    assert_rc(kit_set(kit, "b", "second value"), STORE_OK);
    struct store_key key_a = kit_key_str(kit, "a"), key_b = kit_key_str(kit, "b");
    store_prefetch_bucket(kit->store, key_a.hash);
    store_prefetch_bucket(kit->store, key_b.hash);
    key_a.hint = store_prefetch_item(kit->store, key_a.hash);
    key_b.hint = store_prefetch_item(kit->store, key_b.hash);
    assert_rc(store_get(kit->thread, &key_a, 0, &a), STORE_OK);
    assert_rc(store_get(kit->thread, &key_b, 0, &b), STORE_OK);
    assert_true(bytes_is(a.value, "first value")); /* both views live side by side */
    assert_true(bytes_is(b.value, "second value"));
    assert_true(bytes_is(a.key, "a"));
    assert_true(a.cas_unique == 0); /* not asked for */
}

/* A hint says where to look first; whatever it says, the answer is the same. */
static void test_any_hint(void **state)
{
    enum { KEYS = 200, HINTS = 16 };
    struct kit *kit = *state;
    struct store_view view;
    char name[16];
    unsigned right = 0;
    for (int i = 0; i < KEYS; i++) {
        snprintf(name, sizeof(name), "key %d", i);
        assert_rc(kit_set(kit, name, name), STORE_OK);
    }
    for (int i = 0; i < 2 * KEYS; i++) {
        snprintf(name, sizeof(name), "key %d", i);
        struct store_key key = kit_key_str(kit, name);
        const uint8_t hint = store_prefetch_item(kit->store, key.hash);
        assert_true(hint < HINTS);
        right += hint != 0;
        for (key.hint = 0; key.hint < HINTS; key.hint++) {
            assert_rc(store_get(kit->thread, &key, STORE_GET_BRIEF, &view),
                      i < KEYS ? STORE_OK : STORE_MISS);
            assert_true(i >= KEYS || bytes_is(view.value, name));
        }
    }
    assert_true(right >= KEYS * 9 / 10); /* a few lie in overflow lines */
    assert_true(right <= KEYS + 5);      /* of the others, a few tags are alike */
}

static void test_flags_kept(void **state)
{
    static const uint32_t flags[] = {0, 1, 255, 256, 65535, 65536, 0x80000000u, UINT32_MAX};
    struct kit *kit = *state;
    const struct store_key key = kit_key_str(kit, "flags");
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        for (uint32_t exp_s = 0; exp_s < 6000; exp_s += 2999) {
            struct store_put_result result;
            struct store_view view;
            struct store_put put = {
                .value = bytes_str("v"), .client_flags = flags[i], .exp_s = exp_s};
            assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
            put = (struct store_put){.mode = STORE_APPEND,
                                     .value = bytes_str("w"),
                                     .client_flags = 99,
                                     .exp_s = KIT_START_S + 1};
            assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
            put.mode = STORE_PREPEND;
            assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
            assert_rc(kit_get(kit, "flags", &view), STORE_OK);
            assert_true(view.client_flags == flags[i]);
            assert_int_equal(view.exp_s, exp_s);
            assert_true(bytes_is(view.value, "wvw"));
            kit_time_set(kit, KIT_START_S); /* 2999 and 5998 lie ahead of it */
        }
}

static void test_vivify_takes_flags_and_ttl(void **state)
{
    struct kit *kit = *state;
    const struct store_key key = kit_key_str(kit, "viv");
    const struct store_put put = {.mode = STORE_APPEND,
                                  .vivify = true,
                                  .client_flags = 5,
                                  .exp_s = 5000,
                                  .vivify_exp_s = 7000,
                                  .value = bytes_str("v")};
    struct store_put_result result;
    struct store_view view;
    assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
    assert_rc(kit_get(kit, "viv", &view), STORE_OK);
    assert_int_equal(view.exp_s, 7000);
    assert_int_equal(view.client_flags, 5);
}

static void test_stale_put_keeps_ttl(void **state)
{
    struct kit *kit = *state;
    const struct store_key key = kit_key_str(kit, "k");
    struct store_put_result result;
    struct store_view view;
    struct store_put put = {.value = bytes_str("old"), .exp_s = 5000};
    assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
    put = (struct store_put){.value = bytes_str("new"),
                             .exp_s = 9000,
                             .compare = true,
                             .allow_stale = true,
                             .compare_cas = result.cas_unique - 1};
    assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
    assert_rc(kit_get(kit, "k", &view), STORE_OK);
    assert_true(view.stale);
    assert_false(view.win_sent);
    assert_int_equal(view.exp_s, 5000);
    assert_rc(kit_set(kit, "k", "fresh"), STORE_OK);
    assert_rc(kit_get(kit, "k", &view), STORE_OK);
    assert_false(view.stale);
}

static void test_explicit_cas(void **state)
{
    struct kit *kit = *state;
    const struct store_key key = kit_key_str(kit, "k");
    struct store_put_result result;
    struct store_put put = {.value = bytes_str("v"), .explicit_cas = 1000000};
    static const uint64_t ids[] = {1000000, 5, 1, 1ull << 40, 1ull << 63, UINT64_MAX, 3};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        put.explicit_cas = ids[i];
        assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
        assert_true(result.cas_unique == ids[i]);
        assert_true(cas_of(kit, "k") == ids[i]);
        put.explicit_cas = 0; /* our own again: above the one before, unless that was the last */
        assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
        assert_true(ids[i] == UINT64_MAX || result.cas_unique > ids[i]);
        assert_true(result.cas_unique != ids[i] && result.cas_unique != 0);
        assert_true(cas_of(kit, "k") == result.cas_unique);
        store_delete(kit->thread, &key, &(struct store_delete){0}) == STORE_OK ? (void)0 : fail();
    }
}

/* Two threads take turns at one key, so every second record lies below the one before it. */
static void test_ids_in_turn(void **state)
{
    enum { TURNS = 3000 };
    struct kit *kit = *state;
    struct kit other;
    struct store_put_result result;
    const struct store_key key = kit_key_str(kit, "k");
    const struct store_put put = {.value = bytes_str("v")};
    uint64_t last = 0;
    kit_join(&other, kit->store, KIT_START_S);
    for (unsigned i = 0; i < TURNS; i++) {
        struct store_thread *thread = i % 2 ? other.thread : kit->thread;
        assert_rc(store_put(thread, &key, &put, &result), STORE_OK);
        assert_true(result.cas_unique > last);
        last = result.cas_unique;
        assert_true(cas_of(kit, "k") == last);
    }
    assert_rc(store_delete(kit->thread, &key, &(struct store_delete){0}), STORE_OK);
    for (unsigned i = 0; i < TURNS; i++) { /* it lives anew: the last id does not come back */
        struct store_thread *thread = i % 2 ? kit->thread : other.thread;
        assert_rc(store_put(thread, &key, &put, &result), STORE_OK);
        const struct store_put late = {.value = put.value, .compare = true, .compare_cas = last};
        assert_rc(store_put(thread, &key, &late, NULL), STORE_EXISTS);
    }
    kit_close(&other);
}

static void test_key_binary(void **state)
{
    struct kit *kit = *state;
    struct store_key key = kit_key_str(kit, "bin");
    struct store_view view;
    struct store_put_result result;
    const struct store_put put = {.value = bytes_str("v")};
    key.binary = true;
    assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
    assert_rc(kit_get(kit, "bin", &view), STORE_OK);
    assert_true(view.key_binary);
    assert_rc(kit_set(kit, "text", "v"), STORE_OK);
    assert_rc(kit_get(kit, "text", &view), STORE_OK);
    assert_false(view.key_binary);
}

/* ── keys and values ──────────────────────────────────────────────────────────────────────── */

static size_t key_make(uint8_t *key, size_t len, unsigned variant)
{
    for (size_t i = 0; i < len; i++)
        key[i] = (uint8_t)(variant + i * 7 + len);
    return len;
}

static void test_keys_of_every_length(void **state)
{
    struct kit *kit = *state;
    uint8_t key[STORE_KEY_BYTES_MAX], value[STORE_KEY_BYTES_MAX];
    for (size_t len = 1; len <= STORE_KEY_BYTES_MAX; len++) {
        kit_pattern_fill(value, len, len);
        key_make(key, len, 0);
        assert_rc(kit_put(kit, STORE_SET, bytes_of(key, len), bytes_of(value, len), 0), STORE_OK);
    }
    for (size_t len = 1; len <= STORE_KEY_BYTES_MAX; len++) {
        struct store_view view;
        key_make(key, len, 0);
        const struct store_key store_key = kit_key(kit, bytes_of(key, len));
        assert_rc(store_get(kit->thread, &store_key, 0, &view), STORE_OK);
        assert_true(bytes_equal(view.key, store_key.key));
        assert_int_equal(view.value.len, len);
        assert_true(kit_pattern_is(view.value.ptr, len, len));
    }
}

static void test_keys_of_every_byte(void **state)
{
    struct kit *kit = *state;
    struct store_view view;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned byte = 0; byte < 256; byte++) {
            const uint8_t one = (uint8_t)byte, two[2] = {one, 0};
            const uint8_t *key = round == 0 ? &one : two;
            const size_t len = round + 1;
            assert_rc(kit_put(kit, STORE_ADD, bytes_of(key, len), bytes_of(key, len), 0), STORE_OK);
            const struct store_key store_key = kit_key(kit, bytes_of(key, len));
            assert_rc(store_get(kit->thread, &store_key, 0, &view), STORE_OK);
            assert_true(bytes_equal(view.value, store_key.key));
        }
    assert_int_equal(kit_info(kit).items, 512);
}

static void value_check(struct kit *kit, const char *key, size_t len, uint64_t tag)
{
    struct store_view view;
    uint8_t *copy = test_malloc(len + 1);
    assert_rc(kit_get(kit, key, &view), STORE_OK);
    assert_true(view.value_bytes == len);
    assert_true(kit_view_copy(kit, &view, copy));
    assert_true(kit_pattern_is(copy, len, tag));
    test_free(copy);
}

/* Sizes around every power of two, where headers, pieces and segments meet their limits. */
static void test_values_of_many_sizes(void **state)
{
    struct kit *kit = *state;
    const size_t largest = KIT_MIB - STORE_ITEM_BYTES_EXTRA - 1;
    uint8_t *value = test_malloc(largest);
    for (size_t power = 1; power <= KIT_MIB; power *= 2)
        for (size_t len = power - (power > 40 ? 40 : power); len <= power + 8; len += 4) {
            if (len > largest)
                continue;
            kit_pattern_fill(value, len, len);
            assert_rc(kit_put(kit, STORE_SET, bytes_str("k"), bytes_of(value, len), 0), STORE_OK);
            value_check(kit, "k", len, len);
            kit_tick(kit);
        }
    kit_pattern_fill(value, largest, 3);
    assert_rc(kit_put(kit, STORE_SET, bytes_str("k"), bytes_of(value, largest), 0), STORE_OK);
    value_check(kit, "k", largest, 3);
    test_free(value);
}

static void test_too_large(void **state)
{
    struct kit *kit = *state;
    const size_t limit = KIT_MIB - STORE_ITEM_BYTES_EXTRA - 3; /* with the key "key" */
    uint8_t *value = test_malloc(limit + 1);
    struct store_upload *upload = NULL;
    const struct store_key key = kit_key_str(kit, "key");
    memset(value, 'v', limit + 1);
    assert_rc(kit_set(kit, "key", "old"), STORE_OK);
    assert_rc(kit_put(kit, STORE_SET, key.key, bytes_of(value, limit + 1), 0), STORE_TOO_LARGE);
    assert_rc(store_upload_new(kit->thread, &key, limit + 1, &upload), STORE_TOO_LARGE);
    assert_rc(store_upload_new(kit->thread, &key, 1ull << 40, &upload), STORE_TOO_LARGE);
    assert_rc(store_upload_new(kit->thread, &key, UINT64_MAX, &upload), STORE_TOO_LARGE);
    assert_value(kit, "key", "old"); /* the old value stays */
    assert_rc(kit_put(kit, STORE_APPEND, key.key, bytes_of(value, limit - 2), 0), STORE_TOO_LARGE);
    assert_value(kit, "key", "old");
    assert_rc(kit_put(kit, STORE_APPEND, key.key, bytes_of(value, limit - 3), 0), STORE_OK);
    struct store_view view;
    assert_rc(kit_get(kit, "key", &view), STORE_OK);
    assert_true(view.value_bytes == limit);
    assert_rc(kit_put(kit, STORE_PREPEND, key.key, bytes_str("x"), 0), STORE_TOO_LARGE);
    assert_rc(kit_put(kit, STORE_SET, key.key, bytes_of(value, limit), 0), STORE_OK);
    test_free(value);
}

/* A value grows by appends and prepends from nothing into many pieces. */
static void test_join_until_fragmented(void **state)
{
    struct kit *kit = *state;
    enum { PIECE = 30011, COUNT = 24 };
    static uint8_t value[PIECE * COUNT], copy[PIECE * COUNT];
    const struct store_key key = kit_key_str(kit, "j");
    struct store_view view;
    kit_pattern_fill(value, sizeof(value), 8);
    assert_rc(kit_set(kit, "j", ""), STORE_OK);
    for (size_t from = COUNT / 2, to = from; from > 0; from--) {
        const struct bytes before = bytes_of(value + (from - 1) * PIECE, PIECE);
        const struct bytes after = bytes_of(value + to++ * PIECE, PIECE);
        const struct store_put put = {.mode = STORE_APPEND, .value = after};
        struct store_put_result result;
        assert_rc(kit_put(kit, STORE_PREPEND, key.key, before, 0), STORE_OK);
        assert_rc(kit_put_pieces(kit, &key, put, 999, &result), STORE_OK);
        assert_rc(kit_get(kit, "j", &view), STORE_OK);
        assert_true(view.value_bytes == (to - from + 1) * PIECE);
        assert_true(kit_view_copy(kit, &view, copy));
        assert_memory_equal(copy, value + (from - 1) * PIECE, view.value_bytes);
        kit_tick(kit);
    }
}

/* ── uploads and references ───────────────────────────────────────────────────────────────── */

static void test_upload_pieces(void **state)
{
    static const size_t sizes[] = {0,     1,     7,     100,    4095,   4096,   20000,
                                   65535, 65536, 65537, 131072, 262143, 700001, 1048000};
    static const size_t pieces[] = {997, 4096, 16384, 100003, 1 << 20};
    struct kit *kit = *state;
    uint8_t *value = test_malloc(1 << 20);
    const struct store_key key = kit_key_str(kit, "up");
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t j = 0; j < COUNT_OF(pieces); j++) {
            kit_pattern_fill(value, sizes[i], i * 10 + j);
            const struct store_put put = {.value = bytes_of(value, sizes[i])};
            struct store_put_result result;
            assert_rc(kit_put_pieces(kit, &key, put, pieces[j], &result), STORE_OK);
            assert_int_equal(result.value_bytes, sizes[i]);
            value_check(kit, "up", sizes[i], i * 10 + j);
            kit_tick(kit);
        }
    test_free(value);
}

/* Given up at any point: nothing is stored, nothing stays allocated (the sanitizer looks). */
static void test_upload_abort(void **state)
{
    struct kit *kit = *state;
    const struct store_key key = kit_key_str(kit, "up");
    assert_rc(kit_set(kit, "up", "old"), STORE_OK);
    for (size_t round = 0; round < 400; round++) {
        struct store_upload *upload;
        size_t filled = 0;
        assert_rc(store_upload_new(kit->thread, &key, 1000000, &upload), STORE_OK);
        for (size_t piece = 0; piece < round % 80; piece++) {
            size_t room;
            uint8_t *space = store_upload_space(upload, &room);
            if (room > 15000)
                room = 15000;
            memset(space, 'u', room);
            filled += room;
            assert_rc(store_upload_fill(kit->thread, upload, room), STORE_OK);
            if (filled == 1000000)
                break;
        }
        store_upload_free(upload);
        kit_tick(kit);
    }
    assert_value(kit, "up", "old");
    store_upload_free(NULL);
    for (uint32_t i = 0; i < 12000; i++) { /* the memory is there for others */
        static uint8_t value[1000];
        const struct bytes name = bytes_of(&i, sizeof(i));
        assert_rc(kit_put(kit, STORE_SET, name, bytes_of(value, sizeof(value)), 0), STORE_OK);
        if (i % 32 == 0)
            kit_tick(kit);
    }
    assert_int_equal(kit_info(kit).evictions, 0);
}

/* An upload that the put refuses is consumed all the same. */
static void test_upload_refused(void **state)
{
    struct kit *kit = *state;
    static uint8_t value[300000];
    const struct store_key key = kit_key_str(kit, "up");
    const struct bytes bytes = bytes_of(value, sizeof(value));
    struct store_put_result result;
    struct store_put put = {.mode = STORE_REPLACE, .value = bytes};
    assert_rc(kit_put_pieces(kit, &key, put, 5000, &result), STORE_NOT_STORED);
    put = (struct store_put){.compare = true, .compare_cas = 3, .value = bytes};
    assert_rc(kit_put_pieces(kit, &key, put, 5000, &result), STORE_MISS);
    assert_rc(kit_set(kit, "up", "old"), STORE_OK);
    assert_rc(kit_put_pieces(kit, &key, put, 5000, &result), STORE_EXISTS);
    put = (struct store_put){.mode = STORE_ADD, .value = bytes};
    assert_rc(kit_put_pieces(kit, &key, put, 5000, &result), STORE_NOT_STORED);
    assert_value(kit, "up", "old");
}

static void ref_check(const struct store_ref *ref, const uint8_t *want, size_t len)
{
    size_t count, at = 0;
    const struct bytes *spans = store_ref_spans(ref, &count);
    for (size_t i = 0; i < count; i++) {
        assert_true(at + spans[i].len <= len);
        assert_memory_equal(spans[i].ptr, want + at, spans[i].len);
        at += spans[i].len;
    }
    assert_int_equal(at, len);
}

/* References outlive the item, its memory's reuse, and may be freed while offline. */
static void test_ref_outlives_item(void **state)
{
    struct kit *kit = *state;
    static uint8_t value[400000], other[400000];
    static const size_t sizes[] = {1, 100, 20000, 70000, 400000};
    struct store_ref *refs[COUNT_OF(sizes)];
    struct store_view view;
    const struct store_key key = kit_key_str(kit, "k");
    kit_pattern_fill(value, sizeof(value), 1);
    kit_pattern_fill(other, sizeof(other), 2);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_rc(kit_put(kit, STORE_SET, key.key, bytes_of(value, sizes[i]), 0), STORE_OK);
        assert_rc(kit_get(kit, "k", &view), STORE_OK);
        refs[i] = store_ref_new(kit->thread, &view);
        assert_non_null(refs[i]);
    }
    assert_rc(store_delete(kit->thread, &key, &(struct store_delete){0}), STORE_OK);
    for (uint32_t i = 0; i < 300; i++) { /* 120 MB through 16 MiB */
        const struct bytes name = bytes_of(&i, sizeof(i));
        assert_rc(kit_put(kit, STORE_SET, name, bytes_of(other, sizeof(other)), 0), STORE_OK);
        kit_tick(kit);
        store_maintain(kit->thread);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        ref_check(refs[i], value, sizes[i]);
    store_thread_offline(kit->thread);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        store_ref_free(refs[i]);
    store_ref_free(NULL);
    store_thread_online(kit->thread, kit->now_s);
    assert_int_equal(kit_info(kit).segments_pinned, 0);
}

/* Too many pins are refused, never fatal, and the store goes on evicting around them. */
static void test_ref_limit(void **state)
{
    struct kit *kit = *state;
    enum { COUNT = 200, BYTES = 250000 };
    static struct store_ref *refs[COUNT];
    static uint8_t value[BYTES];
    size_t held = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct store_view view;
        const struct store_key key = kit_key(kit, bytes_of(&i, sizeof(i)));
        kit_pattern_fill(value, BYTES, i);
        assert_rc(kit_put(kit, STORE_SET, key.key, bytes_of(value, BYTES), 0), STORE_OK);
        assert_rc(store_get(kit->thread, &key, 0, &view), STORE_OK);
        refs[i] = store_ref_new(kit->thread, &view);
        held += refs[i] != NULL;
        kit_tick(kit);
        store_maintain(kit->thread);
    }
    assert_true(held > 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        kit_pattern_fill(value, BYTES, i);
        if (refs[i] != NULL)
            ref_check(refs[i], value, BYTES);
        store_ref_free(refs[i]);
    }
}

/* No CAS unique that a client has seen ever stands for another version of the key, whichever
 * segments the versions were born in, and whether or not the key was gone in between. */
static void test_cas_never_comes_again(void **state)
{
    enum { KEYS = 3, STEPS = 4000 };
    static uint64_t seen[KEYS][STEPS];
    struct kit *kit = *state;
    uint64_t random = 1;
    size_t counts[KEYS] = {0};
    for (size_t step = 0; step < STEPS; step++) {
        const size_t which = kit_random_below(&random, KEYS);
        const struct store_key key = kit_key_str(kit, which == 0   ? "a"
                                                      : which == 1 ? "a longer key"
                                                                   : "c");
        if (kit_random_below(&random, 4) == 0)
            (void)!store_delete(kit->thread, &key, &(struct store_delete){0});
        static const uint32_t lives_s[] = {0, 100, 10000, 1000000};
        const uint32_t life_s = lives_s[kit_random_below(&random, COUNT_OF(lives_s))];
        const struct store_put put = {.value = bytes_str("12"),
                                      .exp_s = life_s > 0 ? kit->now_s + life_s : 0};
        struct store_put_result result;
        assert_rc(store_put(kit->thread, &key, &put, &result), STORE_OK);
        for (size_t i = 0; i < counts[which]; i++)
            assert_true(seen[which][i] != result.cas_unique);
        seen[which][counts[which]++] = result.cas_unique;
        kit_tick(kit);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_put_rows),
        TEST(test_miss),
        TEST(test_get_again_in_batch),
        TEST(test_any_hint),
        TEST(test_flags_kept),
        TEST(test_vivify_takes_flags_and_ttl),
        TEST(test_stale_put_keeps_ttl),
        TEST(test_explicit_cas),
        TEST(test_ids_in_turn),
        TEST(test_key_binary),
        TEST(test_keys_of_every_length),
        TEST(test_keys_of_every_byte),
        TEST(test_values_of_many_sizes),
        TEST(test_too_large),
        TEST(test_join_until_fragmented),
        TEST(test_upload_pieces),
        TEST(test_upload_abort),
        TEST(test_upload_refused),
        TEST(test_ref_outlives_item),
        TEST(test_ref_limit),
        TEST(test_cas_never_comes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
