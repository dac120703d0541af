/* cli/dump.c — `matte dump`, `load` and `copy`.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#include "cli/leave.h"
#include "cli/transfer.h"

enum { BUFFER_BYTES = 1 << 20 };

/* ── writing a file ───────────────────────────────────────────────────────────────────────── */

struct dump {
    const char *path;
    char *temporary; /* NULL: standard output */
    FILE *file;
    uint64_t number;
    struct cli_tally *tally;
};

static enum cli_exit dump_failed(const struct dump *dump)
{
    cli_error("%s: %s", dump->path, strerror(errno));
    return CLI_FAILED;
}

/* A new file beside it, which gets its name when it is whole: nobody ever sees half a dump. */
static enum cli_exit dump_open(struct dump *dump)
{
    if (strcmp(dump->path, "-") == 0) {
        if (isatty(STDOUT_FILENO)) {
            cli_error("a dump is not for a terminal; name a file");
            return CLI_USAGE;
        }
        dump->file = stdout;
        return CLI_FINE;
    }
    const size_t len = strlen(dump->path) + 8;
    dump->temporary = malloc(len);
    if (dump->temporary == NULL)
        return dump_failed(dump);
    snprintf(dump->temporary, len, "%s.XXXXXX", dump->path);
    const int fd = mkostemp(dump->temporary, O_CLOEXEC); /* for its owner alone */
    if (fd < 0) {
        free(dump->temporary);
        dump->temporary = NULL;
        return dump_failed(dump);
    }
    cli_leave_file(dump->temporary);
    dump->file = fdopen(fd, "wb");
    return dump->file == NULL ? dump_failed(dump) : CLI_FINE;
}

static bool pieces_write(const struct dump *dump, const struct cli_dump_frame *frame,
                         struct bytes value)
{
    return fwrite(frame->head, 1, frame->head_bytes, dump->file) == frame->head_bytes &&
           (value.len == 0 || fwrite(value.ptr, 1, value.len, dump->file) == value.len) &&
           fwrite(frame->sum, 1, sizeof(frame->sum), dump->file) == sizeof(frame->sum);
}

static enum cli_exit dump_take(void *arg, const struct cli_dump_item *item)
{
    struct dump *dump = arg;
    struct cli_dump_frame frame;
    cli_dump_item_frame(item, dump->number++, &frame);
    if (!pieces_write(dump, &frame, item->value))
        return dump_failed(dump);
    dump->tally->items++;
    dump->tally->bytes += item->key.len + item->value.len;
    return CLI_FINE;
}

/* Have the name's change on the disk, too. */
static void folder_sync(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    const size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (len >= sizeof(folder))
        return;
    snprintf(folder, sizeof(folder), "%.*s", (int)len, path);
    const int fd = open(len == 0 ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd); /* some file systems cannot */
    (void)close(fd);
}

static enum cli_exit dump_finish(struct dump *dump)
{
    struct cli_dump_frame frame;
    cli_dump_end_frame(dump->number, &frame);
    if (!pieces_write(dump, &frame, bytes_of(NULL, 0)) || fflush(dump->file) != 0)
        return dump_failed(dump);
    if (dump->temporary == NULL)
        return CLI_FINE;
    if (fsync(fileno(dump->file)) != 0 || rename(dump->temporary, dump->path) != 0)
        return dump_failed(dump);
    cli_leave_file(NULL);
    folder_sync(dump->path);
    free(dump->temporary);
    dump->temporary = NULL;
    return CLI_FINE;
}

static void dump_close(struct dump *dump)
{
    if (dump->file != NULL && dump->file != stdout)
        (void)fclose(dump->file);
    if (dump->temporary != NULL)
        (void)unlink(dump->temporary);
    cli_leave_file(NULL);
    free(dump->temporary);
}

