/* opt/listen.c — the addresses of -l:
 *
 *    [notls:|btls:|mtls:][proto[NAME]:][tag[NAME]: or tag_NAME_:]HOST[:PORT]
 *
 * separated by ',' or ';'. HOST is a name, IPv4, [IPv6], * or a bare IPv6 address, which takes no
 * port. Tags are for memcached's proxy: accepted and forgotten.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "base/num.h"
#include "opt/opt.h"

enum { TAG_BYTES_MAX = 8 };

/* The position of `byte` in `text`, or text.len. */
static size_t find(struct bytes text, char byte)
{
    const uint8_t *at = text.len > 0 ? memchr(text.ptr, byte, text.len) : NULL;
    return at != NULL ? (size_t)(at - text.ptr) : text.len;
}

/* Take "WORD[NAME]:" off the front of `item`. Returns false when it does not start like that. */
static bool bracketed_take(struct bytes *item, const char *word, struct bytes *ret_name)
{
    if (!bytes_starts(*item, bytes_str(word)))
        return false;
    const struct bytes name = bytes_skip(*item, strlen(word));
    const size_t len = find(name, ']');
    if (len + 1 >= name.len || name.ptr[len + 1] != ':')
        return false;
    *ret_name = bytes_of(name.ptr, len);
    *item = bytes_skip(name, len + 2);
    return true;
}

/* Take "tag_NAME_:" off the front. */
static bool underlined_take(struct bytes *item, struct bytes *ret_name)
{
    if (!bytes_starts(*item, bytes_str("tag_")))
        return false;
    const struct bytes name = bytes_skip(*item, 4);
    const size_t len = find(name, '_');
    if (len + 1 >= name.len || name.ptr[len + 1] != ':')
        return false;
    *ret_name = bytes_of(name.ptr, len);
    *item = bytes_skip(name, len + 2);
    return true;
}

static enum opt_listen_tls tls_take(struct bytes *item)
{
    static const struct {
        const char *word;
        enum opt_listen_tls tls;
    } words[] = {
        {"notls:", OPT_LISTEN_NOTLS}, {"btls:", OPT_LISTEN_BTLS}, {"mtls:", OPT_LISTEN_MTLS}};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (bytes_starts(*item, bytes_str(words[i].word))) {
            *item = bytes_skip(*item, strlen(words[i].word));
            return words[i].tls;
        }
    }
    return OPT_LISTEN_DEFAULT;
}

static bool protocol_parse(struct bytes name, enum opt_protocol *ret_protocol)
{
    static const struct {
        const char *name;
        enum opt_protocol protocol;
    } names[] = {{"ascii", OPT_PROTOCOL_TEXT},
                 {"binary", OPT_PROTOCOL_BINARY},
                 {"negotiating", OPT_PROTOCOL_AUTO}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (bytes_is(name, names[i].name)) {
            *ret_protocol = names[i].protocol;
            return true;
        }
    return false;
}

static bool prefixes_take(struct bytes *item, enum opt_protocol *ret_protocol)
{
    struct bytes name;
    *ret_protocol = OPT_PROTOCOL_DEFAULT;
    if (bracketed_take(item, "proto[", &name) && !protocol_parse(name, ret_protocol))
        return false;
    if (bracketed_take(item, "tag[", &name) || underlined_take(item, &name))
        return name.len >= 1 && name.len <= TAG_BYTES_MAX;
    return true;
}

static bool port_parse(struct bytes text, int32_t *ret_port)
{
    uint64_t port;
    if (!num_parse_u64(text, 65535, &port))
        return false;
    *ret_port = (int32_t)port;
    return true;
}

/* Split HOST[:PORT] into its parts. */
static bool host_split(struct bytes item, struct bytes *ret_host, int32_t *ret_port)
{
    *ret_port = -1;
    size_t colon = find(item, ':');
    if (item.len > 0 && item.ptr[0] == '[') {
        const size_t end = find(item, ']');
        if (end == item.len)
            return false;
        *ret_host = bytes_of(item.ptr + 1, end - 1);
        const struct bytes tail = bytes_skip(item, end + 1);
        return tail.len == 0 || (tail.ptr[0] == ':' && port_parse(bytes_skip(tail, 1), ret_port));
    }
    if (colon < item.len && find(bytes_skip(item, colon + 1), ':') + colon + 1 < item.len)
        colon = item.len; /* two colons: a bare IPv6 address */
    *ret_host = bytes_of(item.ptr, colon);
    return colon == item.len || port_parse(bytes_skip(item, colon + 1), ret_port);
}

static bool host_is_plausible(struct bytes host)
{
    if (host.len == 0 || host.len >= sizeof((struct opt_listen){0}.host))
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] <= ' ' || host.ptr[i] >= 127 || strchr("[]/,;'\"", host.ptr[i]) != NULL)
            return false;
    return true;
}

/* Cut the text up to the next separator off the front of `rest`, without blanks in front. */
static struct bytes item_take(struct bytes *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != ',' && rest->ptr[len] != ';')
        len++;
    struct bytes item = bytes_of(rest->ptr, len);
    *rest = bytes_skip(*rest, len < rest->len ? len + 1 : len);
    while (item.len > 0 && item.ptr[0] == ' ')
        item = bytes_skip(item, 1);
    return item;
}

int opt_listen_next(struct bytes *rest, struct opt_listen *ret_listen)
{
    struct bytes item = bytes_of(NULL, 0), host;
    while (item.len == 0) {
        if (rest->len == 0)
            return 0;
        item = item_take(rest);
    }
    int32_t port;
    const enum opt_listen_tls tls = tls_take(&item);
    enum opt_protocol protocol;
    if (!prefixes_take(&item, &protocol) || !host_split(item, &host, &port) ||
        !host_is_plausible(host))
        return -EINVAL;
    memcpy(ret_listen->host, host.ptr, host.len);
    ret_listen->host[host.len] = '\0';
    ret_listen->port = port;
    ret_listen->protocol = protocol;
    ret_listen->tls = tls;
    return 1;
}

enum opt_protocol opt_protocol_of(const struct opts *opts)
{
    enum opt_protocol protocol = OPT_PROTOCOL_AUTO;
    (void)protocol_parse(bytes_str(opts->protocol), &protocol); /* "auto" has no such name */
    return protocol;
}
