/* test_gate_users.c — hashed users: lines, rights, the arithmetic of SCRAM-SHA-256, its messages.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "support/cm.h"
#include "support/exact.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "gate/keys.h"
#include "gate/users.h"
#include "proto/binary.h"
#include "proto/text.h"
#include "support/kit.h"

static const struct gate_digest KEY = {.lo = 0x0706050403020100, .hi = 0x0f0e0d0c0b0a0908};

/* The example of RFC 7677: user "user", password "pencil". */
#define HASH                                                                                       \
    "$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="    \
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define OUR_NONCE    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FIRST        "n,,n=user,r=" CLIENT_NONCE
#define ANSWER       "r=" CLIENT_NONCE OUR_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define PROOF        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define FINAL        "c=biws,r=" CLIENT_NONCE OUR_NONCE ",p=" PROOF
#define SIGNATURE    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static uint64_t seed;

/* ── arithmetic ───────────────────────────────────────────────────────────────────────────── */

/* Against OpenSSL's own PBKDF2 and HMAC, with passwords around the size of a block. */
static void verifier_as_openssl(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 6, 31, 32, 33, 55, 56, 63, 64, 65, 127, 128, 200, 1024};
    static const uint32_t iterations[] = {4096, 4097, 5000};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        uint8_t password[1024], salted[GATE_HASH_BYTES];
        memset(password, 'a' + (int)i, sizeof(password));
        struct gate_verifier verifier = {
            .iterations = iterations[i % COUNT_OF(iterations)],
            .salt_bytes = (uint8_t)(GATE_SALT_BYTES + i),
        };
        memset(verifier.salt, (int)i, sizeof(verifier.salt));
        struct gate_hmac key;
        gate_hmac_init(&key, bytes_of(password, lengths[i]));
        gate_verifier_derive(&verifier, &key);
        assert_true(gate_verifier_matches(&verifier, &key));
        assert_int_equal(PKCS5_PBKDF2_HMAC((const char *)password, (int)lengths[i], verifier.salt,
                                           verifier.salt_bytes, (int)verifier.iterations,
                                           EVP_sha256(), sizeof(salted), salted),
                         1);
        struct gate_hmac derived;
        uint8_t mac[GATE_HASH_BYTES], hash[GATE_HASH_BYTES];
        gate_hmac_init(&derived, bytes_of(salted, sizeof(salted)));
        gate_hmac(&derived, bytes_str("Server Key"), mac);
        assert_memory_equal(mac, verifier.server, sizeof(mac));
        gate_hmac(&derived, bytes_str("Client Key"), mac);
        assert_int_equal(EVP_Digest(mac, sizeof(mac), hash, NULL, EVP_sha256(), NULL), 1);
        assert_memory_equal(hash, verifier.stored, sizeof(hash));
        gate_hmac_init(&key, bytes_of(password, lengths[i] - 1));
        assert_false(gate_verifier_matches(&verifier, &key));
    }
}

/* ── lines ────────────────────────────────────────────────────────────────────────────────── */

static const char *parse(const char *line, struct gate_entry *ret_entry)
{
    const struct bytes in = exact(line, strlen(line));
    const char *what = gate_entry_parse(in, ret_entry);
    exact_free(in);
    return what;
}

