/* lib/http: heads stand here, the rest in the files that http_test.h names. */

#include "unit.h"

#include <stdio.h>

#include "http/bytes.h"
#include "http/crosscheck.h"
#include "http/status.h"
#include "http_test.h"

static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};
static struct head head;

struct head *request_head(struct slice bytes)
{
    enum head_verdict v = head_parse_request(bytes, &limits, &head);

    ck_assert_msg(v == HEAD_OK, "%s: %.*s", head_verdict_text(v), (int)bytes.n, bytes.p);
    return &head;
}

struct head *response_head(struct slice bytes)
{
    enum head_verdict v = head_parse_response(bytes, &limits, &head);

    ck_assert_msg(v == HEAD_OK, "%s: %.*s", head_verdict_text(v), (int)bytes.n, bytes.p);
    return &head;
}

/* Slices of a head point into it, so it must outlive the call. */
static char lines[64 * 1024];

static struct slice with(const char *line, const char *fields)
{
    return (struct slice){lines, (size_t)snprintf(lines, sizeof lines, "%s%s\r\n", line, fields)};
}

struct head *request_with(const char *fields)
{
    return request_head(with("GET http://a/ HTTP/1.1\r\n", fields));
}

struct head *response_with(const char *fields)
{
    return response_head(with("HTTP/1.1 200 OK\r\n", fields));
}

/* bytes */

START_TEST(bytes_have_classes)
{
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        bool letter = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z'), digit = i >= '0' && i <= '9';

        ck_assert_int_eq(byte_is(c, BYTE_TOKEN), letter || digit || (i && strchr("!#$%&'*+-.^_`|~", i)));
        ck_assert_int_eq(byte_is(c, BYTE_VALUE), i == '\t' || (i >= 0x20 && i != 0x7f));
        ck_assert_int_eq(byte_is(c, BYTE_VISIBLE), i > 0x20 && i < 0x7f);
        ck_assert_int_eq(byte_is(c, BYTE_TARGET), i > 0x20 && i != 0x7f);
        ck_assert_int_eq(byte_is(c, BYTE_DIGIT), digit);
        ck_assert_int_eq(byte_is(c, BYTE_HEX), digit || (i && strchr("abcdefABCDEF", i)));
        ck_assert_int_eq(byte_is(c, BYTE_HOST), letter || digit || (i && strchr("-._", i)));
    }
}
END_TEST

static const char *first_not_of(const char *p, const char *end, enum byte_class class)
{
    while (p < end && byte_is(*p, class))
        p++;
    return p;
}

/* Eight at a time or one by one, each byte at each place, and each pair: a mark may carry into the next
 * byte. */
START_TEST(bytes_are_skipped_to_the_first_bad_one)
{
    char text[24];
    const char *end = text + sizeof text;

    for (size_t at = 0; at + 1 < sizeof text; at++) {
        for (int pair = 0; pair < 65536; pair++) {
            memset(text, pair % 2 ? 'a' : 'Z', sizeof text);
            text[at] = (char)(pair >> 8);
            text[at + 1] = (char)pair;
            ck_assert(bytes_skip_value(text, end) == first_not_of(text, end, BYTE_VALUE) &&
                      bytes_skip_visible(text, end) == first_not_of(text, end, BYTE_VISIBLE) &&
                      bytes_skip_target(text, end) == first_not_of(text, end, BYTE_TARGET) &&
                      bytes_skip_token(text, end) == first_not_of(text, end, BYTE_TOKEN));
        }
    }
}
END_TEST

/* head_scan */

