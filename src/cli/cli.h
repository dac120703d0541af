/* cli/cli.h — the operator's program `matte`: a client of one server per call.
 *
 * Includes: base.  Included by: main.c here.
 * Threads:  one.
 * Memory:   what a server sends is bounded (the limits stand where it is read); all is freed at the
 *           end.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Exit status. */
enum cli_exit {
    CLI_FINE = 0,
    CLI_NO = 1,     /* the answer is no: a miss, a refusal, a finding */
    CLI_FAILED = 2, /* no answer could be had */
    CLI_USAGE = 64, /* the command line makes no sense (EX_USAGE) */
};

/* Do what the command line says. Returns the exit status. */
int cli_run(int argc, char **argv);
