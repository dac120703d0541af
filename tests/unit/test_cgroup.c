/* test_cgroup.c — the kernel's files of control groups, as several systems have them.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cgroup.h"

/* In a block of exactly its size, so that a read of a byte too many is seen. */
static struct bytes exactly(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, text, len);
    return bytes_of(copy, len);
}

static void drop(struct bytes bytes)
{
    free((void *)(uintptr_t)bytes.ptr);
}

static bool find(const char *groups, const char *mounts, bool v1, struct cgroup_place *place)
{
    const struct bytes a = exactly(groups, strlen(groups)), b = exactly(mounts, strlen(mounts));
    const bool found = cgroup_place_find(a, b, v1, place);
    drop(a);
    drop(b);
    return found;
}

#define OTHER "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
#define V2    OTHER "25 22 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
#define V1                                                                                         \
    OTHER "30 25 0:26 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"    \
          "31 25 0:27 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"
#define V1_DOCKER                                                                                  \
    OTHER "31 25 0:27 /docker/ab /sys/fs/cgroup/memory ro,nosuid master:3 - cgroup cgroup "        \
          "rw,memory\n"

static const struct {
    const char *name, *groups, *mounts;
    bool v1;
    const char *path; /* NULL: there is none */
    size_t top;
} rows[] = {
    {"service", "0::/system.slice/matted.service\n", V2, false,
     "/sys/fs/cgroup/system.slice/matted.service", 14},
    {"container", "0::/\n", V2, false, "/sys/fs/cgroup", 14},
    {"not its own view", "0::/../../x\n", V2, false, "/sys/fs/cgroup", 14},
    {"no line end", "0::/a", V2, false, "/sys/fs/cgroup/a", 14},
    {"old", "5:cpu,cpuacct:/c\n4:memory:/user.slice/a\n", V1, true,
     "/sys/fs/cgroup/memory/user.slice/a", 21},
    {"old, several", "4:devices,memory:/a\n", V1, true, "/sys/fs/cgroup/memory/a", 21},
    {"old in a container", "4:memory:/docker/ab\n", V1_DOCKER, true, "/sys/fs/cgroup/memory", 21},
    {"old, a group in it", "4:memory:/docker/ab/c\n", V1_DOCKER, true, "/sys/fs/cgroup/memory/c",
     21},
    {"old, a name that is longer", "4:memory:/docker/abc\n", V1_DOCKER, true,
     "/sys/fs/cgroup/memory", 21},
    {"hybrid", "4:memory:/m\n0::/u\n", V1 "9 9 0:9 / /sys/fs/cgroup/unified rw - cgroup2 x rw\n",
     false, "/sys/fs/cgroup/unified/u", 22},
    {"a blank", "0::/a b\n", OTHER "9 9 0:9 / /my\\040cgroup rw - cgroup2 x rw\n", false,
     "/my cgroup/a b", 10},
    {"a colon", "0::/a:b\n", V2, false, "/sys/fs/cgroup/a:b", 14},
    {"nothing", "", "", false, NULL, 0},
    {"only groups", "0::/a\n", OTHER, false, NULL, 0},
    {"only mounts", "", V2, false, NULL, 0},
    {"other version", "0::/a\n", V2, true, NULL, 0},
    {"named hierarchy", "1:name=systemd:/a\n", V1, true, NULL, 0},
    {"no path", "0::\n", V2, false, NULL, 0},
    {"short line", "0:\n", V2, false, NULL, 0},
    {"no separator", "0::/a\n", "9 9 0:9 / /c rw cgroup2 x rw\n", false, NULL, 0},
    {"cut", "0::/a\n", "9 9 0:9 / /c rw - cgroup2\n", false, NULL, 0},
};

static void places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cgroup_place place;
        const bool found = find(rows[i].groups, rows[i].mounts, rows[i].v1, &place);
        assert_int_equal(found, rows[i].path != NULL);
        if (!found)
            continue;
        assert_string_equal(place.path, rows[i].path);
        assert_int_equal(place.top, rows[i].top);
    }
}

/* Cut at every byte, both files are read without a byte too many, and what is found is no nonsense:
 * it begins with where it is mounted. */
static void cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const size_t groups = strlen(rows[i].groups), mounts = strlen(rows[i].mounts);
        for (size_t cut = 0; cut < groups + mounts; cut++) {
            const struct bytes a = exactly(rows[i].groups, cut < groups ? cut : groups);
            const struct bytes b = exactly(rows[i].mounts, cut < groups ? mounts : cut - groups);
            struct cgroup_place place;
            if (cgroup_place_find(a, b, rows[i].v1, &place))
                assert_true(place.path[0] == '/' && place.top <= strlen(place.path));
            drop(a);
            drop(b);
        }
    }
}

static void too_long(void **state)
{
    (void)state;
    char groups[CGROUP_PATH_BYTES + 16];
    memset(groups, 'a', sizeof(groups));
    memcpy(groups, "0::/", 4);
    struct cgroup_place place;
    for (size_t len = CGROUP_PATH_BYTES - 15; len < CGROUP_PATH_BYTES - 6; len++) {
        groups[len] = '\0';
        const bool fits = 14 + len - 3 < CGROUP_PATH_BYTES;
        assert_int_equal(find(groups, V2, false, &place), fits);
        groups[len] = 'a';
    }
}

static void upwards(void **state)
{
    (void)state;
    struct cgroup_place place;
    assert_true(find("0::/a.slice/b/c\n", V2, false, &place));
    static const char *const above[] = {"/sys/fs/cgroup/a.slice/b", "/sys/fs/cgroup/a.slice",
                                        "/sys/fs/cgroup"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(cgroup_place_up(&place));
        assert_string_equal(place.path, above[i]);
    }
    assert_false(cgroup_place_up(&place));
    assert_string_equal(place.path, above[2]);
}

static void limits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes; /* 1: no limit */
    } texts[] = {
        {"536870912\n", 536870912},
        {"536870912", 536870912},
        {"0\n", 0},
        {"max\n", 1},
        {"9223372036854771712\n", 1},
        {"", 1},
        {"\n", 1},
        {"-1\n", 1},
        {"5 \n", 1},
        {"5\n5\n", 1},
        {"99999999999999999999\n", 1},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct bytes text = exactly(texts[i].text, strlen(texts[i].text));
        uint64_t bytes = 1;
        assert_int_equal(cgroup_limit_parse(text, &bytes), texts[i].bytes != 1);
        assert_int_equal(bytes, texts[i].bytes);
        drop(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),  cmocka_unit_test(cuts),   cmocka_unit_test(too_long),
        cmocka_unit_test(upwards), cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
