/* cli/item.c — subcommands that read items: `matte get`, `gets` and `gat`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "cli/item.h"
#include "cli/json.h"

bool cli_keys_fine(char *const *keys, int count)
{
    for (int i = 0; i < count; i++) {
        const size_t len = strlen(keys[i]);
        bool fine = len >= 1 && len <= CLI_KEY_BYTES_MAX;
        for (size_t j = 0; j < len; j++)
            fine = fine && (uint8_t)keys[i][j] > 0x20 && keys[i][j] != 0x7f;
        if (!fine) {
            cli_error("a key has 1 to %d bytes, no blank and no control character",
                      CLI_KEY_BYTES_MAX);
            return false;
        }
    }
    return true;
}

/* A `get` under way. */
struct getting {
    const struct cli_args *args;
    char **keys;
    int key_count;
    bool lines; /* a line before each value, since there may be several, or there is more to tell */
    bool found[CLI_KEYS_MAX];
    int found_count;
    bool ended; /* the server has said that there are no more */
};

/* Mark the key as found. Returns false when nobody asked for it (any more). */
static bool found_mark(struct getting *getting, struct bytes key)
{
    for (int i = 0; i < getting->key_count; i++) {
        if (getting->found[i] || !bytes_is(key, getting->keys[i]))
            continue;
        getting->found[i] = true;
        getting->found_count++;
        return true;
    }
    return false;
}

void cli_json_value(struct bytes value)
{
    const bool text = cli_utf8_valid(value);
    fputs(text ? "\"value\":" : "\"value_base64\":", stdout);
    if (text)
        cli_json_string(stdout, value);
    else
        cli_json_base64(stdout, value);
}

static void value_print(const struct getting *getting, const struct cli_reply *reply)
{
    const struct bytes value = reply->value;
    if (getting->args->json) {
        fputs(getting->found_count > 1 ? ",{\"key\":" : "{\"key\":", stdout);
        cli_json_string(stdout, reply->key);
        printf(",\"flags\":%" PRIu32 ",", reply->client_flags);
        if (reply->has_cas)
            printf("\"cas\":%" PRIu64 ",", reply->cas_unique);
        cli_json_value(value);
        fputc('}', stdout);
        return;
    }
    if (getting->lines) {
        printf("VALUE %.*s %" PRIu32 " %zu", (int)reply->key.len, (const char *)reply->key.ptr,
               reply->client_flags, value.len);
        if (reply->has_cas)
            printf(" %" PRIu64, reply->cas_unique);
        fputc('\n', stdout);
    }
    if (value.len > 0)
        fwrite(value.ptr, 1, value.len, stdout);
    if (getting->lines || getting->args->in_shell)
        fputc('\n', stdout);
}

static void missing_print(const struct getting *getting)
{
    const char *comma = "";
    for (int i = 0; i < getting->key_count; i++) {
        if (getting->found[i])
            continue;
        fputs(comma, stdout);
        cli_json_string(stdout, bytes_str(getting->keys[i]));
        comma = ",";
    }
}

/* Read the answer and print it. */
static enum cli_exit values_read(struct cli_link *link, struct getting *getting)
{
    for (;;) {
        struct cli_reply reply;
        const enum cli_exit code = cli_link_reply(link, &reply);
        if (code != CLI_FINE)
            return code;
        if (reply.kind == CLI_REPLY_END) {
            getting->ended = true;
            return getting->found_count == getting->key_count ? CLI_FINE : CLI_NO;
        }
        if (reply.kind != CLI_REPLY_VALUE || !found_mark(getting, reply.key))
            return cli_link_refused(&reply);
        value_print(getting, &reply);
    }
}

/* `head` is what stands before the keys of the request. */
static enum cli_exit values_get(struct getting *getting, const char *head, enum cli_ask what)
{
    const struct cli_args *args = getting->args;
    if (!cli_keys_fine(getting->keys, getting->key_count))
        return CLI_USAGE;
    char request[64 + CLI_KEYS_MAX * (CLI_KEY_BYTES_MAX + 1)];
    size_t len = (size_t)snprintf(request, sizeof(request), "%s", head);
    for (int i = 0; i < getting->key_count; i++)
        len += (size_t)snprintf(request + len, sizeof(request) - len, " %s", getting->keys[i]);
    len += (size_t)snprintf(request + len, sizeof(request) - len, "\r\n");
    struct cli_link link;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = cli_link_ask(&link, bytes_of(request, len), what);
    if (code == CLI_FINE) {
        fputs(args->json ? "{\"items\":[" : "", stdout);
        code = values_read(&link, getting);
        if (args->json) {
            fputs("],\"missing\":[", stdout);
            if (getting->ended) /* of keys that were refused nobody knows */
                missing_print(getting);
            fputs("]}\n", stdout);
        }
    }
    cli_link_close(&link);
    if (code == CLI_NO && !args->json && getting->ended)
        cli_error(getting->key_count == 1 ? "the key was not found" : "not all keys were found");
    return code;
}

enum cli_exit cli_get(const struct cli_args *args)
{
    struct getting getting = {
        .args = args,
        .keys = args->words,
        .key_count = args->word_count,
        .lines = args->word_count > 1,
    };
    return values_get(&getting, "get", CLI_ASK_READS);
}

enum cli_exit cli_gets(const struct cli_args *args)
{
    struct getting getting = {
        .args = args, .keys = args->words, .key_count = args->word_count, .lines = true};
    return values_get(&getting, "gets", CLI_ASK_READS);
}

enum cli_exit cli_gat(const struct cli_args *args)
{
    int64_t exptime;
    if (!cli_exptime_fine(args->words[0], &exptime))
        return CLI_USAGE;
    char head[40];
    snprintf(head, sizeof(head), "gat %" PRId64, exptime);
    struct getting getting = {
        .args = args,
        .keys = args->words + 1,
        .key_count = args->word_count - 1,
        .lines = args->word_count > 2,
    };
    return values_get(&getting, head, CLI_ASK_WRITES);
}
