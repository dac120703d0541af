/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/kit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t run_seed;
void (*kit_fail_hook)(void);

_Noreturn void kit_fail(const char *file, int line, const char *cond, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "%s:%d: failed: %s: %s (seed %" PRIu64 ")\n", file, line, cond, text, run_seed);
    if (kit_fail_hook != NULL)
        kit_fail_hook();
    abort();
}

/* ── random numbers ───────────────────────────────────────────────────────────────────────── */

uint64_t kit_env_u64(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t kit_seed_init(int argc, char **argv)
{
    uint64_t drawn = 0;
    if (getrandom(&drawn, sizeof(drawn), 0) != (ssize_t)sizeof(drawn))
        drawn = kit_mono_ns();
    drawn %= 1000 * 1000 * 1000; /* short enough to type */
    run_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : kit_env_u64("MATTE_SEED", drawn);
    printf("seed %" PRIu64 "\n", run_seed);
    fflush(stdout);
    return run_seed;
}

/* splitmix64: any state is fine, also 0. */
uint64_t kit_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t kit_random_below(uint64_t *state, uint64_t bound)
{
    return kit_random(state) % bound;
}

/* ── a store in use ───────────────────────────────────────────────────────────────────────── */

void kit_open(struct kit *kit, const struct store_config *config)
{
    struct store *store;
    const int rc = store_new(config, &store);
    KIT_CHECK(rc == 0, "store_new: %d", rc);
    kit_join(kit, store, KIT_START_S);
    kit->owner = true;
}

void kit_open_default(struct kit *kit)
{
    kit_open(kit, &(struct store_config){
                      .memory_bytes = 16 * KIT_MIB, .item_bytes_max = KIT_MIB, .hash_seed = 42});
}

void kit_join(struct kit *kit, struct store *store, uint32_t now_s)
{
    *kit = (struct kit){.store = store, .now_s = now_s};
    const int rc = store_thread_new(store, &kit->thread);
    KIT_CHECK(rc == 0, "store_thread_new: %d", rc);
    store_thread_online(kit->thread, now_s);
}

void kit_close(struct kit *kit)
{
    store_thread_offline(kit->thread);
    store_thread_free(kit->thread);
    if (kit->owner)
        store_free(kit->store);
}

void kit_keep_house(struct store *store, const _Atomic bool *stop, uint32_t wait_ms)
{
    struct kit kit;
    kit_join(&kit, store, KIT_START_S);
    while (!atomic_load(stop)) {
        store_maintain(kit.thread);
        store_thread_offline(kit.thread);
        store_maintain_wait(store, wait_ms);
        store_thread_online(kit.thread, KIT_START_S);
    }
    kit_close(&kit);
}

void kit_tick(struct kit *kit)
{
    store_thread_quiesce(kit->thread, kit->now_s);
}

void kit_time_set(struct kit *kit, uint32_t now_s)
{
    kit->now_s = now_s;
    kit_tick(kit);
}

struct store_info kit_info(struct kit *kit)
{
    struct store_info info;
    kit_tick(kit);
    store_info(kit->store, &info);
    return info;
}

/* ── keys and values ──────────────────────────────────────────────────────────────────────── */

struct store_key kit_key(const struct kit *kit, struct bytes key)
{
    return (struct store_key){.key = key, .hash = store_hash(kit->store, key)};
}

struct store_key kit_key_str(const struct kit *kit, const char *key)
{
    return kit_key(kit, bytes_str(key));
}

static uint64_t pattern_word(uint64_t tag, size_t index)
{
    uint64_t state = tag + 0x632be59bd9b4e019u * index;
    return kit_random(&state);
}

void kit_pattern_fill(uint8_t *dst, size_t len, uint64_t tag)
{
    for (size_t at = 0; at < len; at += 8) {
        const uint64_t word = pattern_word(tag, at / 8);
        memcpy(dst + at, &word, len - at < 8 ? len - at : 8);
    }
}

bool kit_pattern_is(const uint8_t *src, size_t len, uint64_t tag)
{
    for (size_t at = 0; at < len; at += 8) {
        const uint64_t word = pattern_word(tag, at / 8);
        if (memcmp(src + at, &word, len - at < 8 ? len - at : 8) != 0)
            return false;
    }
    return true;
}

static uint64_t stamp_checksum(const struct kit_stamp *stamp)
{
    uint64_t state = stamp->key_id ^ (stamp->version << 20);
    state = kit_random(&state) ^ ((uint64_t)stamp->writer << 32) ^ stamp->len;
    return kit_random(&state);
}

void kit_stamp_write(uint8_t *dst, size_t len, uint64_t key_id, uint32_t writer, uint64_t version)
{
    struct kit_stamp stamp = {
        .key_id = key_id, .version = version, .writer = writer, .len = (uint32_t)len};
    stamp.checksum = stamp_checksum(&stamp);
    memcpy(dst, &stamp, sizeof(stamp));
    kit_pattern_fill(dst + sizeof(stamp), len - sizeof(stamp), stamp.checksum);
}

bool kit_stamp_read(const uint8_t *src, size_t len, struct kit_stamp *ret_stamp)
{
    if (len < sizeof(*ret_stamp))
        return false;
    memcpy(ret_stamp, src, sizeof(*ret_stamp));
    return ret_stamp->len == len && ret_stamp->checksum == stamp_checksum(ret_stamp) &&
           kit_pattern_is(src + sizeof(*ret_stamp), len - sizeof(*ret_stamp), ret_stamp->checksum);
}

/* ── calls, shorter ───────────────────────────────────────────────────────────────────────── */

enum store_rc kit_put(struct kit *kit, enum store_mode mode, struct bytes key, struct bytes value,
                      uint32_t exp_s)
{
    const struct store_key store_key = kit_key(kit, key);
    const struct store_put put = {.mode = mode, .value = value, .exp_s = exp_s};
    return store_put(kit->thread, &store_key, &put, NULL);
}

enum store_rc kit_set(struct kit *kit, const char *key, const char *value)
{
    return kit_put(kit, STORE_SET, bytes_str(key), bytes_str(value), 0);
}

enum store_rc kit_get(struct kit *kit, const char *key, struct store_view *ret_view)
{
    const struct store_key store_key = kit_key_str(kit, key);
    return store_get(kit->thread, &store_key, STORE_GET_CAS, ret_view);
}

bool kit_view_copy(struct kit *kit, const struct store_view *view, uint8_t *dst)
{
    if (!view->fragmented) {
        KIT_CHECK(view->value.len == view->value_bytes, "%zu bytes of %llu", view->value.len,
                  (unsigned long long)view->value_bytes);
        if (view->value.len > 0)
            memcpy(dst, view->value.ptr, view->value.len);
        return true;
    }
    KIT_CHECK(view->value.ptr == NULL, "a fragmented value has no pointer");
    struct store_ref *ref = store_ref_new(kit->thread, view);
    if (ref == NULL)
        return false;
    size_t count, at = 0;
    const struct bytes *spans = store_ref_spans(ref, &count);
    for (size_t i = 0; i < count; i++) {
        KIT_CHECK(at + spans[i].len <= view->value_bytes, "spans are too long");
        if (spans[i].len > 0)
            memcpy(dst + at, spans[i].ptr, spans[i].len);
        at += spans[i].len;
    }
    KIT_CHECK(at == view->value_bytes, "spans hold %zu bytes", at);
    store_ref_free(ref);
    return true;
}

enum store_rc kit_put_pieces(struct kit *kit, const struct store_key *key, struct store_put put,
                             size_t piece, struct store_put_result *ret_result)
{
    const struct bytes value = put.value;
    put.value = bytes_of(NULL, 0);
    enum store_rc rc = store_upload_new(kit->thread, key, value.len, &put.upload);
    if (rc != STORE_OK)
        return rc;
    for (size_t at = 0; at < value.len;) {
        size_t room;
        uint8_t *space = store_upload_space(put.upload, &room);
        KIT_CHECK(room > 0, "no room at %zu of %zu", at, value.len);
        size_t len = room < piece ? room : piece;
        len = len < value.len - at ? len : value.len - at;
        memcpy(space, value.ptr + at, len);
        at += len;
        rc = store_upload_fill(kit->thread, put.upload, len);
        if (rc != STORE_OK) {
            store_upload_free(put.upload);
            return rc;
        }
        if (len % 3 == 0) /* pieces come in different loop turns */
            kit_tick(kit);
    }
    return store_put(kit->thread, key, &put, ret_result);
}

const char *kit_rc_name(enum store_rc rc)
{
    switch (rc) {
    case STORE_OK:
        return "OK";
    case STORE_MISS:
        return "MISS";
    case STORE_EXPIRED:
        return "EXPIRED";
    case STORE_FLUSHED:
        return "FLUSHED";
    case STORE_EXISTS:
        return "EXISTS";
    case STORE_NOT_STORED:
        return "NOT_STORED";
    case STORE_NOT_NUMBER:
        return "NOT_NUMBER";
    case STORE_TOO_LARGE:
        return "TOO_LARGE";
    case STORE_NO_MEMORY:
        return "NO_MEMORY";
    }
    return "?";
}

/* ── the process ──────────────────────────────────────────────────────────────────────────── */

uint64_t kit_rss_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    KIT_CHECK(file != NULL, "no /proc/self/statm");
    KIT_CHECK(fscanf(file, "%*u %llu", &pages) == 1, "statm cannot be read");
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t kit_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
