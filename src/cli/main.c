/* matte — the operator's program. See cli/cli.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN); /* a server that hangs up is an error to report */
    return cli_run(argc, argv);
}
