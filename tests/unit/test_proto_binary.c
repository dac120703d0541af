/* The parser of the binary protocol: every packet runs whole, cut at every byte of its head (must
 * ask for more and write nothing), and with a stranger's bytes behind it. The input is copied to a
 * heap block of exactly its size, so that a sanitizer sees a read of one byte too many.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

#include "support/packet.h"

#define K50       "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250      K50 K50 K50 K50 K50
#define CMD(ID)   .cmd = PROTO_CMD_BIN_##ID
#define KEY(text) .key = {(const uint8_t *)(text), sizeof(text) - 1}
#define VALUE(n)  .has_value = true, .value_bytes = (n)
#define QUIET     .binary.quiet = true
#define INVALID   .error = "Invalid arguments", .binary.status = PROTO_STATUS_INVALID
#define UNKNOWN   .error = "Unknown command", .binary.status = PROTO_STATUS_UNKNOWN

static const struct row {
    const char *line;
    struct proto_request want;
    bool close; /* PROTO_CLOSE, by the header alone */
} rows[] = {
    {"00 k:a", {CMD(GET), KEY("a")}, false},
    {"09 k:a o:7", {CMD(GET), KEY("a"), QUIET, .binary.opaque = 7}, false},
    {"0c k:a", {CMD(GETK), KEY("a")}, false},
    {"0d k:a", {CMD(GETK), KEY("a"), QUIET}, false},
    {"01 f:5 t:6 k:a v:xyz",
     {CMD(SET), KEY("a"), VALUE(3), .client_flags = 5, .exptime = 6},
     false},
    {"01 f:0 t:0 k:a", {CMD(SET), KEY("a"), VALUE(0)}, false},
    {"01 f:4294967295 t:4294967295 k:a v:x c:18446744073709551615",
     {CMD(SET), KEY("a"), VALUE(1), .client_flags = UINT32_MAX, .exptime = -1,
      .compare_cas = UINT64_MAX},
     false},
    {"11 f:0 t:0 k:a v:x", {CMD(SET), KEY("a"), VALUE(1), QUIET}, false},
    {"02 f:0 t:0 k:a v:x", {CMD(ADD), KEY("a"), VALUE(1)}, false},
    {"12 f:0 t:0 k:a v:x", {CMD(ADD), KEY("a"), VALUE(1), QUIET}, false},
    {"03 f:0 t:0 k:a v:x", {CMD(REPLACE), KEY("a"), VALUE(1)}, false},
    {"13 f:0 t:0 k:a v:x", {CMD(REPLACE), KEY("a"), VALUE(1), QUIET}, false},
    {"04 k:a c:9", {CMD(DELETE), KEY("a"), .compare_cas = 9}, false},
    {"14 k:a", {CMD(DELETE), KEY("a"), QUIET}, false},
    {"05 d:1 i:2 t:3 k:a",
     {CMD(INCREMENT), KEY("a"), .delta = 1, .binary.initial = 2, .exptime = 3},
     false},
    {"15 d:18446744073709551615 i:18446744073709551615 t:4294967295 k:a",
     {CMD(INCREMENT), KEY("a"), QUIET, .delta = UINT64_MAX, .binary.initial = UINT64_MAX,
      .exptime = -1},
     false},
    {"06 d:1 i:2 t:3 k:a",
     {CMD(DECREMENT), KEY("a"), .delta = 1, .binary.initial = 2, .exptime = 3},
     false},
    {"16 d:1 i:2 t:3 k:a",
     {CMD(DECREMENT), KEY("a"), QUIET, .delta = 1, .binary.initial = 2, .exptime = 3},
     false},
    {"07", {CMD(QUIT)}, false},
    {"17", {CMD(QUIT), QUIET}, false},
    {"08", {CMD(FLUSH)}, false},
    {"08 t:9", {CMD(FLUSH), .exptime = 9}, false},
    {"18 t:9", {CMD(FLUSH), QUIET, .exptime = 9}, false},
    {"0a o:4294967295", {CMD(NOOP), .binary.opaque = UINT32_MAX}, false},
    {"0b", {CMD(VERSION)}, false},
    {"0e k:a v:xy", {CMD(APPEND), KEY("a"), VALUE(2)}, false},
    {"19 k:a v:xy", {CMD(APPEND), KEY("a"), VALUE(2), QUIET}, false},
    {"0f k:a v:xy", {CMD(PREPEND), KEY("a"), VALUE(2)}, false},
    {"1a k:a v:xy", {CMD(PREPEND), KEY("a"), VALUE(2), QUIET}, false},
    {"10", {CMD(STAT)}, false},
    {"10 k:settings", {CMD(STAT), KEY("settings")}, false},
    {"1c t:5 k:a", {CMD(TOUCH), KEY("a"), .exptime = 5}, false},
    {"1d t:5 k:a", {CMD(GAT), KEY("a"), .exptime = 5}, false},
    {"1e t:5 k:a", {CMD(GAT), KEY("a"), QUIET, .exptime = 5}, false},
    {"23 t:5 k:a", {CMD(GATK), KEY("a"), .exptime = 5}, false},
    {"24 t:5 k:a", {CMD(GATK), KEY("a"), QUIET, .exptime = 5}, false},
    {"20", {CMD(SASL_LIST)}, false},
    {"21 k:PLAIN v:xyz", {CMD(SASL_AUTH), KEY("PLAIN"), VALUE(3)}, false},
    {"22 k:PLAIN v:xyz", {CMD(SASL_STEP), KEY("PLAIN"), VALUE(3)}, false},
    {"21 k:P v:x B:16385", {CMD(SASL_AUTH), KEY("P"), VALUE(16384)}, false},
    {"21 k:P v:x B:16386",
     {CMD(SASL_AUTH), KEY("P"), VALUE(16385), .error = "Out of memory",
      .binary.status = PROTO_STATUS_NO_MEMORY},
     false},
    {"00 k:" K250, {CMD(GET), KEY(K250)}, false},
    {"01 f:0 t:0 k:a B:1073741824", {CMD(SET), KEY("a"), VALUE((1 << 30) - 9)}, false},

    /* unknown: all of the body goes past */
    {"1b", {CMD(NONE), UNKNOWN}, false},
    {"30 f:1 k:a v:b", {CMD(NONE), VALUE(6), UNKNOWN}, false},
    {"ff B:1073741824", {CMD(NONE), VALUE(1 << 30), UNKNOWN}, false},

    /* malformed */
    {"00", {CMD(NONE), INVALID}, true},
    {"00 k:a v:b", {CMD(NONE), INVALID}, true},
    {"00 t:1 k:a", {CMD(NONE), INVALID}, true},
    {"00 k:" K250 "k", {CMD(NONE), INVALID}, true},
    {"00 k:a K:65535 B:65535", {CMD(NONE), INVALID}, true},
    {"00 k:a B:0", {CMD(NONE), UNKNOWN}, true},
    {"00 k:a K:65535 E:255", {CMD(NONE), UNKNOWN}, true},
    {"1b E:1", {CMD(NONE), UNKNOWN}, true},
    {"1b k:" K250 "k", {CMD(NONE), INVALID}, true},
    {"1b B:1073741825", {CMD(NONE), INVALID}, true},
    {"01 k:a v:b", {CMD(NONE), INVALID}, true},
    {"01 f:0 t:0 v:b", {CMD(NONE), INVALID}, true},
    {"01 f:0 t:0 k:a B:1073741825", {CMD(NONE), INVALID}, true},
    {"01 f:0 t:0 k:a B:4294967295", {CMD(NONE), INVALID}, true},
    {"04 t:0 k:a", {CMD(NONE), INVALID}, true},
    {"05 d:0 i:0 k:a", {CMD(NONE), INVALID}, true},
    {"05 d:0 i:0 t:0 k:a v:1", {CMD(NONE), INVALID}, true},
    {"05 d:0 i:0 t:0", {CMD(NONE), INVALID}, true},
    {"07 k:a", {CMD(NONE), INVALID}, true},
    {"08 d:0", {CMD(NONE), INVALID}, true},
    {"08 k:a", {CMD(NONE), INVALID}, true},
    {"0a v:a", {CMD(NONE), INVALID}, true},
    {"0b k:a", {CMD(NONE), INVALID}, true},
    {"0e t:0 k:a v:b", {CMD(NONE), INVALID}, true},
    {"0e v:b", {CMD(NONE), INVALID}, true},
    {"10 t:0", {CMD(NONE), INVALID}, true},
    {"1c k:a", {CMD(NONE), INVALID}, true},
    {"1d t:0", {CMD(NONE), INVALID}, true},
    {"20 v:a", {CMD(NONE), INVALID}, true},
    {"21 v:a", {CMD(NONE), INVALID}, true},
    {"00 k:a m:81", {CMD(NONE)}, true},
    {"00 k:a m:67", {CMD(NONE)}, true},
};

