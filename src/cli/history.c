/* cli/history.c — the file of the prompt's history.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20 }; /* a longer file is cut to the lines that are kept */

/* Make the folders of `path`, for their owner alone. */
static bool folders_make(char *path)
{
    for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        const bool fine = mkdir(path, 0700) == 0 || errno == EEXIST;
        *at = '/';
        if (!fine)
            return false;
    }
    return true;
}

static bool path_find(struct cli_history_file *file)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int len = -1;
    if (state != NULL && state[0] == '/')
        len = snprintf(file->path, sizeof(file->path), "%s/matte/history", state);
    else if (home != NULL && home[0] == '/')
        len = snprintf(file->path, sizeof(file->path), "%s/.local/state/matte/history", home);
    return len > 0 && len < (int)sizeof(file->path) && folders_make(file->path);
}

/* The lines that are kept, as a new file. */
static void file_replace(const struct cli_history_file *file, const struct cli_history *history)
{
    char path[sizeof(file->path) + 8];
    snprintf(path, sizeof(path), "%s.XXXXXX", file->path);
    const int fd = mkostemp(path, O_CLOEXEC);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (out == NULL)
        return;
    for (size_t i = 0; i < history->count; i++)
        fprintf(out, "%s\n", history->lines[i]);
    if (fclose(out) != 0 || rename(path, file->path) != 0)
        (void)unlink(path);
}

void cli_history_open(struct cli_history_file *file, struct cli_history *history)
{
    file->path[0] = '\0';
    if (!path_find(file)) {
        file->path[0] = '\0';
        return;
    }
    const int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
    if (in == NULL)
        return;
    char *line = NULL;
    size_t cap = 0, bytes = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, in)) > 0) {
        bytes += (size_t)len;
        if (line[len - 1] == '\n')
            line[--len] = '\0';
        bool fine = len > 0 && len < CLI_EDITOR_BYTES;
        for (ssize_t i = 0; i < len; i++)
            fine = fine && (uint8_t)line[i] >= 0x20 && line[i] != 0x7f;
        if (fine)
            cli_history_add(history, line);
    }
    free(line);
    (void)fclose(in);
    if (bytes > FILE_BYTES_MAX)
        file_replace(file, history);
}

void cli_history_append(const struct cli_history_file *file, const char *line)
{
    if (file->path[0] == '\0')
        return;
    const int fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    (void)fchmod(fd, 0600);
    (void)dprintf(fd, "%s\n", line); /* one write: several prompts may share the file */
    (void)close(fd);
}
