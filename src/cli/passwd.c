/* cli/passwd.c — `matte passwd`: users of a file, with hashed passwords and their rights.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "cli/cli_priv.h"
#include "cli/terminal.h"
#include "cli/userfile.h"
#include "gate/users.h"

/* What is wrong with how it was called, or NULL. Reads the rights that are asked for. */
static const char *call_fault(const struct cli_args *args, struct gate_rights *ret_rights)
{
    struct gate_rights rights = {0};
    const char *what = gate_name_fault(bytes_str(args->words[1]));
    if (what != NULL)
        return "a user's name has 1 to 255 bytes, without ':' and line ends";
    if (args->remove && (args->given & ~(uint64_t)CLI_DELETE) != 0)
        return "--delete goes with no other option";
    if (args->keep_password && (args->given & (CLI_STDIN | CLI_ITERATIONS)) != 0)
        return "--keep-password goes with --rights and --prefix only";
    if (args->rights != NULL)
        what = gate_classes_parse(bytes_str(args->rights), &rights.classes);
    for (size_t i = 0; what == NULL && i < args->prefixes.count; i++) {
        uint8_t prefix[GATE_PREFIX_BYTES_MAX];
        size_t len = 0;
        what = gate_prefix_parse(bytes_str(args->prefixes.at[i]), prefix, &len);
        if (what == NULL)
            what = gate_rights_prefix_add(&rights, bytes_of(prefix, len));
    }
    if (what == NULL && (rights.classes & GATE_ADMIN) != 0 && rights.prefixes_bytes > 0)
        what = "admin and a prefix exclude each other";
    *ret_rights = rights;
    return what;
}

/* Fill the entry's hash. Returns false after an error line. */
static bool password_hash(const struct cli_args *args, struct gate_verifier *verifier)
{
    char password[CLI_PASSWORD_BYTES], fault[CLI_PASSWORD_FAULT_BYTES], question[300];
    snprintf(question, sizeof(question), "New password of %s: ", args->words[1]);
    const bool ok = args->from_stdin ? cli_password_read("/dev/stdin", password, fault)
                                     : cli_terminal_password(question, password, fault);
    if (!ok) {
        cli_error("passwd: %s", fault);
        return false;
    }
    if (strchr(password, ' ') != NULL)
        cli_error("note: clients that log in by text cannot send a password with blanks");
    *verifier = (struct gate_verifier){
        .iterations = (uint32_t)args->iterations,
        .salt_bytes = GATE_SALT_BYTES,
    };
    cli_random(verifier->salt, GATE_SALT_BYTES);
    struct gate_hmac key;
    gate_hmac_init(&key, bytes_str(password));
    gate_verifier_derive(verifier, &key);
    explicit_bzero(&key, sizeof(key));
    explicit_bzero(password, sizeof(password));
    return true;
}

/* The last line of the user, as the file has it. Returns false when there is none. Complains about
 * what it cannot read. */
static bool entry_find(struct bytes text, struct bytes name, struct gate_entry *ret_entry,
                       struct gate_fault *fault)
{
    bool found = false;
    for (size_t number = 1; text.len > 0; number++) {
        const struct bytes line = bytes_line_take(&text);
        struct gate_entry entry;
        const char *what = gate_entry_parse(line, &entry);
        if (what != NULL && fault->what == NULL)
            *fault = (struct gate_fault){.line = number, .what = what};
        if (what == NULL && bytes_equal(entry.name, name)) {
            *ret_entry = entry;
            found = true;
        }
    }
    return found;
}

/* Would a server take this content? */
static bool content_ok(struct bytes text, struct gate_fault *ret_fault)
{
    struct gate_users *users;
    ret_fault->what = "out of memory";
    if (gate_users_new((struct gate_digest){0}, &users) != 0)
        return false;
    const bool ok =
        gate_users_add(users, text, ret_fault) == 0 && gate_users_seal(users, NULL, ret_fault) == 0;
    gate_users_free(users);
    return ok;
}

/* Write the content with the user's new line (empty: without him). */
static enum cli_exit content_write(struct cli_userfile *file, struct bytes name, struct bytes line)
{
    char why[CLI_USERFILE_FAULT_BYTES];
    struct gate_fault fault = {0};
    const size_t cap = file->text_bytes + line.len + 2;
    uint8_t *text = malloc(cap);
    if (text == NULL) {
        cli_error("passwd: out of memory");
        return CLI_FAILED;
    }
    size_t found;
    const size_t len =
        cli_userfile_edit(bytes_of(file->text, file->text_bytes), name, line, text, &found);
    enum cli_exit code = CLI_FINE;
    if (!content_ok(bytes_of(text, len), &fault)) {
        cli_error("passwd: a server would not take this file: %s", fault.what);
        code = CLI_FAILED;
    } else if (!cli_userfile_replace(file, bytes_of(text, len), why)) {
        cli_error("passwd: %s", why);
        code = CLI_FAILED;
    }
    explicit_bzero(text, cap);
    free(text);
    return code;
}

/* With the file open and locked. `made`: hash and rights that were asked for. */
static enum cli_exit change(struct cli_userfile *file, const struct cli_args *args,
                            const struct gate_entry *made)
{
    const struct bytes name = bytes_str(args->words[1]);
    struct gate_fault fault = {0};
    struct gate_entry entry = *made, old = {0};
    const bool found = entry_find(bytes_of(file->text, file->text_bytes), name, &old, &fault);
    if (fault.what != NULL) {
        cli_error("passwd: %s, line %zu: %s", args->words[0], fault.line, fault.what);
        return CLI_FAILED;
    }
    if (!found && (args->remove || args->keep_password)) {
        cli_error("passwd: there is no user %s in %s", args->words[1], args->words[0]);
        return CLI_NO;
    }
    if (args->remove)
        return content_write(file, name, bytes_of(NULL, 0));
    if (args->keep_password && !old.hashed) {
        cli_error("passwd: the password of %s is there in plain; give a new one", args->words[1]);
        return CLI_NO;
    }
    if (args->keep_password)
        entry.verifier = old.verifier;
    if ((args->given & (CLI_RIGHTS | CLI_PREFIX)) == 0)
        entry.rights = old.rights;
    uint8_t line[GATE_ENTRY_BYTES_MAX];
    return content_write(file, name, bytes_of(line, gate_entry_write(line, &entry)));
}

enum cli_exit cli_passwd(const struct cli_args *args)
{
    struct gate_entry entry = {.hashed = true, .name = bytes_str(args->words[1])};
    char fault[CLI_USERFILE_FAULT_BYTES];
    const char *what = call_fault(args, &entry.rights);
    if (what != NULL) {
        cli_error("passwd: %s; see `matte help passwd`", what);
        return CLI_USAGE;
    }
    /* Nobody else has to wait while somebody thinks of a password. */
    if (!args->remove && !args->keep_password && !password_hash(args, &entry.verifier))
        return CLI_FAILED;
    struct cli_userfile file;
    if (!cli_userfile_open(&file, args->words[0], !args->remove && !args->keep_password, fault)) {
        cli_error("passwd: %s", fault);
        return CLI_FAILED;
    }
    const enum cli_exit code = change(&file, args, &entry);
    cli_userfile_close(&file);
    return code;
}
