/* SPDX-License-Identifier: BSD-3-Clause */
#include "web/door.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base64.h"

_Static_assert(DOOR_DIGEST_BYTES == SHA256_DIGEST_LENGTH, "digests are SHA-256");

/* ── the file ─────────────────────────────────────────────────────────────────────────────── */

static const char *token_fault(struct bytes token)
{
    for (size_t i = 0; i < token.len; i++)
        if (token.ptr[i] <= ' ' || token.ptr[i] >= 0x7f)
            return "has a token with blanks or other than printable ASCII characters";
    if (token.len < DOOR_TOKEN_BYTES_MIN)
        return "has a token that is too short; allowed: 16..256 characters";
    return token.len > DOOR_TOKEN_BYTES_MAX
               ? "has a token that is too long; allowed: 16..256 characters"
               : NULL;
}

const char *door_tokens_parse(struct bytes text, struct door_tokens *ret_tokens)
{
    struct door_tokens tokens = {0};
    while (text.len > 0) {
        const struct bytes line = bytes_line_take(&text);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        const char *fault = token_fault(line);
        if (fault != NULL)
            return fault;
        if (tokens.count == DOOR_TOKENS_MAX)
            return "has more than 16 tokens";
        (void)SHA256(line.ptr, line.len, tokens.digest[tokens.count++]);
    }
    if (tokens.count == 0)
        return "has no token; one per line, for example from: openssl rand -hex 24";
    *ret_tokens = tokens;
    return NULL;
}

static const char *file_fault(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "is not a file";
    if ((st->st_mode & S_IRWXO) != 0)
        return "may be used by others; allowed: mode 0600 or 0640";
    return st->st_size > DOOR_FILE_BYTES_MAX ? "is too long" : NULL;
}

/* Returns the file's length or -errno. */
static ssize_t file_read(int fd, uint8_t *dst, size_t cap)
{
    size_t len = 0;
    for (ssize_t got; len < cap; len += (size_t)got) {
        got = read(fd, dst + len, cap - len);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got < 0)
            got = 0;
    }
    return (ssize_t)len;
}

int door_tokens_load(const char *path, struct door_tokens *ret_tokens, char *ret_error)
{
    uint8_t text[DOOR_FILE_BYTES_MAX];
    struct stat st = {0};
    const char *fault = NULL;
    int rc = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        rc = -errno;
    if (rc == 0 && (fault = file_fault(&st)) == NULL) {
        const ssize_t len = file_read(fd, text, sizeof(text));
        if (len < 0)
            rc = (int)len;
        else
            fault = door_tokens_parse(bytes_of(text, (size_t)len), ret_tokens);
    }
    if (fd >= 0)
        close(fd);
    OPENSSL_cleanse(text, sizeof(text));
    if (fault != NULL)
        (void)snprintf(ret_error, DOOR_ERROR_BYTES, "-o admin_token_file: %.300s %s", path, fault);
    else if (rc != 0)
        (void)snprintf(ret_error, DOOR_ERROR_BYTES, "-o admin_token_file: cannot read %.300s: %s",
                       path, strerror(-rc));
    return fault != NULL ? -EINVAL : rc;
}

/* ── the token of a request ───────────────────────────────────────────────────────────────── */

/* Take "word " off the front, in any case of letters. */
static bool scheme_take(struct bytes *value, const char *word)
{
    const size_t len = strlen(word);
    if (value->len <= len || value->ptr[len] != ' ' ||
        strncasecmp((const char *)value->ptr, word, len) != 0)
        return false;
    *value = bytes_skip(*value, len);
    while (value->len > 0 && value->ptr[0] == ' ')
        *value = bytes_skip(*value, 1);
    return true;
}

/* All are compared, and each as a whole. */
static bool is_known(const struct door_tokens *tokens, struct bytes token)
{
    uint8_t digest[DOOR_DIGEST_BYTES];
    (void)SHA256(token.ptr, token.len, digest);
    int known = 0;
    for (size_t i = 0; i < tokens->count; i++)
        known |= CRYPTO_memcmp(digest, tokens->digest[i], sizeof(digest)) == 0;
    return known != 0;
}

enum door_rc door_token_check(const struct door_tokens *tokens, struct bytes authorization)
{
    enum { USER_BYTES_MAX = 256, PLAIN_MAX = DOOR_TOKEN_BYTES_MAX + USER_BYTES_MAX };
    uint8_t plain[BASE64_DECODED_MAX(BASE64_ENCODED(PLAIN_MAX))];
    struct bytes token = authorization;
    if (authorization.len == 0)
        return DOOR_ABSENT;
    if (!scheme_take(&token, "Bearer")) {
        if (!scheme_take(&token, "Basic") || token.len > BASE64_ENCODED(PLAIN_MAX))
            return DOOR_REFUSED;
        bool has_colon;
        token = bytes_of(plain, base64_decode(plain, token));
        (void)bytes_part_take(&token, ':', &has_colon);
        if (!has_colon)
            return DOOR_REFUSED;
    }
    const bool known = token.len > 0 && is_known(tokens, token);
    OPENSSL_cleanse(plain, sizeof(plain));
    return known ? DOOR_OPEN : DOOR_REFUSED;
}

/* ── Host ─────────────────────────────────────────────────────────────────────────────────── */

/* Cut ":PORT" off the end. Returns false when what follows the colon is no port. */
static bool port_cut(struct bytes *host)
{
    size_t len = host->len;
    while (len > 0 && host->ptr[len - 1] >= '0' && host->ptr[len - 1] <= '9')
        len--;
    if (len == 0 || host->ptr[len - 1] != ':')
        return true;
    const bool has_digits = len < host->len;
    host->len = len - 1;
    return has_digits;
}

static bool is_name(struct bytes host, struct bytes name)
{
    return host.len == name.len && name.len > 0 &&
           strncasecmp((const char *)host.ptr, (const char *)name.ptr, name.len) == 0;
}

bool door_host_is_ours(struct bytes host, const char *names)
{
    static const char *const always[] = {"localhost", "127.0.0.1", "[::1]"};
    if (host.len == 0)
        return true;
    if (!port_cut(&host))
        return false;
    for (size_t i = 0; i < COUNT_OF(always); i++)
        if (is_name(host, bytes_str(always[i])))
            return true;
    struct bytes rest = bytes_str(names != NULL ? names : "");
    bool more = names != NULL;
    while (more)
        if (is_name(host, bytes_part_take(&rest, '+', &more)))
            return true;
    return false;
}
