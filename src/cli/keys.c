/* cli/keys.c — `matte keys`: the keys of a server, as they come.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "cli/cli_priv.h"
#include "cli/json.h"
#include "cli/scan.h"

static uint64_t ttl_s(const struct cli_meta *meta, uint64_t now_s)
{
    return meta->expires_s > now_s ? meta->expires_s - now_s : 0;
}

/* One object per line, so that nothing is held back until the end. */
static void key_print_json(const struct cli_meta *meta, uint64_t now_s)
{
    const struct bytes key = bytes_of(meta->key, meta->key_bytes);
    const bool text = cli_utf8_valid(key);
    fputs(text ? "{\"key\":" : "{\"key_base64\":", stdout);
    if (text)
        cli_json_string(stdout, key);
    else
        cli_json_base64(stdout, key);
    printf(",\"size\":%" PRIu64 ",\"ttl\":", meta->size_bytes);
    if (meta->expires)
        printf("%" PRIu64, ttl_s(meta, now_s));
    else
        fputs("null", stdout);
    printf(",\"idle\":%" PRIu64 ",\"cas\":%" PRIu64 ",\"fetched\":%s}\n",
           now_s > meta->access_s ? now_s - meta->access_s : 0, meta->cas_unique,
           meta->fetched ? "true" : "false");
}

static void key_print(const struct cli_args *args, const struct cli_meta *meta, uint64_t now_s)
{
    char text[CLI_KEY_TEXT_BYTES], ttl[32] = "never";
    if (args->json) {
        key_print_json(meta, now_s);
        return;
    }
    if (args->long_form) {
        if (meta->expires)
            snprintf(ttl, sizeof(ttl), "%" PRIu64, ttl_s(meta, now_s));
        printf("%10" PRIu64 " %10s %10" PRIu64 "  ", meta->size_bytes, ttl,
               now_s > meta->access_s ? now_s - meta->access_s : 0);
    }
    puts(cli_key_format(text, bytes_of(meta->key, meta->key_bytes)));
}

enum cli_exit cli_keys(const struct cli_args *args)
{
    struct cli_scan scan;
    struct cli_meta meta;
    enum cli_exit code = cli_scan_open(&scan, args);
    if (code == CLI_FINE && args->long_form && !args->json)
        puts("     bytes        ttl       idle  key");
    for (uint64_t count = 0; code == CLI_FINE && !ferror(stdout); count++) {
        if (args->limit > 0 && count == args->limit)
            break;
        code = cli_scan_next(&scan, &meta);
        if (code != CLI_FINE || scan.ended)
            break;
        key_print(args, &meta, cli_scan_now_s(&scan));
    }
    cli_scan_close(&scan);
    return code;
}
