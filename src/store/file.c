/* store/file.c — opening the memory file, saving the store to it and beginning with it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"

enum { PATH_BYTES_MAX = 4096 + 16 };

/* ── the file ─────────────────────────────────────────────────────────────────────────────── */

int file_allocate(int fd, uint64_t at, uint64_t bytes)
{
    int rc;
    do
        rc = fallocate(fd, 0, (off_t)at, (off_t)bytes);
    while (rc != 0 && errno == EINTR);
    return rc == 0 || errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

void file_punch(int fd, uint64_t at, uint64_t bytes)
{
    (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)bytes);
}

static int PRINTF_LIKE(3, 4) fail(int rc, struct store_restart *restart, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(restart->text, sizeof(restart->text), format, args);
    va_end(args);
    return rc;
}

static bool path_join(char path[PATH_BYTES_MAX], const char *base, const char *suffix)
{
    const int len = snprintf(path, PATH_BYTES_MAX, "%s%s", base, suffix);
    return len > 0 && len < PATH_BYTES_MAX;
}

/* Open and lock the file. Returns an fd or -errno with the text. */
static int memory_file_open(const char *path, struct store_restart *restart)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return fail(-errno, restart, "cannot open the memory file %s: %s", path, strerror(errno));
    struct stat info;
    int rc = 0;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        rc = fail(-EINVAL, restart, "the memory file %s is not a regular file", path);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        rc = fail(-EBUSY, restart, "cannot lock the memory file %s: %s", path,
                  errno == EWOULDBLOCK ? "another server uses it" : strerror(errno));
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* Read a whole file. Returns its bytes (free ret->ptr), or -errno; -ENOENT: there is none. */
static int read_whole(const char *path, struct bytes *ret)
{
    const size_t most = SNAPSHOT_HEAD_BYTES + SNAPSHOT_SETTINGS_BYTES_MAX +
                        (size_t)SNAPSHOT_SEGMENTS_MAX * SNAPSHOT_SEGMENT_BYTES +
                        SNAPSHOT_CHECKSUM_BYTES;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct stat info;
    int rc = fstat(fd, &info) != 0 ? -errno : 0;
    if (rc == 0 && (!S_ISREG(info.st_mode) || (uint64_t)info.st_size > most))
        rc = -EINVAL;
    const size_t want = rc == 0 ? (size_t)info.st_size : 0;
    uint8_t *bytes = malloc(want + 1);
    size_t have = 0;
    if (rc == 0 && bytes == NULL)
        rc = -ENOMEM;
    while (rc == 0 && have < want) {
        const ssize_t got = read(fd, bytes + have, want - have);
        if (got > 0)
            have += (size_t)got;
        else if (got == 0)
            break;
        else if (errno != EINTR)
            rc = -errno;
    }
    close(fd);
    if (rc != 0)
        free(bytes);
    else
        *ret = bytes_of(bytes, have);
    return rc;
}

/* Write a file so that under its name there is never half of it. Returns 0 or -errno. */
static int write_whole(const char *path, const char *temp, struct bytes bytes)
{
    (void)unlink(temp);
    const int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = 0;
    while (rc == 0 && bytes.len > 0) {
        const ssize_t put = write(fd, bytes.ptr, bytes.len);
        if (put >= 0)
            bytes = bytes_skip(bytes, (size_t)put);
        else if (errno != EINTR)
            rc = -errno;
    }
    if (rc == 0 && fsync(fd) != 0)
        rc = -errno;
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temp, path) != 0)
        rc = -errno;
    if (rc != 0)
        (void)unlink(temp);
    return rc;
}

void file_parallel(unsigned threads, void *(*work)(void *arg), void *arg)
{
    pthread_t started[FILE_THREADS_MAX];
    unsigned count = 0;
    while (count + 1 < threads && count < FILE_THREADS_MAX &&
           thread_start(&started[count], work, arg) == 0)
        count++;
    (void)work(arg);
    while (count > 0)
        (void)pthread_join(started[--count], NULL);
}

