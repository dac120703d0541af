/* cli/link.c — a server to talk to.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/link.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "cli/cli_priv.h"
#include "cli/password.h"

enum { TEXT_BYTES = 300, TLS_OPTIONS = CLI_TLS | CLI_CA | CLI_INSECURE };

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

static enum cli_exit udp_failed(const struct cli_link *link, enum cli_datagram_rc rc)
{
    char text[CLI_PEER_TEXT_BYTES];
    cli_peer_format(&link->peer, text);
    cli_error("%s: %s", text, cli_datagram_text(rc));
    return CLI_FAILED;
}

/* ── opening ──────────────────────────────────────────────────────────────────────────────── */

/* The first address that takes a connection; a name may have some that do not. */
static enum cli_exit connect_any(struct cli_link *link, const struct cli_peer *peers, size_t count)
{
    const size_t buffer_max = (size_t)CLI_LINE_BYTES_MAX + CLI_VALUE_BYTES_MAX;
    enum cli_conn_rc rc = CLI_CONN_FAILED;
    for (size_t i = 0; i < count && rc != CLI_CONN_OK; i++) {
        cli_conn_close(&link->conn);
        link->peer = peers[i];
        rc = cli_conn_open(&link->conn, &peers[i], link->args->timeout_ms, buffer_max);
    }
    return rc == CLI_CONN_OK ? CLI_FINE : failed(link, rc);
}

/* The first address whose port is not known to be closed: a HELLO tells. */
static enum cli_exit udp_any(struct cli_link *link, const struct cli_peer *peers, size_t count)
{
    enum cli_datagram_rc rc = CLI_DATAGRAM_CLOSED;
    for (size_t i = 0; i < count && rc == CLI_DATAGRAM_CLOSED; i++) {
        cli_datagram_free(link->datagram);
        link->peer = peers[i];
        link->datagram = cli_datagram_new(&peers[i]);
        rc = link->datagram == NULL ? CLI_DATAGRAM_FAILED
                                    : cli_datagram_hello(link->datagram, link->args->timeout_ms);
    }
    return rc == CLI_DATAGRAM_OK ? CLI_FINE : udp_failed(link, rc);
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
    enum cli_exit code = cli_link_ask(link, bytes_of(request, (size_t)len), CLI_ASK_WRITES);
    OPENSSL_cleanse(password, sizeof(password));
    OPENSSL_cleanse(request, sizeof(request));
    struct cli_reply reply;
    if (code == CLI_FINE)
        code = cli_link_reply(link, &reply);
    if (code == CLI_FINE && reply.kind != CLI_REPLY_STORED)
        code = cli_link_refused(&reply);
    return code;
}

/* What the options ask for must go together. Returns a line for the user, or NULL. */
static const char *options_fault(const struct cli_args *args, const struct cli_where *where)
{
    if (strpbrk(args->user == NULL ? "" : args->user, " \r\n") != NULL)
        return "--user: a name has no blank";
    if (!args->udp)
        return NULL;
    if (where->is_unix)
        return "--udp: not to a unix socket";
    return args->user != NULL || (args->given & TLS_OPTIONS) != 0
               ? "--udp: there are no logins and no TLS by UDP"
               : NULL;
}

enum cli_exit cli_link_open(struct cli_link *link, const struct cli_args *args)
{
    *link = (struct cli_link){.args = args, .conn.fd = -1};
    char fault[CLI_WHERE_FAULT_BYTES];
    struct cli_where where;
    if (!cli_where_parse(args->server, &where, fault)) {
        cli_error("%s", fault);
        return CLI_USAGE;
    }
    const char *text = options_fault(args, &where);
    if (text != NULL) {
        cli_error("%s", text);
        return CLI_USAGE;
    }
    struct cli_peer peers[CLI_PEERS_MAX];
    const size_t count = cli_where_resolve(&where, peers, fault);
    if (count == 0) {
        cli_error("%s", fault);
        return CLI_FAILED;
    }
    if (args->udp)
        return udp_any(link, peers, count);
    enum cli_exit code = connect_any(link, peers, count);
    if (code == CLI_FINE && (args->given & TLS_OPTIONS) != 0)
        code = tls_start(link, &where);
    if (code == CLI_FINE && args->user != NULL)
        code = login(link);
    return code;
}

