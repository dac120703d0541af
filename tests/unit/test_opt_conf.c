/* test_opt_conf.c — configuration files: lines taken apart, options from file, environment and
 * command line, and back to text.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "opt/conf.h"
#include "opt/opt.h"

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static const char kinds[] = {[OPT_CONF_END] = '.',
                             [OPT_CONF_SECTION] = 'S',
                             [OPT_CONF_FLAGS] = 'F',
                             [OPT_CONF_SETTING] = '=',
                             [OPT_CONF_FAULT] = '!'};

/* What a text says, as "KIND LINE COLUMN:WORD COLUMN:WORD ...", one line for each. */
static void describe(struct bytes text, char *dst, size_t cap)
{
    struct opt_conf conf;
    opt_conf_init(&conf, text);
    size_t len = 0;
    dst[0] = '\0';
    for (enum opt_conf_what what; (what = opt_conf_next(&conf)) != OPT_CONF_END;) {
        len += (size_t)snprintf(dst + len, cap - len, "%c%u", kinds[what], conf.line);
        for (size_t i = 0; i < conf.count; i++)
            len += (size_t)snprintf(dst + len, cap - len, " %u:%s", conf.word[i].column,
                                    conf.word[i].text);
        len += (size_t)snprintf(dst + len, cap - len, "\n");
        assert_true(len < cap);
    }
}

#define EXPECTED "expected is NAME = VALUE, a flag as -m 64, or [SECTION]"

static const struct {
    const char *text, *want;
} rows[] = {
    {"", ""},
    {"\n\n  \n\t\n# c\n   # c\n", ""},
    {"\xef\xbb\xbf-m 1", "F1 1:-m 4:1\n"},
    {"-m 64", "F1 1:-m 4:64\n"},
    {"-m 64\r\n-c 5\r\n", "F1 1:-m 4:64\nF2 1:-c 4:5\n"},
    {"\n\t -vv   -m\t64 # x", "F2 3:-vv 9:-m 12:64\n"},
    {"-d\n-h\n -d \n-d # c", ""},
    {"-d -m 5", "F1 1:-d 4:-m 7:5\n"},
    {"-dv", "F1 1:-dv\n"},
    {"--memory-limit=64", "F1 1:--memory-limit=64\n"},
    {"logfile /var/log/memcached.log", ""},
    {"logfile\t/x # y", ""},
    {"logfile", "!1 8:" EXPECTED "\n"},
    {"logfile = /x", "=1 1:logfile 11:/x\n"},
    {"-s '/tmp/a b'", "F1 1:-s 4:/tmp/a b\n"},
    {"-s \"/tmp/a b\"c", "F1 1:-s 4:/tmp/a bc\n"},
    {"-s /tmp/a\\ b", "F1 1:-s 4:/tmp/a b\n"},
    {"-s ''", "F1 1:-s 4:\n"},
    {"-s a#b", "F1 1:-s 4:a\n"},
    {"-s a\\#b", "F1 1:-s 4:a#b\n"},
    {"-s 'a#b'", "F1 1:-s 4:a#b\n"},
    {"a=b", "=1 1:a 3:b\n"},
    {"  conn-limit   =   4096   ", "=1 3:conn-limit 20:4096\n"},
    {"a = b c\td  # e", "=1 1:a 5:b c\td\n"},
    {"a =", "=1 1:a 4:\n"},
    {"a = # b", "=1 1:a 5:\n"},
    {"a = \"b \\\" \\\\ c\"", "=1 1:a 5:b \" \\ c\n"},
    {"a = 'b \\ c' ", "=1 1:a 5:b \\ c\n"},
    {"a = b\\ ", "=1 1:a 5:b \n"},
    {"a = b=c", "=1 1:a 5:b=c\n"},
    {"a = [x]", "=1 1:a 5:[x]\n"},
    {"a = -1", "=1 1:a 5:-1\n"},
    {"a = \"b", "!1 5:this quote has no end\n"},
    {"a = b'c", "!1 6:this quote has no end\n"},
    {"a = \"b\\\"", "!1 5:this quote has no end\n"},
    {"a = b\\", "!1 6:a backslash with nothing behind it\n"},
    {"-m \\", "!1 4:a backslash with nothing behind it\n"},
    {"[network]", "S1 2:network\n"},
    {"  [network]  # x", "S1 4:network\n"},
    {"[]", "!1 2:a section is [NAME]\n"},
    {"[net work]", "!1 5:a section is [NAME]\n"},
    {"[network", "!1 9:a section is [NAME]\n"},
    {"[a] b", "!1 5:nothing can stand behind a section\n"},
    {"a b", "!1 3:" EXPECTED "\n"},
    {"a", "!1 2:" EXPECTED "\n"},
    {"= b", "!1 1:" EXPECTED "\n"},
    {"a: b", "!1 2:" EXPECTED "\n"},
    {"a = \x01", "!1 5:a byte that belongs to no text\n"},
    {"a = b\rc", "!1 6:a byte that belongs to no text\n"},
    {"? \n a = b", "!1 1:" EXPECTED "\n=2 2:a 6:b\n"},
    {"a = \xc3\xa4", "=1 1:a 5:\xc3\xa4\n"},
};

