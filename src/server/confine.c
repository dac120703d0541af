/* The filter: a table of rules, translated to classic BPF by a few lines.
 *
 * By hand and not by libseccomp: the table would be the same, each rule is at most five
 * instructions, and a library less is one less in the process that is being locked up.
 *
 *     ld arch ─ not ours ─► trap
 *     ld nr   ─ x32      ─► trap
 *     for each rule:  nr? ─ no ─► next;  argument fits? ─ no ─► next;  allow
 *     trap
 *
 * The kernel remembers which calls are allowed whatever their arguments are and does not even run
 * the program for them, so the length of the list costs nothing on the path of requests.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "server/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#define OUR_ARCH 0 /* not supported: numbers of calls and their arguments differ */
#endif

/* ── rules ────────────────────────────────────────────────────────────────────────────────── */

/* EVENTS is the thread that feeds the sinks of events, which are files (APPENDER) or unix sockets
 * and syslog (DIALER); what it may do, the process must be allowed to do as well.
 * With certain options: CLEANER is the listener's thread with -d and -P, SAVER the same with -e,
 * MAPPER any thread with -e, READER a worker with -Z, for refresh_certs; LOOKER the listener's
 * thread with -U, which asks the kernel for this host's addresses.
 * ADMIN is the thread of -o admin. */
enum who {
    MAIN = 1,
    WORKER = 2,
    KEEPER = 4,
    EVENTS = 128,
    ADMIN = 2048,
    ALL = MAIN | WORKER | KEEPER | EVENTS | ADMIN,
    CLEANER = 8,
    SAVER = 16,
    MAPPER = 32,
    READER = 64,
    APPENDER = 256,
    DIALER = 512,
    LOOKER = 1024,
};

enum what {
    ALLOW,
    IF,      /* (argument & mask) == value */
    FAIL_IF, /* likewise, then it fails with EACCES */
    OURS,    /* argument is our process number */
    REFUSE,  /* with ENOSYS: the C library then takes the older call, which can be checked */
};

struct rule {
    uint32_t call;
    uint16_t who;
    uint8_t what, arg;
    uint32_t mask, value;
};

#define CALL(name, who)                                                                            \
    {                                                                                              \
        __NR_##name, who, ALLOW, 0, 0, 0                                                           \
    }
#define CALL_IF(name, who, arg, mask, value)                                                       \
    {                                                                                              \
        __NR_##name, who, IF, arg, mask, value                                                     \
    }
#define CALL_IS(name, who, arg, value)                                                             \
    {                                                                                              \
        __NR_##name, who, IF, arg, UINT32_MAX, value                                               \
    }

#define THREAD_FLAGS (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)
#define APPEND_FLAGS ((uint32_t)(O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY))
#define WRITE_FLAGS  ((uint32_t)(O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND))