/* All settings that a snapshot depends on, as text; NULL: no memory. */
static char *settings_text(const struct store_config *config, const struct store_file *file)
{
    char *text = NULL;
    const int len = asprintf(
        &text, "-m %llu\n-I %llu\n-C %s\n%s", (unsigned long long)config->memory_bytes,
        (unsigned long long)config->item_bytes_max, config->no_cas ? "on" : "off", file->settings);
    return len >= 0 ? text : NULL;
}

/* ── saving ───────────────────────────────────────────────────────────────────────────────── */

struct saving {
    const struct store *store;
    struct snapshot snapshot;
    struct snapshot_segment *segments;
    uint8_t *bytes;
    _Atomic uint32_t next; /* relaxed: only shares the work out */
};

static struct bytes segment_whole(const struct store *store, uint32_t seg)
{
    return bytes_of(store->data + ((uint64_t)seg << store->segment_shift), store->segment_bytes);
}

static void *save_segments(void *arg)
{
    struct saving *saving = arg;
    uint32_t i;
    while ((i = atomic_fetch_add_explicit(&saving->next, 1, memory_order_relaxed)) <
           saving->snapshot.segment_count) {
        struct snapshot_segment *segment = &saving->segments[i];
        segment->checksum = snapshot_checksum(segment_whole(saving->store, segment->seg));
        snapshot_segment_put(saving->bytes, &saving->snapshot, i, segment);
    }
    return NULL;
}

/* The segments that hold something, in the order of their queues. */
static void segments_collect(struct saving *saving)
{
    const struct store *store = saving->store;
    for (unsigned q = 0; q < QUEUE_COUNT; q++)
        for (uint32_t seg = store->queues[q].head; seg != SEG_NONE;
             seg = store->segments[seg].next) {
            const struct segment *s = &store->segments[seg];
            if (atomic_load_explicit(&s->live_items, memory_order_relaxed) <= 0)
                continue;
            saving->segments[saving->snapshot.segment_count++] = (struct snapshot_segment){
                .seg = seg,
                .seqno = atomic_load_explicit(&s->seqno, memory_order_relaxed),
                .born_s = atomic_load_explicit(&store->born_s[seg], memory_order_relaxed),
                .max_exp_s = atomic_load_explicit(&s->max_exp_s, memory_order_relaxed),
                .queue = s->queue,
                .class = s->class,
            };
        }
}

static void prefix_count(void *arg, struct bytes prefix, uint64_t stamp)
{
    (void)stamp;
    *(size_t *)arg += SNAPSHOT_PREFIX_BYTES + prefix.len;
}

static void prefix_save(void *arg, struct bytes prefix, uint64_t stamp)
{
    uint8_t **at = arg;
    *at = snapshot_prefix_put(*at, prefix, stamp);
}

/* What is deleted and not yet swept. Returns false: no memory. Owns: ret_prefixes->ptr. */
static bool prefixes_collect(const struct store *store, struct bytes *ret_prefixes)
{
    size_t len = 0;
    barriers_each(store, prefix_count, &len);
    uint8_t *bytes = malloc(len + 1), *at = bytes;
    if (bytes == NULL)
        return false;
    barriers_each(store, prefix_save, &at);
    *ret_prefixes = bytes_of(bytes, len);
    return true;
}

static struct snapshot snapshot_of(struct store *store, const struct store_file *file)
{
    const bool flushing = (hide_pending(store) & HIDE_FLUSH) != 0;
    return (struct snapshot){
        .hash_seed = store->seed,
        .seq_counter = atomic_load_explicit(&store->seq_counter, memory_order_relaxed),
        .flush_seq = flushing ? atomic_load_explicit(&store->flush_seq, memory_order_relaxed) : 0,
        .flush_at_s = atomic_load_explicit(&store->flush_at_s, memory_order_relaxed),
        .prefix_stamp = barriers_stamp_last(store),
        .bucket_count = atomic_load_explicit(&store->bucket_count, memory_order_relaxed),
        .wall_s = file->wall_s,
        .now_s = file->now_s,
        .segment_bytes = store->segment_bytes,
        .segment_limit = atomic_load_explicit(&store->segment_limit, memory_order_relaxed),
        .index_segments = store->index_segments,
    };
}

