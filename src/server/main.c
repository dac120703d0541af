/* matted — the cache server.
 *
 * Start order (memcached's): configuration, certificates, limits, user, background, memory,
 * threads, sockets, pid file. Sockets and files are therefore opened as the target user; the key is
 * read before that, for only root may be allowed to.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/config.h"
#include "server/confine.h"
#include "server/machine.h"
#include "server/notify.h"
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
static int serve(struct server *server, const struct server_start *how, bool *ret_pidfile)
{
    const struct opts *opts = how->opts;
    char error[SERVER_ERROR_BYTES];
    signals_catch();
    const int init_rc = server_init(server, how, error);
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
    server_ready(server);
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

/* Limits, rights, background: what is settled before anything is set up. Returns the exit code. */
static int settle(const struct opts *opts)
{
    enum { THREADS_USUAL = 64 };
    if (opts->threads > THREADS_USUAL)
        log_line(LOG_ERROR,
                 "warning: %u worker threads; more than the machine has processors only "
                 "make it slower",
                 opts->threads);
    machine_check(opts);
    int code = opts->coredumps ? process_cores_allow() : 0;
    if (code == 0 && opts->large_pages)
        code = process_large_pages_check();
    if (code == 0 && opts->drop_privileges && confine_check() != 0) {
        log_line(LOG_ERROR, "-o drop_privileges: this system has no system call filters (seccomp)");
        code = PROCESS_OS;
    }
    if (code == 0)
        code = process_fds_raise(opts->conn_limit + process_fds_beside(opts));
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

/* What only the start finds wrong with options, without an effect on anything. Returns the exit
 * code. */
static int options_check(const struct opts *opts)
{
    if (opts->unix_socket != NULL || opts->port != 0 || opts->udp_port != 0)
        return 0;
    log_line(LOG_ERROR, "nothing to listen on: -p 0 needs -s or -U");
    return PROCESS_USAGE;
}

static int run(const struct opts *opts, const struct config_inputs *inputs)
{
    opt_inert_each(opts, inert_tell);
    struct activation activation;
    char error[SERVER_ERROR_BYTES];
    if (activation_take(&activation, error) != 0) {
        log_line(LOG_ERROR, "%s", error);
        return PROCESS_OS;
    }
    int code = activation.count == 0 ? options_check(opts) : 0;
    if (code != 0)
        return code;
    clock_init();
    if (opts->latency_stats)
        clock_ticks_init();
    struct net_tls *tls = NULL, *web_tls = NULL;
    if (server_tls_load(opts, &tls, error) != 0 ||
        server_web_tls_load(opts, &web_tls, error) != 0) {
        log_line(LOG_ERROR, "%s", error);
        net_tls_free(tls);
        return PROCESS_USAGE;
    }
    code = settle(opts);
    if (code != 0) {
        net_tls_free(tls);
        net_tls_free(web_tls);
        return code;
    }
    struct server server;
    bool pidfile = false;
    const struct server_start how = {
        .opts = opts, .inputs = inputs, .activation = &activation, .tls = tls, .web_tls = web_tls};
    code = serve(&server, &how, &pidfile);
    signals_forget();
    server_fini(&server);
    /* Last: whoever waits for the pid file to go may start another server on the memory file. */
    if (pidfile && opts->daemon)
        (void)unlink(opts->pidfile);
    return code == 0 && server.save_failed ? PROCESS_OS : code;
}

/* --check-config: also the files that are named. Returns the exit code. */
static int check(const struct opts *opts)
{
    char error[SERVER_ERROR_BYTES];
    struct net_tls *tls = NULL;
    bool ok = options_check(opts) == 0;
    if (server_tls_load(opts, &tls, error) != 0) {
        log_line(LOG_ERROR, "%s", error);
        ok = false;
    }
    net_tls_free(tls);
    if (server_files_check(opts, error) != 0) {
        log_line(LOG_ERROR, "%s", error);
        ok = false;
    }
    if (ok)
        puts("ok");
    return ok ? 0 : CONFIG_REFUSED;
}

static void tell(void *arg, const char *line)
{
    (void)arg;
    log_line(LOG_ERROR, "%s", line);
}

static void tell_warning(void *arg, const char *line)
{
    (void)arg;
    log_line(LOG_ERROR, "warning: %s", line);
}

/* Read all options and do what was asked for. Returns the exit code. */
static int start(const struct config_inputs *inputs, const struct opts *asked)
{
    const struct opt_teller teller = {.mistake = tell, .warning = tell_warning};
    struct opts opts;
    struct opt_result result;
    config_load(inputs, &teller, &opts, &result);
    int code = result.exit_code;
    if (result.action != OPT_RUN) {
        code = asked->check_config ? CONFIG_REFUSED : code;
    } else if (asked->check_config) {
        code = check(&opts);
    } else if (asked->print_config) {
        opt_print_config(stdout, &opts);
    } else {
        log_level_set(opts.verbose);
        signal_set(SIGPIPE, SIG_IGN);
        signal_set(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error that we report */
        signal_set(SIGHUP, SIG_IGN);  /* until there is something to reload */
        signal_set(SIGUSR2, SIG_IGN); /* ...or to reopen */
        code = run(&opts, inputs);
    }
    opt_fini(&opts);
    return code;
}

int main(int argc, char **argv)
{
    struct config_inputs inputs;
    struct opts asked;
    struct opt_result result;
    opt_machine_set(machine_memory_bytes());
    config_peek(argc, argv, &inputs, &asked, &result);
    int code = 0;
    if (result.action != OPT_RUN)
        code = opt_report(&result);
    else if (strcmp(asked.print_options, "no") != 0)
        opt_print_options(stdout, asked.print_options);
    else
        code = start(&inputs, &asked);
    config_inputs_fini(&inputs);
    opt_fini(&asked);
    return code;
}