static void lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char got[512];
        describe(bytes_str(rows[i].text), got, sizeof(got));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s\n     got %s expected %s", rows[i].text, got, rows[i].want);
    }
}

/* A text that ends anywhere says what its whole lines say, and of the last one what is there. Each
 * lies in a block of its own size, for the sanitizer. */
static void cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[256], whole[1024];
        snprintf(text, sizeof(text), "[memory]\n%s\n-m 64 'a b'\n", rows[i].text);
        describe(bytes_str(text), whole, sizeof(whole));
        for (size_t len = 0; len <= strlen(text); len++) {
            char got[1024], *exact = malloc(len + 1), *last;
            assert_non_null(exact);
            memcpy(exact + 1, text, len);
            describe(bytes_of(exact + 1, len), got, sizeof(got));
            free(exact);
            if (len == 0 || text[len - 1] != '\n') { /* without what its half line says */
                unsigned line = 1, count = 0;
                for (size_t at = 0; at < len; at++)
                    line += text[at] == '\n';
                while ((last = got[0] != '\0' ? strrchr(got, '\n') : NULL) != NULL) {
                    *last = '\0';
                    char *start = strrchr(got, '\n');
                    start = start != NULL ? start + 1 : got;
                    count = (unsigned)strtoul(start + 1, NULL, 10);
                    if (count < line) {
                        *last = '\n';
                        break;
                    }
                    *start = '\0';
                }
            }
            assert_int_equal(strncmp(whole, got, strlen(got)), 0);
        }
    }
}

static void long_lines(void **state)
{
    (void)state;
    static char text[OPT_CONF_LINE_BYTES_MAX + 2], got[2 * OPT_CONF_LINE_BYTES_MAX];
    memset(text, 'x', OPT_CONF_LINE_BYTES_MAX + 1);
    text[0] = 'a', text[1] = '=';
    describe(bytes_str(text), got, sizeof(got));
    assert_string_equal(got, "!1 8193:the line is longer than 8192 bytes\n");
    text[OPT_CONF_LINE_BYTES_MAX] = '\0';
    describe(bytes_str(text), got, sizeof(got));
    assert_int_equal(strlen(got), 2 + 1 + 3 + 1 + 2 + OPT_CONF_LINE_BYTES_MAX - 2 + 1);
    memset(text, '-', OPT_CONF_LINE_BYTES_MAX);
    for (size_t i = 1; i < OPT_CONF_LINE_BYTES_MAX; i += 2)
        text[i] = ' ';
    describe(bytes_str(text), got, sizeof(got));
    assert_string_equal(got, "!1 129:more than 64 words in a line\n");
}

/* ── file, environment, command line ──────────────────────────────────────────────────────── */

enum { ARGS_MAX = 8, TOLD_BYTES = 4096 };

static char told[TOLD_BYTES];