static void entries_read(void **state)
{
    (void)state;
    struct gate_entry entry;
    assert_null(parse("user:" HASH, &entry));
    assert_true(entry.hashed);
    assert_int_equal(entry.verifier.iterations, 4096);
    assert_int_equal(entry.verifier.salt_bytes, 16);
    assert_int_equal(gate_rights_classes(&entry.rights), GATE_ALL);
    assert_null(parse("user:" HASH " read", &entry));
    assert_int_equal(gate_rights_classes(&entry.rights), GATE_READ);
    assert_null(parse("user:" HASH "  prefix=a: write,read  prefix=%25%20b ", &entry));
    assert_int_equal(gate_rights_classes(&entry.rights), GATE_READ | GATE_WRITE);
    assert_int_equal(entry.rights.prefixes_bytes, 7);
    assert_memory_equal(entry.rights.prefixes,
                        "\x02"
                        "a:"
                        "\x03% b",
                        7);
    assert_null(parse("user:" HASH " prefix=a", &entry));
    assert_int_equal(gate_rights_classes(&entry.rights), GATE_READ | GATE_WRITE);
    assert_null(parse("user:" HASH " flush_prefix,read prefix=a:", &entry));
    assert_int_equal(gate_rights_classes(&entry.rights), GATE_READ | GATE_FLUSH);
    assert_null(parse("user:" HASH " admin", &entry)); /* who may flush all may flush a part */
    assert_int_equal(gate_rights_classes(&entry.rights), GATE_ADMIN | GATE_FLUSH);
    assert_null(parse("user:" HASH " flush_prefix,admin", &entry));
    assert_int_equal(gate_rights_classes(&entry.rights), GATE_ADMIN | GATE_FLUSH);
    /* Plain ones, however near they come. */
    static const char *const plain[] = {"user:$scram-sha-256", "user:$scram-sha-257$4096",
                                        "user: " HASH, "user:x" HASH, "user:$SCRAM-SHA-256$x"};
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        assert_null(parse(plain[i], &entry));
        assert_false(entry.hashed);
        assert_int_equal(gate_rights_classes(&entry.rights), GATE_ALL);
    }
}

static void entries_malformed(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"user:$scram-sha-256$", "cut"},
        {"user:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$", "cut"},
        {"user:$scram-sha-256$4095:W22ZaJ0SNY7soEsUEjb6gQ==$x:y", "iterations"},
        {"user:$scram-sha-256$100001:W22ZaJ0SNY7soEsUEjb6gQ==$x:y", "iterations"},
        {"user:$scram-sha-256$-4096:W22ZaJ0SNY7soEsUEjb6gQ==$x:y", "iterations"},
        {"user:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6$x:y", "salt"},
        {"user:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gR==$x:y", "salt"},
        {"user:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$x:y", "32 bytes"},
        {"user:" HASH "=", "32 bytes"},
        {"user:" HASH ":", "32 bytes"},
        {"user:" HASH " reed", "read, write, flush_prefix and admin"},
        {"user:" HASH " read,", NULL},
        {"user:" HASH " ,read", "read, write, flush_prefix and admin"},
        {"user:" HASH " read write", "second list"},
        {"user:" HASH " prefix=", "empty"},
        {"user:" HASH " prefix=%2", "hexadecimal"},
        {"user:" HASH " prefix=%zz", "hexadecimal"},
        {"user:" HASH " admin prefix=a", "exclude"},
        {"user:" HASH "\tread", "32 bytes"},
        {":" HASH, "no user"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gate_entry entry;
        const char *what = parse(rows[i][0], &entry);
        if (rows[i][1] == NULL ? what != NULL : what == NULL || strstr(what, rows[i][1]) == NULL)
            fail_msg("%s: %s", rows[i][0], what == NULL ? "read" : what);
    }
}

/* A line that was cut anywhere behind the mark is not taken for a password. */
static void entries_cut(void **state)
{
    (void)state;
    static const char line[] = "user:" HASH;
    struct gate_entry entry;
    for (size_t len = strlen("user:$scram-sha-256$"); len < strlen(line); len++) {
        const struct bytes in = exact(line, len);
        assert_non_null(gate_entry_parse(in, &entry));
        exact_free(in);
    }
}

