/* The lines that watchers read, one function for each kind.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "base/ip.h"
#include "base/uri.h"
#include "logger/logger_priv.h"

enum { CLASS = 1 }; /* the one size class that `stats items` shows */

static const char *const stream_names[LOGGER_STREAMS] = {
    "fetchers", "mutations", "evictions", "connevents",  "sysevents",
    "rawcmds",  "deletions", "proxyreqs", "proxyevents", "proxyuser",
};

const uint32_t entry_streams[LOGGER_TYPE_COUNT] = {
    [LOGGER_ITEM_GET] = LOGGER_FETCHERS,         [LOGGER_ITEM_STORE] = LOGGER_MUTATIONS,
    [LOGGER_DELETED] = LOGGER_DELETIONS,         [LOGGER_PREFIX_DELETED] = LOGGER_DELETIONS,
    [LOGGER_EVICTION] = LOGGER_EVICTIONS,        [LOGGER_CONN_NEW] = LOGGER_CONNEVENTS,
    [LOGGER_CONN_CLOSE] = LOGGER_CONNEVENTS,     [LOGGER_CONN_ERROR] = LOGGER_CONNEVENTS,
    [LOGGER_CONN_TLS_ERROR] = LOGGER_CONNEVENTS,
};

static const char *const lookups[] = {"not_found", "found", "flushed", "expired"};
static const char *const outcomes[] = {"not_stored", "stored",    "exists",
                                       "not_found",  "too_large", "no_memory"};
static const char *const verbs[] = {"add", "set",    "replace", "append",        "prepend",
                                    "cas", "delete", "md",      "delete_prefix", "mdp"};
static const char *const reasons[] = {"error", "normal", "idle_timeout", "shutdown"};

uint32_t logger_stream_find(struct bytes name)
{
    for (unsigned i = 0; i < LOGGER_STREAMS; i++)
        if (bytes_is(name, stream_names[i]))
            return 1u << i;
    return 0;
}

/* ── parts of a line ──────────────────────────────────────────────────────────────────────── */

enum { KEY_BYTES_MAX = URI_BYTES_PER_BYTE_MAX * LOGGER_TEXT_BYTES_MAX + 1 };

/* The key as a C string. */
static const char *key_text(const struct entry *entry, char dst[KEY_BYTES_MAX])
{
    *uri_write((uint8_t *)dst, bytes_of(entry->text, entry->text_bytes)) = '\0';
    return dst;
}

struct peer_text {
    char ip[IP_TEXT_BYTES];
    unsigned port;
    const char *transport;
};

static void peer_print(const struct entry *entry, struct peer_text *ret_text)
{
    struct ip_peer peer = {.family = IP_LOCAL};
    if (entry->text_bytes == sizeof(peer))
        memcpy(&peer, entry->text, sizeof(peer));
    *ret_text = (struct peer_text){.ip = "unix", .transport = "local"};
    if (peer.family == IP_LOCAL)
        return;
    ret_text->transport = "tcp";
    ret_text->port = peer.port;
    ip_format(&peer.ip, ret_text->ip);
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static int format_item(const struct entry *e, char *dst, size_t max)
{
    char key[KEY_BYTES_MAX];
    (void)key_text(e, key);
    if (e->type == LOGGER_ITEM_GET)
        return snprintf(dst, max, "type=item_get key=%s status=%s clsid=%d cfd=%d size=%" PRIu64,
                        key, lookups[e->status], e->status == LOGGER_FOUND ? CLASS : 0, e->fd,
                        e->value_bytes);
    if (e->type == LOGGER_ITEM_STORE) {
        /* memcached shows the lifetime as 32 bits without a sign. What could not be stored at all
         * has no class. */
        const bool refused = e->status == LOGGER_TOO_LARGE || e->status == LOGGER_NO_MEMORY;
        return snprintf(dst, max,
                        "type=item_store key=%s status=%s cmd=%s ttl=%u clsid=%d cfd=%d "
                        "size=%" PRIu64,
                        key, outcomes[e->status], verbs[e->verb], (unsigned)e->ttl_s,
                        refused ? 0 : CLASS, e->fd, e->value_bytes);
    }
    if (e->type == LOGGER_DELETED)
        return snprintf(dst, max, "type=deleted key=%s cmd=%s clsid=%d size=%" PRIu64, key,
                        verbs[e->verb], CLASS, e->value_bytes);
    if (e->type == LOGGER_PREFIX_DELETED)
        return snprintf(dst, max, "type=prefix_deleted prefix=%s cmd=%s cfd=%d", key,
                        verbs[e->verb], e->fd);
    return snprintf(dst, max,
                    "type=eviction key=%s fetch=%s ttl=%" PRId64 " la=%u clsid=%d size=%" PRIu64,
                    key, e->fetched ? "yes" : "no", e->ttl_s, e->idle_s, CLASS, e->value_bytes);
}

static int format_conn(const struct entry *e, char *dst, size_t max)
{
    struct peer_text peer;
    peer_print(e, &peer);
    if (e->type == LOGGER_CONN_NEW)
        return snprintf(dst, max, "type=conn_new rip=%s rport=%u transport=%s cfd=%d", peer.ip,
                        peer.port, peer.transport, e->fd);
    return snprintf(dst, max, "type=conn_close rip=%s rport=%u transport=%s reason=%s cfd=%d",
                    peer.ip, peer.port, peer.transport, reasons[e->status], e->fd);
}

/* The message stays one line whatever is in it. */
static int format_error(const struct entry *e, char *dst, size_t max)
{
    char text[LOGGER_TEXT_BYTES_MAX];
    for (uint32_t i = 0; i < e->text_bytes; i++)
        text[i] = e->text[i] >= ' ' && e->text[i] != 0x7f ? (char)e->text[i] : ' ';
    return snprintf(dst, max, "type=%s fd=%d msg=%.*s",
                    e->type == LOGGER_CONN_ERROR ? "connerr" : "conntlserr", e->fd,
                    (int)e->text_bytes, text);
}

size_t entry_format(const struct entry *entry, char dst[LOGGER_LINE_BYTES_MAX])
{
    /* The microseconds are not padded, as memcached's. */
    int len = snprintf(dst, LOGGER_LINE_BYTES_MAX, "ts=%" PRId64 ".%d gid=%" PRIu64 " ",
                       entry->time_us / 1000000, (int)(entry->time_us % 1000000), entry->gid);
    char *const rest = dst + len;
    const size_t max = LOGGER_LINE_BYTES_MAX - (size_t)len;
    switch ((enum logger_type)entry->type) {
    case LOGGER_ITEM_GET:
    case LOGGER_ITEM_STORE:
    case LOGGER_DELETED:
    case LOGGER_PREFIX_DELETED:
    case LOGGER_EVICTION:
        len += format_item(entry, rest, max);
        break;
    case LOGGER_CONN_NEW:
    case LOGGER_CONN_CLOSE:
        len += format_conn(entry, rest, max);
        break;
    case LOGGER_CONN_ERROR:
    case LOGGER_CONN_TLS_ERROR:
        len += format_error(entry, rest, max);
        break;
    case LOGGER_TYPE_COUNT: /* never written by anybody */
        break;
    }
    dst[len] = '\n'; /* instead of the NUL */
    return (size_t)len + 1;
}
