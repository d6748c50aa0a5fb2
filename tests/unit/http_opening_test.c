/* What a client says first inside a CONNECT. */

#include "http/opening.h"

#include <stdlib.h>

#include "http_test.h"

static const struct {
    struct slice bytes;
    enum opening opening;
} rows[] = {
    {SLICE("GET /x HTTP/1.1\r\n"), OPENING_HTTP},
    {SLICE("M /"), OPENING_HTTP},
    {SLICE("POST http://a/ HTTP/1.1"), OPENING_HTTP},
    {SLICE("GET a+b-c.1://"), OPENING_HTTP},
    {SLICE("OPTIONS * HTTP/1.1"), OPENING_HTTP},
    {SLICE("CONNECT a:1 HTTP/1.1"), OPENING_HTTP},
    {SLICE("OPTIONS *"), OPENING_MORE},
    {SLICE("OPTIONS *x"), OPENING_OTHER},
    {SLICE("GET *"), OPENING_OTHER},
    {SLICE("GET http:/x"), OPENING_OTHER},
    {SLICE("GET ://"), OPENING_OTHER},
    {SLICE("EHLO mail.test\r\n"), OPENING_OTHER},
    {SLICE("GET\r\n"), OPENING_OTHER},
    {SLICE("GET  /"), OPENING_OTHER},
    {SLICE("get / HTTP/1.1"), OPENING_OTHER},
    {SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), OPENING_OTHER},
    {SLICE("PRI"), OPENING_MORE},
    {SLICE("PRIX /"), OPENING_HTTP},
    {SLICE("\r\nGET / HTTP/1.1"), OPENING_OTHER},
    {SLICE(" / HTTP/1.1"), OPENING_OTHER},
    {SLICE("SSH-2.0-x"), OPENING_OTHER},
    {SLICE("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH /"), OPENING_OTHER},
    {SLICE("GET abcdefghijklmnopqrstuvwxyzabcdefgh://"), OPENING_OTHER},
    {SLICE("\0\0\0"), OPENING_OTHER},
    {SLICE("\x16\x03\x01\x02\x00\x01"), OPENING_TLS},
    {SLICE("\x16\x03\x04\x00\x04\x01"), OPENING_TLS},
    {SLICE("\x16\x03\x01\x02\x00"), OPENING_MORE},
    {SLICE("\x16\x03\x01\x02\x00\x02"), OPENING_OTHER},
    {SLICE("\x16\x02"), OPENING_OTHER},
    {SLICE("\x16\x03\x05"), OPENING_OTHER},
    {SLICE("\x16\x03\x01\x00\x00"), OPENING_OTHER},
    {SLICE("\x16\x03\x01\x40\x01"), OPENING_OTHER},
    {SLICE("\x15\x03\x01\x00\x02"), OPENING_OTHER},
};

/* Byte by byte, from an allocation of that very size: what is told once stays, and a byte beyond is never
 * looked at. */
START_TEST(opening_is_recognised)
{
    struct slice all = rows[_i].bytes;
    enum opening before = OPENING_MORE;

    for (size_t n = 0; n <= all.n; n++) {
        char *exact = malloc(n + 1);
        memcpy(exact, all.p, n);
        enum opening now = opening_of((struct slice){exact, n});
        ck_assert_msg(before == OPENING_MORE || now == before, "row %d at byte %zu", _i, n);
        before = now;
        free(exact);
    }
    ck_assert_int_eq(before, rows[_i].opening);
}
END_TEST

/* A ClientHello of `length` bytes in records of at most `piece`. */
static size_t put_hello(char *to, size_t length, size_t piece)
{
    size_t at = 0, done = 0, whole = length + 4;

    while (done < whole) {
        size_t n = whole - done < piece ? whole - done : piece;
        const char head[] = {0x16, 3, 1, (char)(n >> 8), (char)n};
        memcpy(to + at, head, 5);
        memset(to + at + 5, 'x', n);
        for (size_t i = 0; i < n && done + i < 4; i++)
            to[at + 5 + i] = (char)(done + i == 0 ? 1 : length >> (8 * (3 - done - i)));
        at += 5 + n;
        done += n;
    }
    return at;
}

START_TEST(hello_is_found)
{
    static const size_t pieces[] = {1, 2, 3, 5, 300, 16384};
    char *bytes = malloc(200000);

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t n = put_hello(bytes, 300, pieces[i]);
        for (size_t cut = 6; cut < n; cut++)
            ck_assert_int_eq(hello_of((struct slice){bytes, cut}), HELLO_MORE);
        ck_assert_int_eq(hello_of((struct slice){bytes, n}), HELLO_WHOLE);
        ck_assert_int_eq(hello_of((struct slice){bytes, n + 7}), HELLO_WHOLE);
    }
    free(bytes);
}
END_TEST

START_TEST(hello_has_a_limit)
{
    char *bytes = malloc(200000);

    ck_assert_uint_gt(put_hello(bytes, HELLO_MAX + 1, 16384), 0);
    ck_assert_int_eq(hello_of((struct slice){bytes, 9}), HELLO_TOO_LARGE);
    /* Many small records */
    size_t n = put_hello(bytes, HELLO_MAX - 100, 1);
    ck_assert_uint_gt(n, HELLO_MAX);
    ck_assert_int_eq(hello_of((struct slice){bytes, HELLO_MAX - 1}), HELLO_MORE);
    ck_assert_int_eq(hello_of((struct slice){bytes, HELLO_MAX}), HELLO_TOO_LARGE);
    /* What can be none is for OpenSSL to refuse */
    ck_assert_int_eq(hello_of(SLICE("\x16\x03\x01\x00\x02\x01\x00\x15\x03\x01\x00\x02")), HELLO_WHOLE);
    free(bytes);
}
END_TEST

void http_opening_tests(Suite *suite)
{
    TCase *openings = tcase_create("opening");

    tcase_add_loop_test(openings, opening_is_recognised, 0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_test(openings, hello_is_found);
    tcase_add_test(openings, hello_has_a_limit);
    suite_add_tcase(suite, openings);
}