/* What is written is read as the same, whatever name, prefixes and rights there are. */
static void entries_written(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (int round = 0; round < 2000; round++) {
        struct gate_entry entry = {.hashed = true}, again;
        uint8_t name[GATE_NAME_BYTES_MAX], line[GATE_ENTRY_BYTES_MAX], twice[GATE_ENTRY_BYTES_MAX];
        const size_t name_bytes = 1 + kit_random_below(&random, sizeof(name));
        for (size_t i = 0; i < name_bytes; i++)
            name[i] = (uint8_t)(1 + kit_random_below(&random, 255));
        entry.name = bytes_of(name, name_bytes);
        if (gate_name_fault(entry.name) != NULL)
            continue;
        entry.verifier.iterations = (uint32_t)(4096 + kit_random_below(&random, 95905));
        entry.verifier.salt_bytes = (uint8_t)(16 + kit_random_below(&random, 17));
        for (size_t i = 0; i < entry.verifier.salt_bytes; i++)
            entry.verifier.salt[i] = (uint8_t)kit_random_below(&random, 256);
        entry.rights.classes = (uint8_t)kit_random_below(&random, 4);
        for (uint64_t left = kit_random_below(&random, 5); left > 0; left--) {
            uint8_t prefix[GATE_PREFIX_BYTES_MAX];
            const size_t len = 1 + kit_random_below(&random, sizeof(prefix));
            for (size_t i = 0; i < len; i++)
                prefix[i] = (uint8_t)kit_random_below(&random, 256);
            const char *what = gate_rights_prefix_add(&entry.rights, bytes_of(prefix, len));
            assert_true(what == NULL || entry.rights.prefixes_bytes + len >= 1024);
        }
        const size_t len = gate_entry_write(line, &entry);
        const struct bytes in = exact(line, len);
        const char *what = gate_entry_parse(in, &again);
        if (what != NULL)
            fail_msg("%.*s: %s", (int)len, (const char *)line, what);
        assert_true(bytes_equal(again.name, entry.name));
        assert_memory_equal(&again.verifier, &entry.verifier, sizeof(entry.verifier));
        assert_memory_equal(&again.rights, &entry.rights, sizeof(entry.rights));
        assert_true(bytes_equal(bytes_of(twice, gate_entry_write(twice, &again)), in));
        exact_free(in);
    }
}

/* ── tables ───────────────────────────────────────────────────────────────────────────────── */

static struct gate_users *table(const char *text, struct gate_fault *ret_fault)
{
    struct gate_users *users;
    const struct bytes in = exact(text, strlen(text));
    assert_int_equal(gate_users_new(KEY, &users), 0);
    int rc = gate_users_add(users, in, ret_fault);
    if (rc == 0)
        rc = gate_users_seal(users, NULL, ret_fault);
    exact_free(in);
    if (rc == 0)
        return users;
    assert_int_equal(rc, -EINVAL);
    gate_users_free(users);
    return NULL;
}

static void users_by_password(void **state)
{
    (void)state;
    struct gate_fault fault;
    struct gate_users *users = table("foo:bar\nuser:" HASH " read prefix=a:\r\nfoo:old\n", &fault);
    assert_non_null(users);
    struct gate_memory memory = {0};
    const uint16_t foo = gate_users_check(users, &memory, bytes_str("foo"), bytes_str("bar"));
    assert_true(foo != 0);
    /* Each twice: the second time from memory. */
    uint16_t id = 0;
    for (int i = 0; i < 2; i++) {
        id = gate_users_check(users, &memory, bytes_str("user"), bytes_str("pencil"));
        assert_true(id != 0 && id != foo);
        assert_int_equal(gate_users_check(users, &memory, bytes_str("user"), bytes_str("pencil ")),
                         0);
        assert_int_equal(gate_users_check(users, &memory, bytes_str("user"), bytes_str(HASH)), 0);
        assert_int_equal(gate_users_check(users, &memory, bytes_str("foo"), bytes_str("pencil")),
                         0);
        assert_int_equal(gate_users_check(users, &memory, bytes_str("no"), bytes_str("pencil")), 0);
    }
    assert_int_equal(gate_users_classes(users, id), GATE_READ);
    assert_true(bytes_is(gate_users_prefixes(users, id), "\x02"
                                                         "a:"));
    assert_true(bytes_is(gate_users_name(users, id), "user"));
    assert_int_equal(gate_users_classes(users, foo), GATE_ALL);
    assert_int_equal(gate_users_prefixes(users, foo).len, 0);
    assert_int_equal(gate_users_classes(users, 0), 0);
    assert_int_equal(gate_users_classes(users, 999), 0);
    /* What was proven to one table is nothing to the next. */
    struct gate_users *next = table("user:$scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                                    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
                                    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n",
                                    &fault);
    assert_non_null(next);
    assert_int_equal(gate_users_check(next, &memory, bytes_str("user"), bytes_str("pencil")), 0);
    gate_users_free(users);
    gate_users_free(next);
}

