/* cli/bench.c — `matte bench`: a load of gets and sets from one thread, and what came of it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/histogram.h"
#include "cli/human.h"
#include "cli/link.h"

enum {
    CONNECTIONS_MAX = 256, /* as the rows of the options say */
    PIPELINE_MAX = 256,
    KEY_BYTES = 32,
    LIFE_S = 300, /* what a bench leaves behind is gone then */
    FILL_AT_ONCE = 256,
    AT_ONCE_BYTES_MAX = 256 * 1024,
};

enum kind { KIND_GET, KIND_SET, KIND_COUNT };

struct lane {
    struct cli_link link;
    enum kind kinds[PIPELINE_MAX]; /* of the batch that is under way */
    size_t sent, answered;
    bool has_value; /* of the get that is being answered */
    uint64_t start_ns;
};

struct bench {
    const struct cli_args *args;
    struct lane *lanes;
    size_t lane_count; /* open */
    struct pollfd *polls;
    char *value;
    char *request;
    uint64_t random;
    uint64_t hits, refused;
    double took_s;
    struct cli_histogram times[KIND_COUNT + 1]; /* of ns; the last of all */
};

static uint64_t draw(struct bench *bench, uint64_t below)
{
    bench->random ^= bench->random << 13; /* xorshift64 */
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return bench->random % below;
}

static size_t set_write(const struct bench *bench, char *dst, uint64_t key)
{
    const size_t bytes = (size_t)bench->args->value_bytes;
    const int head = sprintf(dst, "set matte-bench:%" PRIu64 " 0 %d %zu\r\n", key, LIFE_S, bytes);
    memcpy(dst + head, bench->value, bytes + 2);
    return (size_t)head + bytes + 2;
}

/* ── the keys ─────────────────────────────────────────────────────────────────────────────── */

/* Store all of them, so that gets find something. */
static enum cli_exit fill(struct bench *bench)
{
    struct cli_link *link = &bench->lanes[0].link;
    const size_t at_once = bench->args->value_bytes > 65536 ? 1 : FILL_AT_ONCE;
    for (uint64_t key = 0; key < bench->args->key_count;) {
        size_t len = 0, count = 0;
        for (; count < at_once && key < bench->args->key_count; count++)
            len += set_write(bench, bench->request + len, key++);
        enum cli_exit code = cli_link_ask(link, bytes_of(bench->request, len), CLI_ASK_WRITES);
        for (; code == CLI_FINE && count > 0; count--) {
            struct cli_reply reply;
            code = cli_link_reply(link, &reply);
            if (code == CLI_FINE && reply.kind != CLI_REPLY_STORED)
                code = cli_link_refused(&reply);
        }
        if (code != CLI_FINE)
            return code;
    }
    return CLI_FINE;
}

/* ── the load ─────────────────────────────────────────────────────────────────────────────── */

static enum cli_exit batch_send(struct bench *bench, struct lane *lane)
{
    size_t len = 0;
    for (size_t i = 0; i < bench->args->pipeline; i++) {
        const uint64_t key = draw(bench, bench->args->key_count);
        lane->kinds[i] = draw(bench, 100) < bench->args->reads ? KIND_GET : KIND_SET;
        if (lane->kinds[i] == KIND_SET)
            len += set_write(bench, bench->request + len, key);
        else
            len += (size_t)sprintf(bench->request + len, "get matte-bench:%" PRIu64 "\r\n", key);
    }
    lane->sent = bench->args->pipeline;
    lane->answered = 0;
    lane->start_ns = clock_mono_ns();
    return cli_link_ask(&lane->link, bytes_of(bench->request, len), CLI_ASK_WRITES);
}

/* One reply has come. Returns false when it makes no sense. */
static bool reply_take(struct bench *bench, struct lane *lane, const struct cli_reply *reply,
                       uint64_t now_ns)
{
    if (lane->answered == lane->sent)
        return false;
    const enum kind kind = lane->kinds[lane->answered];
    if (kind == KIND_GET && reply->kind == CLI_REPLY_VALUE && !lane->has_value) {
        lane->has_value = true;
        return true;
    }
    const bool refused = reply->kind == CLI_REPLY_SERVER_ERROR;
    if (!refused && reply->kind != (kind == KIND_GET ? CLI_REPLY_END : CLI_REPLY_STORED))
        return false;
    bench->refused += refused;
    bench->hits += lane->has_value;
    lane->has_value = false;
    lane->answered++;
    cli_histogram_add(&bench->times[kind], now_ns - lane->start_ns);
    return true;
}

