/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "gate/class.h"
#include "proto/binary.h"
#include "proto/text.h"
#include "support/cm.h"

static void requests_of_the_text_protocol(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint8_t classes;
    } rows[] = {
        {"get a", GATE_READ},
        {"gets a b", GATE_READ},
        {"gat 0 a", GATE_WRITE},
        {"set a 0 0 1", GATE_WRITE},
        {"delete a", GATE_WRITE},
        {"incr a 1", GATE_WRITE},
        {"mg a v", GATE_READ},
        {"mg a s v E5", GATE_READ},
        {"mg a v T30", GATE_WRITE},
        {"mg a v N30", GATE_WRITE},
        {"mg a v N30 E5", GATE_WRITE},
        {"ms a 1", GATE_WRITE},
        {"md a", GATE_WRITE},
        {"ma a", GATE_WRITE},
        {"me a", GATE_READ},
        {"mn", 0},
        {"version", 0},
        {"quit", 0},
        {"stats", GATE_READ},
        {"stats ", GATE_READ},
        {"stats settings", GATE_ADMIN},
        {"stats reset", GATE_ADMIN},
        {"flush_all", GATE_ADMIN},
        {"delete_prefix a", GATE_FLUSH},
        {"mdp a q", GATE_FLUSH},
        {"shutdown", GATE_ADMIN},
        {"verbosity 1", GATE_ADMIN},
        {"cache_memlimit 64", GATE_ADMIN},
        {"watch", GATE_ADMIN},
        {"lru tune 1 2 3 4", GATE_ADMIN},
        {"slabs automove 1", GATE_ADMIN},
        {"lru_crawler metadump all", GATE_ADMIN},
        {"refresh_certs", GATE_ADMIN},
        {"config get *", GATE_ADMIN},
        {"config set verbose 1", GATE_ADMIN},
        {"nonsense", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[64];
        struct proto_request req;
        size_t used;
        const int len = snprintf(line, sizeof(line), "%s\r\n", rows[i].line);
        assert_int_equal(proto_text_parse(bytes_of(line, (size_t)len), &req, &used), PROTO_OK);
        if (gate_class_of(&req) != rows[i].classes)
            fail_msg("%s: class %u", rows[i].line, gate_class_of(&req));
    }
}

static void requests_of_the_binary_protocol(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode, extras, key, classes;
    } rows[] = {
        {0x00, 0, 1, GATE_READ}, {0x01, 8, 1, GATE_WRITE}, {0x1d, 4, 1, GATE_WRITE},
        {0x0a, 0, 0, 0},         {0x07, 0, 0, 0},          {0x0b, 0, 0, 0},
        {0x20, 0, 0, 0},         {0x21, 0, 5, 0},          {0x08, 0, 0, GATE_ADMIN},
        {0x10, 0, 0, GATE_READ}, {0x10, 0, 8, GATE_ADMIN}, {0x7f, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t packet[64] = {0x80, rows[i].opcode, 0, rows[i].key, rows[i].extras};
        packet[11] = (uint8_t)(rows[i].extras + rows[i].key);
        memset(packet + 24 + rows[i].extras, 'k', rows[i].key);
        struct proto_request req;
        size_t used;
        (void)!proto_binary_parse(bytes_of(packet, 24u + packet[11]), &req, &used);
        if (gate_class_of(&req) != rows[i].classes)
            fail_msg("opcode %02x: class %u", rows[i].opcode, gate_class_of(&req));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_the_text_protocol),
        cmocka_unit_test(requests_of_the_binary_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