static void users_conflict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t line;
    } rows[] = {
        {"user:" HASH "\nfoo:bar\nuser:pencil\n", 3},
        {"user:pencil\nuser:" HASH "\n", 2},
        {"user:" HASH "\nuser:" HASH "\n", 2},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct gate_fault fault = {0};
        assert_null(table(rows[i].text, &fault));
        assert_int_equal(fault.line, rows[i].line);
        assert_non_null(strstr(fault.what, "hashed"));
    }
    /* The file is told, too. */
    struct gate_users *users;
    struct gate_fault fault = {0};
    assert_int_equal(gate_users_new(KEY, &users), 0);
    assert_int_equal(gate_users_add(users, bytes_str("user:" HASH "\n"), &fault), 0);
    assert_int_equal(gate_users_add(users, bytes_str("a:b\nuser:x\n"), &fault), 0);
    assert_int_equal(gate_users_seal(users, NULL, &fault), -EINVAL);
    assert_true(fault.line == 2 && fault.file == 1);
    gate_users_free(users);
}

/* ── SCRAM ────────────────────────────────────────────────────────────────────────────────── */

static uint16_t exchange_run(const struct gate_users *users, const char *first, const char *final,
                             char ret_end[SCRAM_SIGNATURE_BYTES + 1])
{
    static struct gate_memory memory;
    struct gate_exchange exchange;
    struct bytes answer;
    const struct bytes in = exact(first, strlen(first)), last = exact(final, strlen(final));
    uint16_t id = 0;
    uint8_t end[SCRAM_SIGNATURE_BYTES] = {0};
    if (gate_users_scram_begin(users, in, bytes_str(OUR_NONCE), &exchange, &answer)) {
        assert_true(bytes_is(answer, ANSWER) || strcmp(first, FIRST) != 0);
        const struct bytes none = bytes_of(NULL, 0);
        uint8_t ignored[SCRAM_SIGNATURE_BYTES];
        const bool proven = gate_users_scram_prove(users, &memory, &exchange, last, end);
        struct gate_exchange copy = exchange;
        assert_int_equal(gate_users_scram_end(users, &copy, bytes_str("x")), 0);
        assert_int_equal(gate_users_scram_end(users, &copy, none), 0);
        copy = exchange;
        assert_false(gate_users_scram_prove(users, &memory, &copy, last, ignored));
        assert_int_equal(gate_users_scram_end(users, &copy, none), 0);
        id = gate_users_scram_end(users, &exchange, none);
        assert_int_equal(id != 0, proven);
        assert_int_equal(gate_users_scram_end(users, &exchange, none), 0);
    }
    exact_free(in);
    exact_free(last);
    memcpy(ret_end, end, sizeof(end));
    ret_end[sizeof(end)] = '\0';
    return id;
}

