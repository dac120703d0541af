/* matte/rr.h — RR UDP (return-routable UDP) for clients of a memcached that speaks it.
 *
 * It makes and reads datagrams; sockets, clock, time-outs and random numbers are the caller's.
 * docs/udp-rr.md explains the protocol. One command:
 *
 *     struct matte_rr rr;                       once per client socket and server
 *     matte_rr_init(&rr, nonce);                8 random bytes
 *
 *     uint8_t out[MATTE_RR_FRAME_BYTES + COMMAND_BYTES_MAX];
 *     uint8_t room[MATTE_RR_ROOM_BYTES];
 *     struct matte_rr_answer answer;
 *     matte_rr_answer_init(&answer, request, room, sizeof(room));
 *     len = matte_rr_ready(&rr, now_s) ? matte_rr_wrap(&rr, request, command, bytes, out)
 *                                      : matte_rr_hello(&rr, request, out);
 *     send(out, len), then for each datagram received, until the time is up:
 *         switch (matte_rr_take(&rr, &answer, datagram, len, now_s)) {
 *         MATTE_RR_DONE:    the answer is answer.room[0 .. answer.bytes)
 *         MATTE_RR_AGAIN:   a cookie has come: matte_rr_wrap() and send the command, at most twice
 *         MATTE_RR_MORE:    go on receiving
 *         MATTE_RR_IGNORED: likewise; it was a late one, or not for us
 *         MATTE_RR_LARGE:   it does not fit: ask by TCP
 *         }
 *
 * `request` should differ from those of the commands before. A datagram may be lost: repeat what
 * reads, ask by TCP whether what writes has been done.
 *
 * C99 or C++11. Includes: nothing of ours.
 * Threads:  a struct matte_rr is one thread's at a time.
 * Memory:   all is the caller's; nothing is allocated.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef MATTE_RR_H
#define MATTE_RR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MATTE_RR_HEADER_BYTES    8
#define MATTE_RR_EXTENSION_BYTES 24
#define MATTE_RR_FRAME_BYTES     (MATTE_RR_HEADER_BYTES + MATTE_RR_EXTENSION_BYTES)
#define MATTE_RR_NONCE_BYTES     8
#define MATTE_RR_DATAGRAM_BYTES  1400 /* of an answer, at most */
#define MATTE_RR_PART_BYTES      (MATTE_RR_DATAGRAM_BYTES - MATTE_RR_HEADER_BYTES)
/* A cookie lives for an hour; a minute less allows for clocks that run differently. */
#define MATTE_RR_COOKIE_S (3600 - 60)
/* Datagrams of one answer; a server's default cap, 64 KiB, makes 48. May be defined beforehand. */
#ifndef MATTE_RR_PARTS_MAX
#define MATTE_RR_PARTS_MAX 64
#endif
#define MATTE_RR_ROOM_BYTES (MATTE_RR_PARTS_MAX * MATTE_RR_PART_BYTES)

#define MATTE_RR_KIND_LEGACY    0x0000u
#define MATTE_RR_KIND_HELLO     0xce01u
#define MATTE_RR_KIND_CHALLENGE 0xce02u
#define MATTE_RR_KIND_PROVEN    0xce03u
#define MATTE_RR_KIND_FRESH     0xce04u

/* What a client keeps about one server. */
struct matte_rr {
    uint8_t nonce[MATTE_RR_NONCE_BYTES];
    uint8_t stamp[4]; /* of the cookie, as it came */
    uint8_t mac[8];
    int has_cookie;
    uint64_t taken_s; /* when, by the client's clock */
};

/* One answer as it comes in. */
struct matte_rr_answer {
    uint8_t *room; /* the caller's; when done, `bytes` of answer from its start */
    size_t room_bytes;
    size_t bytes;
    uint16_t request;
    uint16_t total;    /* datagrams; 0: none has come yet */
    uint16_t received; /* different ones */
    uint16_t part_bytes[MATTE_RR_PARTS_MAX];
    uint8_t part_here[MATTE_RR_PARTS_MAX];
};

