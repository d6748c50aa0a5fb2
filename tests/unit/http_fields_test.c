/* What fields say: hop-by-hop, persistence, hints, challenges. */

#include "unit.h"

#include <stdio.h>

#include "http/coding.h"
#include "http_test.h"

START_TEST(names_are_looked_up)
{
#define X(id, name, hop)                                          \
    ck_assert_int_eq(field_lookup(SLICE(name)), id);              \
    ck_assert_int_eq(field_is_hop_by_hop(id), hop);               \
    ck_assert_int_eq(field_lookup(SLICE(name "x")), FIELD_OTHER); \
    ck_assert_int_eq(field_lookup((struct slice){name, sizeof name - 2}), FIELD_OTHER);
    FIELD_LIST(X)
#undef X
    ck_assert_int_eq(field_lookup(SLICE("CONTENT-LENGTH")), FIELD_CONTENT_LENGTH);
    ck_assert_int_eq(field_lookup(SLICE("TrAnSfEr-EnCoDiNg")), FIELD_TRANSFER_ENCODING);
    ck_assert_int_eq(field_lookup(SLICE("content_length")), FIELD_OTHER);
    ck_assert_int_eq(field_lookup(SLICE("content\rlength")), FIELD_OTHER);
    ck_assert_int_eq(field_lookup(SLICE("")), FIELD_OTHER);
    ck_assert_int_eq(field_lookup((struct slice){0}), FIELD_OTHER);
    ck_assert_int_eq(field_lookup(SLICE("hosh")), FIELD_OTHER);
    ck_assert_int_eq(field_lookup(SLICE("abcd")), FIELD_OTHER);
    ck_assert(!field_is_hop_by_hop(FIELD_OTHER));
}
END_TEST

static bool stays(const char *fields, const char *name)
{
    const struct head *h = request_with(fields);

    for (uint32_t i = 0; i < h->count; i++) {
        if (slice_eq(h->fields[i].name, slice_of(name)))
            return field_stays_on_hop(&h->fields[i]);
    }
    ck_abort_msg("no field %s", name);
}

START_TEST(connection_names_fields)
{
    ck_assert(stays("Connection: X-A\r\nX-A: 1\r\n", "X-A"));
    ck_assert(stays("X-A: 1\r\nConnection: close, x-a\r\n", "X-A"));
    ck_assert(stays("Connection: ,, X-B ,\t\r\nConnection:\tX-C,,X-A\r\nX-A: 1\r\n", "X-A"));
    ck_assert(!stays("Connection: X-A\r\nX-AB: 1\r\n", "X-AB"));
    ck_assert(!stays("Connection: \"X-A\"\r\nX-A: 1\r\n", "X-A"));
    ck_assert(!stays("X-A: 1\r\n", "X-A"));
    /* A quote hides nothing: the list is one of tokens. */
    ck_assert(stays("Connection: a\"b, X-A, \"c\r\nX-A: 1\r\n", "X-A"));
    ck_assert(stays("Connection: Authorization\r\nAuthorization: x\r\n", "Authorization"));
    ck_assert(stays("Connection: Connection\r\n", "Connection"));
    ck_assert(stays("Keep-Alive: timeout=5\r\n", "Keep-Alive"));
    ck_assert(stays("Proxy-Connection: keep-alive\r\n", "Proxy-Connection"));
    ck_assert(stays("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding"));
    /* What framing, routing and loop defence rest on is not taken away. */
    ck_assert(!stays("Connection: Content-Length\r\nContent-Length: 5\r\n", "Content-Length"));
    ck_assert(!stays("Connection: host\r\nHost: a\r\n", "Host"));
    ck_assert(!stays("Connection: Via\r\nVia: 1.1 x\r\n", "Via"));
    ck_assert(!stays("Connection: Max-Forwards\r\nMax-Forwards: 1\r\n", "Max-Forwards"));
    ck_assert(!stays("Connection: Expect\r\nExpect: 100-continue\r\n", "Expect"));
}
END_TEST

