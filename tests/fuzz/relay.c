/* Content on its way, in either direction, over streams in memory. Four bytes say how it is framed and cut, the others are
 * what comes. Given whole, and cut anyhow on both sides, the same must come out: the content, once, framed as asked,
 * and of the trailers those that may pass. */

#include <errno.h>

#include "calls.h"
#include "http_fuzz.h"
#include "proxy/relay.h"

enum { SOURCE = 1000, SINK = 1001 }; /* descriptors that are none */
enum { ENDS = 1, KEEPS = 2, SMALL = 4, HEAD_FIRST = 8, FAILS = 16 };

/* What the two streams do. */
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

/* --- One relay, from its beginning to its end --------------------------------------------------------------- */

struct job {
    struct framing framing;
    enum relay_format format;
    uint64_t keep;
    unsigned flags;
    struct slice bytes;
};

struct outcome {
    enum relay_result end;
    uint64_t content;
    size_t used; /* bytes of the source that are this content's */
    bool trailers;
    char *out;
    size_t out_n;
};

/* Two of its results wait for somebody; false when nobody comes. */
static bool go_on(struct conn *from, struct relay *r, enum relay_result result)
{
    switch (result) {
    case RELAY_STARVED:
        if (world.arrived == world.bytes.n)
            return false;
        world.arrived += next_step() < world.bytes.n - world.arrived
                             ? next_step() % (world.bytes.n - world.arrived) + 1
                             : world.bytes.n - world.arrived;
        conn_report(from, CONN_READABLE);
        return true;
    case RELAY_BLOCKED: world.room = next_step(); return true;
    case RELAY_SOURCE_EOF:
        if (r->framing.kind != BODY_CLOSE || r->ended)
            return false;
        relay_finish(r);
        return true;
    case RELAY_YIELD: return true;
    case RELAY_DONE:
    case RELAY_SOURCE_FAILED:
    case RELAY_SINK_FAILED:
    case RELAY_MALFORMED:
    case RELAY_NO_MEMORY: break;
    }
    return false;
}

/* The first bytes came with the head. */
static struct buffer *head_buffer(struct buffer_pool *heads)
{
    struct buffer *b = buffer_borrow(heads);
    size_t n = next_step() % (buffer_room(b) < world.bytes.n ? buffer_room(b) : world.bytes.n);

    if (n == 0) {
        buffer_give(b);
        return NULL;
    }
    buffer_append(b, (struct slice){world.bytes.p, n});
    world.arrived = world.read = n;
    return b;
}

static void check_kept(const struct relay *r, enum relay_result end)
{
    if (end != RELAY_DONE || r->keep_limit == 0 || r->format == RELAY_DISCARD)
        return;
    struct slice kept = r->kept ? buffer_unread(r->kept) : SLICE("");
    fuzz_assert(slice_eq(kept, (struct slice){world.out, world.out_n}));
    fuzz_assert(r->content <= r->keep_limit);
}

static void relay_once(const struct job *j, uint32_t seed, struct outcome *out)
{
    bool small = seed != 0 && j->flags & SMALL;
    struct buffer_pool heads = {.size = 256}, bodies = {.size = small ? 512 : BUFFER_SIZE};
    struct conn from, to;
    struct buffer *in = NULL;
    struct relay r;
    enum relay_result result;

    conn_open(&from, SOURCE);
    conn_open(&to, SINK);
    world.bytes = j->bytes;
    world.seed = seed;
    world.arrived = seed ? 0 : j->bytes.n;
    world.read = 0;
    world.room = next_step();
    world.ends = j->flags & ENDS;
    world.fails_after = seed && j->flags & FAILS ? 1 + seed % 16 : 0;
    world.out = malloc(8 * j->bytes.n + 1024); /* a chunk each byte */
    world.out_n = 0;
    if (seed && j->flags & HEAD_FIRST && j->bytes.n > 0)
        in = head_buffer(&heads);
    relay_begin(&r, j->framing, j->format);
    r.keep_limit = j->keep;
    const struct relay_ends ends = {&from, &in, &to, &bodies, &scratch, NULL};
    do {
        result = relay_pump(&r, &ends);
        fuzz_assert(bodies.lent <= 3 &&
                    (result == RELAY_SOURCE_FAILED || from.may_read || world.read == world.arrived));
    } while (go_on(&from, &r, result));
    check_kept(&r, result);
    *out = (struct outcome){.end = result, .content = r.content, .out = world.out, .out_n = world.out_n};
    out->used = world.read - (in ? buffer_unread(in).n : 0);
    out->trailers = r.trailers != NULL;
    relay_end(&r);
    buffer_give(in);
    fuzz_assert(heads.lent == 0 && bodies.lent == 0);
    buffer_pool_destroy(&heads);
    buffer_pool_destroy(&bodies);
}

