/* rewriteScheme: URLs of the origin itself and cookies, in the terms of an app that says http://. */

#include "proxy_test.h"

#include "proxy/own_urls.h"

static const char *rewritten(const char *name, const char *value, const struct own_origin *own)
{
    static char out[600];
    struct field f = {.name = slice_of(name), .value = slice_of(value)};
    size_t most = strlen(name) + strlen(value) + 4 + OWN_URLS_LONGER;
    char *end = own_urls_put(out, &f, own);

    ck_assert_uint_le((size_t)(end - out), most);
    ck_assert_int_eq(memcmp(end - 2, "\r\n", 2), 0);
    end[-2] = '\0';
    ck_assert_int_eq(strncmp(out, name, strlen(name)), 0);
    return out + strlen(name) + 2;
}

static const struct {
    const char *name, *value;
    const char *as_http; /* NULL: as it came */
    const char *as_path; /* likewise */
} cases[] = {
    {"Location", "https://pay.test/a?b#c", "http://pay.test/a?b#c", "/a?b#c"},
    {"location", "HTTPS://PAY.test:443/a", "http://pay.test/a", "/a"},
    {"Location", "https://pay.test:/a", "http://pay.test/a", "/a"},
    {"Content-Location", "https://pay.test", "http://pay.test", "/"},
    {"Location", "https://pay.test?a", "http://pay.test?a", "/?a"},
    {"Location", "https://pay.test#a", "http://pay.test#a", "/#a"},
    {"Location", "https://pay.test/a b\"", "http://pay.test/a b\"", "/a b\""},
    /* What would name another host by itself. */
    {"Location", "https://pay.test//evil.test/a", "http://pay.test//evil.test/a", "/.//evil.test/a"},
    {"Location", "https://pay.test/\\evil.test/a", "http://pay.test/\\evil.test/a", "/./\\evil.test/a"},
    {"Location", "https://pay.test/\t/evil.test/a", "http://pay.test/\t/evil.test/a", "/./\t/evil.test/a"},
    {"Location", "https://pay.test/\t\t\\evil.test", "http://pay.test/\t\t\\evil.test", "/./\t\t\\evil.test"},
    {"Location", "https://pay.test/\ta", "http://pay.test/\ta", "/\ta"},
    {"Refresh", "0; url=https://pay.test/\t/evil.test", "0; url=http://pay.test/\t/evil.test",
     "0; url=/./\t/evil.test"},
    /* Not this origin. */
    {"Location", "http://pay.test/a", NULL, NULL},
    {"Location", "https://other.test/a", NULL, NULL},
    {"Location", "https://pay.test:8443/a", NULL, NULL},
    {"Location", "https://pay.test.evil.test/a", NULL, NULL},
    {"Location", "https://pay.test@evil.test/a", NULL, NULL},
    {"Location", "https://user@pay.test/a", NULL, NULL},
    {"Location", "https://pay.test\\@evil.test/a", NULL, NULL},
    {"Location", "https://", NULL, NULL},
    {"Location", "/a?u=https://pay.test/", NULL, NULL},
    {"Location", "", NULL, NULL},
    {"Refresh", "5; url=https://pay.test/a", "5; url=http://pay.test/a", "5; url=/a"},
    {"Refresh", "0;URL='https://pay.test'", "0;URL='http://pay.test'", "0;URL='/'"},
    {"Refresh", "5", NULL, NULL},
    {"Refresh", "5; url=https://other.test/", NULL, NULL},
    {"Set-Cookie", "a=b; Path=/; Secure; HttpOnly", "a=b; Path=/; HttpOnly", "a=b; Path=/; HttpOnly"},
    {"set-cookie", "a=b;SECURE", "a=b", "a=b"},
    {"Set-Cookie", "a=b; Secure ; secure;SameSite=None", "a=b;SameSite=None", "a=b;SameSite=None"},
    {"Set-Cookie", "secure; Path=/", NULL, NULL},
    {"Set-Cookie", "a=secure; Domain=secure.test; x-secure", NULL, NULL},
    {"Set-Cookie", "a=b;", NULL, NULL},
    {"X-Location", "https://pay.test/a", NULL, NULL},
    {"Link", "<https://pay.test/a>; rel=next", NULL, NULL},
};

START_TEST(own_urls_are_found)
{
    struct own_origin own = {OWN_URLS_HTTP, SLICE("pay.test"), 443};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *value = cases[i].value;

        own.urls = OWN_URLS_HTTP;
        ck_assert_str_eq(rewritten(cases[i].name, value, &own), cases[i].as_http ? cases[i].as_http : value);
        own.urls = OWN_URLS_PATHS;
        ck_assert_str_eq(rewritten(cases[i].name, value, &own), cases[i].as_path ? cases[i].as_path : value);
    }
}
END_TEST

START_TEST(ports_are_kept)
{
    struct own_origin own = {OWN_URLS_HTTP, SLICE("pay.test"), 8443};

    ck_assert_str_eq(rewritten("Location", "https://pay.test:8443/a", &own), "http://pay.test:8443/a");
    ck_assert_str_eq(rewritten("Location", "https://pay.test/a", &own), "https://pay.test/a");
    own = (struct own_origin){OWN_URLS_HTTP_443, SLICE("pay.test"), 443};
    ck_assert_str_eq(rewritten("Location", "https://pay.test/a", &own), "http://pay.test:443/a");
    own = (struct own_origin){OWN_URLS_HTTP, SLICE("::1"), 8443};
    ck_assert_str_eq(rewritten("Location", "https://[0:0::1]:8443/a", &own), "http://[::1]:8443/a");
    own = (struct own_origin){OWN_URLS_HTTP, SLICE("::ffff:255.255.255.255"), 65535};
    ck_assert_str_eq(rewritten("Location", "https://[::ffff:ffff:ffff]:65535", &own),
                     "http://[::ffff:255.255.255.255]:65535");
}
END_TEST

void proxy_own_urls_tests(Suite *suite)
{
    unit_group(suite, "own_urls", own_urls_are_found, ports_are_kept);
}
