/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/foreign.h"

/* What begins with one of these. None has a byte in common with the start of a command, nor of a
 * binary packet (0x80), and none but the last has a line's end before it is told apart. */
static const struct {
    const char *name;
    const char *bytes;
    uint8_t len;
} starts[] = {
    {"tls", "\x16\x03", 2}, /* the record of a ClientHello */
    {"ssh", "SSH-", 4},
    {"proxy", "PROXY ", 6}, /* a load balancer's, version 1 */
    {"smtp", "EHLO ", 5},
    {"smtp", "HELO ", 5},
    {"amqp", "AMQP", 4},
    {"rdp", "\x03\0\0", 3}, /* a TPKT with its length */
    {"proxy", "\r\n\r\n\0\r\nQUIT\n", 12},
};

/* A method stands before a blank and a target. `GET key` is none: somebody typed it. */
static const char *const methods[] = {"GET",   "POST",  "HEAD",     "PUT", "OPTIONS", "DELETE",
                                      "PATCH", "TRACE", "PROPFIND", "PRI", "CONNECT"};
static const char *const targets[] = {"/", "*", "http:", "https:", "rtsp:", "sip:"};

/* How far do `in` and `text` agree: NO, up to the end of `in`, or all of `text`? */
static enum proto_foreign agree(struct bytes in, struct bytes text)
{
    const size_t len = in.len < text.len ? in.len : text.len;
    if (len > 0 && memcmp(in.ptr, text.ptr, len) != 0)
        return PROTO_FOREIGN_NO;
    return len == text.len ? PROTO_FOREIGN_YES : PROTO_FOREIGN_MAYBE;
}

/* What follows a method and its blank. */
static enum proto_foreign target_recognise(struct bytes in, const char *method)
{
    enum proto_foreign best = PROTO_FOREIGN_NO;
    if (strcmp(method, "CONNECT") == 0) /* to any HOST:PORT */
        return PROTO_FOREIGN_YES;
    for (size_t i = 0; i < COUNT_OF(targets) && best != PROTO_FOREIGN_YES; i++) {
        const enum proto_foreign here = agree(in, bytes_str(targets[i]));
        if (here != PROTO_FOREIGN_NO)
            best = here;
    }
    return best;
}

static enum proto_foreign http_recognise(struct bytes in)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        const struct bytes method = bytes_str(methods[i]);
        const enum proto_foreign here = agree(in, method);
        if (here == PROTO_FOREIGN_MAYBE)
            return here;
        if (here == PROTO_FOREIGN_NO)
            continue;
        if (in.len == method.len)
            return PROTO_FOREIGN_MAYBE;
        if (in.ptr[method.len] == ' ')
            return target_recognise(bytes_skip(in, method.len + 1), methods[i]);
    }
    return PROTO_FOREIGN_NO;
}

/* Redis: '*' and the number of strings that follow. */
static enum proto_foreign redis_recognise(struct bytes in)
{
    size_t at = 1;
    if (in.ptr[0] != '*')
        return PROTO_FOREIGN_NO;
    while (at < in.len && in.ptr[at] >= '0' && in.ptr[at] <= '9')
        at++;
    if (at == in.len)
        return PROTO_FOREIGN_MAYBE;
    return at > 1 && in.ptr[at] == '\r' ? PROTO_FOREIGN_YES : PROTO_FOREIGN_NO;
}

enum proto_foreign proto_foreign_recognise(struct bytes in, const char **ret_name)
{
    enum proto_foreign best = PROTO_FOREIGN_NO;
    if (in.ptr[0] >= 'a' && in.ptr[0] <= 'z') /* as every command does */
        return best;
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        const enum proto_foreign here = agree(in, bytes_of(starts[i].bytes, starts[i].len));
        if (here == PROTO_FOREIGN_YES)
            *ret_name = starts[i].name;
        if (here == PROTO_FOREIGN_YES || (here == PROTO_FOREIGN_MAYBE && in.ptr[0] != '\r'))
            best = here;
    }
    if (best == PROTO_FOREIGN_YES)
        return best;
    const enum proto_foreign redis = redis_recognise(in), http = http_recognise(in);
    if (redis == PROTO_FOREIGN_YES || http == PROTO_FOREIGN_YES) {
        *ret_name = redis == PROTO_FOREIGN_YES ? "redis" : "http";
        return PROTO_FOREIGN_YES;
    }
    return redis == PROTO_FOREIGN_MAYBE || http == PROTO_FOREIGN_MAYBE ? PROTO_FOREIGN_MAYBE : best;
}
