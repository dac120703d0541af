/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/cgroup.h"

#include "base/num.h"

/* ── /proc/self/cgroup: "0::/path" or "4:memory,misc:/path" ───────────────────────────────── */

static bool has_memory(struct bytes controllers)
{
    for (bool more = true; more;)
        if (bytes_is(bytes_part_take(&controllers, ',', &more), "memory"))
            return true;
    return false;
}

static bool group_find(struct bytes text, bool v1, struct bytes *ret_path)
{
    while (text.len > 0) {
        struct bytes line = bytes_line_take(&text);
        const struct bytes number = bytes_part_take(&line, ':', NULL);
        bool more;
        const struct bytes controllers = bytes_part_take(&line, ':', &more);
        const bool ours = v1 ? has_memory(controllers) : bytes_is(number, "0") && !controllers.len;
        if (!ours || !more || line.len == 0 || line.ptr[0] != '/')
            continue;
        *ret_path = line;
        return true;
    }
    return false;
}

/* ── /proc/self/mountinfo ─────────────────────────────────────────────────────────────────── */

struct mount {
    struct bytes root;  /* of the hierarchy, what is mounted */
    struct bytes point; /* where */
};

/* 31 23 0:27 ROOT POINT rw,nosuid shared:9 - TYPE source OPTIONS */
static bool mount_read(struct bytes line, bool v1, struct mount *ret_mount)
{
    struct bytes field[5];
    for (size_t i = 0; i < COUNT_OF(field); i++)
        field[i] = bytes_part_take(&line, ' ', NULL);
    bool more = true;
    while (more && !bytes_is(bytes_part_take(&line, ' ', &more), "-"))
        continue;
    const struct bytes type = bytes_part_take(&line, ' ', NULL);
    (void)bytes_part_take(&line, ' ', &more);
    if (!more || !bytes_is(type, v1 ? "cgroup" : "cgroup2") || (v1 && !has_memory(line)))
        return false;
    *ret_mount = (struct mount){.root = field[3], .point = field[4]};
    return ret_mount->root.len > 0 && ret_mount->point.len > 0;
}

static bool mount_find(struct bytes text, bool v1, struct mount *ret_mount)
{
    while (text.len > 0)
        if (mount_read(bytes_line_take(&text), v1, ret_mount))
            return true;
    return false;
}

/* ── both ─────────────────────────────────────────────────────────────────────────────────── */

static bool is_octal(struct bytes text, size_t at)
{
    return text.len - at >= 4 && text.ptr[at + 1] >= '0' && text.ptr[at + 1] <= '3' &&
           text.ptr[at + 2] >= '0' && text.ptr[at + 2] <= '7' && text.ptr[at + 3] >= '0' &&
           text.ptr[at + 3] <= '7';
}

/* Append a path; the kernel writes blanks and the like as \ooo. Returns false when it is too long.
 */
static bool path_put(struct cgroup_place *place, size_t *len, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.ptr[i];
        if (byte == '\\' && is_octal(text, i)) {
            byte = (uint8_t)((text.ptr[i + 1] - '0') * 64 + (text.ptr[i + 2] - '0') * 8 +
                             (text.ptr[i + 3] - '0'));
            i += 3;
        }
        if (*len + 1 >= CGROUP_PATH_BYTES)
            return false;
        place->path[(*len)++] = (char)byte;
    }
    place->path[*len] = '\0';
    return true;
}

/* What of the group's path is below the mount. From outside of a container's own view it may begin
 * with "/..", and may not be below at all: then the top is all that can be seen. */
static struct bytes below(struct bytes path, struct bytes root)
{
    const struct bytes top = bytes_of(path.ptr, 0);
    if (bytes_starts(path, bytes_str("/..")) || bytes_is(path, "/"))
        return top;
    if (bytes_is(root, "/"))
        return path;
    if (!bytes_starts(path, root))
        return top;
    const struct bytes rest = bytes_skip(path, root.len);
    return rest.len > 0 && rest.ptr[0] == '/' ? rest : top;
}

bool cgroup_place_find(struct bytes groups, struct bytes mounts, bool v1,
                       struct cgroup_place *ret_place)
{
    struct bytes path;
    struct mount mount;
    if (!group_find(groups, v1, &path) || !mount_find(mounts, v1, &mount))
        return false;
    struct cgroup_place place;
    size_t len = 0;
    if (!path_put(&place, &len, mount.point))
        return false;
    place.top = len;
    if (!path_put(&place, &len, below(path, mount.root)))
        return false;
    *ret_place = place;
    return true;
}

bool cgroup_place_up(struct cgroup_place *place)
{
    const size_t len = strlen(place->path);
    if (len <= place->top)
        return false;
    size_t end = len;
    while (end > place->top && place->path[end - 1] != '/')
        end--;
    place->path[end > place->top ? end - 1 : place->top] = '\0';
    return true;
}

bool cgroup_limit_parse(struct bytes text, uint64_t *ret_bytes)
{
    const uint64_t unlimited = 1ull << 62; /* the old hierarchy: the largest page number there is */
    if (text.len == 0)
        return false;
    uint64_t bytes;
    if (!num_parse_u64(bytes_line_take(&text), UINT64_MAX, &bytes) || text.len > 0 ||
        bytes >= unlimited)
        return false;
    *ret_bytes = bytes;
    return true;
}
