/* test_opt.c — the command line: every accepted form, every refusal, the help.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "opt/opt.h"

enum { ARGS_MAX = 16 };

/* Parse a command line written as one text with single blanks; "~" stands for a blank inside of
 * one. */
static struct opt_result parse(struct opts *opts, const char *line)
{
    char copy[1024], *argv[ARGS_MAX] = {copy}, *rest = copy;
    int argc = 0;
    assert_int_equal(opt_init(opts), 0);
    snprintf(copy, sizeof(copy), "matted%s%s", line[0] != '\0' ? " " : "", line);
    for (char *arg; (arg = strsep(&rest, " ")) != NULL;) {
        assert_true(argc < ARGS_MAX);
        for (char *at = arg; (at = strchr(at, '~')) != NULL;)
            *at = ' ';
        argv[argc++] = arg;
    }
    struct opt_result result;
    opt_parse(opts, argc, argv, &result);
    return result;
}

static void defaults(void **state)
{
    (void)state;
    struct opts opts;
    assert_int_equal(parse(&opts, "").action, OPT_RUN);
    assert_int_equal(opts.port, 11211);
    assert_int_equal(opts.udp_port, 0);
    assert_string_equal(opts.listen, "127.0.0.1,::1");
    assert_null(opts.unix_socket);
    assert_int_equal(opts.unix_mask, 0700);
    assert_int_equal(opts.memory_limit_bytes, 64 << 20);
    assert_int_equal(opts.max_item_bytes, 1 << 20);
    assert_int_equal(opts.conn_limit, 1024);
    assert_int_equal(opts.threads, 4);
    assert_int_equal(opts.listen_backlog, 1024);
    assert_int_equal(opts.max_reqs_per_event, 20);
    assert_int_equal(opts.stats_delimiter, ':');
    assert_int_equal(opts.verbose, 0);
    assert_true(opts.maxconns_fast);
    assert_false(opts.stats_detail);
    assert_false(opts.disable_evictions);
    assert_string_equal(opts.protocol, "auto");
    assert_string_equal(opts.hash_algorithm, "murmur3");
    assert_int_equal(opts.temporary_ttl_s, 61);
    opt_fini(&opts);
}