enum cli_exit cli_dump(const struct cli_args *args)
{
    struct cli_tally tally;
    cli_tally_start(&tally);
    struct dump dump = {.path = args->words[0], .tally = &tally};
    uint8_t head[CLI_DUMP_HEAD_BYTES];
    enum cli_exit code = dump_open(&dump);
    if (code == CLI_FINE) {
        cli_dump_head_write(head, (uint64_t)time(NULL));
        if (fwrite(head, 1, sizeof(head), dump.file) != sizeof(head))
            code = dump_failed(&dump);
    }
    if (code == CLI_FINE)
        code = cli_fetch_run(args, (struct cli_taker){dump_take, &dump}, &tally);
    if (code == CLI_FINE)
        code = dump_finish(&dump);
    if (code == CLI_FINE)
        cli_tally_end(&tally, "Dumped", args->json, dump.file == stdout ? stderr : stdout);
    dump_close(&dump);
    return code != CLI_FINE || tally.failed == 0 ? code : CLI_NO;
}

/* ── reading a file ───────────────────────────────────────────────────────────────────────── */

struct reader {
    int fd;
    uint8_t *buffer;
    size_t start, end, cap;
    bool at_end;
};

/* Read until there are `bytes`, or the end of the file has come. The buffer grows by what has come,
 * not by what a damaged length announces. Returns false with errno. */
static bool more_read(struct reader *reader, size_t bytes)
{
    while (!reader->at_end && reader->end - reader->start < bytes) {
        if (reader->start > 0 && reader->end == reader->cap) {
            memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
            reader->end -= reader->start;
            reader->start = 0;
        }
        if (reader->end == reader->cap) {
            const size_t cap = reader->cap == 0 ? BUFFER_BYTES : reader->cap * 2;
            uint8_t *buffer = realloc(reader->buffer, cap);
            if (buffer == NULL)
                return false;
            reader->buffer = buffer;
            reader->cap = cap;
        }
        const ssize_t count =
            read(reader->fd, reader->buffer + reader->end, reader->cap - reader->end);
        if (count < 0 && errno != EINTR)
            return false;
        reader->at_end = count == 0;
        reader->end += count > 0 ? (size_t)count : 0;
    }
    return true;
}

static struct bytes input(const struct reader *reader)
{
    return bytes_of(reader->buffer + reader->start, reader->end - reader->start);
}

static enum cli_exit file_bad(const char *path, const char *what, uint64_t number)
{
    cli_error("%s: %s (record %" PRIu64 ")", path, what, number);
    return CLI_FAILED;
}

