/* HTTP/1.1 on a wire, over socket pairs: content in and out of every framing, however it is cut. The driver
 * knows what an edge-triggered loop knows: a call that waits is asked again when something new came, one that
 * is blocked when the other side took something, and never else. So a wake-up that is lost shows as content
 * that never arrives. */

#include "wire_h1_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct head head;

/* Chunks of random sizes, with extensions here and there. */
static struct slice chunk(size_t n, const char *trailers)
{
    static char out[2 * H1_MOST];
    size_t at = 0, done = 0;

    while (done < n) {
        size_t size = 1 + (size_t)lrand48() % (lrand48() % 4 ? 5000 : 40);
        if (size > n - done)
            size = n - done;
        at += (size_t)sprintf(out + at, lrand48() % 2 ? "%zx\r\n" : "%zX;a=b;c=\"d\"\r\n", size);
        memcpy(out + at, h1_content + done, size);
        at += size;
        done += size;
        at += (size_t)sprintf(out + at, "\r\n");
    }
    at += (size_t)sprintf(out + at, "0\r\n%s\r\n", trailers);
    return (struct slice){out, at};
}

struct trial {
    const char *fields;
    struct slice input; /* after the head; the origin ends after it */
    size_t most_written;
    bool stays_open;
    /* What came of it. */
    enum call_part result;
    struct call_failure failure;
    struct call_end end;
    char *output;
    size_t got;
    char trailers[256];
};

static void keep_trailers(struct trial *t)
{
    for (uint32_t i = 0; i < head.count; i++)
        if (field_allowed_in_trailer(&head.fields[i]))
            sprintf(t->trailers + strlen(t->trailers), "%.*s: %.*s\r\n", (int)head.fields[i].name.n,
                    head.fields[i].name.p, (int)head.fields[i].value.n, head.fields[i].value.p);
}

/* Takes what there is; CALL_MORE: the origin must send more. */
static enum call_part take_parts(struct trial *t, struct call *c)
{
    size_t given = 0;

    for (;;) {
        struct slice run;
        enum call_part part = call_next(c, &head, &run);
        if (part == CALL_CONTENT) {
            memcpy(t->output + t->got, run.p, run.n);
            t->got += run.n;
            given += run.n;
        } else if (part == CALL_TRAILERS) {
            keep_trailers(t);
        } else if (part == CALL_MORE && given > 0) {
            call_consumed(c, given);
            given = 0;
        } else if (part != CALL_HEAD && part != CALL_INTERIM) {
            if (given > 0 && part != CALL_FAILED)
                call_consumed(c, given);
            return part;
        }
    }
}

static void run(struct trial *t)
{
    struct wire w = {0};
    struct call c = {0};
    int far;
    char first[512];
    size_t written = 0;
    const int n =
        snprintf(first, sizeof first, "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n%s\r\n", t->fields);
    char *all = malloc((size_t)n + t->input.n);
    size_t all_n = (size_t)n + t->input.n;

    memcpy(all, first, (size_t)n);
    memcpy(all + n, t->input.p, t->input.n);
    h1_open_call(&w, &c, &far, (struct framing){.kind = BODY_NONE}, 0);
    const struct call_content nothing = {.last = true};
    ck_assert_int_eq(call_send(&c, &nothing), CALL_SENT);
    t->output = malloc(H1_MOST);
    t->got = 0;
    t->trailers[0] = 0;
    do {
        size_t left = all_n - written, step = h1_some(t->most_written);
        if (left > 0) {
            ssize_t put = write(far, all + written, step < left ? step : left);
            written += put > 0 ? (size_t)put : 0;
        }
        if (written == all_n && !t->stays_open)
            shutdown(far, SHUT_WR);
        conn_report(&w.conn, 0);
        w.conn.may_read = true;
        w.conn.peer_fin = written == all_n && !t->stays_open; /* the h1_loop says so with the same event */
        t->result = take_parts(t, &c);
    } while (t->result == CALL_MORE && written < all_n);
    if (t->result == CALL_FAILED)
        t->failure = h1_loop.failure;
    if (t->result == CALL_END)
        call_finish(&c, &t->end);
    free(all);
    h1_close_call(&w, &c, far);
}

