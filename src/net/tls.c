/* net/tls.c — from paths and settings to an SSL_CTX, with errors that say which file and why.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/net_priv.h"
#include "net/tls_priv.h"

enum { SESSIONS_MAX = 4096 }; /* in the cache, of about 1 KiB each */

/* With forward secrecy, the authenticated ones first; CBC ones for clients older than TLS 1.2. */
static const char ciphers_default[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES";

/* The current context. Swapping needs no more than a lock around a pointer: every SSL has a
 * reference of its own to the context that it was made from, so the old one lives as long as its
 * last connection. A new context has new ticket keys and an empty cache: no session outlives the
 * certificates (and the trust in clients) that it was made under. */
struct net_tls {
    struct net_tls_config config; /* its texts are ours */
    char *chain_path, *key_path, *ca_path, *ciphers;
    BIO_METHOD *bio_method;
    pthread_mutex_t refresh_lock; /* one refresh at a time: the last to start is the last to win */
    pthread_mutex_t ctx_lock;     /* guards `ctx`; held for a reference count */
    SSL_CTX *ctx;
    _Atomic uint32_t refreshed_s; /* relaxed: a statistic */
};

/* ── errors ───────────────────────────────────────────────────────────────────────────────── */

/* Words for the errors that people meet; NULL: OpenSSL's own will do. */
static const char *reason_known(unsigned long code)
{
    const int lib = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);
    if (lib == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE)
        return "nothing of that kind in PEM format in the file";
    if (lib == ERR_LIB_PEM && (reason == PEM_R_BAD_PASSWORD_READ || reason == PEM_R_BAD_DECRYPT))
        return "the key has a password; store it without one";
    if ((lib == ERR_LIB_X509 && reason == X509_R_KEY_VALUES_MISMATCH) ||
        (lib == ERR_LIB_SSL && reason == SSL_R_NO_CERTIFICATE_ASSIGNED)) /* one is RSA, one EC */
        return "the key does not belong to the certificate";
    if (lib == ERR_LIB_OSSL_DECODER)
        return "no private key in the format that ssl_keyformat tells, or one with a password";
    return NULL;
}

/* Why OpenSSL has failed; empties its list of errors. */
static const char *reason_take(void)
{
    const char *text = NULL, *known = NULL;
    for (unsigned long code; (code = ERR_get_error()) != 0;) {
        if (text == NULL)
            text = ERR_reason_error_string(code);
        if (known == NULL)
            known = reason_known(code);
    }
    return known != NULL ? known : text != NULL ? text : "unknown reason";
}

static int fail(char *error, const char *what, const char *path)
{
    (void)snprintf(error, NET_TLS_ERROR_BYTES, "Error loading the %s: %.300s: %s", what, path,
                   reason_take());
    return -EINVAL;
}

/* Tell about files that are not there or may not be read, before OpenSSL tells about "BIO lib". */
static int file_check(char *error, const char *what, const char *path)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 || fstat(fd, &st) != 0 ? -errno : 0;
    if (rc == 0 && S_ISDIR(st.st_mode))
        rc = -EISDIR;
    if (fd >= 0)
        close(fd);
    if (rc != 0)
        (void)snprintf(error, NET_TLS_ERROR_BYTES, "Error loading the %s: %.300s: %s", what, path,
                       strerror(-rc));
    return rc;
}

/* ── loading ──────────────────────────────────────────────────────────────────────────────── */

/* A key with a password cannot be used: nobody is there to type it. */
static int no_password(char *dst, int cap, int writing, void *arg)
{
    (void)dst;
    (void)cap;
    (void)writing;
    (void)arg;
    return -1;
}

/* A certificate out of its time is loaded all the same: clients may not care, and a restart must
 * not fail in the night in which it expires. */
static void dates_check(SSL_CTX *ctx, const char *path)
{
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    if (cert == NULL)
        return;
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        log_line(LOG_ERROR, "warning: the certificate in %s has expired", path);
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        log_line(LOG_ERROR, "warning: the certificate in %s is not valid yet", path);
}

