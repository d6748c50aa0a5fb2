/* What HTTP/1.1 writes to an origin: content framed anew, however the origin takes it. */

#include "wire_h1_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/sendq.h"

static struct head head;

/* Undoes chunks by the book, for what our own side has written: no extensions. The trailer section is
 * appended to the content. */
static size_t dechunk(const char *p, size_t n, char *out, bool *whole)
{
    const char *end = p + n;
    size_t made = 0;

    *whole = false;
    for (;;) {
        char *after;
        const char *line = memchr(p, '\n', (size_t)(end - p));
        if (!line)
            return made;
        unsigned long long size = strtoull(p, &after, 16);
        ck_assert_msg(after > p && after + 1 == line && *after == '\r', "a bad chunk line");
        p = line + 1;
        if (size == 0)
            break;
        if ((unsigned long long)(end - p) < size + 2)
            return made;
        memcpy(out + made, p, size);
        made += size;
        p += size;
        ck_assert(p[0] == '\r' && p[1] == '\n');
        p += 2;
    }
    memcpy(out + made, p, (size_t)(end - p));
    made += (size_t)(end - p);
    *whole = end - p >= 2 && memcmp(end - 2, "\r\n", 2) == 0;
    return made - 2;
}

/* Sends `size` bytes in batches of runs, as fast as the origin takes them. Returns what it read. */
static size_t upload(struct framing framing, size_t size, int room, char *out)
{
    struct wire w = {0};
    struct call c = {0};
    struct iovec runs[CALL_RUNS];
    size_t sent = 0, got = 0;
    bool over = false;
    int far;

    h1_open_call(&w, &c, &far, framing, room);
    while (!over) {
        struct call_content batch = {.runs = runs};
        for (size_t n; sent < size && batch.count < CALL_RUNS; sent += n) {
            n = h1_some(20000) < size - sent ? h1_some(20000) % (size - sent) + 1 : size - sent;
            runs[batch.count++] = (struct iovec){h1_content + sent, n};
        }
        over = batch.last = sent == size;
        enum call_write result = call_send(&c, &batch);
        while (result == CALL_BLOCKED) {
            ssize_t n = read(far, out + got, h1_some(6000));
            got += n > 0 ? (size_t)n : 0;
            result = call_send(&c, NULL);
        }
        ck_assert_int_eq(result, CALL_SENT);
    }
    for (ssize_t n; (n = read(far, out + got, H1_MOST - got)) > 0;)
        got += (size_t)n;
    ck_assert_uint_eq(c.sent, got);
    h1_close_call(&w, &c, far);
    return got;
}

START_TEST(content_is_framed_anew)
{
    static const char line[] = "PUT / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n";
    const size_t n = sizeof line - 1;
    char *out = malloc(H1_MOST), *plain = malloc(H1_MOST);

    h1_set_up();
    srand48(_i);
    for (size_t i = 0; i < sizeof h1_sizes / sizeof h1_sizes[0]; i++) {
        int room = lrand48() % 2 ? 4096 : 0;
        bool whole;
        h1_fill_content(h1_sizes[i]);
        size_t got =
            upload((struct framing){.kind = BODY_LENGTH, .length = h1_sizes[i]}, h1_sizes[i], room, out);
        ck_assert(got == n + h1_sizes[i] && memcmp(out, line, n) == 0 &&
                  memcmp(out + n, h1_content, h1_sizes[i]) == 0);
        got = upload((struct framing){.kind = BODY_CHUNKED}, h1_sizes[i], room, out);
        ck_assert(memcmp(out, line, n) == 0);
        ck_assert_uint_eq(dechunk(out + n, got - n, plain, &whole), h1_sizes[i]);
        ck_assert(whole && memcmp(plain, h1_content, h1_sizes[i]) == 0);
    }
    h1_tear_down();
    free(out);
    free(plain);
}
END_TEST

