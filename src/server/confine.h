/* server/confine.h — -o drop_privileges: which system calls are left to us.
 *
 * A filter of the kernel (seccomp) with an allow list for each kind of thread. It is meant for the
 * day when somebody finds a fault in us that lets him run code of his own: that code can then serve
 * connections that are open and use our memory, but cannot start a program, open a connection or
 * write a file. A call that is not on the list ends the process with a line on stderr and SIGSYS.
 *
 * Includes: base, opt.  Included by: server.
 * Threads:  each thread confines itself further than the process is; nothing can be taken back.
 * Spec:     memcached 1.6.45, drop_privileges; seccomp(2).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "opt/opt.h"

/* Can this kernel and processor do it? Returns 0 or -errno. */
MUST_USE int confine_check(void);
/* Confine all threads, those to come included, to what the listener's thread needs until the end of
 * the process: all files but those read by a reload are open by now. Before that, no_new_privs must
 * be set. Returns 0 or -errno. */
MUST_USE int confine_process(const struct opts *opts);
/* In a worker's thread, and in one that has to do with memory alone: give up what only the listener
 * needs. Nothing without -o drop_privileges. */
void confine_worker(const struct opts *opts);
void confine_keeper(const struct opts *opts);
void confine_events(const struct opts *opts); /* ...and the one that feeds the sinks of events */
void confine_admin(const struct opts *opts);  /* ...and that of the admin listener */

#ifdef MATTE_TEST_BUILD
/* Do what no thread of ours may do: "exec" (or nothing), "socket", "write", "code", "kill"; or
 * "hang" for 3 s. Returns whether it was possible; confined it does not return at all. */
MUST_USE bool confine_misbehave(struct bytes what);
#endif
