/* cli/probe_tcp.c — what `matte check` asks by TCP: text, TLS, binary.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <openssl/ssl.h>
#include <stdio.h>
#include <time.h>

#include "cli/binary.h"
#include "cli/conn.h"
#include "cli/probe.h"
#include "cli/reply.h"

enum {
    BUFFER_BYTES_MAX = 65536,
    KNOWN_WAIT_MS = 1000,
    ROWS_MAX = 20000, /* of an answer to `stats`; the rest is not read */
};

static enum cli_conn_rc dial(struct cli_probe *probe, struct cli_conn *conn)
{
    return cli_conn_open(conn, &probe->peer, probe->args->timeout_ms, BUFFER_BYTES_MAX);
}

/* ── text ─────────────────────────────────────────────────────────────────────────────────── */

/* The next line. BAD also where the connection is at its end; *ret_rc says why it is. */
static enum cli_reply_rc reply_read(struct cli_conn *conn, struct cli_reply *ret_reply,
                                    enum cli_conn_rc *ret_rc)
{
    for (;;) {
        size_t used;
        const enum cli_reply_rc rc = cli_reply_parse(cli_conn_input(conn), ret_reply, &used);
        *ret_rc = CLI_CONN_OK;
        if (rc == CLI_REPLY_WHOLE)
            cli_conn_consume(conn, used); /* its bytes stay until more are read */
        if (rc != CLI_REPLY_MORE)
            return rc;
        *ret_rc = cli_conn_more(conn);
        if (*ret_rc != CLI_CONN_OK)
            return CLI_REPLY_BAD;
    }
}

static enum cli_speech speech_of(const struct cli_reply *reply)
{
    const char *login = "unauthenticated";
    switch (reply->kind) {
    case CLI_REPLY_VERSION:
        return CLI_SPEECH_OPEN;
    case CLI_REPLY_CLIENT_ERROR:
        return bytes_starts(reply->text, bytes_str(login)) ? CLI_SPEECH_LOGIN : CLI_SPEECH_REFUSED;
    case CLI_REPLY_ERROR:
    case CLI_REPLY_SERVER_ERROR:
        return CLI_SPEECH_REFUSED;
    case CLI_REPLY_VALUE:
    case CLI_REPLY_STAT:
    case CLI_REPLY_END:
    case CLI_REPLY_STORED:
    case CLI_REPLY_NOT_STORED:
    case CLI_REPLY_DELETED:
    case CLI_REPLY_NOT_FOUND:
    case CLI_REPLY_VA:
    case CLI_REPLY_EXISTS:
    case CLI_REPLY_TOUCHED:
    case CLI_REPLY_OK:
    case CLI_REPLY_HD:
    case CLI_REPLY_NS:
    case CLI_REPLY_EX:
    case CLI_REPLY_NF:
    case CLI_REPLY_EN:
    case CLI_REPLY_MN:
    case CLI_REPLY_CONFIG:
    case CLI_REPLY_NUMBER:
    case CLI_REPLY_OTHER:
        return CLI_SPEECH_STRANGE;
    }
    return CLI_SPEECH_STRANGE;
}

static enum cli_speech version_ask(struct cli_probe *probe, struct cli_conn *conn)
{
    struct cli_facts *facts = &probe->facts;
    struct cli_reply reply;
    cli_conn_deadline(conn, probe->args->timeout_ms);
    enum cli_conn_rc rc = cli_conn_send(conn, bytes_str("version\r\n"));
    if (rc == CLI_CONN_OK && reply_read(conn, &reply, &rc) == CLI_REPLY_WHOLE) {
        const enum cli_speech speech = speech_of(&reply);
        cli_text_format(facts->said, sizeof(facts->said), reply.line);
        if (speech == CLI_SPEECH_OPEN)
            cli_text_format(facts->version, sizeof(facts->version), reply.text);
        return speech;
    }
    const struct bytes in = cli_conn_input(conn);
    cli_text_format(facts->said, sizeof(facts->said), in);
    if (in.len > 0)
        return CLI_SPEECH_STRANGE;
    return rc == CLI_CONN_TIMEOUT ? CLI_SPEECH_NONE : CLI_SPEECH_CLOSED;
}

