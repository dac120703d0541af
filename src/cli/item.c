/* cli/item.c — `matte get`, `set` and `delete`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "cli/cli_priv.h"
#include "cli/json.h"
#include "cli/link.h"

enum {
    KEY_BYTES_MAX = 250,
    KEYS_MAX = 64, /* words_max of their rows */
};

/* A key with a blank or a line end in it would be something else than a key. */
static bool keys_fine(const struct cli_args *args, int count)
{
    for (int i = 0; i < count; i++) {
        const char *key = args->words[i];
        const size_t len = strlen(key);
        bool fine = len >= 1 && len <= KEY_BYTES_MAX;
        for (size_t j = 0; j < len; j++)
            fine = fine && (uint8_t)key[j] > 0x20 && key[j] != 0x7f;
        if (!fine) {
            cli_error("a key has 1 to %d bytes, no blank and no control character", KEY_BYTES_MAX);
            return false;
        }
    }
    return true;
}

/* ── get ──────────────────────────────────────────────────────────────────────────────────── */

/* A `get` under way. */
struct getting {
    const struct cli_args *args;
    bool found[KEYS_MAX];
    int found_count;
    bool ended; /* the server has said that there are no more */
};

/* Mark the key as found. Returns false when nobody asked for it (any more). */
static bool found_mark(struct getting *getting, struct bytes key)
{
    for (int i = 0; i < getting->args->word_count; i++) {
        if (getting->found[i] || !bytes_is(key, getting->args->words[i]))
            continue;
        getting->found[i] = true;
        getting->found_count++;
        return true;
    }
    return false;
}

static void value_print(const struct getting *getting, const struct cli_reply *reply)
{
    const struct bytes value = reply->value;
    if (getting->args->json) {
        fputs(getting->found_count > 1 ? ",{\"key\":" : "{\"key\":", stdout);
        cli_json_string(stdout, reply->key);
        printf(",\"flags\":%" PRIu32, reply->client_flags);
        const bool text = cli_utf8_valid(value);
        fputs(text ? ",\"value\":" : ",\"value_base64\":", stdout);
        if (text)
            cli_json_string(stdout, value);
        else
            cli_json_base64(stdout, value);
        fputc('}', stdout);
        return;
    }
    if (getting->args->word_count > 1)
        printf("VALUE %.*s %" PRIu32 " %zu\n", (int)reply->key.len, (const char *)reply->key.ptr,
               reply->client_flags, value.len);
    if (value.len > 0)
        fwrite(value.ptr, 1, value.len, stdout);
    if (getting->args->word_count > 1)
        fputc('\n', stdout);
}

static void missing_print(const struct getting *getting)
{
    const char *comma = "";
    for (int i = 0; i < getting->args->word_count; i++) {
        if (getting->found[i])
            continue;
        fputs(comma, stdout);
        cli_json_string(stdout, bytes_str(getting->args->words[i]));
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
            return getting->found_count == getting->args->word_count ? CLI_FINE : CLI_NO;
        }
        if (reply.kind != CLI_REPLY_VALUE || !found_mark(getting, reply.key))
            return cli_link_refused(&reply);
        value_print(getting, &reply);
    }
}

enum cli_exit cli_get(const struct cli_args *args)
{
    struct getting getting = {.args = args};
    if (!keys_fine(args, args->word_count))
        return CLI_USAGE;
    char request[8 + KEYS_MAX * (KEY_BYTES_MAX + 1)] = "get";
    size_t len = strlen(request);
    for (int i = 0; i < args->word_count; i++)
        len += (size_t)snprintf(request + len, sizeof(request) - len, " %s", args->words[i]);
    len += (size_t)snprintf(request + len, sizeof(request) - len, "\r\n");
    struct cli_link link;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = cli_link_ask(&link, bytes_of(request, len), CLI_ASK_READS);
    if (code == CLI_FINE) {
        fputs(args->json ? "{\"items\":[" : "", stdout);
        code = values_read(&link, &getting);
        if (args->json) {
            fputs("],\"missing\":[", stdout);
            if (getting.ended) /* of keys that were refused nobody knows */
                missing_print(&getting);
            fputs("]}\n", stdout);
        }
    }
    cli_link_close(&link);
    if (code == CLI_NO && !args->json && getting.ended)
        cli_error(args->word_count == 1 ? "the key was not found" : "not all keys were found");
    return code;
}

