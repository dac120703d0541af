/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/log.h"

enum { FILE_BYTES_MAX = 1 << 20 }; /* of mountinfo: a host of many containers has long ones */

/* The beginning of a file, FILE_BYTES_MAX at most; without one: no bytes. Owns: free() its ptr. */
static struct bytes file_read(const char *path)
{
    char *text = malloc(FILE_BYTES_MAX);
    FILE *file = text != NULL ? fopen(path, "re") : NULL;
    const size_t len = file != NULL ? fread(text, 1, FILE_BYTES_MAX, file) : 0;
    if (file != NULL)
        (void)fclose(file);
    return bytes_of(text, len);
}

static void lower(uint64_t *limit, const struct cgroup_place *place, const char *name)
{
    char path[CGROUP_PATH_BYTES + 32];
    (void)snprintf(path, sizeof(path), "%s/%s", place->path, name);
    const struct bytes text = file_read(path);
    uint64_t bytes;
    if (cgroup_limit_parse(text, &bytes) && bytes < *limit)
        *limit = bytes;
    free((void *)(uintptr_t)text.ptr);
}

uint64_t machine_limit_bytes(void)
{
    const struct bytes groups = file_read("/proc/self/cgroup");
    const struct bytes mounts = file_read("/proc/self/mountinfo");
    uint64_t limit = UINT64_MAX;
    for (int v1 = 0; v1 <= 1; v1++) {
        struct cgroup_place place;
        bool found = cgroup_place_find(groups, mounts, v1 != 0, &place);
        for (; found; found = cgroup_place_up(&place)) {
            lower(&limit, &place, v1 ? "memory.limit_in_bytes" : "memory.max");
            if (!v1)
                lower(&limit, &place, "memory.high");
        }
    }
    free((void *)(uintptr_t)groups.ptr);
    free((void *)(uintptr_t)mounts.ptr);
    return limit != UINT64_MAX ? limit : 0;
}

uint64_t machine_memory_bytes(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    const uint64_t bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    const uint64_t limit = machine_limit_bytes();
    return limit > 0 && (bytes == 0 || limit < bytes) ? limit : bytes;
}

void machine_check(const struct opts *opts)
{
    enum { MIB_BITS = 20, BESIDES_MIB = 16 }; /* what a small server needs in any case */
    const uint64_t limit = machine_limit_bytes();
    if (limit > 0 && opts->memory_limit_bytes + (BESIDES_MIB << MIB_BITS) > limit)
        log_line(LOG_ERROR,
                 "warning: -m %llu MiB and what else a server needs are more than its control "
                 "group (container) may have, %llu MiB; when the cache fills, the kernel will end "
                 "it. -m auto takes what is left",
                 (unsigned long long)(opts->memory_limit_bytes >> MIB_BITS),
                 (unsigned long long)(limit >> MIB_BITS));
}
