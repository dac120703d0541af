/* unit/test_store_restart.c — a store in a memory file, stopped and started again: what was there
 * is there, nothing else, or nothing at all.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <errno.h>
#include <unistd.h>

#include "support/depot.h"

static uint64_t seed;

static int setup(void **state)
{
    static struct depot depot;
    depot_init(&depot);
    *state = &depot;
    return 0;
}

static int teardown(void **state)
{
    depot_free(*state);
    return 0;
}

static uint64_t cas_of(struct depot *depot, const char *key)
{
    struct store_view view;
    assert_rc(kit_get(&depot->kit, key, &view), STORE_OK);
    return view.cas_unique;
}

static void value_is(struct depot *depot, const char *key, const char *value)
{
    struct store_view view;
    assert_rc(kit_get(&depot->kit, key, &view), STORE_OK);
    assert_int_equal(view.value.len, strlen(value));
    assert_memory_equal(view.value.ptr, value, view.value.len);
}

static void is_missing(struct depot *depot, const char *key)
{
    struct store_view view;
    assert_true(store_rc_is_miss(kit_get(&depot->kit, key, &view)));
}

static void set(struct depot *depot, const char *key, const char *value)
{
    assert_rc(kit_set(&depot->kit, key, value), STORE_OK);
}

static struct store_key key_number(const struct kit *kit, uint64_t i)
{
    static char text[32];
    return kit_key(
        kit, bytes_of(text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)i)));
}

static void restored(struct depot *depot, uint64_t items)
{
    assert_true(depot->restart.restored);
    assert_false(depot->restart.refused);
    assert_int_equal(depot->restart.items, items);
    assert_int_equal(kit_info(&depot->kit).items, items);
}

static void empty_because(struct depot *depot, const char *part)
{
    assert_false(depot->restart.restored);
    assert_true(depot->restart.refused);
    assert_int_equal(depot->restart.items, 0);
    assert_int_equal(kit_info(&depot->kit).items, 0);
    if (strstr(depot->restart.text, part) == NULL)
        fail_msg("no '%s' in '%s'", part, depot->restart.text);
    is_missing(depot, "key");
    set(depot, "key", "new");
    value_is(depot, "key", "new");
}

/* A large value whose bytes tell whose they are. */
static void set_large(struct depot *depot, const char *key, size_t len, uint64_t tag)
{
    static uint8_t value[KIT_MIB];
    kit_pattern_fill(value, len, tag);
    assert_rc(kit_put(&depot->kit, STORE_SET, bytes_str(key), bytes_of(value, len), 0), STORE_OK);
}

static void large_is(struct depot *depot, const char *key, size_t len, uint64_t tag)
{
    static uint8_t value[KIT_MIB];
    struct store_view view;
    assert_rc(kit_get(&depot->kit, key, &view), STORE_OK);
    assert_int_equal(view.value_bytes, len);
    assert_true(kit_view_copy(&depot->kit, &view, value));
    assert_true(kit_pattern_is(value, len, tag));
}

/* ── what stays ───────────────────────────────────────────────────────────────────────────── */

static void test_first_start(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    assert_false(depot->restart.restored || depot->restart.refused);
    assert_int_equal(depot_file_bytes(depot->path), depot->config.memory_bytes);
    set(depot, "key", "value");
    value_is(depot, "key", "value");
    assert_int_equal(store_memory_set(depot->kit.store, 16 * KIT_MIB), -EINVAL);
    assert_int_equal(store_memory_set(depot->kit.store, 4 * KIT_MIB), -EINVAL);
}

static void test_simple(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    set(depot, "key", "value");
    set(depot, "gone", "x");
    set(depot, "key", "newer");
    const struct store_key gone = kit_key_str(&depot->kit, "gone");
    assert_rc(store_delete(depot->kit.thread, &gone, &(struct store_delete){0}), STORE_OK);
    depot_stop(depot);
    assert_int_not_equal(depot_file_bytes(depot->meta_path), 0);
    assert_int_equal(depot->restart.items, 1);
    depot_start(depot);
    assert_int_equal(access(depot->meta_path, F_OK), -1);
    restored(depot, 1);
    value_is(depot, "key", "newer");
    is_missing(depot, "gone");
    depot_restart(depot);
    restored(depot, 1);
    is_missing(depot, "gone");
}

