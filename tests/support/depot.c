/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/depot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void depot_init(struct depot *depot)
{
    *depot = (struct depot){
        .folder = "/dev/shm/matte-depot-XXXXXX",
        .config = {.memory_bytes = 8 * KIT_MIB, .item_bytes_max = KIT_MIB, .hash_seed = 42},
        .settings = "-f 1.25\n",
        .threads = 2,
        .wall_s = 1700000000,
    };
    if (mkdtemp(depot->folder) == NULL) {
        snprintf(depot->folder, sizeof(depot->folder), "/tmp/matte-depot-XXXXXX");
        KIT_CHECK(mkdtemp(depot->folder) != NULL, "no folder for the memory file");
    }
    snprintf(depot->path, sizeof(depot->path), "%s/memory", depot->folder);
    snprintf(depot->meta_path, sizeof(depot->meta_path), "%s.meta", depot->path);
}

void depot_free(struct depot *depot)
{
    if (depot->runs)
        depot_kill(depot);
    (void)unlink(depot->path);
    (void)unlink(depot->meta_path);
    (void)rmdir(depot->folder);
}

static struct store_file file_of(const struct depot *depot, uint32_t now_s)
{
    return (struct store_file){.path = depot->path,
                               .settings = depot->settings,
                               .threads = depot->threads,
                               .wall_s = depot->wall_s,
                               .now_s = now_s};
}

int depot_try(struct depot *depot)
{
    struct store *store;
    const struct store_file file = file_of(depot, KIT_START_S);
    const int rc = store_new_on_file(&depot->config, &file, &depot->restart, &store);
    KIT_CHECK(depot->restart.text[0] != '\0', "nothing said");
    if (rc != 0)
        return rc;
    kit_join(&depot->kit, store, depot->restart.now_s);
    depot->kit.owner = true;
    depot->runs = true;
    return 0;
}

void depot_start(struct depot *depot)
{
    const int rc = depot_try(depot);
    KIT_CHECK(rc == 0, "start: %d, %s", rc, depot->restart.text);
}

void depot_stop(struct depot *depot)
{
    struct store *store = depot->kit.store;
    const struct store_file file = file_of(depot, depot->kit.now_s);
    depot->kit.owner = false;
    kit_close(&depot->kit);
    const int rc = store_save(store, &depot->config, &file, &depot->restart);
    KIT_CHECK(rc == 0, "save: %d, %s", rc, depot->restart.text);
    store_free(store);
    depot->runs = false;
}

void depot_kill(struct depot *depot)
{
    kit_close(&depot->kit);
    depot->runs = false;
}

void depot_restart(struct depot *depot)
{
    depot_stop(depot);
    depot_start(depot);
}

/* ── files ────────────────────────────────────────────────────────────────────────────────── */

uint64_t depot_file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

void depot_file_flip(const char *path, uint64_t at, uint8_t mask)
{
    uint8_t byte;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    KIT_CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1, "cannot read %s", path);
    byte ^= mask;
    KIT_CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1, "cannot write %s", path);
    close(fd);
}

void depot_file_cut(const char *path, uint64_t bytes)
{
    KIT_CHECK(truncate(path, (off_t)bytes) == 0, "cannot cut %s", path);
}

uint8_t *depot_file_read(const char *path, size_t *ret_len)
{
    const size_t len = (size_t)depot_file_bytes(path);
    uint8_t *bytes = malloc(len + 1);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    KIT_CHECK(fd >= 0 && bytes != NULL && read(fd, bytes, len) == (ssize_t)len, "cannot read %s",
              path);
    close(fd);
    *ret_len = len;
    return bytes;
}

void depot_file_write(const char *path, struct bytes bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    KIT_CHECK(fd >= 0 && write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len, "cannot write %s",
              path);
    close(fd);
}
