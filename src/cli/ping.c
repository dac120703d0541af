/* cli/ping.c — `matte ping`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/json.h"
#include "cli/link.h"

static void print(const struct cli_link *link, const struct cli_reply *reply, uint64_t took_us)
{
    char where[CLI_PEER_TEXT_BYTES], version[100];
    cli_peer_format(&link->peer, where);
    if (link->args->json) {
        fputs("{\"address\":", stdout);
        cli_json_string(stdout, bytes_str(where));
        fputs(",\"version\":", stdout);
        cli_json_string(stdout, reply->text);
        printf(",\"microseconds\":%llu}\n", (unsigned long long)took_us);
        return;
    }
    cli_text_format(version, sizeof(version), reply->text);
    printf("%s answers in %.3f ms: version %s\n", where, (double)took_us / 1000, version);
}

enum cli_exit cli_ping(const struct cli_args *args)
{
    struct cli_args copy = *args;
    copy.server = cli_server_word(args);
    if (copy.server == NULL)
        return CLI_USAGE;
    struct cli_link link;
    struct cli_reply reply;
    enum cli_exit code = cli_link_open(&link, &copy);
    const uint64_t start_ns = clock_mono_ns();
    if (code == CLI_FINE)
        code = cli_link_ask(&link, bytes_str("version\r\n"), CLI_ASK_READS);
    if (code == CLI_FINE)
        code = cli_link_reply(&link, &reply);
    if (code == CLI_FINE && reply.kind != CLI_REPLY_VERSION)
        code = cli_link_refused(&reply);
    if (code == CLI_FINE)
        print(&link, &reply, (clock_mono_ns() - start_ns) / 1000);
    cli_link_close(&link);
    return code;
}
