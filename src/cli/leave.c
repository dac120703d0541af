/* cli/leave.c — what must be undone however the program ends.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/leave.h"

#include <signal.h>
#include <unistd.h>

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};

/* Only written while the handler is not set, or by one store. */
static const char *volatile unfinished;
static const char *volatile farewell;
static volatile sig_atomic_t is_raw;
static struct termios before;

static void terminal_undo(void)
{
    if (!is_raw)
        return;
    is_raw = 0;
    const char *text = farewell;
    (void)!write(STDOUT_FILENO, text, strlen(text));
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

/* All of it may be called in a signal handler. */
static void undo(int number)
{
    terminal_undo();
    if (unfinished != NULL)
        (void)unlink(unfinished);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void handlers_set(void)
{
    const struct sigaction action = {.sa_handler = undo, .sa_flags = SA_NODEFER};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct sigaction old;
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            (void)sigaction(ends[i], &action, NULL);
    }
}

void cli_leave_file(const char *path)
{
    unfinished = path;
    if (path != NULL)
        handlers_set();
}

bool cli_leave_raw(const char *enter, const char *leave)
{
    if (is_raw)
        return true;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    struct termios raw = before;
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    farewell = leave;
    handlers_set();
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0)
        return false;
    is_raw = 1;
    (void)!write(STDOUT_FILENO, enter, strlen(enter));
    return true;
}

void cli_leave_cooked(void)
{
    terminal_undo();
}
