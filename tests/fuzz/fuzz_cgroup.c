/* The kernel's files of control groups: a byte that chooses, then both files with a NUL in between.
 * What is found is a path that ends, and going up from it ends at where it is mounted.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "base/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t limit;
    if (cgroup_limit_parse(bytes_of(data, size), &limit) && limit >> 62 != 0)
        abort();
    if (size == 0)
        return 0;
    struct bytes mounts = bytes_of(data + 1, size - 1);
    const struct bytes groups = bytes_part_take(&mounts, '\0', NULL);
    struct cgroup_place place;
    if (!cgroup_place_find(groups, mounts, (data[0] & 1) != 0, &place))
        return 0;
    size_t len = strlen(place.path);
    if (len >= CGROUP_PATH_BYTES)
        abort();
    while (cgroup_place_up(&place)) {
        if (strlen(place.path) >= len)
            abort();
        len = strlen(place.path);
    }
    return 0;
}
