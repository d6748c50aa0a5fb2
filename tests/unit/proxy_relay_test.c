/* Bytes out (sendq) and content through (relay), over socket pairs. The driver knows what an edge-
 * triggered loop knows: a pump that is starved is called when something new came, one that is blocked when
 * the sink took something, and never else. So a wake-up that is lost shows as content that never arrives. */

#include "proxy_test.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/relay.h"

#define MOST (512 * 1024)

static struct buffer_pool bodies = {.size = BUFFER_SIZE};
static struct pipe_pool pipes;
static struct head scratch;

static void make_pair(struct conn *s, int *far, int room)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    if (room)
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    conn_open(s, ends[0]);
    *far = ends[1];
}

/* --- What goes through ---------------------------------------------------------------------------------- */

struct trial {
    struct framing framing;
    enum relay_format format;
    uint64_t keep_limit;
    struct slice input; /* the source's bytes; it ends behind them */
    /* How it is cut. */
    size_t most_written, most_read;
    bool piped; /* large content may pass by in the kernel */
    int room;   /* of the sink's socket; 0: as it comes */
    /* What came of it. */
    enum relay_result result;
    char *output;
    size_t got, unused; /* unused: bytes left in the source's buffer */
    struct relay relay;
};

struct driver {
    struct conn source, sink;
    int writer, reader;
    struct buffer *in;
    size_t written;
    bool source_edge, sink_edge;
};

static size_t some(size_t most)
{
    return most == 0 ? SIZE_MAX : 1 + (size_t)lrand48() % most;
}

static void write_some(struct trial *t, struct driver *d)
{
    size_t left = t->input.n - d->written, n = some(t->most_written);
    ssize_t put;

    if (d->writer < 0)
        return;
    put = left ? write(d->writer, t->input.p + d->written, n < left ? n : left) : 0;
    if (put > 0) {
        d->written += (size_t)put;
        d->source_edge = true;
    }
    if (d->written == t->input.n) {
        close(d->writer);
        d->writer = -1;
        d->source_edge = true;
        d->source.peer_fin = true; /* the loop tells with the same event */
    }
}

static void read_some(struct trial *t, struct driver *d)
{
    size_t n = some(t->most_read);
    ssize_t got;

    if (n > MOST - t->got)
        n = MOST - t->got;
    got = n ? read(d->reader, t->output + t->got, n) : 0;
    if (got > 0) {
        t->got += (size_t)got;
        d->sink_edge = true;
    }
}

static void run(struct trial *t)
{
    struct driver d = {.writer = -1};
    unsigned idle = 0;

    make_pair(&d.source, &d.writer, 0);
    make_pair(&d.sink, &d.reader, t->room);
    t->output = malloc(MOST);
    t->got = 0;
    struct relay *r = &t->relay;
    relay_begin(r, t->framing, t->format);
    r->keep_limit = t->keep_limit;
    const struct relay_ends ends = {.from = &d.source,
                                    .in = &d.in,
                                    .to = &d.sink,
                                    .bodies = &bodies,
                                    .pipes = t->piped ? &pipes : NULL,
                                    .scratch = &scratch};
    t->result = RELAY_STARVED;
    bool first = true;
    while (idle < 3) {
        size_t before = d.written + t->got;
        write_some(t, &d);
        /* The event comes whether the relay wants it or not. */
        bool readable = d.source_edge, writable = d.sink_edge;
        bool over = t->result != RELAY_STARVED && t->result != RELAY_BLOCKED && t->result != RELAY_YIELD;
        d.source_edge = d.sink_edge = false;
        if (!over && (first || (readable && t->result == RELAY_STARVED) ||
                      (writable && t->result == RELAY_BLOCKED) || t->result == RELAY_YIELD)) {
            t->result = relay_pump(r, &ends);
            first = false;
            if (t->result == RELAY_SOURCE_EOF && t->framing.kind == BODY_CLOSE) {
                relay_finish(r);
                t->result = relay_pump(r, &ends);
            }
        }
        read_some(t, &d);
        idle = before == d.written + t->got && t->result != RELAY_YIELD && !d.sink_edge ? idle + 1 : 0;
    }
    t->unused = buffer_unread(d.in).n;
    if (r->batch || r->ended)
        t->unused -= r->held;
    buffer_give(d.in);
    if (d.writer >= 0)
        close(d.writer);
    close(d.reader);
    conn_close(&d.source, false);
    conn_close(&d.sink, false);
}

