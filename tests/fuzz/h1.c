/* Responses over an HTTP/1.1 wire, their content framed anew, between connections in memory. Four bytes say
 * how it is framed and cut, the others are what comes after the head. Given whole, and cut anyhow on both
 * sides, the same must come out: the content, once, framed as asked, and of the trailers those that may
 * pass. */

#include <errno.h>
#include <stdio.h>

#include "calls.h"
#include "http_fuzz.h"
#include "wire/h1_internal.h"

enum { SOURCE = 1000, SINK = 1001 }; /* descriptors that are none */
enum { ENDS = 1, SMALL = 4, FAILS = 16 };

/* What the two connections do. */
static struct {
    struct slice bytes;
    size_t arrived, read;
    bool ends;     /* an end of file stands behind the bytes */
    uint32_t seed; /* 0: everything at once */
    size_t room;   /* that the sink has; SIZE_MAX: any */
    unsigned fails_after;
    char *out;
    size_t out_n;
} world;

static struct head scratch;

static size_t next_step(void)
{
    if (world.seed == 0)
        return SIZE_MAX;
    world.seed = world.seed * 1664525 + 1013904223;
    return 1 + (world.seed >> 16) % ((world.seed >> 28) + 1) * ((world.seed >> 8) % 40 + 1);
}

static bool fails(void)
{
    return world.fails_after > 0 && --world.fails_after == 0;
}

static ssize_t on_recv(int fd, void *to, size_t n, int flags)
{
    size_t there = world.arrived - world.read;

    fuzz_assert(fd == SOURCE && flags == 0);
    if (fails()) {
        errno = ECONNRESET;
        return -1;
    }
    if (there == 0 && (world.arrived < world.bytes.n || !world.ends)) {
        errno = EAGAIN;
        return -1;
    }
    n = n < there ? n : there;
    memcpy(to, world.bytes.p + world.read, n);
    world.read += n;
    return (ssize_t)n;
}

static ssize_t on_sendmsg(int fd, const struct msghdr *m, int flags)
{
    size_t taken = 0;

    (void)flags;
    fuzz_assert(fd == SINK);
    if (fails() || world.room == 0) {
        errno = world.room == 0 ? EAGAIN : EPIPE;
        return -1;
    }
    for (size_t i = 0; i < m->msg_iovlen && world.room > 0; i++) {
        size_t n = m->msg_iov[i].iov_len < world.room ? m->msg_iov[i].iov_len : world.room;

        memcpy(world.out + world.out_n, m->msg_iov[i].iov_base, n);
        world.out_n += n;
        world.room -= world.room == SIZE_MAX ? 0 : n;
        taken += n;
    }
    return (ssize_t)taken;
}

static ssize_t on_send(int fd, const void *from, size_t n, int flags)
{
    struct iovec one = {(void *)from, n};
    const struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1};

    return on_sendmsg(fd, &m, flags);
}

/* --- One response, from its beginning to its end -------------------------------------------------------------- */

struct job {
    struct framing framing;
    bool in_chunks; /* as it goes on */
    unsigned flags;
    struct slice bytes; /* the content as it comes, which its head precedes */
};

/* What the call said last: CALL_MORE where nothing more comes. */
struct outcome {
    enum call_part end;
    enum call_error error; /* CALL_FAILED */
    bool sink_failed;
    uint64_t content;
    size_t left;   /* bytes that follow the response */
    bool trailers; /* bytes of a trailer section came */
    char *out;
    size_t out_n;
};

static struct wire_loop loop = {.limits = {16384, 100}};

static struct slice head_text(const struct job *j)
{
    static char text[128];
    const char *fields = j->framing.kind == BODY_CHUNKED ? "Transfer-Encoding: chunked\r\n" : "";
    int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%s", fields);

    if (j->framing.kind == BODY_LENGTH)
        n += snprintf(text + n, sizeof text - (size_t)n, "Content-Length: %llu\r\n",
                      (unsigned long long)j->framing.length);
    n += snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    return (struct slice){text, (size_t)n};
}

/* False when nothing more comes. */
static bool wait_for_more(struct conn *from)
{
    if (world.arrived == world.bytes.n)
        return false;
    world.arrived += next_step() < world.bytes.n - world.arrived
                         ? next_step() % (world.bytes.n - world.arrived) + 1
                         : world.bytes.n - world.arrived;
    conn_report(from, CONN_READABLE);
    return true;
}

static bool flush(struct sendq *q, struct conn *to)
{
    enum sendq_result result;

    while ((result = sendq_flush(q, to)) == SENDQ_BLOCKED)
        world.room = next_step();
    return result == SENDQ_EMPTY;
}

