/* cli/password.c — where a password comes from.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/password.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FAULT(...) (snprintf(fault, CLI_PASSWORD_FAULT_BYTES, __VA_ARGS__), false)

/* Not by stdio, whose buffer would keep a copy. Returns how many bytes were read or -1. */
static ssize_t file_read(const char *file, char *dst, size_t cap)
{
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t len = 0;
    ssize_t count = 1;
    while (len < cap && count > 0) {
        count = read(fd, dst + len, cap - len);
        if (count < 0 && errno == EINTR)
            count = 1;
        else if (count > 0)
            len += (size_t)count;
    }
    (void)close(fd);
    return count < 0 ? -1 : (ssize_t)len;
}

bool cli_password_read(const char *file, char ret_password[CLI_PASSWORD_BYTES],
                       char fault[CLI_PASSWORD_FAULT_BYTES])
{
    size_t len;
    if (file != NULL) {
        const ssize_t count = file_read(file, ret_password, CLI_PASSWORD_BYTES);
        if (count < 0)
            return FAULT("%.200s: %s", file, strerror(errno));
        const char *end = memchr(ret_password, '\n', (size_t)count);
        len = end != NULL ? (size_t)(end - ret_password) : (size_t)count;
        if (len > 0 && ret_password[len - 1] == '\r')
            len--;
    } else {
        const char *password = getenv("MATTE_PASSWORD");
        if (password == NULL)
            return FAULT("no password: set MATTE_PASSWORD, or name a file by --password-file");
        len = strnlen(password, CLI_PASSWORD_BYTES);
        memcpy(ret_password, password, len);
    }
    if (len == 0)
        return FAULT("the password is empty");
    if (len >= CLI_PASSWORD_BYTES)
        return FAULT("a password has at most %d bytes", CLI_PASSWORD_BYTES - 1);
    ret_password[len] = '\0';
    if (strlen(ret_password) != len || strpbrk(ret_password, "\r\n") != NULL)
        return FAULT("a password has no NUL and no line end");
    return true;
}