static void test_empty_store(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    depot_restart(depot);
    restored(depot, 0);
    set(depot, "key", "value");
    value_is(depot, "key", "value");
}

/* Everything that a view shows. */
static void test_all_of_an_item(void **state)
{
    struct depot *depot = *state;
    struct kit *kit = &depot->kit;
    struct store_view was, is;
    depot_start(depot);
    const struct store_key key = {
        .key = bytes_str("key"), .hash = store_hash(kit->store, bytes_str("key")), .binary = true};
    const struct store_put put = {
        .value = bytes_str("value"), .client_flags = 0x12345678, .exp_s = kit->now_s + 100};
    assert_rc(store_put(kit->thread, &key, &put, NULL), STORE_OK);
    const struct store_delete stale = {.invalidate = true};
    assert_rc(store_delete(kit->thread, &key, &stale), STORE_OK);
    const struct store_fetch lease = {.lease = true};
    assert_rc(store_fetch(kit->thread, &key, &lease, &was), STORE_OK);
    assert_true(was.won);
    kit_time_set(kit, kit->now_s + 7);
    assert_rc(kit_get(kit, "key", &was), STORE_OK);
    kit_time_set(kit, kit->now_s + 20);
    depot->wall_s += 50;
    const uint64_t cas = cas_of(depot, "key");
    const uint32_t exp_s = was.exp_s, now_s = kit->now_s;
    depot_restart(depot);
    restored(depot, 1);
    assert_int_equal(kit->now_s, now_s); /* the wall clock stood still between stop and start */
    assert_rc(kit_get(kit, "key", &is), STORE_OK);
    assert_int_equal(is.cas_unique, cas);
    assert_int_equal(is.exp_s, exp_s);
    assert_int_equal(is.client_flags, 0x12345678);
    assert_int_equal(is.last_access_s, now_s);
    assert_true(is.fetched && is.stale && is.win_sent && is.key_binary);
    assert_memory_equal(is.value.ptr, "value", 5);
}

static void test_numbers(void **state)
{
    struct depot *depot = *state;
    struct store_arith_result result;
    depot_start(depot);
    set(depot, "n", "41");
    const struct store_key key = kit_key_str(&depot->kit, "n");
    const struct store_arith incr = {.delta = 1};
    assert_rc(store_arith(depot->kit.thread, &key, &incr, &result), STORE_OK);
    depot_restart(depot);
    restored(depot, 1);
    value_is(depot, "n", "42");
    assert_rc(store_arith(depot->kit.thread, &key, &incr, &result), STORE_OK);
    assert_int_equal(result.value, 43);
}

/* Values grow by an append to the largest records that are not split, and these by an exptime and a
 * CAS unique: all of them come back. */
static void test_largest_records(void **state)
{
    enum { RECORD_BYTES_MAX = 8192, SIZES = 64, FIRST = RECORD_BYTES_MAX - SIZES, HALF = 4000 };
    static uint8_t bytes[RECORD_BYTES_MAX];
    struct depot *depot = *state;
    struct kit *kit = &depot->kit;
    struct store_view view;
    const struct store_fetch touch = {.touch = true, .touch_exp_s = 100000};
    depot_start(depot);
    for (size_t size = FIRST; size < RECORD_BYTES_MAX; size++) {
        const struct store_key key = key_number(kit, size);
        const struct store_put half = {.value = bytes_of(bytes, HALF)};
        const struct store_put rest = {.mode = STORE_APPEND, .value = bytes_of(bytes, size - HALF)};
        assert_rc(store_put(kit->thread, &key, &half, NULL), STORE_OK);
        assert_rc(store_put(kit->thread, &key, &rest, NULL), STORE_OK);
        assert_rc(store_get(kit->thread, &key, STORE_GET_CAS, &view), STORE_OK);
        assert_rc(store_fetch(kit->thread, &key, &touch, &view), STORE_OK);
        kit_tick(kit);
    }
    depot_restart(depot);
    restored(depot, SIZES);
    for (size_t size = FIRST; size < RECORD_BYTES_MAX; size++) {
        const struct store_key key = key_number(kit, size);
        assert_rc(store_get(kit->thread, &key, 0, &view), STORE_OK);
        assert_int_equal(view.value_bytes, size);
        kit_tick(kit);
    }
}