/* A batch of content to the sink, framed anew. False: the sink has failed. */
static bool pass_batch(struct call *c, struct conn *to, struct body_writer *writer, struct outcome *out)
{
    static struct buffer_pool lines = {.size = 2 * CHUNKED_MAX_TRAILERS};
    struct iovec runs[CALL_RUNS];
    struct sendq q;
    struct buffer *trailers = NULL;
    unsigned count = 0;
    size_t given = 0;

    sendq_clear(&q);
    do {
        struct slice run;
        out->end = call_next(c, &scratch, &run);
        if (out->end == CALL_CONTENT) {
            runs[count++] = (struct iovec){(void *)run.p, run.n};
            given += run.n;
        } else if (out->end == CALL_TRAILERS) {
            trailers = buffer_borrow(&lines);
            fuzz_assert(trailers_append(trailers, &scratch));
        }
    } while (count < CALL_RUNS &&
             (out->end == CALL_CONTENT || out->end == CALL_TRAILERS || out->end == CALL_HEAD));
    body_writer_push(writer, &q, runs, count, out->end == CALL_END, buffer_unread(trailers));
    bool passed = flush(&q, to);
    buffer_give(trailers);
    buffer_pool_destroy(&lines);
    out->content += given;
    if (passed && given > 0) {
        call_consumed(c, given);
        out->end = out->end == CALL_MORE ? CALL_CONTENT : out->end; /* there may be more */
    }
    return passed;
}

/* It is asked again whatever was reported. */
static void on_ready(struct call *c, unsigned ready)
{
    (void)c;
    (void)ready;
}

static void open_call(struct wire *w, struct call *c)
{
    static const struct wire_owner owner;
    const struct call_request r = {.head = SLICE("GET / HTTP/1.1\r\n")};

    conn_open(&w->conn, SOURCE);
    c->ready = on_ready;
    h1_begin(w, &loop, &owner);
    fuzz_assert(wire_open(w, c, &r));
}

static void respond_once(const struct job *j, uint32_t seed, struct outcome *out)
{
    struct slice head = head_text(j);
    struct wire w = {0};
    struct call c = {0};
    struct conn to;
    struct body_writer writer = {.chunked = j->in_chunks};
    char *bytes = malloc(head.n + j->bytes.n);

    memcpy(bytes, head.p, head.n);
    memcpy(bytes + head.n, j->bytes.p, j->bytes.n);
    loop.heads.size = BUFFER_HEAD_SIZE;
    loop.bodies.size = seed != 0 && j->flags & SMALL ? 512 : BUFFER_SIZE;
    world.bytes = (struct slice){bytes, head.n + j->bytes.n};
    world.seed = seed;
    world.arrived = seed ? 0 : world.bytes.n;
    world.read = 0;
    world.room = next_step();
    world.ends = j->flags & ENDS;
    world.fails_after = seed && j->flags & FAILS ? 1 + seed % 16 : 0;
    world.out = malloc(8 * j->bytes.n + 1024); /* a chunk each byte */
    world.out_n = 0;
    conn_open(&to, SINK);
    open_call(&w, &c);
    *out = (struct outcome){.out = world.out};
    for (;;) {
        out->sink_failed = !pass_batch(&c, &to, &writer, out);
        fuzz_assert(loop.bodies.lent <= 2);
        if (out->sink_failed || out->end == CALL_END || out->end == CALL_FAILED)
            break;
        if (out->end == CALL_MORE && !wait_for_more(&w.conn))
            break;
    }
    const struct h1 *h = w.session;
    out->trailers = h->body.trailers != NULL;
    out->error = out->end == CALL_FAILED ? loop.failure.error : 0;
    out->left = world.bytes.n - world.read + (h->in ? buffer_unread(h->in).n - h->used : 0);
    out->out_n = world.out_n;
    call_reset(&c);
    fuzz_assert(loop.heads.lent == 0 && loop.bodies.lent == 0);
    buffer_pool_destroy(&loop.heads);
    buffer_pool_destroy(&loop.bodies);
    free(bytes);
}

/* --- What came out ------------------------------------------------------------------------------------------ */

/* Its framing undone; the length of what is left. The bytes of the trailers stand behind the content's. */
static size_t undo(bool in_chunks, struct slice text, char *to, bool *whole)
{
    struct chunked c = {0};
    size_t n = 0, used;
    struct slice data;

    *whole = false;
    if (!in_chunks) {
        memcpy(to, text.p, text.n);
        return text.n;
    }
    for (;;) {
        enum chunked_event e = chunked_decode(&c, text, &used, &data);

        text = slice_from(text, used);
        if (e == CHUNKED_DATA || e == CHUNKED_TRAILER) {
            memcpy(to + n, data.p, data.n);
            n += data.n;
            continue;
        }
        *whole = e == CHUNKED_END;
        /* It is well-formed, and nothing follows its end. */
        fuzz_assert(e == CHUNKED_MORE || (e == CHUNKED_END && text.n == 0));
        return n;
    }
}

