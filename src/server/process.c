/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "web/web.h"

/* Of each worker, at most: names may have several addresses. */
static uint64_t udp_sockets(const struct opts *opts)
{
    enum { ADDRESSES_PER_NAME = 4 };
    uint64_t names = 0;
    struct bytes rest = bytes_str(opts->listen);
    struct opt_listen listen;
    while (opts->udp_port != 0 && opt_listen_next(&rest, &listen) > 0)
        names++;
    return names * ADDRESSES_PER_NAME;
}

uint64_t process_fds_beside(const struct opts *opts)
{
    const unsigned admin = opts->admin != NULL ? WEB_CONNS_MAX + WEB_LISTENERS_MAX + 2 : 0;
    /* Per worker two, the listener's, standard ones, files: rounded up. */
    return (2ull + udp_sockets(opts)) * opts->threads + admin + 64;
}

int process_fds_raise(uint64_t fds)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= fds)
        return 0;
    limit.rlim_cur = fds;
    if (limit.rlim_max < fds)
        limit.rlim_max = fds;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    log_line(LOG_ERROR,
             "cannot have %llu open files: %s; start as root, raise the limit (ulimit -n) or "
             "ask for fewer connections (-c)",
             (unsigned long long)fds, strerror(errno));
    return PROCESS_OS;
}

int process_cores_allow(void)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_CORE, &limit) == 0)
        return 0;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (limit.rlim_max > 0 && setrlimit(RLIMIT_CORE, &limit) == 0)
            return 0;
    }
    log_line(LOG_ERROR, "failed to ensure corefile creation: the hard limit is 0 (ulimit -c)");
    return PROCESS_OS;
}

void process_cores_keep(void)
{
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

int process_large_pages_check(void)
{
    char mode[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (file != NULL) {
        (void)!fgets(mode, sizeof(mode), file);
        (void)fclose(file);
    }
    if (mode[0] != '\0' && strstr(mode, "[never]") == NULL)
        return 0;
    log_line(LOG_ERROR,
             "cannot enable large pages on this system (-L): transparent huge pages are "
             "%s",
             mode[0] != '\0' ? "switched off" : "not supported");
    return PROCESS_FAILED;
}

void process_privileges_freeze(void)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* fails on no kernel that we run on */
}

/* Who a user is. */
struct identity {
    int rc; /* 0; -ENOENT: there is none; or another -errno */
    uid_t uid;
    gid_t gid;
    int group_count;
    gid_t groups[512]; /* with what precedes it, a pipe takes it in one piece */
};

static void identity_look_up(const char *user, struct identity *ret)
{
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        ret->rc = -ENOENT;
        return;
    }
    ret->uid = entry->pw_uid;
    ret->gid = entry->pw_gid;
    ret->group_count = (int)COUNT_OF(ret->groups);
    if (getgrouplist(user, entry->pw_gid, ret->groups, &ret->group_count) < 0)
        ret->rc = -E2BIG;
}

/* Looked up by a child, since the C library loads modules for it: 0.6 MB that would stay, of code
 * that a server has no use for. Returns identity.rc, or -errno. */
static int identity_find(const char *user, struct identity *ret)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    *ret = (struct identity){0};
    const pid_t child = fork();
    if (child == 0) {
        identity_look_up(user, ret);
        _exit(write(fds[1], ret, sizeof(*ret)) == (ssize_t)sizeof(*ret) ? EXIT_SUCCESS
                                                                        : EXIT_FAILURE);
    }
    const int fork_errno = errno;
    close(fds[1]);
    ssize_t got = -1;
    if (child > 0) {
        do
            got = read(fds[0], ret, sizeof(*ret));
        while (got < 0 && errno == EINTR);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(fds[0]);
    if (child < 0)
        return -fork_errno;
    return got == (ssize_t)sizeof(*ret) ? ret->rc : -EIO;
}

int process_user_drop(const char *user)
{
    if (getuid() != 0 && geteuid() != 0)
        return 0;
    if (user == NULL) {
        log_line(LOG_ERROR, "can't run as root without the -u switch; name the user to become, "
                            "for example -u nobody");
        return PROCESS_USAGE;
    }
    struct identity identity;
    const int rc = identity_find(user, &identity);
    if (rc == -ENOENT) {
        log_line(LOG_ERROR, "can't find the user %s to switch to", user);
        return PROCESS_NO_USER;
    }
    errno = -rc;
    if (rc == 0 && setgroups((size_t)identity.group_count, identity.groups) == 0 &&
        setgid(identity.gid) == 0 && setuid(identity.uid) == 0)
        return 0;
    log_line(LOG_ERROR, "failed to assume identity of user %s: %s", user, strerror(errno));
    return PROCESS_OS;
}

