/* Where a head ends, however it comes, and its limits. */

#include "http_test.h"

#include "unit.h"

static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};

struct scan_case {
    struct slice bytes;
    enum head_verdict verdict;
    size_t length;
};

static enum head_verdict scan_in_steps(struct slice bytes, size_t step, const struct head_limits *l,
                                       size_t *length)
{
    size_t scanned = 0;
    enum head_verdict v = HEAD_INCOMPLETE;

    for (size_t n = step < bytes.n ? step : bytes.n;; n = bytes.n - n < step ? bytes.n : n + step) {
        /* A copy of what has arrived and no more, so that a sanitizer sees who looks further. */
        char *arrived = malloc(n ? n : 1);

        memcpy(arrived, bytes.p, n);
        v = head_scan((struct slice){arrived, n}, &scanned, l, length);
        free(arrived);
        if (v != HEAD_INCOMPLETE || n == bytes.n)
            return v;
    }
}

static void check_scan(struct slice bytes, const struct head_limits *l, enum head_verdict verdict,
                       size_t length)
{
    for (size_t step = 1; step <= bytes.n + 1; step++) {
        size_t seen = 0;
        enum head_verdict v = scan_in_steps(bytes, step, l, &seen);

        ck_assert_msg(v == verdict && (v != HEAD_OK || seen == length), "%s (%zu) in steps of %zu: %.*s",
                      head_verdict_text(v), seen, step, (int)bytes.n, bytes.p);
    }
}

static const struct scan_case scans[] = {
    {SLICE("G"), HEAD_INCOMPLETE, 0},
    {SLICE("GET / HTTP/1.1\r\n\r"), HEAD_INCOMPLETE, 0},
    {SLICE("GET / HTTP/1.1\r\n\r\n"), HEAD_OK, 18},
    {SLICE("GET / HTTP/1.1\r\nA: b\r\n\r\nmore\n\r"), HEAD_OK, 24},
    {SLICE("\r\nGET"), HEAD_OK, 2},
    {SLICE("GET / HTTP/1.1\n"), HEAD_BARE_LF, 0},
    {SLICE("GET / HTTP/1.1\r\nA: b\n"), HEAD_BARE_LF, 0},
    {SLICE("GET / HTTP/1.1\r\n\n"), HEAD_BARE_LF, 0},
    {SLICE("\n"), HEAD_BARE_LF, 0},
    {SLICE("GET / HTTP/1.1\rA"), HEAD_BARE_CR, 0},
    {SLICE("GET / HTTP/1.1\r\r\n"), HEAD_BARE_CR, 0},
    {SLICE("GET / HTTP/1.1\r\n\rX"), HEAD_BARE_CR, 0},
    {SLICE("GET / HTTP/1.1\r\nA: b\rc\n\r\n"), HEAD_BARE_CR, 0},
    {SLICE("GET / HTTP/1.1\nA: b\rc\r\n\r\n"), HEAD_BARE_LF, 0},
    {SLICE("\x16\x03\x01"), HEAD_BAD_START_LINE, 0},
    {SLICE(" GET"), HEAD_BAD_START_LINE, 0},
    {SLICE("\0"), HEAD_BAD_START_LINE, 0},
    {SLICE("\xef\xbb\xbfGET"), HEAD_BAD_START_LINE, 0},
};

START_TEST(scan_finds_the_end)
{
    size_t scanned = 0, length;

    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++)
        check_scan(scans[i].bytes, &limits, scans[i].verdict, scans[i].length);
    ck_assert_int_eq(head_scan((struct slice){NULL, 0}, &scanned, &limits, &length), HEAD_INCOMPLETE);
}
END_TEST

START_TEST(scan_keeps_limits)
{
    const struct head_limits small = {.max_size = 24, .max_count = 100};

    check_scan(SLICE("GET / HTTP/1.1\r\nA: b\r\n\r\n"), &small, HEAD_OK, 24);
    check_scan(SLICE("GET / HTTP/1.1\r\nA: bc\r\n\r\n"), &small, HEAD_TOO_LARGE, 0);
    check_scan(SLICE("GET /23456789abcdef HTTP/1.1\r\n\r\n"), &small, HEAD_LINE_TOO_LONG, 0);
    check_scan(SLICE("GET /23456789 HTTP/1.1\r\n\r\n"), &small, HEAD_TOO_LARGE, 0);
    /* The last byte of the limit is the last chance. */
    check_scan(SLICE("GET / HTTP/1.1\r\nA: bc\r\n\r"), &small, HEAD_TOO_LARGE, 0);
    check_scan(SLICE("GET / HTTP/1.1\r\nA: bc\r\n"), &small, HEAD_INCOMPLETE, 0);
    check_scan(SLICE("GET /23456789012345678901"), &small, HEAD_LINE_TOO_LONG, 0);
    /* Nothing behind the limit decides. */
    check_scan(SLICE("GET /2345678 HTTP/1.1\r\n\n\r\n"), &small, HEAD_BARE_LF, 0);
    check_scan(SLICE("GET /23456789a HTTP/1.1\n\r\n"), &small, HEAD_BARE_LF, 0);
    check_scan(SLICE("GET /23456789ab HTTP/1.1\n\r\n"), &small, HEAD_LINE_TOO_LONG, 0);
    check_scan(SLICE("GET /23456789 HTTP/1.1\rX\r\n"), &small, HEAD_BARE_CR, 0);
    check_scan(SLICE("GET /23456789a HTTP/1.1\rX\r\n"), &small, HEAD_LINE_TOO_LONG, 0);
}
END_TEST

/* A reload may lower or raise the limit while a head is half read. */
static enum head_verdict scan_with_two_limits(struct slice bytes, size_t before, uint32_t first,
                                              uint32_t second)
{
    const struct head_limits limits_before = {.max_size = first, .max_count = 100},
                             limits_after = {.max_size = second, .max_count = 100};
    char *arrived = malloc(bytes.n);
    size_t scanned = 0, length;
    enum head_verdict v;

    memcpy(arrived, bytes.p, bytes.n);
    ck_assert_int_eq(head_scan((struct slice){arrived, before}, &scanned, &limits_before, &length),
                     HEAD_INCOMPLETE);
    v = head_scan((struct slice){arrived, bytes.n}, &scanned, &limits_after, &length);
    free(arrived);
    return v;
}

START_TEST(scan_takes_a_limit_that_changes)
{
    const struct slice bytes = SLICE("GET / HTTP/1.1\r\nA: bcdefgh\r\n\r\n");

    for (size_t before = 17; before < bytes.n; before++)
        for (uint32_t lower = 16; lower < before; lower++)
            ck_assert_int_eq(scan_with_two_limits(bytes, before, 100, lower), HEAD_TOO_LARGE);
    for (uint32_t lower = 1; lower < 16; lower++)
        ck_assert_int_eq(scan_with_two_limits(bytes, 20, 100, lower), HEAD_LINE_TOO_LONG);
    ck_assert_int_eq(scan_with_two_limits(bytes, 20, 21, 100), HEAD_OK);
}
END_TEST

/* head_parse_request and head_parse_response */

void http_scan_tests(Suite *suite)
{
    unit_group(suite, "scan", scan_finds_the_end, scan_keeps_limits, scan_takes_a_limit_that_changes);
}
