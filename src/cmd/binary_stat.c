/* stat of the binary protocol: the answers of the text protocol's `stats`, each row a packet.
 *
 * The rows are written once, as text, by whoever knows them; here they are cut up. It costs a copy
 * where nobody counts it, and no row can be in one protocol and not in the other.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

/* How a text answer becomes packets. */
enum form {
    FORM_ROWS, /* one per row, then an empty one */
    FORM_RAW,  /* all of it in one, named "detailed", then an empty one */
    FORM_DONE, /* the empty one alone */
};

/* memcached compares the beginning of the key with some words, and all of it with others (observed
 * 1.6.18). What is not here is not found; conns and cachedump are for text alone. */
static const struct word {
    const char *key;
    bool whole;
    enum form form;
} words[] = {
    {"", true, FORM_ROWS},
    {"reset", false, FORM_DONE},
    {"settings", false, FORM_ROWS},
    {"detail on", false, FORM_DONE},
    {"detail off", false, FORM_DONE},
    {"detail dump", false, FORM_RAW},
    {"items", true, FORM_ROWS},
    {"slabs", true, FORM_ROWS},
    {"sizes", true, FORM_ROWS},
    {"limits", true, FORM_ROWS}, /* ours */
    {"security", true, FORM_ROWS},
    {"access", true, FORM_ROWS},
    {"prefixes", true, FORM_ROWS},
    {"latency", true, FORM_ROWS},
    {"hotkeys", true, FORM_ROWS},
    {"clients", true, FORM_ROWS},
};

static const struct word *word_find(struct bytes key)
{
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const struct bytes word = bytes_str(words[i].key);
        if (words[i].whole ? bytes_equal(key, word) : bytes_starts(key, word))
            return &words[i];
    }
    return NULL;
}

/* Run `stats args` with its answer going to `text`. CMD_AGAIN: `sizes` is still counting, and has
 * said nothing yet. */
static enum cmd_rc text_answer(struct cmd_ctx *ctx, struct proto_request *req, const char *args,
                               struct out *text)
{
    struct proto_request stats = {
        .cmd = PROTO_CMD_STATS, .rest = bytes_str(args), .progress = req->progress};
    struct out *out = ctx->out;
    ctx->out = text;
    const enum cmd_rc rc = cmd_stats(ctx, &stats);
    ctx->out = out;
    req->progress = stats.progress;
    return rc;
}

static void put_packet(struct cmd_ctx *ctx, const struct proto_request *req, struct bytes name,
                       struct bytes value)
{
    uint8_t *start = out_reserve(ctx->out, PROTO_BINARY_HEADER_BYTES + name.len + value.len);
    if (start == NULL)
        return;
    const struct proto_answer answer = {.key_bytes = (uint16_t)name.len,
                                        .value_bytes = (uint32_t)value.len};
    uint8_t *dst = proto_write_binary_head(start, req, &answer);
    if (name.len > 0)
        dst = proto_write(dst, name.ptr, name.len);
    if (value.len > 0)
        dst = proto_write(dst, value.ptr, value.len);
    out_commit(ctx->out, (size_t)(dst - start));
}

/* `STAT name value` by `STAT name value`; other lines (END) are no rows. */
static void put_rows(struct cmd_ctx *ctx, const struct proto_request *req, struct bytes text)
{
    const struct bytes stat = bytes_str("STAT ");
    const uint8_t *lf;
    for (; text.len > 0 && (lf = memchr(text.ptr, '\n', text.len)) != NULL;
         text = bytes_skip(text, (size_t)(lf + 1 - text.ptr))) {
        struct bytes line = bytes_of(text.ptr, (size_t)(lf - text.ptr)), name;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (!bytes_starts(line, stat))
            continue;
        line = bytes_skip(line, stat.len);
        if (proto_token_next(&line, &name))
            put_packet(ctx, req, name, line.len > 0 ? bytes_skip(line, 1) : line);
    }
}

enum cmd_rc cmd_bin_stat(struct cmd_ctx *ctx, struct proto_request *req)
{
    const struct word *word = word_find(req->key);
    struct out text;
    out_init(&text);
    enum cmd_rc rc = CMD_OK;
    do /* one packet can only be sent when all of it is there */
        rc = word != NULL ? text_answer(ctx, req, word->key, &text) : CMD_OK;
    while (rc == CMD_AGAIN && word->form == FORM_RAW);
    if (rc == CMD_AGAIN) {
        out_fini(&text);
        return CMD_AGAIN;
    }
    const struct bytes answer = bytes_of(text.buf, text.len);
    const struct bytes none = bytes_of(NULL, 0);
    if (word == NULL || bytes_starts(answer, bytes_str("CLIENT_ERROR"))) { /* -X */
        proto_binary_reply(ctx->out, req, PROTO_STATUS_NOT_FOUND, none);
    } else if (text.failed) {
        proto_binary_reply(ctx->out, req, PROTO_STATUS_NO_MEMORY, none);
    } else {
        if (word->form == FORM_ROWS)
            put_rows(ctx, req, answer);
        else if (word->form == FORM_RAW)
            put_packet(ctx, req, bytes_str("detailed"), answer);
        put_packet(ctx, req, none, none);
    }
    out_fini(&text);
    return CMD_OK;
}