static int save_write(struct saving *saving, const struct store_file *file,
                      struct store_restart *restart)
{
    char path[PATH_BYTES_MAX], temp[PATH_BYTES_MAX];
    const size_t len = snapshot_bytes(&saving->snapshot);
    saving->bytes = malloc(len);
    if (saving->bytes == NULL || !path_join(path, file->path, ".meta") ||
        !path_join(temp, file->path, ".meta.tmp"))
        return fail(-ENOMEM, restart, "cannot save %s: out of memory", file->path);
    snapshot_write(saving->bytes, &saving->snapshot);
    file_parallel(file->threads, save_segments, saving);
    snapshot_seal(saving->bytes, len);
    const int rc = write_whole(path, temp, bytes_of(saving->bytes, len));
    if (rc != 0)
        return fail(rc, restart, "cannot write %s: %s", path, strerror(-rc));
    (void)fail(0, restart, "%llu items kept in %s", (unsigned long long)restart->items, file->path);
    return 0;
}

static bool threads_left(struct store *store)
{
    for (uint32_t i = 0; i < THREADS_MAX; i++)
        if (atomic_load_explicit(&store->threads[i], memory_order_relaxed) != NULL)
            return true;
    return false;
}

int store_save(struct store *store, const struct store_config *config,
               const struct store_file *file, struct store_restart *ret_restart)
{
    struct store_info info;
    *ret_restart = (struct store_restart){.now_s = file->now_s};
    if (threads_left(store))
        return fail(-EBUSY, ret_restart, "cannot save %s: it is in use", file->path);
    drain_put_back(store);
    log_seal_all(store, false);
    store_info(store, &info);
    ret_restart->items = info.items;
    char *settings = settings_text(config, file);
    struct saving saving = {.store = store, .snapshot = snapshot_of(store, file)};
    saving.segments = calloc((size_t)saving.snapshot.segment_limit + 1, sizeof(*saving.segments));
    int rc;
    if (settings == NULL || saving.segments == NULL ||
        !prefixes_collect(store, &saving.snapshot.prefixes)) {
        rc = fail(-ENOMEM, ret_restart, "cannot save %s: out of memory", file->path);
    } else {
        saving.snapshot.settings = bytes_str(settings);
        segments_collect(&saving);
        rc = save_write(&saving, file, ret_restart);
    }
    free((void *)(uintptr_t)saving.snapshot.prefixes.ptr);
    free(saving.bytes);
    free(saving.segments);
    free(settings);
    return rc;
}

/* ── beginning ────────────────────────────────────────────────────────────────────────────── */

/* What is known before the store is made. */
struct opening {
    const struct store_config *config;
    const struct store_file *file;
    struct store_restart *restart;
    int fd;
    bool had_meta;
    struct bytes meta; /* owned */
    char reason[SNAPSHOT_REASON_BYTES];
};

/* Read FILE.meta and remove it: from here on it tells of what is no more. */
static int meta_take(struct opening *o)
{
    char path[PATH_BYTES_MAX];
    if (!path_join(path, o->file->path, ".meta"))
        return fail(-ENAMETOOLONG, o->restart, "the memory file's name is too long");
    const int rc = read_whole(path, &o->meta);
    if (rc == -ENOENT)
        return 0;
    o->had_meta = true;
    if (rc != 0)
        (void)snprintf(o->reason, sizeof(o->reason), "it cannot be read: %s", strerror(-rc));
    if (unlink(path) != 0)
        return fail(-errno, o->restart, "cannot remove %s: %s", path, strerror(errno));
    return 0;
}

/* The time that has passed while nobody ran belongs to the items' age. A wall clock that went back
 * counts as no time. */
static bool clock_go_on(const struct store_file *file, const struct snapshot *snapshot,
                        uint32_t *ret_now_s)
{
    const int64_t asleep_s = file->wall_s > snapshot->wall_s ? file->wall_s - snapshot->wall_s : 0;
    if (asleep_s > INT32_MAX - (int64_t)snapshot->now_s)
        return false;
    *ret_now_s = snapshot->now_s + (uint32_t)asleep_s;
    return true;
}