/* ── set ──────────────────────────────────────────────────────────────────────────────────── */

/* All of standard input, with room for a line end behind it. Returns NULL after an error line. */
static char *input_read(size_t *ret_len)
{
    size_t len = 0, cap = 0;
    char *value = NULL;
    for (;;) {
        if (cap - len < 65536) {
            cap = cap == 0 ? 65536 * 2 : cap * 2;
            char *grown = realloc(value, cap);
            if (grown == NULL)
                break;
            value = grown;
        }
        const size_t count = fread(value + len, 1, cap - len - 2, stdin);
        len += count;
        if (count == 0 && ferror(stdin))
            break;
        if (len > CLI_VALUE_BYTES_MAX) {
            errno = EFBIG;
            break;
        }
        if (count == 0) {
            *ret_len = len;
            return value;
        }
    }
    cli_error("standard input: %s", strerror(errno));
    free(value);
    return NULL;
}

/* The whole request on the heap: by UDP it must be one datagram. NULL after an error line. */
static char *set_request(const struct cli_args *args, size_t *ret_len)
{
    size_t len = 0;
    char *input = NULL;
    const char *value = args->word_count == 2 ? args->words[1] : NULL;
    if (value != NULL)
        len = strlen(value);
    else if ((value = input = input_read(&len)) == NULL)
        return NULL;
    char *request = malloc(len + 512);
    if (request != NULL) {
        const int head = snprintf(request, 400, "set %s %" PRIu64 " %" PRId64 " %zu\r\n",
                                  args->words[0], args->client_flags, args->exptime, len);
        memcpy(request + head, value, len);
        memcpy(request + (size_t)head + len, "\r\n", 2);
        *ret_len = (size_t)head + len + 2;
    } else {
        cli_error("out of memory");
    }
    free(input);
    return request;
}

/* Send a request whose answer is one line. FINE when it is `want`, and NO when it is `no`. */
static enum cli_exit line_ask(struct cli_link *link, struct bytes request, enum cli_reply_kind want,
                              enum cli_reply_kind no)
{
    struct cli_reply reply;
    enum cli_exit code = cli_link_ask(link, request, CLI_ASK_WRITES);
    if (code == CLI_FINE)
        code = cli_link_reply(link, &reply);
    if (code != CLI_FINE || reply.kind == want)
        return code;
    return reply.kind == no ? CLI_NO : cli_link_refused(&reply);
}

enum cli_exit cli_set(const struct cli_args *args)
{
    size_t len;
    if (!keys_fine(args, 1))
        return CLI_USAGE;
    char *request = set_request(args, &len);
    if (request == NULL)
        return CLI_FAILED;
    struct cli_link link;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = line_ask(&link, bytes_of(request, len), CLI_REPLY_STORED, CLI_REPLY_NOT_STORED);
    cli_link_close(&link);
    free(request);
    if (args->json)
        printf("{\"stored\":%s}\n", code == CLI_FINE ? "true" : "false");
    return code;
}

/* ── delete ───────────────────────────────────────────────────────────────────────────────── */

enum cli_exit cli_delete(const struct cli_args *args)
{
    if (!keys_fine(args, args->word_count))
        return CLI_USAGE;
    struct cli_link link;
    enum cli_exit worst = cli_link_open(&link, args), code = worst;
    int deleted = 0;
    for (int i = 0; i < args->word_count && (code == CLI_FINE || code == CLI_NO); i++) {
        if (i == 0 && worst != CLI_FINE)
            break; /* refused at the door */
        char request[KEY_BYTES_MAX + 16];
        const int len = snprintf(request, sizeof(request), "delete %s\r\n", args->words[i]);
        code =
            line_ask(&link, bytes_of(request, (size_t)len), CLI_REPLY_DELETED, CLI_REPLY_NOT_FOUND);
        deleted += code == CLI_FINE;
        worst = code > worst ? code : worst;
    }
    cli_link_close(&link);
    if (args->json)
        printf("{\"deleted\":%d}\n", deleted);
    return worst;
}