#define NUMBER(line, field, value)                                                                 \
    do {                                                                                           \
        struct opts opts;                                                                          \
        const struct opt_result result = parse(&opts, line);                                       \
        if (result.action != OPT_RUN || (int64_t)opts.field != (int64_t)(value))                   \
            fail_msg("%s: %s is %lld; %s", line, #field, (long long)opts.field, result.text);      \
        opt_fini(&opts);                                                                           \
    } while (0)

static void forms(void **state)
{
    (void)state;
    NUMBER("-p 1", port, 1);
    NUMBER("-p1", port, 1);
    NUMBER("-p ~~1", port, 1); /* leading blanks */
    NUMBER("--port=1", port, 1);
    NUMBER("--port 1", port, 1);
    NUMBER("--por 1", port, 1); /* a unique beginning */
    NUMBER("-p -1", port, -1);
    NUMBER("-p 0", port, 0);
    NUMBER("-p 1 -p 2", port, 2);
    NUMBER("-p 1 --", port, 1);
    NUMBER("-v", verbose, 1);
    NUMBER("-vvv", verbose, 3);
    NUMBER("-v -v", verbose, 2);
    NUMBER("--verbose -v", verbose, 2);
    NUMBER("-vdk", verbose, 1);
    NUMBER("-vdk", daemon, true);
    NUMBER("-vdk", lock_memory, true);
    NUMBER("-vp7", port, 7);
    NUMBER("-U 0", udp_port, 0);
    NUMBER("-U 0", port, 11211);
    NUMBER("-U 7777", udp_port, 7777);
    NUMBER("-U 7777", port, 7777); /* follows when not given */
    NUMBER("-U 7777 -p 5", port, 5);
    NUMBER("-U -1", port, -1);
    NUMBER("-p 0 -U 7777", port, 0);
    NUMBER("-o udp_answer_max=100k", udp_answer_max_bytes, 102400);
    NUMBER("-o udp_writes", udp_writes, true);
    NUMBER("-a 770", unix_mask, 0770);
    NUMBER("-m 1", memory_limit_bytes, 1 << 20);
    NUMBER("-m 1", max_item_bytes, 1 << 19); /* follows when not given */
    NUMBER("-m 4096", memory_limit_bytes, 4096ll << 20);
    NUMBER("-I 1024", max_item_bytes, 1024);
    NUMBER("-I 5k", max_item_bytes, 5120);
    NUMBER("-I 5K", max_item_bytes, 5120);
    NUMBER("-I 32m", max_item_bytes, 32 << 20);
    NUMBER("-I 1g -m 2048", max_item_bytes, 1 << 30);
    NUMBER("-N 2", napi_ids, 2);
    NUMBER("-t 8 --napi-ids=8", napi_ids, 8);
    NUMBER("-rL", coredumps, true);
    NUMBER("-rL", large_pages, true);
    NUMBER("-b 0", listen_backlog, 0);
    NUMBER("-D /", stats_delimiter, '/');
    NUMBER("-D :", stats_detail, true);
    NUMBER("-MCFAX", disable_evictions, true);
    NUMBER("-MCFAX", disable_cas, true);
    NUMBER("-MCFAX", disable_flush_all, true);
    NUMBER("-MCFAX", enable_shutdown, true);
    NUMBER("-MCFAX", disable_dumping, true);
}

static void subs(void **state)
{
    (void)state;
    NUMBER("-o idle_timeout=5", idle_timeout_s, 5);
    NUMBER("", limit_requests.per_s, 0);
    NUMBER("-o limit_requests=100", limit_requests.per_s, 100);
    NUMBER("-o limit_requests=100", limit_requests.burst, 200);
    NUMBER("-o limit_requests=100:7", limit_requests.burst, 7);
    NUMBER("-o limit_requests=1:3600", limit_requests.burst, 3600);
    NUMBER("-o limit_requests=4294967295", limit_requests.burst, UINT32_MAX);
    NUMBER("-o limit_bytes=8m", limit_bytes.per_s, 8 << 20);
    NUMBER("-o limit_bytes=8M:1g", limit_bytes.burst, 1 << 30);
    NUMBER("-o limit_bytes=3g", limit_bytes.burst, UINT32_MAX);
    NUMBER("-o limit_logins=0", limit_logins.per_s, 0);
    NUMBER("", limit_logins.burst, 20);
    NUMBER("-o limit_dry_run", limit_dry_run, true);
    NUMBER("-o limit_prefix_v4=0", limit_prefix_v4, 0);
    NUMBER("-o idle_timeout=5,track_sizes", track_sizes, true);
    NUMBER("-oidle_timeout=5", idle_timeout_s, 5);
    NUMBER("--extended=idle_timeout=5", idle_timeout_s, 5);
    NUMBER("--idle-timeout=5", idle_timeout_s, 5);
    NUMBER("--idle-timeout 5", idle_timeout_s, 5);
    NUMBER("-o idle_timeout=5 -o hashpower=20", idle_timeout_s, 5);
    NUMBER("-o idle_timeout=5 -o hashpower=20", hashpower, 20);
    NUMBER("-o ,,idle_timeout=5,", idle_timeout_s, 5);
    NUMBER("-o no_maxconns_fast", maxconns_fast, false);
    NUMBER("-o no_maxconns_fast,maxconns_fast", maxconns_fast, true);
    NUMBER("-o track_sizes=whatever", track_sizes, true); /* as memcached: value ignored */
    NUMBER("-o slab_automove", slab_automove, 1);
    NUMBER("-o slab_automove=2", slab_automove, 2);
    NUMBER("-o no_slab_automove", slab_automove, 0);
    NUMBER("-o slab_chunk_max=256", slab_chunk_max_bytes, 256 << 10);
    NUMBER("-o no_chunked_items", slab_chunk_max_bytes, 1 << 20);
    NUMBER("-o modern", slab_reassign, true);
    NUMBER("-o no_modern", slab_reassign, false);
    NUMBER("-o no_modern", maxconns_fast, false);
    NUMBER("-o no_modern", slab_automove, 0);
    NUMBER("-o no_hashexpand", no_hashexpand, true);
    NUMBER("-o hashpower=0", hashpower, 0); /* the default, though below the range */
    NUMBER("-o tail_repair_time=0", tail_repair_s, 0);
}

static void texts(void **state)
{
    (void)state;
    struct opts opts;
    const char *line = "-s /tmp/x -u nobody -P /tmp/p -B ascii -e /tmp/m";
    assert_int_equal(parse(&opts, line).action, OPT_RUN);
    assert_string_equal(opts.unix_socket, "/tmp/x");
    assert_string_equal(opts.user, "nobody");
    assert_string_equal(opts.pidfile, "/tmp/p");
    assert_string_equal(opts.memory_file, "/tmp/m");
    assert_string_equal(opts.protocol, "ascii");
    opt_fini(&opts);
    static const char *const logins[][2] = {
        /* who must log in can do so */
        {"-Y f", "ascii"},
        {"-S", "binary"},
        {"-S -Y f", "auto"},
        {"-Y f -B ascii", "ascii"},
        {"-B binary -S", "binary"},
        {"-S -Y f -B auto", "auto"},
        {"-S -Y f -l proto[ascii]:h", "auto"},
    };
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        assert_int_equal(parse(&opts, logins[i][0]).action, OPT_RUN);
        assert_string_equal(opts.protocol, logins[i][1]);
        opt_fini(&opts);
    }
    assert_int_equal(parse(&opts, "-l 10.0.0.1 -l ::1;b:5 -l 10.0.0.1 -f 1.5").action, OPT_RUN);
    assert_string_equal(opts.listen, "10.0.0.1,::1;b:5");
    assert_true(opts.slab_growth_factor > 1.49 && opts.slab_growth_factor < 1.51);
    opt_fini(&opts);
}