static int certificate_load(const struct net_tls_config *config, SSL_CTX *ctx, char *error)
{
    const char *chain = config->chain_path;
    const char *key = config->key_path != NULL ? config->key_path : chain;
    int rc = file_check(error, "certificate chain", chain);
    if (rc != 0)
        return rc;
    if (SSL_CTX_use_certificate_chain_file(ctx, chain) != 1)
        return fail(error, "certificate chain", chain);
    rc = file_check(error, "key", key);
    if (rc != 0)
        return rc;
    const int format = config->key_is_der ? SSL_FILETYPE_ASN1 : SSL_FILETYPE_PEM;
    if (SSL_CTX_use_PrivateKey_file(ctx, key, format) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return fail(error, "key", key);
    dates_check(ctx, chain);
    return 0;
}

static int ca_load(const struct net_tls_config *config, SSL_CTX *ctx, char *error)
{
    if (config->ca_path == NULL)
        return 0;
    const int rc = file_check(error, "CA certificate", config->ca_path);
    if (rc != 0)
        return rc;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(config->ca_path);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, config->ca_path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail(error, "CA certificate", config->ca_path);
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* takes them */
    return 0;
}

static int verify_flags(enum net_tls_verify verify)
{
    switch (verify) {
    case NET_TLS_VERIFY_NONE:
        return SSL_VERIFY_NONE;
    case NET_TLS_VERIFY_REQUEST:
        return SSL_VERIFY_PEER;
    case NET_TLS_VERIFY_REQUIRE:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return SSL_VERIFY_NONE;
}

static int protocol_set(const struct net_tls_config *config, SSL_CTX *ctx, char *error)
{
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    const char *ciphers = config->ciphers != NULL ? config->ciphers : ciphers_default;
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
        (void)snprintf(error, NET_TLS_ERROR_BYTES, "Error setting the ciphers: %.300s: %s", ciphers,
                       reason_take());
        return -EINVAL;
    }
    if (SSL_CTX_set_min_proto_version(ctx, versions[config->version_min]) != 1 ||
        SSL_CTX_set_dh_auto(ctx, 1) != 1) {
        (void)snprintf(error, NET_TLS_ERROR_BYTES, "Error setting the TLS version: %s",
                       reason_take());
        return -EINVAL;
    }
    return 0;
}

static void options_set(const struct net_tls_config *config, SSL_CTX *ctx)
{
    /* An end without close_notify is an end: requests and answers know their own length. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* What was not taken is offered again from wherever it lies then, and idle connections keep no
     * record buffers of 16 KiB each. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_verify(ctx, verify_flags(config->verify), NULL);
    SSL_CTX_set_session_cache_mode(ctx, config->session_cache ? SSL_SESS_CACHE_SERVER
                                                              : SSL_SESS_CACHE_OFF);
    if (config->session_cache) {
        SSL_CTX_sess_set_cache_size(ctx, SESSIONS_MAX);
        SSL_CTX_sess_set_new_cb(ctx, net_tls_session_new);
    }
    if (config->kernel_tls) {
        SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS);
    } else {
        SSL_CTX_set_read_ahead(ctx, 1); /* one recv per record, not one for its head, too */
        SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY); /* see read_piece() */
    }
}

static int ctx_new(const struct net_tls_config *config, SSL_CTX **ret_ctx, char *error)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        (void)snprintf(error, NET_TLS_ERROR_BYTES, "Error setting up TLS: %s", reason_take());
        return -ENOMEM;
    }
    options_set(config, ctx);
    int rc = protocol_set(config, ctx, error);
    if (rc == 0)
        rc = certificate_load(config, ctx, error);
    if (rc == 0)
        rc = ca_load(config, ctx, error);
    ERR_clear_error();
    if (rc != 0)
        SSL_CTX_free(ctx);
    else
        *ret_ctx = ctx;
    return rc;
}

