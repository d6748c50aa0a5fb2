/* Where requests go, by their targets, the listener they came to, and the policy. */

#include "proxy_test.h"

#include <stdio.h>

#include "proxy/route.h"

static struct proxy_rig rig;
static struct head head;
static struct route route;
static char text[512];

static const char *const file = "access: {connectPorts: [443, 8443]}\n"
                                "defaults: {maxSockets: 9}\n";

static void open_rig(void)
{
    proxy_rig_open(&rig, "", file);
}

static struct frontend *gateway(const char *upstream)
{
    struct address a;

    ck_assert(address_from_ip(&a, SLICE("127.0.0.1"), 9001));
    return frontend_new(upstream, &a);
}

static enum fault ask(const struct frontend *e, const char *request)
{
    read_request(&head, request);
    return route_find(rig.proxy, e, NULL, &head, &route, text, sizeof text);
}

static enum fault ask_proxy(const char *line)
{
    static char request[1024]; /* what was read points into it */

    snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: h\r\n\r\n", line);
    return ask(rig.frontend, request);
}

START_TEST(absolute_targets_are_forwarded)
{
    open_rig();
    ck_assert_int_eq(ask_proxy("GET http://A.test/x?y"), FAULT_NONE);
    ck_assert_str_eq(route.agent->name, "u");
    ck_assert_int_eq(route.kind, ORIGIN_HTTP);
    ck_assert_str_eq(route.uri.host, "a.test");
    ck_assert_uint_eq(route.uri.port, 80);
    assert_slice(route.uri.path_query, "/x?y");
    ck_assert_int_eq(ask_proxy("GET https://other.example:444"), FAULT_NONE);
    ck_assert_str_eq(route.agent->name, "default");
    ck_assert_int_eq(route.kind, ORIGIN_HTTPS);
    ck_assert_uint_eq(route.uri.port, 444);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(other_targets_are_not)
{
    open_rig();
    ck_assert_int_eq(ask_proxy("GET /x"), FAULT_BAD_TARGET);
    ck_assert_ptr_nonnull(strstr(text, "http_proxy=http://127.0.0.1:3128/"));
    ck_assert_int_eq(ask_proxy("OPTIONS *"), FAULT_BAD_TARGET);
    ck_assert_int_eq(ask_proxy("GET ftp://h/"), FAULT_BAD_TARGET);
    ck_assert_int_eq(ask_proxy("GET http://user@h/"), FAULT_BAD_TARGET);
    ck_assert_int_eq(ask_proxy("GET http:///x"), FAULT_BAD_TARGET);
    ck_assert_int_eq(ask_proxy("GET a.test:443"), FAULT_BAD_TARGET);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(apps_are_not_sent_to_a_wildcard)
{
    struct address any;

    open_rig();
    ck_assert(address_from_ip(&any, SLICE("0.0.0.0"), 3128));
    struct frontend *e = frontend_new(NULL, &any);
    ck_assert_int_eq(ask(e, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"), FAULT_BAD_TARGET);
    ck_assert_ptr_nonnull(strstr(text, "http_proxy=http://localhost:3128/ (from another host"));
    frontend_unref(e);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(connect_names_host_and_port)
{
    open_rig();
    ck_assert_int_eq(ask_proxy("CONNECT a.test:443"), FAULT_NONE);
    ck_assert_int_eq(route.kind, ORIGIN_TUNNEL);
    ck_assert_str_eq(route.agent->name, "u");
    ck_assert(!route.upgrade);
    ck_assert_int_eq(ask_proxy("CONNECT a.test:8443"), FAULT_NONE);
    ck_assert_int_eq(ask_proxy("CONNECT a.test:22"), FAULT_DENIED);
    ck_assert_int_eq(ask_proxy("CONNECT a.test"), FAULT_BAD_TARGET);
    ck_assert_int_eq(ask_proxy("CONNECT http://a.test:443/"), FAULT_BAD_TARGET);
    ck_assert_int_ne(ask(rig.frontend, "CONNECT a.test:443 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"),
                     FAULT_NONE);
    /* CONNECT is a method like others in its letters. */
    ck_assert_int_eq(ask_proxy("connect a.test:443"), FAULT_BAD_TARGET);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(unmatched_hosts_may_be_denied)
{
    proxy_rig_open(&rig, "", "access: {unmatched: deny}\n");
    ck_assert_int_eq(ask_proxy("GET http://a.test/"), FAULT_NONE);
    ck_assert_int_eq(ask_proxy("GET http://b.example/"), FAULT_DENIED);
    ck_assert_ptr_nonnull(strstr(text, "b.example:80"));
    ck_assert_int_eq(ask_proxy("CONNECT b.example:443"), FAULT_DENIED);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(framing_and_host_come_first)
{
    open_rig();
    ck_assert_int_eq(
        ask(rig.frontend,
            "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        FAULT_BAD_REQUEST);
    ck_assert_int_eq(
        ask(rig.frontend,
            "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        FAULT_UNKNOWN_CODING);
    ck_assert_int_eq(ask(rig.frontend, "GET http://a.test/ HTTP/1.1\r\n\r\n"), FAULT_BAD_REQUEST);
    ck_assert_int_eq(ask(rig.frontend, "GET http://a.test/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
                     FAULT_BAD_REQUEST);
    ck_assert_int_eq(ask(rig.frontend, "GET http://a.test/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
                     FAULT_BAD_REQUEST);
    ck_assert_int_eq(ask(rig.frontend, "GET http://a.test/ HTTP/1.0\r\n\r\n"), FAULT_NONE);
    ck_assert_int_ne(
        ask(rig.frontend, "TRACE http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"),
        FAULT_NONE);
    proxy_rig_close(&rig);
}
END_TEST

/* Before the target's form is looked at. */
START_TEST(loops_are_seen_by_via)
{
    open_rig();
    ck_assert_int_eq(
        ask(rig.frontend, "GET /x HTTP/1.1\r\nHost: h\r\nVia: 1.0 a, 1.1 carpool-test (x)\r\n\r\n"),
        FAULT_LOOP);
    ck_assert_int_eq(
        ask(rig.frontend, "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nVia: 1.1 carpool-other\r\n\r\n"),
        FAULT_NONE);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(last_hops_answer_themselves)
{
    open_rig();
    ck_assert_int_eq(ask(rig.frontend, "TRACE http://a.test/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n"),
                     FAULT_NONE);
    ck_assert(route.answer_here);
    ck_assert_int_eq(
        ask(rig.frontend, "OPTIONS http://a.test/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: 1\r\n\r\n"),
        FAULT_NONE);
    ck_assert(!route.answer_here);
    ck_assert_int_eq(ask(rig.frontend, "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n"),
                     FAULT_NONE);
    ck_assert(!route.answer_here);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(upgrades_are_passed_on_but_for_h2c)
{
    static const struct {
        const char *fields;
        bool passed;
    } cases[] = {
        {"Upgrade: websocket\r\nConnection: Upgrade\r\n", true},
        {"Upgrade: foo/2\r\nConnection: keep-alive, upgrade\r\n", true},
        {"Upgrade: websocket\r\n", false},
        {"Connection: upgrade\r\n", false},
        {"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n", false},
        {"Upgrade: websocket, H2C\r\nConnection: Upgrade\r\n", true},
        {"Upgrade: h2c, H2C\r\nConnection: Upgrade\r\n", false},
    };
    char request[512];

    open_rig();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(request, sizeof request, "GET http://a.test/ HTTP/1.1\r\nHost: h\r\n%s\r\n",
                 cases[i].fields);
        ck_assert_int_eq(ask(rig.frontend, request), FAULT_NONE);
        ck_assert_msg(route.upgrade == cases[i].passed, "%s", cases[i].fields);
    }
    ck_assert_int_eq(
        ask(rig.frontend, "GET http://a.test/ HTTP/1.0\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
        FAULT_NONE);
    ck_assert(!route.upgrade);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(gateways_serve_one_host)
{
    struct frontend *e;

    proxy_rig_open(&rig, "host: api.example.com, listen: 127.0.0.1:9001", "");
    e = gateway("u");
    ck_assert_int_eq(ask(e, "GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n\r\n"), FAULT_NONE);
    ck_assert_str_eq(route.uri.host, "api.example.com");
    assert_slice(route.uri.path_query, "/x?y");
    ck_assert_str_eq(route.agent->name, "u");
    ck_assert_int_eq(ask(e, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"), FAULT_NONE);
    ck_assert_uint_eq(route.uri.path_query.n, 0);
    ck_assert_int_eq(ask(e, "GET * HTTP/1.1\r\nHost: h\r\n\r\n"), FAULT_BAD_TARGET);
    ck_assert_int_eq(ask(e, "GET http://API.example.com/x HTTP/1.1\r\nHost: h\r\n\r\n"), FAULT_NONE);
    ck_assert_str_eq(route.agent->name, "u");
    ck_assert_int_eq(ask(e, "GET http://other.example.com/x HTTP/1.1\r\nHost: h\r\n\r\n"), FAULT_DENIED);
    ck_assert_int_eq(ask(e, "GET http://api.example.com:22/x HTTP/1.1\r\nHost: h\r\n\r\n"), FAULT_DENIED);
    ck_assert_int_eq(ask(e, "CONNECT api.example.com:443 HTTP/1.1\r\nHost: h\r\n\r\n"), FAULT_DENIED);
    frontend_unref(e);
    e = gateway("gone");
    ck_assert_int_eq(ask(e, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"), FAULT_NO_RESOURCES);
    frontend_unref(e);
    proxy_rig_close(&rig);
}
END_TEST

/* On TCP, what a page in a browser cannot hide is looked at. */
START_TEST(gateways_serve_no_pages)
{
    static const struct {
        const char *fields;
        bool served;
    } cases[] = {
        {"Host: 127.0.0.1:9001\r\n", true},
        {"Host: [::1]:9001\r\n", true},
        {"Host: LOCALHOST\r\n", true},
        {"Host: localhost.:9001\r\n", false},
        {"Host: Api.Example.com\r\n", true},
        {"Host: pay.local:9001\r\n", true},
        {"Host: evil.example:9001\r\n", false},
        {"Host: x.api.example.com\r\n", false},
        {"Host: localhost.evil.example\r\n", false},
        {"Host: 127.0.0.1.evil.example\r\n", false},
        {"Host:\r\n", false},
        {"Host: 127.0.0.1:9001\r\nOrigin: http://127.0.0.1:9001\r\n", true},
        {"Host: pay.local\r\nOrigin: HTTP://PAY.local:80\r\nSec-Fetch-Site: same-origin\r\n", true},
        {"Host: [::1]:9001\r\nOrigin: http://[::1]:9001\r\n", true},
        {"Host: 127.0.0.1:9001\r\nOrigin: http://127.0.0.1:9002\r\n", false},
        {"Host: 127.0.0.1:9001\r\nOrigin: https://api.example.com\r\n", false},
        {"Host: 127.0.0.1:9001\r\nOrigin: null\r\n", false},
        {"Host: 127.0.0.1:9001\r\nOrigin:\r\n", false},
        {"Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nOrigin: https://evil.example\r\n", false},
        {"Host: 127.0.0.1\r\nSec-Fetch-Site: none\r\n", true},
        {"Host: 127.0.0.1\r\nSec-Fetch-Site: Cross-Site\r\n", false},
        {"Host: 127.0.0.1\r\nSec-Fetch-Site: none\r\nsec-fetch-site: cross-site\r\n", false},
    };
    char request[512];
    struct frontend *e;
    struct address path;

    proxy_rig_open(&rig, "host: api.example.com, listen: 127.0.0.1:9001, hosts: [pay.local]", "");
    e = gateway("u");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(request, sizeof request, "POST /x HTTP/1.1\r\n%s\r\n", cases[i].fields);
        ck_assert_msg(ask(e, request) == (cases[i].served ? FAULT_NONE : FAULT_DENIED), "%s",
                      cases[i].fields);
    }
    ck_assert_int_eq(ask(e, "GET /x HTTP/1.0\r\n\r\n"), FAULT_NONE);
    ck_assert_int_eq(ask(e, "GET /x HTTP/1.0\r\nOrigin: http://127.0.0.1\r\n\r\n"), FAULT_DENIED);
    /* The target stands for Host (RFC 9112 3.2.2). */
    ck_assert_int_eq(
        ask(e, "GET http://api.example.com/ HTTP/1.1\r\nHost: h\r\nOrigin: http://api.example.com\r\n\r\n"),
        FAULT_NONE);
    ck_assert_int_eq(ask(e, "GET http://api.example.com/ HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n"),
                     FAULT_DENIED);
    frontend_unref(e);
    ck_assert(address_parse(&path, SLICE("unix:/run/u.sock")));
    e = frontend_new("u", &path);
    ck_assert_int_eq(
        ask(e, "GET /x HTTP/1.1\r\nHost: h\r\nOrigin: null\r\nSec-Fetch-Site: cross-site\r\n\r\n"),
        FAULT_NONE);
    frontend_unref(e);
    proxy_rig_close(&rig);
}
END_TEST

/* Keys: the host as written, the port the scheme's, tls by policy. */
START_TEST(origins_have_keys)
{
    struct agent *a;
    struct origin *o;

    open_rig();
    a = proxy_rig_agent(&rig);
    o = origin_find_or_make(a, ORIGIN_HTTP, SLICE("a.test"), false, 80);
    ck_assert_str_eq(o->key, "http://a.test:80");
    assert_slice(o->authority, "a.test");
    ck_assert_ptr_eq(origin_find_or_make(a, ORIGIN_HTTP, SLICE("a.test"), false, 80), o);
    ck_assert_ptr_ne(origin_find_or_make(a, ORIGIN_HTTP, SLICE("a.test"), false, 8080), o);
    o = origin_find_or_make(a, ORIGIN_HTTPS, SLICE("::1"), true, 443);
    ck_assert_str_eq(o->key, "https://[::1]:443");
    assert_slice(o->authority, "[::1]");
    o = origin_find_or_make(a, ORIGIN_TUNNEL, SLICE("a.test"), false, 443);
    ck_assert_str_eq(o->key, "tunnel://a.test:443");
    proxy_rig_configure(&rig, "tls: true", "");
    o = origin_find_or_make(a, ORIGIN_HTTP, SLICE("a.test"), false, 80);
    ck_assert_str_eq(o->key, "https://a.test:443");
    assert_slice(o->authority, "a.test");
    o = origin_find_or_make(a, ORIGIN_HTTP, SLICE("a.test"), false, 65535);
    ck_assert_str_eq(o->key, "https://a.test:65535");
    assert_slice(o->authority, "a.test:65535");
    proxy_rig_close(&rig);
}
END_TEST

void proxy_route_tests(Suite *suite)
{
    unit_group(suite, "route", absolute_targets_are_forwarded, other_targets_are_not,
               apps_are_not_sent_to_a_wildcard, connect_names_host_and_port, unmatched_hosts_may_be_denied,
               framing_and_host_come_first, loops_are_seen_by_via, last_hops_answer_themselves,
               upgrades_are_passed_on_but_for_h2c, gateways_serve_one_host, gateways_serve_no_pages,
               origins_have_keys);
}
