/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#define FAULT(...) (snprintf(fault, CLI_PASSWORD_FAULT_BYTES, __VA_ARGS__), false)

enum { TRIES = 3 };

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static volatile sig_atomic_t caught;

static void catch (int number)
{
    caught = number;
}

static void say(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

/* A line without its end; longer ones are cut, and then too long. Returns -1 at the end of the
 * input, and when a signal came. */
static ssize_t line_read(int fd, char *dst, size_t cap)
{
    size_t len = 0;
    while (caught == 0) {
        char c;
        const ssize_t got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        if (c == '\n')
            return (ssize_t)len;
        if (len < cap)
            dst[len++] = c;
    }
    return -1;
}

static bool ask(int fd, const char *question, char password[CLI_PASSWORD_BYTES], char *fault)
{
    say(fd, question);
    const ssize_t len = line_read(fd, password, CLI_PASSWORD_BYTES);
    say(fd, "\n");
    if (len < 0)
        return FAULT("no password was given");
    if (len == 0)
        return FAULT("the password is empty");
    if (len >= CLI_PASSWORD_BYTES)
        return FAULT("a password has at most %d bytes", CLI_PASSWORD_BYTES - 1);
    password[len] = '\0';
    if (strlen(password) != (size_t)len || strchr(password, '\r') != NULL)
        return FAULT("a password has no NUL and no line end");
    return true;
}

static bool ask_twice(int fd, const char *question, char password[CLI_PASSWORD_BYTES], char *fault)
{
    char again[CLI_PASSWORD_BYTES];
    for (int i = 0; i < TRIES; i++) {
        if (!ask(fd, question, password, fault) || !ask(fd, "Again: ", again, fault))
            break;
        const bool same = strcmp(password, again) == 0;
        explicit_bzero(again, sizeof(again));
        if (same)
            return true;
        say(fd, "They differ.\n");
        (void)FAULT("the two passwords differ");
    }
    explicit_bzero(again, sizeof(again));
    return false;
}

bool cli_terminal_password(const char *question, char ret_password[CLI_PASSWORD_BYTES],
                           char fault[CLI_PASSWORD_FAULT_BYTES])
{
    struct termios before, quiet;
    struct sigaction old[COUNT_OF(ends)];
    const int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (fd < 0 || tcgetattr(fd, &before) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return FAULT("there is no terminal to ask for the password; --stdin reads it from there");
    }
    const struct sigaction action = {.sa_handler = catch}; /* without SA_RESTART: read() returns */
    caught = 0;
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        (void)sigaction(ends[i], &action, &old[i]);
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    bool ok = tcsetattr(fd, TCSAFLUSH, &quiet) == 0;
    if (ok)
        ok = ask_twice(fd, question, ret_password, fault);
    else
        (void)FAULT("the terminal cannot be made silent: %s", strerror(errno));
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        (void)sigaction(ends[i], &old[i], NULL);
    (void)close(fd);
    if (caught != 0) {
        explicit_bzero(ret_password, CLI_PASSWORD_BYTES);
        (void)raise(caught);
    }
    return ok;
}
