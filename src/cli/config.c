/* cli/config.c — `matte config` and `drain`: steering a running server.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli_priv.h"
#include "cli/json.h"
#include "cli/link.h"

enum { REQUEST_BYTES = 8192 };

/* ── one line ─────────────────────────────────────────────────────────────────────────────── */

/* Ask for something that is answered by OK. */
static enum cli_exit ok_ask(const struct cli_args *args, const char *request, const char *unknown)
{
    struct cli_link link;
    struct cli_reply reply;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = cli_link_ask(&link, bytes_str(request), CLI_ASK_WRITES);
    if (code == CLI_FINE)
        code = cli_link_reply(&link, &reply);
    if (code == CLI_FINE && reply.kind == CLI_REPLY_ERROR && reply.text.len == 0) {
        cli_error("%s", unknown);
        code = CLI_NO;
    } else if (code == CLI_FINE && reply.kind != CLI_REPLY_OK) {
        code = cli_link_refused(&reply);
    }
    if (args->json)
        printf("{\"done\":%s}\n", code == CLI_FINE ? "true" : "false");
    cli_link_close(&link);
    return code;
}

/* ── config ───────────────────────────────────────────────────────────────────────────────── */

static const char unknown_config[] = "this server does not know `config`; nothing was changed";

/* Cut the last word off `value`: the source of a setting. */
static struct bytes source_take(struct bytes *value)
{
    size_t at = value->len;
    while (at > 0 && value->ptr[at - 1] != ' ')
        at--;
    const struct bytes source = bytes_skip(*value, at);
    value->len = at > 0 ? at - 1 : 0;
    return source;
}

static void settings_print_json(const struct cli_rows *rows)
{
    fputc('[', stdout);
    for (size_t i = 0; i < rows->count; i++) {
        struct bytes value = rows->at[i].value;
        const struct bytes source = source_take(&value);
        fputs(i > 0 ? ",{\"name\":" : "{\"name\":", stdout);
        cli_json_string(stdout, rows->at[i].name);
        fputs(",\"value\":", stdout);
        cli_json_string(stdout, value);
        fputs(",\"source\":", stdout);
        cli_json_string(stdout, source);
        fputc('}', stdout);
    }
    fputs("]\n", stdout);
}

static void settings_print(const struct cli_rows *rows)
{
    char name[CLI_CELL_BYTES], text[1024];
    int widths[2] = {0};
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < rows->count; i++) {
            struct bytes value = rows->at[i].value;
            const struct bytes source = source_take(&value);
            const int lens[2] = {
                (int)strlen(cli_text_format(name, sizeof(name), rows->at[i].name)),
                (int)strlen(cli_text_format(text, sizeof(text), value)),
            };
            for (size_t j = 0; j < 2 && pass == 0; j++)
                if (lens[j] > widths[j] && lens[j] <= 40)
                    widths[j] = lens[j];
            char from[80];
            if (pass == 1)
                printf("%-*s  %-*s  %s\n", widths[0], name, widths[1], text,
                       cli_text_format(from, sizeof(from), source));
        }
}

/* A word of the protocol: nothing in it may end it, or the line. */
static bool word_fine(const char *word, bool blanks)
{
    const size_t len = strlen(word);
    bool fine = len > 0 && len < REQUEST_BYTES / 2;
    for (size_t i = 0; i < len; i++)
        fine = fine && (uint8_t)word[i] >= (blanks ? 0x20 : 0x21) && word[i] != 0x7f;
    if (!fine)
        cli_error("'%.40s' is not one word", word);
    return fine;
}

static enum cli_exit settings_get(const struct cli_args *args)
{
    const char *name = args->word_count > 1 ? args->words[1] : "*";
    if (!word_fine(name, false))
        return CLI_USAGE;
    char request[REQUEST_BYTES];
    snprintf(request, sizeof(request), "config get %s\r\n", name);
    struct cli_rows rows = {0};
    struct cli_link link;
    enum cli_exit code = cli_link_open(&link, args);
    if (code == CLI_FINE)
        code = cli_link_rows(&link, request, "this server does not know `config`", &rows);
    if (code == CLI_FINE && args->json)
        settings_print_json(&rows);
    else if (code == CLI_FINE)
        settings_print(&rows);
    cli_link_close(&link);
    cli_rows_fini(&rows);
    return code;
}

static enum cli_exit setting_set(const struct cli_args *args)
{
    if (!word_fine(args->words[1], false) || !word_fine(args->words[2], true))
        return CLI_USAGE;
    char request[REQUEST_BYTES];
    snprintf(request, sizeof(request), "config set %s %s\r\n", args->words[1], args->words[2]);
    return ok_ask(args, request, unknown_config);
}

enum cli_exit cli_config(const struct cli_args *args)
{
    const char *what = args->words[0];
    const int count = args->word_count;
    if (strcmp(what, "get") == 0 && count <= 2)
        return settings_get(args);
    if (strcmp(what, "set") == 0 && count == 3)
        return setting_set(args);
    if (strcmp(what, "reload") == 0 && count == 1)
        return ok_ask(args, "config reload\r\n", unknown_config);
    cli_error("config: it is `get [NAME]`, `set NAME VALUE` or `reload`; see `matte help config`");
    return CLI_USAGE;
}

/* ── drain ────────────────────────────────────────────────────────────────────────────────── */

enum cli_exit cli_drain(const struct cli_args *args)
{
    const char *what = args->word_count > 0 ? args->words[0] : "";
    static const char unknown[] = "this server does not know `drain`; it goes on as before";
    if (what[0] == '\0')
        return ok_ask(args, "drain\r\n", unknown);
    if (strcmp(what, "stop") == 0)
        return ok_ask(args, "drain stop\r\n", unknown);
    cli_error("drain: it is `matte drain` or `matte drain stop`");
    return CLI_USAGE;
}
