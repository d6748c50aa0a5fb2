/* Targets and Host. */

#include "unit.h"

#include <stdio.h>

#include "http/uri.h"
#include "http_test.h"

static const struct {
    const char *target;
    const char *host;
    unsigned port;
    bool has_port;
    const char *path_query;
} good[] = {
    {"http://example.com/", "example.com", 80, false, "/"},
    {"HTTP://EXAMPLE.com:8080/A?B", "example.com", 8080, true, "/A?B"},
    {"https://example.com", "example.com", 443, false, ""},
    {"http://a?q=1", "a", 80, false, "?q=1"},
    {"http://a:/x", "a", 80, false, "/x"},
    {"http://a:00080/", "a", 80, true, "/"},
    {"http://a:65535", "a", 65535, true, ""},
    {"http://my_service-1.x/", "my_service-1.x", 80, false, "/"},
    {"http://localhost./", "localhost.", 80, false, "/"},
    {"http://127.0.0.1:1/", "127.0.0.1", 1, true, "/"},
    {"http://255.255.255.255/", "255.255.255.255", 80, false, "/"},
    {"http://[::1]/", "::1", 80, false, "/"},
    {"http://[0:0:0:0:0:0:0:1]:81/", "::1", 81, true, "/"},
    {"http://[2001:DB8::A]/", "2001:db8::a", 80, false, "/"},
    {"http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", 80, false, "/"},
    {"http://[::FFFF:7f00:1]/", "::ffff:127.0.0.1", 80, false, "/"},
    {"http://a/%00//../;x?a[]={b}|c\"<>\\^`", "a", 80, false, "/%00//../;x?a[]={b}|c\"<>\\^`"},
    {"http://a/http://b@c:1/", "a", 80, false, "/http://b@c:1/"},
    {"http://a?x@y:z/", "a", 80, false, "?x@y:z/"},
    {"http://a/#f", "a", 80, false, "/"},
    {"http://a/b?c#d?e#f", "a", 80, false, "/b?c"},
    {"http://a?#", "a", 80, false, "?"},
    {"http://a/\x80?\xff\xc3\xa9", "a", 80, false, "/\x80?\xff\xc3\xa9"},
    {"http://0x7f.example/", "0x7f.example", 80, false, "/"},
    {"http://1.2.3.4.example", "1.2.3.4.example", 80, false, ""},
    {"http://0xg/", "0xg", 80, false, "/"},
    {"http://a1/", "a1", 80, false, "/"},
    {"http://-/", "-", 80, false, "/"},
};

