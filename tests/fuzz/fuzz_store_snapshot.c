/* fuzz_store_snapshot.c — a memory file and its FILE.meta with anything in them: the store begins
 * with it or empty, works on, and what it began with it can save and begin with again.
 *
 * The checksums are made right, or nothing behind them would ever be reached. Input:
 *   byte 0          1: the head's numbers come from the input; 2: no filler at the end of the last
 *                   segment; 4: flip a bit of FILE.meta afterwards; 8: two threads; 16: there are
 *                   deleted prefixes
 *   byte 1          how many segments (modulo)
 *   head            if wanted: 8 words
 *   prefixes        if wanted: the highest stamp, bytes of the list, the list
 *   per segment     number, queue, class, seqno, born, exptime, length (two bytes); its bytes
 * SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <unistd.h>

#include "store/snapshot.h"
#include "support/depot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT_BYTES = 64 << 10, SEGMENTS = 16, FLAG_HEAD = 1, FLAG_OPEN = 2, FLAG_FLIP = 4 };
enum {
    FLAG_THREADS = 8,
    FLAG_PREFIXES = 16,
    NOW_S = 5000,
    META_BYTES_MAX = 4096,
    ITEMS_AFTER = 60
};

static const char settings[] = "-m 1048576\n-I 65536\n-C off\n-f 1.25\n";

static uint64_t take(struct bytes *in, size_t len)
{
    uint64_t value = 0;
    len = len < in->len ? len : in->len;
    memcpy(&value, in->ptr, len);
    *in = bytes_skip(*in, len);
    return value;
}

static void head_take(struct snapshot *snapshot, struct bytes *in)
{
    snapshot->seq_counter = take(in, 8);
    snapshot->flush_seq = take(in, 8);
    snapshot->bucket_count = take(in, 8);
    snapshot->wall_s = (int64_t)take(in, 8);
    snapshot->now_s = (uint32_t)take(in, 4);
    snapshot->flush_at_s = (uint32_t)take(in, 4);
    snapshot->segment_bytes = (uint32_t)take(in, 4);
    snapshot->segment_limit = (uint32_t)take(in, 4);
    snapshot->index_segments = (uint32_t)take(in, 4);
}

/* Put the segment's bytes into the file, with filler behind them. */
static uint64_t segment_write(int fd, uint32_t seg, struct bytes content, bool filler)
{
    static uint8_t bytes[SEGMENT_BYTES];
    const uint32_t used = (uint32_t)content.len & ~7u;
    memset(bytes, 0, sizeof(bytes));
    if (content.len > 0)
        memcpy(bytes, content.ptr, content.len);
    if (filler && used < SEGMENT_BYTES) {
        const uint32_t size = (SEGMENT_BYTES - used) << 8;
        memcpy(bytes + used, &size, sizeof(size));
        memset(bytes + used + 4, 0, 4);
    }
    if (pwrite(fd, bytes, sizeof(bytes), (off_t)seg % SEGMENTS * SEGMENT_BYTES) < 0)
        abort();
    return snapshot_checksum(bytes_of(bytes, sizeof(bytes)));
}

