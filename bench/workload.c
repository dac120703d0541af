/* bench/workload.c — see workload.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCAN_CYCLE = 100000, /* requests from one scan to the next */
    SCAN_BURST = 30000,  /* of which a scan takes this many */
    SHIFT_PERIOD = 20,   /* requests until a new key comes in at the top */
    RECENCY_FRESH = 10,  /* one request of that many asks for a new key */
    SESSION_FRESH = 6,
    JUMPS = 8, /* of popularity in a whole stream */
    LIVES_MAX = 8,
    SIZE_SALT = 0x51e5,
    TTL_SALT = 0x77e1,
};

/* Which key comes next. */
enum source {
    POPULAR, /* zipf over all keys; exponent 0: each as likely as any other */
    SCAN,    /* zipf, and bursts of keys that come once: 30 % of the requests */
    SHIFT,   /* new keys appear at the top of a zipf and sink */
    JUMP,    /* zipf; now and then all keys change places at once */
    WAVE,    /* the same, between two orders: what was popular is so again */
    ONCE,    /* zipf, and among them keys that come once: half of the requests */
    LOOP,    /* all keys in turn, again and again */
    LOOPED,  /* half zipf, half a loop over a tenth of as many other keys */
    RECENCY, /* the same key again after a log-uniform distance; a tenth are new keys */
    NEAR,    /* after an exponential distance: nearly all of them short */
    SESSION, /* a new key is asked for a few times within a short while, and then no more */
};

/* Web-like values: half below 250 bytes, a mean of about 500. */
#define WEB "lognormal:250:1.2:50:8192"
/* Pages and pictures: half below 4 KiB, a mean of about 12 KiB. */
#define PAGES "lognormal:4096:1.5:200:524288"

struct workload_shape {
    const char *name;
    enum source source;
    double exponent; /* of the zipf */
    const char *sizes;
    const char *large_sizes; /* of one key in large_one_in; NULL: none */
    uint32_t large_one_in;
    uint32_t update_one_in; /* requests that set; 0: none */
    bool resized;           /* each set has another size */
    double grow_from, grow_by;
    uint8_t lives_s[LIVES_MAX]; /* of so many kinds of keys; 0: for ever */
    uint8_t lives;
};

