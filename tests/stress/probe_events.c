/* stress/probe_events.c — what event_note() costs: without a sink, with one when all is alike, and
 * in a flood from random sources, while the thread takes the tables away.
 *
 * Usage: probe_events; prints nanoseconds of processor time per event. Build it without a
 * sanitizer to believe it.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <time.h>

#include "event/event.h"
#include "support/kit.h"

enum { EVENTS = 5000000 };

static double cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double measure(const char *sinks, uint64_t addresses, uint32_t window_s)
{
    char error[EVENTS_ERROR_BYTES];
    struct events *events;
    struct event_source *source;
    const struct events_config config = {.sinks = sinks, .window_s = window_s};
    KIT_CHECK(events_new(&config, &events, error) == 0, "%s", error);
    KIT_CHECK(event_source_new(events, &source) == 0 && events_start(events) == 0, "start");
    uint64_t random = 1;
    const double start_ns = cpu_ns();
    for (unsigned i = 0; i < EVENTS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const uint32_t address = (uint32_t)((random >> 33) % addresses);
        struct ip_peer from = {.port = 53, .family = IP_V4};
        from.ip = ip_of_v4((const uint8_t *)&address);
        event_note(source, &(const struct event){.type = EVENT_UDP_LEGACY_DROPPED,
                                                 .from = &from,
                                                 .to = &from.ip,
                                                 .to_port = 11211,
                                                 .rule = bytes_of("legacy", 6),
                                                 .bytes_in = 15});
    }
    const double end_ns = cpu_ns();
    events_free(events);
    return (end_ns - start_ns) / EVENTS;
}

int main(void)
{
    printf("no sink       %5.1f ns\n", measure(NULL, 1, 10));
    printf("all alike     %5.1f ns\n", measure("file:/dev/null", 1, 10));
    printf("256 prefixes  %5.1f ns\n", measure("file:/dev/null", 1 << 8, 1));
    printf("any source    %5.1f ns\n", measure("file:/dev/null", 1ull << 31, 1));
    return 0;
}
