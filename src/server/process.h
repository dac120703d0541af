/* server/process.h — the process around the server: limits, user, background, files.
 *
 * Includes: base, opt, net.  Included by: server.
 * Threads:  the main thread, before any other is started; process_ready() and the files' removal
 *           excepted.
 * Exit:     codes as memcached's (sysexits): what fails says why on stderr and returns the code, 0
 *           on success.
 * Spec:     memcached 1.6.45, start order, files, exit codes.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "net/net.h"
#include "opt/opt.h"

enum {
    PROCESS_BAD_VALUE = 1, /* an option's value, or what it names, cannot be used */
    PROCESS_FAILED = 1,
    PROCESS_USAGE = 64,   /* EX_USAGE: what was asked for makes no sense */
    PROCESS_NO_USER = 67, /* EX_NOUSER */
    PROCESS_OS = 71,      /* EX_OSERR: the system refuses */
};

/* How many fds a server with these options has besides its clients' connections. */
uint64_t process_fds_beside(const struct opts *opts);
/* Have that many fds. */
MUST_USE int process_fds_raise(uint64_t fds);
/* -r: lift the limit of core files; refuse when it stays 0. */
MUST_USE int process_cores_allow(void);
/* ...and have the kernel write them although we have become another user. */
void process_cores_keep(void);
/* -L: refuse where the system has no large pages. */
MUST_USE int process_large_pages_check(void);
/* As root: become `user` (NULL is refused). Else: nothing. */
MUST_USE int process_user_drop(const char *user);
/* Nothing that we start can gain rights that we do not have. */
void process_privileges_freeze(void);
/* Go to the background. The parent waits for process_ready(), so that its exit code tells about
 * the start; this call returns in the child only. `quiet`: without the standard fds; `stay`: in
 * the present folder, where core files are looked for. */
MUST_USE int process_daemonize(bool quiet, bool stay);
/* The start went well; ends the wait of the parent, if there is one. */
void process_ready(void);
/* As root: lift the limit of locked memory, for the user that we become. */
void process_memory_lock_allow(void);
/* Lock what is in use, and what will be as far as the limit cannot get in the way of later
 * allocations. A failure is a warning. */
void process_memory_lock(void);

/* Write our number to `path`, through path.tmp and rename. */
MUST_USE int process_pidfile_write(const char *path);
/* Write the ports listened on, if the environment has MEMCACHED_PORT_FILENAME. */
MUST_USE int process_portfile_write(const struct net *net);
