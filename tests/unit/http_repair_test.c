/* insecureHTTPParser: what is repaired, and what is not. */

#include "unit.h"

#include "http/framing.h"
#include "http/repair.h"
#include "http_test.h"

#define BIT(kind) (1u << REPAIR_##kind)
#define OK        "HTTP/1.1 200 OK\r\n"

static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};
static struct head head;
static char out[4096];

struct repair_case {
    struct slice raw;
    const char *strict; /* NULL: refused */
    unsigned kinds;
};

static const struct repair_case cases[] = {
    {SLICE("HTTP/1.1 200 OK\nA: b\n\n"), OK "A: b\r\n\r\n", BIT(BARE_LF)},
    {SLICE(OK "A: b\n\r\n"), OK "A: b\r\n\r\n", BIT(BARE_LF)},
    {SLICE(OK "A: b\r\n\n"), OK "A: b\r\n\r\n", BIT(BARE_LF)},
    {SLICE(OK "A:b\r\n c\r\n\td \r\nB: e\r\n\r\n"), OK "A:b c d\r\nB: e\r\n\r\n", BIT(FOLD)},
    {SLICE(OK "A: \r\n b\r\n\r\n"), OK "A:  b\r\n\r\n", BIT(FOLD)},
    {SLICE(OK "X-Early : v\r\nB\t: c\r\n\r\n"), OK "X-Early: v\r\nB: c\r\n\r\n", BIT(SPACE)},
    {SLICE(OK "no colon\r\nA: b\r\n: c\r\nBad Name: d\r\n(e): f\r\n\r\n"), OK "A: b\r\n\r\n", BIT(NO_FIELD)},
    {SLICE(OK "no colon\r\n goes on\r\nA: b\r\n\r\n"), OK "A: b\r\n\r\n", BIT(NO_FIELD) | BIT(FOLD)},
    {SLICE(OK "A: b\x01"
              "c\x7f\r\n\r\n"),
     OK "A: b c \r\n\r\n", BIT(CONTROL)},
    {SLICE(OK "A: b\rc\r\r\n\r\n"), OK "A: b c \r\n\r\n", BIT(CONTROL)},
    {SLICE(OK "A: \0\r\n\r\n"), OK "A:  \r\n\r\n", BIT(CONTROL)},
    {SLICE(OK "Content-Length : 5\n\n"), OK "Content-Length: 5\r\n\r\n", BIT(SPACE) | BIT(BARE_LF)},
    /* As it is: the strict parser's to refuse. */
    {SLICE("HTTP/1.1 2OO OK\n\n"), "HTTP/1.1 2OO OK\r\n\r\n", BIT(BARE_LF)},
    {SLICE("HTTP/1.1 200 O\rK\r\n\r\n"), "HTTP/1.1 200 O\rK\r\n\r\n", 0},
    {SLICE(OK "Content-Length: 5\r\nContent-Length: 6\n\r\n"),
     OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", BIT(BARE_LF)},
    /* Where the head ends, or its content, is a matter of opinion. */
    {SLICE(OK "A: b\r\n\r\r\nC: d\r\n\r\n"), NULL, 0},
    {SLICE(OK "A: b\r\n \r\nC: d\r\n\r\n"), NULL, 0},
    {SLICE(OK "A: b\r\n\x01\r\nC: d\r\n\r\n"), NULL, 0},
    {SLICE(OK " A: b\r\n\r\n"), NULL, 0},
    {SLICE(OK "Content-Length: 1\r\n 0\r\n\r\n"), NULL, 0},
    {SLICE(OK "Transfer-Encoding:\r\n chunked\r\n\r\n"), NULL, 0},
    {SLICE(OK "Transfer-Encoding: chun\x01ked\r\n\r\n"), NULL, 0},
    {SLICE(OK "Content-Length: 5\0\r\n\r\n"), NULL, 0},
    {SLICE(OK "Content-Length\0: 5\r\n\r\n"), NULL, 0},
    {SLICE(OK "Content Content-Length: 5\r\n\r\n"), NULL, 0},
    {SLICE(OK "(x)Transfer-ENCODING: chunked\r\n\r\n"), NULL, 0},
    {SLICE(OK "no colon\r\n Content-Length: 5\r\n\r\n"), NULL, 0},
};

START_TEST(heads_are_repaired)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct repair_case *c = &cases[i];
        uint32_t kinds = 0;
        size_t scanned = 0, length, n;

        ck_assert_int_eq(repair_scan(c->raw, &scanned, &limits, &length), HEAD_OK);
        ck_assert_uint_eq(length, c->raw.n);
        n = repair_head(c->raw, out, &kinds);
        ck_assert_uint_le(n, REPAIR_ROOM(c->raw.n));
        ck_assert_msg((n > 0) == (c->strict != NULL), "%zu: %.*s", i, (int)n, out);
        if (!c->strict)
            continue;
        out[n] = '\0';
        ck_assert_str_eq(out, c->strict);
        ck_assert_uint_eq(kinds, c->kinds);
    }
}
END_TEST

