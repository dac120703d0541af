/* opt/opt.c — walks over a command line, finds the rows, checks what concerns several options.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "opt/opt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "opt/opt_priv.h"

/* FILE:LINE:COLUMN: of what is being applied. Of a long path the end, which tells more. */
static size_t place_format(const struct opt_parse *parse, char dst[OPT_TEXT_BYTES])
{
    enum { PATH_BYTES_MAX = 200 };
    const char *path = parse->opts->config_file;
    if (parse->source.from != OPT_FROM_FILE || path == NULL)
        return 0;
    const size_t len = strlen(path);
    const bool cut = len > PATH_BYTES_MAX;
    return (size_t)snprintf(dst, OPT_TEXT_BYTES, "%s%s:%u:%u: ", cut ? "..." : "",
                            path + (cut ? len - PATH_BYTES_MAX : 0), parse->source.line,
                            parse->source.column);
}

/* The codes of the command line are memcached's; it has no files. */
bool opt_refuse(struct opt_parse *parse, int exit_code, const char *format, ...)
{
    const enum opt_from from = parse->source.from;
    const bool config = from == OPT_FROM_FILE || from == OPT_FROM_ENVIRONMENT;
    parse->result->action = OPT_REFUSED;
    parse->result->exit_code = config ? EX_CONFIG : exit_code;
    char *text = parse->result->text;
    const size_t len = place_format(parse, text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text + len, OPT_TEXT_BYTES - len, format, args);
    va_end(args);
    return false;
}

static void finish(struct opt_parse *parse, enum opt_action action)
{
    *parse->result = (struct opt_result){.action = action};
}

/* ── sub-options ──────────────────────────────────────────────────────────────────────────── */

static bool subs_parse(struct opt_parse *parse, const char *list);

/* A row's own name, or "no_" and the name of something that can be switched off. */
static bool sub_matches(const struct opt_row *row, struct bytes name, bool *ret_negated)
{
    if (row->type != OPT_ROW_SUB && row->type != OPT_ROW_PRESET)
        return false;
    *ret_negated = false;
    if (bytes_is(name, row->name))
        return true;
    *ret_negated = true;
    return (row->kind == OPT_KIND_SWITCH || row->kind == OPT_KIND_LEVEL) &&
           bytes_starts(name, bytes_str("no_")) && bytes_is(bytes_skip(name, 3), row->name);
}

/* Apply one "name" or "name=value". Like memcached, a value for something that takes none is
 * ignored. */
static bool sub_parse(struct opt_parse *parse, const char *text)
{
    const struct bytes name = bytes_of(text, strcspn(text, "="));
    const char *value = text[name.len] == '=' ? text + name.len + 1 : NULL;
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        bool negated;
        if (row->type == OPT_ROW_ABSENT && bytes_starts(name, bytes_str(row->name)))
            return opt_refuse(parse, 1, "-o: Illegal suboption '%.100s': %s", text, row->help);
        if (!sub_matches(row, name, &negated))
            continue;
        if (row->type == OPT_ROW_PRESET)
            return subs_parse(parse, row->dflt);
        if (!negated)
            return opt_value_set(parse, row, value);
        opt_value_clear(parse->opts, row);
        parse->opts->source[i] = parse->source;
        return true;
    }
    return opt_refuse(parse, 1, "-o: Illegal suboption '%.100s'; matted -h lists those that exist",
                      text);
}

static bool subs_parse(struct opt_parse *parse, const char *list)
{
    list += strspn(list, " \t");
    char *copy = strdup(list);
    if (copy == NULL)
        return opt_refuse(parse, EX_OSERR, "out of memory");
    bool ok = true;
    char *rest = copy;
    for (char *item; ok && (item = strsep(&rest, ",")) != NULL;)
        if (item[0] != '\0')
            ok = sub_parse(parse, item);
    free(copy);
    return ok;
}

/* ── options ──────────────────────────────────────────────────────────────────────────────── */

/* Apply an option; `value` is NULL when there was none. Returns false to stop. */
static bool row_apply(struct opt_parse *parse, const struct opt_row *row, const char *value)
{
    const bool in_file = parse->source.from == OPT_FROM_FILE;
    if (in_file &&
        (row->when == OPT_WHEN_ONCE || (row->type == OPT_ROW_ACTION && row->letter != 'o')))
        return opt_refuse(parse, EX_CONFIG, "--%s is for the command line, not for a file",
                          row->name);
    if (row->type == OPT_ROW_OPT)
        return opt_value_set(parse, row, value);
    switch (row->letter) {
    case 'h':
        finish(parse, OPT_HELP);
        return false;
    case 'i':
        finish(parse, OPT_LICENSE);
        return false;
    case 'V':
        finish(parse, OPT_VERSION);
        return false;
    default: /* 'o' */
        if (value == NULL)
            return opt_refuse(parse, 1, "-o needs a list of sub-options; matted -h lists them");
        return subs_parse(parse, value);
    }
}