/* Every refusal says which option, what was wrong and what is allowed. */
static const struct {
    const char *line;
    int exit_code;
    const char *text;
} refused[] = {
    {"-c abc", 1, "-c, --conn-limit: 'abc' is not a number; allowed: 1..16777216"},
    {"-c 0", 1, "-c, --conn-limit: '0' is out of range; allowed: 1..16777216"},
    {"-c -1", 1, "-c, --conn-limit: '-1' is not a number; allowed: 1..16777216"},
    {"-c ", 1, "-c, --conn-limit: '' is not a number; allowed: 1..16777216"},
    {"-c", 1, "-c, --conn-limit needs a value: client connections served at once"},
    {"--conn-limit", 1, "-c, --conn-limit needs a value: client connections served at once"},
    {"-c 99999999999999999999", 1,
     "-c, --conn-limit: '99999999999999999999' is not a number; allowed: 1..16777216"},
    {"-p 65536", 1, "-p, --port: '65536' is out of range; allowed: 0..65535, or -1"},
    {"-p -2", 1, "-p, --port: '-2' is not a number; allowed: 0..65535, or -1"},
    {"-U 65536", 1, "-U, --udp-port: '65536' is out of range; allowed: 0..65535, or -1"},
    {"-U -2", 1, "-U, --udp-port: '-2' is not a number; allowed: 0..65535, or -1"},
    {"-U 1 -S -Y f", 64, "-Y with -S: there are no logins by UDP; allowed: -U 0"},
    {"-U 1 -p 1 -Z -o ssl_chain_cert=f,ssl_ca_cert=f -l mtls:127.0.0.1", 64,
     "-U, --udp-port: clients show no certificates by UDP, and -o ssl_verify_mode or mtls: asks "
     "for "
     "them; allowed: -U 0"},
    {"-U 1 -Z -o ssl_chain_cert=f,ssl_verify_mode=2", 64,
     "-U, --udp-port: clients show no certificates by UDP, and -o ssl_verify_mode or mtls: asks "
     "for "
     "them; allowed: -U 0"},
    {"-U 1 -p 0 -o udp_policy=rr+tcp-vouched", 64,
     "-o udp_policy: nobody can connect by TCP to be vouched for (-p 0)"},
    {"-o udp_policy=legacy", 1,
     "-o udp_policy: 'legacy' is unknown; allowed: rr, drop, miss, tcp-vouched, "
     "prefixes:CIDR+CIDR, open, joined by +"},
    {"-o udp_policy=rr+", 1,
     "-o udp_policy: 'rr+' is unknown; allowed: rr, drop, miss, tcp-vouched, prefixes:CIDR+CIDR, "
     "open, joined by +"},
    {"-o udp_policy=rr+10.0.0.0/8", 1,
     "-o udp_policy: 'rr+10.0.0.0/8' is unknown; allowed: rr, drop, miss, tcp-vouched, "
     "prefixes:CIDR+CIDR, open, joined by +"},
    {"-o udp_policy=prefixes:10.0.0.1/8", 1,
     "-o udp_policy: 'prefixes:10.0.0.1/8' has something that is neither a policy nor a prefix; "
     "allowed: rr, drop, miss, tcp-vouched, prefixes:CIDR+CIDR, open, joined by +"},
    {"-o udp_policy=prefixes:10.0.0.0/8+::/0", 1,
     "-o udp_policy: 'prefixes:10.0.0.0/8+::/0' has a prefix that is too short: /8 at least, /16 "
     "of "
     "IPv6; allowed: rr, drop, miss, tcp-vouched, prefixes:CIDR+CIDR, open, joined by +"},
    {"-o udp_policy=drop+miss", 1,
     "-o udp_policy: 'drop+miss' wants legacy datagrams dropped and served; allowed: rr, drop, "
     "miss, tcp-vouched, prefixes:CIDR+CIDR, open, joined by +"},
    {"-o udp_answer_max=1399", 1,
     "-o udp_answer_max: '1399' is out of range; allowed: 1400..262144 bytes, or with k, m, g"},
    {"-a 8", 1, "-a, --unix-mask: '8' is not a number; allowed: 0..777, octal"},
    {"-a 1000", 1, "-a, --unix-mask: '1000' is out of range; allowed: 0..777, octal"},
    {"-m 0", 1, "-m, --memory-limit: '0' is out of range; allowed: 1..16777216 (MiB), or auto"},
    {"-m auto", 1,
     "-m, --memory-limit: 'auto' is not possible: how much memory there is, is unknown; "
     "allowed: a number of MiB"},
    {"-m 64m", 1, "-m, --memory-limit: '64m' is not a number; allowed: 1..16777216 (MiB), or auto"},
    {"-I 1023", 64,
     "-I, --max-item-size: '1023' is out of range; allowed: 1024..1073741824 bytes, or with k, "
     "m, g"},
    {"-I 2g", 64,
     "-I, --max-item-size: '2g' is out of range; allowed: 1024..1073741824 bytes, or with k, "
     "m, g"},
    {"-I k", 64,
     "-I, --max-item-size: 'k' is not a number; allowed: 1024..1073741824 bytes, or with k, m, "
     "g"},
    {"-I 99999999999g", 64,
     "-I, --max-item-size: '99999999999g' is not a number; allowed: 1024..1073741824 bytes, or "
     "with k, m, g"},
    {"-I 33m", 64,
     "-I, --max-item-size: 34603008 bytes is more than half of the memory limit (-m); allowed: "
     "at most 33554432"},
    {"-N 0", 1, "-N, --napi-ids: '0' is out of range; allowed: 1..4 (-t)"},
    {"-N 5", 64, "-N, --napi-ids: 5 queues are more than worker threads (-t); allowed: 1..4"},
    {"-t 0", 1, "-t, --threads: '0' is out of range; allowed: 1..1024"},
    {"-f 1", 1, "-f, --slab-growth-factor: '1' is out of range; allowed: 1.0001..1000000"},
    {"-o limit_requests=", 1,
     "-o limit_requests: '' is no rate; allowed: N or N:BURST, per second; 0 is off"},
    {"-o limit_requests=1:", 1,
     "-o limit_requests: '1:' is no rate; allowed: N or N:BURST, per second; 0 is off"},
    {"-o limit_requests=1:2:3", 1,
     "-o limit_requests: '1:2:3' is no rate; allowed: N or N:BURST, per second; 0 is off"},
    {"-o limit_requests=4294967296", 1,
     "-o limit_requests: '4294967296' is no rate; allowed: N or N:BURST, per second; 0 is off"},
    {"-o limit_requests=1k", 1,
     "-o limit_requests: '1k' is no rate; allowed: N or N:BURST, per second; 0 is off"},
    {"-o limit_requests=1:0", 1,
     "-o limit_requests: '1:0' has a burst out of range; allowed: a burst of 1..3600 times the "
     "rate"},
    {"-o limit_requests=1:3601", 1,
     "-o limit_requests: '1:3601' has a burst out of range; allowed: a burst of 1..3600 times the "
     "rate"},
    {"-o limit_bytes=4g", 1,
     "-o limit_bytes: '4g' is no rate; allowed: N or N:BURST, in bytes per second and bytes, below "
     "4g, or with k, m, g; 0 is off"},
    {"-f nan", 1, "-f, --slab-growth-factor: 'nan' is not a number; allowed: 1.0001..1000000"},
    {"-D ab", 1, "-D: 'ab' is not one character; allowed: one character"},
    {"-B udp", 64, "-B, --protocol: 'udp' is unknown; allowed: auto|ascii|binary"},
    {"-Y f -B auto", 64,
     "-Y serves the text protocol alone (-S adds binary); allowed: -B ascii, or no -B"},
    {"-B binary -Y f", 64,
     "-Y serves the text protocol alone (-S adds binary); allowed: -B ascii, or no -B"},
    {"-S -B auto", 64,
     "-S serves the binary protocol alone (-Y adds text); allowed: -B binary, or no -B"},
    {"-S -Y f -B ascii", 64, "-Y with -S serves both protocols; allowed: -B auto, or no -B"},
    {"-S -l proto[ascii]:h", 64,
     "-S: -l asks for a protocol by which nobody can log in; allowed: proto[binary]:, or none"},
    {"-Y f -l h,proto[negotiating]:h", 64,
     "-Y: -l asks for a protocol by which nobody can log in; allowed: proto[ascii]:, or none"},
    {"-l a:b", 1,
     "-l, --listen: 'a:b' is no address; allowed: HOST, HOST:PORT, [IPv6]:PORT, *; several "
     "with commas"},
    {"-l notls:a", 71,
     "-l, --listen: notls:, btls: and mtls: are valid only with -Z, --enable-ssl"},
    {"-Z -o ssl_chain_cert=a -l mtls:a", 71,
     "-l, --listen: mtls: needs -o ssl_ca_cert, to know whose client certificates are accepted"},
    {"-Z -p 0 -s a -o ssl_chain_cert=a", 64,
     "-Z, --enable-ssl needs a TCP port; -p 0 switches that off"},
    {"-Z", 64,
     "-Z, --enable-ssl needs a certificate: -o ssl_chain_cert=FILE (PEM), and ssl_key=FILE unless "
     "the key is in the same file"},
    {"-o ssl_keyformat=3", 1, "-o ssl_keyformat: '3' is out of range; allowed: 1..2"},
    {"-o ssl_keyformat=PEM", 1, "-o ssl_keyformat: 'PEM' is not a number; allowed: 1..2"},
    {"-o ssl_verify_mode=4", 1, "-o ssl_verify_mode: '4' is out of range; allowed: 0..3"},
    {"-o ssl_min_version=4", 1, "-o ssl_min_version: '4' is out of range; allowed: 0..3"},
    {"-o ssl_wbuf_size=0", 1, "-o ssl_wbuf_size: '0' is out of range; allowed: 1..1024 (KiB)"},
    {"-s ", 1, "-s, --unix-socket: '' is empty; allowed: 1..107 bytes"},
    {"-q", 1, "unknown option -q; matted -h lists those that exist"},
    {"-vq", 1, "unknown option -q; matted -h lists those that exist"},
    {"--enable-tls", 1, "unknown option --enable-tls; matted -h lists those that exist"},
    {"--un x", 1, "unknown option --un; matted -h lists those that exist"}, /* two match */
    {"--=x", 1, "unknown option --; matted -h lists those that exist"},
    {"--lru-crawler", 1, "unknown option --lru-crawler; matted -h lists those that exist"},
    {"--access_file=x", 1, "unknown option --access_file; matted -h lists those that exist"},
    {"--hashpower=20", 1, "unknown option --hashpower; matted -h lists those that exist"},
    {"--protected-mode=off", 1, "-o protected_mode: 'off' is unknown; allowed: yes|no"},
    {"--daemon=1", 1, "-d, --daemon takes no value"},
    {"--help=1", 1, "-h, --help takes no value"},
    {"fast", 64, "'fast' is not an option; all settings are options"},
    {"-- -p", 64, "'-p' is not an option; all settings are options"},
    {"-", 64, "'-' is not an option; all settings are options"},
    {"-o", 1, "-o needs a list of sub-options; matted -h lists them"},
    {"-o fast", 1, "-o: Illegal suboption 'fast'; matted -h lists those that exist"},
    {"-o no_hashpower", 1,
     "-o: Illegal suboption 'no_hashpower'; matted -h lists those that exist"},
    {"-o Modern", 1, "-o: Illegal suboption 'Modern'; matted -h lists those that exist"},
    {"-o hashpower", 1,
     "-o hashpower needs a value: the index starts small and grows without a pause"},
    {"-o hashpower=11", 1, "-o hashpower: '11' is out of range; allowed: 0, or 12..32"},
    {"-o hashpower=33", 1, "-o hashpower: '33' is out of range; allowed: 0, or 12..32"},
    {"-o slab_automove=3", 1, "-o slab_automove: '3' is out of range; allowed: 0..2"},
    {"-o slab_chunk_max=4096", 1,
     "-o slab_chunk_max: '4096' is out of range; allowed: 1..1024 (KiB)"},
    {"-o hot_lru_pct=50", 64,
     "-o hot_lru_pct and warm_lru_pct: 50 and 40; allowed: 80 at most together"},
    {"-o hash_algorithm=md5", 1,
     "-o hash_algorithm: 'md5' is unknown; allowed: murmur3|jenkins|xxh3"},
    {"-o ext_path=/tmp/x:1g", 1,
     "-o: Illegal suboption 'ext_path=/tmp/x:1g': there is no flash tier (extstore) yet"},
    {"-o proxy_config=x", 1, "-o: Illegal suboption 'proxy_config=x': there is no proxy"},
    {"-o fast -V", 1, "-o: Illegal suboption 'fast'; matted -h lists those that exist"},
};

