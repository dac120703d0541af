/* cli/top.h — what `matte top` knows of servers, and how it draws that.
 *
 * Includes: base.  Included by: cli and its tests.  Pure: no socket, no terminal, no clock.
 * Memory:   fixed; all text of a server is printable when it is kept (cli_text_format()).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>

#include "base/attr.h"
#include "cli/rows.h"

enum {
    CLI_TOP_SERVERS_MAX = 16,
    CLI_TOP_HISTORY = 240, /* samples that a line of a wide terminal shows */
    CLI_TOP_HOT_MAX = 20,
};

/* Counters and levels of one moment. */
struct cli_top_sample {
    uint64_t at_ns;
    double ops, hits, misses, evictions, expired, in_bytes, out_bytes; /* since its start */
    double bytes, limit_bytes, items, connections, connections_max, uptime_s;
};

enum cli_top_series {
    CLI_TOP_OPS,
    CLI_TOP_HITS, /* 0..1 */
    CLI_TOP_P99,
    CLI_TOP_MEMORY,
    CLI_TOP_EVICTIONS,
    CLI_TOP_CONNECTIONS,
    CLI_TOP_IN,
    CLI_TOP_OUT,
    CLI_TOP_SERIES,
};

struct cli_top_hot {
    char key[120];
    double ops_per_s, share;
};

struct cli_top_server {
    char name[128], version[64];
    char fault[200]; /* not "": it could not be asked */
    size_t samples;  /* so far; rates need two */
    struct cli_top_sample last;
    double now[CLI_TOP_SERIES]; /* what is shown; below 0: not known */
    double history[CLI_TOP_SERIES][CLI_TOP_HISTORY];
    size_t history_count; /* the newest is at (count - 1) % HISTORY */
    double p50_us;
    bool server_times; /* p50 and p99 are the server's own; else of our question alone */
    struct cli_top_hot hot[CLI_TOP_HOT_MAX];
    size_t hot_count;
};

/* What one look at a server brought. */
struct cli_top_look {
    struct cli_rows stats;
    struct cli_rows latency, hot; /* `stats latency`, `stats hotkeys`: empty where it has none */
    uint64_t at_ns;               /* when `stats` was answered */
    double asked_us;              /* how long that took */
};

void cli_top_take(struct cli_top_server *server, const struct cli_top_look *look);

struct cli_top_screen {
    int columns, lines; /* lines 0: as many as it takes */
    bool utf8, colors;
    char clock[16];
};

/* Draw a frame: lines with '\n', each of `columns` at most. */
void cli_top_draw(FILE *file, const struct cli_top_server *servers, size_t count,
                  const struct cli_top_screen *screen);
/* The same as an object of JSON. */
void cli_top_json(FILE *file, const struct cli_top_server *server);