static bool row_has_value(const struct opt_row *row)
{
    return row->letter == 'o' || opt_kind_has_value(row->kind);
}

static bool row_is_option(const struct opt_row *row)
{
    return row->type == OPT_ROW_OPT || row->type == OPT_ROW_ACTION;
}

static const struct opt_row *row_by_letter(char letter)
{
    for (size_t i = 0; i < opt_row_count; i++)
        if (row_is_option(&opt_rows[i]) && opt_rows[i].letter == letter)
            return &opt_rows[i];
    return NULL;
}

/* The row with this long name, or the only one with a letter that begins with it. */
static const struct opt_row *row_by_name(struct bytes name)
{
    const struct opt_row *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        if (!row_is_option(row) || row->name[0] == '\0')
            continue;
        if (bytes_is(name, row->name))
            return row;
        /* those that memcached does not have must not make its abbreviations ambiguous */
        if (row->letter != '\0' && name.len > 0 && bytes_starts(bytes_str(row->name), name)) {
            found = row;
            count++;
        }
    }
    return count == 1 ? found : NULL;
}

static const char *args_take(struct opt_args *args)
{
    if (args->left == 0)
        return NULL;
    args->left--;
    if (args->word == NULL)
        return *args->next++;
    args->parse->source.column = args->word->column; /* a refusal is about the last one taken */
    return args->word++->text;
}

/* Is this name that of a sub-option, with '-' for '_'? */
static bool name_is_sub(struct bytes name, const struct opt_row *row)
{
    if (row->type != OPT_ROW_SUB || strlen(row->name) != name.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != (row->name[i] == '_' ? '-' : (uint8_t)row->name[i]))
            return false;
    return true;
}

/* A sub-option by its long name. Switches are shorter by -o, which also switches them off. */
static const struct opt_row *sub_by_name(struct bytes name)
{
    for (size_t i = 0; i < opt_row_count; i++)
        if (name_is_sub(name, &opt_rows[i]) && opt_kind_has_value(opt_rows[i].kind) &&
            opt_rows[i].when != OPT_WHEN_INERT)
            return &opt_rows[i];
    return NULL;
}

/* --name, --name=value, --name value */
static bool long_parse(struct opt_parse *parse, const char *text, struct opt_args *args)
{
    const struct bytes name = bytes_of(text, strcspn(text, "="));
    const char *value = text[name.len] == '=' ? text + name.len + 1 : NULL;
    const struct opt_row *row = row_by_name(name);
    const struct opt_row *sub = row == NULL ? sub_by_name(name) : NULL;
    if (sub != NULL)
        return opt_value_set(parse, sub, value != NULL ? value : args_take(args));
    if (row == NULL)
        return opt_refuse(parse, 1, "unknown option --%.*s; matted -h lists those that exist",
                          (int)(name.len < 100 ? name.len : 100), text);
    if (value != NULL && !row_has_value(row)) {
        char label[OPT_LABEL_BYTES];
        opt_label_format(label, row);
        return opt_refuse(parse, 1, "%s takes no value", label);
    }
    if (value == NULL && row_has_value(row))
        value = args_take(args);
    return row_apply(parse, row, value);
}

/* -v, -vvd, -p1, -p 1 */
static bool letters_parse(struct opt_parse *parse, const char *letters, struct opt_args *args)
{
    for (; *letters != '\0'; letters++) {
        const struct opt_row *row = row_by_letter(*letters);
        if (row == NULL)
            return opt_refuse(parse, 1, "unknown option -%c; matted -h lists those that exist",
                              *letters);
        if (row_has_value(row))
            return row_apply(parse, row, letters[1] != '\0' ? letters + 1 : args_take(args));
        if (!row_apply(parse, row, NULL))
            return false;
    }
    return true;
}

static bool arg_parse(struct opt_parse *parse, const char *text, struct opt_args *args)
{
    if (strncmp(text, "--", 2) == 0 && text[2] != '\0')
        return long_parse(parse, text + 2, args);
    if (text[0] == '-' && text[1] != '-' && text[1] != '\0')
        return letters_parse(parse, text + 1, args);
    if (strcmp(text, "--") == 0 && (text = args_take(args)) == NULL)
        return true;
    return opt_refuse(parse, EX_USAGE, "'%.100s' is not an option; all settings are options", text);
}

/* ── what concerns several options ────────────────────────────────────────────────────────── */

static bool given(const struct opt_parse *parse, char letter)
{
    return parse->opts->source[row_by_letter(letter) - opt_rows].from != OPT_FROM_DEFAULT;
}

