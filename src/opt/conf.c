/* SPDX-License-Identifier: BSD-3-Clause */
#include "opt/conf.h"

/* A line on its way to words. */
struct scan {
    struct opt_conf *conf;
    struct bytes line;
    size_t at;   /* read so far */
    size_t used; /* of conf->text */
};

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_name(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

/* Is there nothing left but a comment? */
static bool at_end(const struct scan *scan)
{
    return scan->at == scan->line.len || scan->line.ptr[scan->at] == '#';
}

static void blanks_skip(struct scan *scan)
{
    while (scan->at < scan->line.len && is_blank(scan->line.ptr[scan->at]))
        scan->at++;
}

static enum opt_conf_what fault(struct scan *scan, size_t at, const char *what)
{
    scan->conf->word[0] = (struct opt_conf_word){.text = what, .column = (uint32_t)at + 1};
    scan->conf->count = 1;
    return OPT_CONF_FAULT;
}

/* ── words ────────────────────────────────────────────────────────────────────────────────── */

static void byte_put(struct scan *scan, uint8_t byte)
{
    scan->conf->text[scan->used++] = (char)byte;
}

/* Copy what is quoted; `at` stands on the first quote. Returns false when there is no second. */
static bool quoted_take(struct scan *scan)
{
    const uint8_t *line = scan->line.ptr, quote = line[scan->at++];
    for (; scan->at < scan->line.len && line[scan->at] != quote; scan->at++) {
        if (quote == '"' && line[scan->at] == '\\' && scan->at + 1 < scan->line.len)
            scan->at++;
        byte_put(scan, line[scan->at]);
    }
    if (scan->at == scan->line.len)
        return false;
    scan->at++;
    return true;
}

/* Copy the word, or with `blanks` the value, that begins at `at`; behind a value the blanks are
 * dropped. Returns false after fault(). */
static bool word_take(struct scan *scan, bool blanks)
{
    struct opt_conf *conf = scan->conf;
    conf->word[conf->count] =
        (struct opt_conf_word){.text = conf->text + scan->used, .column = (uint32_t)scan->at + 1};
    size_t end = scan->used; /* behind the last byte that counts */
    while (!at_end(scan)) {
        const uint8_t byte = scan->line.ptr[scan->at];
        if (byte == '"' || byte == '\'') {
            const size_t quote_at = scan->at;
            if (!quoted_take(scan)) {
                (void)fault(scan, quote_at, "this quote has no end");
                return false;
            }
            end = scan->used;
            continue;
        }
        if (!blanks && is_blank(byte))
            break;
        const bool escape = byte == '\\';
        if (escape && scan->at + 1 == scan->line.len) {
            (void)fault(scan, scan->at, "a backslash with nothing behind it");
            return false;
        }
        scan->at += escape;
        byte_put(scan, scan->line.ptr[scan->at++]);
        if (escape || !is_blank(byte))
            end = scan->used;
    }
    scan->used = end;
    byte_put(scan, '\0');
    conf->count++;
    return true;
}

static struct bytes name_take(struct scan *scan)
{
    const size_t start = scan->at;
    while (scan->at < scan->line.len && is_name(scan->line.ptr[scan->at]))
        scan->at++;
    return bytes_of(scan->line.ptr + start, scan->at - start);
}

static void name_put(struct scan *scan, struct bytes name, size_t at)
{
    struct opt_conf *conf = scan->conf;
    conf->word[conf->count++] =
        (struct opt_conf_word){.text = conf->text + scan->used, .column = (uint32_t)at + 1};
    for (size_t i = 0; i < name.len; i++)
        byte_put(scan, name.ptr[i]);
    byte_put(scan, '\0');
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static enum opt_conf_what section_read(struct scan *scan)
{
    const size_t start = ++scan->at;
    const struct bytes name = name_take(scan);
    if (name.len == 0 || scan->at == scan->line.len || scan->line.ptr[scan->at] != ']')
        return fault(scan, scan->at, "a section is [NAME]");
    scan->at++;
    blanks_skip(scan);
    if (!at_end(scan))
        return fault(scan, scan->at, "nothing can stand behind a section");
    name_put(scan, name, start);
    return OPT_CONF_SECTION;
}

/* Returns OPT_CONF_END for a line to be passed over. */
static enum opt_conf_what flags_read(struct scan *scan)
{
    struct opt_conf *conf = scan->conf;
    for (blanks_skip(scan); !at_end(scan); blanks_skip(scan)) {
        if (conf->count == OPT_CONF_WORDS_MAX)
            return fault(scan, scan->at, "more than 64 words in a line");
        if (!word_take(scan, false))
            return OPT_CONF_FAULT;
    }
    const char *first = conf->word[0].text;
    const bool left_out = strcmp(first, "-d") == 0 || strcmp(first, "-h") == 0;
    return conf->count == 1 && left_out ? OPT_CONF_END : OPT_CONF_FLAGS;
}

/* Likewise. */
static enum opt_conf_what setting_read(struct scan *scan)
{
    const size_t start = scan->at;
    const struct bytes name = name_take(scan);
    const size_t end = scan->at;
    blanks_skip(scan);
    const bool assigns = scan->at < scan->line.len && scan->line.ptr[scan->at] == '=';
    if (bytes_is(name, "logfile") && !assigns && scan->at > end)
        return OPT_CONF_END;
    if (name.len == 0 || !assigns)
        return fault(scan, scan->at, "expected is NAME = VALUE, a flag as -m 64, or [SECTION]");
    name_put(scan, name, start);
    scan->at++;
    blanks_skip(scan);
    return word_take(scan, true) ? OPT_CONF_SETTING : OPT_CONF_FAULT;
}

static enum opt_conf_what line_read(struct opt_conf *conf, struct bytes line)
{
    struct scan scan = {.conf = conf, .line = line};
    conf->count = 0;
    if (line.len > OPT_CONF_LINE_BYTES_MAX)
        return fault(&scan, OPT_CONF_LINE_BYTES_MAX, "the line is longer than 8192 bytes");
    for (size_t i = 0; i < line.len; i++)
        if ((line.ptr[i] < ' ' && line.ptr[i] != '\t') || line.ptr[i] == 127)
            return fault(&scan, i, "a byte that belongs to no text");
    blanks_skip(&scan);
    if (at_end(&scan))
        return OPT_CONF_END;
    if (line.ptr[scan.at] == '[')
        return section_read(&scan);
    return line.ptr[scan.at] == '-' ? flags_read(&scan) : setting_read(&scan);
}

void opt_conf_init(struct opt_conf *conf, struct bytes text)
{
    static const char mark[] = "\xef\xbb\xbf"; /* that some editors put in front of UTF-8 */
    conf->rest = bytes_starts(text, bytes_str(mark)) ? bytes_skip(text, 3) : text;
    conf->line = 0;
    conf->count = 0;
}

enum opt_conf_what opt_conf_next(struct opt_conf *conf)
{
    enum opt_conf_what what = OPT_CONF_END;
    while (what == OPT_CONF_END && conf->rest.len > 0) {
        conf->line++;
        what = line_read(conf, bytes_line_take(&conf->rest));
    }
    return what;
}
