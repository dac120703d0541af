/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/userfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { BYTES_MAX = 16 * 1024 * 1024 }; /* as the server */

#define FAULT(...) (snprintf(fault, CLI_USERFILE_FAULT_BYTES, __VA_ARGS__), false)

/* ── opening ──────────────────────────────────────────────────────────────────────────────── */

/* Open and lock what bears the name; a writer before us may have put another file there while we
 * waited. Returns 0 or -errno. */
static int file_lock(struct cli_userfile *file, bool make)
{
    for (;;) {
        struct stat named;
        file->made = make && access(file->path, F_OK) != 0;
        /* A link has been followed, unless it leads nowhere: nothing is made at its end. */
        const int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | (make ? O_CREAT : 0);
        file->fd = open(file->path, flags, 0600);
        if (file->fd < 0)
            return -errno;
        if (fstat(file->fd, &file->stat) != 0 || !S_ISREG(file->stat.st_mode))
            return -EINVAL;
        while (flock(file->fd, LOCK_EX) != 0)
            if (errno != EINTR)
                return -errno;
        if (stat(file->path, &named) == 0 && named.st_ino == file->stat.st_ino &&
            named.st_dev == file->stat.st_dev)
            return fstat(file->fd, &file->stat) == 0 ? 0 : -errno; /* its mode, under the lock */
        (void)close(file->fd);
        file->fd = -1;
    }
}

static int file_read(struct cli_userfile *file)
{
    if (file->stat.st_size > BYTES_MAX)
        return -EFBIG;
    file->text_cap = (size_t)file->stat.st_size + 1;
    file->text = malloc(file->text_cap);
    if (file->text == NULL)
        return -ENOMEM;
    while (file->text_bytes < (size_t)file->stat.st_size) {
        const ssize_t got = read(file->fd, file->text + file->text_bytes,
                                 (size_t)file->stat.st_size - file->text_bytes);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        if (got > 0)
            file->text_bytes += (size_t)got;
    }
    return 0;
}

bool cli_userfile_open(struct cli_userfile *file, const char *path, bool make,
                       char fault[CLI_USERFILE_FAULT_BYTES])
{
    *file = (struct cli_userfile){.fd = -1};
    file->path = realpath(path, NULL);
    if (file->path == NULL && make && errno == ENOENT)
        file->path = strdup(path);
    if (file->path == NULL)
        return FAULT("%.300s: %s", path, strerror(errno));
    int rc = file_lock(file, make);
    if (rc == 0)
        rc = file_read(file);
    if (rc == 0)
        return true;
    cli_userfile_close(file);
    return FAULT("%.300s: %s", path, rc == -EINVAL ? "is no regular file" : strerror(-rc));
}

void cli_userfile_close(struct cli_userfile *file)
{
    if (file->made && file->fd >= 0)
        (void)unlink(file->path);
    if (file->fd >= 0)
        (void)close(file->fd);
    if (file->text != NULL)
        explicit_bzero(file->text, file->text_cap);
    free(file->text);
    free(file->path);
}

/* ── editing ──────────────────────────────────────────────────────────────────────────────── */

static uint8_t *put(uint8_t *dst, struct bytes bytes)
{
    if (bytes.len > 0)
        memcpy(dst, bytes.ptr, bytes.len);
    return dst + bytes.len;
}

size_t cli_userfile_edit(struct bytes text, struct bytes name, struct bytes line, uint8_t *dst,
                         size_t *ret_found)
{
    uint8_t *at = dst;
    size_t found = 0;
    while (text.len > 0) {
        const uint8_t *lf = memchr(text.ptr, '\n', text.len);
        const size_t len = lf == NULL ? text.len : (size_t)(lf + 1 - text.ptr);
        const struct bytes old = bytes_of(text.ptr, len);
        text = bytes_skip(text, len);
        if (old.len <= name.len || old.ptr[name.len] != ':' || !bytes_starts(old, name)) {
            at = put(at, old);
            if (lf == NULL)
                *at++ = '\n';
        } else if (found++ == 0 && line.len > 0) {
            at = put(at, line);
            *at++ = '\n';
        }
    }
    if (found == 0 && line.len > 0) {
        at = put(at, line);
        *at++ = '\n';
    }
    *ret_found = found;
    return (size_t)(at - dst);
}

/* ── writing ──────────────────────────────────────────────────────────────────────────────── */

static bool write_all(int fd, struct bytes text)
{
    while (text.len > 0) {
        const ssize_t put_bytes = write(fd, text.ptr, text.len);
        if (put_bytes < 0 && errno != EINTR)
            return false;
        if (put_bytes > 0)
            text = bytes_skip(text, (size_t)put_bytes);
    }
    return true;
}

/* Owner and mode first: nobody may read the content who could not read the old one. */
static bool beside_write(int fd, const struct stat *like, struct bytes text)
{
    struct stat own;
    if (fstat(fd, &own) != 0)
        return false;
    if ((own.st_uid != like->st_uid || own.st_gid != like->st_gid) &&
        fchown(fd, like->st_uid, like->st_gid) != 0)
        return false;
    return fchmod(fd, like->st_mode & 07777) == 0 && write_all(fd, text) && fsync(fd) == 0;
}

/* So that the new name is there after a crash, too. That it cannot be done is no failure. */
static void folder_sync(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const int len = slash == NULL ? 1 : (int)(slash - path);
    if (snprintf(folder, sizeof(folder), "%.*s", len > 0 ? len : 1, slash == NULL ? "." : path) < 0)
        return;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)close(fd);
}

bool cli_userfile_replace(struct cli_userfile *file, struct bytes text,
                          char fault[CLI_USERFILE_FAULT_BYTES])
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof(beside), "%s.XXXXXX", file->path) >= (int)sizeof(beside))
        return FAULT("the path is too long");
    const int fd = mkostemp(beside, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return FAULT("cannot make a file beside %.300s: %s", file->path, strerror(errno));
    bool ok = beside_write(fd, &file->stat, text);
    const int write_errno = errno;
    ok = close(fd) == 0 && ok;
    if (ok && rename(beside, file->path) == 0) {
        file->made = false;
        folder_sync(file->path);
        return true;
    }
    const int why = ok ? errno : write_errno;
    (void)unlink(beside);
    return FAULT("cannot write %.300s, so it stays as it was: %s", file->path, strerror(why));
}