static enum cli_exit head_read(struct reader *reader, const char *path)
{
    uint64_t created_s;
    if (!more_read(reader, CLI_DUMP_HEAD_BYTES)) {
        cli_error("%s: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    switch (cli_dump_head_parse(input(reader), &created_s)) {
    case CLI_DUMP_WHOLE:
        reader->start += CLI_DUMP_HEAD_BYTES;
        return CLI_FINE;
    case CLI_DUMP_NEWER:
        cli_error("%s: a dump of a version that this matte does not know", path);
        return CLI_FAILED;
    case CLI_DUMP_MORE:
    case CLI_DUMP_BAD:
        break;
    }
    cli_error("%s: not a file of `matte dump`", path);
    return CLI_FAILED;
}

/* Pass on what the filter takes. */
static enum cli_exit record_take(const struct cli_filter *filter, struct cli_taker taker,
                                 const struct cli_dump_item *item)
{
    struct cli_meta meta = {.key_bytes = item->key.len};
    memcpy(meta.key, item->key.ptr, item->key.len);
    return cli_filter_takes(filter, &meta, 0) ? taker.take(taker.arg, item) : CLI_FINE;
}

static enum cli_exit records_read(struct reader *reader, const char *path,
                                  const struct cli_filter *filter, struct cli_taker taker)
{
    size_t wanted = CLI_DUMP_FIXED_BYTES + CLI_DUMP_SUM_BYTES;
    for (uint64_t number = 0;;) {
        if (!more_read(reader, wanted)) {
            cli_error("%s: %s", path, strerror(errno));
            return CLI_FAILED;
        }
        struct cli_dump_record record;
        const enum cli_dump_rc rc = cli_dump_record_parse(input(reader), number, &record, &wanted);
        if (rc == CLI_DUMP_MORE && !reader->at_end)
            continue;
        if (rc == CLI_DUMP_MORE)
            return file_bad(path, "the file ends too early", number);
        if (rc != CLI_DUMP_WHOLE)
            return file_bad(path, "the file is damaged", number);
        if (record.is_end) {
            reader->start += wanted;
            if (!more_read(reader, 1) || input(reader).len > 0)
                return file_bad(path, "something stands behind the end", number);
            return CLI_FINE;
        }
        const enum cli_exit code = record_take(filter, taker, &record.item);
        if (code != CLI_FINE)
            return code;
        reader->start += wanted;
        number++;
        wanted = CLI_DUMP_FIXED_BYTES + CLI_DUMP_SUM_BYTES;
    }
}

enum cli_exit cli_dump_read(const struct cli_args *args, const char *path, struct cli_taker taker,
                            struct cli_tally *tally)
{
    struct cli_filter filter;
    if (!cli_filter_of(args, &filter))
        return CLI_USAGE;
    const bool is_stdin = strcmp(path, "-") == 0;
    struct reader reader = {.fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)};
    enum cli_exit code = CLI_FINE;
    if (reader.fd < 0) {
        cli_error("%s: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    code = head_read(&reader, path);
    if (code == CLI_FINE)
        code = records_read(&reader, path, &filter, taker);
    cli_tally_show(tally);
    if (!is_stdin)
        (void)close(reader.fd);
    free(reader.buffer);
    return code;
}

/* ── load and copy ────────────────────────────────────────────────────────────────────────── */

/* --dry-run: count only. */
static enum cli_exit count_take(void *arg, const struct cli_dump_item *item)
{
    struct cli_tally *tally = arg;
    tally->items++;
    tally->bytes += item->key.len + item->value.len;
    return CLI_FINE;
}

static enum cli_exit source_run(const struct cli_args *args, const char *from,
                                struct cli_taker taker, struct cli_tally *tally)
{
    if (from == NULL)
        return cli_dump_read(args, args->words[0], taker, tally);
    struct cli_args source = *args; /* login and TLS are those of the other one */
    source.server = from;
    source.user = source.ca = NULL;
    source.tls = source.insecure = false;
    source.given &= ~(uint64_t)(CLI_TLS | CLI_CA | CLI_INSECURE);
    return cli_fetch_run(&source, taker, tally);
}

/* From a file, or from the server `from`, to args->server. */
static enum cli_exit transfer(const struct cli_args *args, const char *from)
{
    struct cli_tally tally;
    struct cli_store store = {.link.conn.fd = -1};
    cli_tally_start(&tally);
    enum cli_exit code = CLI_FINE;
    if (args->dry_run) {
        code = source_run(args, from, (struct cli_taker){count_take, &tally}, &tally);
    } else {
        code = cli_store_open(&store, args, &tally);
        if (code == CLI_FINE)
            code = source_run(args, from, (struct cli_taker){cli_store_take, &store}, &tally);
        /* What was read before a fault is stored as well. */
        if (store.count > 0 && store.link.conn.fd >= 0) {
            const enum cli_exit last = cli_store_flush(&store);
            code = code == CLI_FINE ? last : code;
        }
        cli_store_close(&store);
    }
    cli_tally_end(&tally, args->dry_run ? "Read" : "Stored", args->json, stdout);
    return code != CLI_FINE || tally.failed == 0 ? code : CLI_NO;
}

enum cli_exit cli_load(const struct cli_args *args)
{
    if ((args->word_count == 1) == (args->from != NULL)) {
        cli_error("load: name a FILE, or a server by --from");
        return CLI_USAGE;
    }
    return transfer(args, args->from);
}

enum cli_exit cli_copy(const struct cli_args *args)
{
    struct cli_args copy = *args;
    copy.server = args->words[1];
    return transfer(&copy, args->words[0]);
}