static const struct rule rules[] = {
    /* requests */
    CALL(epoll_pwait, MAIN | WORKER | ADMIN),
    CALL(epoll_pwait2, MAIN | WORKER | ADMIN),
    CALL(recvfrom, MAIN | WORKER | ADMIN),
    CALL(sendto, MAIN | WORKER | EVENTS | ADMIN),
    CALL(sendmsg, MAIN | WORKER),
    CALL(recvmsg, MAIN | WORKER),
    CALL(recvmmsg, MAIN | WORKER),
    CALL(sendmmsg, MAIN | WORKER),
    CALL(read, MAIN | WORKER | EVENTS | ADMIN),
    CALL(readv, MAIN | WORKER),
    CALL(write, ALL),
    CALL(writev, ALL),
    CALL(futex, ALL),
    CALL(madvise, ALL),
#ifdef __NR_epoll_wait
    CALL(epoll_wait, MAIN | WORKER | ADMIN),
#endif
    /* connections */
    CALL(epoll_ctl, MAIN | WORKER | ADMIN),
    CALL(close, MAIN | WORKER | EVENTS | ADMIN),
    CALL(shutdown, MAIN | WORKER | ADMIN),
    CALL(getsockname, MAIN | WORKER | ADMIN),
    CALL(getpeername, MAIN | WORKER | ADMIN),
    CALL(getsockopt, MAIN | WORKER),
    CALL(setsockopt, MAIN | WORKER),
    CALL(accept4, MAIN | ADMIN),
    CALL_IS(socket, LOOKER, 0, AF_NETLINK),
    CALL(bind, LOOKER),
    /* time, sleep, chance */
    CALL(clock_gettime, ALL),
    CALL(gettimeofday, ALL),
    CALL(clock_nanosleep, ALL),
    CALL(nanosleep, ALL),
    CALL(sched_yield, ALL),
    CALL(restart_syscall, ALL),
    CALL(getrandom, ALL),
#ifdef __NR_time
    CALL(time, ALL),
#endif
    /* memory, never to be executed */
    CALL_IF(mmap, ALL, 2, PROT_EXEC, 0),
    CALL_IF(mprotect, ALL, 2, PROT_EXEC, 0),
    CALL(munmap, ALL),
    CALL(mremap, ALL),
    CALL(brk, ALL),
    /* what stats tells, what malloc and qsort want to know */
    CALL(getrusage, MAIN | WORKER | ADMIN),
    CALL(sched_getaffinity, ALL),
    CALL(sysinfo, ALL),
    CALL(getpid, ALL),
    CALL(gettid, ALL),
    /* threads and their end */
    {__NR_clone3, MAIN, REFUSE, 0, 0, 0},
    CALL_IF(clone, MAIN, 0, THREAD_FLAGS, THREAD_FLAGS),
    CALL(set_robust_list, ALL),
    CALL(rseq, ALL),
    CALL_IS(prctl, ALL, 0, PR_SET_NAME),
    CALL(seccomp, MAIN), /* can only take away */
    CALL(rt_sigprocmask, ALL),
    CALL(rt_sigreturn, ALL),
    CALL(rt_sigaction, MAIN),
    {__NR_tgkill, ALL, OURS, 0, 0, 0}, /* abort() */
    CALL(exit, ALL),
    CALL(exit_group, ALL),
    /* files that a reload reads; the pid file goes at the end */
    CALL_IF(openat, MAIN | READER, 2, WRITE_FLAGS, 0),
    /* free() looks at /proc/sys/vm/overcommit_memory, and does without it */
    {__NR_openat, WORKER | KEEPER | EVENTS | ADMIN, FAIL_IF, 2, WRITE_FLAGS, 0},
    CALL(fstat, MAIN | READER),
    CALL(newfstatat, MAIN | READER),
    CALL(statx, MAIN | READER),
    CALL(lseek, MAIN | READER),
    CALL(pread64, MAIN | READER | ADMIN),
    CALL_IS(fcntl, MAIN | READER, 1, F_GETFL),
    CALL_IS(fcntl, MAIN | READER, 1, F_SETFD),
    /* sinks of events */
    CALL(fstat, APPENDER),
    CALL_IF(newfstatat, APPENDER, 3, AT_EMPTY_PATH, AT_EMPTY_PATH),
    CALL(ppoll, EVENTS),
    CALL_IS(openat, APPENDER, 2, APPEND_FLAGS),
    CALL_IS(socket, DIALER, 0, AF_UNIX),
    CALL(connect, DIALER),
    CALL(unlinkat, CLEANER | SAVER),
#ifdef __NR_unlink
    CALL(unlink, CLEANER | SAVER),
#endif
    /* the memory file of a warm restart */
    CALL(openat, SAVER),
    CALL(renameat2, SAVER),
    CALL(renameat, SAVER),
#ifdef __NR_rename
    CALL(rename, SAVER),
#endif
    CALL(ftruncate, SAVER),
    CALL(flock, SAVER),
    CALL(fallocate, MAPPER),
    CALL(msync, SAVER),
    CALL(fsync, SAVER),
    CALL(fdatasync, SAVER),
};

/* -o relaxed_privileges, for measuring coverage and the like: everything but these. */
static const uint32_t denied[] = {
    __NR_execve, __NR_execveat, __NR_socket, __NR_connect, __NR_bind,   __NR_setuid,
    __NR_setgid, __NR_capset,   __NR_mount,  __NR_bpf,     __NR_chroot,
};