static const struct workload_shape shapes[] = {
    {.name = "zipf0.9", .source = POPULAR, .exponent = 0.9, .sizes = WEB},
    {.name = "zipf1.0", .source = POPULAR, .exponent = 1.0, .sizes = WEB},
    {.name = "scan", .source = SCAN, .exponent = 1.0, .sizes = WEB},
    {.name = "shift", .source = SHIFT, .exponent = 1.0, .sizes = WEB},
    {.name = "ttl",
     .source = POPULAR,
     .exponent = 1.0,
     .sizes = WEB,
     .lives_s = {1, 2, 4, 8, 0},
     .lives = 5},
    {.name = "update",
     .source = POPULAR,
     .exponent = 1.0,
     .sizes = WEB,
     .update_one_in = 2,
     .resized = true},
    {.name = "grow",
     .source = POPULAR,
     .exponent = 1.0,
     .sizes = WEB,
     .update_one_in = 10,
     .grow_from = 0.5,
     .grow_by = 3.5},
    {.name = "recency", .source = RECENCY, .sizes = WEB},
    {.name = "large", .source = POPULAR, .exponent = 0.9, .sizes = PAGES},
    {.name = "near", .source = NEAR, .sizes = WEB},
    {.name = "session", .source = SESSION, .sizes = WEB},
    {.name = "loop", .source = LOOP, .sizes = WEB},
    {.name = "looped", .source = LOOPED, .exponent = 1.0, .sizes = WEB},
    {.name = "jump", .source = JUMP, .exponent = 1.0, .sizes = WEB},
    {.name = "wave", .source = WAVE, .exponent = 1.0, .sizes = WEB},
    {.name = "once", .source = ONCE, .exponent = 1.0, .sizes = WEB},
    {.name = "uniform", .source = POPULAR, .exponent = 0.0, .sizes = WEB},
    {.name = "counter",
     .source = POPULAR,
     .exponent = 0.9,
     .sizes = "uniform:1:20",
     .update_one_in = 2},
    {.name = "mixed",
     .source = POPULAR,
     .exponent = 0.9,
     .sizes = "lognormal:120:0.6:20:2000",
     .large_sizes = "lognormal:20000:1:4000:400000",
     .large_one_in = 50},
    {.name = "huge",
     .source = POPULAR,
     .exponent = 0.7,
     .sizes = "lognormal:150000:0.8:20000:900000"},
    {.name = "brief",
     .source = SHIFT,
     .exponent = 1.0,
     .sizes = WEB,
     .lives_s = {1, 2, 3},
     .lives = 3},
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

const struct workload_shape *workload_find(const char *name)
{
    for (size_t i = 0; i < SHAPES; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

const char *workload_names(void)
{
    static char text[512];
    size_t len = 0;
    for (size_t i = 0; i < SHAPES && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i > 0 ? " " : "",
                                shapes[i].name);
    return text;
}

bool workload_init(struct workload *load, const struct workload_shape *shape, uint64_t keys,
                   uint64_t requests)
{
    *load =
        (struct workload){.shape = shape, .keys = keys, .requests = requests, .rng = {.state = 7}};
    dist_zipf_init(&load->zipf, keys, shape->exponent);
    if (!dist_sizes_parse(&load->sizes, shape->sizes) ||
        (shape->large_sizes != NULL && !dist_sizes_parse(&load->large_sizes, shape->large_sizes)))
        return false;
    if (shape->source == RECENCY || shape->source == NEAR) {
        load->history = calloc(WORKLOAD_HISTORY, sizeof(*load->history));
        return load->history != NULL;
    }
    if (shape->source != SESSION)
        load->fresh_next = keys; /* below it: the popular ones, or those that are there already */
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

/* Popular keys are scattered by a prime factor: neighbours in rank are strangers in id. `order`
 * tells one scattering from another. */
static uint64_t id_popular(struct workload *load, uint64_t order)
{
    const uint64_t rank = dist_zipf_next(&load->zipf, &load->rng);
    return (rank + order * (load->keys / JUMPS)) * UINT64_C(2654435761) % load->keys;
}

/* A key that was asked for `distance` requests ago, or a new one. */
static uint64_t id_again(struct workload *load, uint64_t fresh_one_in, double distance)
{
    const uint64_t reach = load->done < WORKLOAD_HISTORY ? load->done : WORKLOAD_HISTORY;
    uint64_t id;
    if (reach < 2 || dist_rng_below(&load->rng, fresh_one_in) == 0)
        id = load->fresh_next++;
    else {
        if (load->shape->source == RECENCY)
            distance = exp(dist_rng_unit(&load->rng) * log((double)reach));
        const uint64_t back = distance < (double)reach ? (uint64_t)distance : reach - 1;
        id = load->history[(load->done - (back > 0 ? back : 1)) % WORKLOAD_HISTORY];
    }
    load->history[load->done % WORKLOAD_HISTORY] = (uint32_t)id;
    return id;
}

static double exponential(struct workload *load, double mean)
{
    return -log(1.0 - dist_rng_unit(&load->rng)) * mean;
}

/* A new key now and then; the others are asked for soon after they were new. */
static uint64_t id_session(struct workload *load)
{
    if (load->fresh_next == 0 || load->done % SESSION_FRESH == 0)
        return load->fresh_next++;
    const double age = exponential(load, (double)load->keys / 16.0);
    return age < (double)load->fresh_next ? load->fresh_next - 1 - (uint64_t)age : 0;
}

static uint64_t id_next(struct workload *load)
{
    const uint64_t jump = load->done * JUMPS / load->requests;
    switch (load->shape->source) {
    case SCAN:
        if (load->done % SCAN_CYCLE < SCAN_BURST)
            return load->fresh_next++;
        return id_popular(load, 0);
    case SHIFT:
        if (load->done % SHIFT_PERIOD == 0)
            load->fresh_next++;
        return load->fresh_next - 1 - dist_zipf_next(&load->zipf, &load->rng);
    case JUMP:
        return id_popular(load, jump);
    case WAVE:
        return id_popular(load, jump % 2 * (JUMPS / 2));
    case ONCE:
        return load->done % 2 == 0 ? id_popular(load, 0) : load->fresh_next++;
    case LOOP:
        return load->done % load->keys;
    case LOOPED:
        return load->done % 2 == 0 ? id_popular(load, 0)
                                   : load->keys + load->done / 2 % (load->keys / 10);
    case RECENCY:
        return id_again(load, RECENCY_FRESH, 0.0);
    case NEAR:
        return id_again(load, RECENCY_FRESH, exponential(load, (double)load->keys / 8.0));
    case SESSION:
        return id_session(load);
    case POPULAR:
        break;
    }
    return id_popular(load, 0);
}

static uint32_t value_bytes(struct workload *load, uint64_t id)
{
    const struct workload_shape *shape = load->shape;
    uint64_t draw = dist_mix(id + SIZE_SALT);
    if (shape->resized)
        draw = dist_rng_next(&load->rng);
    if (shape->large_one_in > 0 && draw / DIST_SIZE_QUANTILES % shape->large_one_in == 0)
        return dist_sizes_pick(&load->large_sizes, draw);
    const uint32_t bytes = dist_sizes_pick(&load->sizes, draw);
    if (shape->grow_by <= 0.0)
        return bytes;
    const double passed = (double)load->done / (double)load->requests;
    return (uint32_t)(bytes * (shape->grow_from + shape->grow_by * passed));
}

static uint32_t exptime_s(const struct workload *load, uint64_t id)
{
    const struct workload_shape *shape = load->shape;
    return shape->lives > 0 ? shape->lives_s[dist_mix(id + TTL_SALT) % shape->lives] : 0;
}

struct workload_request workload_next(struct workload *load)
{
    const uint64_t id = id_next(load);
    const uint32_t one_in = load->shape->update_one_in;
    struct workload_request request = {
        .id = (uint32_t)id,
        .exptime_s = exptime_s(load, id),
        .value_bytes = value_bytes(load, id),
        .update = one_in != 0 && dist_rng_below(&load->rng, one_in) == 0,
    };
    load->done++;
    return request;
}