/* A heap block of exactly that size. */
static uint8_t *exact(const uint8_t *bytes, size_t len)
{
    uint8_t *block = malloc(len > 0 ? len : 1);
    assert_non_null(block);
    if (len > 0)
        memcpy(block, bytes, len);
    return block;
}

static void check(const struct row *row, const struct proto_request *got)
{
    const struct proto_request *want = &row->want;
    const bool same =
        got->cmd == want->cmd && bytes_equal(got->key, want->key) &&
        got->has_value == want->has_value && got->value_bytes == want->value_bytes &&
        got->client_flags == want->client_flags && got->exptime == want->exptime &&
        got->delta == want->delta && got->compare_cas == want->compare_cas &&
        got->tail_bytes == 0 && !got->noreply && !got->key_base64 && !got->hashed &&
        got->binary.quiet == want->binary.quiet && got->binary.opaque == want->binary.opaque &&
        got->binary.initial == want->binary.initial && got->binary.status == want->binary.status &&
        (got->error == NULL) == (want->error == NULL) &&
        (got->error == NULL || strcmp(got->error, want->error) == 0);
    if (!same)
        fail_msg("%s: read as command %d, key of %zu, value of %llu, error %s", row->line,
                 (int)got->cmd, got->key.len, (unsigned long long)got->value_bytes,
                 got->error != NULL ? got->error : "none");
}