static void try_all(const char *fields, size_t size, bool is_chunked)
{
    static const size_t cuts[] = {0, 100000, 5000, 50};

    h1_fill_content(size);
    for (unsigned i = 0; i < 6; i++) {
        struct trial t = {.fields = fields};
        t.most_written = size < 5000 && lrand48() % 4 == 0 ? 1 : cuts[lrand48() % 4];
        t.input = is_chunked ? chunk(size, "") : (struct slice){h1_content, size};
        run(&t);
        ck_assert_msg(t.result == CALL_END, "result %d for %zu bytes of %s", t.result, size, fields);
        ck_assert_uint_eq(t.got, size);
        ck_assert(memcmp(t.output, h1_content, size) == 0);
        ck_assert(t.end.response_complete && t.end.request_complete);
        ck_assert(!t.end.drained); /* the origin has ended */
        free(t.output);
    }
}

START_TEST(every_framing_is_undone)
{
    h1_set_up();
    srand48(_i);
    for (size_t i = 0; i < sizeof h1_sizes / sizeof h1_sizes[0]; i++) {
        char length[64];
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", h1_sizes[i]);
        try_all(length, h1_sizes[i], false);
        try_all("Transfer-Encoding: chunked\r\n", h1_sizes[i], true);
        try_all("", h1_sizes[i], false);
    }
    h1_tear_down();
}
END_TEST

START_TEST(what_follows_is_seen_and_not_taken)
{
    static const struct {
        const char *fields;
        struct slice input;
    } cases[] = {
        {"Content-Length: 5\r\n", SLICE("helloHTTP/1.1")},
        {"Transfer-Encoding: chunked\r\n", SLICE("5\r\nhello\r\n0\r\n\r\nHTTP/1.1")},
    };

    h1_set_up();
    for (size_t i = 0; i < 2; i++) {
        struct trial t = {.fields = cases[i].fields, .input = cases[i].input, .stays_open = true};
        run(&t);
        ck_assert_int_eq(t.result, CALL_END);
        ck_assert_uint_eq(t.got, 5);
        ck_assert(!t.end.drained && !t.end.peer_ended);
        free(t.output);
    }
    h1_tear_down();
}
END_TEST

START_TEST(short_content_is_no_end)
{
    static const char *const fields[] = {"Content-Length: 6\r\n", "Transfer-Encoding: chunked\r\n"};

    h1_set_up();
    for (size_t i = 0; i < 2; i++) {
        struct trial t = {.fields = fields[i], .most_written = 1, .input = SLICE("5\r\nh")};
        run(&t);
        ck_assert_int_eq(t.result, CALL_FAILED);
        ck_assert_int_eq(t.failure.error, CALL_ERROR_ENDED);
        ck_assert_int_eq(t.failure.code, 0);
        ck_assert_int_eq(t.failure.progress, CALL_MAYBE_PROCESSED);
        free(t.output);
    }
    h1_tear_down();
}
END_TEST

