/* matted — the cache server.
 *
 * Start order (memcached's): parse, certificates, limits, user, background, memory, threads,
 * sockets, pid file. Sockets and files are therefore opened as the target user; the key is read
 * before that, for only root may be allowed to.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/confine.h"
#include "server/process.h"
#include "server/server.h"

static struct server *_Atomic signal_server; /* whom the signals mean; NULL until it is set up */
static atomic_int stop_signal;               /* the last one; 0: none */

/* One that comes while the server is set up is remembered: items that a memory file has kept are on
 * their way then, and must not be lost. First store, then look: serve() does it the other way
 * round, so one of us sees the other's store. */
static void on_stop(int signal_number)
{
    atomic_store(&stop_signal, signal_number);
    struct server *server = atomic_load(&signal_server);
    if (server != NULL)
        server_stop(server, signal_number == SIGUSR1);
}

static void on_reload(int signal_number)
{
    (void)signal_number;
    net_poke(atomic_load(&signal_server)->net);
}

/* logrotate has renamed the files of events. */
static void on_reopen(int signal_number)
{
    (void)signal_number;
    events_reopen(atomic_load(&signal_server)->events);
}

static void signal_set(int signal_number, void (*handler)(int signal_number))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(signal_number, &action, NULL);
}

/* As memcached's: SIGUSR1 stops and keeps the memory file. */
static void signals_catch(void)
{
    signal_set(SIGINT, on_stop);
    signal_set(SIGTERM, on_stop);
    signal_set(SIGUSR1, on_stop);
}

/* From here on they mean this server; SIGHUP reloads, SIGUSR2 reopens files. */
static void signals_handle(struct server *server)
{
    atomic_store(&signal_server, server);
    signal_set(SIGHUP, on_reload);
    signal_set(SIGUSR2, on_reopen);
}

/* We are ending already. No handler is running: only this thread takes these (base/thread.h). */
static void signals_forget(void)
{
    signal_set(SIGINT, SIG_IGN);
    signal_set(SIGTERM, SIG_IGN);
    signal_set(SIGUSR1, SIG_IGN);
    signal_set(SIGUSR2, SIG_IGN);
    signal_set(SIGHUP, SIG_IGN);
}

/* Serve until told to stop. *ret_pidfile: the pid file is ours. Returns the exit code. */
static int serve(struct server *server, const struct opts *opts, const struct server_certs *certs,
                 bool *ret_pidfile)
{
    char error[SERVER_ERROR_BYTES];
    signals_catch();
    const int init_rc = server_init(server, opts, certs, error);
    if (init_rc != 0) {
        log_line(LOG_ERROR, "%s", error);
        return init_rc == -EKEYREJECTED ? PROCESS_BAD_VALUE
               : init_rc == -EPERM      ? PROCESS_USAGE
                                        : PROCESS_OS;
    }
    signals_handle(server);
    if (opts->lock_memory)
        process_memory_lock();
    int code = 0;
    if (opts->pidfile != NULL) {
        code = process_pidfile_write(opts->pidfile);
        if (code == 0)
            *ret_pidfile = true;
    }
    if (code == 0)
        code = process_portfile_write(server->net);
    if (code != 0)
        return code;
    process_ready();
    const int early = atomic_load(&stop_signal);
    if (early != 0) /* not served at all: server_fini() keeps what was kept */
        server_stop(server, early == SIGUSR1);
    const int rc = early == 0 ? server_run(server) : 0;
    if (rc != 0) {
        log_line(LOG_ERROR, "cannot go on: %s", strerror(-rc));
        code = PROCESS_OS;
    }
    if (atomic_load_explicit(&server->graceful, memory_order_relaxed))
        log_line(LOG_ERROR, "Gracefully stopping"); /* as memcached: without asking */
    else
        log_line(LOG_INFO, "stopped");
    return code;
}

static void inert_tell(const char *label)
{
    log_line(LOG_INFO, "%s is accepted for compatibility and has no effect", label);
}

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

/* Limits, rights, background: what is settled before anything is set up. Returns the exit code. */
static int settle(const struct opts *opts)
{
    enum { THREADS_USUAL = 64 };
    if (opts->threads > THREADS_USUAL)
        log_line(LOG_ERROR,
                 "warning: %u worker threads; more than the machine has processors only "
                 "make it slower",
                 opts->threads);
    int code = opts->coredumps ? process_cores_allow() : 0;
    if (code == 0 && opts->large_pages)
        code = process_large_pages_check();
    if (code == 0 && opts->drop_privileges && confine_check() != 0) {
        log_line(LOG_ERROR, "-o drop_privileges: this system has no system call filters (seccomp)");
        code = PROCESS_OS;
    }
    /* Connections, per worker two fds, the listener's, standard ones, files: rounded up. */
    const unsigned admin_fds = opts->admin != NULL ? WEB_CONNS_MAX + WEB_LISTENERS_MAX + 2 : 0;
    if (code == 0)
        code = process_fds_raise(opts->conn_limit + (2ull + udp_sockets(opts)) * opts->threads +
                                 admin_fds + 64);
    if (code == 0 && opts->lock_memory)
        process_memory_lock_allow();
    if (code == 0)
        code = process_user_drop(opts->user);
    if (code != 0)
        return code;
    if (opts->coredumps)
        process_cores_keep();
    process_privileges_freeze();
    return opts->daemon ? process_daemonize(opts->verbose == 0, opts->coredumps) : 0;
}

static int run(const struct opts *opts)
{
    opt_inert_each(opts, inert_tell);
    if (opts->unix_socket == NULL && opts->port == 0 && opts->udp_port == 0) {
        log_line(LOG_ERROR, "nothing to listen on: -p 0 needs -s or -U");
        return PROCESS_USAGE;
    }
    clock_init();
    if (opts->latency_stats)
        clock_ticks_init();
    char error[SERVER_ERROR_BYTES];
    struct server_certs certs = {0};
    if (server_tls_load(opts, &certs.clients, error) != 0 ||
        server_web_tls_load(opts, &certs.admin, error) != 0) {
        log_line(LOG_ERROR, "%s", error);
        net_tls_free(certs.clients);
        return PROCESS_USAGE;
    }
    int code = settle(opts);
    if (code != 0) {
        net_tls_free(certs.clients);
        net_tls_free(certs.admin);
        return code;
    }
    struct server server;
    bool pidfile = false;
    code = serve(&server, opts, &certs, &pidfile);
    signals_forget();
    server_fini(&server);
    /* Last: whoever waits for the pid file to go may start another server on the memory file. */
    if (pidfile && opts->daemon)
        (void)unlink(opts->pidfile);
    return code == 0 && server.save_failed ? PROCESS_OS : code;
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
        signal_set(SIGPIPE, SIG_IGN);
        signal_set(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error that we report */
        signal_set(SIGHUP, SIG_IGN);  /* until there is something to reload */
        signal_set(SIGUSR2, SIG_IGN); /* ...or to reopen */
        code = run(&opts);
    } else {
        code = opt_report(&result);
    }
    opt_fini(&opts);
    return code;
}