START_TEST(request_is_cut)
{
    const struct head *h = request_head(SLICE("POST http://a/b?c HTTP/1.1\r\nHost: a\r\nX-Empty:\r\n"
                                              "X-Space: \t \r\nX: \t b c\t \r\nhost:\xff\r\n\r\n"));

    assert_slice(h->method, "POST");
    assert_slice(h->target, "http://a/b?c");
    ck_assert_uint_eq(h->minor, 1);
    ck_assert_uint_eq(h->count, 5);
    assert_slice(h->fields[0].name, "Host");
    assert_slice(h->fields[0].value, "a");
    assert_slice(h->fields[1].value, "");
    assert_slice(h->fields[2].value, "");
    assert_slice(h->fields[3].name, "X");
    assert_slice(h->fields[3].value, "b c");
    assert_slice(h->fields[4].value, "\xff");
    ck_assert_int_eq(h->fields[0].id, FIELD_HOST);
    ck_assert_int_eq(h->fields[3].id, FIELD_OTHER);
    ck_assert(head_has(h, FIELD_HOST) && head_has(h, FIELD_OTHER) && !head_has(h, FIELD_VIA));
    ck_assert_ptr_eq(head_find(h, FIELD_HOST), &h->fields[0]);
    ck_assert_ptr_null(head_find(h, FIELD_VIA));
    ck_assert_uint_eq(head_count(h, FIELD_HOST), 2);
    ck_assert_uint_eq(head_count(h, FIELD_VIA), 0);

    h = request_head(SLICE("get * HTTP/1.0\r\n\r\n"));
    assert_slice(h->method, "get");
    ck_assert_uint_eq(h->minor, 0);
    ck_assert_uint_eq(h->count, 0);
    ck_assert_uint_eq(h->present, 0);
    ck_assert_uint_eq(request_head(SLICE("M-SEARCH * HTTP/1.9\r\n\r\n"))->minor, 1);
    assert_slice(request_head(SLICE("GET http://\xe4/\xff#x HTTP/1.1\r\n\r\n"))->target,
                 "http://\xe4/\xff#x");
}
END_TEST

START_TEST(response_is_cut)
{
    const struct head *h = response_head(SLICE("HTTP/1.1 404 Not \xd6 Found\r\nA: b\r\n\r\n"));

    ck_assert_uint_eq(h->status, 404);
    assert_slice(h->reason, "Not \xd6 Found");
    ck_assert_uint_eq(h->minor, 1);
    ck_assert_uint_eq(h->count, 1);
    assert_slice(response_head(SLICE("HTTP/1.0 200 \r\n\r\n"))->reason, "");
    assert_slice(response_head(SLICE("HTTP/1.0 200\r\n\r\n"))->reason, "");
    ck_assert_uint_eq(response_head(SLICE("HTTP/1.0 200\r\nA: b\r\n\r\n"))->minor, 0);
    ck_assert_uint_eq(response_head(SLICE("HTTP/1.3 599 X\tY\r\n\r\n"))->minor, 1);
    ck_assert_uint_eq(response_head(SLICE("HTTP/1.1 999\r\n\r\n"))->status, 999);
    ck_assert_uint_eq(response_head(SLICE("HTTP/1.1 100 \r\n\r\n"))->status, 100);
}
END_TEST

struct parse_case {
    enum head_verdict verdict;
    struct slice bytes;
};

