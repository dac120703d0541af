/* SPDX-License-Identifier: BSD-3-Clause */
#include "event/line.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "base/num.h"

enum { SIGNATURE_FIRST = 11211000 }; /* alert.signature_id is that plus the row's number */

enum action { ACTION_ALLOWED, ACTION_REFUSED, ACTION_LIMITED, ACTION_DROPPED, ACTION_CLOSED };
enum transport { TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_NONE };

struct row {
    uint32_t number;
    uint8_t action, severity, transport;
    const char *category, *help;
};

static const struct row rows[EVENT_TYPE_COUNT] = {
#define EVENT(id, number_, name, action_, severity_, transport_, when, category_, help_)           \
    [EVENT_##id] = {.number = number_,                                                             \
                    .action = ACTION_##action_,                                                    \
                    .severity = severity_,                                                         \
                    .transport = TRANSPORT_##transport_,                                           \
                    .category = category_,                                                         \
                    .help = help_},
#include "tbl/events.def"
};

unsigned event_severity(enum event_type type)
{
    return rows[type].severity;
}

static const char *action_name(enum action action)
{
    switch (action) {
    case ACTION_ALLOWED:
        return "allowed";
    case ACTION_REFUSED:
        return "refused";
    case ACTION_LIMITED:
        return "limited";
    case ACTION_DROPPED:
        return "dropped";
    case ACTION_CLOSED:
        return "closed";
    }
    return "";
}

void event_time_format(uint64_t unix_ms, const char *zone, char ret_text[static EVENT_TIME_BYTES])
{
    const time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL)
        memset(&tm, 0, sizeof(tm));
    char text[24];
    if (strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        text[0] = '\0'; /* a year of more digits than a clock has */
    (void)snprintf(ret_text, EVENT_TIME_BYTES, "%s.%03u000%.5s", text, (unsigned)(unix_ms % 1000),
                   zone);
}

/* ── JSON ─────────────────────────────────────────────────────────────────────────────────── */

struct json {
    char *at, *end;
    bool first; /* of the fields of an object */
};

static void put(struct json *json, const char *text, size_t len)
{
    assert((size_t)(json->end - json->at) >= len); /* EVENT_LINE_BYTES_MAX is enough */
    memcpy(json->at, text, len);
    json->at += len;
}

static void put_str(struct json *json, const char *text)
{
    put(json, text, strlen(text));
}

/* Bytes of the UTF-8 sequence at the start of `text`; 0: it is none, or a control character. */
static size_t utf8_bytes(struct bytes text)
{
    const uint8_t first = text.ptr[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f;
    const size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.len < len)
        return 0;
    uint32_t code = first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text.ptr[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text.ptr[i] & 0x3fu);
    }
    static const uint32_t least[] = {[2] = 0xa0, [3] = 0x800, [4] = 0x10000};
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code >= least[len] && code <= 0x10ffff && !surrogate ? len : 0;
}