/* Uniques that were known read the same, new ones are new. */
static void test_cas_goes_on(void **state)
{
    struct depot *depot = *state;
    struct kit *kit = &depot->kit;
    uint64_t seen[64];
    unsigned count = 0;
    depot_start(depot);
    for (unsigned round = 0; round < 8; round++) {
        char name[16];
        snprintf(name, sizeof(name), "r%u", round);
        set(depot, name, "value");
        set(depot, "same", name);
        seen[count++] = cas_of(depot, name);
        seen[count++] = cas_of(depot, "same");
        for (unsigned i = 0; i + 1 < count; i++)
            for (unsigned j = i + 1; j < count; j++)
                assert_int_not_equal(seen[i], seen[j]);
        depot_restart(depot);
        assert_int_equal(cas_of(depot, name), seen[2 * round]);
        assert_int_equal(cas_of(depot, "same"), seen[2 * round + 1]);
        assert_true(round == 0 || seen[2 * round + 1] > seen[2 * round - 1]);
    }
    const struct store_key key = kit_key_str(kit, "same");
    struct store_put put = {.compare = true, .value = bytes_str("other")};
    put.compare_cas = seen[count - 3];
    assert_rc(store_put(kit->thread, &key, &put, NULL), STORE_EXISTS);
    put.compare_cas = seen[count - 1];
    assert_rc(store_put(kit->thread, &key, &put, NULL), STORE_OK);
}

static void test_large(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    set_large(depot, "a", 20000, 1);
    set_large(depot, "b", 700000, 2);
    set_large(depot, "dead", 500000, 3);
    set_large(depot, "over", 300000, 4);
    set_large(depot, "over", 400000, 5);
    const struct store_key dead = kit_key_str(&depot->kit, "dead");
    assert_rc(store_delete(depot->kit.thread, &dead, &(struct store_delete){0}), STORE_OK);
    const uint64_t bytes = kit_info(&depot->kit).item_bytes;
    for (unsigned i = 0; i < 3; i++) {
        depot_restart(depot);
        restored(depot, 3);
        assert_int_equal(kit_info(&depot->kit).item_bytes, bytes);
        large_is(depot, "a", 20000, 1);
        large_is(depot, "b", 700000, 2);
        large_is(depot, "over", 400000, 5);
        is_missing(depot, "dead");
    }
}

/* What an upload had brought is no item, neither at the stop nor later. */
static void test_unfinished_upload(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    set(depot, "key", "value");
    const struct store_key key = kit_key_str(&depot->kit, "up");
    struct store_upload *upload;
    assert_rc(store_upload_new(depot->kit.thread, &key, 600000, &upload), STORE_OK);
    for (unsigned i = 0; i < 30; i++) {
        size_t room;
        uint8_t *space = store_upload_space(upload, &room);
        room = room < 10000 ? room : 10000;
        kit_pattern_fill(space, room, i);
        assert_rc(store_upload_fill(depot->kit.thread, upload, room), STORE_OK);
    }
    store_upload_free(upload);
    depot_restart(depot);
    restored(depot, 1);
    is_missing(depot, "up");
    assert_true(kit_info(&depot->kit).item_bytes < 100);
}

/* ── time ─────────────────────────────────────────────────────────────────────────────────── */

