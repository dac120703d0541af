/* SPDX-License-Identifier: BSD-3-Clause */
#include "web/http.h"

#include <strings.h>

#include "base/num.h"

/* What is known while the lines of a head are read. */
struct head {
    struct http_request *request;
    unsigned status; /* of the first fault; 0: none so far */
    bool has_host, has_authorization, has_length, close, keep;
};

/* ── bytes ────────────────────────────────────────────────────────────────────────────────── */

/* Of a method or the name of a header: RFC 9110, tchar. */
static bool is_token(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool all_tokens(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_token(text.ptr[i]))
            return false;
    return text.len > 0;
}

/* Of a value: all but control characters; a tab is one that is allowed. */
static bool is_text(uint8_t byte)
{
    return (byte >= ' ' && byte != 0x7f) || byte == '\t';
}

static bool is_same(struct bytes text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.ptr, word, text.len) == 0;
}

static struct bytes blanks_cut(struct bytes text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = bytes_skip(text, 1);
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Take a line off the front of `rest`. Returns HTTP_MORE when its end is not there yet. */
static enum http_rc line_take(struct bytes *rest, struct bytes *ret_line)
{
    for (size_t i = 0; i < rest->len; i++) {
        if (is_text(rest->ptr[i]))
            continue;
        if (rest->ptr[i] != '\r')
            return HTTP_BAD;
        if (i + 1 == rest->len)
            return HTTP_MORE;
        if (rest->ptr[i + 1] != '\n')
            return HTTP_BAD;
        *ret_line = bytes_of(rest->ptr, i);
        *rest = bytes_skip(*rest, i + 2);
        return HTTP_OK;
    }
    return HTTP_MORE;
}

/* ── the first line ───────────────────────────────────────────────────────────────────────── */

static unsigned target_check(struct bytes target, struct http_request *request)
{
    if (target.len == 0 || target.ptr[0] != '/')
        return 400;
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f || target.ptr[i] == '#')
            return 400;
    request->query = target;
    request->path = bytes_part_take(&request->query, '?', NULL);
    return 0;
}

static unsigned version_check(struct bytes version, struct head *head)
{
    if (version.len != 8 || !bytes_starts(version, bytes_str("HTTP/")) || version.ptr[6] != '.' ||
        version.ptr[5] < '0' || version.ptr[5] > '9' || version.ptr[7] < '0' ||
        version.ptr[7] > '9')
        return 400;
    if (version.ptr[5] != '1')
        return 505;
    head->request->keep_alive = version.ptr[7] > '0';
    return 0;
}

static unsigned request_line(struct bytes line, struct head *head)
{
    bool more;
    const struct bytes method = bytes_part_take(&line, ' ', &more);
    if (!more || !all_tokens(method))
        return 400;
    const struct bytes target = bytes_part_take(&line, ' ', &more);
    if (target.len > HTTP_TARGET_BYTES_MAX)
        return 414;
    if (!more)
        return 400;
    unsigned status = version_check(line, head);
    if (status == 0)
        status = target_check(target, head->request);
    if (status != 0)
        return status;
    head->request->method = bytes_is(method, "HEAD") ? HTTP_HEAD : HTTP_GET;
    return bytes_is(method, "HEAD") || bytes_is(method, "GET") ? 0 : 405;
}

/* What is wrong with a first line whose end is not there yet, if that can be told. */
static unsigned line_begins_well(struct bytes line)
{
    size_t len = 0;
    while (len < line.len && line.ptr[len] != ' ')
        if (!is_token(line.ptr[len++]))
            return 400;
    if (len == 0)
        return line.len > 0 ? 400 : 0;
    return line.len > len + HTTP_TARGET_BYTES_MAX + 16 ? 414 : 0;
}

/* ── headers ──────────────────────────────────────────────────────────────────────────────── */

/* It must not come twice. */
static unsigned once(bool *seen, struct bytes value, struct bytes *ret_value)
{
    if (*seen)
        return 400;
    *seen = true;
    *ret_value = value;
    return 0;
}

static void connection_words(struct bytes value, struct head *head)
{
    bool more = true;
    while (more) {
        const struct bytes word = blanks_cut(bytes_part_take(&value, ',', &more));
        head->close = head->close || is_same(word, "close");
        head->keep = head->keep || is_same(word, "keep-alive");
    }
}