static void scram_example(void **state)
{
    (void)state;
    struct gate_fault fault;
    struct gate_users *users = table("other:x\nuser:" HASH "\n", &fault);
    assert_non_null(users);
    char end[SCRAM_SIGNATURE_BYTES + 1];
    assert_true(exchange_run(users, FIRST, FINAL, end) != 0);
    assert_string_equal(end, SIGNATURE);
    /* The final message cut anywhere, or with any one byte changed. */
    for (size_t len = 0; len < strlen(FINAL); len++) {
        char text[] = FINAL;
        text[len] = '\0';
        assert_int_equal(exchange_run(users, FIRST, text, end), 0);
        memcpy(text, FINAL, sizeof(text));
        text[len] ^= 1;
        if (text[len] != '\0')
            assert_int_equal(exchange_run(users, FIRST, text, end), 0);
    }
    /* The first one cut: other names and nonces, to which the proof does not belong. */
    for (size_t len = 0; len < strlen(FIRST); len++) {
        char text[] = FIRST;
        text[len] = '\0';
        assert_int_equal(exchange_run(users, text, FINAL, end), 0);
    }
    static const char *const wrong[][2] = {
        {"y,,n=user,r=" CLIENT_NONCE, FINAL}, /* not what c= repeats */
        {"n,,n=usher,r=" CLIENT_NONCE, FINAL},
        {"n,,n=other,r=" CLIENT_NONCE, FINAL},
        {FIRST, "c=biws,r=" CLIENT_NONCE ",p=" PROOF},
        {FIRST, "c=biws,r=" CLIENT_NONCE OUR_NONCE ",x=1,p=" PROOF},
        {FIRST, FINAL ","},
        {FIRST, "c=eSws,r=" CLIENT_NONCE OUR_NONCE ",p=" PROOF},
        {FIRST, ""},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(exchange_run(users, wrong[i][0], wrong[i][1], end), 0);
    gate_users_free(users);
}

static void scram_first_rows(void **state)
{
    (void)state;
    static const struct {
        const char *message, *name; /* NULL: refused */
    } rows[] = {
        {"n,,n=user,r=a", "user"},
        {"y,,n=user,r=a", "user"},
        {"n,a=user,n=user,r=a", "user"},
        {"n,a=root,n=user,r=a", NULL},
        {"n,a=,n=user,r=a", NULL},
        {"p=tls-unique,,n=user,r=a", NULL},
        {"n,,m=x,n=user,r=a", NULL},
        {"n,,n=user,r=a,m=x", NULL},
        {"n,,n=user,r=a,x=y,z=", NULL},
        {"n,,n=user,r=a,x=y,z=1", "user"},
        {"n,,n=user,r=a,", NULL},
        {"n,,n=user,r=", NULL},
        {"n,,n=user,r=a b", NULL},
        {"n,,n=user,r=\x7f", NULL},
        {"n,,n=user", NULL},
        {"n,,n=,r=a", NULL},
        {"n,,r=a,n=user", NULL},
        {"n,,n=a=2Cb=3Dc,r=a", "a,b=c"},
        {"n,,n=a=2cb,r=a", NULL},
        {"n,,n=a=,r=a", NULL},
        {"n,,n=\xc3\xa4,r=a", "\xc3\xa4"},
        {"N,,n=user,r=a", NULL},
        {"n,n=user,r=a", NULL},
        {"n", NULL},
        {"n,", NULL},
        {"n,,", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes in = exact(rows[i].message, strlen(rows[i].message));
        struct scram_first first;
        const bool ok = scram_first_parse(in, &first);
        if (ok != (rows[i].name != NULL) ||
            (ok && !bytes_is(bytes_of(first.name, first.name_bytes), rows[i].name)))
            fail_msg("%s: %d", rows[i].message, ok);
        exact_free(in);
    }
    /* As long as may be, and a byte more. */
    for (size_t over = 0; over < 2; over++) {
        char text[2000];
        struct scram_first first;
        int len = snprintf(text, sizeof(text), "n,,n=%0*d,r=a", (int)(255 + over), 0);
        assert_int_equal(scram_first_parse(bytes_of(text, (size_t)len), &first), over == 0);
        len = snprintf(text, sizeof(text), "n,,n=u,r=%0*d", (int)(256 + over), 0);
        assert_int_equal(scram_first_parse(bytes_of(text, (size_t)len), &first), over == 0);
        len = snprintf(text, sizeof(text), "n,,n=u,r=a,x=%0*d", (int)(1024 - 13 + over), 0);
        assert_int_equal(scram_first_parse(bytes_of(text, (size_t)len), &first), over == 0);
    }
}

/* Names without a hash get a salt and iterations like any other, the same every time, and those of
 * one name unlike those of another. */
static void scram_salts(void **state)
{
    (void)state;
    struct gate_fault fault;
    struct gate_users *users = table("plain:x\nuser:" HASH "\n", &fault);
    assert_non_null(users);
    static const char *const firsts[] = {"n,,n=plain,r=a", "n,,n=nobody,r=a", "n,,n=nobodx,r=a"};
    char salts[3][100];
    for (size_t i = 0; i < 6; i++) {
        struct gate_exchange exchange;
        struct bytes answer;
        char text[100];
        assert_true(gate_users_scram_begin(users, bytes_str(firsts[i % 3]), bytes_str("b"),
                                           &exchange, &answer));
        (void)snprintf(text, sizeof(text), "%.*s", (int)answer.len, (const char *)answer.ptr);
        assert_int_equal(strlen(text), strlen("r=ab,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        assert_non_null(strstr(text, ",i=4096"));
        if (i >= 3)
            assert_string_equal(text, salts[i - 3]);
        else
            memcpy(salts[i], text, sizeof(text));
    }
    assert_string_not_equal(salts[0], salts[1]);
    assert_string_not_equal(salts[1], salts[2]);
    gate_users_free(users);
}

/* ── keys ─────────────────────────────────────────────────────────────────────────────────── */

static void keys_of_requests(void **state)
{
    (void)state;
    static const struct bytes prefixes = {(const uint8_t *)"\x04"
                                                           "app:\x01"
                                                           "s",
                                          7};
    static const struct {
        const char *line;
        bool covered;
    } rows[] = {
        {"get app:a", true},
        {"get app:", true},
        {"get app", false},
        {"get s", true},
        {"get App:a", false},
        {"get app:a app:b s", true},
        {"get app:a x app:b", false},
        {"get app:a app:b x", false},
        {"get  app:a   x ", false},
        {"gets x", false},
        {"gat 0 app:a app:b", true},
        {"gat 0 app:a b", false},
        {"gats 0 b app:a", false},
        {"set app:a 0 0 1", true},
        {"set x 0 0 1 noreply", false},
        {"cas x 0 0 1 1", false},
        {"delete x", false},
        {"incr x 1", false},
        {"touch x 1", false},
        {"mg x v", false},
        {"mg app:a v", true},
        {"mg YXBwOmE= b", true},  /* app:a */
        {"mg YXBwOmE= v", false}, /* is itself the key */
        {"mg app: b v", false},   /* not base64 of what it says */
        {"mg eA== b v", false},
        {"ms eA== 1 b", false},
        {"ms YXBwOmE= 1 b", true},
        {"md x", false},
        {"ma x", false},
        {"me x", false},
        {"me YXBwOmE= b", true},
        {"mn", true},
        {"version", true},
        {"quit", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[64];
        struct proto_request req;
        size_t used;
        const int len = snprintf(line, sizeof(line), "%s\r\n", rows[i].line);
        assert_int_equal(proto_text_parse(bytes_of(line, (size_t)len), &req, &used), PROTO_OK);
        if (req.error == NULL && gate_keys_covered(prefixes, &req) != rows[i].covered)
            fail_msg("%s", rows[i].line);
    }
}

int main(int argc, char **argv)
{
    seed = kit_seed_init(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifier_as_openssl), cmocka_unit_test(entries_read),
        cmocka_unit_test(entries_malformed),   cmocka_unit_test(entries_cut),
        cmocka_unit_test(entries_written),     cmocka_unit_test(users_by_password),
        cmocka_unit_test(users_conflict),      cmocka_unit_test(scram_example),
        cmocka_unit_test(scram_first_rows),    cmocka_unit_test(scram_salts),
        cmocka_unit_test(keys_of_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