static void refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct opts opts;
        const struct opt_result got = parse(&opts, refused[i].line);
        if (got.action != OPT_REFUSED || got.exit_code != refused[i].exit_code ||
            strcmp(got.text, refused[i].text) != 0)
            fail_msg("%s: exit %d, \"%s\"", refused[i].line, got.exit_code, got.text);
        opt_fini(&opts);
    }
}

/* In order: what stands before -h or -V counts, what stands behind does not. */
static void actions(void **state)
{
    (void)state;
    struct opts opts;
    struct opt_result result = parse(&opts, "-h --nonsense");
    assert_int_equal(result.action, OPT_HELP);
    assert_int_equal(result.exit_code, 0);
    opt_fini(&opts);
    assert_int_equal(parse(&opts, "-p 5 --version").action, OPT_VERSION);
    opt_fini(&opts);
    assert_int_equal(parse(&opts, "-i -Q").action, OPT_LICENSE);
    opt_fini(&opts);
    assert_int_equal(parse(&opts, "-vV -q").action, OPT_VERSION);
    opt_fini(&opts);
}

static unsigned inert_count;

static void inert_see(const char *label)
{
    (void)label;
    inert_count++;
}

/* Only what was given, and only what has no effect. */
static void inert(void **state)
{
    (void)state;
    struct opts opts;
    inert_count = 0;
    assert_int_equal(parse(&opts, "-f 2 -o hashpower=20,no_lru_maintainer,idle_timeout=5").action,
                     OPT_RUN);
    opt_inert_each(&opts, inert_see);
    assert_int_equal(inert_count, 3);
    opt_fini(&opts);
}