static void test_time_asleep_counts(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    const uint32_t now_s = depot->kit.now_s;
    assert_rc(kit_put(&depot->kit, STORE_SET, bytes_str("50"), bytes_str("v"), now_s + 50),
              STORE_OK);
    assert_rc(kit_put(&depot->kit, STORE_SET, bytes_str("100"), bytes_str("v"), now_s + 100),
              STORE_OK);
    set(depot, "never", "v");
    depot_stop(depot);
    depot->wall_s += 49;
    depot_start(depot);
    restored(depot, 3);
    assert_int_equal(depot->kit.now_s, now_s + 49);
    value_is(depot, "50", "v");
    kit_time_set(&depot->kit, now_s + 50);
    is_missing(depot, "50");
    depot_stop(depot);
    depot->wall_s += 40;
    depot_start(depot);
    assert_int_equal(depot->kit.now_s, now_s + 90);
    restored(depot, 2);
    depot_stop(depot);
    depot->wall_s += 10;
    depot_start(depot);
    restored(depot, 1);
    is_missing(depot, "100");
    value_is(depot, "never", "v");
}

/* What expired while nobody ran does not come back when the clock is set back. */
static void test_wall_clock_goes_back(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    const uint32_t now_s = depot->kit.now_s;
    assert_rc(kit_put(&depot->kit, STORE_SET, bytes_str("50"), bytes_str("v"), now_s + 50),
              STORE_OK);
    set_large(depot, "key", 300000, 9);
    depot_stop(depot);
    depot->wall_s -= 1000000;
    depot_start(depot);
    restored(depot, 2);
    assert_int_equal(depot->kit.now_s, now_s);
    depot_stop(depot);
    depot->wall_s += 60;
    depot_start(depot);
    restored(depot, 1);
    depot_stop(depot);
    depot->wall_s -= 60;
    depot_start(depot);
    restored(depot, 1);
    depot_stop(depot);
    depot->wall_s += INT64_C(1) << 40;
    depot_start(depot);
    empty_because(depot, "the clock");
}

static void test_flush(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    set(depot, "old", "v");
    set_large(depot, "old large", 300000, 1);
    store_flush(depot->kit.thread, 0);
    set(depot, "key", "v");
    depot_restart(depot);
    assert_int_equal(depot->restart.items, 1);
    is_missing(depot, "old");
    is_missing(depot, "old large");
    value_is(depot, "key", "v");
    for (unsigned i = 0; i < 4; i++) {
        depot_restart(depot);
        restored(depot, 1);
        store_maintain(depot->kit.thread);
        is_missing(depot, "old");
        is_missing(depot, "old large");
        value_is(depot, "key", "v");
    }
}

/* A large item whose fragments came before the flush and whose end came after it. */
static void test_flush_during_upload(void **state)
{
    struct depot *depot = *state;
    static uint8_t value[600000];
    depot_start(depot);
    kit_pattern_fill(value, sizeof(value), 8);
    const struct store_key key = kit_key_str(&depot->kit, "up");
    struct store_put put = {.mode = STORE_SET};
    assert_rc(store_upload_new(depot->kit.thread, &key, sizeof(value), &put.upload), STORE_OK);
    for (size_t at = 0; at < sizeof(value);) {
        size_t room;
        uint8_t *space = store_upload_space(put.upload, &room);
        memcpy(space, value + at, room);
        at += room;
        assert_rc(store_upload_fill(depot->kit.thread, put.upload, room), STORE_OK);
    }
    store_flush(depot->kit.thread, 0);
    assert_rc(store_put(depot->kit.thread, &key, &put, NULL), STORE_OK);
    for (unsigned i = 0; i < 3; i++) {
        depot_restart(depot);
        restored(depot, 1);
        large_is(depot, "up", sizeof(value), 8);
        store_maintain(depot->kit.thread);
        large_is(depot, "up", sizeof(value), 8);
    }
}