static const struct parse_case bad_requests[] = {
    {HEAD_BAD_START_LINE, SLICE("\r\n")},
    {HEAD_BAD_START_LINE, SLICE(" / HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET \r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET /\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / \r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET  HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET  / HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET /  HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / HTTP/1.1 \r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / a HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET\t/\tHTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("G<T / HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET /\x7f HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET /\0 HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / HTTP/1.\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / HTTP/11.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / HTTP/1.10\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / HTTP/1,1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / http/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / HXXXX1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("GET / ICE/1.0\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 200 OK\r\n\r\n")},
    {HEAD_BAD_VERSION, SLICE("GET / HTTP/2.0\r\n\r\n")},
    {HEAD_BAD_VERSION, SLICE("GET / HTTP/0.9\r\n\r\n")},
    {HEAD_BAD_VERSION, SLICE("PRI * HTTP/2.0\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("G@T / HTTP/2.0\r\n\r\n")},
    {HEAD_OBS_FOLD, SLICE("GET / HTTP/1.1\r\n A: b\r\n\r\n")},
    {HEAD_OBS_FOLD, SLICE("GET / HTTP/1.1\r\n\tA: b\r\n\r\n")},
    {HEAD_OBS_FOLD, SLICE("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n")},
    {HEAD_OBS_FOLD, SLICE("GET / HTTP/1.1\r\nA: b\r\n \r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\nA\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\n: b\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\nA : b\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\nA\t: b\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\nA B: b\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\nA\xa0: b\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\nA\0: b\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\nA/B: b\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("GET / HTTP/1.1\r\n\r\nA: b\r\n\r\n")},
    {HEAD_BAD_FIELD_VALUE, SLICE("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n")},
    {HEAD_BAD_FIELD_VALUE, SLICE("GET / HTTP/1.1\r\nA: \0\r\n\r\n")},
    {HEAD_BAD_FIELD_VALUE, SLICE("GET / HTTP/1.1\r\nA:\x0b"
                                 "b\r\n\r\n")},
    {HEAD_BAD_FIELD_VALUE, SLICE("GET / HTTP/1.1\r\nA: \x7f\r\n\r\n")},
    {HEAD_BAD_FIELD_VALUE, SLICE("GET / HTTP/1.1\r\nA: b\x1b\r\n\r\n")},
    {HEAD_BARE_LF, SLICE("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n")},
    {HEAD_BARE_CR, SLICE("GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n")},
    {HEAD_INCOMPLETE, SLICE("GET / HTTP/1.1\r\nA: b\r\n")},
};

static const struct parse_case bad_responses[] = {
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 \r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 20\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1  200 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1\t200 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 200\tOK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 0200 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 2000 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 000 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 099 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 65736 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 -20 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 2x0 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 200 O\0K\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 200 O\rK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 200OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("HXXX-1.1 200 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("ICY 200 OK\r\n\r\n")},
    {HEAD_BAD_START_LINE, SLICE("\r\n")},
    {HEAD_BAD_START_LINE, SLICE("\n")},
    {HEAD_BAD_START_LINE, SLICE("HTTP/1.1 2\n")},
    {HEAD_BAD_VERSION, SLICE("HTTP/2.0 200 OK\r\n\r\n")},
    {HEAD_OBS_FOLD, SLICE("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n")},
    {HEAD_BAD_FIELD_NAME, SLICE("HTTP/1.1 200 OK\r\nA : b\r\n\r\n")},
    {HEAD_BAD_FIELD_VALUE, SLICE("HTTP/1.1 200 OK\r\nA: \1\r\n\r\n")},
};

START_TEST(bad_heads_have_a_verdict)
{
    for (size_t i = 0; i < sizeof bad_requests / sizeof bad_requests[0]; i++) {
        enum head_verdict v = head_parse_request(bad_requests[i].bytes, &limits, &head);

        ck_assert_msg(v == bad_requests[i].verdict, "%s: %s", head_verdict_text(v), bad_requests[i].bytes.p);
    }
    for (size_t i = 0; i < sizeof bad_responses / sizeof bad_responses[0]; i++) {
        enum head_verdict v = head_parse_response(bad_responses[i].bytes, &limits, &head);

        ck_assert_msg(v == bad_responses[i].verdict, "%s: %s", head_verdict_text(v),
                      bad_responses[i].bytes.p);
    }
}
END_TEST

/* What http-parser alone would refuse, or read in a way of its own, though it is legal. */
START_TEST(second_opinion_refuses_nothing_legal)
{
    static const char *const fields[] = {
        "Content-Length: \t5 \t\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: x\r\n",
        "Content-Length:\r\n",
        "content-length: 99999999999999999999999\r\n",
        "Content-Length-X: x\r\nContent-Lengt: y\r\n",
        "Transfer-Encoding: chunked\t\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "TRANSFER-ENCODING: gzip\r\n",
        "Transfer-Encoding-X: 1\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ntransfer-encodingX: 1\r\nContent-Length: 5\r\nA: b\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 10\r\n",
        "Connection: keep-alive, close,, foo\r\nProxy-Connection: x\r\nConnectio: n\r\n",
        "Upgrade:\r\nConnection:\r\nProxy-Connection:\t\r\n",
        "c: d\r\nt: u\r\np: q\r\nu: v\r\nC:\r\nT:\r\n",
        "!#$%&'*+-.^_`|~09azAZ: \t \x80\xff\"(),/:;<=>?@[\\]{}\r\n",
        "X: a\tb \t c \t \r\nY:    \t\r\nZ: :\r\n",
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint32_t count = request_with(fields[i])->count;

        ck_assert_uint_eq(response_with(fields[i])->count, count);
        response_head(with("HTTP/1.1 101 Switching Protocols\r\n", fields[i]));
        response_head(with("HTTP/1.0 204\r\n", fields[i]));
        request_head(with("CONNECT a:443 HTTP/1.0\r\n", fields[i]));
        ck_assert_int_eq(head_parse_trailers(with("", fields[i]), &limits, &head), HEAD_OK);
        ck_assert_uint_eq(head.count, count);
    }
}
END_TEST

/* As if our own parser had cut the lines in another way. */
START_TEST(second_opinion_sees_a_difference)
{
    const struct slice message = SLICE("HTTP/1.1 200 OK\r\nA: bc\r\nContent-Length: 5 \r\nD:\r\n\r\n");
    const struct slice fields = slice_from(message, 17);
    struct head *h = response_head(message);

    ck_assert(crosscheck_response(message, h) && crosscheck_fields(fields, h));
    h->fields[0].name.n--;
    ck_assert(!crosscheck_response(message, h) && !crosscheck_fields(fields, h));
    h = response_head(message);
    h->fields[0].value.n--;
    ck_assert(!crosscheck_fields(fields, h));
    h = response_head(message);
    h->fields[0].value.p++;
    ck_assert(!crosscheck_fields(fields, h));
    h = response_head(message);
    h->fields[0].value.n++;
    ck_assert(!crosscheck_fields(fields, h));
    h = response_head(message);
    h->fields[2].value = SLICE("x");
    ck_assert(!crosscheck_fields(fields, h));
    h = response_head(message);
    h->count--;
    ck_assert(!crosscheck_fields(fields, h));
    h->count += 2;
    h->fields[3] = h->fields[2];
    ck_assert(!crosscheck_fields(fields, h));
    h = response_head(message);
    h->status = 204;
    ck_assert(!crosscheck_response(message, h) && crosscheck_fields(fields, h));
    h->status = 200;
    h->minor = 0;
    ck_assert(!crosscheck_response(message, h));
    h->minor = 1;
    ck_assert(crosscheck_response(message, h));

    /* What our own checks would have refused before. */
    h->count = 0;
    ck_assert(crosscheck_fields(SLICE("\r\n"), h));
    ck_assert(!crosscheck_fields(SLICE(""), h));
    ck_assert(!crosscheck_fields(SLICE("A\r\n\r\n"), h));
}
END_TEST

START_TEST(fields_are_limited_in_number)
{
    const struct head_limits two = {.max_size = 1024, .max_count = 2};

    ck_assert_int_eq(head_parse_request(with("GET / HTTP/1.1\r\n", "A:\r\nB:\r\n"), &two, &head), HEAD_OK);
    ck_assert_int_eq(head_parse_request(with("GET / HTTP/1.1\r\n", "A:\r\nB:\r\nC:\r\n"), &two, &head),
                     HEAD_TOO_MANY_FIELDS);
    ck_assert_int_eq(head_parse_response(with("HTTP/1.1 200\r\n", "A:\r\nB:\r\nC:\r\n"), &two, &head),
                     HEAD_TOO_MANY_FIELDS);
    ck_assert_int_eq(head_parse_trailers(with("", "A:\r\nB:\r\nC:\r\n"), &two, &head), HEAD_TOO_MANY_FIELDS);
    /* So are the options of Connection, each of which is looked for among all fields. */
    ck_assert_int_eq(head_parse_request(with("GET / HTTP/1.1\r\n", "Connection: a,b\r\n"), &two, &head),
                     HEAD_OK);
    ck_assert_int_eq(
        head_parse_request(with("GET / HTTP/1.1\r\n", "Connection:\r\nConnection: a\r\n"), &two, &head),
        HEAD_OK);
    ck_assert_int_eq(head_parse_request(with("GET / HTTP/1.1\r\n", "Connection: a,b,c\r\n"), &two, &head),
                     HEAD_TOO_MANY_FIELDS);
    ck_assert_int_eq(head_parse_request(with("GET / HTTP/1.1\r\n", "Connection: ,,,\r\n"), &two, &head),
                     HEAD_TOO_MANY_FIELDS);
    ck_assert_int_eq(
        head_parse_response(with("HTTP/1.1 200\r\n", "Connection: a,b\r\nConnection: c\r\n"), &two, &head),
        HEAD_TOO_MANY_FIELDS);
}
END_TEST

START_TEST(head_may_be_a_mebibyte)
{
    const struct head_limits most = {.max_size = 1024 * 1024, .max_count = HEAD_MAX_FIELDS};
    char *bytes = malloc(most.max_size);
    size_t n = 0, scanned = 0, length;

    n += (size_t)sprintf(bytes, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < HEAD_MAX_FIELDS; i++) {
        n += (size_t)sprintf(bytes + n, "X-%d: ", i);
        memset(bytes + n, 'v', 1000);
        n += 1000;
        n += (size_t)sprintf(bytes + n, "\r\n");
    }
    n += (size_t)sprintf(bytes + n, "\r\n");
    ck_assert_int_eq(head_scan((struct slice){bytes, n}, &scanned, &most, &length), HEAD_OK);
    ck_assert_uint_eq(length, n);
    ck_assert_int_eq(head_parse_request((struct slice){bytes, n}, &most, &head), HEAD_OK);
    ck_assert_uint_eq(head.count, HEAD_MAX_FIELDS);
    free(bytes);
}
END_TEST

START_TEST(trailers_are_cut)
{
    ck_assert_int_eq(head_parse_trailers(SLICE("A: b\r\nContent-Length: 3\r\n\r\n"), &limits, &head),
                     HEAD_OK);
    ck_assert_uint_eq(head.count, 2);
    assert_slice(head.fields[1].value, "3");
    ck_assert_int_eq(head_parse_trailers(SLICE("\r\n"), &limits, &head), HEAD_OK);
    ck_assert_uint_eq(head.count, 0);
    ck_assert_int_eq(head_parse_trailers(SLICE("A : b\r\n\r\n"), &limits, &head), HEAD_BAD_FIELD_NAME);
    ck_assert_int_eq(head_parse_trailers(SLICE("A: b\r\n c\r\n\r\n"), &limits, &head), HEAD_OBS_FOLD);
    ck_assert_int_eq(head_parse_trailers(SLICE("A: \0\r\n\r\n"), &limits, &head), HEAD_BAD_FIELD_VALUE);
}
END_TEST

START_TEST(verdicts_have_texts)
{
    for (enum head_verdict v = HEAD_OK; v <= HEAD_PARSERS_DISAGREE; v++)
        ck_assert_uint_gt(strlen(head_verdict_text(v)), 10);
    ck_assert_str_eq(status_reason(502), "Bad Gateway");
    ck_assert_str_eq(status_reason(299), "Unknown");
    ck_assert_str_eq(status_reason(0), "Unknown");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http");

    http_init();
    unit_group(suite, "bytes", bytes_have_classes, bytes_are_skipped_to_the_first_bad_one);
    unit_group(suite, "head", request_is_cut, response_is_cut, bad_heads_have_a_verdict,
               second_opinion_refuses_nothing_legal, second_opinion_sees_a_difference,
               fields_are_limited_in_number, head_may_be_a_mebibyte, trailers_are_cut, verdicts_have_texts);
    http_scan_tests(suite);
    http_explain_tests(suite);
    http_fields_tests(suite);
    http_body_tests(suite);
    http_opening_tests(suite);
    http_repair_tests(suite);
    http_uri_tests(suite);
    http_corpus_tests(suite);
    return unit_run(suite);
}