START_TEST(connection_says_persistence)
{
    static const struct {
        const char *fields;
        bool in_1_1, in_1_0;
    } cases[] = {
        {"", true, false},
        {"Connection: close\r\n", false, false},
        {"Connection: CLOSE\r\n", false, false},
        {"Connection: ,close\r\n", false, false},
        {"Connection: x,\tclose\r\n", false, false},
        {"Connection: c, close\r\n", false, false},
        {"Connection: \"x, close\r\n", false, false},
        {"Connection: keep-alive, close\r\n", false, false},
        {"Connection: keep-alive\r\nConnection: close\r\n", false, false},
        {"Connection: keep-alive\r\n", true, true},
        {"Connection: Keep-Alive, x\r\n", true, true},
        {"Connection: closed\r\n", true, false},
        {"Connection: not-close, close-not\r\n", true, false},
        {"Proxy-Connection: keep-alive\r\n", true, false},
        {"Proxy-Connection: close\r\n", true, false},
    };
    char bytes[256];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(head_is_persistent(response_with(cases[i].fields)) == cases[i].in_1_1, "1.1 %s",
                      cases[i].fields);
        snprintf(bytes, sizeof bytes, "GET / HTTP/1.0\r\n%s\r\n", cases[i].fields);
        ck_assert_msg(head_is_persistent(request_head(slice_of(bytes))) == cases[i].in_1_0, "1.0 %s",
                      cases[i].fields);
    }
    ck_assert(connection_has(request_with("Connection: a, Upgrade\r\n"), SLICE("upgrade")));
    ck_assert(!connection_has(request_with("Upgrade: a\r\n"), SLICE("upgrade")));
}
END_TEST

START_TEST(keep_alive_hint_is_read)
{
    static const struct {
        const char *value;
        long timeout, max; /* -1: none */
    } cases[] = {
        {"timeout=5, max=100", 5, 100},
        {"max=0,TIMEOUT=0", 0, 0},
        {"Max = 3 , timeout\t=\t7", 7, 3},
        {"timeout=\"5\"", 5, -1},
        {"timeout=5, timeout=3, timeout=9", 3, -1},
        {"timeout=4294967295", 4294967295, -1},
        {"timeout=4294967296", -1, -1},
        {"timeout=18446744073709551621, max=99999999999999999999", -1, -1},
        {"timeout=-5, max=+1", -1, -1},
        {"timeout=5.5, timeout=5s, timeout=0x5, timeout=, timeout, =5, =, \"", -1, -1},
        {"x=\"timeout=1, max=2\", timeout=8", 8, -1},
        {"timeouts=1, xmax=2", -1, -1},
        {"", -1, -1},
        {"timeout=\"", -1, -1},
        {"timeout=5; max=100", -1, -1},
        {"timeout=\"5", -1, -1},
    };
    char fields[256];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct keep_alive_hint hint;

        snprintf(fields, sizeof fields, "Keep-Alive: %s\r\n", cases[i].value);
        hint = keep_alive_hint(response_with(fields));
        ck_assert_msg(hint.has_timeout == (cases[i].timeout >= 0), "timeout of %s", cases[i].value);
        ck_assert_msg(hint.has_max == (cases[i].max >= 0), "max of %s", cases[i].value);
        ck_assert(!hint.has_timeout || hint.timeout_ms == (uint64_t)cases[i].timeout * 1000);
        ck_assert(!hint.has_max || hint.max == (uint64_t)cases[i].max);
    }
    ck_assert(!keep_alive_hint(response_with("Connection: keep-alive\r\n")).has_timeout);
    ck_assert_uint_eq(keep_alive_hint(response_with("Keep-Alive: max=9\r\nKeep-Alive: max=4\r\n")).max, 4);
}
END_TEST

START_TEST(via_is_read)
{
    static const char *const with_me[] = {
        "Via: 1.1 me\r\n",
        "Via: HTTP/1.1 me (a comment)\r\n",
        "Via: 1.0 fred, 1.1\tme\r\n",
        "Via: 1.0 fred\r\nA: b\r\nVia: ,, 1.1  me\r\n",
        "Via: 1.1 x (a, \\) (b), c), 1.1 me\r\n",
        "Via: 1.1 x ), 1.1 me\r\n",
    };
    static const char *const without_me[] = {
        "",
        "Via: 1.1 mee\r\n",
        "Via: 1.1 me:80\r\n",
        "Via: me\r\n",
        "Via: 1.1 x me\r\n",
        "Via: 1.1 x (a, 1.1 me)\r\n",
        "Via: 1.1 x ((a), 1.1 me, \\), 1.1 me)\r\n",
        "Via: 1.1\r\n",
        "Via:\r\n",
        "X-Via: 1.1 me\r\n",
    };

    for (size_t i = 0; i < sizeof with_me / sizeof with_me[0]; i++)
        ck_assert_msg(via_names(request_with(with_me[i]), SLICE("me")), "%s", with_me[i]);
    for (size_t i = 0; i < sizeof without_me / sizeof without_me[0]; i++)
        ck_assert_msg(!via_names(request_with(without_me[i]), SLICE("me")), "%s", without_me[i]);
}
END_TEST