/* What says who may come in. Several lists of one name are one. */
static void access_options(void **state)
{
    (void)state;
    static const struct {
        const char *line, *file, *allow, *deny, *protect;
    } rows[] = {
        {"", NULL, NULL, NULL, "yes"},
        {"--access-file=/a", "/a", NULL, NULL, "yes"},
        {"--access-file /a", "/a", NULL, NULL, "yes"},
        {"-o access_file=/a,allow=::1", "/a", "::1", NULL, "yes"},
        {"--allow=::1 -o allow=10.0.0.0/8+all", NULL, "::1+10.0.0.0/8+all", NULL, "yes"},
        {"--deny=::1", NULL, NULL, "::1", "yes"},
        {"-o protected_mode=no", NULL, NULL, NULL, "no"},
        {"-o no_protected_mode", NULL, NULL, NULL, "no"},
        {"-o no_protected_mode,protected_mode=yes", NULL, NULL, NULL, "yes"},
        {"--protected-mode=no", NULL, NULL, NULL, "no"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct opts opts;
        const struct opt_result result = parse(&opts, rows[i].line);
        assert_int_equal(result.action, OPT_RUN);
        const char *const got[] = {opts.access_file, opts.allow, opts.deny, opts.protected_mode};
        const char *const want[] = {rows[i].file, rows[i].allow, rows[i].deny, rows[i].protect};
        for (size_t j = 0; j < COUNT_OF(got); j++)
            assert_string_equal(got[j] != NULL ? got[j] : "-", want[j] != NULL ? want[j] : "-");
        opt_fini(&opts);
    }
}

/* The admin listener: off unless asked for. */
static void admin_options(void **state)
{
    (void)state;
    static const struct {
        const char *line, *admin, *hosts, *tokens, *cert;
    } rows[] = {
        {"", NULL, NULL, NULL, NULL},
        {"--admin=11280", "11280", NULL, NULL, NULL},
        {"-o admin=11280", "11280", NULL, NULL, NULL},
        {"-o admin=1+[::1]:2 --admin=*:3", "1+[::1]:2+*:3", NULL, NULL, NULL},
        {"-o admin=1,admin_hosts=a+b,admin_hosts=c", "1", "a+b+c", NULL, NULL},
        {"--admin=1 --admin-token-file=/t --admin-tls-cert=/c", "1", NULL, "/t", "/c"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct opts opts;
        const struct opt_result result = parse(&opts, rows[i].line);
        assert_int_equal(result.action, OPT_RUN);
        const char *const got[] = {opts.admin, opts.admin_hosts, opts.admin_token_file,
                                   opts.admin_tls_cert};
        const char *const want[] = {rows[i].admin, rows[i].hosts, rows[i].tokens, rows[i].cert};
        for (size_t j = 0; j < COUNT_OF(got); j++)
            assert_string_equal(got[j] != NULL ? got[j] : "-", want[j] != NULL ? want[j] : "-");
        opt_fini(&opts);
    }
}

static void very_long_values(void **state)
{
    (void)state;
    static char value[5000];
    memset(value, 'x', sizeof(value) - 1);
    static char *const lines[][3] = {
        {"matted", "-c", value}, {"matted", "-s", value}, {"matted", "-l", value},
        {"matted", "-o", value}, {"matted", "-B", value}, {"matted", value, NULL},
        {"matted", "-I", value},
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct opts opts;
        struct opt_result result;
        assert_int_equal(opt_init(&opts), 0);
        opt_parse(&opts, lines[i][2] != NULL ? 3 : 2, lines[i], &result);
        assert_int_equal(result.action, OPT_REFUSED);
        assert_true(strlen(result.text) < OPT_TEXT_BYTES);
        opt_fini(&opts);
    }
}

static void listen_tls(void **state)
{
    (void)state;
    static const enum opt_listen_tls want[] = {OPT_LISTEN_DEFAULT, OPT_LISTEN_NOTLS,
                                               OPT_LISTEN_BTLS, OPT_LISTEN_MTLS};
    struct bytes rest = bytes_str("a,notls:a,btls:a,mtls:a");
    struct opt_listen got;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_int_equal(opt_listen_next(&rest, &got), 1);
        assert_int_equal(got.tls, want[i]);
    }
    assert_int_equal(opt_listen_next(&rest, &got), 0);
}

static void listen_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        const char *host;
        int port;
    } rows[] = {
        {"127.0.0.1", 1, "127.0.0.1", -1},
        {"127.0.0.1:80", 1, "127.0.0.1", 80},
        {"localhost:0", 1, "localhost", 0},
        {"::1", 1, "::1", -1},
        {"[::1]", 1, "::1", -1},
        {"[::1]:80", 1, "::1", 80},
        {"fe80::1%eth0", 1, "fe80::1%eth0", -1},
        {"*", 1, "*", -1},
        {"*:80", 1, "*", 80},
        {" ;,a", 1, "a", -1},
        {"proto[ascii]:a:1", 1, "a", 1},
        {"proto[negotiating]:tag[x]:[::1]:1", 1, "::1", 1},
        {"tag_abc_:a", 1, "a", -1},
        {"tag_abc", 1, "tag_abc", -1},
        {"", 0, NULL, 0},
        {",;", 0, NULL, 0},
        {"proto[binary]:a", 1, "a", -1},
        {"proto[proxy]:a", -22, NULL, 0},
        {"tag[toolongname]:a", -22, NULL, 0},
        {"tag[]:a", -22, NULL, 0},
        {"notls:a", 1, "a", -1},
        {"btls:[::1]:5", 1, "::1", 5},
        {"mtls:proto[ascii]:a:5", 1, "a", 5},
        {"mtls:", -22, NULL, 0},
        {"a:", -22, NULL, 0},
        {":80", -22, NULL, 0},
        {"a:65536", -22, NULL, 0},
        {"[::1", -22, NULL, 0},
        {"[]", -22, NULL, 0},
        {"[::1]80", -22, NULL, 0},
        {"a b", -22, NULL, 0},
        {"a/8", -22, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const size_t len = strlen(rows[i].text);
        uint8_t *exact = malloc(len + 1);
        assert_non_null(exact);
        memcpy(exact + 1, rows[i].text, len); /* ends where the heap block ends */
        struct bytes rest = bytes_of(exact + 1, len);
        struct opt_listen got = {.port = 0};
        const int rc = opt_listen_next(&rest, &got);
        if (rc != rows[i].rc ||
            (rc > 0 && (strcmp(got.host, rows[i].host) != 0 || got.port != rows[i].port)))
            fail_msg("%s: %d, %s, %d", rows[i].text, rc, got.host, got.port);
        free(exact);
    }
}