/* ── assembly ─────────────────────────────────────────────────────────────────────────────── */

enum { CODE_MAX = 8 + 6 * COUNT_OF(rules), X32_BIT = 0x40000000 };

struct program {
    struct sock_filter code[CODE_MAX];
    unsigned short len;
};

static void put(struct program *program, unsigned op, uint32_t value, uint8_t if_not)
{
    program->code[program->len++] =
        (struct sock_filter){.code = (uint16_t)op, .jf = if_not, .k = value};
}

enum {
    LOAD = BPF_LD | BPF_W | BPF_ABS,
    AND = BPF_ALU | BPF_AND | BPF_K,
    SKIP_UNLESS = BPF_JMP | BPF_JEQ | BPF_K, /* jump over the next `if_not` unless equal */
    SKIP_BELOW = BPF_JMP | BPF_JGE | BPF_K,
    END = BPF_RET | BPF_K,
};

static void put_rule(struct program *program, const struct rule *rule)
{
    /* The lower half of an argument; both processors are little endian. Flags and numbers of
     * processes have no upper half. */
    const uint32_t arg = (uint32_t)(offsetof(struct seccomp_data, args) + 8u * rule->arg);
    switch ((enum what)rule->what) {
    case ALLOW:
        put(program, SKIP_UNLESS, rule->call, 1);
        put(program, END, SECCOMP_RET_ALLOW, 0);
        break;
    case REFUSE:
        put(program, SKIP_UNLESS, rule->call, 1);
        put(program, END, SECCOMP_RET_ERRNO | ENOSYS, 0);
        break;
    case IF:
    case FAIL_IF:
    case OURS:
        put(program, SKIP_UNLESS, rule->call, 5);
        put(program, LOAD, arg, 0);
        put(program, AND, rule->what == OURS ? UINT32_MAX : rule->mask, 0);
        put(program, SKIP_UNLESS, rule->what == OURS ? (uint32_t)getpid() : rule->value, 1);
        put(program, END, rule->what == FAIL_IF ? SECCOMP_RET_ERRNO | EACCES : SECCOMP_RET_ALLOW,
            0);
        put(program, LOAD, offsetof(struct seccomp_data, nr), 0);
        break;
    }
}

static void put_head(struct program *program)
{
    put(program, LOAD, offsetof(struct seccomp_data, arch), 0);
    program->code[program->len] = (struct sock_filter){.code = SKIP_UNLESS, .jt = 1, .k = OUR_ARCH};
    program->len++;
    put(program, END, SECCOMP_RET_TRAP, 0);
    put(program, LOAD, offsetof(struct seccomp_data, nr), 0);
    put(program, SKIP_BELOW, X32_BIT, 1);
    put(program, END, SECCOMP_RET_TRAP, 0);
}

/* Sanitizers make calls of their own. */
static bool is_relaxed(const struct opts *opts)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)opts;
    return true;
#elif defined(MATTE_TEST_BUILD)
    return opts->relaxed_privileges;
#else
    (void)opts;
    return false;
#endif
}

