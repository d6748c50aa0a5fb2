/* What whoever sent a malformed message is told. */

#include "unit.h"

#include "http/explain.h"
#include "http/userinfo.h"
#include "http_test.h"

static const struct head_limits limits = {.max_size = 100, .max_count = 4};

struct explain_case {
    struct slice bytes;
    const char *says; /* in whole */
};

/* As client.c and download.c do it. */
static enum head_verdict read_head(struct slice bytes, bool request)
{
    static struct head head;
    size_t scanned = 0, length;
    enum head_verdict v = head_scan(bytes, &scanned, &limits, &length);

    if (v != HEAD_OK)
        return v;
    return (request ? head_parse_request : head_parse_response)((struct slice){bytes.p, length}, &limits,
                                                                &head);
}

static void check(const struct explain_case *c, bool request)
{
    enum head_verdict v = read_head(c->bytes, request);
    char out[EXPLAIN_SIZE];

    ck_assert_int_ne(v, HEAD_OK);
    (request ? explain_request_head : explain_response_head)(c->bytes, v, &limits, out);
    ck_assert_str_eq(out, c->says);
}

static const struct explain_case requests[] = {
    {SLICE("\x16\x03\x01"),
     "the client spoke TLS to the proxy: write http:// in the proxy's URL, for https:// targets, too"},
    {SLICE("\x05\x01"), "the client spoke SOCKS to the proxy: write http:// in the proxy's URL"},
    {SLICE(" GET"), "a space before the method"},
    {SLICE("GET\r\n\r\n"), "the request line has no target"},
    {SLICE("GET \r\n\r\n"), "the request line has no target"},
    {SLICE("GET  http://a/ HTTP/1.1\r\n\r\n"), "two spaces after the method"},
    {SLICE("G{T http://a/ HTTP/1.1\r\n\r\n"), "'{' in the method (byte 2 of the request line)"},
    {SLICE("G\xcbT http://a/ HTTP/1.1\r\n\r\n"),
     "byte 0xcb, not ASCII, in the method (byte 2 of the request line)"},
    {SLICE("GET http://a/b c HTTP/1.1\r\n\r\n"),
     "a space in the target (byte 15 of the request line): write it as %20"},
    {SLICE("GET http://a/b c d HTTP/1.1\r\n\r\n"),
     "a space in the target (byte 15 of the request line): write it as %20"},
    {SLICE("GET http://a/\tb HTTP/1.1\r\n\r\n"), "a tab in the target (byte 14 of the request line)"},
    {SLICE("GET http://a/\x01 HTTP/1.1\r\n\r\n"), "byte 0x01 in the target (byte 14 of the request line)"},
    {SLICE("GET http://a/\x7f HTTP/1.1\r\n\r\n"), "byte 0x7f in the target (byte 14 of the request line)"},
    {SLICE("GET http://a/\r\n\r\n"), "no HTTP version after the target"},
    {SLICE("GET http://a/ \r\n\r\n"), "no HTTP version after the target"},
    {SLICE("GET http://a/ HTTP/1\r\n\r\n"), "HTTP/1 where HTTP/1.1 is expected, after the target"},
    {SLICE("GET http://a/ HTTP/1.1 \r\n\r\n"), "\"HTTP/1.1 \" where HTTP/1.1 is expected, after the target"},
    {SLICE("GET http://a/ http/1.1\r\n\r\n"), "http/1.1 where HTTP/1.1 is expected, after the target"},
    {SLICE("PRI * HTTP/2.0\r\n\r\n"), "HTTP/2.0: Carpool speaks HTTP/1.1 with its clients"},
    {SLICE("GET / HTTP/1.1\n"), "the first line ends with LF alone, where CR LF is expected"},
    {SLICE("GET / HTTP/1.1\r\nA: b\nB: c"), "the field A ends with LF alone, where CR LF is expected"},
    {SLICE("GET / HTTP/1.1\rHost: a\r\n"), "a CR without LF (\\r) in the first line"},
    {SLICE("GET / HTTP/1.1\r\nX-Cr: a\rb\r\n\r\n"), "a CR without LF (\\r) in the field X-Cr"},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\nX-Early : v\r\n\r\n"),
     "a space between the field name X-Early and its colon"},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\nBad Name: v\r\n\r\n"), "a space in the field name \"Bad Name\""},
    {SLICE("GET / HTTP/1.1\r\nX\xc3\xa9: v\r\n\r\n"),
     "byte 0xc3, not ASCII, in the field name \"X\\xc3\\xa9\""},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\n: v\r\n\r\n"), "a field without a name"},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\nX-A secret\r\n\r\n"),
     "a line without a colon between the fields, beginning with X-A"},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\n(secret)\r\n\r\n"), "a line without a colon between the fields"},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\nX-Ctl: secret\x01"
           "b\r\n\r\n"),
     "byte 0x01 in the value of the field X-Ctl"},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\nX-Fold: secret\r\n more\r\n\r\n"),
     "the field X-Fold goes on in the next line (obsolete folding)"},
    {SLICE("GET / HTTP/1.1\r\n A: b\r\n\r\n"), "white space before the first field"},
    {SLICE("GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n"),
     "it has 5 fields, and server.maxHeadersCount is 4"},
    {SLICE("GET / HTTP/1.1\r\nConnection: a,b,c,d,e\r\n\r\n"),
     "its Connection fields have more options than server.maxHeadersCount, 4"},
    {SLICE(
         "GET / HTTP/1.1\r\nA: 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"),
     "the head is longer than 100 bytes (server.maxHeaderSize)"},
    {SLICE(
         "GET /1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"),
     "the first line is longer than 100 bytes (server.maxHeaderSize)"},
};