static void tell(void *arg, const char *line)
{
    const size_t len = strlen(told);
    snprintf(told + len, sizeof(told) - len, "%s%s\n", (const char *)arg, line);
}

static void tell_mistake(void *arg, const char *line)
{
    (void)arg;
    tell("", line);
}

static void tell_warning(void *arg, const char *line)
{
    (void)arg;
    tell("warning: ", line);
}

/* `environment` and `args`: words with single blanks between them. */
static void words_split(char *text, char **words)
{
    size_t count = 0;
    for (char *word; (word = strsep(&text, " ")) != NULL;)
        if (word[0] != '\0' && count < ARGS_MAX - 1)
            words[count++] = word;
    words[count] = NULL;
}

static enum opt_action load(struct opts *opts, const char *file, const char *environment,
                            const char *args)
{
    char env_copy[512], args_copy[512], *env_words[ARGS_MAX], *arg_words[ARGS_MAX + 1];
    snprintf(env_copy, sizeof(env_copy), "%s", environment);
    snprintf(args_copy, sizeof(args_copy), "matted %s", args);
    words_split(env_copy, env_words);
    words_split(args_copy, arg_words);
    int argc = 0;
    while (arg_words[argc] != NULL)
        argc++;
    const struct opt_inputs inputs = {.file_name = "m.conf",
                                      .file = bytes_str(file),
                                      .environment = env_words,
                                      .argc = argc,
                                      .argv = arg_words};
    const struct opt_teller teller = {.mistake = tell_mistake, .warning = tell_warning};
    struct opt_result result;
    told[0] = '\0';
    assert_int_equal(opt_init(opts), 0);
    opt_load(opts, &inputs, &teller, &result);
    if (result.action == OPT_REFUSED)
        assert_int_equal(strncmp(told, result.text, strlen(result.text)), 0);
    return result.action;
}

