/* cli/completion.c — `matte completion`: scripts for shells, from the tables.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli_priv.h"

/* What stands where an argument is expected. */
enum hint {
    HINT_NONE,
    HINT_FILE,
    HINT_COMMAND,
    HINT_WORDS, /* one of the words that `arguments` begins with, with '|' between them */
};

static enum hint hint_of(const struct cli_command *command)
{
    const char *text = command->arguments;
    text += text[0] == '[' ? 1 : 0;
    if (strncmp(text, "FILE", 4) == 0)
        return HINT_FILE;
    if (strncmp(text, "SUBCOMMAND", 10) == 0)
        return HINT_COMMAND;
    return memchr(text, '|', strcspn(text, " ]")) != NULL ? HINT_WORDS : HINT_NONE;
}

/* The words of HINT_WORDS, with a blank between them. */
static void words_print(const struct cli_command *command)
{
    const char *text = command->arguments;
    for (text += text[0] == '[' ? 1 : 0; *text != '\0' && *text != ' ' && *text != ']'; text++)
        fputc(*text == '|' ? ' ' : *text, stdout);
}

static bool is_file(const struct cli_option_row *row)
{
    return strcmp(row->word, "FILE") == 0;
}

/* `text` for what stands in single quotes; `escaped` are bytes that want a '\' besides. */
static void quoted_print(const char *text, const char *quote, const char *escaped)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs(quote, stdout);
        else if (strchr(escaped, *text) != NULL)
            printf("\\%c", *text);
        else
            fputc(*text, stdout);
    }
}

static void commands_print(void)
{
    char name[CLI_NAME_BYTES];
    const struct cli_command *command;
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", cli_command_name(command, name));
}

/* ── bash ─────────────────────────────────────────────────────────────────────────────────── */

static void bash_command_print(const struct cli_command *command)
{
    char name[CLI_NAME_BYTES];
    const struct cli_option_row *row;
    printf("    %s)\n        options='", cli_command_name(command, name));
    for (size_t i = 0; (row = cli_option_at(i)) != NULL; i++)
        if ((command->options & row->bit) != 0)
            printf("--%s%s ", row->name, row->word[0] != '\0' ? "=" : "");
    fputs("--help'\n", stdout);
    if (hint_of(command) == HINT_FILE)
        fputs("        files=1\n", stdout);
    if (hint_of(command) == HINT_COMMAND)
        fputs("        words=$subcommands\n", stdout);
    if (hint_of(command) == HINT_WORDS) {
        fputs("        words='", stdout);
        words_print(command);
        fputs("'\n", stdout);
    }
    fputs("        ;;\n", stdout);
}

static void bash_print(void)
{
    const struct cli_command *command;
    fputs("# bash completion of matte; made by `matte completion bash`\n"
          "_matte()\n"
          "{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} sub= options= words= files= i\n"
          "    local subcommands='",
          stdout);
    commands_print();
    fputs("'\n"
          "    COMPREPLY=()\n"
          "    if [[ $COMP_CWORD -gt 1 ]]; then\n"
          "        sub=${COMP_WORDS[1]}\n"
          "    fi\n"
          "    case $sub in\n"
          "    '') words=\"$subcommands --help --version\" ;;\n",
          stdout);
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++)
        bash_command_print(command);
    fputs("    esac\n"
          "    if [[ $cur == = || ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then\n"
          "        i=$((COMP_CWORD - 2))\n"
          "        if [[ $cur == = ]]; then cur= i=$((COMP_CWORD - 1)); fi\n"
          "        case ${COMP_WORDS[i]} in\n"
          "        --ca | --password-file) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
          "        esac\n"
          "    elif [[ $cur == -* && -n $sub ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
          "        if [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi\n"
          "    elif [[ -n $files ]]; then\n"
          "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "    fi\n"
          "}\n"
          "complete -F _matte matte\n",
          stdout);
}

/* ── zsh ──────────────────────────────────────────────────────────────────────────────────── */