static void test_delayed_flush(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    set(depot, "key", "v");
    store_flush(depot->kit.thread, depot->kit.now_s + 100);
    depot_stop(depot);
    depot->wall_s += 99;
    depot_start(depot);
    value_is(depot, "key", "v");
    kit_time_set(&depot->kit, depot->kit.now_s + 1);
    is_missing(depot, "key");
    set(depot, "key", "v");
    store_flush(depot->kit.thread, depot->kit.now_s + 100);
    depot_stop(depot);
    depot->wall_s += 100;
    depot_start(depot);
    is_missing(depot, "key");
    depot_restart(depot);
    is_missing(depot, "key");
}

/* ── when nothing stays ───────────────────────────────────────────────────────────────────── */

static void test_killed(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    set(depot, "key", "value");
    depot_restart(depot);
    value_is(depot, "key", "value");
    depot_kill(depot);
    depot_start(depot);
    assert_false(depot->restart.restored || depot->restart.refused);
    is_missing(depot, "key");
}

static void test_configuration_changed(void **state)
{
    struct depot *depot = *state;
    const struct store_config config = depot->config;
    for (unsigned i = 0; i < 5; i++) {
        static const char *const words[] = {"-m 8388608", "-I 1048576", "-C off", "-f 1.25",
                                            "-m 8388608"};
        depot_start(depot);
        set(depot, "key", "value");
        depot_stop(depot);
        depot->config.memory_bytes = i == 0 ? 6 * KIT_MIB : i == 4 ? 64 * KIT_MIB : 8 * KIT_MIB;
        depot->config.item_bytes_max = i == 1 ? KIT_MIB / 2 : KIT_MIB;
        depot->config.no_cas = i == 2;
        depot->settings = i == 3 ? "-f 1.5\n" : "-f 1.25\n";
        depot_start(depot);
        empty_because(depot, words[i]);
        depot_kill(depot);
        depot->config = config;
        depot->settings = "-f 1.25\n";
    }
    depot_start(depot);
    set(depot, "key", "value");
    depot->config.no_evict = depot->config.evict_by_bytes = true; /* need not be the same */
    depot->config.hash_seed = 77;
    depot->threads = 5;
    depot_restart(depot);
    restored(depot, 1);
    value_is(depot, "key", "value");
}

static void test_two_servers(void **state)
{
    struct depot *depot = *state;
    depot_start(depot);
    set(depot, "key", "value");
    struct depot second = *depot;
    assert_int_equal(depot_try(&second), -EBUSY);
    assert_non_null(strstr(second.restart.text, "another server uses it"));
    value_is(depot, "key", "value");
    depot_restart(depot);
    value_is(depot, "key", "value");
}

static void test_no_such_folder(void **state)
{
    struct depot *depot = *state;
    struct depot other = *depot;
    snprintf(other.path, sizeof(other.path), "%s/no/file", depot->folder);
    assert_int_equal(depot_try(&other), -ENOENT);
    assert_non_null(strstr(other.restart.text, "No such file or directory"));
    snprintf(other.path, sizeof(other.path), "/dev/null");
    assert_int_equal(depot_try(&other), -EINVAL);
    assert_non_null(strstr(other.restart.text, "not a regular file"));
}

/* ── damage ───────────────────────────────────────────────────────────────────────────────── */

enum { DAMAGED_KEYS = 3000 };

static void damaged_fill(struct depot *depot)
{
    static uint8_t value[4096];
    for (uint64_t i = 0; i < DAMAGED_KEYS; i++) {
        char name[32];
        const size_t len = sizeof(struct kit_stamp) + i % 700;
        snprintf(name, sizeof(name), "key %u", (unsigned)i);
        kit_stamp_write(value, len, i, 0, 1);
        assert_rc(kit_put(&depot->kit, STORE_SET, bytes_str(name), bytes_of(value, len), 0),
                  STORE_OK);
    }
    set_large(depot, "large", 900000, 3);
}