static void files_write(const struct depot *depot, struct bytes in)
{
    static uint8_t meta[META_BYTES_MAX];
    const unsigned flags = (unsigned)take(&in, 1);
    struct snapshot snapshot = {
        .hash_seed = 42,
        .seq_counter = 1 << 20,
        .bucket_count = 256,
        .wall_s = depot->wall_s,
        .now_s = NOW_S,
        .segment_bytes = SEGMENT_BYTES,
        .segment_limit = SEGMENTS,
        .index_segments = 2,
        .segment_count = (uint32_t)take(&in, 1) % (SEGMENTS + 1),
        .settings = bytes_str(settings),
    };
    if (flags & FLAG_HEAD)
        head_take(&snapshot, &in);
    if (flags & FLAG_PREFIXES) {
        snapshot.prefix_stamp = take(&in, 1);
        const size_t len = (size_t)take(&in, 1);
        snapshot.prefixes = bytes_of(in.ptr, len < in.len ? len : in.len);
        in = bytes_skip(in, snapshot.prefixes.len);
    }
    snapshot_write(meta, &snapshot);
    const int fd = open(depot->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, SEGMENTS * SEGMENT_BYTES) != 0)
        abort();
    for (uint32_t i = 0; i < snapshot.segment_count; i++) {
        struct snapshot_segment segment = {.seg = (uint32_t)take(&in, 1)};
        segment.queue = (uint8_t)take(&in, 1);
        segment.class = (uint8_t)take(&in, 1);
        segment.seqno = take(&in, 4);
        segment.born_s = (uint32_t)take(&in, 4);
        segment.max_exp_s = (uint32_t)take(&in, 4);
        size_t len = (size_t)take(&in, 2);
        len = len < in.len ? len : in.len;
        const bool open = (flags & FLAG_OPEN) != 0 && i + 1 == snapshot.segment_count;
        segment.checksum = segment_write(fd, segment.seg, bytes_of(in.ptr, len), !open);
        in = bytes_skip(in, len);
        snapshot_segment_put(meta, &snapshot, i, &segment);
    }
    close(fd);
    const size_t len = snapshot_bytes(&snapshot);
    snapshot_seal(meta, len);
    if (flags & FLAG_FLIP) {
        const uint64_t bit = take(&in, 2) % (8 * len);
        meta[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    depot_file_write(depot->meta_path, bytes_of(meta, len));
}

/* Read, write and remove until everything that was restored has been moved or evicted. */
static void use(struct depot *depot)
{
    static uint8_t value[40000];
    struct kit *kit = &depot->kit;
    for (uint64_t i = 0; i < ITEMS_AFTER; i++) {
        char text[16];
        struct store_view view;
        struct store_arith_result number;
        const size_t len = i % 4 == 3 ? sizeof(value) : i % 4 * 2500;
        const struct store_key key =
            kit_key(kit, bytes_of(text, (size_t)snprintf(text, sizeof(text), "k%d", (int)i)));
        const struct store_put put = {.mode = (enum store_mode)(i % 5),
                                      .value = bytes_of(value, len)};
        if (store_get(kit->thread, &key, STORE_GET_CAS, &view) == STORE_OK &&
            view.value_bytes <= sizeof(value))
            (void)!kit_view_copy(kit, &view, value);
        (void)!store_arith(kit->thread, &key, &(struct store_arith){.delta = 1}, &number);
        (void)!store_put(kit->thread, &key, &put, NULL);
        if (i % 7 == 0)
            (void)!store_delete(kit->thread, &key, &(struct store_delete){0});
        kit_tick(kit);
        if (i % 16 == 0)
            store_maintain(kit->thread);
        if (i % 20 == 0)
            (void)!store_delete_prefix(kit->thread, bytes_str(i % 40 ? "k" : "k3"));
    }
}

static struct depot depot;

static void depot_remove(void)
{
    depot_free(&depot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (depot.path[0] == '\0') {
        depot_init(&depot);
        depot.config.memory_bytes = KIT_MIB;
        depot.config.item_bytes_max = KIT_MIB / 16;
        (void)atexit(depot_remove);
    }
    if (size == 0)
        return 0;
    depot.threads = data[0] & FLAG_THREADS ? 2 : 1;
    files_write(&depot, bytes_of(data, size));
    depot_start(&depot);
    if (depot.restart.restored) {
        const uint64_t items = depot.restart.items;
        KIT_CHECK(kit_info(&depot.kit).items == items || items > 0, "items from nowhere");
        use(&depot);
        depot_restart(&depot);
        KIT_CHECK(depot.restart.restored, "what was saved is refused: %s", depot.restart.text);
        use(&depot);
    }
    depot_kill(&depot);
    return 0;
}