/* NAME, and its value and source as text. */
static const struct {
    const char *file, *environment, *args, *name, *value, *source;
} loads[] = {
    {"", "", "", "conn_limit", "1024", "default"},
    {"-c 5", "", "", "conn_limit", "5", "m.conf:1"},
    {"conn-limit = 5", "", "", "conn_limit", "5", "m.conf:1"},
    {"\nconn_limit=5", "", "", "conn_limit", "5", "m.conf:2"},
    {"[limits]\nconn_limit=5", "", "", "conn_limit", "5", "m.conf:2"}, /* headings, no more */
    {"-c 5\n-c 6", "", "", "conn_limit", "6", "m.conf:2"},
    {"-c 5", "MATTED_CONN_LIMIT=6", "", "conn_limit", "6", "environment"},
    {"-c 5", "MATTED_CONN_LIMIT=6", "-c 7", "conn_limit", "7", "command-line"},
    {"-c 5", "MATTED_CONN_LIMIT=", "", "conn_limit", "5", "m.conf:1"},
    {"-c 5", "", "-c 5", "conn_limit", "5", "command-line"},
    /* what may repeat adds up within one source only */
    {"-l 10.0.0.1\nlisten = 10.0.0.2", "", "", "listen", "10.0.0.1,10.0.0.2", "m.conf:2"},
    {"-l 10.0.0.1", "MATTED_LISTEN=10.0.0.2,10.0.0.3", "", "listen", "10.0.0.2,10.0.0.3",
     "environment"},
    {"-l 10.0.0.1", "", "-l 10.0.0.2 -l 10.0.0.3", "listen", "10.0.0.2,10.0.0.3", "command-line"},
    {"allow = ::1\nallow = ::2", "", "", "allow", "::1+::2", "m.conf:2"},
    {"allow = ::1", "", "--allow=::2", "allow", "::2", "command-line"},
    {"-vv\n-v", "", "", "verbose", "3", "m.conf:2"},
    {"-vv", "", "-v", "verbose", "1", "command-line"},
    {"verbose = 2", "", "", "verbose", "2", "m.conf:1"},
    {"", "MATTED_VERBOSE=2", "", "verbose", "2", "environment"},
    /* units as on the command line */
    {"memory_limit = 512", "", "", "memory_limit", "512", "m.conf:1"},
    {"max_item_size = 5m", "", "", "max_item_size", "5m", "m.conf:1"},
    {"max_item_size = 5000", "", "", "max_item_size", "5000", "m.conf:1"},
    {"limit_bytes = 8m", "", "", "limit_bytes", "8m:16m", "m.conf:1"},
    {"limit_requests = 7:8", "", "", "limit_requests", "7:8", "m.conf:1"},
    {"unix_mask = 770", "", "", "unix_mask", "770", "m.conf:1"},
    {"slab_growth_factor = 1.5", "", "", "slab_growth_factor", "1.5", "m.conf:1"},
    {"watcher_logbuf_size = 512", "", "", "watcher_logbuf_size", "512", "m.conf:1"},
    {"stats_delimiter = /", "", "", "stats_delimiter", "/", "m.conf:1"},
    {"port = -1", "", "", "port", "-1", "m.conf:1"},
    /* yes and no */
    {"track_sizes = yes", "", "", "track_sizes", "yes", "m.conf:1"},
    {"track_sizes = True", "", "", "track_sizes", "yes", "m.conf:1"},
    {"maxconns_fast = off", "", "", "maxconns_fast", "no", "m.conf:1"},
    {"", "MATTED_MAXCONNS_FAST=0", "", "maxconns_fast", "no", "environment"},
    {"daemon = on", "", "", "daemon", "yes", "m.conf:1"},
    {"-o no_maxconns_fast", "", "", "maxconns_fast", "no", "m.conf:1"},
    {"protected-mode = false", "", "", "protected_mode", "no", "m.conf:1"},
    {"slab_automove = on", "", "", "slab_automove", "1", "m.conf:1"},
    /* -d alone is passed over, as are other variables */
    {"-d\nlogfile /x", "HOME=/ MATTEDX=1 MATTED_X", "", "daemon", "no", "default"},
    {"", "MATTED_PORT=tcp://10.0.0.1:11211 MATTED_SERVICE_HOST=h MATTED_PORT_1_TCP=x", "", "port",
     "11211", "default"},
    /* quoting comes back */
    {"pidfile = /a b", "", "", "pidfile", "\"/a b\"", "m.conf:1"},
    {"pidfile = '/a\"\\b'", "", "", "pidfile", "\"/a\\\"\\\\b\"", "m.conf:1"},
    {"pidfile = a\\#b", "", "", "pidfile", "\"a#b\"", "m.conf:1"},
    {"", "", "", "pidfile", "\"\"", "default"},
    /* what follows another option, and what is forced, has no source */
    {"-m 1", "", "", "max_item_size", "512k", "default"},
    {"auth_file = /u", "", "", "protocol", "ascii", "default"},
};

static void sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        struct opts opts;
        char value[OPT_VALUE_BYTES], source[OPT_SOURCE_BYTES];
        size_t row;
        if (load(&opts, loads[i].file, loads[i].environment, loads[i].args) != OPT_RUN ||
            told[0] != '\0')
            fail_msg("%s: %s", loads[i].file, told);
        assert_true(opt_find(bytes_str(loads[i].name), &row));
        opt_value_format(&opts, row, value);
        opt_source_format(&opts, row, source);
        if (strcmp(value, loads[i].value) != 0 || strcmp(source, loads[i].source) != 0)
            fail_msg("%s, %s, %s: %s = %s, from %s", loads[i].file, loads[i].environment,
                     loads[i].args, loads[i].name, value, source);
        opt_fini(&opts);
    }
}