/* Either everything is there and true, or nothing is there. */
static void damaged_check(struct depot *depot)
{
    uint64_t hits = 0;
    for (uint64_t i = 0; i < DAMAGED_KEYS; i++) {
        char name[32];
        struct store_view view;
        struct kit_stamp stamp;
        snprintf(name, sizeof(name), "key %u", (unsigned)i);
        if (kit_get(&depot->kit, name, &view) != STORE_OK)
            continue;
        assert_true(kit_stamp_read(view.value.ptr, view.value.len, &stamp));
        assert_int_equal(stamp.key_id, i);
        hits++;
    }
    assert_int_equal(hits, depot->restart.restored ? DAMAGED_KEYS : 0);
    if (depot->restart.restored)
        large_is(depot, "large", 900000, 3);
    else
        is_missing(depot, "large");
}

static void test_damaged(void **state)
{
    struct depot *depot = *state;
    uint64_t random = seed;
    unsigned restored_times = 0;
    depot_start(depot);
    damaged_fill(depot);
    depot_stop(depot);
    size_t data_len, meta_len;
    uint8_t *data = depot_file_read(depot->path, &data_len);
    uint8_t *meta = depot_file_read(depot->meta_path, &meta_len);
    for (unsigned round = 0; round < 60; round++) {
        depot_file_write(depot->path, bytes_of(data, data_len));
        depot_file_write(depot->meta_path, bytes_of(meta, meta_len));
        const char *path = round % 2 ? depot->path : depot->meta_path;
        const size_t len = round % 2 ? data_len : meta_len;
        const uint64_t at = kit_random_below(&random, len);
        if (round % 4 < 2)
            depot_file_cut(path, round < 4 ? 0 : at);
        else
            depot_file_flip(path, at, (uint8_t)(1u << kit_random_below(&random, 8)));
        depot_start(depot);
        assert_int_equal(depot->restart.refused, !depot->restart.restored);
        restored_times += depot->restart.restored;
        damaged_check(depot);
        depot_kill(depot);
    }
    /* only bits of free segments may have gone unnoticed */
    assert_true(restored_times <= 15);
    free(data);
    free(meta);
}

/* ── anything, many times ─────────────────────────────────────────────────────────────────── */

enum { KEYS = 4000, VALUE_BYTES_MAX = 200000 };

/* What a key read before the stop. */
struct note {
    enum store_rc rc;
    uint64_t cas, value_bytes, checksum;
    uint32_t client_flags, exp_s, last_access_s;
    bool fetched, stale, win_sent;
};

static uint8_t scratch[VALUE_BYTES_MAX * 4];

static void note_take(struct depot *depot, uint64_t i, struct note *note)
{
    struct store_view view;
    const struct store_key key = key_number(&depot->kit, i);
    /* half of the uniques have been looked at: only these must stay */
    const unsigned flags = STORE_GET_NO_BUMP | (i % 2 ? STORE_GET_CAS : 0u);
    *note = (struct note){.rc = store_get(depot->kit.thread, &key, flags, &view)};
    if (note->rc != STORE_OK)
        return;
    assert_true(view.value_bytes <= sizeof(scratch));
    assert_true(kit_view_copy(&depot->kit, &view, scratch));
    uint64_t sum = view.value_bytes;
    for (uint64_t at = 0; at < view.value_bytes; at++)
        sum = sum * 1099511628211u + scratch[at];
    note->checksum = sum;
    note->cas = view.cas_unique;
    note->value_bytes = view.value_bytes;
    note->client_flags = view.client_flags;
    note->exp_s = view.exp_s;
    note->last_access_s = view.last_access_s;
    note->fetched = view.fetched;
    note->stale = view.stale;
    note->win_sent = view.win_sent;
}

static void note_check(struct depot *depot, uint64_t i, const struct note *was)
{
    struct note is;
    note_take(depot, i, &is);
    const bool expired = was->rc == STORE_OK && was->exp_s != 0 && was->exp_s <= depot->kit.now_s;
    if (was->rc != STORE_OK || expired) {
        assert_true(store_rc_is_miss(is.rc));
        return;
    }
    if (is.rc != STORE_OK)
        fail_msg("key %u is lost: %s", (unsigned)i, kit_rc_name(is.rc));
    assert_int_equal(is.checksum, was->checksum);
    assert_int_equal(is.value_bytes, was->value_bytes);
    assert_int_equal(is.cas, was->cas);
    assert_int_equal(is.client_flags, was->client_flags);
    assert_int_equal(is.exp_s, was->exp_s);
    assert_int_equal(is.last_access_s, was->last_access_s);
    assert_int_equal(is.fetched, was->fetched);
    assert_int_equal(is.stale, was->stale);
    assert_int_equal(is.win_sent, was->win_sent);
}

