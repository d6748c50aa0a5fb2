/* HTTP/1.1 on a wire, over socket pairs: content in and out of every framing, however it is cut. The driver knows what an
 * edge-triggered loop knows: a call that waits is asked again when something new came, one that is blocked when the other
 * side took something, and never else. So a wake-up that is lost shows as content that never arrives. */

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/sendq.h"
#include "wire/h1.h"
#include "wire_test.h"

#define MOST (512 * 1024)

static struct wire_loop loop;
static struct head head;

static void open_pair(struct conn *c, int *far, int room)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    if (room)
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    conn_open(c, ends[0]);
    *far = ends[1];
}

static void set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    http_init();
    clock_update();
    loop = (struct wire_loop){
        .heads.size = BUFFER_HEAD_SIZE, .bodies.size = BUFFER_SIZE, .limits = {16384, 100}};
    wire_loop_init(&loop, event_base_new());
}

static void tear_down(void)
{
    ck_assert_uint_eq(loop.heads.lent, 0);
    ck_assert_uint_eq(loop.bodies.lent, 0);
    wire_loop_destroy(&loop);
    event_base_free(loop.base);
}

static const struct wire_owner owner;

static void on_ready(struct call *c, unsigned ready)
{
    (void)c;
    (void)ready;
}

static void open_call(struct wire *w, struct call *c, int *far, struct framing framing, int room)
{
    const struct call_request r = {.head = SLICE("PUT / HTTP/1.1\r\n"), .framing = framing};

    open_pair(&w->conn, far, room);
    c->ready = on_ready;
    h1_begin(w, &loop, &owner);
    ck_assert_uint_eq(wire_room(w), 1);
    ck_assert(wire_open(w, c, &r));
    ck_assert_uint_eq(wire_room(w), 0);
}

static void close_call(struct wire *w, struct call *c, int far)
{
    if (c->wire)
        call_reset(c);
    wire_close(w, false);
    if (far >= 0)
        close(far);
}

static size_t some(size_t most)
{
    return most == 0 ? SIZE_MAX : 1 + (size_t)lrand48() % most;
}

/* --- What it should have been --------------------------------------------------------------------------- */

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

static char content[MOST];

static void fill_content(size_t n)
{
    for (size_t i = 0; i < n; i++)
        content[i] = (char)('a' + lrand48() % 26);
}

/* Chunks of random sizes, with extensions here and there. */
static struct slice chunk(size_t n, const char *trailers)
{
    static char out[2 * MOST];
    size_t at = 0, done = 0;

    while (done < n) {
        size_t size = 1 + (size_t)lrand48() % (lrand48() % 4 ? 5000 : 40);
        if (size > n - done)
            size = n - done;
        at += (size_t)sprintf(out + at, lrand48() % 2 ? "%zx\r\n" : "%zX;a=b;c=\"d\"\r\n", size);
        memcpy(out + at, content + done, size);
        at += size;
        done += size;
        at += (size_t)sprintf(out + at, "\r\n");
    }
    at += (size_t)sprintf(out + at, "0\r\n%s\r\n", trailers);
    return (struct slice){out, at};
}

/* --- Responses ------------------------------------------------------------------------------------------ */

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
    open_call(&w, &c, &far, (struct framing){.kind = BODY_NONE}, 0);
    const struct call_content nothing = {.last = true};
    ck_assert_int_eq(call_send(&c, &nothing), CALL_SENT);
    t->output = malloc(MOST);
    t->got = 0;
    t->trailers[0] = 0;
    do {
        size_t left = all_n - written, step = some(t->most_written);
        if (left > 0) {
            ssize_t put = write(far, all + written, step < left ? step : left);
            written += put > 0 ? (size_t)put : 0;
        }
        if (written == all_n && !t->stays_open)
            shutdown(far, SHUT_WR);
        conn_report(&w.conn, 0);
        w.conn.may_read = true;
        w.conn.peer_fin = written == all_n && !t->stays_open; /* the loop says so with the same event */
        t->result = take_parts(t, &c);
    } while (t->result == CALL_MORE && written < all_n);
    if (t->result == CALL_FAILED)
        t->failure = loop.failure;
    if (t->result == CALL_END)
        call_finish(&c, &t->end);
    free(all);
    close_call(&w, &c, far);
}

static const size_t sizes[] = {0, 1, 2, 17, 4095, 65535, 65536, 65537, 200000};

