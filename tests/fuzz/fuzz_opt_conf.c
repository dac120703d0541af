/* fuzz_opt_conf.c — any text is a configuration file or has mistakes, each told with its line; what
 * is one says the same when it is printed and read again.
 *
 * Input: the text.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "opt/conf.h"
#include "opt/opt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

static size_t mistakes;

static void mistake(void *arg, const char *line)
{
    (void)arg;
    require(strncmp(line, "f.conf:", 7) == 0 || strncmp(line, "-", 1) == 0);
    mistakes++;
}

static void lines_check(struct bytes text)
{
    static struct opt_conf conf;
    opt_conf_init(&conf, text);
    uint32_t line = 0;
    for (enum opt_conf_what what; (what = opt_conf_next(&conf)) != OPT_CONF_END;) {
        require(conf.line > line && conf.count >= 1 && conf.count <= OPT_CONF_WORDS_MAX);
        require(what != OPT_CONF_SETTING || conf.count == 2);
        line = conf.line;
        for (size_t i = 0; i < conf.count; i++)
            require(conf.word[i].column >= 1 &&
                    conf.word[i].column <= OPT_CONF_LINE_BYTES_MAX + 1 &&
                    strlen(conf.word[i].text) <= OPT_CONF_LINE_BYTES_MAX);
    }
}

static bool load(struct bytes text, struct opts *ret_opts)
{
    static char *const argv[] = {"matted", NULL};
    const struct opt_inputs inputs = {.file_name = "f.conf", .file = text, .argc = 1, .argv = argv};
    const struct opt_teller teller = {.mistake = mistake};
    struct opt_result result;
    mistakes = 0;
    require(opt_init(ret_opts) == 0);
    opt_load(ret_opts, &inputs, &teller, &result);
    require((result.action == OPT_RUN) == (mistakes == 0));
    return result.action == OPT_RUN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size > 0 ? size : 1);
    require(exact != NULL);
    memcpy(exact, data, size);
    const struct bytes text = bytes_of(exact, size);
    lines_check(text);
    struct opts opts, again;
    if (load(text, &opts)) {
        char *printed = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&printed, &bytes);
        require(file != NULL);
        opt_print_config(file, &opts);
        require(fclose(file) == 0);
        require(load(bytes_of(printed, bytes), &again));
        for (size_t row = 0; row < opt_count(); row++)
            require(!opt_is_option(row) || opt_is_same(&opts, &again, row));
        opt_fini(&again);
        free(printed);
    }
    opt_fini(&opts);
    free(exact);
    return 0;
}
