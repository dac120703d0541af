/* opt/layer.c — what options come from, one above the other: file, environment, command line.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "opt/opt_priv.h"

/* All that is applied to one struct opts. */
struct load {
    struct opt_parse parse;
    const struct opt_teller *teller;
    struct opt_result first; /* the first mistake */
    struct opt_result last;  /* what parse.result points to */
};

static void mistake_tell(struct load *load)
{
    if (load->first.action == OPT_RUN)
        load->first = load->last;
    if (load->teller->mistake != NULL)
        load->teller->mistake(load->teller->arg, load->last.text);
    load->last = (struct opt_result){.action = OPT_RUN};
}

/* ── names ────────────────────────────────────────────────────────────────────────────────── */

bool opt_row_is_setting(const struct opt_row *row)
{
    return (row->type == OPT_ROW_OPT || row->type == OPT_ROW_SUB) && row->when != OPT_WHEN_ONCE;
}

bool opt_name_means(const struct opt_row *row, struct bytes name)
{
    const char *own = row->name[0] != '\0' ? row->name : row->field;
    if (strlen(own) != name.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != (uint8_t)own[i] &&
            !((name.ptr[i] == '-' || name.ptr[i] == '_') && (own[i] == '-' || own[i] == '_')))
            return false;
    return true;
}

static const struct opt_row *row_find(struct bytes name)
{
    for (size_t i = 0; i < opt_row_count; i++)
        if (opt_row_is_setting(&opt_rows[i]) && opt_name_means(&opt_rows[i], name))
            return &opt_rows[i];
    return NULL;
}

/* Why there is no such name: it may be one of memcached's. */
static bool unknown_refuse(struct opt_parse *parse, const char *name)
{
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        if (row->type == OPT_ROW_ABSENT && bytes_starts(bytes_str(name), bytes_str(row->name)))
            return opt_refuse(parse, EX_CONFIG, "%.60s: %s", name, row->help);
        if (row->when == OPT_WHEN_ONCE && row->name != NULL && opt_name_means(row, bytes_str(name)))
            return opt_refuse(parse, EX_CONFIG, "%.60s is for the command line, not for a file",
                              name);
    }
    return opt_refuse(parse, EX_CONFIG, "%.60s is not the name of an option; matted -h lists them",
                      name);
}

/* ── the file ─────────────────────────────────────────────────────────────────────────────── */

static bool may_repeat(const struct opt_row *row)
{
    return row->kind == OPT_KIND_LIST || row->kind == OPT_KIND_TEXTS;
}

static bool setting_apply(struct opt_parse *parse, const struct opt_conf *conf)
{
    const char *name = conf->word[0].text;
    parse->source.column = conf->word[0].column;
    const struct opt_row *row = row_find(bytes_str(name));
    if (row == NULL)
        return unknown_refuse(parse, name);
    const struct opt_source *before = &parse->opts->source[row - opt_rows];
    if (before->from == OPT_FROM_FILE && !may_repeat(row))
        return opt_refuse(parse, EX_CONFIG, "%.60s has a value already, from line %u", name,
                          before->line);
    parse->source.column = conf->word[1].column;
    parse->label = name;
    const bool ok = opt_value_set(parse, row, conf->word[1].text);
    parse->label = NULL;
    return ok;
}

/* Does anything that can be set stand below this heading? */
static bool is_section(size_t group)
{
    for (size_t i = group + 1; i < opt_row_count && opt_rows[i].type != OPT_ROW_GROUP; i++)
        if (opt_row_is_setting(&opt_rows[i]))
            return true;
    return false;
}

static bool section_check(struct opt_parse *parse, const struct opt_conf *conf)
{
    char all[256] = "";
    size_t len = 0;
    for (size_t i = 0; i < opt_row_count; i++) {
        const struct opt_row *row = &opt_rows[i];
        if (row->type != OPT_ROW_GROUP || !is_section(i))
            continue;
        if (strcmp(row->field, conf->word[0].text) == 0)
            return true;
        if (strstr(all, row->field) == NULL && len < sizeof(all))
            len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", len > 0 ? ", " : "",
                                    row->field);
    }
    parse->source.column = conf->word[0].column;
    return opt_refuse(parse, EX_CONFIG, "there is no section '%.60s'; allowed: %s",
                      conf->word[0].text, all);
}

