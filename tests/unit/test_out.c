/* test_out.c — answers: bytes and blobs in order, sent in pieces of any size.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdlib.h>
#include <sys/uio.h>

#include "base/out.h"
#include "support/kit.h"

enum { BLOBS_MAX = 16, SPANS_MAX = 4, TEXT_MAX = 1 << 16 };

/* An answer, what it must look like on the wire, and who was released when. */
struct answer {
    struct out out;
    uint8_t text[TEXT_MAX];
    size_t len, sent;
    struct blob {
        struct bytes spans[SPANS_MAX];
        size_t end; /* offset in text behind its last byte */
        int released;
        struct answer *answer;
    } blobs[BLOBS_MAX];
    size_t blob_count;
};

static void release(void *owner)
{
    struct blob *blob = owner;
    blob->released++;
}

static struct answer *answer_new(void)
{
    struct answer *answer = calloc(1, sizeof(*answer));
    assert_non_null(answer);
    out_init(&answer->out);
    return answer;
}

/* Every blob is released once when its last byte is sent, and not before. */
static void check_released(const struct answer *answer)
{
    for (size_t i = 0; i < answer->blob_count; i++) {
        const struct blob *blob = &answer->blobs[i];
        if (answer->sent < blob->end)
            assert_int_equal(blob->released, 0);
        else if (answer->sent > blob->end)
            assert_int_equal(blob->released, 1);
    }
}

static void answer_free(struct answer *answer)
{
    out_fini(&answer->out);
    for (size_t i = 0; i < answer->blob_count; i++) {
        assert_int_equal(answer->blobs[i].released, 1);
        for (size_t j = 0; j < SPANS_MAX; j++)
            free((void *)(uintptr_t)answer->blobs[i].spans[j].ptr);
    }
    free(answer);
}

static void add_text(struct answer *answer, uint64_t *seed, size_t len)
{
    uint8_t bytes[4096];
    kit_pattern_fill(bytes, len, kit_random(seed));
    memcpy(answer->text + answer->len, bytes, len);
    answer->len += len;
    out_put(&answer->out, bytes, len);
}

static void add_blob(struct answer *answer, uint64_t *seed)
{
    struct blob *blob = &answer->blobs[answer->blob_count++];
    const size_t count = kit_random_below(seed, SPANS_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        const size_t len = kit_random_below(seed, 3) == 0 ? 0 : kit_random_below(seed, 1000);
        uint8_t *bytes = malloc(len > 0 ? len : 1);
        assert_non_null(bytes);
        kit_pattern_fill(bytes, len, kit_random(seed));
        memcpy(answer->text + answer->len, bytes, len);
        answer->len += len;
        blob->spans[i] = bytes_of(bytes, len);
    }
    blob->end = answer->len;
    out_blob(&answer->out, blob->spans, count, release, blob);
}

static struct answer *answer_random(uint64_t *seed)
{
    struct answer *answer = answer_new();
    const uint64_t parts = kit_random_below(seed, BLOBS_MAX);
    for (uint64_t i = 0; i < parts; i++) {
        if (kit_random_below(seed, 2) == 0)
            add_text(answer, seed, kit_random_below(seed, 3) == 0 ? 4000 : 20);
        else
            add_blob(answer, seed);
    }
    return answer;
}

/* Send one piece: compare what out_iovecs() shows, consume a part of it. */
static void send_piece(struct answer *answer, uint64_t *seed)
{
    struct iovec iov[8];
    const size_t count = out_iovecs(&answer->out, iov, 1 + kit_random_below(seed, 8));
    assert_true(count > 0);
    size_t shown = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(iov[i].iov_len > 0);
        assert_memory_equal(iov[i].iov_base, answer->text + answer->sent + shown, iov[i].iov_len);
        shown += iov[i].iov_len;
    }
    const size_t taken = kit_random_below(seed, 3) == 0 ? shown : kit_random_below(seed, shown + 1);
    out_consume(&answer->out, taken);
    answer->sent += taken;
    assert_int_equal(out_bytes(&answer->out), answer->len - answer->sent);
    check_released(answer);
}

static void sent_in_pieces(void **state)
{
    (void)state;
    uint64_t seed = kit_env_u64("MATTE_SEED", 20251122);
    for (int round = 0; round < 2000; round++) {
        struct answer *answer = answer_random(&seed);
        assert_int_equal(out_bytes(&answer->out), answer->len);
        while (out_bytes(&answer->out) > 0) {
            send_piece(answer, &seed);
            if (kit_random_below(&seed, 8) == 0) {
                struct out moved;
                out_move(&moved, &answer->out);
                assert_int_equal(out_bytes(&answer->out), 0);
                out_fini(&answer->out);
                answer->out = moved;
            }
            if (kit_random_below(&seed, 50) == 0)
                break; /* the peer is gone: the rest is dropped */
        }
        if (out_bytes(&answer->out) == 0) {
            struct iovec iov;
            assert_int_equal(out_iovecs(&answer->out, &iov, 1), 0);
        }
        answer_free(answer);
    }
}

static void reset_releases(void **state)
{
    (void)state;
    uint64_t seed = 1;
    struct answer *answer = answer_new();
    add_text(answer, &seed, 100);
    add_blob(answer, &seed);
    add_blob(answer, &seed);
    out_reset(&answer->out);
    assert_int_equal(out_bytes(&answer->out), 0);
    assert_int_equal(answer->blobs[0].released, 1);
    out_put_str(&answer->out, "again");
    assert_int_equal(out_bytes(&answer->out), 5);
    answer_free(answer);
}

/* What a large answer needed is not kept for ever, and a small rest keeps no large buffer. */
static void memory_is_given_back(void **state)
{
    (void)state;
    static const uint8_t block[1 << 16];
    struct out out, moved;
    out_init(&out);
    for (int i = 0; i < 64; i++)
        out_put(&out, block, sizeof(block));
    assert_true(out.cap >= 64 * sizeof(block));
    out_consume(&out, 64 * sizeof(block) - 10);
    out_move(&moved, &out);
    assert_int_equal(out_bytes(&moved), 10);
    assert_true(moved.cap < 4096);
    assert_true(out.cap <= OUT_BYTES_KEPT);
    out_fini(&moved);
    out_fini(&out);
}

static void numbers_and_text(void **state)
{
    (void)state;
    struct out out;
    out_init(&out);
    out_put_u64(&out, UINT64_MAX);
    out_put_str(&out, " ");
    out_printf(&out, "%s=%d", "a", -1);
    out_put(&out, NULL, 0);
    assert_int_equal(out.len, 25);
    assert_memory_equal(out.buf, "18446744073709551615 a=-1", 25);
    assert_false(out.failed);
    assert_null(out_reserve(&out, SIZE_MAX));
    assert_true(out.failed);
    out_reset(&out);
    assert_false(out.failed);
    out_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent_in_pieces),
        cmocka_unit_test(reset_releases),
        cmocka_unit_test(memory_is_given_back),
        cmocka_unit_test(numbers_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
