/* A request to the admin listener as its bytes come: what is taken, what is refused, and that it makes no
 * difference where they are cut. */

#include "admin/request.h"
#include "admin_test.h"
#include "http/head.h"
#include "unit.h"

static struct head scratch;

/* A connection's bytes, in memory of exactly that room, so that a sanitizer sees a step beyond it. */
struct typed {
    struct request request;
    char *in;
    size_t n;
};

static void typed_open(struct typed *w)
{
    http_init();
    *w = (struct typed){.in = malloc(REQUEST_ROOM)};
}

/* Reads what is given, `step` bytes at a time; stops at the first verdict. Returns what was left unread of
 * `all`. */
static enum request_progress feed(struct typed *w, struct slice *all, size_t step)
{
    enum request_progress p = request_read(&w->request, &scratch, w->in, &w->n);

    while (p == REQUEST_INCOMPLETE && all->n > 0) {
        size_t room = REQUEST_ROOM - w->n;
        size_t n = step < all->n ? step : all->n;

        ck_assert_uint_gt(room, 0);
        n = n < room ? n : room;
        memcpy(w->in + w->n, all->p, n);
        w->n += n;
        *all = slice_from(*all, n);
        p = request_read(&w->request, &scratch, w->in, &w->n);
    }
    return p;
}

static const size_t steps[] = {1, 2, 7, REQUEST_ROOM};

START_TEST(request_is_read_however_it_is_cut)
{
    static const char text[] =
        "\r\nPOST /a%20b?c HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:1\r\n"
        "Content-Length: 5\r\n\r\nhello"
        "HEAD http://h.test/b HTTP/1.0\r\nHost: other\r\n\r\n"
        "PUT http://h.test HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\nrest";

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct slice all = slice_of(text);
        struct typed w;

        typed_open(&w);
        ck_assert_int_eq(feed(&w, &all, steps[i]), REQUEST_COMPLETE);
        ck_assert(w.request.method == ADMIN_POST && w.request.persistent && !w.request.is_head);
        assert_slice(w.request.path, "/a%20b");
        assert_slice(w.request.host, "localhost:1");
        assert_slice(w.request.origin, "http://localhost:1");
        request_end(&w.request, w.in, &w.n);

        ck_assert_int_eq(feed(&w, &all, steps[i]), REQUEST_COMPLETE);
        ck_assert(w.request.method == ADMIN_GET && w.request.is_head && w.request.is_http_1_0);
        ck_assert(!w.request.persistent && !w.request.origin.p);
        assert_slice(w.request.path, "/b");
        assert_slice(w.request.host, "h.test");
        request_end(&w.request, w.in, &w.n);

        ck_assert_int_eq(feed(&w, &all, steps[i]), REQUEST_COMPLETE);
        ck_assert(w.request.method == ADMIN_OTHER && !w.request.persistent);
        assert_slice(w.request.path, "/");
        request_end(&w.request, w.in, &w.n);
        ck_assert_uint_eq(w.n + all.n, 4);
        free(w.in);
    }
}
END_TEST

START_TEST(request_that_expects_100_says_so_once)
{
    struct slice all =
        SLICE("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    struct typed w;

    typed_open(&w);
    struct slice head = {all.p, all.n - 2}, content = {all.p + all.n - 2, 2};
    ck_assert_int_eq(feed(&w, &head, head.n), REQUEST_INCOMPLETE);
    ck_assert(w.request.expects_continue);
    w.request.expects_continue = false;
    ck_assert_int_eq(feed(&w, &content, 1), REQUEST_COMPLETE);
    ck_assert(!w.request.expects_continue);
    free(w.in);
}
END_TEST

#define TEN      "0123456789"
#define HUNDRED  TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define THOUSAND HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
#define LONG                                                                                           \
    THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND \
        THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND THOUSAND
#define H "Host: h\r\n"

static const struct {
    unsigned status;
    const char *text;
} refused[] = {
    {400, "GET nothing HTTP/1.1\r\n" H "\r\n"},
    {400, "OPTIONS * HTTP/1.1\r\n" H "\r\n"},
    {400, "CONNECT h:1 HTTP/1.1\r\n" H "\r\n"},
    {400, "GET ftp://h/ HTTP/1.1\r\n" H "\r\n"},
    {400, "GET / HTTP/1.1\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H H "\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "Origin: http://h\r\nOrigin: null\r\n\r\n"},
    {400, "GET / HTTP/1.1\n" H "\r\n"},
    {400, "GET / HTTP/1.1\r\n" H "X : y\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n" H " folded\r\n\r\n"},
    {400, "\x16\x03\x01 hello\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: x\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n"},
    {413, "POST / HTTP/1.1\r\n" H "Content-Length: 16385\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\n" H "Content-Length: 999999999999\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5000\r\n" LONG},
    {413, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;" LONG},
    {414, "GET /" LONG " HTTP/1.1\r\n" H "\r\n"},
    {431, "GET / HTTP/1.1\r\n" H "X: " LONG "\r\n\r\n"},
    {501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n"},
    {505, "GET / HTTP/2.0\r\n" H "\r\n"},
};

START_TEST(request_is_refused_however_it_is_cut)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            struct slice all = slice_of(refused[i].text);
            struct typed w;

            typed_open(&w);
            ck_assert_msg(feed(&w, &all, steps[k]) == REQUEST_BAD, "%.60s is taken", refused[i].text);
            ck_assert_msg(w.request.status == refused[i].status, "%.60s: %u", refused[i].text,
                          w.request.status);
            ck_assert_ptr_nonnull(w.request.problem);
            free(w.in);
        }
    }
}
END_TEST

/* A head of the greatest size, and content of the greatest size in the smallest chunks. */
START_TEST(request_of_the_greatest_size_has_room)
{
    size_t chunks = REQUEST_MAX_CONTENT * strlen("1\r\nx\r\n"), size = REQUEST_MAX_HEAD + chunks + 5;
    char *text = malloc(size), *at = text;
    struct slice all = {text, size};
    struct typed w;

    at += sprintf(at, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX: ");
    memset(at, 'y', REQUEST_MAX_HEAD);
    at = text + REQUEST_MAX_HEAD - 4;
    at = mempcpy(at, "\r\n\r\n", 4);
    for (int i = 0; i < REQUEST_MAX_CONTENT; i++)
        at = mempcpy(at, "1\r\nx\r\n", 6);
    memcpy(at, "0\r\n\r\n", 5);
    typed_open(&w);
    ck_assert_int_eq(feed(&w, &all, REQUEST_ROOM), REQUEST_COMPLETE);
    ck_assert_uint_eq(all.n, 0);
    request_end(&w.request, w.in, &w.n);
    ck_assert_uint_eq(w.n, 0);
    free(w.in);
    free(text);
}
END_TEST

void add_request_tests(Suite *suite)
{
    unit_group(suite, "request", request_is_read_however_it_is_cut, request_that_expects_100_says_so_once,
               request_is_refused_however_it_is_cut, request_of_the_greatest_size_has_room);
}