static const struct {
    const char *file, *environment, *args, *told;
} refusals[] = {
    {"memory-limit = lots", "", "",
     "m.conf:1:16: memory-limit: 'lots' is not a number; allowed: 1..16777216 (MiB), or auto\n"},
    {"\n  -m lots", "", "",
     "m.conf:2:6: -m, --memory-limit: 'lots' is not a number; allowed: 1..16777216 (MiB), or "
     "auto\n"},
    {"-m", "", "",
     "m.conf:1:1: -m, --memory-limit needs a value: memory for items and their index, in MiB; "
     "auto: "
     "what the container's limit, or the machine, leaves room for\n"},
    {"-q", "", "", "m.conf:1:1: unknown option -q; matted -h lists those that exist\n"},
    {"-V", "", "", "m.conf:1:1: --version is for the command line, not for a file\n"},
    {"-h -v", "", "", "m.conf:1:1: --help is for the command line, not for a file\n"},
    {"--config=x", "", "", "m.conf:1:1: --config is for the command line, not for a file\n"},
    {"check_config = yes", "", "",
     "m.conf:1:1: check_config is for the command line, not for a file\n"},
    {"x = 1", "", "", "m.conf:1:1: x is not the name of an option; matted -h lists them\n"},
    {"ext_path = 1", "", "", "m.conf:1:1: ext_path: there is no flash tier (extstore) yet\n"},
    {"-o x", "", "", "m.conf:1:4: -o: Illegal suboption 'x'; matted -h lists those that exist\n"},
    {"-c 5\nconn-limit = 5", "", "", "m.conf:2:1: conn-limit has a value already, from line 1\n"},
    {"track_sizes = maybe", "", "",
     "m.conf:1:15: track_sizes: 'maybe' is neither yes nor no; allowed: yes, on, true, 1, no, "
     "off, false, 0\n"},
    {"[net]", "", "",
     "m.conf:1:2: there is no section 'net'; allowed: network, memory, commands, access, process, "
     "options, admin, limits, compatibility\n"},
    {"", "MATTED_CONN_LIMIT=x", "",
     "MATTED_CONN_LIMIT: 'x' is not a number; allowed: 1..16777216\n"},
    /* all mistakes, and what concerns several options only when there are none */
    {"-c x\n\nthreads = x", "MATTED_PORT=x", "-N 9",
     "m.conf:1:4: -c, --conn-limit: 'x' is not a number; allowed: 1..16777216\n"
     "m.conf:3:11: threads: 'x' is not a number; allowed: 1..1024\n"
     "MATTED_PORT: 'x' is not a number; allowed: 0..65535, or -1\n"},
    {"\nnapi_ids = 9", "", "",
     "m.conf:2:12: -N, --napi-ids: 9 queues are more than worker threads (-t); allowed: 1..4\n"},
    {"napi_ids = 9", "", "-N 8",
     "-N, --napi-ids: 8 queues are more than worker threads (-t); allowed: 1..4\n"},
};

static void mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct opts opts;
        const enum opt_action action =
            load(&opts, refusals[i].file, refusals[i].environment, refusals[i].args);
        if (action != OPT_REFUSED || strcmp(told, refusals[i].told) != 0)
            fail_msg("%s: %s", refusals[i].file, told);
        opt_fini(&opts);
    }
    struct opts opts;
    assert_int_equal(load(&opts, "", "MATTED_CONNLIMIT=5 MATTED_threads=2", ""), OPT_RUN);
    assert_string_equal(told, "warning: MATTED_CONNLIMIT is passed over: no option has this name\n"
                              "warning: MATTED_threads is passed over: no option has this name\n");
    opt_fini(&opts);
}

/* What a file says, printed, is a file that says the same. */
static void printed_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        struct opts opts, again;
        assert_int_equal(load(&opts, loads[i].file, loads[i].environment, loads[i].args), OPT_RUN);
        char *text = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&text, &bytes);
        assert_non_null(file);
        opt_print_config(file, &opts);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(load(&again, text, "", ""), OPT_RUN);
        for (size_t row = 0; row < opt_count(); row++)
            if (opt_is_option(row) && !opt_is_same(&opts, &again, row))
                fail_msg("%s: row %zu", text, row);
        free(text);
        opt_fini(&opts);
        opt_fini(&again);
    }
}

/* The sample is a file that says nothing until a # is taken away; then most of it is accepted as it
 * is: what has a default. */
