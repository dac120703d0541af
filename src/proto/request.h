/* proto/request.h — one parsed request, whatever protocol it came by.
 *
 * Includes: base, tbl/commands.def, tbl/opcodes.def.  Included by: gate, cmd, server.  Pure data.
 * Memory:   `key`, `rest`, `value` and `opaque` point into the input; a request is valid as
 *           long as those bytes stay where they are. It may be copied freely (no pointer into
 *           itself).
 * SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"

enum {
    PROTO_KEY_BYTES_MAX = 250,
    PROTO_LINE_BYTES_MAX = 2048,                  /* without LF, unless get or gets */
    PROTO_GET_LINE_BYTES_MAX = 1024 * 1024,       /* without LF, get and gets */
    PROTO_VALUE_BYTES_MAX = 0x7fffffff - 2,       /* what a length may say at all */
    PROTO_META_FLAGS_MAX = 18,                    /* 20 tokens less word and key */
    PROTO_OPAQUE_BYTES_MAX = 31,                  /* 32 with the letter */
    PROTO_KEY_BINARY_BYTES_MAX = 250 / 4 * 3 + 3, /* decoded from base64 */
    PROTO_KEY_TEXT_BYTES_MAX = (250 + 2) / 3 * 4, /* encoded to base64 */
    PROTO_BODY_BYTES_MAX = 1 << 30,               /* binary: extras, key and value */
    PROTO_LOGIN_BYTES_MAX = 16 * 1024,            /* the value of a login */
};

/* What a parser says of the bytes that are there. */
enum proto_rc {
    PROTO_OK,    /* a request was read; it may be erroneous: req->error */
    PROTO_MORE,  /* no complete one yet */
    PROTO_CLOSE, /* nothing can follow (not our protocol, malformed, a line without end): send
                  * req->error if any, then close */
};

enum proto_cmd {
#define COMMAND(ID, word, SHAPE, args_min, CLASS, handler) PROTO_CMD_##ID,
#include "tbl/commands.def"
#undef COMMAND
    PROTO_CMD_NONE, /* unknown word or unreadable line: `error` is set */
/* What came by the binary protocol is above. */
#define OPCODE(ID, code, quiet, EXTRAS, KEY, VALUE, CLASS, handler) PROTO_CMD_BIN_##ID,
#include "tbl/opcodes.def"
    PROTO_CMD_BIN_NONE, /* unknown opcode, or malformed: `error` is set */
};
enum { PROTO_CMD_COUNT = PROTO_CMD_NONE, PROTO_CMD_ALL_COUNT = PROTO_CMD_BIN_NONE + 1 };

/* How a command's line is read. Every shape but LINE and ARGS has a key. */
enum proto_shape {
    PROTO_SHAPE_KEYS,       /* key+                        -> key, rest */
    PROTO_SHAPE_TOUCH_KEYS, /* exptime key+                -> exptime, key, rest */
    PROTO_SHAPE_STORE,      /* key flags exptime bytes     -> client_flags, exptime, value_bytes */
    PROTO_SHAPE_CAS,        /* the same and a CAS unique   -> compare_cas, too */
    PROTO_SHAPE_KEY,        /* key                         -> key */
    PROTO_SHAPE_PREFIX,     /* key, and no more            -> key */
    PROTO_SHAPE_NUMBER,     /* key n                       -> delta */
    PROTO_SHAPE_EXPTIME,    /* key exptime                 -> exptime */
    PROTO_SHAPE_META,       /* key flag*                   -> meta */
    PROTO_SHAPE_META_VALUE, /* key bytes flag*             -> meta, value_bytes */
    PROTO_SHAPE_ARGS,       /* anything, noreply           -> rest: what stands between */
    PROTO_SHAPE_LINE,       /* anything                    -> rest: all that follows the word */
};

/* What a command asks of who sends it; the gate decides by it. LOGIN: nothing, it comes before. */
enum proto_class {
    PROTO_CLASS_READ,
    PROTO_CLASS_WRITE,
    PROTO_CLASS_FLUSH,
    PROTO_CLASS_ADMIN,
    PROTO_CLASS_LOGIN,
};

/* Meta flags, a bit per letter: PROTO_FLAG('v'). */
#define PROTO_FLAG(letter) (1ull << ((letter) - 'A'))

struct proto_meta {
    uint64_t flags; /* PROTO_FLAG() of every letter given */
    uint64_t explicit_cas;
    uint64_t initial;        /* J */
    struct bytes opaque;     /* O, without the letter; may be empty */
    int32_t vivify_exptime;  /* N */
    int32_t recache_exptime; /* R */
    uint8_t mode;            /* first byte of M's token; 0 without */
    uint8_t letter_count;
    char letters[PROTO_META_FLAGS_MAX]; /* in request order */
};