/* --- What came out ------------------------------------------------------------------------------------------ */

/* Its framing undone; the length of what is left. The bytes of the trailers stand behind the content's. */
static size_t undo(enum relay_format format, struct slice text, char *to, bool *whole)
{
    struct chunked c = {0};
    size_t n = 0, used;
    struct slice data;

    *whole = false;
    if (format == RELAY_RAW) {
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
    if (j->format == RELAY_CHUNKED && trailers_n > 0) {
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
    size_t n = undo(j->format, (struct slice){whole->out, whole->out_n}, got, &complete), m = j->bytes.n;

    fuzz_assert(complete == (j->format == RELAY_CHUNKED && whole->end == RELAY_DONE));
    if (j->framing.kind == BODY_CHUNKED && whole->end == RELAY_DONE)
        m = wanted(j, want);
    else if (j->framing.kind != BODY_CHUNKED)
        memcpy(want, j->bytes.p,
               m = j->framing.kind == BODY_LENGTH && j->framing.length < m ? j->framing.length : m);
    if (j->framing.kind != BODY_CHUNKED || whole->end == RELAY_DONE)
        fuzz_assert(slice_eq((struct slice){got, n}, (struct slice){want, m}));
    free(got);
    free(want);
}

/* Cut or not: the same end and the same content; one that failed has told the beginning of it. */
static void check_same(const struct job *j, const struct outcome *a, const struct outcome *b)
{
    bool failed = b->end == RELAY_SINK_FAILED || b->end == RELAY_SOURCE_FAILED, ignored;
    char *left = malloc(a->out_n + 1), *right = malloc(b->out_n + 1);
    size_t n = undo(j->format, (struct slice){a->out, a->out_n}, left, &ignored);
    size_t m = undo(j->format, (struct slice){b->out, b->out_n}, right, &ignored);

    fuzz_assert(!failed || j->flags & FAILS);
    fuzz_assert(failed || a->end == b->end);
    if (!failed && a->end != RELAY_MALFORMED)
        fuzz_assert(a->content == b->content && a->used == b->used && n == m);
    fuzz_assert(m <= n || a->end == RELAY_MALFORMED);
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
    j->format = how[0] & 4                                     ? RELAY_DISCARD
                : j->framing.kind == BODY_LENGTH || how[0] & 8 ? RELAY_RAW
                                                               : RELAY_CHUNKED;
    /* Only requests are kept, and none of these ends with its connection. */
    j->keep = j->flags & KEEPS && j->framing.kind != BODY_CLOSE ? 1 + how[3] * 8 : 0;
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
    relay_once(&j, 0, &whole);
    if (j.format != RELAY_DISCARD)
        check_content(&j, &whole);
    if (whole.trailers)
        j.flags &= ~(unsigned)SMALL; /* as they are never: buffers have room for all that trailers may be */
    relay_once(&j, (uint32_t)data[2] << 8 | data[3] | 1u << 20, &cut);
    if (j.format != RELAY_DISCARD)
        check_same(&j, &whole, &cut);
    free(whole.out);
    free(cut.out);
    free((char *)j.bytes.p);
    calls = (struct calls){0};
}

const struct fuzz_target fuzz_relay = {"relay", http_init, run};
