/* cli/latency.c — `matte latency`: how long answers take, seen from here and by the server.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/histogram.h"
#include "cli/human.h"
#include "cli/json.h"
#include "cli/link.h"

static void pause_ns(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
                                  .tv_nsec = (long)(ns % 1000000000)};
    (void)nanosleep(&time, NULL);
}

/* Ask for the version again and again; the histogram is of nanoseconds. */
static enum cli_exit measure(struct cli_link *link, struct cli_histogram *histogram)
{
    const struct cli_args *args = link->args;
    const uint64_t end_ns = clock_mono_ns() + args->time_ms * 1000000;
    for (;;) {
        struct cli_reply reply;
        const uint64_t start_ns = clock_mono_ns();
        enum cli_exit code = cli_link_ask(link, bytes_str("version\r\n"), CLI_ASK_READS);
        if (code == CLI_FINE)
            code = cli_link_reply(link, &reply);
        if (code == CLI_FINE && reply.kind != CLI_REPLY_VERSION)
            code = cli_link_refused(&reply);
        if (code != CLI_FINE)
            return code;
        const uint64_t now_ns = clock_mono_ns();
        cli_histogram_add(histogram, now_ns - start_ns);
        const uint64_t next_ns = start_ns + args->ping_interval_ms * 1000000;
        if (now_ns >= end_ns || next_ns >= end_ns)
            return CLI_FINE;
        if (next_ns > now_ns)
            pause_ns(next_ns - now_ns);
    }
}

static const struct {
    const char *name;
    double share;
} shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};

static void bars_print(const struct cli_histogram *histogram)
{
    enum { BAR = 40 };
    unsigned first = 0, last = 0;
    while (first < 63 && cli_histogram_below(histogram, first) == 0)
        first++;
    while (last < 63 && cli_histogram_below(histogram, last) < histogram->total)
        last++;
    for (unsigned power = first; power <= last; power++) {
        const uint64_t count =
            cli_histogram_below(histogram, power) - cli_histogram_below(histogram, power - 1);
        const double share = (double)count / (double)histogram->total;
        char limit[CLI_HUMAN_BYTES];
        printf("  below %8s  ", cli_human_us(limit, (double)(1ull << power) / 1000));
        for (int i = 0; i < (int)(share * BAR + 0.999); i++)
            fputc('#', stdout);
        printf(" %.1f %%\n", share * 100);
    }
}

/* The rows of times, or those of `sizes`, as a table. */
static void server_print(const struct cli_rows *rows, bool sizes, const char *title,
                         const char *id_title)
{
    struct cli_rows some = {0};
    struct cli_grid grid;
    for (size_t i = 0; i < rows->count; i++) {
        const struct bytes name = rows->at[i].name;
        const bool is_size = bytes_starts(name, bytes_str("value_bytes:")) ||
                             bytes_starts(name, bytes_str("ttl_s:"));
        if (is_size == sizes && !cli_rows_add(&some, name, rows->at[i].value))
            break;
    }
    cli_rows_done(&some);
    if (cli_grid_of(&some, "", &grid)) {
        if (grid.line_count > 0) {
            puts(title);
            cli_grid_print(stdout, &grid, id_title, false);
        }
        cli_grid_fini(&grid);
    }
    cli_rows_fini(&some);
}

static void text_print(const char *where, const struct cli_histogram *histogram,
                       const struct cli_rows *rows)
{
    char text[CLI_HUMAN_BYTES];
    printf("%s: %" PRIu64 " answers\n  min %s", where, histogram->total,
           cli_human_us(text, (double)histogram->min / 1000));
    printf(", mean %s", cli_human_us(text, cli_histogram_mean(histogram) / 1000));
    for (size_t i = 0; i < COUNT_OF(shares); i++)
        printf(", %s %s", shares[i].name,
               cli_human_us(text, cli_histogram_at(histogram, shares[i].share) / 1000));
    fputs("\n\n", stdout);
    bars_print(histogram);
    server_print(rows, false,
                 "\nThe server's own times, from the read of a request to its answer:\n", "class");
    server_print(rows, true, "\nWhat was stored, in bytes and seconds:\n", "what");
}

static void json_print(const char *where, const struct cli_histogram *histogram,
                       const struct cli_rows *rows)
{
    fputs("{\"address\":", stdout);
    cli_json_string(stdout, bytes_str(where));
    printf(",\"answers\":%" PRIu64 ",\"min_us\":%.1f,\"mean_us\":%.1f", histogram->total,
           (double)histogram->min / 1000, cli_histogram_mean(histogram) / 1000);
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        const double us = cli_histogram_at(histogram, shares[i].share) / 1000;
        const char *dot = strchr(shares[i].name, '.'); /* a name without it is handier */
        const int len = dot == NULL ? (int)strlen(shares[i].name) : (int)(dot - shares[i].name);
        printf(",\"%.*s%s_us\":%.1f", len, shares[i].name, dot == NULL ? "" : dot + 1, us);
    }
    fputs(",\"server\":{", stdout);
    for (size_t i = 0; i < rows->count; i++) {
        fputs(i > 0 ? "," : "", stdout);
        cli_json_string(stdout, rows->at[i].name);
        fputc(':', stdout);
        cli_json_fact(stdout, rows->at[i].value);
    }
    fputs("}}\n", stdout);
}

enum cli_exit cli_latency(const struct cli_args *args)
{
    struct cli_args copy = *args;
    copy.server = cli_server_word(args);
    if (copy.server == NULL)
        return CLI_USAGE;
    struct cli_histogram *histogram = calloc(1, sizeof(*histogram));
    struct cli_rows rows = {0};
    struct cli_link link;
    char where[CLI_PEER_TEXT_BYTES];
    enum cli_exit code = cli_link_open(&link, &copy);
    if (histogram == NULL) {
        cli_error("out of memory");
        code = CLI_FAILED;
    }
    if (code == CLI_FINE)
        code = measure(&link, histogram);
    if (code == CLI_FINE) {
        cli_peer_format(&link.peer, where);
        /* One that does not know or tell it has given an answer, too. */
        char fault[200];
        cli_error_catch(fault, sizeof(fault));
        if (cli_link_rows(&link, "stats latency\r\n", NULL, &rows) != CLI_FINE)
            cli_rows_fini(&rows);
        cli_error_catch(NULL, 0);
        if (args->json)
            json_print(where, histogram, &rows);
        else
            text_print(where, histogram, &rows);
    }
    cli_rows_fini(&rows);
    cli_link_close(&link);
    free(histogram);
    return code;
}
