/* base/cgroup.h — where the kernel keeps the memory limits of a control group.
 *
 * /proc/self/cgroup says in which group a process is, /proc/self/mountinfo where the groups' files
 * are; in a container both are seen from inside of it. The limits of all groups above count, too.
 *
 * Includes: base.  Included by: server.  Pure: whoever calls reads the files.
 * Spec:     cgroups(7), proc(5); Linux, Documentation/admin-guide/cgroup-v2.rst.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum { CGROUP_PATH_BYTES = 4096 };

struct cgroup_place {
    char path[CGROUP_PATH_BYTES]; /* the group's folder */
    size_t top; /* so much of it is the mount point; groups above are below that */
};

/* Find our group from the texts of the two files. `v1`: in the old hierarchy of the controller
 * "memory", else in the unified one. Returns false when there is none, or its path is too long. */
MUST_USE bool cgroup_place_find(struct bytes groups, struct bytes mounts, bool v1,
                                struct cgroup_place *ret_place);
/* Go to the group above. Returns false at the top. */
MUST_USE bool cgroup_place_up(struct cgroup_place *place);

/* Read a file with a limit: bytes and a line end, or "max". Returns false for no limit (the old
 * hierarchy writes a number that no machine has) and for anything else. */
MUST_USE bool cgroup_limit_parse(struct bytes text, uint64_t *ret_bytes);