static void finish(struct trial *t)
{
    relay_end(&t->relay);
    free(t->output);
    ck_assert_uint_eq(bodies.lent, 0);
    ck_assert_uint_eq(pipes.lent, 0);
    ck_assert_uint_eq(pipes.idle ? pipes.idle->held : 0, 0);
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

/* --- Tests ---------------------------------------------------------------------------------------------- */

static const size_t sizes[] = {0, 1, 2, 17, 4095, 65535, 65536, 65537, 200000};

static void choose_cuts(struct trial *t, size_t size)
{
    static const size_t cuts[] = {0, 0, 100000, 5000, 50};

    t->most_written = size < 5000 && lrand48() % 4 == 0 ? 1 : cuts[lrand48() % 5];
    t->most_read = size < 5000 && lrand48() % 4 == 0 ? 1 : cuts[lrand48() % 5];
    t->piped = lrand48() % 2;
    t->room = lrand48() % 2 ? 4096 : 0;
    t->keep_limit = lrand48() % 2 ? 0 : lrand48() % 2 ? 100000 : 10;
}

static void check_kept(const struct trial *t, size_t size)
{
    if (t->keep_limit == 0 || t->format == RELAY_DISCARD || t->framing.kind == BODY_CLOSE)
        return;
    if (size > t->keep_limit) {
        ck_assert_uint_eq(t->relay.keep_limit, 0);
    } else if (t->relay.keep_limit) {
        struct slice kept = buffer_unread(t->relay.kept);
        if (t->relay.kept)
            ck_assert(slice_eq(kept, (struct slice){t->output, t->got}));
        else
            ck_assert_uint_eq(t->got, 0);
    }
}

static void check_content(const struct trial *t, size_t size, const char *trailers)
{
    if (t->format == RELAY_RAW) {
        ck_assert_uint_eq(t->got, size);
        ck_assert(memcmp(t->output, content, size) == 0);
    } else if (t->format == RELAY_CHUNKED) {
        char *plain = malloc(MOST);
        bool whole;
        size_t n = dechunk(t->output, t->got, plain, &whole);

        ck_assert(whole);
        ck_assert_uint_eq(n, size + strlen(trailers));
        ck_assert(memcmp(plain, content, size) == 0);
        ck_assert(memcmp(plain + size, trailers, strlen(trailers)) == 0);
        free(plain);
    } else {
        ck_assert_uint_eq(t->got, 0);
    }
}

static void try_all(struct framing framing, enum relay_format format, size_t size)
{
    struct trial t = {.framing = framing, .format = format};

    fill_content(size);
    for (unsigned i = 0; i < 6; i++) {
        choose_cuts(&t, size);
        t.input = framing.kind == BODY_CHUNKED ? chunk(size, "") : (struct slice){content, size};
        run(&t);
        ck_assert_msg(t.result == RELAY_DONE, "result %d for %zu bytes of kind %d as %d", t.result, size,
                      framing.kind, format);
        ck_assert_uint_eq(t.relay.content, size);
        check_content(&t, size, "");
        check_kept(&t, size);
        finish(&t);
    }
}

START_TEST(relays_every_framing_in_every_format)
{
    srand48(_i);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned format = RELAY_RAW; format <= RELAY_DISCARD; format++) {
            if (format != RELAY_CHUNKED) /* a length that is known is kept */
                try_all((struct framing){.kind = BODY_LENGTH, .length = sizes[i]}, format, sizes[i]);
            try_all((struct framing){.kind = BODY_CHUNKED}, format, sizes[i]);
            try_all((struct framing){.kind = BODY_CLOSE}, format, sizes[i]);
        }
    }
    try_all((struct framing){.kind = BODY_NONE}, RELAY_RAW, 0);
}
END_TEST