static void put_escaped(struct json *json, struct bytes text)
{
    while (text.len > 0) {
        const size_t len = utf8_bytes(text);
        const uint8_t byte = text.ptr[0];
        if (byte == '"' || byte == '\\')
            put(json, "\\", 1);
        if (len > 0) {
            put(json, (const char *)text.ptr, len);
        } else if (byte < 0x80) {
            char escape[8];
            put(json, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", byte));
        } else {
            put_str(json, "\\ufffd");
        }
        text = bytes_skip(text, len > 0 ? len : 1);
    }
}

static void field(struct json *json, const char *name)
{
    put_str(json, json->first ? "\"" : ",\"");
    json->first = false;
    put_str(json, name);
    put_str(json, "\":");
}

static void open_object(struct json *json, const char *name)
{
    if (name != NULL)
        field(json, name);
    put_str(json, "{");
    json->first = true;
}

static void close_object(struct json *json)
{
    put_str(json, "}");
    json->first = false;
}

static void field_bytes(struct json *json, const char *name, struct bytes value)
{
    field(json, name);
    put_str(json, "\"");
    put_escaped(json, value);
    put_str(json, "\"");
}

static void field_str(struct json *json, const char *name, const char *value)
{
    field_bytes(json, name, bytes_str(value));
}

static void field_number(struct json *json, const char *name, uint64_t value)
{
    uint8_t digits[NUM_U64_DIGITS_MAX];
    field(json, name);
    put(json, (const char *)digits, num_format_u64(digits, value));
}

/* A field that is only there when it is true. */
static void field_true(struct json *json, const char *name, bool value)
{
    if (!value)
        return;
    field(json, name);
    put_str(json, "true");
}

static void field_time(struct json *json, const char *name, uint64_t unix_ms)
{
    char text[EVENT_TIME_BYTES];
    event_time_format(unix_ms, "+0000", text);
    field_str(json, name, text);
}

static void field_ip(struct json *json, const char *name, const struct ip *ip)
{
    char text[IP_TEXT_BYTES];
    ip_format(ip, text);
    field_str(json, name, text);
}

/* ── the line ─────────────────────────────────────────────────────────────────────────────── */

static void put_ends(struct json *json, const struct event_entry *entry)
{
    const struct event_key *key = &entry->key;
    if (key->family != IP_LOCAL) {
        field_ip(json, "src_ip", &entry->from.ip);
        if (!entry->ports_differ)
            field_number(json, "src_port", entry->from.port);
    }
    if (!ip_is_unspecified(&entry->to))
        field_ip(json, "dest_ip", &entry->to);
    if (key->to_port != 0)
        field_number(json, "dest_port", key->to_port);
    const enum transport transport = (enum transport)rows[key->type].transport;
    if (transport != TRANSPORT_NONE && (key->family != IP_LOCAL || key->other))
        field_str(json, "proto", transport == TRANSPORT_UDP ? "UDP" : "TCP");
    field_str(json, "app_proto", "memcached");
}

static void put_alert(struct json *json, const struct event_key *key)
{
    const struct row *row = &rows[key->type];
    const bool allowed = row->action == ACTION_ALLOWED || key->dry_run;
    open_object(json, "alert");
    field_str(json, "action", allowed ? "allowed" : "blocked");
    field_number(json, "gid", 1);
    field_number(json, "signature_id", SIGNATURE_FIRST + row->number);
    field_number(json, "rev", 1);
    field_str(json, "signature", row->help);
    field_str(json, "category", row->category);
    field_number(json, "severity", row->severity);
    close_object(json);
}

static void put_prefix(struct json *json, const struct event_key *key)
{
    if (key->family == IP_LOCAL)
        return;
    const struct ip_prefix prefix = {
        .ip = key->prefix,
        .bits =
            key->family == IP_V4 ? IP_V4_BITS + EVENT_PREFIX_V4_BITS : (int)EVENT_PREFIX_V6_BITS,
    };
    char text[IP_PREFIX_TEXT_BYTES];
    ip_prefix_format(&prefix, text);
    field_str(json, "prefix", text);
}

static void put_mc(struct json *json, const struct event_entry *entry)
{
    const struct event_key *key = &entry->key;
    open_object(json, "mc");
    field_str(json, "type", event_name((enum event_type)key->type));
    field_str(json, "action",
              key->dry_run ? "allowed" : action_name((enum action)rows[key->type].action));
    if (key->rule_bytes > 0)
        field_bytes(json, "rule", bytes_of(key->rule, key->rule_bytes));
    put_prefix(json, key);
    if (key->verb[0] != '\0')
        field_bytes(json, "verb", bytes_of(key->verb, strnlen(key->verb, sizeof(key->verb))));
    if (entry->user_bytes > 0)
        field_bytes(json, "user", bytes_of(entry->user, entry->user_bytes));
    field_true(json, "users_differ", entry->users_differ);
    field_number(json, "count", entry->count);
    if (key->from && key->family != IP_LOCAL)
        field_number(json, "sources", event_entry_sources(entry));
    field_number(json, "bytes_in", entry->bytes_in);
    field_number(json, "bytes_out", entry->bytes_out);
    field_time(json, "first", entry->first_ms);
    field_time(json, "last", entry->last_ms);
    field_true(json, "local", key->from && key->family == IP_LOCAL);
    field_true(json, "dry_run", key->dry_run);
    field_true(json, "other", key->other);
    close_object(json);
}

size_t event_line_format(const struct event_entry *entry,
                         char ret_line[static EVENT_LINE_BYTES_MAX])
{
    struct json json = {.at = ret_line, .end = ret_line + EVENT_LINE_BYTES_MAX};
    open_object(&json, NULL);
    field_time(&json, "timestamp", entry->last_ms);
    field_str(&json, "event_type", "alert");
    put_ends(&json, entry);
    put_alert(&json, &entry->key);
    put_mc(&json, entry);
    close_object(&json);
    put_str(&json, "\n");
    return (size_t)(json.at - ret_line);
}