static void listen_protocols(void **state)
{
    (void)state;
    const enum opt_protocol want[] = {OPT_PROTOCOL_DEFAULT, OPT_PROTOCOL_TEXT, OPT_PROTOCOL_BINARY,
                                      OPT_PROTOCOL_AUTO};
    struct bytes rest = bytes_str("a,proto[ascii]:b,proto[binary]:c:1,proto[negotiating]:d");
    struct opt_listen got;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_int_equal(opt_listen_next(&rest, &got), 1);
        assert_int_equal(got.protocol, want[i]);
    }
    assert_int_equal(opt_listen_next(&rest, &got), 0);
}

/* The help fits people: 80 columns, every option that has an effect. */
static void memory_auto(void **state)
{
    (void)state;
    static const struct {
        uint64_t machine_mib;
        uint32_t conns;
        uint64_t mib;
    } rows[] = {
        {0, 1024, 1},       {1, 1024, 1},         {64, 1024, 16},
        {128, 1024, 48},    {512, 1024, 336},     {512, 16, 351},
        {4096, 1024, 3024}, {65536, 1024, 49104}, {512, 1 << 20, 128},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(opt_memory_auto(rows[i].machine_mib << 20, rows[i].conns) >> 20,
                         rows[i].mib);
    struct opts opts;
    struct opt_result result;
    char *argv[] = {"matted", "-m", "auto", "-c", "16"};
    assert_int_equal(opt_init(&opts), 0);
    opt_machine_set(512ull << 20);
    opt_parse(&opts, 5, argv, &result);
    assert_int_equal(result.action, OPT_RUN);
    assert_int_equal(opts.memory_limit_bytes, 351 << 20); /* -c counts although it came later */
    opt_fini(&opts);
    opt_machine_set(0);
}

static void help(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    opt_print_help(file);
    assert_int_equal(fclose(file), 0);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        const int len = (int)strcspn(line, "\n");
        if (len > 80 || (len > 0 && line[len - 1] == ' '))
            fail_msg("too wide, or a blank at the end: %.*s", len, line);
    }
    assert_non_null(strstr(text, "  -p, --port=N"));
    assert_non_null(strstr(text, "  [no_]maxconns_fast"));
    assert_non_null(strstr(text, "\nExamples\n"));
    assert_non_null(strstr(text, "no_drop_privileges")); /* scripts look for it */
    free(text);
}

