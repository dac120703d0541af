/* debugtime debugitem misbehave: in the test build alone.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_priv.h"

#ifdef MATTE_TEST_BUILD

#include <pthread.h>

#include "base/clock.h"

enum cmd_rc cmd_debugtime(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct bytes token;
    int64_t shift_s;
    if (!proto_token_next(&req->rest, &token))
        return cmd_answer(ctx, req, PROTO_REPLY_ERROR);
    if (bytes_is(token, "p"))
        clock_freeze();
    else if (bytes_is(token, "r"))
        clock_resume();
    else if (num_parse_i64(token, &shift_s))
        clock_shift_s(shift_s);
    else
        return cmd_answer(ctx, req, PROTO_REPLY_ERROR);
    ctx->now_s = clock_now_s();
    return cmd_answer(ctx, req, PROTO_REPLY_OK);
}

/* ── debugitem ────────────────────────────────────────────────────────────────────────────────
 * What memcached's references and locks are used for in tests: to keep an item where it is. Ours
 * are held for moments only, so both are pins of the item's segment. */

enum { PINS_MAX = 64 };

static struct {
    pthread_mutex_t lock;
    struct pin {
        struct store_ref *ref; /* NULL: free */
        uint8_t key[PROTO_KEY_BYTES_MAX];
        size_t key_bytes;
        bool locks;
    } pins[PINS_MAX];
} debug = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool pin_add(struct cmd_ctx *ctx, const struct store_view *view, struct bytes key,
                    bool locks)
{
    bool done = false;
    pthread_mutex_lock(&debug.lock);
    for (size_t i = 0; i < PINS_MAX && !done; i++) {
        struct pin *pin = &debug.pins[i];
        if (pin->ref != NULL)
            continue;
        pin->ref = store_ref_new(ctx->thread, view);
        if (pin->ref == NULL)
            break;
        memcpy(pin->key, key.ptr, key.len);
        pin->key_bytes = key.len;
        pin->locks = locks;
        done = true;
    }
    pthread_mutex_unlock(&debug.lock);
    return done;
}

static bool pin_drop(struct bytes key, bool locks)
{
    bool done = false;
    pthread_mutex_lock(&debug.lock);
    for (size_t i = 0; i < PINS_MAX && !done; i++) {
        struct pin *pin = &debug.pins[i];
        if (pin->ref == NULL || pin->locks != locks ||
            !bytes_equal(bytes_of(pin->key, pin->key_bytes), key))
            continue;
        store_ref_free(pin->ref);
        pin->ref = NULL;
        done = true;
    }
    pthread_mutex_unlock(&debug.lock);
    return done;
}

void cmd_debug_fini(void)
{
    for (size_t i = 0; i < PINS_MAX; i++) {
        store_ref_free(debug.pins[i].ref);
        debug.pins[i].ref = NULL;
    }
}

enum cmd_rc cmd_debugitem(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct bytes word, text;
    struct store_view view;
    if (!proto_token_next(&req->rest, &word) || !proto_token_next(&req->rest, &text) ||
        text.len > PROTO_KEY_BYTES_MAX)
        return cmd_answer(ctx, req, PROTO_REPLY_ERROR);
    const bool locks = bytes_is(word, "lock") || bytes_is(word, "unlock");
    const bool drops = bytes_is(word, "unref") || bytes_is(word, "unlock");
    if (!locks && !drops && !bytes_is(word, "ref"))
        return cmd_answer(ctx, req, PROTO_REPLY_ERROR);
    const struct store_key key = {.key = text, .hash = store_hash(ctx->store, text)};
    bool done;
    if (drops)
        done = pin_drop(text, locks);
    else
        done = store_get(ctx->thread, &key, STORE_GET_NO_BUMP, &view) == STORE_OK &&
               pin_add(ctx, &view, text, locks);
    return cmd_answer(ctx, req, done ? PROTO_REPLY_OK : PROTO_REPLY_MISS);
}

/* ── misbehave ────────────────────────────────────────────────────────────────────────────── */

/* Try what the process must not be able to do; ERROR when it worked. */
enum cmd_rc cmd_misbehave(struct cmd_ctx *ctx, struct proto_request *req)
{
    struct bytes what = bytes_str("");
    (void)!proto_token_next(&req->rest, &what);
    const bool possible = ctx->server != NULL && ctx->server->misbehave != NULL &&
                          ctx->server->misbehave(ctx->server_arg, what);
    return cmd_answer(ctx, req, possible ? PROTO_REPLY_ERROR : PROTO_REPLY_OK);
}

#endif