static const struct {
    const char *target;
    enum uri_verdict verdict;
} bad[] = {
    {"", URI_NOT_ABSOLUTE},
    {"/", URI_NOT_ABSOLUTE},
    {"/http://a/", URI_NOT_ABSOLUTE},
    {"*", URI_NOT_ABSOLUTE},
    {"//a/b", URI_NOT_ABSOLUTE},
    {"127.0.0.1:80", URI_NOT_ABSOLUTE},
    {"example.com", URI_NOT_ABSOLUTE},
    {":", URI_NOT_ABSOLUTE},
    {"[::1]:80", URI_NOT_ABSOLUTE},
    {"example.com:443", URI_BAD_SCHEME},
    {"ftp://a/", URI_BAD_SCHEME},
    {"file:///etc/passwd", URI_BAD_SCHEME},
    {"httpx://a/", URI_BAD_SCHEME},
    {"http", URI_NOT_ABSOLUTE},
    {"http:", URI_BAD_HOST},
    {"http:a", URI_BAD_HOST},
    {"http:/a", URI_BAD_HOST},
    {"http://", URI_BAD_HOST},
    {"http:///a", URI_BAD_HOST},
    {"http://?", URI_BAD_HOST},
    {"http://:80/", URI_BAD_HOST},
    {"http://u@a/", URI_USERINFO},
    {"http://u:p@a/", URI_USERINFO},
    {"http://@a/", URI_USERINFO},
    {"http://a\\@b/", URI_USERINFO},
    {"http://a\\b/", URI_BAD_HOST},
    {"http://a,b/", URI_BAD_HOST},
    {"http://%61/", URI_BAD_HOST},
    {"http://a%00/", URI_BAD_HOST},
    {"http://a b/", URI_BAD_HOST},
    {"http://\xe4/", URI_BAD_HOST},
    {"http://a\x7f/", URI_BAD_HOST},
    {"http://*.a/", URI_BAD_HOST},
    {"http://./", URI_BAD_HOST},
    {"http://a../", URI_BAD_HOST},
    {"http://.a/", URI_BAD_HOST},
    {"http://a..b/", URI_BAD_HOST},
    /* IPv4 addresses to some: inet_aton(3), browsers. */
    {"http://2130706433/", URI_BAD_HOST},
    {"http://127.1/", URI_BAD_HOST},
    {"http://127.0.1/", URI_BAD_HOST},
    {"http://0177.0.0.1/", URI_BAD_HOST},
    {"http://127.0.0.01/", URI_BAD_HOST},
    {"http://0x7f.0.0.1/", URI_BAD_HOST},
    {"http://0x7f000001/", URI_BAD_HOST},
    {"http://127.0.0.0x1/", URI_BAD_HOST},
    {"http://127.0.0.0x/", URI_BAD_HOST},
    {"http://1.2.3.256/", URI_BAD_HOST},
    {"http://1.2.3.4.5/", URI_BAD_HOST},
    {"http://127.0.0.1./", URI_BAD_HOST},
    {"http://0x7f.1./", URI_BAD_HOST},
    {"http://a.0X1F/", URI_BAD_HOST},
    {"http://a.1/", URI_BAD_HOST},
    {"http://0/", URI_BAD_HOST},
    {"http://[::1/", URI_BAD_HOST},
    {"http://[]/", URI_BAD_HOST},
    {"http://[::1]x/", URI_BAD_HOST},
    {"http://[::1]]/", URI_BAD_HOST},
    {"http://[::1%25lo]/", URI_BAD_HOST},
    {"http://[fe80::1%lo]/", URI_BAD_HOST},
    {"http://[127.0.0.1]/", URI_BAD_HOST},
    {"http://[::127.1]/", URI_BAD_HOST},
    {"http://[v1.a]/", URI_BAD_HOST},
    {"http://[1:2:3:4:5:6:7:8:9]/", URI_BAD_HOST},
    {"http://[00000000000000000000000000000000000000000000000001::]/", URI_BAD_HOST},
    {"http://::1/", URI_BAD_HOST},
    {"http://a[b]/", URI_BAD_HOST},
    {"http://a:0/", URI_BAD_PORT},
    {"http://a:65536/", URI_BAD_PORT},
    {"http://a:4294967376/", URI_BAD_PORT},
    {"http://a:18446744073709551696/", URI_BAD_PORT},
    {"http://a:8x/", URI_BAD_PORT},
    {"http://a:-1/", URI_BAD_PORT},
    {"http://a:+1/", URI_BAD_PORT},
    {"http://a: 1/", URI_BAD_PORT},
    {"http://a:80:80/", URI_BAD_PORT},
    {"http://a#f", URI_FRAGMENT},
    {"http://a:80#", URI_FRAGMENT},
    {"http://a#/b", URI_FRAGMENT},
    {"http://a/ b", URI_BAD_PATH},
    {"http://a/\t", URI_BAD_PATH},
    {"http://a/\x7f", URI_BAD_PATH},
};

START_TEST(absolute_form_is_read)
{
    struct uri u;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        enum uri_verdict v = uri_parse_absolute(slice_of(good[i].target), &u);

        ck_assert_msg(v == URI_OK, "%s: %s", good[i].target, uri_verdict_text(v));
        ck_assert_str_eq(u.host, good[i].host);
        ck_assert_uint_eq(u.host_length, strlen(good[i].host));
        ck_assert_uint_eq(u.port, good[i].port);
        ck_assert_int_eq(u.has_port, good[i].has_port);
        ck_assert_int_eq(u.ipv6, strchr(good[i].target, '[') && strchr(good[i].host, ':'));
        ck_assert_int_eq(u.scheme, good[i].target[4] == 's' ? SCHEME_HTTPS : SCHEME_HTTP);
        assert_slice(u.path_query, good[i].path_query);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum uri_verdict v = uri_parse_absolute(slice_of(bad[i].target), &u);

        ck_assert_msg(v == bad[i].verdict, "%s: %s", bad[i].target, uri_verdict_text(v));
    }
    ck_assert_int_eq(uri_parse_absolute(SLICE("http://a\0b/"), &u), URI_BAD_HOST);
    ck_assert_int_eq(uri_parse_absolute(SLICE("http://[::1\0]/"), &u), URI_BAD_HOST);
    ck_assert_int_eq(uri_parse_absolute(SLICE("http://a/\0"), &u), URI_BAD_PATH);
}
END_TEST

START_TEST(hosts_have_a_longest)
{
    char target[400] = "http://";
    struct uri u;

    memset(target + 7, 'a', URI_MAX_HOST);
    strcpy(target + 7 + URI_MAX_HOST, "/");
    ck_assert_int_eq(uri_parse_absolute(slice_of(target), &u), URI_OK);
    ck_assert_uint_eq(u.host_length, URI_MAX_HOST);
    strcpy(target + 7 + URI_MAX_HOST, "a/");
    ck_assert_int_eq(uri_parse_absolute(slice_of(target), &u), URI_BAD_HOST);
}
END_TEST

