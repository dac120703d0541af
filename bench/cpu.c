/* bench/cpu.c — see cpu.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cpu.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t task_run_ns(int pid, const char *task)
{
    char path[64 + sizeof(((struct dirent *)0)->d_name)];
    uint64_t run_ns = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, task);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%" SCNu64, &run_ns) != 1)
        run_ns = 0;
    (void)fclose(file);
    return run_ns;
}

/* Fields 14 and 15 of /proc/PID/stat; the name before them may hold blanks, so start behind it. */
static void process_ticks(int pid, struct cpu_time *time)
{
    char path[64];
    char text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    const char *rest = fgets(text, sizeof(text), file) != NULL ? strrchr(text, ')') : NULL;
    (void)fclose(file);
    if (rest != NULL)
        (void)sscanf(rest, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64,
                     &time->user_ticks, &time->system_ticks);
}

struct cpu_time cpu_time_read(int pid)
{
    struct cpu_time time = {0};
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return time;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]))
            time.run_ns += task_run_ns(pid, entry->d_name);
    (void)closedir(dir);
    process_ticks(pid, &time);
    return time;
}

uint64_t cpu_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