static uint32_t some_exptime(uint64_t *random, uint32_t now_s)
{
    return kit_random_below(random, 2) ? 0 : now_s + 1 + (uint32_t)kit_random_below(random, 300);
}

static void some_put(struct kit *kit, uint64_t *random, const struct store_key *key)
{
    static const uint64_t most[] = {10, 100, 1000, 5000, VALUE_BYTES_MAX};
    static const enum store_mode modes[] = {STORE_SET,     STORE_SET,    STORE_SET,    STORE_ADD,
                                            STORE_REPLACE, STORE_APPEND, STORE_PREPEND};
    uint64_t len = kit_random_below(random, most[kit_random_below(random, 4)]);
    if (kit_random_below(random, 40) == 0)
        len = kit_random_below(random, most[4]);
    struct store_put put = {
        .mode = modes[kit_random_below(random, COUNT_OF(modes))],
        .client_flags = (uint32_t)(kit_random(random) >> (32 + kit_random_below(random, 32))),
        .exp_s = some_exptime(random, kit->now_s),
    };
    kit_pattern_fill(scratch, len, kit_random(random));
    if (len > 0 && kit_random_below(random, 5) == 0)
        len = (uint64_t)snprintf((char *)scratch, 32, "%llu",
                                 (unsigned long long)kit_random(random) >> 8);
    struct store_view view;
    if (put.mode >= STORE_APPEND &&
        store_get(kit->thread, key, STORE_GET_NO_BUMP, &view) == STORE_OK &&
        view.value_bytes > VALUE_BYTES_MAX)
        put.mode = STORE_SET;
    put.value = bytes_of(scratch, len);
    struct store_put_result result;
    (void)!store_put(kit->thread, key, &put, kit_random_below(random, 2) ? &result : NULL);
}

static void some_operation(struct kit *kit, uint64_t *random)
{
    const struct store_key key = key_number(kit, kit_random_below(random, KEYS));
    struct store_view view;
    struct store_arith_result number;
    switch (kit_random_below(random, 12)) {
    case 0:
        (void)!store_delete(kit->thread, &key, &(struct store_delete){0});
        break;
    case 1: {
        const struct store_delete stale = {.invalidate = true,
                                           .clear_value = kit_random_below(random, 4) == 0};
        (void)!store_delete(kit->thread, &key, &stale);
        break;
    }
    case 2: {
        const struct store_fetch how = {.touch = kit_random_below(random, 2),
                                        .touch_exp_s = some_exptime(random, kit->now_s),
                                        .lease = true,
                                        .flags = STORE_GET_CAS};
        (void)!store_fetch(kit->thread, &key, &how, &view);
        break;
    }
    case 3: {
        const struct store_arith arith = {.delta = 7, .decr = kit_random_below(random, 2)};
        (void)!store_arith(kit->thread, &key, &arith, &number);
        break;
    }
    case 4:
        (void)!store_get(kit->thread, &key, STORE_GET_CAS, &view);
        break;
    case 5:
        (void)!store_get(kit->thread, &key, 0, &view);
        break;
    default:
        some_put(kit, random, &key);
    }
}

/* Segments of 256 KiB are taken apart by steps, and a writer does a few of them when memory is
 * short: the stop finds one half done, and must keep what is left in it. */