static void udp_policies(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t policy;
        size_t prefixes;
    } rows[] = {
        {"rr", OPT_UDP_RR, 0},
        {"drop", OPT_UDP_DROP, 0},
        {"rr+drop", OPT_UDP_RR | OPT_UDP_DROP, 0},
        {"rr+miss", OPT_UDP_RR | OPT_UDP_MISS, 0},
        {"open", OPT_UDP_OPEN, 0},
        {"tcp-vouched+miss+rr", OPT_UDP_RR | OPT_UDP_MISS | OPT_UDP_VOUCHED, 0},
        {"prefixes:10.0.0.0/8", OPT_UDP_PREFIXES, 1},
        {"rr+prefixes:10.0.0.0/8+192.168.1.7+fd00::/16", OPT_UDP_RR | OPT_UDP_PREFIXES, 3},
        {"prefixes:10.0.0.0/8+rr", OPT_UDP_RR | OPT_UDP_PREFIXES, 1},
        {"prefixes:10.0.0.0/8+miss+prefixes:::1", OPT_UDP_MISS | OPT_UDP_PREFIXES, 2},
    };
    struct opt_udp udp;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *fault = opt_udp_parse(rows[i].text, &udp);
        assert_null(fault);
        assert_int_equal(udp.policy, rows[i].policy);
        assert_int_equal(udp.prefix_count, rows[i].prefixes);
    }
    static const char *const bad[] = {
        "",
        "+",
        "rr+",
        "RR",
        "rr,miss",
        "prefixes:",
        "prefixes",
        "10.0.0.1",
        "rr+10.0.0.1",
        "prefixes:x",
        "open+drop",
        "prefixes:+",
        "drop+open",
        "miss+1.2.3.4",
        "prefixes:10.0.0.0/7",
        "prefixes:::/16",
        "prefixes:::/80",
        "prefixes:::ffff:0.0.0.0/96",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_non_null(opt_udp_parse(bad[i], &udp));
    char many[OPT_UDP_PREFIXES_MAX * 8 + 64] = "prefixes:1.1.1.1";
    for (int i = 1; i < OPT_UDP_PREFIXES_MAX; i++)
        strcat(many, "+1.1.1.1");
    assert_null(opt_udp_parse(many, &udp));
    strcat(many, "+1.1.1.1");
    assert_string_equal(opt_udp_parse(many, &udp), "has more than 64 prefixes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(forms),
        cmocka_unit_test(subs),
        cmocka_unit_test(texts),
        cmocka_unit_test(refusals),
        cmocka_unit_test(actions),
        cmocka_unit_test(inert),
        cmocka_unit_test(access_options),
        cmocka_unit_test(very_long_values),
        cmocka_unit_test(listen_addresses),
        cmocka_unit_test(listen_protocols),
        cmocka_unit_test(listen_tls),
        cmocka_unit_test(udp_policies),
        cmocka_unit_test(admin_options),
        cmocka_unit_test(memory_auto),
        cmocka_unit_test(help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
