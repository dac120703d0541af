/* cli/scan.c — all items of a server: `lru_crawler metadump`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/scan.h"

#include <time.h>

#include "base/clock.h"
#include "cli/cli_priv.h"

bool cli_filter_of(const struct cli_args *args, struct cli_filter *ret_filter)
{
    struct cli_filter filter = {
        .prefix = bytes_str(args->key_prefix == NULL ? "" : args->key_prefix),
        .glob = bytes_str(args->glob == NULL ? "" : args->glob),
        .size_min = args->size_min,
        .size_max = args->size_max,
    };
    if (args->ttl != NULL && !cli_filter_ttl_parse(bytes_str(args->ttl), &filter)) {
        cli_error("--ttl: '%.40s' is none of: never, N, MIN..MAX, MIN.., ..MAX", args->ttl);
        return false;
    }
    *ret_filter = filter;
    return true;
}

/* What the server's statistics say of how much there is, and of its clock; where they may be
 * had. */
static enum cli_exit stats_look(struct cli_scan *scan)
{
    struct cli_rows rows = {0};
    char fault[200];
    cli_error_catch(fault, sizeof(fault));
    const enum cli_exit code = cli_link_rows(&scan->link, "stats\r\n", NULL, &rows);
    cli_error_catch(NULL, 0);
    if (code != CLI_FINE && code != CLI_NO)
        cli_error("%s", fault);
    if (code == CLI_FINE) {
        scan->expected = (uint64_t)cli_rows_real(&rows, "curr_items");
        const double time_s = cli_rows_real(&rows, "time");
        scan->clock_s = time_s > 0 ? (int64_t)time_s - (int64_t)time(NULL) : 0;
    }
    cli_rows_fini(&rows);
    return code == CLI_NO ? CLI_FINE : code;
}

static bool is_refusal(const struct cli_reply *reply)
{
    return reply->kind == CLI_REPLY_ERROR || reply->kind == CLI_REPLY_CLIENT_ERROR ||
           reply->kind == CLI_REPLY_SERVER_ERROR ||
           bytes_starts(reply->line, bytes_str("BADCLASS"));
}

/* A memcached has one crawler, and that may be at work for somebody else, or for itself. */
static bool is_busy(const struct cli_reply *reply)
{
    return bytes_starts(reply->line, bytes_str("BUSY"));
}

/* Take one reply of the dump in. *ret_is_item: it is one, in *ret_meta. */
static enum cli_exit reply_take(struct cli_scan *scan, const struct cli_reply *reply,
                                struct cli_meta *ret_meta, bool *ret_is_item)
{
    *ret_is_item = false;
    if (reply->kind == CLI_REPLY_END) {
        scan->ended = true;
        return CLI_FINE;
    }
    if (reply->kind == CLI_REPLY_OK)
        return CLI_FINE;
    *ret_is_item = cli_meta_parse(reply->line, ret_meta);
    if (*ret_is_item)
        return CLI_FINE;
    char text[200];
    if (!is_busy(reply) && !bytes_starts(reply->line, bytes_str("BADCLASS")))
        return cli_link_refused(reply);
    cli_error("the server refuses: %s", cli_text_format(text, sizeof(text), reply->line));
    return CLI_NO;
}

/* Ask for the dump, for as long as --timeout says; *ret_reply is its first reply. */
static enum cli_exit dump_ask(struct cli_scan *scan, const char *request,
                              struct cli_reply *ret_reply)
{
    enum { PAUSE_NS = 50 * 1000 * 1000 };
    const uint64_t end_ns = clock_mono_ns() + scan->link.args->timeout_ms * 1000000;
    for (;;) {
        enum cli_exit code = cli_link_ask(&scan->link, bytes_str(request), CLI_ASK_READS);
        if (code == CLI_FINE)
            code = cli_link_reply(&scan->link, ret_reply);
        if (code != CLI_FINE || !is_busy(ret_reply) || clock_mono_ns() >= end_ns)
            return code;
        (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
}

enum cli_exit cli_scan_open(struct cli_scan *scan, const struct cli_args *args)
{
    struct cli_reply reply;
    *scan = (struct cli_scan){.link.conn.fd = -1};
    if (!cli_filter_of(args, &scan->filter))
        return CLI_USAGE;
    enum cli_exit code = cli_link_open(&scan->link, args);
    if (code == CLI_FINE)
        code = stats_look(scan);
    /* By the index where the server can: a walk over its lists may miss what moves meanwhile. */
    if (code == CLI_FINE)
        code = dump_ask(scan, "lru_crawler metadump hash\r\n", &reply);
    if (code == CLI_FINE && is_refusal(&reply))
        code = dump_ask(scan, "lru_crawler metadump all\r\n", &reply);
    if (code == CLI_FINE)
        code = reply_take(scan, &reply, &scan->first, &scan->has_first);
    return code;
}

enum cli_exit cli_scan_next(struct cli_scan *scan, struct cli_meta *ret_meta)
{
    const uint64_t now_s = cli_scan_now_s(scan);
    while (!scan->ended) {
        struct cli_meta meta;
        bool is_item = scan->has_first;
        if (scan->has_first) {
            meta = scan->first;
            scan->has_first = false;
        } else {
            struct cli_reply reply;
            cli_link_extend(&scan->link);
            enum cli_exit code = cli_link_reply(&scan->link, &reply);
            if (code == CLI_FINE)
                code = reply_take(scan, &reply, &meta, &is_item);
            if (code != CLI_FINE)
                return code;
        }
        scan->seen += is_item;
        if (is_item && cli_filter_takes(&scan->filter, &meta, now_s)) {
            *ret_meta = meta;
            return CLI_FINE;
        }
    }
    return CLI_FINE;
}

void cli_scan_close(struct cli_scan *scan)
{
    cli_link_close(&scan->link);
}

uint64_t cli_scan_now_s(const struct cli_scan *scan)
{
    return (uint64_t)((int64_t)time(NULL) + scan->clock_s);
}
