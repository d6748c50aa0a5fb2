/* lib/base/address */

#include "unit.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/address.h"
#include "base_test.h"

static struct address parsed(const char *text)
{
    struct address a;

    ck_assert_msg(address_parse(&a, slice_of(text)), "'%s' was refused", text);
    return a;
}

static struct address ip(const char *text)
{
    struct address a;

    ck_assert_msg(address_from_ip(&a, slice_of(text), 80), "'%s' was refused", text);
    return a;
}

static struct cidr network(const char *text)
{
    struct cidr c;

    ck_assert_msg(cidr_parse(&c, slice_of(text)), "'%s' was refused", text);
    return c;
}

START_TEST(address_reads_ips)
{
    static const char *const bad[] = {
        "",          "localhost",  "1.2.3",
        "1.2.3.4.5", "256.1.1.1",  "01.2.3.4",
        "0x7f.1",    "127.1",      "[::1]",
        "::1%lo",    "fe80::1%1",  "::g",
        ":::",       "1.2.3.4 ",   " ::1",
        "1.2.3.4/8", "2130706433", "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    struct address a;
    char out[ADDRESS_TEXT_SIZE];

    ck_assert(address_from_ip(&a, SLICE("10.0.0.7"), 8080));
    ck_assert_int_eq(a.sa.any.sa_family, AF_INET);
    ck_assert_uint_eq(a.length, sizeof(struct sockaddr_in));
    ck_assert_uint_eq(address_port(&a), 8080);
    ck_assert_str_eq(address_format(&a, out), "10.0.0.7:8080");
    ck_assert_str_eq(address_format_host(&a, out), "10.0.0.7");

    ck_assert(address_from_ip(&a, SLICE("2001:DB8:0:0::1"), 443));
    ck_assert_int_eq(a.sa.any.sa_family, AF_INET6);
    ck_assert_uint_eq(a.length, sizeof(struct sockaddr_in6));
    ck_assert_str_eq(address_format(&a, out), "[2001:db8::1]:443");
    ck_assert_str_eq(address_format_host(&a, out), "2001:db8::1");
    ck_assert(address_from_ip(&a, SLICE("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"), 65535));
    ck_assert_str_eq(address_format(&a, out), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!address_from_ip(&a, slice_of(bad[i]), 1), "'%s' was taken", bad[i]);
    ck_assert(!address_from_ip(&a, SLICE("127.0.0.1\0evil"), 1));
    ck_assert(!address_from_ip(&a, (struct slice){0}, 1));
}
END_TEST

START_TEST(peers_are_kept_short)
{
    static const struct {
        const char *address, *shown;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80"}, {"[2001:db8::1]:443", "[2001:db8::1]:443"}, {"unix:/x", "unix"}};
    char out[ADDRESS_TEXT_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address a, back;
        struct peer_address p;
        ck_assert(address_parse(&a, slice_of(cases[i].address)));
        peer_address_set(&p, &a);
        ck_assert_str_eq(peer_address_format(&p, out), cases[i].shown);
        back = peer_address_get(&p);
        ck_assert(a.sa.any.sa_family == AF_UNIX || address_equal(&a, &back));
        ck_assert_int_eq(back.sa.any.sa_family, a.sa.any.sa_family);
    }
    ck_assert_uint_lt(sizeof(struct peer_address), 32);
}
END_TEST

START_TEST(address_reads_host_and_port)
{
    static const char *const good[] = {
        "127.0.0.1:80",           "[::1]:3128", "0.0.0.0:0",          "[::]:65535",
        "unix:/run/carpool.sock", "unix:/",     "[::ffff:1.2.3.4]:80"};
    static const char *const bad[] = {"",
                                      ":",
                                      ":80",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:+1",
                                      "127.0.0.1:000080",
                                      "127.0.0.1: 80",
                                      "127.0.0.1:80 ",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "[]:80",
                                      "[127.0.0.1]:80",
                                      "[::1%lo]:80",
                                      "localhost:80",
                                      "[::1:80",
                                      "::1]:80",
                                      "unix:",
                                      "unix:relative",
                                      "unix:@abstract",
                                      "UNIX:/x",
                                      "127.0.0.1:http"};
    char out[ADDRESS_TEXT_SIZE];
    struct address a = {.length = 77};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        a = parsed(good[i]);
        ck_assert_str_eq(address_format(&a, out), good[i]);
    }
    a.length = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!address_parse(&a, slice_of(bad[i])), "'%s' was taken", bad[i]);
    ck_assert(!address_parse(&a, SLICE("unix:/a\0b")));
    ck_assert(!address_parse(&a, (struct slice){0}));
    ck_assert_uint_eq(a.length, 77);
}
END_TEST