static const struct explain_case responses[] = {
    {SLICE("\x15\x03\x01\0\x02\x02\x46"),
     "the origin speaks TLS: set tls: true for its upstream, or ask https://"},
    {SLICE("\0\0\x12\x04\0\0\0\0\0\0\x03"), "the origin speaks HTTP/2 where HTTP/1.1 is expected"},
    {SLICE("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "it does not begin with HTTP/1: SSH-2.0-OpenSSH_9.2"},
    {SLICE("<html>"), "it does not begin with HTTP/1: <html>"},
    {SLICE("\x01\xff"), "it does not begin with HTTP/1: \"\\x01\\xff\""},
    {SLICE("HTTP/1.1 2OO Fine\r\n\r\n"),
     "the status line is not HTTP/1.x and a status of three digits: \"HTTP/1.1 2OO Fine\""},
    {SLICE("HTTP/2 200\r\n\r\n"),
     "the status line is not HTTP/1.x and a status of three digits: \"HTTP/2 200\""},
    {SLICE("HTTP/1.1 200 OK\r\nX-Good: 1\r\nBad Name: v\r\n\r\n"), "a space in the field name \"Bad Name\""},
    {SLICE("HTTP/1.1 200 OK\r\nX-Good: 1\r\nX-Ctl: a\x01"
           "b\r\n\r\n"),
     "byte 0x01 in the value of the field X-Ctl"},
    {SLICE("HTTP/1.1 200 OK\r\nX-Good: 1\r\nX-Cr: a\rb\r\n\r\n"), "a CR without LF (\\r) in the field X-Cr"},
    {SLICE("HTTP/1.1 200 OK\nX-Good: 1\n\n"), "the first line ends with LF alone, where CR LF is expected"},
    {SLICE("HTTP/1.1 200 OK\r\nX-Good: 1\r\n\nx"),
     "a line between the fields ends with LF alone, where CR LF is expected"},
};

START_TEST(heads_are_explained)
{
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        check(&requests[i], true);
    for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++)
        check(&responses[i], false);
}
END_TEST

/* Each byte at each place of a head that is else well-formed. */
START_TEST(each_explanation_is_one_line)
{
    static const char good[] = "HTTP/1.1 200 OK\r\nA: b\r\nCd: ef\r\n\r\n";
    char head[sizeof good], out[EXPLAIN_SIZE];

    for (size_t at = 0; at < sizeof good - 1; at++) {
        for (int c = 0; c < 256; c++) {
            struct slice bytes = {head, sizeof good - 1};

            memcpy(head, good, sizeof good);
            head[at] = (char)c;
            for (int request = 0; request < 2; request++) {
                enum head_verdict v = read_head(bytes, request);

                if (v == HEAD_OK || v == HEAD_INCOMPLETE)
                    continue;
                (request ? explain_request_head : explain_response_head)(bytes, v, &limits, out);
                ck_assert_uint_gt(strlen(out), 10);
                for (const char *p = out; *p; p++)
                    ck_assert_msg(*p >= 0x20 && *p < 0x7f, "%zu %02x: %s", at, (unsigned)c, out);
            }
        }
    }
}
END_TEST

START_TEST(framing_is_explained)
{
    static const struct {
        const char *fields, *says;
    } cases[] = {
        {"Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length is not one number: 5 and 6"},
        {"Content-Length: +5\r\n", "Content-Length is not one number: +5"},
        {"Transfer-Encoding: gzip, chunked\r\n", "a transfer coding other than chunked: \"gzip, chunked\""},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         "Transfer-Encoding is not chunked, once and last: chunked and chunked"},
        {"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
         "both Content-Length and Transfer-Encoding (RFC 9112 6.1)"},
    };
    char out[EXPLAIN_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct head *h = response_with(cases[i].fields);
        struct framing f;
        enum framing_verdict v = framing_of_response(h, REQUEST_PLAIN, &f);

        ck_assert_int_ne(v, FRAMING_OK);
        explain_framing(h, v, out);
        ck_assert_str_eq(out, cases[i].says);
    }
}
END_TEST