static void sample(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    opt_print_options(file, "sample");
    assert_int_equal(fclose(file), 0);
    struct opts opts, dflt;
    assert_int_equal(opt_init(&dflt), 0);
    assert_int_equal(load(&opts, text, "", ""), OPT_RUN);
    opt_fini(&opts);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        assert_true(strlen(line) <= 80 || strstr(line, " = ") != NULL);
        if (line[0] != '#' || line[1] == ' ' || strstr(line, " = NAME") != NULL ||
            strstr(line, " = LIST") != NULL)
            continue;
        if (load(&opts, line + 1, "", "") != OPT_RUN)
            fail_msg("%s: %s", line, told);
        for (size_t row = 0; row < opt_count(); row++)
            assert_true(!opt_is_option(row) || opt_is_same(&opts, &dflt, row));
        opt_fini(&opts);
    }
    opt_fini(&dflt);
    free(text);
}

/* ── peeking, live ────────────────────────────────────────────────────────────────────────── */

static void peek(void **state)
{
    (void)state;
    static char *const environment[] = {"MATTED_CONFIG=/e.conf", NULL};
    static char *const lines[][3] = {{"matted", "--config=/a.conf", NULL},
                                     {"matted", "-N", "9"},
                                     {"matted", "--check-config", "--config=/b"},
                                     {"matted", "-V", "--nonsense"},
                                     {"matted", "--con", "5"}};
    static const char *const files[] = {"/a.conf", "/e.conf", "/b", NULL, "/e.conf"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        const struct opt_inputs inputs = {
            .environment = environment, .argc = lines[i][2] != NULL ? 3 : 2, .argv = lines[i]};
        struct opts opts;
        struct opt_result result;
        assert_int_equal(opt_init(&opts), 0);
        opt_peek(&opts, &inputs, &result);
        assert_int_equal(result.action, files[i] != NULL ? OPT_RUN : OPT_VERSION);
        if (files[i] != NULL)
            assert_string_equal(opts.config_file, files[i]);
        assert_int_equal(opts.check_config, i == 2);
        opt_fini(&opts);
    }
}

static void live(void **state)
{
    (void)state;
    struct opts opts, other;
    struct opt_result result;
    size_t row;
    assert_int_equal(load(&opts, "-c 5", "", ""), OPT_RUN);
    assert_true(opt_find(bytes_str("conn-limit"), &row));
    assert_false(opt_find(bytes_str("config"), &row));
    opt_set_live(&opts, row, bytes_str("0"), &result);
    assert_int_equal(result.action, OPT_REFUSED);
    assert_string_equal(result.text, "conn_limit: '0' is out of range; allowed: 1..16777216");
    opt_set_live(&opts, row, bytes_str(" \"7\" # x"), &result);
    assert_int_equal(result.action, OPT_RUN);
    assert_int_equal(opts.conn_limit, 7);
    assert_int_equal(opts.source[row].from, OPT_FROM_LIVE);
    row = OPT_ROW(listen);
    for (int i = 0; i < 2; i++) /* replaces, and does not add */
        opt_set_live(&opts, row, bytes_str("::7"), &result);
    assert_string_equal(opts.listen, "::7");
    assert_int_equal(load(&other, "", "", ""), OPT_RUN);
    for (row = 0; row < opt_count(); row++)
        assert_true(!opt_is_option(row) || opt_copy(&other, &opts, row) == 0);
    assert_string_equal(other.listen, "::7");
    assert_int_equal(other.conn_limit, 7);
    opts.memory_limit_bytes = 1 << 20;
    opts.source[OPT_ROW(max_item_bytes)].from = OPT_FROM_ARGS;
    opt_check(&opts, &result);
    assert_int_equal(result.action, OPT_REFUSED);
    opt_fini(&opts);
    opt_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),   cmocka_unit_test(cut_anywhere), cmocka_unit_test(long_lines),
        cmocka_unit_test(sources), cmocka_unit_test(mistakes),     cmocka_unit_test(printed_again),
        cmocka_unit_test(sample),  cmocka_unit_test(peek),         cmocka_unit_test(live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
