/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/trace.h"

#include <stdio.h>

#include "base/log.h"
#include "base/num.h"
#include "proto/binary.h"
#include "proto/text.h"
#include "server/login.h"

enum { LINE_BYTES_MAX = 200, BINARY_HEAD_BYTES = 24 };

/* May this worker print one more line now? */
static bool line_is_due(struct session_worker *worker)
{
    if (worker->trace_s != worker->cmd.now_s) {
        if (worker->trace_lines > TRACE_LINES_PER_S)
            log_plain(LOG_CONN, "... %u more lines", worker->trace_lines - TRACE_LINES_PER_S);
        worker->trace_s = worker->cmd.now_s;
        worker->trace_lines = 0;
    }
    return ++worker->trace_lines <= TRACE_LINES_PER_S;
}

/* "<28 text". What a terminal might take for a command is shown as \xNN. */
static void line_print(struct session_worker *worker, char direction, int fd, struct bytes text)
{
    if (!line_is_due(worker))
        return;
    char line[4 * LINE_BYTES_MAX + 1];
    size_t len = 0;
    const bool cut = text.len > LINE_BYTES_MAX;
    for (size_t i = 0; i < (cut ? LINE_BYTES_MAX : text.len); i++) {
        const uint8_t byte = text.ptr[i];
        if (byte >= ' ' && byte < 127)
            line[len++] = (char)byte;
        else
            len += (size_t)snprintf(line + len, 5, "\\x%02x", byte);
    }
    line[len] = '\0';
    log_plain(LOG_CONN, "%c%d %s%s", direction, fd, line, cut ? "..." : "");
}

/* The line at the start of `text`, without its end; *ret_used counts that, too. */
static struct bytes line_of(struct bytes text, size_t *ret_used)
{
    const uint8_t *end = text.len > 0 ? memchr(text.ptr, '\n', text.len) : NULL;
    size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
    *ret_used = end != NULL ? len + 1 : len;
    if (len > 0 && text.ptr[len - 1] == '\r')
        len--;
    return bytes_of(text.ptr, len);
}

/* ── text ─────────────────────────────────────────────────────────────────────────────────── */

static void text_requests(struct session_worker *worker, int fd, struct bytes in)
{
    while (in.len > 0) {
        struct proto_request req;
        size_t head = 0, line_bytes;
        line_print(worker, '<', fd, line_of(in, &line_bytes));
        if (proto_text_parse(in, &req, &head) != PROTO_OK)
            head = line_bytes;
        else if (req.has_value && req.value_bytes < in.len - head)
            head += (size_t)req.value_bytes + req.tail_bytes;
        else if (req.has_value)
            head = in.len;
        in = bytes_skip(in, head < in.len ? head : in.len);
    }
}

/* The length of the value that follows an answer's line: VALUE key flags N, VA N. */
static uint64_t value_bytes_after(struct bytes line)
{
    static const struct {
        const char *word;
        int tokens; /* before the number */
    } forms[] = {{"VALUE ", 3}, {"VA ", 1}};
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if (!bytes_starts(line, bytes_str(forms[i].word)))
            continue;
        for (int left = forms[i].tokens; left > 0; left--) {
            const uint8_t *blank = memchr(line.ptr, ' ', line.len);
            if (blank == NULL)
                return 0;
            line = bytes_skip(line, (size_t)(blank + 1 - line.ptr));
        }
        const uint8_t *end = memchr(line.ptr, ' ', line.len);
        uint64_t bytes = 0;
        if (num_parse_u64(bytes_of(line.ptr, end != NULL ? (size_t)(end - line.ptr) : line.len),
                          UINT32_MAX, &bytes))
            return bytes;
    }
    return 0;
}

/* Does a value begin at this place of the buffer that lies elsewhere? */
static bool blob_begins(const struct out *out, size_t at)
{
    for (size_t i = 0; i < out->blob_count; i++)
        if (out->blobs[i].at == at)
            return true;
    return false;
}

static void text_answers(struct session_worker *worker, int fd, const struct out *out, size_t at)
{
    while (at < out->len) {
        size_t used;
        const struct bytes line = line_of(bytes_of(out->buf + at, out->len - at), &used);
        line_print(worker, '>', fd, line);
        at += used;
        const uint64_t value = value_bytes_after(line);
        if (value == 0 && !bytes_starts(line, bytes_str("VA")))
            continue;
        if (!blob_begins(out, at))
            at += (size_t)value;
        at += 2; /* CR LF behind it */
    }
}