START_TEST(targets_are_explained)
{
    static const struct {
        const char *target, *says;
    } cases[] = {
        {"http://m\xfcller.test/",
         "byte 0xfc, not ASCII, in the host: write an international name in ASCII (xn--...)"},
        {"http://a%00b/", "'%' in the host"},
        {"http://a<b/", "'<' in the host"},
        {"http://a.test#frag", "a fragment (#) right after the host: a slash is missing between them"},
        {"http://", "the host is empty"},
        {"http://:80/", "the host is empty"},
        {"http:/a/b", "two slashes are missing after the scheme"},
        {"http:a", "two slashes are missing after the scheme"},
        {"http://::1/", "an IPv6 address in the host needs brackets: [::1]"},
        {"http://a::1/", "the port is not a number from 1 to 65535"},
        {"http://[fe80::1%25lo]/", "no IPv6 address between the brackets of the host"},
        {"http://a..b/", "a dot too many in the host"},
        {"http://127.1/",
         "the host is a number that programs read as different addresses: write it like 127.0.0.1"},
        {"http://0300.1.1.1/",
         "the host is a number that programs read as different addresses: write it like 127.0.0.1"},
        {"http://256.1.1.1/",
         "the host ends in a number but is no IPv4 address, which has four numbers from 0 to 255"},
        {"http://10.0.0.256:80/",
         "the host ends in a number but is no IPv4 address, which has four numbers from 0 to 255"},
        {"http://a.1/",
         "the host ends in a number but is no IPv4 address, which has four numbers from 0 to 255"},
        {"http://u:p@a/", "a user name or password before the host (the part up to @): leave it out"},
        {"http://a:x/", "the port is not a number from 1 to 65535"},
        {"http://a:0/", "the port is not a number from 1 to 65535"},
        {"ftp://a/", "the scheme ftp is neither http nor https"},
        {"a.test", "it is not a whole URL, http://host/path"},
    };
    char out[EXPLAIN_SIZE];
    struct uri u;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum uri_verdict v = uri_parse_absolute(slice_of(cases[i].target), &u);

        ck_assert_msg(v != URI_OK, "%s", cases[i].target);
        explain_target(slice_of(cases[i].target), v, out);
        ck_assert_str_eq(out, cases[i].says);
    }
}
END_TEST

START_TEST(hosts_are_explained)
{
    static const struct {
        const char *host, *says;
    } cases[] = {
        {"a b", "a space in the Host field"},
        {"m\xfcller",
         "byte 0xfc, not ASCII, in the Host field: write an international name in ASCII (xn--...)"},
        {"u@a", "a user name or password in the Host field"},
        {"a/b", "the Host field has more than a host and a port"},
        {"a:99999", "the port in the Host field is not a number from 1 to 65535"},
        {"[::1", "no IPv6 address between the brackets of the Host field"},
        {":80", "the Host field is empty"},
    };
    char out[EXPLAIN_SIZE];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert(!host_field_valid(slice_of(cases[i].host)));
        explain_host(slice_of(cases[i].host), out);
        ck_assert_str_eq(out, cases[i].says);
    }
}
END_TEST

START_TEST(excerpts_are_cut)
{
    char long_one[200], out[EXPLAIN_QUOTED];

    memset(long_one, '\xff', sizeof long_one);
    explain_quote((struct slice){long_one, sizeof long_one}, out);
    ck_assert_uint_lt(strlen(out), EXPLAIN_QUOTED);
    ck_assert_str_eq(out + strlen(out) - 8, "\\xff\"...");
    ck_assert_str_eq(explain_quote(SLICE("a"), out), "a");
}
END_TEST

START_TEST(user_names_and_passwords_are_masked)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"http://u:p@a.test/b?c@d", "http://***@a.test/b?c@d"},
        {"http://u:p@x@a.test", "http://***@a.test"},
        {"u:p@a.test:443", "***@a.test:443"},
        {"GET http://u:p@a.test/ HTTP/1.1", "GET http://***@a.test/ HTTP/1.1"},
        {"CONNECT u:p@a.test:443 HTTP/1.1", "CONNECT ***@a.test:443 HTTP/1.1"},
        {"http:/u:p@a.test/", "http:/***@a.test/"},
        {"//u:p@a.test/", "//***@a.test/"},
        {"http://a.test/x@y", "http://a.test/x@y"},
        {"http://a.test?x@y", "http://a.test?x@y"},
        {"http://a.test#x@y", "http://a.test#x@y"},
        {"/u:p@x", "/u:p@x"},
        {"GET  / HTTP/1.1", "GET  / HTTP/1.1"},
        {"@", "@"},
        {"", ""},
    };
    char out[64];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        out[userinfo_mask(slice_of(cases[i].text), out, sizeof out - 1)] = '\0';
        ck_assert_str_eq(out, cases[i].shown);
    }
    ck_assert_uint_eq(userinfo_mask(SLICE("http://u:p@a.test/"), out, 9), 9);
    ck_assert_uint_eq(userinfo_mask(SLICE("http://a.test/"), out, 9), 9);
}
END_TEST

void http_explain_tests(Suite *suite)
{
    unit_group(suite, "explain", heads_are_explained, each_explanation_is_one_line, framing_is_explained,
               targets_are_explained, hosts_are_explained, excerpts_are_cut,
               user_names_and_passwords_are_masked);
}
