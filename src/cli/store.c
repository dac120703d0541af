/* cli/store.c — items into a server, by batches of `ms`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli_priv.h"
#include "cli/transfer.h"
#include "proto/base64.h"

enum {
    HEAD_BYTES = BASE64_ENCODED(CLI_DUMP_KEY_BYTES_MAX) + 80,
    RELATIVE_S_MAX = 30 * 86400, /* a longer lifetime would be taken for a Unix time */
    FAILURES_TOLD = 5,
};

enum cli_exit cli_store_open(struct cli_store *store, const struct cli_args *args,
                             struct cli_tally *tally)
{
    *store = (struct cli_store){.link.conn.fd = -1, .tally = tally, .keep = args->keep};
    return cli_link_open(&store->link, args);
}

void cli_store_close(struct cli_store *store)
{
    cli_link_close(&store->link);
    free(store->batch);
    store->batch = NULL;
}

static bool room_make(struct cli_store *store, size_t bytes)
{
    if (store->cap - store->bytes >= bytes)
        return true;
    const size_t cap = store->bytes + bytes + CLI_BATCH_BYTES;
    uint8_t *batch = realloc(store->batch, cap);
    if (batch == NULL) {
        cli_error("out of memory");
        return false;
    }
    store->batch = batch;
    store->cap = cap;
    return true;
}

/* A request is refused: say so of the first ones. */
static void failure_tell(struct cli_store *store, const struct cli_reply *reply)
{
    char text[200];
    if (store->tally->failed < FAILURES_TOLD)
        cli_error("an item was refused: %s", cli_text_format(text, sizeof(text), reply->line));
    store->tally->failed++;
}

enum cli_exit cli_store_flush(struct cli_store *store)
{
    enum cli_exit code = CLI_FINE;
    if (store->count > 0)
        code = cli_link_ask(&store->link, bytes_of(store->batch, store->bytes), CLI_ASK_WRITES);
    for (size_t i = 0; code == CLI_FINE && i < store->count; i++) {
        struct cli_reply reply;
        cli_link_extend(&store->link);
        code = cli_link_reply(&store->link, &reply);
        if (code != CLI_FINE)
            break;
        if (reply.kind == CLI_REPLY_HD) {
            store->tally->items++;
            store->tally->bytes += store->batch_bytes[i];
        } else if (reply.kind == CLI_REPLY_NS && store->keep) {
            store->tally->kept++;
        } else if (reply.kind == CLI_REPLY_SERVER_ERROR || reply.kind == CLI_REPLY_NS) {
            failure_tell(store, &reply);
        } else {
            code = cli_link_refused(&reply);
        }
        cli_tally_show(store->tally);
    }
    store->count = 0;
    store->bytes = 0;
    return code;
}

enum cli_exit cli_store_take(void *arg, const struct cli_dump_item *item)
{
    struct cli_store *store = arg;
    const uint64_t now_s = (uint64_t)time(NULL);
    uint64_t ttl = 0;
    if (item->expires_s != 0) {
        if (item->expires_s <= now_s) {
            store->tally->gone++;
            return CLI_FINE;
        }
        ttl = item->expires_s - now_s;
        ttl = ttl > RELATIVE_S_MAX ? item->expires_s : ttl;
    }
    if (!room_make(store, HEAD_BYTES + item->value.len + 2))
        return CLI_FAILED;
    uint8_t key[BASE64_ENCODED(CLI_DUMP_KEY_BYTES_MAX)];
    const bool binary = cli_key_is_binary(item->key);
    size_t key_len = item->key.len;
    if (binary)
        key_len = base64_encode(key, item->key);
    else
        memcpy(key, item->key.ptr, item->key.len);
    uint8_t *at = store->batch + store->bytes;
    const int len =
        snprintf((char *)at, HEAD_BYTES, "ms %.*s %zu%s F%" PRIu32 " T%" PRIu64 "%s\r\n",
                 (int)key_len, (const char *)key, item->value.len, binary ? " b" : "",
                 item->client_flags, ttl, store->keep ? " ME" : "");
    at += len;
    if (item->value.len > 0)
        memcpy(at, item->value.ptr, item->value.len);
    memcpy(at + item->value.len, "\r\n", 2);
    store->bytes += (size_t)len + item->value.len + 2;
    store->batch_bytes[store->count++] = item->key.len + item->value.len;
    if (store->count == CLI_BATCH_ITEMS || store->bytes >= CLI_BATCH_BYTES)
        return cli_store_flush(store);
    return CLI_FINE;
}