/* A refusal will be about this row: tell where it is from. */
static struct opt_parse *about(struct opt_parse *parse, size_t row)
{
    parse->source = parse->opts->source[row];
    return parse;
}

#define ABOUT(parse, field) about(parse, OPT_ROW(field))

/* The addresses of -l ask for what -Z and the certificates allow. Exit codes as memcached's, which
 * finds out when it listens. */
static bool listen_tls_check(struct opt_parse *parse)
{
    const struct opts *opts = parse->opts;
    struct bytes rest = bytes_str(opts->listen);
    struct opt_listen listen;
    while (opt_listen_next(&rest, &listen) > 0) {
        if (listen.tls != OPT_LISTEN_DEFAULT && !opts->enable_ssl)
            return opt_refuse(ABOUT(parse, listen), EX_OSERR,
                              "-l, --listen: notls:, btls: and mtls: are valid only with -Z, "
                              "--enable-ssl");
        if (listen.tls == OPT_LISTEN_MTLS && opts->ssl_ca_cert == NULL)
            return opt_refuse(ABOUT(parse, listen), EX_OSERR,
                              "-l, --listen: mtls: needs -o ssl_ca_cert, to know whose client "
                              "certificates are accepted");
    }
    return true;
}

static bool tls_check(struct opt_parse *parse)
{
    const struct opts *opts = parse->opts;
    if (opts->enable_ssl && opts->port == 0)
        return opt_refuse(ABOUT(parse, enable_ssl), EX_USAGE,
                          "-Z, --enable-ssl needs a TCP port; -p 0 switches that off");
    if (opts->enable_ssl && opts->ssl_chain_cert == NULL)
        return opt_refuse(ABOUT(parse, enable_ssl), EX_USAGE,
                          "-Z, --enable-ssl needs a certificate: -o ssl_chain_cert=FILE (PEM), "
                          "and ssl_key=FILE unless the key is in the same file");
    return listen_tls_check(parse);
}

/* What asks for logins or certificates asks for them everywhere, and UDP knows neither. */
static bool udp_check(struct opt_parse *parse)
{
    struct opts *opts = parse->opts;
    struct opt_udp udp;
    const char *fault = opt_udp_parse(opts->udp_policy, &udp);
    if (fault != NULL)
        return opt_refuse(ABOUT(parse, udp_policy), 1,
                          "-o udp_policy: '%.100s' %s; allowed: rr, drop, miss, tcp-vouched, "
                          "prefixes:CIDR+CIDR, open, joined by +",
                          opts->udp_policy, fault);
    if (opts->udp_port == 0)
        return true;
    if (given(parse, 'U') && !given(parse, 'p'))
        opts->port = opts->udp_port;
    bool certificates = opts->enable_ssl && opts->ssl_verify_mode >= 2;
    struct bytes rest = bytes_str(opts->listen);
    struct opt_listen listen;
    while (opt_listen_next(&rest, &listen) > 0)
        certificates |= listen.tls == OPT_LISTEN_MTLS;
    if (certificates)
        return opt_refuse(ABOUT(parse, udp_port), EX_USAGE,
                          "-U, --udp-port: clients show no certificates by UDP, and -o "
                          "ssl_verify_mode or mtls: asks for them; allowed: -U 0");
    if ((udp.policy & OPT_UDP_VOUCHED) != 0 && opts->port == 0)
        return opt_refuse(ABOUT(parse, udp_policy), EX_USAGE,
                          "-o udp_policy: nobody can connect by TCP to be vouched for (-p 0)");
    return true;
}

static bool together_check(struct opt_parse *parse)
{
    struct opts *opts = parse->opts;
    if (opts->memory_limit_bytes == 0)
        opts->memory_limit_bytes = opt_memory_auto(opt_machine_bytes(), opts->conn_limit);
    const uint64_t item_bytes_max = opts->memory_limit_bytes / 2;
    if (opts->max_item_bytes > item_bytes_max && !given(parse, 'I'))
        opts->max_item_bytes = item_bytes_max; /* -m 1 alone shall work */
    if (opts->max_item_bytes > item_bytes_max)
        return opt_refuse(
            ABOUT(parse, max_item_bytes), EX_USAGE,
            "-I, --max-item-size: %llu bytes is more than half of the memory limit (-m); "
            "allowed: at most %llu",
            (unsigned long long)opts->max_item_bytes, (unsigned long long)item_bytes_max);
    if (opts->hot_lru_pct + opts->warm_lru_pct > 80)
        return opt_refuse(
            ABOUT(parse, hot_lru_pct), EX_USAGE,
            "-o hot_lru_pct and warm_lru_pct: %u and %u; allowed: 80 at most together",
            opts->hot_lru_pct, opts->warm_lru_pct);
    if (opts->source[OPT_ROW(napi_ids)].from == OPT_FROM_ARGS &&
        opts->napi_ids == 0) /* as memcached */
        return opt_refuse(ABOUT(parse, napi_ids), 1,
                          "-N, --napi-ids: '0' is out of range; allowed: 1..%u (-t)",
                          opts->threads);
    if (opts->napi_ids > opts->threads)
        return opt_refuse(
            ABOUT(parse, napi_ids), EX_USAGE,
            "-N, --napi-ids: %u queues are more than worker threads (-t); allowed: 1..%u",
            opts->napi_ids, opts->threads);
    opts->stats_detail = given(parse, 'D');
    return udp_check(parse) && tls_check(parse);
}