START_TEST(a_peer_that_takes_no_more_may_have_answered)
{
    struct wire w = {0};
    struct call c = {0};
    struct slice run;
    int far;
    const struct call_content batch = {
        .runs = &(struct iovec){(char[]){"hello"}, 5}, .count = 1, .last = true};

    h1_set_up();
    h1_open_call(&w, &c, &far, (struct framing){.kind = BODY_LENGTH, .length = 5}, 0);
    ck_assert_int_eq(write(far, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", 39), 39);
    close(far);
    ck_assert_int_eq(call_send(&c, &batch), CALL_WRITE_FAILED);
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_HEAD);
    ck_assert_uint_eq(head.status, 413);
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_END);
    h1_close_call(&w, &c, -1);
    h1_open_call(&w, &c, &far, (struct framing){.kind = BODY_LENGTH, .length = 5}, 0);
    close(far);
    ck_assert_int_eq(call_send(&c, &batch), CALL_WRITE_FAILED);
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_FAILED);
    ck_assert_int_eq(h1_loop.failure.error, CALL_ERROR_ENDED);
    ck_assert_int_eq(h1_loop.failure.progress, CALL_NOT_SENT);
    h1_close_call(&w, &c, -1);
    h1_tear_down();
}
END_TEST

START_TEST(connection_lines_fit_the_occasion)
{
    assert_slice(connection_lines(false, false, false), "Connection: keep-alive\r\n\r\n");
    assert_slice(connection_lines(true, false, false), "Connection: close\r\n\r\n");
    assert_slice(connection_lines(false, false, true), "TE: trailers\r\nConnection: keep-alive, TE\r\n\r\n");
    assert_slice(connection_lines(true, false, true), "TE: trailers\r\nConnection: close, TE\r\n\r\n");
    assert_slice(connection_lines(false, true, false), "Connection: Upgrade\r\n\r\n");
}
END_TEST

/* sendq: whatever the sizes and however little the sink takes, the bytes come in order. */
START_TEST(queues_write_in_order)
{
    srand48(7);
    h1_fill_content(300000);
    for (unsigned round = 0; round < 50; round++) {
        struct conn to;
        struct sendq q;
        int reader;
        size_t pushed = 0, got = 0;
        char *out = malloc(H1_MOST);

        h1_open_pair(&to, &reader, 4096);
        sendq_clear(&q);
        ck_assert_int_eq(sendq_flush(&q, &to), SENDQ_EMPTY);
        for (unsigned i = 0; i < SENDQ_MAX; i++) {
            size_t n = (size_t)lrand48() % (lrand48() % 3 ? 100 : 15000);
            sendq_push(&q, (struct slice){h1_content + pushed, n});
            pushed += n;
        }
        enum sendq_result result = SENDQ_BLOCKED;
        while (result == SENDQ_BLOCKED) {
            result = sendq_flush(&q, &to);
            ssize_t n = read(reader, out + got, h1_some(6000));
            got += n > 0 ? (size_t)n : 0;
        }
        ck_assert_int_eq(result, SENDQ_EMPTY);
        ck_assert_uint_eq(q.sent, pushed);
        ck_assert_uint_eq(sendq_room(&q), SENDQ_MAX);
        for (ssize_t n; (n = read(reader, out + got, H1_MOST - got)) > 0;)
            got += (size_t)n;
        ck_assert_uint_eq(got, pushed);
        ck_assert(memcmp(out, h1_content, got) == 0);
        free(out);
        close(reader);
        conn_close(&to, false);
    }
}
END_TEST

void add_h1_requests(Suite *suite)
{
    TCase *random = tcase_create("h1 requests at random");

    tcase_add_loop_test(random, content_is_framed_anew, 0, 4);
    tcase_set_timeout(random, 60);
    suite_add_tcase(suite, random);
    unit_group(suite, "h1 requests", a_peer_that_takes_no_more_may_have_answered,
               connection_lines_fit_the_occasion, queues_write_in_order);
}
