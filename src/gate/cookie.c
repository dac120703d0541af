/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/cookie.h"

#include "gate/siphash.h"

/* nonce · version and zero bytes · stamp · both addresses · both ports */
enum { MESSAGE_BYTES = 8 + 4 + 4 + 16 + 16 + 2 + 2 };

/* Two bytes in network order, as the low bytes of a word. */
static inline uint64_t swap_16(uint16_t value)
{
    return (uint64_t)(value >> 8) | (uint64_t)(value & 0xff) << 8;
}

static inline uint64_t swap_32(uint32_t value)
{
    return swap_16((uint16_t)(value >> 16)) | swap_16((uint16_t)value) << 16;
}

/* The mac as a number; on the wire its lowest byte comes first. The message is taken in by words
 * and never laid out, as its length is known. */
static uint64_t mac_of(const struct gate_cookie_key *key, const struct gate_cookie_ends *ends,
                       const struct proto_cookie *cookie)
{
    const uint8_t *client = ends->client.ip.byte, *server = ends->server.ip.byte;
    struct siphash s = siphash_begin(key->word[0], key->word[1]);
    siphash_word(&s, siphash_load(cookie->nonce));
    siphash_word(&s, PROTO_UDP_VERSION | swap_32(cookie->stamp) << 32);
    siphash_word(&s, siphash_load(client));
    siphash_word(&s, siphash_load(client + 8));
    siphash_word(&s, siphash_load(server));
    siphash_word(&s, siphash_load(server + 8));
    siphash_word(&s, swap_16(ends->client.port) | swap_16(ends->server.port) << 16 |
                         (uint64_t)MESSAGE_BYTES << 56);
    return siphash_end_64(&s);
}

void gate_cookie_key_read(const uint8_t bytes[GATE_COOKIE_KEY_BYTES],
                          struct gate_cookie_key *ret_key)
{
    ret_key->word[0] = siphash_load(bytes);
    ret_key->word[1] = siphash_load(bytes + 8);
}

void gate_cookie_make(const struct gate_cookie_keys *keys, const struct gate_cookie_ends *ends,
                      uint32_t now_s, struct proto_cookie *cookie)
{
    cookie->stamp = now_s;
    const uint64_t mac = mac_of(&keys->current, ends, cookie);
    for (unsigned i = 0; i < sizeof(cookie->mac); i++)
        cookie->mac[i] = (uint8_t)(mac >> (8 * i));
}

enum gate_cookie_verdict gate_cookie_check(const struct gate_cookie_keys *keys,
                                           const struct gate_cookie_ends *ends, uint32_t now_s,
                                           const struct proto_cookie *cookie)
{
    /* Both keys always, and whole words: there is no byte to stop at. */
    const uint64_t mac = siphash_load(cookie->mac);
    const uint64_t current = mac ^ mac_of(&keys->current, ends, cookie);
    const uint64_t previous = mac ^ mac_of(&keys->previous, ends, cookie);
    if ((current != 0) & (previous != 0))
        return GATE_COOKIE_FORGED;
    const int32_t age_s = (int32_t)(now_s - cookie->stamp);
    if (age_s < -GATE_COOKIE_AHEAD_MAX_S)
        return GATE_COOKIE_FUTURE;
    if (age_s > GATE_COOKIE_AGE_MAX_S)
        return GATE_COOKIE_EXPIRED;
    return age_s > GATE_COOKIE_AGE_RENEW_S ? GATE_COOKIE_RENEW : GATE_COOKIE_FRESH;
}