/* ── binary ───────────────────────────────────────────────────────────────────────────────── */

/* Print the head at the start of `all`. Returns the bytes from it to the next one, and in
 * *ret_value_at where in them the value begins; 0: there is no whole head. */
static uint64_t binary_head(struct session_worker *worker, char direction, int fd, struct bytes all,
                            size_t *ret_value_at)
{
    if (all.len < BINARY_HEAD_BYTES)
        return 0;
    const uint8_t *head = all.ptr;
    const size_t key = (size_t)head[2] << 8 | head[3], extras = head[4];
    const uint64_t body =
        (uint64_t)head[8] << 24 | (uint64_t)head[9] << 16 | (uint64_t)head[10] << 8 | head[11];
    uint8_t text[64 + LINE_BYTES_MAX];
    int len =
        snprintf((char *)text, 64, "binary 0x%02x, %llu bytes", head[1], (unsigned long long)body);
    if (direction == '>')
        len += snprintf((char *)text + len, 24, ", status 0x%02x%02x", head[6], head[7]);
    *ret_value_at = BINARY_HEAD_BYTES + extras + key;
    if (key > 0 && key < LINE_BYTES_MAX && all.len >= *ret_value_at) {
        text[len++] = ' ';
        memcpy(text + len, head + BINARY_HEAD_BYTES + extras, key);
        len += (int)key;
    }
    line_print(worker, direction, fd, bytes_of(text, (size_t)len));
    return BINARY_HEAD_BYTES + body;
}

static void binary_requests(struct session_worker *worker, int fd, struct bytes in)
{
    uint64_t whole;
    size_t value_at;
    while ((whole = binary_head(worker, '<', fd, in, &value_at)) > 0)
        in = bytes_skip(in, whole < in.len ? (size_t)whole : in.len);
}

static void binary_answers(struct session_worker *worker, int fd, const struct out *out, size_t at)
{
    uint64_t whole;
    size_t value_at;
    while (at < out->len &&
           (whole = binary_head(worker, '>', fd, bytes_of(out->buf + at, out->len - at),
                                &value_at)) > 0)
        at += blob_begins(out, at + value_at) ? value_at : (size_t)whole;
}

/* ── run ──────────────────────────────────────────────────────────────────────────────────── */

static COLD enum net_rc run_traced(struct session_worker *worker, void **session, struct net_io *io)
{
    const bool fresh = (*io->note & (SESSION_TEXT | SESSION_BINARY)) == 0;
    const bool resumed = *session != NULL; /* the input is a value, or a request printed before */
    const bool stranger = login_wanted(worker, io);
    const size_t answers_at = io->out->len;
    const enum net_rc rc = session_run(worker, session, io);
    const bool binary = (*io->note & SESSION_BINARY) != 0;
    if (fresh)
        log_plain(LOG_CONN, "%d: Client using the %s protocol", io->fd,
                  binary ? "binary" : "ascii");
    const bool suspended = !resumed && *session != NULL && rc == NET_YIELD;
    size_t line_bytes;
    if (stranger && !binary && io->used > 0) /* not a word: it may be a misplaced password */
        line_print(worker, '<', io->fd, bytes_str("a login"));
    else if (!resumed && binary)
        binary_requests(worker, io->fd, bytes_of(io->in.ptr, io->used));
    else if (!resumed)
        text_requests(worker, io->fd, bytes_of(io->in.ptr, io->used));
    if (suspended)
        line_print(worker, '<', io->fd, line_of(bytes_skip(io->in, io->used), &line_bytes));
    if (binary)
        binary_answers(worker, io->fd, io->out, answers_at);
    else
        text_answers(worker, io->fd, io->out, answers_at);
    if (rc == NET_CLOSE)
        log_plain(LOG_CONN, "<%d connection closed.", io->fd);
    return rc;
}

enum net_rc trace_run(void *arg, void **session, struct net_io *io)
{
    if (LIKELY(log_level_get() < LOG_CONN))
        return session_run(arg, session, io);
    return run_traced(arg, session, io);
}
