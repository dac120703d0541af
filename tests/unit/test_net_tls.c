/* test_net_tls.c — what of TLS needs a client that OpenSSL's own tool or Python cannot be: new keys
 * in the middle of a pipeline, floods of messages without data; and contexts that cannot be made.
 * The rest is in tests/script/test_tls.py.
 *
 * The server answers "give N" with N bytes as a blob, and any other line with itself.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "net/net.h"
#include "stat/stat.h"
#include "support/kit.h"

enum { GIVE_MAX = 1 << 20 };

static uint8_t pattern[GIVE_MAX];

/* ── the server ───────────────────────────────────────────────────────────────────────────── */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* "wait" does until it is free */
static atomic_bool waiting;

static void release(void *owner)
{
    free(owner);
}

static void give(struct out *out, uint64_t len)
{
    struct bytes *span = malloc(sizeof(*span));
    KIT_CHECK(span != NULL, "memory");
    *span = bytes_of(pattern, (size_t)len);
    out_blob(out, span, 1, release, span);
}

static enum net_rc run(void *worker, void **session, struct net_io *io)
{
    (void)worker;
    (void)session;
    const uint8_t *end;
    while ((end = memchr(io->in.ptr + io->used, '\n', io->in.len - io->used)) != NULL) {
        const struct bytes line =
            bytes_of(io->in.ptr + io->used, (size_t)(end + 1 - io->in.ptr) - io->used);
        uint64_t len;
        if (bytes_is(line, "wait\n")) {
            atomic_store(&waiting, true);
            pthread_mutex_lock(&gate);
            pthread_mutex_unlock(&gate);
        }
        if (bytes_starts(line, bytes_str("give ")) &&
            num_parse_u64(bytes_of(line.ptr + 5, line.len - 6), GIVE_MAX, &len))
            give(io->out, len);
        else
            out_put(io->out, line.ptr, line.len);
        io->used += line.len;
        io->requests++;
        if (out_bytes(io->out) > NET_OUT_BYTES_MAX)
            return NET_FLUSH;
    }
    return NET_MORE;
}

static const struct net_ops ops = {.run = run};

static char pem_path[] = "/tmp/matte-test-tls-XXXXXX";

/* A key and a certificate of its own, in one file. */
static int pem_make(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_non_null(key);
    assert_non_null(cert);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    const int fd = mkstemp(pem_path);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}

static int pem_remove(void **state)
{
    (void)state;
    return unlink(pem_path);
}

struct fixture {
    struct net_address address;
    struct net_worker_config worker;
    struct stat_registry *stats;
    struct net_tls *tls;
    struct net *net;
    pthread_t thread;
    SSL_CTX *client;
};

static struct net_tls_config tls_config(void)
{
    return (struct net_tls_config){
        .chain_path = pem_path, .version_min = 2, .gather_bytes = 16 * 1024};
}

static void *net_thread(void *arg)
{
    struct fixture *fix = arg;
    KIT_CHECK(net_run(fix->net) == 0, "net_run");
    return NULL;
}

static void start(struct fixture *fix)
{
    char error[NET_TLS_ERROR_BYTES] = "";
    struct stat_block *stats;
    *fix = (struct fixture){.address = {.host = "127.0.0.1", .tls = NET_TLS_ON}};
    const struct net_tls_config config = tls_config();
    assert_int_equal(net_tls_new(&config, &fix->tls, error), 0);
    assert_int_equal(stat_registry_new(&fix->stats), 0);
    assert_int_equal(stat_block_new(fix->stats, &fix->worker.stats), 0);
    assert_int_equal(stat_block_new(fix->stats, &stats), 0);
    const struct net_config net_config = {.ops = &ops,
                                          .addresses = &fix->address,
                                          .address_count = 1,
                                          .tls = fix->tls,
                                          .workers = &fix->worker,
                                          .worker_count = 1,
                                          .stats = stats,
                                          .conns_max = 100,
                                          .backlog = 16,
                                          .requests_per_event = 20};
    assert_int_equal(net_new(&net_config, &fix->net, error), 0);
    assert_int_equal(pthread_create(&fix->thread, NULL, net_thread, fix), 0);
    fix->client = SSL_CTX_new(TLS_client_method());
    assert_non_null(fix->client);
}

static void stop(struct fixture *fix)
{
    net_stop(fix->net);
    assert_int_equal(pthread_join(fix->thread, NULL), 0);
    net_free(fix->net);
    net_tls_free(fix->tls);
    stat_registry_free(fix->stats);
    SSL_CTX_free(fix->client);
}

static uint64_t stat_of(const struct fixture *fix, enum stat_id id)
{
    uint64_t sum[STAT_ID_COUNT];
    stat_registry_sum(fix->stats, sum);
    return sum[id];
}

/* ── a client ─────────────────────────────────────────────────────────────────────────────── */

/* Connect and shake hands; `recv_bytes`: of the socket's buffer, 0 as it is. */
static SSL *dial(const struct fixture *fix, int recv_bytes)
{
    struct net_listener_info info;
    assert_true(net_listener_get(fix->net, 0, &info));
    const struct sockaddr_in addr = {.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)info.port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 20};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (recv_bytes > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &recv_bytes, sizeof(recv_bytes));
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    SSL *ssl = SSL_new(fix->client);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    return ssl;
}

