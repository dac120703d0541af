/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static void refuse(struct opt_result *result, int exit_code, const char *path, int error)
{
    *result = (struct opt_result){.action = OPT_REFUSED, .exit_code = exit_code};
    if (path == NULL)
        (void)snprintf(result->text, sizeof(result->text), "%s", strerror(error));
    else
        (void)snprintf(result->text, sizeof(result->text), "cannot read %.300s: %s", path,
                       strerror(error));
}

/* ── the file ─────────────────────────────────────────────────────────────────────────────── */

static int text_read(int fd, char *text, size_t *ret_len)
{
    size_t len = 0;
    while (len <= CONFIG_FILE_BYTES_MAX) {
        const ssize_t got = read(fd, text + len, CONFIG_FILE_BYTES_MAX + 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0) {
            *ret_len = len;
            return 0;
        }
        len += (size_t)got;
    }
    return -EFBIG;
}

/* Returns 0 or -errno. Owns: free(). */
static int file_read(const char *path, char **ret_text, size_t *ret_len)
{
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    if (text == NULL)
        return -ENOMEM;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int rc = fd >= 0 ? text_read(fd, text, ret_len) : -errno;
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        *ret_text = text;
    else
        free(text);
    return rc;
}

/* With -d the working directory will be another. Links stay links: containers swap what a mounted
 * one points to. NULL: errno says why. Owns: free(). */
static char *path_absolute(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    char *folder = getcwd(NULL, 0), *absolute = NULL;
    if (folder != NULL && asprintf(&absolute, "%s/%s", folder, path) < 0)
        absolute = NULL;
    free(folder);
    return absolute;
}

/* ── interface ────────────────────────────────────────────────────────────────────────────── */

void config_peek(int argc, char *const *argv, struct config_inputs *ret_inputs,
                 struct opts *ret_asked, struct opt_result *ret_result)
{
    *ret_inputs = (struct config_inputs){.argc = argc, .argv = argv};
    const struct opt_inputs inputs = {.environment = environ, .argc = argc, .argv = argv};
    if (opt_init(ret_asked) != 0) {
        refuse(ret_result, EX_OSERR, NULL, ENOMEM);
        return;
    }
    opt_peek(ret_asked, &inputs, ret_result);
    if (ret_result->action != OPT_RUN || ret_asked->config_file == NULL)
        return;
    ret_inputs->path = path_absolute(ret_asked->config_file);
    if (ret_inputs->path == NULL)
        refuse(ret_result, CONFIG_REFUSED, ret_asked->config_file, errno);
}

void config_inputs_fini(struct config_inputs *inputs)
{
    free(inputs->path);
    inputs->path = NULL;
}

void config_load(const struct config_inputs *inputs, const struct opt_teller *teller,
                 struct opts *ret_opts, struct opt_result *ret_result)
{
    char *text = NULL;
    size_t len = 0;
    int rc = opt_init(ret_opts);
    if (rc != 0)
        refuse(ret_result, EX_OSERR, NULL, -rc);
    if (rc == 0 && inputs->path != NULL && (rc = file_read(inputs->path, &text, &len)) != 0)
        refuse(ret_result, CONFIG_REFUSED, inputs->path, -rc);
    if (rc != 0) {
        teller->mistake(teller->arg, ret_result->text);
        return;
    }
    const struct opt_inputs all = {.file_name = inputs->path,
                                   .file = bytes_of(text, len),
                                   .environment = environ,
                                   .argc = inputs->argc,
                                   .argv = inputs->argv};
    opt_load(ret_opts, &all, teller, ret_result);
    free(text);
}