START_TEST(upgrade_leaves_h2c_out)
{
    struct slice list = SLICE("h2c, foo/2,, H2C ,websocket"), protocol;

    ck_assert(upgrade_next(&list, &protocol) && slice_eq(protocol, SLICE("foo/2")));
    ck_assert(upgrade_next(&list, &protocol) && slice_eq(protocol, SLICE("websocket")));
    ck_assert(!upgrade_next(&list, &protocol));
}
END_TEST

START_TEST(te_and_expect_are_read)
{
    ck_assert(te_has_trailers(request_with("TE: trailers\r\n")));
    ck_assert(te_has_trailers(request_with("TE: gzip;q=0.5, Trailers\r\n")));
    ck_assert(!te_has_trailers(request_with("TE: gzip\r\n")));
    ck_assert(!te_has_trailers(request_with("Trailer: trailers\r\n")));
    ck_assert(expects_continue(request_with("Expect: 100-Continue\r\n")));
    ck_assert(!expects_continue(request_with("Expect: 100-continued\r\n")));
    ck_assert(!expects_continue(request_with("")));
    ck_assert(!expects_continue(request_head(SLICE("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"))));
}
END_TEST

START_TEST(challenges_are_parsed)
{
    static const char *const bound[] = {
        "NTLM",
        "ntlm TlRMTVNTUAACAAAA==",
        "Negotiate",
        "NEGOTIATE oYG2MIGz=",
        "Basic realm=\"a, b\", NTLM",
        "Basic realm=\"a\\\", NTLM\", Negotiate",
        "Digest realm=\"x\", nonce=\"n\", qop=\"auth\" , \tNegotiate , Basic realm=y",
        ",, NTLM",
        "Bearer abc==, NTLM",
        "Basic realm=\"x\"\r\nWWW-Authenticate: NTLM",
    };
    static const char *const unbound[] = {
        "Basic realm=\"x, NTLM y\", charset=\"UTF-8\"",
        "Digest realm=\"Negotiate\", nonce=\"n\"",
        "Bearer NTLM",
        "Basic NTLM=\"x\"",
        "Basic realm=x, NTLM=y",
        "Basic realm=x, Negotiate = \"y\"",
        "Basic realm=\"\\\", NTLM, \"",
        "NTLMv2",
        "X-NTLM",
        "NTLM/1",
        "\"NTLM\"",
        "Basic realm=\"x, NTLM",
        "",
        ",",
    };
    char fields[256];

    for (size_t i = 0; i < sizeof bound / sizeof bound[0]; i++) {
        snprintf(fields, sizeof fields, "WWW-Authenticate: %s\r\n", bound[i]);
        ck_assert_msg(challenge_is_connection_bound(response_with(fields)), "%s", fields);
    }
    for (size_t i = 0; i < sizeof unbound / sizeof unbound[0]; i++) {
        snprintf(fields, sizeof fields, "WWW-Authenticate: %s\r\n", unbound[i]);
        ck_assert_msg(!challenge_is_connection_bound(response_with(fields)), "%s", fields);
    }
    ck_assert(!challenge_is_connection_bound(response_with("Proxy-Authenticate: NTLM\r\n")));
}
END_TEST

START_TEST(credentials_are_parsed)
{
    ck_assert(credentials_are_connection_bound(request_with("Authorization: NTLM TlRMTVNTUAAB\r\n")));
    ck_assert(credentials_are_connection_bound(request_with("Authorization: negotiate YII=\r\n")));
    ck_assert(credentials_are_connection_bound(request_with("Authorization: Negotiate\r\n")));
    ck_assert(
        credentials_are_connection_bound(request_with("Authorization: A b\r\nAuthorization: NTLM c\r\n")));
    ck_assert(!credentials_are_connection_bound(request_with("Authorization: Basic TlRMTQ==\r\n")));
    ck_assert(!credentials_are_connection_bound(request_with("Authorization: Digest a=b, NTLM\r\n")));
    ck_assert(!credentials_are_connection_bound(request_with("Authorization:\r\n")));
    ck_assert(!credentials_are_connection_bound(request_with("Proxy-Authorization: NTLM a\r\n")));
}
END_TEST