static void hang_up(SSL *ssl)
{
    const int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
}

static void say(SSL *ssl, const char *text)
{
    assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
}

static void expect(SSL *ssl, const void *want, size_t len)
{
    uint8_t *got = malloc(len + 1);
    assert_non_null(got);
    for (size_t at = 0, part; at < len; at += part)
        assert_int_equal(SSL_read_ex(ssl, got + at, len - at, &part), 1);
    assert_memory_equal(got, want, len);
    free(got);
}

static void new_key(SSL *ssl, int type)
{
    assert_int_equal(SSL_key_update(ssl, type), 1);
    assert_int_equal(SSL_do_handshake(ssl), 1);
}

/* ── tests ────────────────────────────────────────────────────────────────────────────────── */

/* Both sides change their keys while answers are stuck in a full socket. */
static void new_keys_in_a_pipeline(void **state)
{
    (void)state;
    enum { ROUNDS = 40 };
    struct fixture fix;
    start(&fix);
    SSL *ssl = dial(&fix, 8192);
    for (int i = 0; i < ROUNDS; i++) {
        say(ssl, "one\n");
        if (i % 3 == 0)
            new_key(ssl, SSL_KEY_UPDATE_REQUESTED);
        say(ssl, "give 300000\ntwo\n");
        if (i % 3 == 1)
            new_key(ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    for (int i = 0; i < ROUNDS; i++) {
        expect(ssl, "one\n", 4);
        expect(ssl, pattern, 300000);
        expect(ssl, "two\n", 4);
    }
    hang_up(ssl);
    stop(&fix);
}

/* New keys and nothing else: the worker gives up on such a client rather than serve it alone. */
static void messages_without_data(void **state)
{
    (void)state;
    enum { MESSAGES = 6 * 1024 }; /* of 27 bytes, more than the server reads at once */
    struct fixture fix;
    start(&fix);
    SSL *other = dial(&fix, 0), *flood = dial(&fix, 0);
    say(flood, "a\n");
    expect(flood, "a\n", 2);
    pthread_mutex_lock(&gate); /* so that all of them are there at once */
    atomic_store(&waiting, false);
    say(other, "wait\n");
    while (!atomic_load(&waiting))
        usleep(1000);
    for (int i = 0; i < MESSAGES; i++)
        new_key(flood, SSL_KEY_UPDATE_NOT_REQUESTED);
    pthread_mutex_unlock(&gate);
    expect(other, "wait\n", 5);
    char byte;
    assert_true(SSL_read(flood, &byte, 1) <= 0);
    hang_up(flood);
    say(other, "fine\n");
    expect(other, "fine\n", 5);
    assert_int_equal(stat_of(&fix, STAT_SSL_PROTO_ERRORS), 1);
    hang_up(other);
    stop(&fix);
}

static void expect_refusal(const struct net_tls_config *config, const char *words)
{
    char error[NET_TLS_ERROR_BYTES] = "";
    struct net_tls *tls = NULL;
    assert_true(net_tls_new(config, &tls, error) < 0);
    assert_null(tls);
    assert_int_equal(strncmp(error, "Error ", 6), 0);
    if (strstr(error, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", error, words);
    assert_null(strchr(error, '\n'));
}

static void contexts_that_cannot_be(void **state)
{
    (void)state;
    char long_path[3000];
    memset(long_path, 'x', sizeof(long_path));
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    struct net_tls_config config = tls_config();
    config.chain_path = long_path;
    expect_refusal(&config, ": File name too long");
    config = tls_config();
    config.key_path = "/dev/null";
    expect_refusal(&config, "the key: /dev/null: no private key in the format");
    config = tls_config();
    config.ca_path = "/dev/null";
    expect_refusal(&config, "the CA certificate: /dev/null: ");
    config = tls_config();
    config.ciphers = "none of these";
    expect_refusal(&config, "the ciphers: none of these: no cipher match");
}

/* A failed refresh leaves what there was, and who is connected notices neither. */
static void refresh(void **state)
{
    (void)state;
    struct fixture fix;
    start(&fix);
    SSL *old = dial(&fix, 0);
    char error[NET_TLS_ERROR_BYTES];
    char away[64];
    (void)snprintf(away, sizeof(away), "%s.away", pem_path);
    assert_int_equal(rename(pem_path, away), 0);
    assert_true(net_tls_refresh(fix.tls, error) < 0);
    SSL *fresh = dial(&fix, 0);
    assert_int_equal(rename(away, pem_path), 0);
    assert_int_equal(net_tls_refresh(fix.tls, error), 0);
    SSL *last = dial(&fix, 0);
    SSL *all[] = {old, fresh, last};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        say(all[i], "hello\n");
        expect(all[i], "hello\n", 6);
        hang_up(all[i]);
    }
    stop(&fix);
}

int main(void)
{
    clock_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_keys_in_a_pipeline),
        cmocka_unit_test(messages_without_data),
        cmocka_unit_test(contexts_that_cannot_be),
        cmocka_unit_test(refresh),
    };
    return cmocka_run_group_tests(tests, pem_make, pem_remove);
}