static void try_all(const char *fields, size_t size, bool is_chunked)
{
    static const size_t cuts[] = {0, 100000, 5000, 50};

    fill_content(size);
    for (unsigned i = 0; i < 6; i++) {
        struct trial t = {.fields = fields};
        t.most_written = size < 5000 && lrand48() % 4 == 0 ? 1 : cuts[lrand48() % 4];
        t.input = is_chunked ? chunk(size, "") : (struct slice){content, size};
        run(&t);
        ck_assert_msg(t.result == CALL_END, "result %d for %zu bytes of %s", t.result, size, fields);
        ck_assert_uint_eq(t.got, size);
        ck_assert(memcmp(t.output, content, size) == 0);
        ck_assert(t.end.response_complete && t.end.request_complete);
        ck_assert(!t.end.drained); /* the origin has ended */
        free(t.output);
    }
}

START_TEST(every_framing_is_undone)
{
    set_up();
    srand48(_i);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char length[64];
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", sizes[i]);
        try_all(length, sizes[i], false);
        try_all("Transfer-Encoding: chunked\r\n", sizes[i], true);
        try_all("", sizes[i], false);
    }
    tear_down();
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

    set_up();
    for (size_t i = 0; i < 2; i++) {
        struct trial t = {.fields = cases[i].fields, .input = cases[i].input, .stays_open = true};
        run(&t);
        ck_assert_int_eq(t.result, CALL_END);
        ck_assert_uint_eq(t.got, 5);
        ck_assert(!t.end.drained && !t.end.peer_ended);
        free(t.output);
    }
    tear_down();
}
END_TEST

START_TEST(short_content_is_no_end)
{
    static const char *const fields[] = {"Content-Length: 6\r\n", "Transfer-Encoding: chunked\r\n"};

    set_up();
    for (size_t i = 0; i < 2; i++) {
        struct trial t = {.fields = fields[i], .most_written = 1, .input = SLICE("5\r\nh")};
        run(&t);
        ck_assert_int_eq(t.result, CALL_FAILED);
        ck_assert_int_eq(t.failure.error, CALL_ERROR_ENDED);
        ck_assert_int_eq(t.failure.code, 0);
        ck_assert_int_eq(t.failure.progress, CALL_MAYBE_PROCESSED);
        free(t.output);
    }
    tear_down();
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

    set_up();
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
    tear_down();
}
END_TEST

START_TEST(trailers_come_after_the_content)
{
    static const char trailers[] =
        "Digest: x\r\nContent-Length: 9\r\nAuthorization: no\r\nX-Odd:   y \r\nHost: h\r\n";

    set_up();
    fill_content(1000);
    for (size_t step = 0; step < 4; step++) {
        struct trial t = {.fields = "Transfer-Encoding: chunked\r\n", .most_written = step};
        t.input = chunk(1000, trailers);
        run(&t);
        ck_assert_int_eq(t.result, CALL_END);
        ck_assert_uint_eq(t.got, 1000);
        ck_assert_str_eq(t.trailers, "Digest: x\r\nX-Odd: y\r\n");
        free(t.output);
    }
    tear_down();
}
END_TEST

/* --- Requests ------------------------------------------------------------------------------------------- */

/* Sends `size` bytes in batches of runs, as fast as the origin takes them. Returns what it read. */
static size_t upload(struct framing framing, size_t size, int room, char *out)
{
    struct wire w = {0};
    struct call c = {0};
    struct iovec runs[CALL_RUNS];
    size_t sent = 0, got = 0;
    bool over = false;
    int far;

    open_call(&w, &c, &far, framing, room);
    while (!over) {
        struct call_content batch = {.runs = runs};
        for (size_t n; sent < size && batch.count < CALL_RUNS; sent += n) {
            n = some(20000) < size - sent ? some(20000) % (size - sent) + 1 : size - sent;
            runs[batch.count++] = (struct iovec){content + sent, n};
        }
        over = batch.last = sent == size;
        enum call_write result = call_send(&c, &batch);
        while (result == CALL_BLOCKED) {
            ssize_t n = read(far, out + got, some(6000));
            got += n > 0 ? (size_t)n : 0;
            result = call_send(&c, NULL);
        }
        ck_assert_int_eq(result, CALL_SENT);
    }
    for (ssize_t n; (n = read(far, out + got, MOST - got)) > 0;)
        got += (size_t)n;
    ck_assert_uint_eq(c.sent, got);
    close_call(&w, &c, far);
    return got;
}

