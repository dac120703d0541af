/* cli/complete.c — what a word at the prompt may go on with.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cli/complete.h"

#include <stdio.h>

#include "cli/args.h"

const char *const cli_protocol_words[] = {"gats",
                                          "mg",
                                          "ms",
                                          "md",
                                          "ma",
                                          "mn",
                                          "me",
                                          "mdp",
                                          "version",
                                          "verbosity",
                                          "flush_all",
                                          "cache_memlimit",
                                          "shutdown",
                                          "refresh_certs",
                                          "slabs",
                                          "lru",
                                          "lru_crawler",
                                          "watch",
                                          "delete_prefix",
                                          NULL};

static const char *const prompt_words[] = {"raw", "exit", "quit", NULL};

static void candidate_add(struct cli_candidates *candidates, struct bytes word, const char *text)
{
    if (strlen(text) >= CLI_CANDIDATE_BYTES || candidates->count == CLI_CANDIDATES_MAX ||
        !bytes_starts(bytes_str(text), word))
        return;
    char *at = candidates->at[candidates->count++];
    snprintf(at, CLI_CANDIDATE_BYTES, "%s", text);
    size_t same = 0;
    while (at[same] != '\0' && at[same] == candidates->at[0][same])
        same++;
    if (candidates->count == 1 || same < candidates->common)
        candidates->common = same;
}

static void words_add(struct cli_candidates *candidates, struct bytes word,
                      const char *const *words)
{
    for (; *words != NULL; words++)
        candidate_add(candidates, word, *words);
}

static void commands_add(struct cli_candidates *candidates, struct bytes word)
{
    char name[CLI_NAME_BYTES];
    const struct cli_command *command;
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++)
        candidate_add(candidates, word, cli_command_name(command, name));
}

static void options_add(struct cli_candidates *candidates, struct bytes word, struct bytes first)
{
    char name[CLI_NAME_BYTES], text[CLI_CANDIDATE_BYTES];
    if (first.len >= sizeof(name))
        return;
    memcpy(name, first.ptr, first.len);
    name[first.len] = '\0';
    const struct cli_command *command = cli_command_find(name);
    const struct cli_option_row *row;
    for (size_t i = 0; command != NULL && (row = cli_option_at(i)) != NULL; i++) {
        if ((command->options & row->bit) == 0)
            continue;
        snprintf(text, sizeof(text), "--%s%s", row->name, row->word[0] != '\0' ? "=" : "");
        candidate_add(candidates, word, text);
    }
}

void cli_complete(struct bytes line, struct cli_candidates *ret_candidates)
{
    struct bytes first = bytes_of(NULL, 0), word = line;
    *ret_candidates = (struct cli_candidates){0};
    bool more = true;
    for (struct bytes rest = line; more;) {
        word = bytes_part_take(&rest, ' ', &more);
        if (first.len == 0 && more)
            first = word;
    }
    ret_candidates->word_len = word.len;
    if (first.len == 0) {
        commands_add(ret_candidates, word);
        words_add(ret_candidates, word, prompt_words);
        words_add(ret_candidates, word, cli_protocol_words);
    } else if (bytes_is(first, "help")) {
        commands_add(ret_candidates, word);
    } else if (bytes_is(first, "raw")) {
        words_add(ret_candidates, word, cli_protocol_words);
    } else if (word.len > 0 && word.ptr[0] == '-') {
        options_add(ret_candidates, word, first);
    }
}