static unsigned header_line(struct bytes line, struct head *head)
{
    bool more;
    const struct bytes name = bytes_part_take(&line, ':', &more);
    const struct bytes value = blanks_cut(line);
    struct bytes length;
    uint64_t body_bytes;
    if (!more || !all_tokens(name)) /* also one that begins with a blank: a folded one */
        return 400;
    if (is_same(name, "host"))
        return once(&head->has_host, value, &head->request->host);
    if (is_same(name, "authorization"))
        return once(&head->has_authorization, value, &head->request->authorization);
    if (is_same(name, "transfer-encoding"))
        return 413;
    if (is_same(name, "content-length")) {
        if (once(&head->has_length, value, &length) != 0 ||
            !num_parse_u64(length, UINT64_MAX, &body_bytes))
            return 400;
        return body_bytes > 0 ? 413 : 0;
    }
    if (is_same(name, "connection"))
        connection_words(value, head);
    return 0;
}

static enum http_rc fail(unsigned status, unsigned *ret_status)
{
    *ret_status = status;
    return HTTP_BAD;
}

/* The head has no end so far. */
static enum http_rc unfinished(struct bytes in, unsigned *ret_status)
{
    return in.len >= HTTP_HEAD_BYTES_MAX ? fail(431, ret_status) : HTTP_MORE;
}

enum http_rc http_parse(struct bytes in, struct http_request *ret_request, size_t *ret_used,
                        unsigned *ret_status)
{
    struct http_request request = {0};
    struct head head = {.request = &request};
    struct bytes rest = in, line;
    enum http_rc rc = line_take(&rest, &line);
    unsigned status = rc == HTTP_BAD    ? 400
                      : rc == HTTP_MORE ? line_begins_well(rest)
                                        : request_line(line, &head);
    if (status != 0)
        return fail(status, ret_status);
    if (rc == HTTP_MORE)
        return unfinished(in, ret_status);
    for (unsigned count = 0;; count++) {
        rc = line_take(&rest, &line);
        if (rc == HTTP_MORE)
            return unfinished(in, ret_status);
        if (rc == HTTP_OK && line.len == 0)
            break;
        status = rc == HTTP_BAD ? 400 : count == HTTP_HEADERS_MAX ? 431 : header_line(line, &head);
        if (status != 0)
            return fail(status, ret_status);
    }
    if (in.len - rest.len > HTTP_HEAD_BYTES_MAX)
        return fail(431, ret_status);
    if (request.keep_alive && !head.has_host) /* which HTTP/1.1 has always */
        return fail(400, ret_status);
    request.keep_alive = !head.close && (request.keep_alive || head.keep);
    *ret_request = request;
    *ret_used = in.len - rest.len;
    return HTTP_OK;
}

bool http_query_u64(struct bytes query, const char *name, uint64_t max, uint64_t *ret_value)
{
    bool more = query.len > 0;
    while (more) {
        struct bytes value = bytes_part_take(&query, '&', &more);
        if (bytes_is(bytes_part_take(&value, '=', NULL), name))
            return num_parse_u64(value, max, ret_value);
    }
    return false;
}

/* ── answers ──────────────────────────────────────────────────────────────────────────────── */

const char *http_status_words(unsigned status)
{
    static const struct {
        unsigned status;
        const char *words;
    } rows[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {421, "Misdirected Request"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].status == status)
            return rows[i].words;
    return "";
}

void http_head_write(struct out *out, const struct http_answer *answer)
{
    out_printf(out,
               "HTTP/1.1 %u %s\r\n"
               "Content-Type: %s\r\n"
               "Content-Length: %zu\r\n"
               "Cache-Control: no-store\r\n"
               "X-Content-Type-Options: nosniff\r\n"
               "X-Frame-Options: DENY\r\n"
               "Referrer-Policy: no-referrer\r\n"
               "Cross-Origin-Resource-Policy: same-origin\r\n"
               "Cross-Origin-Opener-Policy: same-origin\r\n"
               "%s"
               "Connection: %s\r\n\r\n",
               answer->status, http_status_words(answer->status), answer->type, answer->body_bytes,
               answer->extra != NULL
                   ? answer->extra
                   : "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n",
               answer->keep_alive ? "keep-alive" : "close");
}
