/* test_glance.c — what the start says of each listener, row by row.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"

#include <stdio.h>

#include "server/glance.h"

#define ANY4                                                                                       \
    {                                                                                              \
        {                                                                                          \
            [10] = 0xff, [11] = 0xff                                                               \
        }                                                                                          \
    }
#define ANY6                                                                                       \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define LOOP4                                                                                      \
    {                                                                                              \
        {                                                                                          \
            [10] = 0xff, 0xff, 127, 0, 0, 1                                                        \
        }                                                                                          \
    }
#define LOOP6                                                                                      \
    {                                                                                              \
        {                                                                                          \
            [15] = 1                                                                               \
        }                                                                                          \
    }
#define HOST4                                                                                      \
    {                                                                                              \
        {                                                                                          \
            [10] = 0xff, 0xff, 10, 0, 0, 5                                                         \
        }                                                                                          \
    }

#define THIS_MACHINE "this machine                 "
#define PROTECTED    "this machine (protected mode)"
#define EVERYWHERE   "everywhere                   "
#define RULES        "3 rules                      "
#define ANYBODY      "anybody              "
#define LOGIN        "login                "

static const struct {
    struct glance glance;
    const char *row;
    bool open;
} rows[] = {
    {{.ip = LOOP4, .protect = true}, "plain  " THIS_MACHINE "  " ANYBODY "  all commands", false},
    {{.ip = LOOP6, .protect = false}, "plain  " THIS_MACHINE "  " ANYBODY "  all commands", false},
    {{.ip = ANY4, .protect = true}, "plain  " PROTECTED "  " ANYBODY "  all commands", false},
    {{.ip = ANY6, .protect = true}, "plain  " PROTECTED "  " ANYBODY "  all commands", false},
    {{.ip = HOST4, .protect = true}, "plain  " PROTECTED "  " ANYBODY "  all commands", false},
    {{.ip = ANY4}, "plain  " EVERYWHERE "  " ANYBODY "  all commands", true},
    {{.ip = ANY6}, "plain  " EVERYWHERE "  " ANYBODY "  all commands", true},
    {{.ip = HOST4}, "plain  " EVERYWHERE "  " ANYBODY "  all commands", true},
    {{.ip = ANY4, .tls = NET_TLS_ON}, "TLS    " EVERYWHERE "  " ANYBODY "  all commands", true},
    {{.ip = ANY4, .tls = NET_TLS_NO_CLIENT_CERT, .protect = true},
     "TLS    " PROTECTED "  " ANYBODY "  all commands",
     false},
    {{.ip = ANY4, .tls = NET_TLS_CLIENT_CERT, .protect = true},
     "mTLS   " EVERYWHERE "  certificate            all commands",
     false},
    {{.ip = ANY4, .tls = NET_TLS_CLIENT_CERT, .login = true},
     "mTLS   " EVERYWHERE "  certificate and login  by user",
     false},
    {{.ip = ANY4, .login = true, .protect = true},
     "plain  " EVERYWHERE "  " LOGIN "  by user",
     false},
    {{.ip = LOOP4, .login = true}, "plain  " THIS_MACHINE "  " LOGIN "  by user", false},
    {{.ip = ANY4, .list = true, .rules = 3, .protect = true},
     "plain  " RULES "  " ANYBODY "  by rule",
     false},
    {{.ip = LOOP4, .list = true, .rules = 1},
     "plain  1 rule                         " ANYBODY "  by rule",
     false},
    {{.ip = ANY4, .list = true, .rules = 0},
     "plain  0 rules                        " ANYBODY "  by rule",
     false},
    {{.ip = ANY4, .list = true, .rules = 3, .login = true},
     "plain  " RULES "  " LOGIN "  by rule and user",
     false},
    {{.local = true, .unix_mask = 0700, .protect = true},
     "plain  this machine (mode 700)        " ANYBODY "  all commands",
     false},
    {{.local = true, .unix_mask = 0777},
     "plain  this machine (mode 777)        " ANYBODY "  all commands",
     false},
    {{.ip = ANY4, .datagrams = true, .udp_policy = "rr", .protect = true},
     "rr     " PROTECTED "  " ANYBODY "  reads",
     false},
    {{.ip = ANY4, .datagrams = true, .udp_policy = "open"},
     "open   " EVERYWHERE "  " ANYBODY "  reads",
     true},
    {{.ip = ANY4, .datagrams = true, .udp_policy = "drop"},
     "drop   " EVERYWHERE "  nobody                 nothing",
     false},
    {{.ip = ANY4, .datagrams = true, .udp_policy = "open", .udp_writes = true},
     "open   " EVERYWHERE "  " ANYBODY "  reads, writes",
     true},
    {{.ip = ANY4, .datagrams = true, .udp_policy = "rr", .list = true, .rules = 3},
     "rr     " RULES "  " ANYBODY "  reads, by rule",
     false},
};

static void every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char got[GLANCE_BYTES], want[GLANCE_BYTES];
        struct glance glance = rows[i].glance;
        glance.address = "tcp:1.2.3.4:5";
        glance_format(&glance, &(struct glance_columns){.address = 15, .how = 5}, got);
        (void)snprintf(want, sizeof(want), "tcp:1.2.3.4:5    %s", rows[i].row);
        assert_string_equal(got, want);
        assert_int_equal(glance_is_open(&glance), rows[i].open);
        assert_int_equal(glance_is_protected(&glance), strstr(rows[i].row, PROTECTED) != NULL);
    }
}

static void long_addresses(void **state)
{
    (void)state;
    char address[NET_ADDR_TEXT_BYTES], got[GLANCE_BYTES];
    memset(address, 'x', sizeof(address) - 1);
    address[sizeof(address) - 1] = '\0';
    const struct glance glance = {.address = address, .local = true, .unix_mask = 0777};
    struct glance_columns columns = {0};
    glance_columns_fit(&columns, &glance);
    glance_format(&glance, &columns, got);
    assert_non_null(strstr(got, "all commands"));
}

/* Columns are as wide as the widest of their rows, whatever policy UDP has. */
static void columns(void **state)
{
    (void)state;
    char policy[200], got[GLANCE_BYTES];
    memset(policy, 'p', sizeof(policy) - 1);
    policy[sizeof(policy) - 1] = '\0';
    const struct glance plain = {.address = "tcp:1.2.3.4:5", .ip = LOOP4};
    struct glance datagrams = {
        .address = "udp6:[::1]:5", .ip = LOOP6, .datagrams = true, .udp_policy = "rr+miss"};
    struct glance_columns columns = {0};
    glance_columns_fit(&columns, &plain);
    glance_columns_fit(&columns, &datagrams);
    glance_format(&plain, &columns, got);
    assert_non_null(strstr(got, "tcp:1.2.3.4:5  plain    this machine "));
    glance_format(&datagrams, &columns, got);
    assert_non_null(strstr(got, "udp6:[::1]:5   rr+miss  this machine "));
    datagrams.udp_policy = policy;
    glance_columns_fit(&columns, &datagrams);
    assert_int_equal(columns.how, 60);
    glance_format(&datagrams, &columns, got);
    assert_non_null(strstr(got, "reads"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(long_addresses),
        cmocka_unit_test(columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