/* Of a request of the binary protocol. */
struct proto_binary {
    uint8_t opcode;   /* as sent: the answer repeats it */
    bool quiet;       /* the quiet form of the command: say nothing of a success, or of a miss */
    uint8_t status;   /* enum proto_status; with an error: its code */
    uint32_t opaque;  /* the answer repeats it */
    uint64_t initial; /* increment, decrement */
};

struct proto_request {
    enum proto_cmd cmd;
    bool noreply;         /* say nothing at all, errors included (never set by meta's q) */
    bool has_value;       /* a data block of value_bytes + tail_bytes follows the line or head */
    bool value_bad;       /* set by the session: the block does not end in CR LF */
    uint8_t tail_bytes;   /* of the data block behind the value: 2 (CR LF), or 0 (binary) */
    bool key_base64;      /* `key` is base64 of the real key (meta b) and known to be readable */
    bool hashed;          /* `hash` belongs to `key`; cmd's own */
    uint8_t hint;         /* cmd's own, set with `hashed` */
    uint64_t hash;        /* cmd's own */
    struct bytes key;     /* the first key as it stands in the line; keys that follow: `rest` */
    struct bytes rest;    /* what follows the first key, or (LINE) the word; line end excluded */
    const char *error;    /* not NULL: the answer, without its line end; no other effect */
    struct bytes value;   /* set by the session when the whole block is in the input */
    uint64_t value_bytes; /* of the data block, without its end bytes */
    uint64_t compare_cas; /* cas; meta C; binary: 0 compares nothing */
    uint64_t delta;       /* incr, decr; meta D, 1 without */
    int32_t exptime;      /* as on the wire; meta T; binary: read it as unsigned */
    uint32_t client_flags;
    void *progress; /* cmd's own: of an answer that stopped at CMD_AGAIN; see cmd_abort() */
    union {
        struct proto_meta meta;     /* of shapes META and META_VALUE; else undefined */
        struct proto_binary binary; /* of what came by the binary protocol */
    };
};

/* Begin a request. All but `meta` and `binary` is set, one field after the other: clearing the
 * whole struct at once took a third of the time that a `get` takes in the parser. */
static ALWAYS_INLINE void proto_request_init(struct proto_request *req, enum proto_cmd cmd,
                                             uint8_t tail_bytes)
{
    req->cmd = cmd;
    req->noreply = false;
    req->has_value = false;
    req->value_bad = false;
    req->tail_bytes = tail_bytes;
    req->key_base64 = false;
    req->hashed = false;
    req->key = bytes_of(NULL, 0);
    req->rest = bytes_of(NULL, 0);
    req->error = NULL;
    req->value = bytes_of(NULL, 0);
    req->value_bytes = 0;
    req->compare_cas = 0;
    req->delta = 0;
    req->exptime = 0;
    req->client_flags = 0;
    req->progress = NULL;
}

/* A row of tbl/commands.def. */
struct proto_command {
    char word[16]; /* padded with NUL */
    uint8_t word_bytes;
    uint8_t args_min;
    uint8_t shape;      /* enum proto_shape */
    uint8_t verb_class; /* enum proto_class */
};
extern const struct proto_command proto_commands[PROTO_CMD_COUNT];

/* Of a command of either protocol (not one of the NONEs). */
enum proto_class proto_class_of(enum proto_cmd cmd);

/* What a command is called: its word; one of the binary protocol is in capitals. */
const char *proto_name_of(enum proto_cmd cmd);

static inline bool proto_is_binary(const struct proto_request *req)
{
    return req->cmd > PROTO_CMD_NONE;
}

/* Must the value be in the input whole, however long? A login's is no item: it is bounded by
 * PROTO_LOGIN_BYTES_MAX, and nowhere to be uploaded to. */
static inline bool proto_value_is_login(const struct proto_request *req)
{
    return (req->cmd == PROTO_CMD_BIN_SASL_AUTH || req->cmd == PROTO_CMD_BIN_SASL_STEP) &&
           req->error == NULL;
}

static inline bool proto_meta_has(const struct proto_request *req, char letter)
{
    return (req->meta.flags & PROTO_FLAG(letter)) != 0;
}

/* Cut the next token (up to a space) off the front of `*rest`. Returns false when none is left. */
MUST_USE bool proto_token_next(struct bytes *rest, struct bytes *ret_token);