/* Its source stays what it is: nobody has given it, or the same. */
static bool protocol_force(struct opt_parse *parse, const char *protocol)
{
    parse->source = parse->opts->source[OPT_ROW(protocol)];
    return opt_value_set(parse, row_by_letter('B'), protocol);
}

/* Does -l ask for a protocol that is not this one? */
static bool listen_differs(const struct opts *opts, enum opt_protocol protocol)
{
    struct bytes rest = bytes_str(opts->listen);
    struct opt_listen listen;
    while (opt_listen_next(&rest, &listen) > 0)
        if (listen.protocol != OPT_PROTOCOL_DEFAULT && listen.protocol != protocol)
            return true;
    return false;
}

/* Nobody comes in by a way on which nobody can log in: -Y serves text alone, -S binary alone. */
static bool login_check(struct opt_parse *parse)
{
    const struct opts *opts = parse->opts;
    const bool text = opts->auth_file != NULL, binary = opts->enable_sasl;
    const char *letters = !binary ? "-Y" : !text ? "-S" : "-Y with -S";
    const char *protocol = !binary ? "ascii" : !text ? "binary" : "auto";
    if (!text && !binary)
        return true;
    (void)about(parse, text ? OPT_ROW(auth_file) : OPT_ROW(enable_sasl));
    if (opts->udp_port != 0)
        return opt_refuse(parse, EX_USAGE, "%s: there are no logins by UDP; allowed: -U 0",
                          letters);
    if (given(parse, 'B') && strcmp(opts->protocol, protocol) != 0)
        return opt_refuse(parse, EX_USAGE, "%s serves %s; allowed: -B %s, or no -B", letters,
                          text && binary ? "both protocols"
                          : text         ? "the text protocol alone (-S adds binary)"
                                         : "the binary protocol alone (-Y adds text)",
                          protocol);
    if (text != binary && listen_differs(opts, text ? OPT_PROTOCOL_TEXT : OPT_PROTOCOL_BINARY))
        return opt_refuse(parse, EX_USAGE,
                          "%s: -l asks for a protocol by which nobody can log in; allowed: "
                          "proto[%s]:, or none",
                          letters, protocol);
    return protocol_force(parse, protocol);
}

/* ── interface ────────────────────────────────────────────────────────────────────────────── */

int opt_init(struct opts *opts)
{
    *opts = (struct opts){0};
    int rc = 0;
    for (size_t i = 0; i < opt_row_count && rc == 0; i++)
        rc = opt_value_default(opts, &opt_rows[i]);
    return rc;
}

void opt_fini(struct opts *opts)
{
    for (size_t i = 0; i < opt_row_count; i++) {
        const enum opt_kind kind = opt_rows[i].kind;
        if (kind == OPT_KIND_TEXT || kind == OPT_KIND_LIST || kind == OPT_KIND_TEXTS ||
            kind == OPT_KIND_CHOICE)
            free(*(char **)(void *)((char *)opts + opt_rows[i].offset));
    }
    *opts = (struct opts){0};
}

void opt_inert_each(const struct opts *opts, void (*each)(const char *label))
{
    for (size_t i = 0; i < opt_row_count; i++) {
        if (opt_rows[i].when != OPT_WHEN_INERT || opts->source[i].from == OPT_FROM_DEFAULT)
            continue;
        char label[OPT_LABEL_BYTES];
        opt_label_format(label, &opt_rows[i]);
        each(label);
    }
}

bool opt_args_apply(struct opt_args *args)
{
    const char *text;
    while ((text = args_take(args)) != NULL)
        if (!arg_parse(args->parse, text, args))
            return false;
    return true;
}

bool opt_together_check(struct opt_parse *parse)
{
    return together_check(parse) && login_check(parse);
}

void opt_parse(struct opts *opts, int argc, char *const argv[], struct opt_result *ret_result)
{
    const struct opt_inputs inputs = {.argc = argc, .argv = argv};
    struct opt_parse parse = {.opts = opts, .result = ret_result};
    opt_command_line_apply(opts, &inputs, ret_result);
    if (ret_result->action == OPT_RUN)
        (void)!opt_together_check(&parse);
}