void cli_link_close(struct cli_link *link)
{
    cli_conn_close(&link->conn);
    cli_datagram_free(link->datagram);
    link->datagram = NULL;
}

/* ── talking ──────────────────────────────────────────────────────────────────────────────── */

static enum cli_exit udp_ask(struct cli_link *link, struct bytes request, enum cli_ask what)
{
    if (request.len > CLI_DATAGRAM_COMMAND_MAX) {
        cli_error("a request by UDP has at most %d bytes, this one %zu", CLI_DATAGRAM_COMMAND_MAX,
                  request.len);
        return CLI_FAILED;
    }
    const enum cli_datagram_rc rc = cli_datagram_ask(link->datagram, request, what == CLI_ASK_READS,
                                                     link->args->timeout_ms, &link->answer);
    link->used = 0;
    return rc == CLI_DATAGRAM_OK ? CLI_FINE : udp_failed(link, rc);
}

enum cli_exit cli_link_ask(struct cli_link *link, struct bytes request, enum cli_ask what)
{
    if (link->datagram != NULL)
        return udp_ask(link, request, what);
    cli_conn_deadline(&link->conn, link->args->timeout_ms);
    const enum cli_conn_rc rc = cli_conn_send(&link->conn, request);
    return rc == CLI_CONN_OK ? CLI_FINE : failed(link, rc);
}

/* What has come of the answer, without the last reply. */
static struct bytes input_after(struct cli_link *link)
{
    const size_t used = link->used;
    link->used = 0;
    if (link->datagram != NULL)
        return link->answer = bytes_skip(link->answer, used);
    cli_conn_consume(&link->conn, used);
    return cli_conn_input(&link->conn);
}

enum cli_exit cli_link_reply(struct cli_link *link, struct cli_reply *ret_reply)
{
    for (;;) {
        const struct bytes in = input_after(link);
        const enum cli_reply_rc rc = cli_reply_parse(in, ret_reply, &link->used);
        if (rc == CLI_REPLY_WHOLE)
            return CLI_FINE;
        if (rc == CLI_REPLY_BAD || link->datagram != NULL) {
            char text[TEXT_BYTES];
            cli_error("the answer makes no sense: %s", cli_text_format(text, sizeof(text), in));
            return CLI_FAILED;
        }
        const enum cli_conn_rc more = cli_conn_more(&link->conn);
        if (more != CLI_CONN_OK)
            return failed(link, more);
    }
}

void cli_link_extend(struct cli_link *link)
{
    if (link->datagram == NULL)
        cli_conn_deadline(&link->conn, link->args->timeout_ms);
}

enum cli_exit cli_link_rows(struct cli_link *link, const char *request, const char *unknown,
                            struct cli_rows *rows)
{
    enum cli_exit code = cli_link_ask(link, bytes_str(request), CLI_ASK_READS);
    while (code == CLI_FINE) {
        struct cli_reply reply;
        code = cli_link_reply(link, &reply);
        if (code != CLI_FINE)
            break;
        if (reply.kind == CLI_REPLY_END) {
            cli_rows_done(rows);
            return CLI_FINE;
        }
        if (reply.kind == CLI_REPLY_ERROR && reply.text.len == 0 && rows->count == 0) {
            if (unknown != NULL)
                cli_error("%s", unknown);
            return CLI_NO;
        }
        if (reply.kind != CLI_REPLY_STAT && reply.kind != CLI_REPLY_CONFIG)
            return cli_link_refused(&reply);
        if (!cli_rows_add(rows, reply.key, reply.text)) {
            cli_error("the answer is too long");
            code = CLI_FAILED;
        }
    }
    return code;
}