START_TEST(address_measures_unix_paths)
{
    char text[5 + 108 + 1];
    char out[ADDRESS_TEXT_SIZE];
    struct address a;

    memset(text, 'x', sizeof text);
    memcpy(text, "unix:/", 6);
    ck_assert(address_parse(&a, (struct slice){text, 5 + 107}));
    ck_assert_uint_eq(a.length, sizeof(struct sockaddr_un));
    ck_assert_uint_eq(strlen(address_format(&a, out)), 5 + 107);
    ck_assert_int_eq(strncmp(out, text, 5 + 107), 0);
    ck_assert(!address_parse(&a, (struct slice){text, 5 + 108}));

    a = parsed("unix:/run/x");
    ck_assert_uint_eq(a.length, offsetof(struct sockaddr_un, sun_path) + 7);
    ck_assert_str_eq(address_format_host(&a, out), "unix:/run/x");
    ck_assert_uint_eq(address_port(&a), 0);
    address_set_port(&a, 80);
    ck_assert_str_eq(address_format(&a, out), "unix:/run/x");

    /* What the kernel may say of a peer: no path at all, an abstract one, one without NUL at the end. */
    a.length = sizeof(sa_family_t);
    ck_assert_str_eq(address_format(&a, out), "unix");
    a.sa.unix_.sun_path[0] = '\0';
    a.length = offsetof(struct sockaddr_un, sun_path) + 6;
    ck_assert_str_eq(address_format(&a, out), "unix");
    memset(a.sa.unix_.sun_path, 'y', sizeof a.sa.unix_.sun_path);
    a.length = sizeof(struct sockaddr_un) + 1;
    ck_assert_uint_eq(strlen(address_format(&a, out)), 5 + 108);

    a = (struct address){0};
    ck_assert_str_eq(address_format(&a, out), "unknown");
}
END_TEST

START_TEST(address_compares)
{
    struct address a = parsed("127.0.0.1:80"), b = parsed("127.0.0.1:80");

    ck_assert(address_equal(&a, &b));
    address_set_port(&b, 81);
    ck_assert_uint_eq(address_port(&b), 81);
    ck_assert(!address_equal(&a, &b));
    b = parsed("[::ffff:127.0.0.1]:80");
    ck_assert(!address_equal(&a, &b));
    a = parsed("[::ffff:7f00:1]:80");
    ck_assert(address_equal(&a, &b));
    b.sa.v6.sin6_flowinfo = 5;
    ck_assert(address_equal(&a, &b));
    address_set_port(&b, 82);
    ck_assert_uint_eq(address_port(&b), 82);
    ck_assert(!address_equal(&a, &b));

    a = parsed("unix:/a");
    b = parsed("unix:/a");
    ck_assert(address_equal(&a, &b));
    b = parsed("unix:/ab");
    ck_assert(!address_equal(&a, &b));
    a.length = b.length = sizeof(sa_family_t);
    ck_assert(!address_equal(&a, &b));
    a = (struct address){0};
    ck_assert(!address_equal(&a, &a));
}
END_TEST

START_TEST(address_knows_loopback_and_any)
{
    static const char *const loopback[] = {"127.0.0.1:1", "127.255.255.255:1", "[::1]:1",
                                           "[::ffff:127.0.0.1]:1", "unix:/x"};
    static const char *const any[] = {"0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"};
    static const char *const neither[] = {"128.0.0.1:1",     "126.0.0.1:1", "[::2]:1",
                                          "[::127.0.0.1]:1", "0.0.0.1:1",   "[::ffff:128.0.0.1]:1",
                                          "[fe80::1]:1",     "[7f00::]:1"};

    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
        struct address a = parsed(loopback[i]);

        ck_assert_msg(address_is_loopback(&a) && !address_is_any(&a), "%s", loopback[i]);
    }
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
        struct address a = parsed(any[i]);

        ck_assert_msg(address_is_any(&a) && !address_is_loopback(&a), "%s", any[i]);
    }
    for (size_t i = 0; i < sizeof neither / sizeof neither[0]; i++) {
        struct address a = parsed(neither[i]);

        ck_assert_msg(!address_is_any(&a) && !address_is_loopback(&a), "%s", neither[i]);
    }
}
END_TEST

START_TEST(cidr_reads_and_writes)
{
    static const struct {
        const char *text, *back;
        uint8_t bits;
        bool v4;
    } good[] = {{"10.0.0.0/8", "10.0.0.0/8", 104, true},
                {"127.0.0.1", "127.0.0.1/32", 128, true},
                {"255.255.255.255/32", "255.255.255.255/32", 128, true},
                {"0.0.0.0/0", "0.0.0.0/0", 96, true},
                {"10.128.0.0/9", "10.128.0.0/9", 105, true},
                {"::1", "::1/128", 128, false},
                {"::/128", "::/128", 128, false},
                {"::/0", "::/0", 0, false},
                {"fe80::/10", "fe80::/10", 10, false},
                {"ff00::/8", "ff00::/8", 8, false},
                {"::ffff:10.0.0.0/104", "::ffff:10.0.0.0/104", 104, false}};
    static const char *const bad[] = {"",
                                      "/",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "::/129",
                                      "10.0.0.1/8",
                                      "fe80::1/10",
                                      "10.0.0.0/8/8",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/ 8",
                                      "10.0.0.0/8 ",
                                      "10.0.0.0/8.0",
                                      "host/8",
                                      "[::1]/128",
                                      "10.0.0.0/255.0.0.0",
                                      "fe80::%lo/10",
                                      "10/8",
                                      "10.0.0.0/4294967304",
                                      "10.0.0.0/18446744073709551624",
                                      "10.64.0.0/9"};
    char out[ADDRESS_TEXT_SIZE];
    struct cidr c;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        c = network(good[i].text);
        ck_assert_uint_eq(c.bits, good[i].bits);
        ck_assert_int_eq(c.v4, good[i].v4);
        ck_assert_str_eq(cidr_format(&c, out), good[i].back);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!cidr_parse(&c, slice_of(bad[i])), "'%s' was taken", bad[i]);
    ck_assert(!cidr_parse(&c, (struct slice){0}));
}
END_TEST