static bool line_apply(struct opt_parse *parse, const struct opt_conf *conf,
                       enum opt_conf_what what)
{
    struct opt_args args = {.parse = parse, .word = conf->word, .left = conf->count};
    parse->source.line = conf->line;
    switch (what) {
    case OPT_CONF_END:
        return true;
    case OPT_CONF_SECTION:
        return section_check(parse, conf);
    case OPT_CONF_FLAGS:
        return opt_args_apply(&args);
    case OPT_CONF_SETTING:
        return setting_apply(parse, conf);
    case OPT_CONF_FAULT:
        parse->source.column = conf->word[0].column;
        return opt_refuse(parse, EX_CONFIG, "%s", conf->word[0].text);
    }
    return true;
}

static void file_apply(struct load *load, struct bytes text)
{
    struct opt_conf *conf = malloc(sizeof(*conf)); /* too large for the stack of a worker */
    if (conf == NULL) {
        (void)opt_refuse(&load->parse, EX_OSERR, "out of memory");
        mistake_tell(load);
        return;
    }
    opt_conf_init(conf, text);
    load->parse.source.from = OPT_FROM_FILE;
    for (enum opt_conf_what what; (what = opt_conf_next(conf)) != OPT_CONF_END;)
        if (!line_apply(&load->parse, conf, what))
            mistake_tell(load);
    free(conf);
}

/* ── the environment ──────────────────────────────────────────────────────────────────────── */

static const char prefix[] = "MATTED_";

/* "MATTED_CONN_LIMIT=7": its name as that of an option, lower case, in `ret_name`. Returns the
 * value; NULL when it is none of ours. */
static const char *variable_split(const char *variable, char ret_name[OPT_NAME_BYTES])
{
    if (strncmp(variable, prefix, sizeof(prefix) - 1) != 0)
        return NULL;
    const char *text = variable + sizeof(prefix) - 1;
    const size_t len = strcspn(text, "=");
    if (text[len] == '\0')
        return NULL;
    const bool fits = len < OPT_NAME_BYTES;
    for (size_t i = 0; i < len && fits; i++)
        ret_name[i] = (char)(text[i] >= 'A' && text[i] <= 'Z'   ? text[i] | 0x20
                             : text[i] == '_'                   ? '_'
                             : text[i] >= '0' && text[i] <= '9' ? text[i]
                                                                : '?');
    ret_name[fits ? len : 0] = '\0';
    return text + len + 1;
}

/* Kubernetes puts such variables into every container beside a service that is called matted:
 * MATTED_SERVICE_HOST, MATTED_PORT_11211_TCP_ADDR, and MATTED_PORT=tcp://10.0.0.1:11211. */
static bool is_of_kubernetes(const char *name, const char *value)
{
    return strncmp(name, "service_", 8) == 0 || strncmp(name, "port_", 5) == 0 ||
           (strcmp(name, "port") == 0 && strstr(value, "://") != NULL);
}

static bool is_config_file(const char *name)
{
    return strcmp(name, "config") == 0;
}

static void warn(const struct load *load, const char *label)
{
    char line[OPT_TEXT_BYTES];
    (void)snprintf(line, sizeof(line), "%.100s is passed over: no option has this name", label);
    if (load->teller->warning != NULL)
        load->teller->warning(load->teller->arg, line);
}

static void variable_apply(struct load *load, const char *variable)
{
    char name[OPT_NAME_BYTES], label[OPT_LABEL_BYTES];
    const char *value = variable_split(variable, name);
    if (value == NULL || is_config_file(name) || is_of_kubernetes(name, value))
        return;
    (void)snprintf(label, sizeof(label), "%.*s", (int)strcspn(variable, "="), variable);
    const struct opt_row *row = row_find(bytes_str(name));
    if (row == NULL) {
        warn(load, label);
        return;
    }
    if (value[0] == '\0') /* as compose files give what is not set */
        return;
    load->parse.label = label;
    if (!opt_value_set(&load->parse, row, value))
        mistake_tell(load);
    load->parse.label = NULL;
}

static void environment_apply(struct load *load, char *const *environment)
{
    load->parse.source = (struct opt_source){.from = OPT_FROM_ENVIRONMENT};
    for (; environment != NULL && *environment != NULL; environment++)
        variable_apply(load, *environment);
}

/* ── all ──────────────────────────────────────────────────────────────────────────────────── */