static void test_segment_half_taken_apart(void **state)
{
    struct depot *depot = *state;
    static uint8_t value[1000];
    uint64_t number = 0;
    depot->config.memory_bytes = 128 * KIT_MIB;
    depot_start(depot);
    for (uint64_t round = 0; round < 8; round++) {
        const uint64_t until = round == 0 ? 140000 : number + 300 + 77 * round;
        for (; number < until; number++) {
            char key[24];
            snprintf(key, sizeof(key), "key:%012llu", (unsigned long long)number);
            kit_pattern_fill(value, sizeof(value), number);
            assert_rc(
                kit_put(&depot->kit, STORE_SET, bytes_str(key), bytes_of(value, sizeof(value)), 0),
                STORE_OK);
            kit_tick(&depot->kit);
        }
        const struct store_info info = kit_info(&depot->kit);
        assert_true(info.evictions > 0 || round > 0);
        depot_restart(depot);
        restored(depot, info.items);
    }
}

static void rounds_run(struct depot *depot, unsigned rounds, unsigned operations)
{
    static struct note notes[KEYS];
    uint64_t random = seed;
    depot_start(depot);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < operations; i++) {
            some_operation(&depot->kit, &random);
            if (i % 16 == 0)
                kit_tick(&depot->kit);
            if (i % 512 == 0)
                kit_time_set(&depot->kit, depot->kit.now_s + 1);
            if (i % 2000 == 1999)
                store_maintain(depot->kit.thread);
        }
        if (kit_random_below(&random, 6) == 0)
            store_flush(depot->kit.thread, 0);
        uint64_t present = 0;
        for (uint64_t i = 0; i < KEYS; i++) {
            note_take(depot, i, &notes[i]);
            kit_tick(&depot->kit);
        }
        depot_stop(depot);
        const uint32_t asleep_s =
            kit_random_below(&random, 2) ? (uint32_t)kit_random_below(&random, 100) : 0;
        depot->wall_s += asleep_s;
        depot->threads = 1 + (unsigned)kit_random_below(&random, 4);
        depot_start(depot);
        if (!depot->restart.restored)
            fail_msg("%s", depot->restart.text);
        for (uint64_t i = 0; i < KEYS; i++) {
            note_check(depot, i, &notes[i]);
            present += notes[i].rc == STORE_OK &&
                       (notes[i].exp_s == 0 || notes[i].exp_s > depot->kit.now_s);
            kit_tick(&depot->kit);
        }
        restored(depot, present);
        const struct store_info info = kit_info(&depot->kit);
        assert_true(info.memory_used_bytes <= depot->config.memory_bytes);
    }
}

static void test_rounds_roomy(void **state)
{
    struct depot *depot = *state;
    depot->config.memory_bytes = 64 * KIT_MIB;
    rounds_run(depot, 12, 6000);
}

/* Full all the time: evictions, compaction, pieces of every class. */
static void test_rounds_tight(void **state)
{
    struct depot *depot = *state;
    depot->config.memory_bytes = 4 * KIT_MIB;
    rounds_run(depot, 12, 12000);
}

static void test_rounds_full(void **state)
{
    struct depot *depot = *state;
    depot->config.memory_bytes = 4 * KIT_MIB;
    depot->config.no_evict = true;
    rounds_run(depot, 6, 12000);
}

static void test_rounds_no_cas(void **state)
{
    struct depot *depot = *state;
    depot->config.no_cas = true;
    rounds_run(depot, 4, 6000);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_first_start),
        TEST(test_simple),
        TEST(test_empty_store),
        TEST(test_all_of_an_item),
        TEST(test_numbers),
        TEST(test_largest_records),
        TEST(test_cas_goes_on),
        TEST(test_large),
        TEST(test_unfinished_upload),
        TEST(test_time_asleep_counts),
        TEST(test_wall_clock_goes_back),
        TEST(test_flush),
        TEST(test_flush_during_upload),
        TEST(test_delayed_flush),
        TEST(test_killed),
        TEST(test_configuration_changed),
        TEST(test_two_servers),
        TEST(test_no_such_folder),
        TEST(test_damaged),
        TEST(test_segment_half_taken_apart),
        TEST(test_rounds_roomy),
        TEST(test_rounds_tight),
        TEST(test_rounds_full),
        TEST(test_rounds_no_cas),
    };
#undef TEST
    seed = kit_seed_init(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