/* Broken chunks are broken however they are cut, and what was well before them is given. */
START_TEST(broken_chunks_are_malformed)
{
    static const struct slice inputs[] = {
        SLICE("5\r\nhello\r\nX\r\n"),
        SLICE("5\r\nhelloX\r\n0\r\n\r\n"),
        SLICE("5\nhello\r\n0\r\n\r\n"),
        SLICE("-5\r\nhello\r\n0\r\n\r\n"),
        SLICE("0x5\r\nhello\r\n0\r\n\r\n"),
        SLICE("\r\n"),
        SLICE("5 \r\nhello\r\n0\r\n\r\n"),
        SLICE("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        SLICE("5\r\nhello\r\n0\r\nbad name: x\r\n\r\n"),
        SLICE("5\r\nhello\r\n0\r\n folded\r\n\r\n"),
    };

    h1_set_up();
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        for (size_t step = 0; step < 3; step++) {
            struct trial t = {
                .fields = "Transfer-Encoding: chunked\r\n", .most_written = step, .input = inputs[i]};
            run(&t);
            ck_assert_msg(t.result == CALL_FAILED && t.failure.error == CALL_ERROR_MALFORMED, "input %zu: %d",
                          i, t.result);
            ck_assert_msg(t.got == (i < 2 || i >= 8 ? 5 : 0), "input %zu: %zu bytes", i, t.got);
            free(t.output);
        }
    }
    h1_tear_down();
}
END_TEST

START_TEST(trailers_come_after_the_content)
{
    static const char trailers[] =
        "Digest: x\r\nContent-Length: 9\r\nAuthorization: no\r\nX-Odd:   y \r\nHost: h\r\n";

    h1_set_up();
    h1_fill_content(1000);
    for (size_t step = 0; step < 4; step++) {
        struct trial t = {.fields = "Transfer-Encoding: chunked\r\n", .most_written = step};
        t.input = chunk(1000, trailers);
        run(&t);
        ck_assert_int_eq(t.result, CALL_END);
        ck_assert_uint_eq(t.got, 1000);
        ck_assert_str_eq(t.trailers, "Digest: x\r\nX-Odd: y\r\n");
        free(t.output);
    }
    h1_tear_down();
}
END_TEST

/* --- A call that was left --------------------------------------------------------------------------------- */

static unsigned left;
static struct call_end left_end;

static void on_left(struct wire *w, enum retire_reason reason, const struct call_end *end)
{
    (void)w;
    ck_assert_int_eq(reason, RETIRE_NONE);
    left++;
    left_end = *end;
}

static const struct wire_owner who_waits = {.left = on_left};

static void send_text(int far, const char *text)
{
    ck_assert_int_eq(write(far, text, strlen(text)), (ssize_t)strlen(text));
}

/* Others have their turn while it is read. */
START_TEST(what_is_left_of_a_response_is_read_by_and_by)
{
    static char chunks[20000 * 6 + 1];
    struct wire w = {0};
    struct call c = {0};
    struct slice run;
    const struct call_content nothing = {.last = true};
    int far;

    h1_set_up();
    h1_open_call(&w, &c, &far, (struct framing){.kind = BODY_NONE}, 0);
    w.owner = &who_waits;
    left = 0;
    ck_assert(conn_watch(&w.conn, h1_loop.base, 0, w.conn.on_ready, w.conn.ctx));
    ck_assert_int_eq(call_send(&c, &nothing), CALL_SENT);
    send_text(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_HEAD);
    ck_assert(call_leave(&c, sizeof chunks));
    for (size_t i = 0; i + 1 < sizeof chunks; i += 6)
        memcpy(chunks + i, "1\r\nx\r\n", 6);
    send_text(far, chunks);
    send_text(far, "0\r\n\r\n");
    event_base_loop(h1_loop.base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(left, 0);
    for (unsigned i = 0; i < 20 && left == 0; i++)
        event_base_loop(h1_loop.base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(left, 1);
    ck_assert(left_end.response_complete && left_end.request_complete && left_end.drained);
    wire_close(&w, false);
    close(far);
    h1_tear_down();
}
END_TEST

void add_h1(Suite *suite)
{
    TCase *random = tcase_create("h1 at random");

    tcase_add_loop_test(random, every_framing_is_undone, 0, 4);
    tcase_set_timeout(random, 60);
    suite_add_tcase(suite, random);
    unit_group(suite, "h1", what_follows_is_seen_and_not_taken, short_content_is_no_end,
               broken_chunks_are_malformed, trailers_come_after_the_content,
               what_is_left_of_a_response_is_read_by_and_by);
}