void opt_command_line_apply(struct opts *opts, const struct opt_inputs *inputs,
                            struct opt_result *ret_result)
{
    *ret_result = (struct opt_result){.action = OPT_RUN};
    struct opt_parse parse = {
        .opts = opts, .result = ret_result, .source = {.from = OPT_FROM_ARGS}};
    struct opt_args args = {.parse = &parse,
                            .left = inputs->argc > 0 ? (size_t)inputs->argc - 1 : 0,
                            .next = inputs->argv + 1};
    (void)!opt_args_apply(&args);
}

void opt_peek(struct opts *opts, const struct opt_inputs *inputs, struct opt_result *ret_result)
{
    opt_command_line_apply(opts, inputs, ret_result);
    if (ret_result->action != OPT_RUN || opts->config_file != NULL)
        return;
    for (char *const *at = inputs->environment; at != NULL && *at != NULL; at++) {
        char name[OPT_NAME_BYTES];
        const char *value = variable_split(*at, name);
        if (value == NULL || !is_config_file(name) || value[0] == '\0')
            continue;
        struct opt_parse parse = {.opts = opts,
                                  .result = ret_result,
                                  .source = {.from = OPT_FROM_ENVIRONMENT},
                                  .label = "MATTED_CONFIG"};
        (void)!opt_value_set(&parse, &opt_rows[OPT_ROW(config_file)], value);
        return;
    }
}

static void file_name_set(struct opts *opts, const char *name)
{
    free(opts->config_file);
    opts->config_file = strdup(name); /* NULL: what is told has no file's name */
}

void opt_load(struct opts *opts, const struct opt_inputs *inputs, const struct opt_teller *teller,
              struct opt_result *ret_result)
{
    struct load load = {.parse = {.opts = opts}, .teller = teller};
    load.parse.result = &load.last;
    if (inputs->file_name != NULL) {
        file_name_set(opts, inputs->file_name);
        file_apply(&load, inputs->file);
    }
    environment_apply(&load, inputs->environment);
    opt_command_line_apply(opts, inputs, &load.last);
    if (inputs->file_name != NULL) /* it may have been given as another */
        file_name_set(opts, inputs->file_name);
    if (load.last.action != OPT_RUN)
        mistake_tell(&load);
    load.parse.source = (struct opt_source){.from = OPT_FROM_DEFAULT};
    if (load.first.action == OPT_RUN && !opt_together_check(&load.parse))
        mistake_tell(&load);
    *ret_result = load.first;
}

/* A value as it stands in a file, without its quotes. Owns: free(); NULL: no memory. */
static struct opt_conf *value_read(struct bytes value, enum opt_conf_what *ret_what)
{
    struct opt_conf *conf = malloc(sizeof(*conf));
    char *text = malloc(value.len + 2);
    if (conf != NULL && text != NULL) {
        memcpy(text, "v=", 2);
        memcpy(text + 2, value.ptr, value.len);
        opt_conf_init(conf, bytes_of(text, value.len + 2));
        *ret_what = opt_conf_next(conf);
        free(text);
        return conf;
    }
    free(conf);
    free(text);
    return NULL;
}

void opt_set_live(struct opts *opts, size_t row, struct bytes value, struct opt_result *ret_result)
{
    char label[OPT_NAME_BYTES];
    opt_name_format(row, label);
    *ret_result = (struct opt_result){.action = OPT_RUN};
    struct opt_parse parse = {
        .opts = opts, .result = ret_result, .source = {.from = OPT_FROM_LIVE}, .label = label};
    opts->source[row].from = OPT_FROM_DEFAULT; /* it replaces what was set live before */
    enum opt_conf_what what;
    struct opt_conf *conf = value_read(value, &what);
    if (conf == NULL)
        (void)opt_refuse(&parse, EX_OSERR, "out of memory");
    else if (what != OPT_CONF_SETTING || conf->rest.len > 0)
        (void)opt_refuse(&parse, 1, "%s: %s", label,
                         what == OPT_CONF_FAULT ? conf->word[0].text : "one line is a value");
    else
        (void)!opt_value_set(&parse, &opt_rows[row], conf->word[1].text);
    free(conf);
}

void opt_check(struct opts *opts, struct opt_result *ret_result)
{
    *ret_result = (struct opt_result){.action = OPT_RUN};
    struct opt_parse parse = {.opts = opts, .result = ret_result};
    (void)!opt_together_check(&parse);
}