/* ── life ─────────────────────────────────────────────────────────────────────────────────── */

/* A copy of `path` that does not depend on the current directory. NULL stays NULL. */
static bool path_copy(const char *path, char **ret_copy)
{
    *ret_copy = NULL;
    if (path == NULL)
        return true;
    if (path[0] == '/') {
        *ret_copy = strdup(path);
        return *ret_copy != NULL;
    }
    char *folder = getcwd(NULL, 0);
    if (folder != NULL && asprintf(ret_copy, "%s/%s", folder, path) < 0)
        *ret_copy = NULL;
    free(folder);
    return *ret_copy != NULL;
}

static bool config_copy(struct net_tls *tls, const struct net_tls_config *config)
{
    tls->config = *config;
    if (!path_copy(config->chain_path, &tls->chain_path) ||
        !path_copy(config->key_path, &tls->key_path) || !path_copy(config->ca_path, &tls->ca_path))
        return false;
    if (config->ciphers != NULL && (tls->ciphers = strdup(config->ciphers)) == NULL)
        return false;
    tls->config.chain_path = tls->chain_path;
    tls->config.key_path = tls->key_path;
    tls->config.ca_path = tls->ca_path;
    tls->config.ciphers = tls->ciphers;
    return true;
}

int net_tls_new(const struct net_tls_config *config, struct net_tls **ret_tls, char *ret_error)
{
    struct net_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return -ENOMEM;
    pthread_mutex_init(&tls->refresh_lock, NULL);
    pthread_mutex_init(&tls->ctx_lock, NULL);
    int rc = -ENOMEM;
    tls->bio_method = net_tls_bio_method_new();
    if (tls->bio_method == NULL || !config_copy(tls, config))
        (void)snprintf(ret_error, NET_TLS_ERROR_BYTES, "Error setting up TLS: out of memory");
    else
        rc = net_tls_refresh(tls, ret_error);
    if (rc != 0)
        net_tls_free(tls);
    else
        *ret_tls = tls;
    return rc;
}

void net_tls_free(struct net_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->bio_method);
    pthread_mutex_destroy(&tls->ctx_lock);
    pthread_mutex_destroy(&tls->refresh_lock);
    free(tls->chain_path);
    free(tls->key_path);
    free(tls->ca_path);
    free(tls->ciphers);
    free(tls);
}

int net_tls_refresh(struct net_tls *tls, char *ret_error)
{
    SSL_CTX *ctx = NULL;
    pthread_mutex_lock(&tls->refresh_lock);
    const int rc = ctx_new(&tls->config, &ctx, ret_error);
    if (rc == 0) {
        pthread_mutex_lock(&tls->ctx_lock);
        SSL_CTX *old = tls->ctx;
        tls->ctx = ctx;
        pthread_mutex_unlock(&tls->ctx_lock);
        SSL_CTX_free(old);
        atomic_store_explicit(&tls->refreshed_s, clock_now_s(), memory_order_relaxed);
    }
    pthread_mutex_unlock(&tls->refresh_lock);
    return rc;
}

uint32_t net_tls_refreshed_s(const struct net_tls *tls)
{
    return atomic_load_explicit(&tls->refreshed_s, memory_order_relaxed);
}

SSL_CTX *net_tls_ctx_ref(struct net_tls *tls)
{
    pthread_mutex_lock(&tls->ctx_lock);
    SSL_CTX *ctx = tls->ctx;
    (void)SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&tls->ctx_lock);
    return ctx;
}

const struct net_tls_config *net_tls_config_get(const struct net_tls *tls)
{
    return &tls->config;
}

const BIO_METHOD *net_tls_bio_method(const struct net_tls *tls)
{
    return tls->bio_method;
}

size_t net_tls_gather_bytes(const struct net_tls *tls)
{
    return tls->config.gather_bytes;
}