static bool contains(const char *net, const char *host)
{
    struct cidr c = network(net);
    struct address a = ip(host);

    return cidr_contains(&c, &a);
}

START_TEST(cidr_contains_addresses)
{
    struct address path = parsed("unix:/x"), none = {0};
    struct cidr all = network("::/0");

    ck_assert(contains("10.0.0.0/8", "10.255.255.255"));
    ck_assert(!contains("10.0.0.0/8", "11.0.0.0"));
    ck_assert(contains("10.128.0.0/9", "10.200.0.1"));
    ck_assert(!contains("10.128.0.0/9", "10.127.255.255"));
    ck_assert(contains("0.0.0.0/0", "255.1.2.3"));
    ck_assert(contains("127.0.0.1", "127.0.0.1"));
    ck_assert(!contains("127.0.0.1", "127.0.0.2"));
    ck_assert(contains("192.168.1.254/31", "192.168.1.255"));

    ck_assert(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    ck_assert(!contains("10.0.0.0/8", "::10.1.2.3"));
    ck_assert(!contains("0.0.0.0/0", "::1"));
    ck_assert(contains("::ffff:10.0.0.0/104", "10.1.2.3"));

    ck_assert(contains("fe80::/10", "febf::1"));
    ck_assert(!contains("fe80::/10", "fec0::1"));
    ck_assert(contains("::1", "::1"));
    ck_assert(!contains("::1", "::2"));
    ck_assert(contains("::/0", "2001:db8::1"));
    ck_assert(contains("::/0", "::ffff:10.1.2.3"));
    ck_assert(!contains("::/0", "10.1.2.3"));
    ck_assert(!cidr_contains(&all, &path));
    ck_assert(!cidr_contains(&all, &none));
}
END_TEST

START_TEST(address_unwraps)
{
    static const struct {
        const char *outer, *inner;
    } wrapped[] = {{"::ffff:169.254.169.254", "169.254.169.254:80"},
                   {"64:ff9b::a9fe:a9fe", "169.254.169.254:80"},
                   {"2002:7f00:1::1", "127.0.0.1:80"},
                   {"2002:a9fe:a9fe:ffff::", "169.254.169.254:80"}};
    static const char *const bare[] = {
        "127.0.0.1", "::1", "64:ff9c::1", "64:ff9b:0:0:1::1", "2003::1", "::fffe:1.2.3.4", "::1.2.3.4"};
    struct address inner, path = parsed("unix:/x");
    char out[ADDRESS_TEXT_SIZE];

    for (size_t i = 0; i < sizeof wrapped / sizeof wrapped[0]; i++) {
        struct address a = ip(wrapped[i].outer);

        ck_assert_msg(address_unwrap(&a, &inner), "%s", wrapped[i].outer);
        ck_assert_str_eq(address_format(&inner, out), wrapped[i].inner);
        ck_assert_uint_eq(inner.length, sizeof(struct sockaddr_in));
    }
    for (size_t i = 0; i < sizeof bare / sizeof bare[0]; i++) {
        struct address a = ip(bare[i]);

        ck_assert_msg(!address_unwrap(&a, &inner), "%s", bare[i]);
    }
    ck_assert(!address_unwrap(&path, &inner));

    /* Into itself. */
    inner = ip("::ffff:1.2.3.4");
    ck_assert(address_unwrap(&inner, &inner));
    ck_assert_str_eq(address_format(&inner, out), "1.2.3.4:80");
}
END_TEST

/* What the kernel fills in reads the same. */
START_TEST(address_of_a_socket)
{
    struct address a = parsed("127.0.0.1:0"), b = {.length = sizeof b.sa};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, &a.sa.any, a.length), 0);
    ck_assert_int_eq(getsockname(fd, &b.sa.any, &b.length), 0);
    ck_assert_uint_ne(address_port(&b), 0);
    address_set_port(&a, address_port(&b));
    ck_assert(address_equal(&a, &b));
    close(fd);
}
END_TEST

void base_address_tests(Suite *suite)
{
    unit_group(suite, "address", address_reads_ips, peers_are_kept_short, address_reads_host_and_port,
               address_measures_unix_paths, address_compares, address_knows_loopback_and_any, address_unwraps,
               address_of_a_socket);
    unit_group(suite, "cidr", cidr_reads_and_writes, cidr_contains_addresses);
}