enum matte_rr_rc {
    MATTE_RR_IGNORED, /* malformed, not for this request, or a double; nothing has changed */
    MATTE_RR_MORE,    /* taken; others of this answer are to come */
    MATTE_RR_DONE,    /* the answer is complete */
    MATTE_RR_AGAIN,   /* the server has sent a cookie instead of an answer */
    MATTE_RR_LARGE    /* the answer has more datagrams than the room or MATTE_RR_PARTS_MAX */
};

/* The nonce is random, and stays the same for one server. */
static inline void matte_rr_init(struct matte_rr *rr, const uint8_t nonce[MATTE_RR_NONCE_BYTES])
{
    memset(rr, 0, sizeof(*rr));
    memcpy(rr->nonce, nonce, MATTE_RR_NONCE_BYTES);
}

/* Is there a cookie worth sending? `now_s`: any clock of seconds that does not jump. */
static inline int matte_rr_ready(const struct matte_rr *rr, uint64_t now_s)
{
    return rr->has_cookie && now_s >= rr->taken_s && now_s - rr->taken_s <= MATTE_RR_COOKIE_S;
}

/* Its own; use the calls below. */
static inline void matte_rr_put_16(uint8_t *dst, unsigned value)
{
    dst[0] = (uint8_t)(value >> 8 & 0xff);
    dst[1] = (uint8_t)(value & 0xff);
}

static inline unsigned matte_rr_get_16(const uint8_t *src)
{
    return (unsigned)src[0] << 8 | src[1];
}

static inline void matte_rr_frame(const struct matte_rr *rr, uint16_t request, unsigned kind,
                                  uint8_t *out)
{
    memset(out, 0, MATTE_RR_FRAME_BYTES);
    matte_rr_put_16(out, request);
    matte_rr_put_16(out + 4, 1);
    matte_rr_put_16(out + 6, kind);
    memcpy(out + 8, rr->nonce, MATTE_RR_NONCE_BYTES);
    out[16] = 1;
}

/* Ask for a cookie. Writes MATTE_RR_FRAME_BYTES to `out`, which is as long as the CHALLENGE will
 * be; returns how many that is. */
static inline size_t matte_rr_hello(const struct matte_rr *rr, uint16_t request, uint8_t *out)
{
    matte_rr_frame(rr, request, MATTE_RR_KIND_HELLO, out);
    return MATTE_RR_FRAME_BYTES;
}

/* A command, whole, with the cookie. `out` has room for MATTE_RR_FRAME_BYTES + `bytes`. Returns the
 * bytes of the datagram; 0 when there is no cookie. */
static inline size_t matte_rr_wrap(const struct matte_rr *rr, uint16_t request, const void *command,
                                   size_t bytes, uint8_t *out)
{
    if (!rr->has_cookie)
        return 0;
    matte_rr_frame(rr, request, MATTE_RR_KIND_PROVEN, out);
    memcpy(out + 20, rr->stamp, sizeof(rr->stamp));
    memcpy(out + 24, rr->mac, sizeof(rr->mac));
    if (bytes > 0)
        memcpy(out + MATTE_RR_FRAME_BYTES, command, bytes);
    return MATTE_RR_FRAME_BYTES + bytes;
}

/* Begin to collect the answer to `request`. `room` should have MATTE_RR_ROOM_BYTES; what has less
 * takes answers of room_bytes / MATTE_RR_PART_BYTES datagrams. */
static inline void matte_rr_answer_init(struct matte_rr_answer *answer, uint16_t request,
                                        uint8_t *room, size_t room_bytes)
{
    memset(answer, 0, sizeof(*answer));
    answer->request = request;
    answer->room = room;
    answer->room_bytes = room_bytes;
}

/* Keep the cookie of an extension that was made for our nonce. Nobody who does not see our
 * datagrams knows it, so nobody else can plant a cookie. */