/* Ask for a kind of statistics. *ret_told: rows came. Returns false when no more can be asked. */
static bool stats_ask(struct cli_probe *probe, struct cli_conn *conn, const char *request,
                      bool *ret_told)
{
    cli_conn_deadline(conn, probe->args->timeout_ms);
    if (cli_conn_send(conn, bytes_str(request)) != CLI_CONN_OK)
        return false;
    for (size_t rows = 0; rows < ROWS_MAX; rows++) {
        struct cli_reply reply;
        enum cli_conn_rc rc;
        if (reply_read(conn, &reply, &rc) != CLI_REPLY_WHOLE)
            return false;
        if (reply.kind != CLI_REPLY_STAT)
            return true; /* END, or an error */
        *ret_told = true;
        cli_facts_stat(&probe->facts, reply.key, reply.text);
    }
    return false;
}

/* All that is asked by text, on a connection that is made already. */
static enum cli_speech text_ask(struct cli_probe *probe, struct cli_conn *conn)
{
    struct cli_facts *facts = &probe->facts;
    const enum cli_speech speech = version_ask(probe, conn);
    if (speech == CLI_SPEECH_OPEN && stats_ask(probe, conn, "stats\r\n", &facts->stats) &&
        stats_ask(probe, conn, "stats settings\r\n", &facts->settings))
        (void)stats_ask(probe, conn, "stats conns\r\n", &facts->conns);
    return speech;
}

/* ── TLS ──────────────────────────────────────────────────────────────────────────────────── */

/* Seconds from now; false where the time cannot be read. */
static bool seconds_until(const ASN1_TIME *time, int64_t *ret_s)
{
    int days, s;
    if (time == NULL || ASN1_TIME_diff(&days, &s, NULL, time) != 1)
        return false;
    *ret_s = (int64_t)days * 86400 + s;
    return true;
}

static void certificate_read(struct cli_conn *conn, struct cli_tls_facts *tls)
{
    X509 *certificate = SSL_get1_peer_certificate(conn->tls);
    if (certificate == NULL)
        return;
    char subject[256] = "";
    X509_NAME *name = X509_get_subject_name(certificate);
    if (name != NULL)
        (void)X509_NAME_oneline(name, subject, sizeof(subject));
    cli_text_format(tls->subject, sizeof(tls->subject), bytes_str(subject));
    tls->dated = seconds_until(X509_get0_notBefore(certificate), &tls->until_start_s) &&
                 seconds_until(X509_get0_notAfter(certificate), &tls->until_end_s);
    const long verdict = SSL_get_verify_result(conn->tls);
    if (verdict != X509_V_OK && verdict != X509_V_ERR_CERT_HAS_EXPIRED &&
        verdict != X509_V_ERR_CERT_NOT_YET_VALID)
        snprintf(tls->distrust, sizeof(tls->distrust), "%s",
                 X509_verify_cert_error_string(verdict));
    X509_free(certificate);
}

static bool tls_start(struct cli_probe *probe, struct cli_conn *conn)
{
    const struct cli_tls how = {
        .name = probe->where.is_unix ? NULL : probe->where.host,
        .ca_file = probe->args->ca,
        .old = true,
    };
    return dial(probe, conn) == CLI_CONN_OK && cli_conn_tls(conn, &how) == CLI_CONN_OK;
}

static void tls_ask(struct cli_probe *probe)
{
    struct cli_tls_facts *tls = &probe->facts.tls;
    struct cli_conn conn;
    if (tls_start(probe, &conn)) {
        tls->spoken = true;
        tls->old = SSL_version(conn.tls) < TLS1_2_VERSION;
        snprintf(tls->version, sizeof(tls->version), "%s", SSL_get_version(conn.tls));
        certificate_read(&conn, tls);
        probe->facts.text = text_ask(probe, &conn);
    }
    tls->wants_certificate = conn.tls_wants_certificate;
    cli_conn_close(&conn);
}

/* ── binary ───────────────────────────────────────────────────────────────────────────────── */