/* Read what is there, and take all whole replies. */
static enum cli_exit lane_read(struct bench *bench, struct lane *lane)
{
    struct cli_conn *conn = &lane->link.conn;
    const enum cli_conn_rc more = cli_conn_more(conn);
    if (more != CLI_CONN_OK) {
        cli_error("%s", cli_conn_text(conn, more));
        return CLI_FAILED;
    }
    const uint64_t now_ns = clock_mono_ns();
    for (;;) {
        struct cli_reply reply;
        size_t used;
        switch (cli_reply_parse(cli_conn_input(conn), &reply, &used)) {
        case CLI_REPLY_MORE:
            return CLI_FINE;
        case CLI_REPLY_BAD:
            cli_error("the answer makes no sense");
            return CLI_FAILED;
        case CLI_REPLY_WHOLE:
            break;
        }
        if (!reply_take(bench, lane, &reply, now_ns))
            return cli_link_refused(&reply);
        cli_conn_consume(conn, used);
    }
}

static enum cli_exit load(struct bench *bench)
{
    const uint64_t start_ns = clock_mono_ns();
    const uint64_t end_ns = start_ns + bench->args->time_ms * 1000000;
    size_t busy = 0;
    enum cli_exit code = CLI_FINE;
    for (size_t i = 0; i < bench->lane_count && code == CLI_FINE; i++) {
        struct cli_link *link = &bench->lanes[i].link;
        cli_conn_consume(&link->conn, link->used); /* the last reply to something else */
        link->used = 0;
        bench->polls[i] = (struct pollfd){.fd = link->conn.fd, .events = POLLIN};
        code = batch_send(bench, &bench->lanes[i]);
        busy++;
    }
    while (code == CLI_FINE && busy > 0) {
        const int ready =
            poll(bench->polls, (nfds_t)bench->lane_count, (int)bench->args->timeout_ms);
        if (ready == 0 || (ready < 0 && errno != EINTR)) {
            cli_error(ready == 0 ? "no answer in time" : "poll failed");
            return CLI_FAILED;
        }
        for (size_t i = 0; i < bench->lane_count && code == CLI_FINE; i++) {
            struct lane *lane = &bench->lanes[i];
            if (bench->polls[i].revents == 0)
                continue;
            code = lane_read(bench, lane);
            if (code != CLI_FINE || lane->answered < lane->sent)
                continue;
            if (clock_mono_ns() < end_ns) {
                code = batch_send(bench, lane);
                continue;
            }
            bench->polls[i].fd = -1; /* this one is done */
            busy--;
        }
    }
    bench->took_s = (double)(clock_mono_ns() - start_ns) / 1e9;
    for (size_t i = 0; i < KIND_COUNT; i++)
        cli_histogram_merge(&bench->times[KIND_COUNT], &bench->times[i]);
    return code;
}

/* ── what came of it ──────────────────────────────────────────────────────────────────────── */

static const char *const titles[] = {"get", "set", "all"};
static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};

static void text_print(const struct bench *bench)
{
    const struct cli_args *args = bench->args;
    char where[CLI_PEER_TEXT_BYTES], text[CLI_HUMAN_BYTES];
    cli_peer_format(&bench->lanes[0].link.peer, where);
    printf("%s, %" PRIu64 " connections, %" PRIu64 " at once on each, %.1f s\n", where,
           args->connections, args->pipeline, bench->took_s);
    printf("%s keys, ", cli_human_count(text, args->key_count));
    printf("values of %s, %" PRIu64 " %% gets\n\n",
           cli_human_bytes(text, (double)args->value_bytes), args->reads);
    printf("%10s %10s %10s %10s %10s %10s %10s\n", "", "per second", "p50", "p90", "p99", "p99.9",
           "max");
    for (size_t i = 0; i <= KIND_COUNT; i++) {
        const struct cli_histogram *times = &bench->times[i];
        if (times->total == 0)
            continue;
        printf("%10s %10s", titles[i],
               cli_human_count(text, (uint64_t)((double)times->total / bench->took_s)));
        for (size_t j = 0; j < COUNT_OF(shares); j++)
            printf(" %10s", cli_human_us(text, cli_histogram_at(times, shares[j]) / 1000));
        fputc('\n', stdout);
    }
    const uint64_t gets = bench->times[KIND_GET].total;
    fputc('\n', stdout);
    if (gets > 0)
        printf("%.1f %% of the gets were hits.\n", 100.0 * (double)bench->hits / (double)gets);
    if (bench->refused > 0)
        printf("%s requests were refused.\n", cli_human_count(text, bench->refused));
}