/* ── background ───────────────────────────────────────────────────────────────────────────── */

static int ready_fd = -1; /* the child's end of the pipe to the waiting parent */

/* Wait until the child is ready or has ended, and exit as it did. */
static void wait_for_child(pid_t child, int fd)
{
    char byte;
    ssize_t got;
    do
        got = read(fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    int status = 0;
    if (got == 1)
        _exit(EXIT_SUCCESS);
    if (waitpid(child, &status, 0) == child && WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    _exit(PROCESS_OS);
}

int process_daemonize(bool quiet, bool stay)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        goto fail;
    const pid_t child = fork();
    if (child < 0)
        goto fail;
    if (child > 0) {
        close(fds[1]);
        wait_for_child(child, fds[0]);
    }
    close(fds[0]);
    ready_fd = fds[1];
    if (setsid() < 0 || (!stay && chdir("/") != 0))
        goto fail;
    if (!quiet)
        return 0;
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        goto fail;
    /* stderr stays until process_ready(): the start may have something to say. */
    (void)dup2(null_fd, STDIN_FILENO);
    (void)dup2(null_fd, STDOUT_FILENO);
    close(null_fd);
    return 0;
fail:
    log_line(LOG_ERROR, "failed to daemonize: %s", strerror(errno));
    return PROCESS_OS;
}

void process_ready(void)
{
    if (ready_fd < 0)
        return;
    if (log_level_get() == LOG_ERROR) {
        const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd >= 0) {
            (void)dup2(null_fd, STDERR_FILENO);
            close(null_fd);
        }
    }
    (void)!write(ready_fd, "", 1);
    close(ready_fd);
    ready_fd = -1;
}

void process_memory_lock_allow(void)
{
    const struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* the lock itself complains when this failed */
}

void process_memory_lock(void)
{
    struct rlimit limit;
    const bool unlimited =
        getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
    /* On fault: the store reserves far more addresses than it uses. */
    if (mlockall(MCL_CURRENT | MCL_ONFAULT | (unlimited ? MCL_FUTURE : 0)) != 0)
        log_line(LOG_ERROR, "warning: -k has no effect, mlockall() failed: %s", strerror(errno));
}

/* ── files ────────────────────────────────────────────────────────────────────────────────── */

/* Write through a temporary name, so that nobody reads half a file. */
static int file_replace(const char *path, const char *suffix, const char *text)
{
    char temp[4200];
    const int len = snprintf(temp, sizeof(temp), "%s%s", path, suffix);
    if (len < 0 || (size_t)len >= sizeof(temp))
        return -ENAMETOOLONG;
    FILE *file = fopen(temp, "we");
    if (file == NULL)
        return -errno;
    int rc = fputs(text, file) < 0 ? -EIO : 0;
    if (fclose(file) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temp, path) != 0)
        rc = -errno;
    return rc;
}

int process_pidfile_write(const char *path)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    const int rc = file_replace(path, ".tmp", text);
    if (rc == 0)
        return 0;
    log_line(LOG_ERROR, "could not write the pid file %s: %s", path, strerror(-rc));
    return PROCESS_OS;
}

int process_portfile_write(const struct net *net)
{
    const char *path = getenv("MEMCACHED_PORT_FILENAME");
    if (path == NULL)
        return 0;
    char text[4096] = "";
    size_t len = 0;
    struct net_listener_info info;
    for (size_t i = 0; net_listener_get(net, i, &info) && len + 64 < sizeof(text); i++)
        if (info.port != 0)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s: %d\n",
                                    info.datagrams ? "UDP" : "TCP",
                                    info.address[3] == '6' ? "INET6" : "INET", info.port);
    const int rc = len > 0 ? file_replace(path, ".lck", text) : 0;
    if (rc == 0)
        return 0;
    log_line(LOG_ERROR, "could not write the port file %s: %s", path, strerror(-rc));
    return PROCESS_OS;
}