static inline int matte_rr_keep(struct matte_rr *rr, const uint8_t *extension, uint64_t now_s)
{
    static const uint8_t version[4] = {1, 0, 0, 0};
    if (memcmp(extension, rr->nonce, MATTE_RR_NONCE_BYTES) != 0 ||
        memcmp(extension + 8, version, sizeof(version)) != 0)
        return 0;
    memcpy(rr->stamp, extension + 12, sizeof(rr->stamp));
    memcpy(rr->mac, extension + 16, sizeof(rr->mac));
    rr->has_cookie = 1;
    rr->taken_s = now_s;
    return 1;
}

/* Put the parts, which lie MATTE_RR_PART_BYTES apart, one behind the other. */
static inline enum matte_rr_rc matte_rr_join(struct matte_rr_answer *answer)
{
    size_t bytes = 0, i;
    for (i = 0; i < answer->total; i++) {
        memmove(answer->room + bytes, answer->room + i * MATTE_RR_PART_BYTES,
                answer->part_bytes[i]);
        bytes += answer->part_bytes[i];
    }
    answer->bytes = bytes;
    return MATTE_RR_DONE;
}

/* A part of the answer; `sequence` < `total`. */
static inline enum matte_rr_rc matte_rr_store(struct matte_rr_answer *answer, unsigned sequence,
                                              unsigned total, const uint8_t *part, size_t bytes)
{
    if (total > MATTE_RR_PARTS_MAX || total > answer->room_bytes / MATTE_RR_PART_BYTES)
        return MATTE_RR_LARGE;
    if ((answer->total != 0 && answer->total != total) || answer->part_here[sequence] ||
        bytes > MATTE_RR_PART_BYTES)
        return MATTE_RR_IGNORED;
    if (bytes > 0)
        memcpy(answer->room + sequence * MATTE_RR_PART_BYTES, part, bytes);
    answer->total = (uint16_t)total;
    answer->part_here[sequence] = 1;
    answer->part_bytes[sequence] = (uint16_t)bytes;
    answer->received++;
    return answer->received == total ? matte_rr_join(answer) : MATTE_RR_MORE;
}

/* Take one datagram in: a challenge, an answer or a part of one, a fresher cookie. After DONE the
 * answer takes nothing more until matte_rr_answer_init(). */
static inline enum matte_rr_rc matte_rr_take(struct matte_rr *rr, struct matte_rr_answer *answer,
                                             const uint8_t *datagram, size_t bytes, uint64_t now_s)
{
    unsigned sequence, total, kind;
    size_t at = MATTE_RR_HEADER_BYTES;
    if (bytes < at || matte_rr_get_16(datagram) != answer->request ||
        (answer->total != 0 && answer->received == answer->total))
        return MATTE_RR_IGNORED;
    sequence = matte_rr_get_16(datagram + 2);
    total = matte_rr_get_16(datagram + 4);
    kind = matte_rr_get_16(datagram + 6);
    if (sequence >= total)
        return MATTE_RR_IGNORED;
    if (kind == MATTE_RR_KIND_CHALLENGE) {
        if (total != 1 || bytes != MATTE_RR_FRAME_BYTES || !matte_rr_keep(rr, datagram + at, now_s))
            return MATTE_RR_IGNORED;
        return MATTE_RR_AGAIN;
    }
    if (kind == MATTE_RR_KIND_FRESH && sequence == 0) {
        if (bytes < MATTE_RR_FRAME_BYTES || !matte_rr_keep(rr, datagram + at, now_s))
            return MATTE_RR_IGNORED;
        at = MATTE_RR_FRAME_BYTES;
    } else if (kind != MATTE_RR_KIND_LEGACY && kind != MATTE_RR_KIND_FRESH) {
        return MATTE_RR_IGNORED;
    }
    return matte_rr_store(answer, sequence, total, datagram + at, bytes - at);
}

#endif
