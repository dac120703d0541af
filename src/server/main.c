/* matted — the cache server.
 *
 * Start order (memcached's): parse, limits, user, background, memory, threads, sockets, pid file.
 * Sockets and files are therefore opened as the target user.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/process.h"
#include "server/server.h"

static struct net *stop_net; /* what the signals stop; set while they are caught */

static void on_stop(int signal_number)
{
    (void)signal_number;
    net_stop(stop_net);
}

/* What the signals that end us do; SIGUSR1 is memcached's "stop, and keep the memory file". */
static void signals_handle(void (*handler)(int signal_number))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
}

static void signals_ignore(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN); /* memcached: reload; there is nothing to reload yet */
}

/* Serve until told to stop. Returns the exit code. */
static int serve(struct server *server, const struct opts *opts)
{
    char error[SERVER_ERROR_BYTES];
    if (server_init(server, opts, error) != 0) {
        log_line(LOG_ERROR, "%s", error);
        return PROCESS_OS;
    }
    stop_net = server->net;
    signals_handle(on_stop);
    if (opts->lock_memory)
        process_memory_lock();
    int code = 0;
    if (opts->pidfile != NULL)
        code = process_pidfile_write(opts->pidfile);
    if (code == 0)
        code = process_portfile_write(server->net);
    if (code != 0)
        return code;
    process_ready();
    const int rc = server_run(server);
    if (rc != 0) {
        log_line(LOG_ERROR, "cannot go on: %s", strerror(-rc));
        code = PROCESS_OS;
    }
    log_line(LOG_INFO, "stopped");
    if (opts->pidfile != NULL && opts->daemon)
        (void)unlink(opts->pidfile);
    return code;
}

static int run(const struct opts *opts)
{
    if (opts->unix_socket == NULL && opts->port == 0) {
        log_line(LOG_ERROR, "nothing to listen on: -p 0 needs -s");
        return PROCESS_USAGE;
    }
    /* Connections, per worker two fds, the listener's, standard ones, files: rounded up. */
    int code = process_fds_raise(opts->conn_limit + 2ull * opts->threads + 64);
    if (code == 0 && opts->lock_memory)
        process_memory_lock_allow();
    if (code == 0)
        code = process_user_drop(opts->user);
    if (code == 0 && opts->daemon)
        code = process_daemonize(opts->verbose == 0);
    if (code != 0)
        return code;
    clock_init();
    struct server server;
    code = serve(&server, opts);
    signals_handle(SIG_IGN); /* we are ending already */
    server_fini(&server);
    return code;
}

int main(int argc, char **argv)
{
    struct opts opts;
    struct opt_result result;
    if (opt_init(&opts) != 0) {
        log_line(LOG_ERROR, "out of memory");
        return PROCESS_OS;
    }
    opt_parse(&opts, argc, argv, &result);
    int code = 0;
    if (result.action == OPT_RUN) {
        log_level_set(opts.verbose);
        signals_ignore();
        code = run(&opts);
    } else {
        code = opt_report(&result);
    }
    opt_fini(&opts);
    return code;
}