static void json_print(const struct bench *bench)
{
    static const char *const names[] = {"p50_us", "p90_us", "p99_us", "p999_us", "max_us"};
    printf("{\"seconds\":%.3f,\"hits\":%" PRIu64 ",\"refused\":%" PRIu64, bench->took_s,
           bench->hits, bench->refused);
    for (size_t i = 0; i <= KIND_COUNT; i++) {
        const struct cli_histogram *times = &bench->times[i];
        printf(",\"%s\":{\"count\":%" PRIu64 ",\"per_second\":%.1f", titles[i], times->total,
               (double)times->total / bench->took_s);
        for (size_t j = 0; j < COUNT_OF(shares); j++)
            printf(",\"%s\":%.1f", names[j], cli_histogram_at(times, shares[j]) / 1000);
        fputc('}', stdout);
    }
    fputs("}\n", stdout);
}

/* ── the subcommand ───────────────────────────────────────────────────────────────────────── */

static enum cli_exit prepare(struct bench *bench)
{
    const struct cli_args *args = bench->args;
    const size_t each = KEY_BYTES + 64 + (size_t)args->value_bytes;
    const size_t at_once = args->pipeline > FILL_AT_ONCE ? args->pipeline : FILL_AT_ONCE;
    bench->lanes = calloc(args->connections, sizeof(*bench->lanes));
    bench->polls = calloc(args->connections, sizeof(*bench->polls));
    bench->value = malloc((size_t)args->value_bytes + 2);
    bench->request = malloc(each * (args->value_bytes > 65536 ? args->pipeline : at_once));
    if (bench->lanes == NULL || bench->polls == NULL || bench->value == NULL ||
        bench->request == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    cli_random(&bench->random, sizeof(bench->random));
    bench->random |= 1;
    for (size_t i = 0; i < args->value_bytes; i++)
        bench->value[i] = (char)('a' + draw(bench, 26));
    memcpy(bench->value + args->value_bytes, "\r\n", 2);
    enum cli_exit code = CLI_FINE;
    while (code == CLI_FINE && bench->lane_count < args->connections)
        code = cli_link_open(&bench->lanes[bench->lane_count++].link, args);
    return code;
}

enum cli_exit cli_bench(const struct cli_args *args)
{
    struct cli_args copy = *args;
    copy.server = cli_server_word(args);
    if (copy.server == NULL)
        return CLI_USAGE;
    /* Who sends much at once does not read meanwhile, and the server would wait for that. */
    if (args->pipeline > 1 && args->pipeline * args->value_bytes > AT_ONCE_BYTES_MAX) {
        cli_error("bench: --pipeline times --size is at most %d", AT_ONCE_BYTES_MAX);
        return CLI_USAGE;
    }
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    bench->args = &copy;
    enum cli_exit code = prepare(bench);
    if (code == CLI_FINE)
        code = fill(bench);
    if (code == CLI_FINE)
        code = load(bench);
    if (code == CLI_FINE && args->json)
        json_print(bench);
    else if (code == CLI_FINE)
        text_print(bench);
    for (size_t i = 0; i < bench->lane_count; i++)
        cli_link_close(&bench->lanes[i].link);
    code = code == CLI_FINE && bench->refused > 0 ? CLI_NO : code;
    free(bench->lanes);
    free(bench->polls);
    free(bench->value);
    free(bench->request);
    free(bench);
    return code;
}
