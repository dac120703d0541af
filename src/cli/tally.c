/* cli/tally.c — how far a transfer is, and what came of it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/human.h"
#include "cli/transfer.h"

enum { SHOW_EVERY_NS = 200000000 };

void cli_tally_start(struct cli_tally *tally)
{
    *tally = (struct cli_tally){
        .start_ns = clock_mono_ns(),
        .shows = isatty(STDERR_FILENO) == 1,
    };
    tally->shown_ns = tally->start_ns;
}

static uint64_t done(const struct cli_tally *tally)
{
    return tally->items + tally->gone + tally->stale + tally->kept + tally->failed;
}

void cli_tally_show(struct cli_tally *tally)
{
    const uint64_t now_ns = clock_mono_ns();
    if (!tally->shows || now_ns - tally->shown_ns < SHOW_EVERY_NS)
        return;
    char count[CLI_HUMAN_BYTES], bytes[CLI_HUMAN_BYTES], rate[CLI_HUMAN_BYTES], part[32] = "";
    const double s = (double)(now_ns - tally->start_ns) / 1e9;
    if (tally->expected > 0 && done(tally) <= tally->expected)
        snprintf(part, sizeof(part), " %.0f %%,",
                 100.0 * (double)done(tally) / (double)tally->expected);
    fprintf(stderr, "\r\x1b[K%s %s items, %s, %s items/s", part,
            cli_human_count(count, tally->items), cli_human_bytes(bytes, (double)tally->bytes),
            cli_human_short(rate, (double)tally->items / s));
    tally->shown_ns = now_ns;
}

static void part_print(FILE *file, uint64_t count, const char *text)
{
    char number[CLI_HUMAN_BYTES];
    if (count > 0)
        fprintf(file, "; %s %s", cli_human_count(number, count), text);
}

void cli_tally_end(struct cli_tally *tally, const char *verb, bool json, FILE *file)
{
    const double s = (double)(clock_mono_ns() - tally->start_ns) / 1e9;
    if (tally->shows)
        fputs("\r\x1b[K", stderr);
    if (json) {
        fprintf(
            file,
            "{\"items\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"gone\":%" PRIu64 ",\"stale\":%" PRIu64
            ",\"kept\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"seconds\":%.3f}\n",
            tally->items, tally->bytes, tally->gone, tally->stale, tally->kept, tally->failed, s);
        return;
    }
    char count[CLI_HUMAN_BYTES], bytes[CLI_HUMAN_BYTES];
    fprintf(stderr, "%s %s items, %s, in %.1f s", verb, cli_human_count(count, tally->items),
            cli_human_bytes(bytes, (double)tally->bytes), s);
    part_print(stderr, tally->gone, "gone meanwhile");
    part_print(stderr, tally->stale, "stale, left out");
    part_print(stderr, tally->kept, "there already, kept");
    part_print(stderr, tally->failed, "refused");
    fputc('\n', stderr);
}
