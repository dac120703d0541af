/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/ip.h"
#include "support/cm.h"

static struct ip ip_from(const char *text)
{
    struct ip ip = {{0}};
    assert_true(ip_parse(bytes_str(text), &ip));
    return ip;
}

static void addresses_come_back_as_they_are_written(void **state)
{
    (void)state;
    static const char *const same[] = {
        "0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "2001:db8::17", "fe80::1"};
    char text[IP_TEXT_BYTES];
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        const struct ip ip = ip_from(same[i]);
        ip_format(&ip, text);
        assert_string_equal(text, same[i]);
    }
    const struct ip mapped = ip_from("::ffff:10.1.2.3");
    ip_format(&mapped, text);
    assert_string_equal(text, "10.1.2.3");
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "1",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "256.1.1.1",
                                      "1.2.3.4 ",
                                      "[::1]",
                                      "::1%lo",
                                      ":::",
                                      "localhost",
                                      "1:2:3:4:5:6:7:8:9",
                                      "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001"};
    struct ip ip;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(ip_parse(bytes_str(bad[i]), &ip));
    assert_false(ip_parse(bytes_of("1.2.3.4\0x", 9), &ip));
}

static void kinds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool v4, loopback, unspecified, multicast, broadcast, link_local;
    } rows[] = {
        {"127.0.0.1", true, true, false, false, false, false},
        {"127.255.0.9", true, true, false, false, false, false},
        {"128.0.0.1", true, false, false, false, false, false},
        {"::1", false, true, false, false, false, false},
        {"0.0.0.0", true, false, true, false, false, false},
        {"::", false, false, true, false, false, false},
        {"224.0.0.1", true, false, false, true, false, false},
        {"239.255.255.250", true, false, false, true, false, false},
        {"240.0.0.1", true, false, false, false, false, false},
        {"ff02::1", false, false, false, true, false, false},
        {"255.255.255.255", true, false, false, false, true, false},
        {"169.254.3.4", true, false, false, false, false, true},
        {"fe80::1", false, false, false, false, false, true},
        {"febf::1", false, false, false, false, false, true},
        {"fec0::1", false, false, false, false, false, false},
        {"10.0.0.1", true, false, false, false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct ip ip = ip_from(rows[i].text);
        assert_int_equal(ip_is_v4(&ip), rows[i].v4);
        assert_int_equal(ip_is_loopback(&ip), rows[i].loopback);
        assert_int_equal(ip_is_unspecified(&ip), rows[i].unspecified);
        assert_int_equal(ip_is_multicast(&ip), rows[i].multicast);
        assert_int_equal(ip_is_broadcast(&ip), rows[i].broadcast);
        assert_int_equal(ip_is_link_local(&ip), rows[i].link_local);
    }
}

static void prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *inside, *outside;
        unsigned bits;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.0", 104},
        {"192.168.1.128/25", "192.168.1.255", "192.168.1.127", 121},
        {"0.0.0.0/0", "255.1.2.3", "2001:db8::1", 96},
        {"1.2.3.4", "1.2.3.4", "1.2.3.5", 128},
        {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1", 33},
        {"::1", "::1", "::2", 128},
    };
    char text[IP_PREFIX_TEXT_BYTES];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ip_prefix prefix;
        assert_true(ip_prefix_parse(bytes_str(rows[i].text), &prefix));
        assert_int_equal(prefix.bits, rows[i].bits);
        ip_prefix_format(&prefix, text);
        assert_string_equal(text, rows[i].text);
        const struct ip inside = ip_from(rows[i].inside), outside = ip_from(rows[i].outside);
        assert_true(ip_prefix_has(&prefix, &inside));
        assert_false(ip_prefix_has(&prefix, &outside));
    }
    struct ip_prefix all;
    assert_true(ip_prefix_parse(bytes_str("::/0"), &all));
    const struct ip any = ip_from("1.2.3.4");
    assert_true(ip_prefix_has(&all, &any));
}

static void what_is_no_prefix_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       "/8",          "10.0.0.0/",    "10.0.0.0/33", "10.0.0.1/8",  "::/129",
        "::1/64", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0 /8", "10.0.0.0/+8", "ten/8"};
    struct ip_prefix prefix;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(ip_prefix_parse(bytes_str(bad[i]), &prefix));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_back_as_they_are_written),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(kinds),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(what_is_no_prefix_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