START_TEST(relays_leave_what_follows)
{
    struct trial t = {
        .framing = {.kind = BODY_LENGTH, .length = 5}, .format = RELAY_RAW, .input = SLICE("helloGET /")};

    run(&t);
    ck_assert_int_eq(t.result, RELAY_DONE);
    ck_assert_uint_eq(t.got, 5);
    ck_assert_uint_eq(t.unused, 5);
    finish(&t);
    t = (struct trial){.framing = {.kind = BODY_CHUNKED},
                       .format = RELAY_RAW,
                       .input = SLICE("5\r\nhello\r\n0\r\n\r\nGET /")};
    run(&t);
    ck_assert_int_eq(t.result, RELAY_DONE);
    ck_assert_uint_eq(t.got, 5);
    ck_assert_uint_eq(t.unused, 5);
    finish(&t);
}
END_TEST

START_TEST(relays_see_short_content)
{
    static const struct framing kinds[] = {{.kind = BODY_LENGTH, .length = 6}, {.kind = BODY_CHUNKED}};

    for (size_t i = 0; i < 2; i++) {
        struct trial t = {
            .framing = kinds[i], .format = RELAY_RAW, .most_written = 1, .input = SLICE("5\r\nh")};
        run(&t);
        ck_assert_int_eq(t.result, RELAY_SOURCE_EOF);
        finish(&t);
    }
}
END_TEST

/* Broken chunks are broken however they are cut, and what was well before them has gone out. */
START_TEST(relays_refuse_broken_chunks)
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

    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        for (size_t step = 0; step < 3; step++) {
            for (unsigned format = RELAY_RAW; format <= RELAY_DISCARD; format++) {
                struct trial t = {
                    .framing = {.kind = BODY_CHUNKED}, .most_written = step, .input = inputs[i]};
                t.format = format;
                run(&t);
                /* What is thrown away is not looked into for its trailers. */
                bool only_trailers = i >= 8 && format != RELAY_CHUNKED;
                ck_assert_msg(t.result == (only_trailers ? RELAY_DONE : RELAY_MALFORMED), "input %zu: %d", i,
                              t.result);
                finish(&t);
            }
        }
    }
}
END_TEST

START_TEST(trailers_that_may_go_on_do)
{
    static const char trailers[] =
        "Digest: x\r\nContent-Length: 9\r\nAuthorization: no\r\nX-Odd:   y \r\nHost: h\r\n";

    fill_content(1000);
    for (size_t step = 0; step < 4; step++) {
        struct trial t = {.framing = {.kind = BODY_CHUNKED}, .format = RELAY_CHUNKED, .most_written = step};
        t.input = chunk(1000, trailers);
        run(&t);
        ck_assert_int_eq(t.result, RELAY_DONE);
        check_content(&t, 1000, "Digest: x\r\nX-Odd: y\r\n");
        finish(&t);
    }
}
END_TEST

/* A sink that has gone. */
START_TEST(relays_see_a_failed_sink)
{
    struct conn source, sink;
    int writer, reader;
    struct buffer *in = NULL;
    struct relay r;

    make_pair(&source, &writer, 0);
    make_pair(&sink, &reader, 0);
    close(reader);
    ck_assert_int_eq(write(writer, "hello", 5), 5);
    relay_begin(&r, (struct framing){.kind = BODY_LENGTH, .length = 5}, RELAY_RAW);
    const struct relay_ends ends = {
        .from = &source, .in = &in, .to = &sink, .bodies = &bodies, .scratch = &scratch};
    ck_assert_int_eq(relay_pump(&r, &ends), RELAY_SINK_FAILED);
    ck_assert_int_eq(sink.error, EPIPE);
    relay_end(&r);
    buffer_give(in);
    conn_close(&source, false);
    conn_close(&sink, false);
    close(writer);
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

        make_pair(&to, &reader, 4096);
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

void proxy_relay_tests(Suite *suite)
{
    TCase *loop = tcase_create("relay at random");

    tcase_add_loop_test(loop, relays_every_framing_in_every_format, 0, 4);
    tcase_set_timeout(loop, 60);
    suite_add_tcase(suite, loop);
    unit_group(suite, "relay", relays_leave_what_follows, relays_see_short_content,
               relays_refuse_broken_chunks, trailers_that_may_go_on_do, relays_see_a_failed_sink,
               queues_write_in_order);
}