/* The same from what came, by its own framing: trailers that may not pass left out. */
static size_t wanted(const struct job *j, char *to)
{
    static const struct head_limits limits = {.max_size = CHUNKED_MAX_TRAILERS, .max_count = HEAD_MAX_FIELDS};
    char *trailers = malloc(j->bytes.n + 1);
    struct chunked c = {0};
    struct slice text = j->bytes, data;
    size_t n = 0, used, trailers_n = 0;
    enum chunked_event e;

    while ((e = chunked_decode(&c, text, &used, &data)) == CHUNKED_DATA || e == CHUNKED_TRAILER) {
        memcpy(e == CHUNKED_DATA ? to + n : trailers + trailers_n, data.p, data.n);
        *(e == CHUNKED_DATA ? &n : &trailers_n) += data.n;
        text = slice_from(text, used);
    }
    if (j->in_chunks && trailers_n > 0) {
        fuzz_assert(head_parse_trailers((struct slice){trailers, trailers_n}, &limits, &scratch) == HEAD_OK);
        size_t before = n;
        for (uint32_t i = 0; i < scratch.count; i++) {
            const struct field *f = &scratch.fields[i];

            if (field_allowed_in_trailer(f))
                n += (size_t)sprintf(to + n, "%.*s: %.*s\r\n", (int)f->name.n, f->name.p, (int)f->value.n,
                                     f->value.p);
        }
        n += n > before ? (size_t)sprintf(to + n, "\r\n") : 0;
    }
    free(trailers);
    return n;
}

static void check_content(const struct job *j, const struct outcome *whole)
{
    bool complete;
    char *got = malloc(whole->out_n + 1), *want = malloc(2 * j->bytes.n + 16);
    size_t n = undo(j->in_chunks, (struct slice){whole->out, whole->out_n}, got, &complete), m = j->bytes.n;

    fuzz_assert(complete == (j->in_chunks && whole->end == CALL_END));
    if (j->framing.kind == BODY_CHUNKED && whole->end == CALL_END)
        m = wanted(j, want);
    else if (j->framing.kind != BODY_CHUNKED)
        memcpy(want, j->bytes.p,
               m = j->framing.kind == BODY_LENGTH && j->framing.length < m ? j->framing.length : m);
    if (j->framing.kind != BODY_CHUNKED || whole->end == CALL_END)
        fuzz_assert(slice_eq((struct slice){got, n}, (struct slice){want, m}));
    free(got);
    free(want);
}

/* Cut or not: the same end and the same content; one that failed has told the beginning of it. */
static void check_same(const struct job *j, const struct outcome *a, const struct outcome *b)
{
    bool failed =
        b->sink_failed || (b->end == CALL_FAILED && b->error == CALL_ERROR_ENDED && a->end != CALL_FAILED);
    bool malformed = a->end == CALL_FAILED && a->error == CALL_ERROR_MALFORMED, ignored;
    char *left = malloc(a->out_n + 1), *right = malloc(b->out_n + 1);
    size_t n = undo(j->in_chunks, (struct slice){a->out, a->out_n}, left, &ignored);
    size_t m = undo(j->in_chunks, (struct slice){b->out, b->out_n}, right, &ignored);

    failed |= j->flags & FAILS && b->end == CALL_FAILED;
    fuzz_assert(!failed || j->flags & FAILS);
    fuzz_assert(failed || (a->end == b->end && a->error == b->error));
    if (!failed && !malformed)
        fuzz_assert(a->content == b->content && (a->end != CALL_END || a->left == b->left) && n == m);
    fuzz_assert(m <= n || malformed);
    fuzz_assert(memcmp(left, right, m < n ? m : n) == 0);
    free(left);
    free(right);
}

static void set_up(const uint8_t *how, struct job *j)
{
    static const enum body_kind kinds[] = {BODY_LENGTH, BODY_CHUNKED, BODY_CLOSE, BODY_CHUNKED};

    j->flags = how[1];
    j->framing = (struct framing){.kind = kinds[how[0] & 3]};
    if (j->framing.kind == BODY_LENGTH)
        j->framing.length = (uint64_t)how[0] >> 2 << 5 | how[2] >> 3;
    j->in_chunks = j->framing.kind != BODY_LENGTH && !(how[0] & 8);
}

static void run(const uint8_t *data, size_t size)
{
    struct outcome whole, cut;
    struct job j;

    if (size < 4)
        return;
    set_up(data, &j);
    calls = (struct calls){.recv = on_recv, .send = on_send, .sendmsg = on_sendmsg};
    j.bytes = fuzz_copy(data + 4, size - 4);
    respond_once(&j, 0, &whole);
    check_content(&j, &whole);
    if (whole.trailers)
        j.flags &= ~(unsigned)SMALL; /* as they are never: buffers have room for all that trailers may be */
    respond_once(&j, (uint32_t)data[2] << 8 | data[3] | 1u << 20, &cut);
    check_same(&j, &whole, &cut);
    free(whole.out);
    free(cut.out);
    free((char *)j.bytes.p);
    calls = (struct calls){0};
}

const struct fuzz_target fuzz_h1 = {"h1", http_init, run};