static void binary_take(struct cli_facts *facts, const struct cli_binary *answer)
{
    const bool fine = answer->status == CLI_BINARY_FINE;
    if (answer->opcode == CLI_BINARY_VERSION && fine && facts->version[0] == '\0')
        cli_text_format(facts->version, sizeof(facts->version), answer->value);
    if (answer->opcode == CLI_BINARY_SASL_LIST && fine)
        cli_text_format(facts->mechanisms, sizeof(facts->mechanisms), answer->value);
    if (answer->status == CLI_BINARY_AUTH_NEEDED)
        facts->binary = CLI_SPEECH_LOGIN;
    else if (answer->opcode == CLI_BINARY_GET)
        facts->binary =
            fine || answer->status == CLI_BINARY_MISS ? CLI_SPEECH_OPEN : CLI_SPEECH_REFUSED;
}

static void binary_talk(struct cli_probe *probe, struct cli_conn *conn)
{
    uint8_t request[3 * CLI_BINARY_HEADER_BYTES + sizeof(probe->miss)];
    size_t len = cli_binary_write(request, CLI_BINARY_VERSION, bytes_of(NULL, 0));
    len += cli_binary_write(request + len, CLI_BINARY_SASL_LIST, bytes_of(NULL, 0));
    /* Last: a server that wants a login closes the connection behind it. */
    len += cli_binary_write(request + len, CLI_BINARY_GET, bytes_str(probe->miss));
    /* One who has answered by text is quick enough: a longer silence is the answer. */
    const uint64_t wait_ms = probe->args->timeout_ms;
    const bool quick = probe->facts.text >= CLI_SPEECH_OPEN && wait_ms > KNOWN_WAIT_MS;
    cli_conn_deadline(conn, quick ? KNOWN_WAIT_MS : wait_ms);
    enum cli_conn_rc rc = cli_conn_send(conn, bytes_of(request, len));
    for (int answers = 0; answers < 3 && rc == CLI_CONN_OK;) {
        struct cli_binary answer;
        size_t used;
        switch (cli_binary_parse(cli_conn_input(conn), &answer, &used)) {
        case CLI_REPLY_WHOLE:
            binary_take(&probe->facts, &answer);
            cli_conn_consume(conn, used);
            answers++;
            continue;
        case CLI_REPLY_MORE:
            rc = cli_conn_more(conn);
            continue;
        case CLI_REPLY_BAD:
            probe->facts.binary = CLI_SPEECH_STRANGE;
            return;
        }
    }
    if (rc != CLI_CONN_OK && probe->facts.binary == CLI_SPEECH_UNASKED)
        probe->facts.binary = rc == CLI_CONN_TIMEOUT ? CLI_SPEECH_NONE : CLI_SPEECH_CLOSED;
}

static void binary_ask(struct cli_probe *probe)
{
    struct cli_conn conn;
    const bool there =
        probe->facts.tls.spoken ? tls_start(probe, &conn) : dial(probe, &conn) == CLI_CONN_OK;
    if (there)
        binary_talk(probe, &conn);
    cli_conn_close(&conn);
}

/* ── all of them ──────────────────────────────────────────────────────────────────────────── */

void cli_probe_tcp(struct cli_probe *probe)
{
    struct cli_facts *facts = &probe->facts;
    struct cli_conn conn = {.fd = -1};
    for (size_t i = 0; i < probe->peer_count && !facts->tcp_open; i++) {
        cli_conn_close(&conn);
        probe->peer = probe->peers[i];
        const enum cli_conn_rc rc = dial(probe, &conn);
        facts->tcp_open = rc == CLI_CONN_OK;
        snprintf(facts->tcp_error, sizeof(facts->tcp_error), "%s", cli_conn_text(&conn, rc));
    }
    if (facts->tcp_open)
        facts->text = text_ask(probe, &conn);
    else
        probe->peer = probe->peers[0];
    cli_conn_close(&conn);
    if (!facts->tcp_open)
        return;
    /* A port speaks TLS or it does not: who has answered in the clear is not asked. */
    if (facts->text < CLI_SPEECH_OPEN)
        tls_ask(probe);
    if (facts->text != CLI_SPEECH_REFUSED)
        binary_ask(probe);
}