START_TEST(authority_form_is_read)
{
    struct uri u;

    ck_assert_int_eq(uri_parse_authority(SLICE("Example.com:443"), &u), URI_OK);
    ck_assert_str_eq(u.host, "example.com");
    ck_assert_uint_eq(u.port, 443);
    ck_assert_int_eq(uri_parse_authority(SLICE("[::1]:8443"), &u), URI_OK);
    ck_assert(u.ipv6);
    ck_assert_str_eq(u.host, "::1");
    ck_assert_int_eq(uri_parse_authority(SLICE("a"), &u), URI_BAD_PORT);
    ck_assert_int_eq(uri_parse_authority(SLICE("a:"), &u), URI_BAD_PORT);
    ck_assert_int_eq(uri_parse_authority(SLICE("[::1]"), &u), URI_BAD_PORT);
    ck_assert_int_eq(uri_parse_authority(SLICE("a:0"), &u), URI_BAD_PORT);
    ck_assert_int_eq(uri_parse_authority(SLICE("a:443/x"), &u), URI_BAD_PORT);
    ck_assert_int_eq(uri_parse_authority(SLICE("a:443?x"), &u), URI_BAD_PORT);
    ck_assert_int_eq(uri_parse_authority(SLICE("http://a:443"), &u), URI_BAD_PORT);
    ck_assert_int_eq(uri_parse_authority(SLICE("u@a:443"), &u), URI_USERINFO);
    ck_assert_int_eq(uri_parse_authority(SLICE("/"), &u), URI_BAD_HOST);
    ck_assert_int_eq(uri_parse_authority(SLICE("*:443"), &u), URI_BAD_HOST);
    ck_assert_int_eq(uri_parse_authority(SLICE(":443"), &u), URI_BAD_HOST);
    ck_assert_int_eq(uri_parse_authority(SLICE(""), &u), URI_BAD_HOST);
}
END_TEST

START_TEST(origin_form_is_read)
{
    struct uri u;

    ck_assert_int_eq(uri_parse_origin_form(SLICE("/a?b"), &u), URI_OK);
    assert_slice(u.path_query, "/a?b");
    ck_assert_int_eq(uri_parse_origin_form(SLICE("//a"), &u), URI_OK);
    ck_assert_int_eq(uri_parse_origin_form(SLICE(""), &u), URI_BAD_PATH);
    ck_assert_int_eq(uri_parse_origin_form(SLICE("*"), &u), URI_BAD_PATH);
    ck_assert_int_eq(uri_parse_origin_form(SLICE("http://a/"), &u), URI_BAD_PATH);
    ck_assert_int_eq(uri_parse_origin_form(SLICE("/a?b#c"), &u), URI_OK);
    assert_slice(u.path_query, "/a?b");
    ck_assert_int_eq(uri_parse_origin_form(SLICE("/#\x01"), &u), URI_BAD_PATH);
    ck_assert_int_eq(uri_parse_origin_form(SLICE("/\r"), &u), URI_BAD_PATH);
}
END_TEST

START_TEST(host_field_is_checked)
{
    static const char *const fine[] = {"",         "a",         "A.b:80", "a:", "[::1]",
                                       "[::1]:80", "127.0.0.1", "a_b",    "a."};
    static const char *const wrong[] = {"a b",      "u@a",        "a, b",  "a:99999", "[::1", "a?x",  "a/",
                                        "http://a", "a:b",        "a:0",   ":80",     "a\\b", "a%20", "#",
                                        "*",        "[::1%25lo]", "127.1", "a:1:2",   "a#b"};

    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        ck_assert_msg(host_field_valid(slice_of(fine[i])), "%s", fine[i]);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(!host_field_valid(slice_of(wrong[i])), "%s", wrong[i]);
}
END_TEST

START_TEST(host_field_is_read)
{
    struct uri u;

    ck_assert(uri_parse_host_field(SLICE("A.test:81"), &u));
    ck_assert_str_eq(u.host, "a.test");
    ck_assert_uint_eq(u.port, 81);
    ck_assert(uri_parse_host_field(SLICE("[::1]"), &u));
    ck_assert_str_eq(u.host, "::1");
    ck_assert_uint_eq(u.port, 80);
    ck_assert(!uri_parse_host_field(SLICE(""), &u));
    ck_assert(!uri_parse_host_field(SLICE("a b"), &u));
}
END_TEST

START_TEST(verdicts_and_schemes_have_texts)
{
    for (enum uri_verdict v = URI_OK; v <= URI_BAD_PATH; v++)
        ck_assert_uint_gt(strlen(uri_verdict_text(v)), 10);
    ck_assert_str_eq(scheme_name(SCHEME_HTTP), "http");
    ck_assert_str_eq(scheme_name(SCHEME_HTTPS), "https");
}
END_TEST

void http_uri_tests(Suite *suite)
{
    unit_group(suite, "uri", absolute_form_is_read, hosts_have_a_longest, authority_form_is_read,
               origin_form_is_read, host_field_is_checked, host_field_is_read,
               verdicts_and_schemes_have_texts);
}