START_TEST(content_is_framed_anew)
{
    static const char line[] = "PUT / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n";
    const size_t n = sizeof line - 1;
    char *out = malloc(MOST), *plain = malloc(MOST);

    set_up();
    srand48(_i);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int room = lrand48() % 2 ? 4096 : 0;
        bool whole;
        fill_content(sizes[i]);
        size_t got = upload((struct framing){.kind = BODY_LENGTH, .length = sizes[i]}, sizes[i], room, out);
        ck_assert(got == n + sizes[i] && memcmp(out, line, n) == 0 &&
                  memcmp(out + n, content, sizes[i]) == 0);
        got = upload((struct framing){.kind = BODY_CHUNKED}, sizes[i], room, out);
        ck_assert(memcmp(out, line, n) == 0);
        ck_assert_uint_eq(dechunk(out + n, got - n, plain, &whole), sizes[i]);
        ck_assert(whole && memcmp(plain, content, sizes[i]) == 0);
    }
    tear_down();
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

    set_up();
    open_call(&w, &c, &far, (struct framing){.kind = BODY_LENGTH, .length = 5}, 0);
    ck_assert_int_eq(write(far, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", 39), 39);
    close(far);
    ck_assert_int_eq(call_send(&c, &batch), CALL_WRITE_FAILED);
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_HEAD);
    ck_assert_uint_eq(head.status, 413);
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_END);
    close_call(&w, &c, -1);
    open_call(&w, &c, &far, (struct framing){.kind = BODY_LENGTH, .length = 5}, 0);
    close(far);
    ck_assert_int_eq(call_send(&c, &batch), CALL_WRITE_FAILED);
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_FAILED);
    ck_assert_int_eq(loop.failure.error, CALL_ERROR_ENDED);
    ck_assert_int_eq(loop.failure.progress, CALL_NOT_SENT);
    close_call(&w, &c, -1);
    tear_down();
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
    fill_content(300000);
    for (unsigned round = 0; round < 50; round++) {
        struct conn to;
        struct sendq q;
        int reader;
        size_t pushed = 0, got = 0;
        char *out = malloc(MOST);

        open_pair(&to, &reader, 4096);
        sendq_clear(&q);
        ck_assert_int_eq(sendq_flush(&q, &to), SENDQ_EMPTY);
        for (unsigned i = 0; i < SENDQ_MAX; i++) {
            size_t n = (size_t)lrand48() % (lrand48() % 3 ? 100 : 15000);
            sendq_push(&q, (struct slice){content + pushed, n});
            pushed += n;
        }
        enum sendq_result result = SENDQ_BLOCKED;
        while (result == SENDQ_BLOCKED) {
            result = sendq_flush(&q, &to);
            ssize_t n = read(reader, out + got, some(6000));
            got += n > 0 ? (size_t)n : 0;
        }
        ck_assert_int_eq(result, SENDQ_EMPTY);
        ck_assert_uint_eq(q.sent, pushed);
        ck_assert_uint_eq(sendq_room(&q), SENDQ_MAX);
        for (ssize_t n; (n = read(reader, out + got, MOST - got)) > 0;)
            got += (size_t)n;
        ck_assert_uint_eq(got, pushed);
        ck_assert(memcmp(out, content, got) == 0);
        free(out);
        close(reader);
        conn_close(&to, false);
    }
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

    set_up();
    open_call(&w, &c, &far, (struct framing){.kind = BODY_NONE}, 0);
    w.owner = &who_waits;
    left = 0;
    ck_assert(conn_watch(&w.conn, loop.base, 0, w.conn.on_ready, w.conn.ctx));
    ck_assert_int_eq(call_send(&c, &nothing), CALL_SENT);
    send_text(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    ck_assert_int_eq(call_next(&c, &head, &run), CALL_HEAD);
    ck_assert(call_leave(&c, sizeof chunks));
    for (size_t i = 0; i + 1 < sizeof chunks; i += 6)
        memcpy(chunks + i, "1\r\nx\r\n", 6);
    send_text(far, chunks);
    send_text(far, "0\r\n\r\n");
    event_base_loop(loop.base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(left, 0);
    for (unsigned i = 0; i < 20 && left == 0; i++)
        event_base_loop(loop.base, EVLOOP_NONBLOCK);
    ck_assert_uint_eq(left, 1);
    ck_assert(left_end.response_complete && left_end.request_complete && left_end.drained);
    wire_close(&w, false);
    close(far);
    tear_down();
}
END_TEST

void add_h1(Suite *suite)
{
    TCase *random = tcase_create("h1 at random");

    tcase_add_loop_test(random, every_framing_is_undone, 0, 4);
    tcase_add_loop_test(random, content_is_framed_anew, 0, 4);
    tcase_set_timeout(random, 60);
    suite_add_tcase(suite, random);
    unit_group(suite, "h1", what_follows_is_seen_and_not_taken, short_content_is_no_end,
               broken_chunks_are_malformed, trailers_come_after_the_content,
               a_peer_that_takes_no_more_may_have_answered, connection_lines_fit_the_occasion,
               queues_write_in_order, what_is_left_of_a_response_is_read_by_and_by);
}
