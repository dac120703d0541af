/* cli/reply.h — parser of what a server answers by the text protocol.
 *
 * Nothing of it is trusted: the server may be a stranger's, or no memcached at all.
 *
 * Includes: base.  Included by: cli and its tests.  Pure.
 * Memory:   a reply points into the input.
 * Spec:     memcached 1.6.45, text protocol.
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    CLI_LINE_BYTES_MAX = 4096,     /* of a line, with its end; settings of OpenSSL are long */
    CLI_VALUE_BYTES_MAX = 1 << 30, /* the largest -I */
};

enum cli_reply_kind {
    CLI_REPLY_VERSION, /* text: the version */
    CLI_REPLY_VALUE,   /* key, client_flags, value; cas_unique of `gets` */
    CLI_REPLY_VA,      /* meta; text: its flags; value */
    CLI_REPLY_STAT,    /* key: its name; text: its value */
    CLI_REPLY_END,
    CLI_REPLY_STORED,
    CLI_REPLY_NOT_STORED,
    CLI_REPLY_DELETED,
    CLI_REPLY_NOT_FOUND,
    CLI_REPLY_EXISTS,
    CLI_REPLY_TOUCHED,
    CLI_REPLY_OK,
    CLI_REPLY_HD,           /* meta; text: its flags */
    CLI_REPLY_NS,           /* meta: not stored */
    CLI_REPLY_EX,           /* meta: another CAS unique */
    CLI_REPLY_NF,           /* meta: not found */
    CLI_REPLY_EN,           /* meta: a miss; also the end of mgdump */
    CLI_REPLY_MN,           /* meta: all before is answered */
    CLI_REPLY_CONFIG,       /* key: name of a setting; text: its value and source */
    CLI_REPLY_NUMBER,       /* cas_unique: the number that incr and decr answer */
    CLI_REPLY_ERROR,        /* it knows no such command */
    CLI_REPLY_CLIENT_ERROR, /* text: what is wrong */
    CLI_REPLY_SERVER_ERROR, /* text: what is wrong */
    CLI_REPLY_OTHER,        /* a line of no meaning to us */
};

struct cli_reply {
    enum cli_reply_kind kind;
    uint32_t client_flags;
    bool has_cas;
    uint64_t cas_unique;
    struct bytes line; /* without its end */
    struct bytes text; /* what follows the word, perhaps nothing */
    struct bytes key, value;
};

enum cli_reply_rc {
    CLI_REPLY_WHOLE,
    CLI_REPLY_MORE, /* so far it is the beginning of a reply */
    CLI_REPLY_BAD,  /* it is none, whatever follows */
};

/* Read one line, or a VALUE or VA with its data, at the start of `in`. WHOLE: *ret_used counts the
 * bytes that it took. MORE never asks for more than CLI_LINE_BYTES_MAX + CLI_VALUE_BYTES_MAX. */
MUST_USE enum cli_reply_rc cli_reply_parse(struct bytes in, struct cli_reply *ret_reply,
                                           size_t *ret_used);

/* `bytes` as printable ASCII in `dst` of `cap` bytes (> 8) with its NUL: others become \xHH, and
 * what does not fit is cut and ends with "...". Whatever a server sent passes through here before a
 * terminal sees it. Returns dst. */
char *cli_text_format(char *dst, size_t cap, struct bytes bytes);
