/* Framing and the chunked coding. */

#include "unit.h"

#include <stdio.h>

#include "http/chunked.h"
#include "http/framing.h"
#include "http_test.h"

/* framing */

struct framing_case {
    const char *head; /* without its empty line */
    enum framing_verdict verdict;
    enum body_kind kind;
    uint64_t length;
};

#define POST "POST http://a/ HTTP/1.1\r\n"
#define OK   "HTTP/1.1 200 OK\r\n"

static const struct framing_case requests[] = {
    {"GET / HTTP/1.1\r\n", FRAMING_OK, BODY_NONE, 0},
    {POST, FRAMING_OK, BODY_NONE, 0},
    {POST "Content-Length: 5\r\n", FRAMING_OK, BODY_LENGTH, 5},
    {POST "Content-Length: 0\r\n", FRAMING_OK, BODY_LENGTH, 0},
    {POST "Content-Length: \t 005 \t\r\n", FRAMING_OK, BODY_LENGTH, 5},
    {"GET / HTTP/1.0\r\nContent-Length: 5\r\n", FRAMING_OK, BODY_LENGTH, 5},
    {POST "Content-Length: 5\r\ncontent-length: 5\r\n", FRAMING_OK, BODY_LENGTH, 5},
    {POST "Content-Length: 5, 5\t,5\r\n", FRAMING_OK, BODY_LENGTH, 5},
    {POST "Content-Length: 9223372036854775807\r\n", FRAMING_OK, BODY_LENGTH, INT64_MAX},
    {POST "Content-Length: 9223372036854775808\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 18446744073709551621\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5\r\nContent-Length: 05\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5\r\nContent-Length:\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5, 6\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5,\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: ,5\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5,,5\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length:\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: -5\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: +5\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5 5\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 0x5\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 1_0\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5.0\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: \"5\"\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: 5;\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Content-Length: \xb2\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {POST "Transfer-Encoding: chunked\r\n", FRAMING_OK, BODY_CHUNKED, 0},
    {POST "transfer-encoding: \tChUnKeD \t\r\n", FRAMING_OK, BODY_CHUNKED, 0},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", FRAMING_LENGTH_AND_CODING, 0, 0},
    {POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", FRAMING_LENGTH_AND_CODING, 0, 0},
    {POST "Content-Length: x\r\nTransfer-Encoding: x\r\n", FRAMING_LENGTH_AND_CODING, 0, 0},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", FRAMING_CODING_IN_1_0, 0, 0},
    {POST "Transfer-Encoding: chunked, chunked\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding:\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: ,\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: , chunked\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: chunked,\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: \"chunked\"\r\n", FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: \xa0"
          "chunked\r\n",
     FRAMING_BAD_CODING, 0, 0},
    {POST "Transfer-Encoding: gzip\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {POST "Transfer-Encoding: gzip, chunked\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {POST "Transfer-Encoding: chunked, gzip\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {POST "Transfer-Encoding: identity\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {POST "Transfer-Encoding: chunkedx\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {POST "Transfer-Encoding: chunked;a=b\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {"TRACE http://a/ HTTP/1.1\r\nContent-Length: 1\r\n", FRAMING_UNEXPECTED_CONTENT, 0, 0},
    {"TRACE http://a/ HTTP/1.1\r\nContent-Length: 0\r\n", FRAMING_OK, BODY_LENGTH, 0},
    {"TRACE http://a/ HTTP/1.1\r\n", FRAMING_OK, BODY_NONE, 0},
    {"CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", FRAMING_UNEXPECTED_CONTENT, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\nContent-Length: 3\r\n", FRAMING_UNEXPECTED_CONTENT, 0, 0},
    {"CONNECT a:1 HTTP/1.1\r\n", FRAMING_OK, BODY_NONE, 0},
};

static const struct framing_case responses[] = {
    {OK, FRAMING_OK, BODY_CLOSE, 0},
    {OK "Content-Length: 5\r\n", FRAMING_OK, BODY_LENGTH, 5},
    {OK "Transfer-Encoding: chunked\r\n", FRAMING_OK, BODY_CHUNKED, 0},
    {OK "Content-Length: 5x\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", FRAMING_LENGTH_AND_CODING, 0, 0},
    {OK "Transfer-Encoding: gzip, chunked\r\n", FRAMING_UNKNOWN_CODING, 0, 0},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", FRAMING_CODING_IN_1_0, 0, 0},
    {"HTTP/1.0 200 OK\r\n", FRAMING_OK, BODY_CLOSE, 0},
    {"HTTP/1.1 204 No Content\r\n", FRAMING_OK, BODY_NONE, 0},
    {"HTTP/1.1 304 Not Modified\r\n", FRAMING_OK, BODY_NONE, 0},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n", FRAMING_OK, BODY_NONE, 100},
    {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n", FRAMING_OK, BODY_NONE, 0},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 1 0\r\n", FRAMING_BAD_LENGTH, 0, 0},
    {"HTTP/1.1 205 Reset Content\r\n", FRAMING_OK, BODY_CLOSE, 0},
    {"HTTP/1.1 100 Continue\r\n", FRAMING_OK, BODY_NONE, 0},
    {"HTTP/1.1 199 X\r\nContent-Length: 0\r\n", FRAMING_OK, BODY_NONE, 0},
    {"HTTP/1.1 103 Early Hints\r\nContent-Length: 6\r\n", FRAMING_UNEXPECTED_CONTENT, 0, 0},
    {"HTTP/1.1 102 X\r\nTransfer-Encoding: chunked\r\n", FRAMING_UNEXPECTED_CONTENT, 0, 0},
    {"HTTP/1.1 101 X\r\nUpgrade: a\r\n", FRAMING_OK, BODY_TUNNEL, 0},
    {"HTTP/1.1 101 X\r\nContent-Length: 6\r\n", FRAMING_UNEXPECTED_CONTENT, 0, 0},
};

static char bytes[1024];

static struct slice whole(const char *head)
{
    return (struct slice){bytes, (size_t)snprintf(bytes, sizeof bytes, "%s\r\n", head)};
}

static void check_framing(const struct framing_case *c, enum framing_verdict v, const struct framing *f)
{
    ck_assert_msg(v == c->verdict, "%s: %s", c->head, framing_verdict_text(v));
    if (v == FRAMING_OK)
        ck_assert_msg(f->kind == c->kind && f->length == c->length && !f->doubtful, "%s", c->head);
}

START_TEST(framing_is_read)
{
    struct framing f;

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        check_framing(&requests[i], framing_of_request(request_head(whole(requests[i].head)), &f), &f);
    for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++)
        check_framing(&responses[i],
                      framing_of_response(response_head(whole(responses[i].head)), REQUEST_PLAIN, &f), &f);
}
END_TEST

START_TEST(framing_knows_the_request)
{
    struct framing f;
    const struct head *h = response_with("Content-Length: 5\r\n");

    ck_assert_int_eq(framing_of_response(h, REQUEST_HEAD, &f), FRAMING_OK);
    ck_assert(f.kind == BODY_NONE && f.length == 5 && !f.doubtful);
    ck_assert_int_eq(framing_of_response(h, REQUEST_CONNECT, &f), FRAMING_OK);
    ck_assert(f.kind == BODY_TUNNEL && f.length == 0);
    h = response_with("Transfer-Encoding: chunked\r\n");
    ck_assert_int_eq(framing_of_response(h, REQUEST_HEAD, &f), FRAMING_OK);
    ck_assert(f.kind == BODY_NONE && f.length == 0);
    h = response_with("");
    ck_assert_int_eq(framing_of_response(h, REQUEST_HEAD, &f), FRAMING_OK);
    ck_assert_int_eq(f.kind, BODY_NONE);
    h = response_head(SLICE("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n"));
    ck_assert_int_eq(framing_of_response(h, REQUEST_CONNECT, &f), FRAMING_OK);
    ck_assert(f.kind == BODY_LENGTH && f.length == 2);
}
END_TEST

START_TEST(framing_doubts_a_204_with_content)
{
    static const struct {
        const char *head;
        bool doubtful;
    } cases[] = {
        {"HTTP/1.1 204 X\r\nContent-Length: 0\r\n", false},
        {"HTTP/1.1 204 X\r\nContent-Length: 6\r\n", true},
        {"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct framing f;

        ck_assert_int_eq(framing_of_response(response_head(whole(cases[i].head)), REQUEST_PLAIN, &f),
                         FRAMING_OK);
        ck_assert_int_eq(f.kind, BODY_NONE);
        ck_assert_int_eq(f.doubtful, cases[i].doubtful);
    }
}
END_TEST

START_TEST(framing_verdicts_have_texts)
{
    for (enum framing_verdict v = FRAMING_OK; v <= FRAMING_UNEXPECTED_CONTENT; v++)
        ck_assert_uint_gt(strlen(framing_verdict_text(v)), 10);
}
END_TEST

/* chunked */

struct decoded {
    enum chunked_event end;
    char data[64], trailers[64];
    size_t data_length, trailers_length, data_bytes, trailer_bytes;
    size_t used;
};

static void keep(char to[64], size_t *n, size_t *all, struct slice from)
{
    ck_assert_uint_gt(from.n, 0);
    for (size_t i = 0; i < from.n && *n < 64; i++)
        to[(*n)++] = from.p[i];
    *all += from.n;
}

static void decode(struct slice in, size_t step, struct decoded *out)
{
    struct chunked c = {0};
    size_t arrived = 0, used;
    struct slice data;

    memset(out, 0, sizeof *out);
    for (;;) {
        out->end = chunked_decode(&c, (struct slice){in.p + out->used, arrived - out->used}, &used, &data);
        out->used += used;
        ck_assert_uint_le(out->used, arrived);
        if (out->end == CHUNKED_DATA) {
            keep(out->data, &out->data_length, &out->data_bytes, data);
        } else if (out->end == CHUNKED_TRAILER) {
            keep(out->trailers, &out->trailers_length, &out->trailer_bytes, data);
        } else if (out->end == CHUNKED_MORE) {
            ck_assert_uint_eq(out->used, arrived);
            if (arrived == in.n)
                return;
            arrived = in.n - arrived < step ? in.n : arrived + step;
        } else {
            size_t again;

            /* An end is an end. */
            ck_assert_int_eq(chunked_decode(&c, SLICE("0\r\n\r\n"), &again, &data), out->end);
            ck_assert_uint_eq(again, 0);
            return;
        }
    }
}

static const struct {
    struct slice in;
    enum chunked_event end;
    const char *data, *trailers;
    size_t left; /* bytes that are no part of the message */
} chunks[] = {
    {SLICE("0\r\n\r\n"), CHUNKED_END, "", "", 0},
    {SLICE("0\r\n\r\nGET"), CHUNKED_END, "", "", 3},
    {SLICE("5\r\nhello\r\n0\r\n\r\n"), CHUNKED_END, "hello", "", 0},
    {SLICE("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), CHUNKED_END, "hello world", "", 0},
    {SLICE("A\r\n0123456789\r\n00\r\n\r\n"), CHUNKED_END, "0123456789", "", 0},
    {SLICE("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"), CHUNKED_END, "hello", "", 0},
    {SLICE("5;a=b;c\r\nhello\r\n0;x\r\n\r\n"), CHUNKED_END, "hello", "", 0},
    {SLICE("5 \t;\ta = \"b;\\\"\" ;c\r\nhello\r\n0\r\n\r\n"), CHUNKED_END, "hello", "", 0},
    {SLICE("2\r\n\r\n\r\n0\r\n\r\n"), CHUNKED_END, "\r\n", "", 0},
    {SLICE("0\r\nA: b\r\n\r\n"), CHUNKED_END, "", "A: b\r\n\r\n", 0},
    {SLICE("0\r\nA: b\r\nC: d\r\n\r\nX"), CHUNKED_END, "", "A: b\r\nC: d\r\n\r\n", 1},
    {SLICE("5\r\nhel"), CHUNKED_MORE, "hel", "", 0},
    {SLICE("5\r\nhello"), CHUNKED_MORE, "hello", "", 0},
    {SLICE("5\r\nhello\r\n"), CHUNKED_MORE, "hello", "", 0},
    {SLICE("0\r\n"), CHUNKED_MORE, "", "", 0},
    {SLICE("0\r\n\r"), CHUNKED_MORE, "", "", 0},
    {SLICE("0\r\nA: b\r\n"), CHUNKED_MORE, "", "A: b\r\n", 0},
    {SLICE("7fffffffffffffff\r\nx"), CHUNKED_MORE, "x", "", 0},
    {SLICE("8000000000000000\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("ffffffffffffffff\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("10000000000000005\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("00000000000000000\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE(";a\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE(" 5\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5 \r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5 5\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("0x5\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("+5\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("-5\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5_0\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5,\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5\0\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("g\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5\rXhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5\r\rhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5;a\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5;a\r\rhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5;a\0b\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5;a=\"\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5;a=\"\\\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5;a=\"\x7f\"\r\nhello\r\n0\r\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("5\r\nhello\n0\r\n\r\n"), CHUNKED_BAD, "hello", "", 0},
    {SLICE("5\r\nhelloXX0\r\n\r\n"), CHUNKED_BAD, "hello", "", 0},
    {SLICE("5\r\nhello0\r\n\r\n"), CHUNKED_BAD, "hello", "", 0},
    {SLICE("5\r\nhello\r0\r\n\r\n"), CHUNKED_BAD, "hello", "", 0},
    {SLICE("5\r\nhelloworld\r\n0\r\n\r\n"), CHUNKED_BAD, "hello", "", 0},
    {SLICE("5\r\nhello\r\n\r\n0\r\n\r\n"), CHUNKED_BAD, "hello", "", 0},
    {SLICE("0\n\r\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("0\r\n\n"), CHUNKED_BAD, "", "", 0},
    {SLICE("0\r\n\rX"), CHUNKED_BAD, "", "", 0},
    {SLICE("0\r\nA: b\n\r\n"), CHUNKED_BAD, "", "A: b", 0},
    {SLICE("0\r\nA: b\rC\r\n\r\n"), CHUNKED_BAD, "", "A: b\r", 0},
    {SLICE("0\r\nA: b\r\n\n"), CHUNKED_BAD, "", "A: b\r\n", 0},
    {SLICE("0\r\nA: b\r\n\rX"), CHUNKED_BAD, "", "A: b\r\n\r", 0},
};

START_TEST(chunked_is_decoded_however_it_is_split)
{
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        for (size_t step = 1; step <= chunks[i].in.n; step++) {
            struct decoded d;

            decode(chunks[i].in, step, &d);
            ck_assert_msg(d.end == chunks[i].end, "%d for %s in steps of %zu", d.end, chunks[i].in.p, step);
            assert_slice(((struct slice){d.data, d.data_length}), chunks[i].data);
            assert_slice(((struct slice){d.trailers, d.trailers_length}), chunks[i].trailers);
            if (d.end == CHUNKED_END)
                ck_assert_uint_eq(d.used, chunks[i].in.n - chunks[i].left);
        }
    }
}
END_TEST

static size_t repeat(char *to, const char *text, size_t times)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < times; i++)
        memcpy(to + i * n, text, n);
    return n * times;
}

START_TEST(chunked_limits_extensions)
{
    static char in[4 * CHUNKED_MAX_EXTENSIONS];
    struct decoded d;
    size_t n;

    /* In one chunk */
    for (size_t more = 0; more < 2; more++) {
        n = repeat(in, "5", 1);
        n += repeat(in + n, ";", CHUNKED_MAX_EXTENSIONS + more);
        n += repeat(in + n, "\r\nhello\r\n0\r\n\r\n", 1);
        decode((struct slice){in, n}, n, &d);
        ck_assert_int_eq(d.end, more ? CHUNKED_TOO_LARGE : CHUNKED_END);
        decode((struct slice){in, n}, 1, &d);
        ck_assert_int_eq(d.end, more ? CHUNKED_TOO_LARGE : CHUNKED_END);
    }
    /* In many */
    n = repeat(in, "1;23 ;4\r\nx\r\n", CHUNKED_MAX_EXTENSIONS / 6);
    n += repeat(in + n, "0;234\r\n\r\n", 1);
    decode((struct slice){in, n}, n, &d);
    ck_assert_int_eq(d.end, CHUNKED_END);
    ck_assert_uint_eq(d.data_bytes, CHUNKED_MAX_EXTENSIONS / 6);
    n -= 4;
    n += repeat(in + n, "5\r\n\r\n", 1);
    decode((struct slice){in, n}, 7, &d);
    ck_assert_int_eq(d.end, CHUNKED_TOO_LARGE);
}
END_TEST

START_TEST(chunked_limits_trailers)
{
    static char in[2 * CHUNKED_MAX_TRAILERS];
    struct decoded d;

    for (size_t step = 1; step < 20000; step = step * 5 + 3) {
        size_t n = repeat(in, "0\r\n", 1);

        n += repeat(in + n, "A:bcde\r\n", CHUNKED_MAX_TRAILERS / 8 - 1);
        n += repeat(in + n, "A:bc\r\n\r\n", 1);
        decode((struct slice){in, n}, step, &d);
        ck_assert_int_eq(d.end, CHUNKED_END);
        ck_assert_uint_eq(d.trailer_bytes, CHUNKED_MAX_TRAILERS);
        n -= 4;
        n += repeat(in + n, "x\r\n\r\n", 1);
        decode((struct slice){in, n}, step, &d);
        ck_assert_int_eq(d.end, CHUNKED_TOO_LARGE);
        ck_assert_uint_eq(d.trailer_bytes, CHUNKED_MAX_TRAILERS);
    }
}
END_TEST

void http_body_tests(Suite *suite)
{
    unit_group(suite, "framing", framing_is_read, framing_knows_the_request,
               framing_doubts_a_204_with_content, framing_verdicts_have_texts);
    unit_group(suite, "chunked", chunked_is_decoded_however_it_is_split, chunked_limits_extensions,
               chunked_limits_trailers);
}
