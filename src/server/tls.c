/* What -Z and the ssl_ options ask of net/tls.h.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "net/tls.h"
#include "base/log.h"
#include "server/server.h"

_Static_assert(NET_TLS_ERROR_BYTES <= (int)SERVER_ERROR_BYTES, "errors are passed on");
_Static_assert(NET_TLS_ERROR_BYTES <= (int)CMD_ERROR_BYTES, "errors are passed on");

int server_tls_load(const struct opts *opts, struct net_tls **ret_tls, char *ret_error)
{
    /* memcached's numbers; "once" is about renegotiation, which there is not. */
    static const enum net_tls_verify verify[] = {NET_TLS_VERIFY_NONE, NET_TLS_VERIFY_REQUEST,
                                                 NET_TLS_VERIFY_REQUIRE, NET_TLS_VERIFY_REQUIRE};
    enum { FORMAT_DER = 2 };
    *ret_tls = NULL;
    if (!opts->enable_ssl)
        return 0;
    const struct net_tls_config config = {
        .chain_path = opts->ssl_chain_cert,
        .key_path = opts->ssl_key,
        .ca_path = opts->ssl_ca_cert,
        .ciphers = opts->ssl_ciphers,
        .key_is_der = opts->ssl_keyformat == FORMAT_DER,
        .verify = verify[opts->ssl_verify_mode],
        .version_min = opts->ssl_min_version,
        .gather_bytes = opts->ssl_wbuf_bytes,
        .session_cache = opts->ssl_session_cache,
        .kernel_tls = opts->ssl_kernel_tls,
    };
    if (config.verify == NET_TLS_VERIFY_REQUIRE && config.ca_path == NULL)
        log_line(LOG_ERROR,
                 "warning: -o ssl_verify_mode=%u without ssl_ca_cert: no client has a "
                 "certificate that we could accept",
                 opts->ssl_verify_mode);
    return net_tls_new(&config, ret_tls, ret_error);
}

bool server_tls_refresh(struct server *server, char *ret_error)
{
    if (server->tls == NULL)
        return false;
    const bool done = net_tls_refresh(server->tls, ret_error) == 0;
    if (done)
        log_line(LOG_INFO, "read the TLS certificates again");
    else
        log_line(LOG_ERROR, "the TLS certificates stay as they were: %s", ret_error);
    return done;
}
