/* bench/workload.c — see workload.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "workload.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCAN_CYCLE = 100000, /* requests from one scan to the next */
    SCAN_BURST = 30000,  /* of which a scan takes this many */
    SHIFT_PERIOD = 20,   /* requests until a new key comes in at the top */
    RECENCY_FRESH = 10,  /* one request of that many asks for a new key */
    SIZE_SALT = 0x51e5,
    TTL_SALT = 0x77e1,
};

/* Web-like values: half below 250 bytes, a mean of about 500. */
static const char web_sizes[] = "lognormal:250:1.2:50:8192";
/* Pages and pictures: half below 4 KiB, a mean of about 12 KiB. */
static const char large_sizes[] = "lognormal:4096:1.5:200:524288";

enum workload_kind workload_kind_find(const char *name)
{
    static const char *const names[WORKLOAD_KINDS] = {
        [WORKLOAD_ZIPF09] = "zipf0.9", [WORKLOAD_ZIPF10] = "zipf1.0",  [WORKLOAD_SCAN] = "scan",
        [WORKLOAD_SHIFT] = "shift",    [WORKLOAD_TTL] = "ttl",         [WORKLOAD_UPDATE] = "update",
        [WORKLOAD_GROW] = "grow",      [WORKLOAD_RECENCY] = "recency", [WORKLOAD_LARGE] = "large",
    };
    unsigned kind = 0;
    while (kind < WORKLOAD_KINDS && strcmp(names[kind], name) != 0)
        kind++;
    return (enum workload_kind)kind;
}

bool workload_init(struct workload *load, enum workload_kind kind, uint64_t keys, uint64_t requests)
{
    *load =
        (struct workload){.kind = kind, .keys = keys, .requests = requests, .rng = {.state = 7}};
    bool flat = kind == WORKLOAD_ZIPF09 || kind == WORKLOAD_LARGE;
    dist_zipf_init(&load->zipf, keys, flat ? 0.9 : 1.0);
    if (!dist_sizes_parse(&load->sizes, kind == WORKLOAD_LARGE ? large_sizes : web_sizes))
        return false;
    if (kind == WORKLOAD_SCAN || kind == WORKLOAD_SHIFT)
        load->fresh_next = keys; /* below it: the popular ones, or those that are there already */
    if (kind == WORKLOAD_RECENCY) {
        load->history = calloc(WORKLOAD_HISTORY, sizeof(*load->history));
        return load->history != NULL;
    }
    return true;
}

void workload_fini(struct workload *load)
{
    free(load->history);
}

uint64_t workload_id_end(const struct workload *load)
{
    return load->keys + load->requests + 1;
}

/* Popular keys are scattered by a prime factor: neighbours in rank are strangers in id. */
static uint64_t id_popular(struct workload *load)
{
    uint64_t rank = dist_zipf_next(&load->zipf, &load->rng);
    return rank * UINT64_C(2654435761) % load->keys;
}

static uint64_t id_recent(struct workload *load)
{
    uint64_t reach = load->done < WORKLOAD_HISTORY ? load->done : WORKLOAD_HISTORY;
    uint64_t id;
    if (reach < 2 || dist_rng_below(&load->rng, RECENCY_FRESH) == 0) {
        id = load->fresh_next++;
    } else {
        uint64_t distance = (uint64_t)exp(dist_rng_unit(&load->rng) * log((double)reach));
        id = load->history[(load->done - distance) % WORKLOAD_HISTORY];
    }
    load->history[load->done % WORKLOAD_HISTORY] = (uint32_t)id;
    return id;
}

static uint64_t id_next(struct workload *load)
{
    switch (load->kind) {
    case WORKLOAD_SCAN:
        if (load->done % SCAN_CYCLE < SCAN_BURST)
            return load->fresh_next++;
        return id_popular(load);
    case WORKLOAD_SHIFT:
        if (load->done % SHIFT_PERIOD == 0)
            load->fresh_next++;
        return load->fresh_next - 1 - dist_zipf_next(&load->zipf, &load->rng);
    case WORKLOAD_RECENCY:
        return id_recent(load);
    case WORKLOAD_ZIPF09:
    case WORKLOAD_ZIPF10:
    case WORKLOAD_TTL:
    case WORKLOAD_UPDATE:
    case WORKLOAD_GROW:
    case WORKLOAD_LARGE:
    case WORKLOAD_KINDS:
        break;
    }
    return id_popular(load);
}

/* One request of `count` is a set. 0: none is. */
static uint64_t update_share(enum workload_kind kind)
{
    return kind == WORKLOAD_UPDATE ? 2 : kind == WORKLOAD_GROW ? 10 : 0;
}

static uint32_t value_bytes(struct workload *load, uint64_t id)
{
    uint64_t draw = dist_mix(id + SIZE_SALT);
    if (load->kind == WORKLOAD_UPDATE) /* any size, each time another */
        draw = dist_rng_next(&load->rng);
    uint32_t bytes = dist_sizes_pick(&load->sizes, draw);
    if (load->kind == WORKLOAD_GROW) {
        double passed = (double)load->done / (double)load->requests;
        bytes = (uint32_t)(bytes * (0.5 + 3.5 * passed));
    }
    return bytes;
}

static uint32_t exptime_s(const struct workload *load, uint64_t id)
{
    static const uint8_t lives_s[] = {1, 2, 4, 8, 0};
    return load->kind == WORKLOAD_TTL ? lives_s[dist_mix(id + TTL_SALT) % sizeof(lives_s)] : 0;
}

struct workload_request workload_next(struct workload *load)
{
    uint64_t id = id_next(load);
    uint64_t share = update_share(load->kind);
    struct workload_request request = {
        .id = (uint32_t)id,
        .exptime_s = exptime_s(load, id),
        .value_bytes = value_bytes(load, id),
        .update = share != 0 && dist_rng_below(&load->rng, share) == 0,
    };
    load->done++;
    return request;
}
