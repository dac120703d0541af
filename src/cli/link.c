/* cli/link.c — a server to talk to.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/link.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "cli/cli_priv.h"
#include "cli/password.h"

enum { TEXT_BYTES = 300 };

static enum cli_exit failed(const struct cli_link *link, enum cli_conn_rc rc)
{
    char text[CLI_PEER_TEXT_BYTES];
    cli_peer_format(&link->peer, text);
    cli_error("%s: %s", text, cli_conn_text(&link->conn, rc));
    return CLI_FAILED;
}

enum cli_exit cli_link_refused(const struct cli_reply *reply)
{
    char text[TEXT_BYTES];
    cli_text_format(text, sizeof(text), reply->line);
    const bool told = reply->kind == CLI_REPLY_ERROR || reply->kind == CLI_REPLY_CLIENT_ERROR ||
                      reply->kind == CLI_REPLY_SERVER_ERROR;
    cli_error(told ? "the server refuses: %s" : "the answer makes no sense: %s", text);
    return told ? CLI_NO : CLI_FAILED;
}

/* ── opening ──────────────────────────────────────────────────────────────────────────────── */

/* The first address that takes a connection; a name may have some that do not. */
static enum cli_exit connect_any(struct cli_link *link, const struct cli_where *where)
{
    char fault[CLI_WHERE_FAULT_BYTES];
    struct cli_peer peers[CLI_PEERS_MAX];
    const size_t count = cli_where_resolve(where, peers, fault);
    if (count == 0) {
        cli_error("%s", fault);
        return CLI_FAILED;
    }
    const size_t buffer_max = (size_t)CLI_LINE_BYTES_MAX + CLI_VALUE_BYTES_MAX;
    enum cli_conn_rc rc = CLI_CONN_FAILED;
    for (size_t i = 0; i < count && rc != CLI_CONN_OK; i++) {
        cli_conn_close(&link->conn);
        link->peer = peers[i];
        rc = cli_conn_open(&link->conn, &peers[i], link->args->timeout_ms, buffer_max);
    }
    return rc == CLI_CONN_OK ? CLI_FINE : failed(link, rc);
}

static enum cli_exit tls_start(struct cli_link *link, const struct cli_where *where)
{
    const struct cli_tls how = {
        .name = where->is_unix ? NULL : where->host,
        .ca_file = link->args->ca,
        .verify = !link->args->insecure,
    };
    const enum cli_conn_rc rc = cli_conn_tls(&link->conn, &how);
    return rc == CLI_CONN_OK ? CLI_FINE : failed(link, rc);
}

/* Text login: the data block of any `set` is "NAME PASSWORD". */
static enum cli_exit login(struct cli_link *link)
{
    char password[CLI_PASSWORD_BYTES], fault[CLI_PASSWORD_FAULT_BYTES];
    if (!cli_password_read(link->args->password_file, password, fault)) {
        cli_error("%s", fault);
        return CLI_FAILED;
    }
    char request[CLI_PASSWORD_BYTES + 400];
    const char *name = link->args->user;
    const int len = snprintf(request, sizeof(request), "set login 0 0 %zu\r\n%s %s\r\n",
                             strlen(name) + 1 + strlen(password), name, password);
    enum cli_exit code = cli_link_ask(link, bytes_of(request, (size_t)len));
    OPENSSL_cleanse(password, sizeof(password));
    OPENSSL_cleanse(request, sizeof(request));
    struct cli_reply reply;
    if (code == CLI_FINE)
        code = cli_link_reply(link, &reply);
    if (code == CLI_FINE && reply.kind != CLI_REPLY_STORED)
        code = cli_link_refused(&reply);
    return code;
}

enum cli_exit cli_link_open(struct cli_link *link, const struct cli_args *args)
{
    *link = (struct cli_link){.args = args, .conn.fd = -1};
    if (strpbrk(args->user == NULL ? "" : args->user, " \r\n") != NULL) {
        cli_error("--user: a name has no blank");
        return CLI_USAGE;
    }
    char fault[CLI_WHERE_FAULT_BYTES];
    struct cli_where where;
    if (!cli_where_parse(args->server, &where, fault)) {
        cli_error("%s", fault);
        return CLI_USAGE;
    }
    enum cli_exit code = connect_any(link, &where);
    if (code == CLI_FINE && (args->given & (CLI_TLS | CLI_CA | CLI_INSECURE)) != 0)
        code = tls_start(link, &where);
    if (code == CLI_FINE && args->user != NULL)
        code = login(link);
    return code;
}

void cli_link_close(struct cli_link *link)
{
    cli_conn_close(&link->conn);
}

/* ── talking ──────────────────────────────────────────────────────────────────────────────── */

enum cli_exit cli_link_ask(struct cli_link *link, struct bytes request)
{
    cli_conn_deadline(&link->conn, link->args->timeout_ms);
    const enum cli_conn_rc rc = cli_conn_send(&link->conn, request);
    return rc == CLI_CONN_OK ? CLI_FINE : failed(link, rc);
}

enum cli_exit cli_link_reply(struct cli_link *link, struct cli_reply *ret_reply)
{
    cli_conn_consume(&link->conn, link->used);
    link->used = 0;
    for (;;) {
        const struct bytes in = cli_conn_input(&link->conn);
        const enum cli_reply_rc rc = cli_reply_parse(in, ret_reply, &link->used);
        if (rc == CLI_REPLY_WHOLE)
            return CLI_FINE;
        if (rc == CLI_REPLY_BAD) {
            char text[TEXT_BYTES];
            cli_error("the answer makes no sense: %s", cli_text_format(text, sizeof(text), in));
            return CLI_FAILED;
        }
        const enum cli_conn_rc more = cli_conn_more(&link->conn);
        if (more != CLI_CONN_OK)
            return failed(link, more);
    }
}