/* Bytes of the header, and of extras and key where they are looked at. */
static size_t head_bytes(const struct row *row, const uint8_t *packet)
{
    const size_t body = (size_t)packet[4] + be_read_u16(packet + 2);
    return PROTO_BINARY_HEADER_BYTES + (row->want.cmd == PROTO_CMD_BIN_NONE ? 0 : body);
}

static void run_row(const struct row *row, const struct out *packet)
{
    const size_t head = head_bytes(row, packet->buf);
    struct proto_request req, before;
    size_t used;
    for (size_t len = 0; len < head; len++) { /* cut anywhere */
        uint8_t *block = exact(packet->buf, len);
        memset(&req, 0xa5, sizeof(req));
        before = req;
        used = 77;
        assert_int_equal(proto_binary_parse(bytes_of(block, len), &req, &used), PROTO_MORE);
        assert_int_equal(used, 77);
        assert_memory_equal(&req, &before, sizeof(req));
        free(block);
    }
    uint8_t *block = exact(packet->buf, head);
    used = 0;
    const enum proto_rc rc = proto_binary_parse(bytes_of(block, head), &req, &used);
    if (rc != (row->close ? PROTO_CLOSE : PROTO_OK) || (!row->close && used != head))
        fail_msg("%s: rc %d, %zu bytes used", row->line, (int)rc, used);
    assert_int_equal(req.binary.opcode, block[1]);
    check(row, &req);
    free(block);
    block = exact(packet->buf, packet->len); /* with a value, or a stranger, behind */
    assert_int_equal(proto_binary_parse(bytes_of(block, packet->len), &req, &used), rc);
    check(row, &req);
    free(block);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct out packet;
        out_init(&packet);
        packet_put(&packet, bytes_str(rows[i].line), 0);
        out_put_str(&packet, "\x80stranger");
        run_row(&rows[i], &packet);
        out_fini(&packet);
    }
}

/* Every opcode with every length that is possible at all: nothing is taken for more than it is. */
static void test_lengths(void **state)
{
    (void)state;
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned extras = 0; extras <= 24; extras++)
            for (unsigned key = 0; key < 3; key++)
                for (unsigned body = 0; body < 30; body++) {
                    uint8_t head[PROTO_BINARY_HEADER_BYTES + 32] = {0x80, (uint8_t)opcode, 0,
                                                                    (uint8_t)key, (uint8_t)extras};
                    be_write_u32(head + 8, body);
                    struct proto_request req;
                    size_t used = 0;
                    const enum proto_rc rc =
                        proto_binary_parse(bytes_of(head, sizeof(head)), &req, &used);
                    assert_true(rc == PROTO_OK || rc == PROTO_CLOSE);
                    if (rc == PROTO_CLOSE)
                        assert_non_null(req.error);
                    else if (req.has_value)
                        assert_int_equal(used + req.value_bytes, PROTO_BINARY_HEADER_BYTES + body);
                    if (rc == PROTO_OK && req.error == NULL)
                        assert_int_equal(used, PROTO_BINARY_HEADER_BYTES + extras + key);
                }
}

/* What the gate asks. */
static void test_classes(void **state)
{
    (void)state;
    assert_int_equal(proto_class_of(PROTO_CMD_GET), PROTO_CLASS_READ);
    assert_int_equal(proto_class_of(PROTO_CMD_SHUTDOWN), PROTO_CLASS_ADMIN);
    assert_int_equal(proto_class_of(PROTO_CMD_BIN_GETK), PROTO_CLASS_READ);
    assert_int_equal(proto_class_of(PROTO_CMD_BIN_TOUCH), PROTO_CLASS_WRITE);
    assert_int_equal(proto_class_of(PROTO_CMD_BIN_FLUSH), PROTO_CLASS_ADMIN);
    assert_int_equal(proto_class_of(PROTO_CMD_BIN_VERSION), PROTO_CLASS_LOGIN);
    assert_int_equal(proto_class_of(PROTO_CMD_BIN_SASL_STEP), PROTO_CLASS_LOGIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
