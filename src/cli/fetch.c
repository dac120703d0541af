/* cli/fetch.c — all items of a server with their values: keys by a metadump on one connection,
 * values by batches of `mg` on another.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <time.h>

#include "base/num.h"
#include "cli/cli_priv.h"
#include "cli/transfer.h"
#include "proto/base64.h"

enum { REQUEST_BYTES = BASE64_ENCODED(CLI_META_KEY_BYTES_MAX) + 64 };

struct fetch {
    struct cli_scan scan;
    struct cli_link link;
    struct cli_taker taker;
    struct cli_tally *tally;
    struct cli_meta batch[CLI_BATCH_ITEMS];
    size_t count;
    uint64_t bytes;
    char request[CLI_BATCH_ITEMS * REQUEST_BYTES];
};

/* `u`: that we look at it is no use of an item. `q`: a miss says nothing. */
static size_t request_write(char *dst, const struct cli_meta *meta, size_t index)
{
    const struct bytes key = bytes_of(meta->key, meta->key_bytes);
    uint8_t text[BASE64_ENCODED(CLI_META_KEY_BYTES_MAX)];
    const bool binary = cli_key_is_binary(key);
    size_t len = key.len;
    if (binary)
        len = base64_encode(text, key);
    else
        memcpy(text, key.ptr, key.len);
    return (size_t)snprintf(dst, REQUEST_BYTES, "mg %.*s%s O%zu f t u v q\r\n", (int)len,
                            (const char *)text, binary ? " b" : "", index);
}

/* What the flags of a VA say. */
struct told {
    bool has_index, has_ttl, is_stale;
    uint64_t index;
    uint64_t client_flags;
    int64_t ttl_s;
};

static bool told_parse(struct bytes flags, struct told *told)
{
    while (flags.len > 0) {
        const struct bytes flag = bytes_part_take(&flags, ' ', NULL);
        if (flag.len == 0)
            continue;
        const struct bytes rest = bytes_skip(flag, 1);
        bool fine = true;
        if (flag.ptr[0] == 'O')
            fine = told->has_index = num_parse_u64(rest, CLI_BATCH_ITEMS - 1, &told->index);
        else if (flag.ptr[0] == 'f')
            fine = num_parse_u64(rest, UINT32_MAX, &told->client_flags);
        else if (flag.ptr[0] == 't')
            fine = told->has_ttl = num_parse_i64(rest, &told->ttl_s);
        else if (flag.ptr[0] == 'X')
            told->is_stale = true;
        if (!fine)
            return false;
    }
    return told->has_index && told->has_ttl;
}

static enum cli_exit value_take(struct fetch *fetch, const struct cli_reply *reply)
{
    struct told told = {0};
    if (!told_parse(reply->text, &told) || told.index >= fetch->count)
        return cli_link_refused(reply);
    if (told.is_stale) { /* it would be fresh where it comes to */
        fetch->tally->stale++;
        return CLI_FINE;
    }
    const struct cli_meta *meta = &fetch->batch[told.index];
    const struct cli_dump_item item = {
        .key = bytes_of(meta->key, meta->key_bytes),
        .value = reply->value,
        .client_flags = (uint32_t)told.client_flags,
        .expires_s = told.ttl_s < 0 ? 0 : (uint64_t)(time(NULL) + told.ttl_s),
    };
    return fetch->taker.take(fetch->taker.arg, &item);
}

/* Ask for the values of the batch, and pass them on. */
static enum cli_exit batch_run(struct fetch *fetch)
{
    size_t len = 0;
    for (size_t i = 0; i < fetch->count; i++)
        len += request_write(fetch->request + len, &fetch->batch[i], i);
    memcpy(fetch->request + len, "mn\r\n", 4);
    enum cli_exit code = CLI_FINE;
    if (fetch->count > 0)
        code = cli_link_ask(&fetch->link, bytes_of(fetch->request, len + 4), CLI_ASK_READS);
    size_t answers = 0;
    while (code == CLI_FINE && fetch->count > 0) {
        struct cli_reply reply;
        cli_link_extend(&fetch->link);
        code = cli_link_reply(&fetch->link, &reply);
        if (code != CLI_FINE)
            break;
        if (reply.kind == CLI_REPLY_MN) {
            fetch->tally->gone += fetch->count - answers;
            break;
        }
        if (++answers > fetch->count)
            return cli_link_refused(&reply);
        if (reply.kind == CLI_REPLY_SERVER_ERROR)
            fetch->tally->failed++; /* of one item; the others may be fine */
        else if (reply.kind == CLI_REPLY_VA)
            code = value_take(fetch, &reply);
        else
            code = cli_link_refused(&reply);
        cli_tally_show(fetch->tally);
    }
    fetch->count = 0;
    fetch->bytes = 0;
    return code;
}

enum cli_exit cli_fetch_run(const struct cli_args *args, struct cli_taker taker,
                            struct cli_tally *tally)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    fetch->taker = taker;
    fetch->tally = tally;
    fetch->link.conn.fd = -1;
    enum cli_exit code = cli_scan_open(&fetch->scan, args);
    if (code == CLI_FINE)
        code = cli_link_open(&fetch->link, args);
    const struct cli_filter *filter = &fetch->scan.filter;
    if (filter->prefix.len == 0 && filter->glob.len == 0)
        tally->expected = fetch->scan.expected;
    while (code == CLI_FINE) {
        struct cli_meta *meta = &fetch->batch[fetch->count];
        code = cli_scan_next(&fetch->scan, meta);
        if (code != CLI_FINE || fetch->scan.ended)
            break;
        fetch->count++;
        fetch->bytes += meta->size_bytes;
        if (fetch->count == CLI_BATCH_ITEMS || fetch->bytes >= CLI_BATCH_BYTES)
            code = batch_run(fetch);
    }
    if (code == CLI_FINE)
        code = batch_run(fetch);
    cli_scan_close(&fetch->scan);
    cli_link_close(&fetch->link);
    free(fetch);
    return code;
}
