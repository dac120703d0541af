/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/attempt.h"

/* ── text ─────────────────────────────────────────────────────────────────────────────────── */

static enum gate_text_rc refuse(enum proto_reply reply, size_t used,
                                struct gate_attempt *ret_attempt, size_t *ret_used)
{
    *ret_attempt = (struct gate_attempt){.refusal = reply};
    *ret_used = used;
    return GATE_TEXT_REFUSED;
}

/* `set ANYKEY f e BYTES ...`; what key, flags and exptime are does not matter. */
static bool line_parse(struct bytes line, uint64_t *ret_payload_bytes)
{
    struct bytes word, ignored, bytes;
    if (!proto_token_next(&line, &word) || !bytes_is(word, "set"))
        return false;
    for (int i = 0; i < 3; i++)
        if (!proto_token_next(&line, &ignored))
            return false;
    return proto_token_next(&line, &bytes) &&
           num_parse_u64(bytes, PROTO_VALUE_BYTES_MAX, ret_payload_bytes);
}

enum gate_text_rc gate_text_parse(struct bytes in, struct gate_attempt *ret_attempt,
                                  size_t *ret_used)
{
    const size_t seen = in.len <= GATE_LINE_BYTES_MAX ? in.len : GATE_LINE_BYTES_MAX + 1;
    const uint8_t *lf = seen > 0 ? memchr(in.ptr, '\n', seen) : NULL;
    if (lf == NULL)
        return in.len <= GATE_LINE_BYTES_MAX ? GATE_TEXT_MORE : GATE_TEXT_CLOSE;
    struct bytes line = bytes_of(in.ptr, (size_t)(lf - in.ptr));
    const size_t line_bytes = line.len + 1;
    if (line.len < GATE_LINE_BYTES_MIN) /* a CR counts, as memcached does */
        return GATE_TEXT_CLOSE;
    if (line.ptr[line.len - 1] == '\r')
        line.len--;
    uint64_t payload_bytes;
    if (!line_parse(line, &payload_bytes))
        return refuse(PROTO_REPLY_UNAUTHENTICATED, line_bytes, ret_attempt, ret_used);
    if (payload_bytes > PROTO_LOGIN_BYTES_MAX)
        return refuse(PROTO_REPLY_LOGIN_TOO_LONG, line_bytes, ret_attempt, ret_used);
    const size_t used = line_bytes + (size_t)payload_bytes + 2;
    if (in.len < used)
        return GATE_TEXT_MORE;
    struct bytes payload = bytes_of(in.ptr + line_bytes, (size_t)payload_bytes);
    if (memcmp(payload.ptr + payload.len, "\r\n", 2) != 0)
        return refuse(PROTO_REPLY_LOGIN_BAD_END, used, ret_attempt, ret_used);
    /* As memcached, what follows the second word is ignored. */
    struct gate_attempt attempt = {0};
    if (!proto_token_next(&payload, &attempt.name) ||
        !proto_token_next(&payload, &attempt.password))
        return refuse(PROTO_REPLY_LOGIN_BAD_FORMAT, used, ret_attempt, ret_used);
    *ret_attempt = attempt;
    *ret_used = used;
    return GATE_TEXT_ATTEMPT;
}

/* ── SASL PLAIN ───────────────────────────────────────────────────────────────────────────── */

/* Cut what stands in front of the next NUL off `*rest`, and the NUL. */
static bool field_next(struct bytes *rest, struct bytes *ret_field)
{
    const uint8_t *nul = rest->len > 0 ? memchr(rest->ptr, '\0', rest->len) : NULL;
    if (nul == NULL)
        return false;
    *ret_field = bytes_of(rest->ptr, (size_t)(nul - rest->ptr));
    *rest = bytes_skip(*rest, ret_field->len + 1);
    return true;
}

bool gate_plain_parse(struct bytes message, struct gate_attempt *ret_attempt)
{
    struct bytes authzid, name;
    if (!field_next(&message, &authzid) || !field_next(&message, &name))
        return false;
    const bool password_ok = message.len > 0 && memchr(message.ptr, '\0', message.len) == NULL;
    if (name.len == 0 || !password_ok || (authzid.len > 0 && !bytes_equal(authzid, name)))
        return false;
    *ret_attempt = (struct gate_attempt){.name = name, .password = message};
    return true;
}
