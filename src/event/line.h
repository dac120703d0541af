/* event/line.h — an entry as a JSON line: Suricata's EVE names and a block `mc` of ours.
 *
 * Names of users and rules may have been chosen by an attacker: what is not printable, and all that
 * JSON needs, is escaped; what is no UTF-8 becomes U+FFFD.
 *
 * Includes: base.  Included by: event.  Pure.
 * Spec:     docs/events.md; RFC 8259; Suricata, EVE JSON output, alert.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "event/table.h"

enum {
    /* All texts escaped byte for byte, and what is around them. */
    EVENT_LINE_BYTES_MAX =
        6 * (EVENT_RULE_BYTES_MAX + EVENT_USER_BYTES_MAX + EVENT_VERB_BYTES_MAX) + 1400,
    EVENT_TIME_BYTES = 32, /* with its NUL */
};

/* Write the line with its LF. Returns its length, at most EVENT_LINE_BYTES_MAX. */
size_t event_line_format(const struct event_entry *entry,
                         char ret_line[static EVENT_LINE_BYTES_MAX]);

/* 2026-01-02T03:04:05.006000+0000; `zone` is what stands at the end. */
void event_time_format(uint64_t unix_ms, const char *zone, char ret_text[static EVENT_TIME_BYTES]);

/* Suricata's: 1 (high) .. 3. */
unsigned event_severity(enum event_type type);