static void zsh_command_print(const struct cli_command *command)
{
    char name[CLI_NAME_BYTES];
    const struct cli_option_row *row;
    printf("    %s)\n        _arguments \\\n", cli_command_name(command, name));
    for (size_t i = 0; (row = cli_option_at(i)) != NULL; i++) {
        if ((command->options & row->bit) == 0)
            continue;
        printf("            '--%s%s[", row->name, row->word[0] != '\0' ? "=" : "");
        quoted_print(row->help, "'\\''", "[]:\\");
        fputc(']', stdout);
        if (row->word[0] != '\0')
            printf(":%s:%s", row->word, is_file(row) ? "_files" : "");
        fputs("' \\\n", stdout);
    }
    fputs("            '--help[tell what there is to say about it]' \\\n            '*:", stdout);
    if (hint_of(command) == HINT_FILE) {
        fputs("FILE:_files'\n", stdout);
    } else if (hint_of(command) == HINT_COMMAND) {
        fputs("SUBCOMMAND:(", stdout);
        commands_print();
        fputs(")'\n", stdout);
    } else if (hint_of(command) == HINT_WORDS) {
        fputs("word:(", stdout);
        words_print(command);
        fputs(")'\n", stdout);
    } else {
        fputs("argument:'\n", stdout);
    }
    fputs("        ;;\n", stdout);
}

static void zsh_print(void)
{
    char name[CLI_NAME_BYTES];
    const struct cli_command *command;
    fputs("#compdef matte\n"
          "# made by `matte completion zsh`\n"
          "_matte()\n"
          "{\n"
          "    local -a subcommands\n"
          "    subcommands=(\n",
          stdout);
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++) {
        printf("        '%s:", cli_command_name(command, name));
        quoted_print(command->help, "'\\''", ":\\");
        fputs("'\n", stdout);
    }
    fputs("    )\n"
          "    if ((CURRENT == 2)); then\n"
          "        _describe subcommand subcommands\n"
          "        return\n"
          "    fi\n"
          "    shift words\n"
          "    ((CURRENT--))\n"
          "    case $words[1] in\n",
          stdout);
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++)
        zsh_command_print(command);
    fputs("    esac\n"
          "}\n"
          "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n"
          "    _matte \"$@\"\n"
          "else\n"
          "    compdef _matte matte\n"
          "fi\n",
          stdout);
}

/* ── fish ─────────────────────────────────────────────────────────────────────────────────── */

static void fish_option_print(const struct cli_option_row *row)
{
    char name[CLI_NAME_BYTES];
    const struct cli_command *command;
    fputs("complete -c matte -n '__fish_seen_subcommand_from", stdout);
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++)
        if ((command->options & row->bit) != 0)
            printf(" %s", cli_command_name(command, name));
    printf("' -l %s", row->name);
    if (row->letter != '\0')
        printf(" -s %c", row->letter);
    if (row->word[0] != '\0')
        fputs(is_file(row) ? " -r -F" : " -x", stdout);
    fputs(" -d '", stdout);
    quoted_print(row->help, "\\'", "\\");
    fputs("'\n", stdout);
}

static void fish_print(void)
{
    char name[CLI_NAME_BYTES];
    const struct cli_command *command;
    const struct cli_option_row *row;
    fputs("# fish completion of matte; made by `matte completion fish`\n"
          "complete -c matte -f\n",
          stdout);
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++) {
        printf("complete -c matte -n __fish_use_subcommand -a %s -d '",
               cli_command_name(command, name));
        quoted_print(command->help, "\\'", "\\");
        fputs("'\n", stdout);
        if (hint_of(command) == HINT_NONE)
            continue;
        printf("complete -c matte -n '__fish_seen_subcommand_from %s'", name);
        if (hint_of(command) == HINT_FILE) {
            fputs(" -F\n", stdout);
            continue;
        }
        fputs(" -a '", stdout);
        if (hint_of(command) == HINT_COMMAND)
            commands_print();
        else
            words_print(command);
        fputs("'\n", stdout);
    }
    for (size_t i = 0; (row = cli_option_at(i)) != NULL; i++)
        fish_option_print(row);
}

enum cli_exit cli_completion(const struct cli_args *args)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash_print}, {"zsh", zsh_print}, {"fish", fish_print}};
    for (size_t i = 0; i < COUNT_OF(shells); i++)
        if (strcmp(args->words[0], shells[i].name) == 0) {
            shells[i].print();
            return CLI_FINE;
        }
    cli_error("completion: there is one for bash, zsh and fish");
    return CLI_USAGE;
}