START_TEST(idempotency_key_is_found)
{
    ck_assert(has_idempotency_key(request_with("Idempotency-Key: \"8e03978e\"\r\n")));
    ck_assert(has_idempotency_key(request_with("X-IDEMPOTENCY-KEY:1\r\n")));
    ck_assert(has_idempotency_key(request_with("Idempotency-Key:\r\nX-Idempotency-Key: a\r\n")));
    ck_assert(!has_idempotency_key(request_with("Idempotency-Key:\r\n")));
    ck_assert(!has_idempotency_key(request_with("X-Idempotency: a\r\n")));
    /* The origin would not see it. */
    ck_assert(!has_idempotency_key(request_with("Connection: idempotency-key\r\nIdempotency-Key: a\r\n")));
}
END_TEST

static bool allowed_in_trailer(const char *name)
{
    struct field f = {.name = slice_of(name), .id = field_lookup(slice_of(name))};

    return field_allowed_in_trailer(&f);
}

START_TEST(trailers_are_chosen)
{
    static const char *const allowed[] = {"X-Sum",          "ETag",          "Digest",      "Content-MD5",
                                          "Content-Digest", "Server-Timing", "grpc-status", "Last-Modified",
                                          "ages",           "ifx",           "link"};
    static const char *const refused[] = {"Content-Length",
                                          "transfer-encoding",
                                          "Host",
                                          "Connection",
                                          "Keep-Alive",
                                          "TE",
                                          "Trailer",
                                          "Upgrade",
                                          "Via",
                                          "Authorization",
                                          "Set-Cookie",
                                          "COOKIE",
                                          "Content-Type",
                                          "Content-Encoding",
                                          "Age",
                                          "Content-Range",
                                          "If-Match",
                                          "Accept-Ranges",
                                          "Accept",
                                          "Cache-Control",
                                          "Location",
                                          "X-Forwarded-For",
                                          "Proxy-Status",
                                          "Expect",
                                          "Sec-Fetch-Mode",
                                          "Access-Control-Allow-Origin"};

    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        ck_assert_msg(allowed_in_trailer(allowed[i]), "%s", allowed[i]);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        ck_assert_msg(!allowed_in_trailer(refused[i]), "%s", refused[i]);
#define X(id, name, hop) ck_assert(!allowed_in_trailer(name));
    FIELD_LIST(X)
#undef X
}
END_TEST

START_TEST(codings_are_read)
{
    static const char *const gzip[] = {
        "gzip", "br, GZIP", "gzip;q=0.5", "gzip ; q=1", "deflate,gzip;q=0.001", "gzip;level=9"};
    static const char *const other[] = {"",       "identity",  "gzip;q=0", "gzip; q=0.000",
                                        "x-gzip", "br;x=gzip", "*"};
    static const char *const text[] = {
        "text/html",     "Text/Plain; charset=x", "application/json",      "application/problem+JSON;a=b",
        "image/svg+xml", "application/xml",       "application/javascript"};
    static const char *const binary[] = {"", "image/png", "application/octet-stream", "application/jsonx",
                                         "x; text/html"};
    char line[80];

    for (size_t i = 0; i < sizeof gzip / sizeof gzip[0]; i++) {
        snprintf(line, sizeof line, "Accept-Encoding: %s\r\n", gzip[i]);
        ck_assert_msg(coding_accepts_gzip(request_with(line)), "%s", gzip[i]);
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        snprintf(line, sizeof line, "Accept-Encoding: %s\r\n", other[i]);
        ck_assert_msg(!coding_accepts_gzip(request_with(line)), "%s", other[i]);
    }
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        snprintf(line, sizeof line, "Content-Type: %s\r\n", text[i]);
        ck_assert_msg(coding_is_text(response_with(line)), "%s", text[i]);
    }
    for (size_t i = 0; i < sizeof binary / sizeof binary[0]; i++) {
        snprintf(line, sizeof line, "Content-Type: %s\r\n", binary[i]);
        ck_assert_msg(!coding_is_text(response_with(line)), "%s", binary[i]);
    }
    ck_assert(!coding_accepts_gzip(request_with("A: b\r\n")) && !coding_is_text(response_with("A: b\r\n")));
}
END_TEST

void http_fields_tests(Suite *suite)
{
    unit_group(suite, "fields", names_are_looked_up, connection_names_fields, connection_says_persistence,
               keep_alive_hint_is_read, via_is_read, te_and_expect_are_read, upgrade_leaves_h2c_out,
               challenges_are_parsed, credentials_are_parsed, idempotency_key_is_found, trailers_are_chosen,
               codings_are_read);
}