static void program_make(struct program *program, const struct opts *opts, unsigned who)
{
    program->len = 0;
    put_head(program);
    if (is_relaxed(opts)) {
        for (size_t i = 0; i < COUNT_OF(denied); i++) {
            const bool dials = denied[i] == __NR_socket || denied[i] == __NR_connect;
            const bool looks = denied[i] == __NR_socket || denied[i] == __NR_bind;
            if ((dials && (who & DIALER) != 0) || (looks && (who & LOOKER) != 0))
                continue;
            put(program, SKIP_UNLESS, denied[i], 1);
            put(program, END, SECCOMP_RET_TRAP, 0);
        }
        put(program, END, SECCOMP_RET_ALLOW, 0);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if ((rules[i].who & who) != 0)
            put_rule(program, &rules[i]);
    put(program, END, SECCOMP_RET_TRAP, 0);
}

/* ── installation ─────────────────────────────────────────────────────────────────────────── */

static int install(const struct opts *opts, unsigned who, unsigned flags)
{
    struct program program;
    program_make(&program, opts, who);
    const struct sock_fprog fprog = {.len = program.len, .filter = program.code};
    const long rc = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
    return rc == 0 ? 0 : rc < 0 ? -errno : -EBUSY; /* above 0: a thread that has its own filter */
}

/* Say which call it was, by number: a table of names would be larger than all of this. The signal
 * is back to its default by now (SA_RESETHAND), so raising it once more ends the process. */
static void on_violation(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    char digits[12];
    char *digit = digits + sizeof(digits);
    unsigned call = (unsigned)info->si_syscall;
    do
        *--digit = (char)('0' + call % 10);
    while ((call /= 10) > 0);
    static const char before[] = "matted: system call ";
    static const char behind[] = " is not allowed (-o drop_privileges); ending\n";
    const struct iovec line[] = {
        {(void *)(uintptr_t)before, sizeof(before) - 1},
        {digit, (size_t)(digits + sizeof(digits) - digit)},
        {(void *)(uintptr_t)behind, sizeof(behind) - 1},
    };
    (void)!writev(STDERR_FILENO, line, COUNT_OF(line));
    (void)raise(signal_number);
}

int confine_check(void)
{
    if (OUR_ARCH == 0)
        return -ENOTSUP;
    const uint32_t action = SECCOMP_RET_TRAP;
    return syscall(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0 : -errno;
}

/* What the sinks of events need. Their names have been read by others: looking for the words may
 * find too many, in paths, but not too few. */
static unsigned sinks(const struct opts *opts)
{
    if (opts->events == NULL)
        return opts->admin != NULL ? EVENTS : 0u; /* the thread only keeps them, for the page */
    const bool file = strstr(opts->events, "file:") != NULL;
    const bool dialed = strstr(opts->events, "unix:") != NULL || strstr(opts->events, "syslog");
    return EVENTS | (file ? APPENDER : 0u) | (dialed ? DIALER : 0u);
}

int confine_process(const struct opts *opts)
{
    if (!opts->drop_privileges)
        return 0;
    struct sigaction action = {.sa_sigaction = on_violation,
                               .sa_flags = SA_SIGINFO | (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    if (sigaction(SIGSYS, &action, NULL) != 0)
        return -errno;
    unsigned who = MAIN | sinks(opts);
    if (opts->daemon && opts->pidfile != NULL)
        who |= CLEANER;
    if (opts->memory_file != NULL)
        who |= SAVER | MAPPER;
    if (opts->udp_port != 0)
        who |= LOOKER;
    return install(opts, who, SECCOMP_FILTER_FLAG_TSYNC);
}

static void thread_confine(const struct opts *opts, unsigned who)
{
    if (!opts->drop_privileges)
        return;
    const int rc = install(opts, opts->memory_file != NULL ? who | MAPPER : who, 0);
    if (rc != 0) /* the filter of the process holds in any case */
        log_line(LOG_ERROR, "cannot confine a thread further: %s", strerror(-rc));
}

void confine_worker(const struct opts *opts)
{
    thread_confine(opts, opts->enable_ssl ? WORKER | READER : WORKER);
}

void confine_keeper(const struct opts *opts)
{
    thread_confine(opts, KEEPER);
}

void confine_events(const struct opts *opts)
{
    thread_confine(opts, sinks(opts));
}

void confine_admin(const struct opts *opts)
{
    thread_confine(opts, ADMIN);
}

#ifdef MATTE_TEST_BUILD
bool confine_misbehave(struct bytes what)
{
    if (bytes_is(what, "socket")) {
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        return fd >= 0 && close(fd) == 0;
    }
    if (bytes_is(what, "write")) {
        const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        return fd >= 0 && close(fd) == 0;
    }
    if (bytes_is(what, "code"))
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0) != MAP_FAILED;
    if (bytes_is(what, "hang")) /* (allowed: the watchdog has to find out) */
        return clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_sec = 3}, NULL) == 0;
    if (bytes_is(what, "kill"))
        return syscall(__NR_tgkill, getppid(), getppid(), 0) == 0;
    return system("true") == 0;
}
#endif