/* Is the snapshot whole, and of this configuration and this file? */
static bool snapshot_fits(struct opening *o, struct snapshot *ret)
{
    if (o->meta.ptr == NULL || !snapshot_parse(o->meta, ret, o->reason))
        return false;
    char *settings = settings_text(o->config, o->file);
    const bool equal =
        settings != NULL && snapshot_settings_equal(ret, bytes_str(settings), o->reason);
    free(settings);
    if (!equal)
        return false;
    struct stat info;
    const uint64_t bytes = (uint64_t)ret->segment_limit * ret->segment_bytes;
    if (fstat(o->fd, &info) != 0 || (uint64_t)info.st_size != bytes) {
        (void)snprintf(o->reason, sizeof(o->reason), "the file is not as long as it was");
        return false;
    }
    if (clock_go_on(o->file, ret, &o->restart->now_s))
        return true;
    (void)snprintf(o->reason, sizeof(o->reason), "the clock is more than 68 years ahead");
    return false;
}

/* Try to begin with what was saved. False: that cannot be, and there is no store. */
static bool open_restored(struct opening *o, struct store **ret_store)
{
    struct snapshot snapshot;
    if (!snapshot_fits(o, &snapshot))
        return false;
    struct store *store;
    struct store_config config = *o->config;
    config.hash_seed = snapshot.hash_seed;
    if (pool_new(&config, o->fd, &store) != 0) {
        (void)snprintf(o->reason, sizeof(o->reason), "out of memory");
        return false;
    }
    atomic_store_explicit(&store->now_s, o->restart->now_s, memory_order_relaxed);
    if (store_restore(store, &snapshot, o->file->threads, o->reason, &o->restart->items)) {
        *ret_store = store;
        return true;
    }
    store->file_fd = -1; /* goes on */
    store_free(store);
    return false;
}

static int open_empty(struct opening *o, struct store **ret_store)
{
    o->restart->now_s = o->file->now_s;
    o->restart->items = 0;
    const int rc = pool_new(o->config, o->fd, ret_store);
    if (rc != 0)
        return fail(rc, o->restart, "cannot reserve memory for items in %s: %s", o->file->path,
                    strerror(-rc));
    return 0;
}

static int open_locked(struct opening *o, struct store **ret_store)
{
    struct store_restart *restart = o->restart;
    const char *path = o->file->path;
    int rc = meta_take(o);
    if (rc != 0)
        return rc;
    const uint64_t bytes = pool_data_bytes(o->config->memory_bytes);
    struct store *store;
    restart->restored = open_restored(o, &store);
    restart->refused = o->had_meta && !restart->restored;
    if (!restart->restored) {
        if (ftruncate(o->fd, (off_t)bytes) != 0)
            return fail(-errno, restart, "cannot make the memory file %s %llu bytes long: %s", path,
                        (unsigned long long)bytes, strerror(errno));
        rc = open_empty(o, &store);
    }
    if (rc == 0 && (rc = pool_file_fill(store)) != 0) {
        struct store_file again = *o->file; /* the next try shall find what this one did */
        again.now_s = restart->now_s;
        if (restart->restored)
            (void)!store_save(store, o->config, &again, restart);
        else
            (void)!ftruncate(o->fd, 0);
        store->file_fd = -1; /* the caller closes it */
        store_free(store);
        (void)fail(rc, restart, "cannot have %llu bytes for the memory file %s: %s",
                   (unsigned long long)bytes, path, strerror(-rc));
    }
    if (rc != 0)
        return rc;
    if (restart->restored)
        (void)fail(0, restart, "%llu items restored from %s", (unsigned long long)restart->items,
                   path);
    else if (restart->refused)
        (void)fail(0, restart, "starting empty, %s.meta is not used: %s", path, o->reason);
    else
        (void)fail(0, restart, "starting empty, nothing was kept in %s", path);
    *ret_store = store;
    return 0;
}

int store_new_on_file(const struct store_config *config, const struct store_file *file,
                      struct store_restart *ret_restart, struct store **ret_store)
{
    *ret_restart = (struct store_restart){.now_s = file->now_s};
    struct opening o = {.config = config, .file = file, .restart = ret_restart};
    o.fd = memory_file_open(file->path, ret_restart);
    if (o.fd < 0)
        return o.fd;
    const int rc = open_locked(&o, ret_store);
    free((void *)(uintptr_t)o.meta.ptr);
    if (rc != 0)
        close(o.fd);
    return rc;
}