START_TEST(the_end_is_found_however_it_comes)
{
    static const char raw[] = "HTTP/1.1 200 OK\nA: b\r\n\nbody\n\n";
    const struct head_limits small = {.max_size = 8, .max_count = 1};
    size_t length = 0, scanned = 0;
    enum head_verdict v = HEAD_INCOMPLETE;

    for (size_t n = 1; v == HEAD_INCOMPLETE; n++) {
        char *arrived = memcpy(malloc(n), raw, n);

        v = repair_scan((struct slice){arrived, n}, &scanned, &limits, &length);
        free(arrived);
    }
    ck_assert_int_eq(v, HEAD_OK);
    ck_assert_uint_eq(length, strlen("HTTP/1.1 200 OK\nA: b\r\n\n"));
    scanned = 0;
    ck_assert_int_eq(repair_scan(SLICE("12345678"), &scanned, &small, &length), HEAD_LINE_TOO_LONG);
    scanned = 0;
    ck_assert_int_eq(repair_scan(SLICE("123\n56789"), &scanned, &small, &length), HEAD_TOO_LARGE);
    /* A limit that was lowered in between. */
    scanned = 20;
    ck_assert_int_eq(repair_scan(SLICE("123\n56789"), &scanned, &small, &length), HEAD_TOO_LARGE);
}
END_TEST

START_TEST(doubled_framing_is_one)
{
    static const struct {
        const char *fields;
        bool changed;
        enum framing_verdict verdict;
    } doubles[] = {
        {"Content-Length: 5\r\nA: b\r\nContent-Length: 5\r\n", true, FRAMING_OK},
        {"Content-Length: 5, 5\r\n", true, FRAMING_OK},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: CHUNKED\r\n", true, FRAMING_OK},
        {"Transfer-Encoding: chunked ,chunked\r\n", true, FRAMING_OK},
        {"Content-Length: 5\r\n", false, FRAMING_OK},
        {"Transfer-Encoding: chunked\r\n", false, FRAMING_OK},
        {"A: b\r\n", false, FRAMING_OK},
        {"Content-Length: 5\r\nContent-Length: 6\r\n", false, FRAMING_BAD_LENGTH},
        {"Content-Length: 5, 05\r\n", false, FRAMING_BAD_LENGTH},
        {"Content-Length: 5,\r\n", false, FRAMING_BAD_LENGTH},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", false, FRAMING_LENGTH_AND_CODING},
        {"Content-Length: 5, 5\r\nTransfer-Encoding: chunked\r\n", true, FRAMING_LENGTH_AND_CODING},
        {"Transfer-Encoding: gzip, gzip\r\n", false, FRAMING_UNKNOWN_CODING},
        {"Transfer-Encoding: chunked, gzip\r\n", false, FRAMING_UNKNOWN_CODING},
        {"Transfer-Encoding: chunked,,chunked\r\n", false, FRAMING_BAD_CODING},
    };

    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        struct framing f;

        head = *response_with(doubles[i].fields);
        ck_assert_msg(repair_framing(&head) == doubles[i].changed, "%s", doubles[i].fields);
        ck_assert_msg(framing_of_response(&head, REQUEST_PLAIN, &f) == doubles[i].verdict, "%s",
                      doubles[i].fields);
        ck_assert_uint_le(head_count(&head, FIELD_CONTENT_LENGTH), doubles[i].changed ? 1 : 2);
    }
    head = *response_with("A: b\r\nContent-Length: 5\r\nContent-Length: 5\r\nC: d\r\n");
    ck_assert(repair_framing(&head));
    ck_assert_uint_eq(head.count, 3);
    assert_slice(head.fields[2].name, "C");
}
END_TEST

START_TEST(only_some_faults_are_repaired)
{
    for (enum head_verdict v = HEAD_OK; v <= HEAD_PARSERS_DISAGREE; v++)
        ck_assert_int_eq(head_verdict_is_repairable(v), v == HEAD_BARE_LF || v == HEAD_BARE_CR ||
                                                            v == HEAD_OBS_FOLD || v == HEAD_BAD_FIELD_NAME ||
                                                            v == HEAD_BAD_FIELD_VALUE);
    for (enum repair r = 0; r < REPAIR_COUNT; r++)
        ck_assert_uint_gt(strlen(repair_words(r)), 10);
}
END_TEST

void http_repair_tests(Suite *suite)
{
    unit_group(suite, "repair", heads_are_repaired, the_end_is_found_however_it_comes, doubled_framing_is_one,
               only_some_faults_are_repaired);
}
