/* Frames of an origin that may mean harm. Each record of the input is one: type, flags, stream, length,
 * payload; heads are HPACK as it stands there. Whatever comes, however it is cut: calls end once, a response
 * that ends is the same one, memory is what windows and heads allow, and a connection that is of no further
 * use says so. */

#include <errno.h>

#include "calls.h"
#include "fuzz.h"
#include "wire/h2.h"
#include "wire/wire.h"

#define FD      1000 /* a descriptor that is none */
#define CALLS   4
#define MOST_IN (1024 * 1024)

struct told {
    struct call call;
    uint16_t status;
    uint64_t content, sum; /* bytes, and a sum of them and of all fields */
    bool ended, failed;
};

static struct {
    char in[MOST_IN]; /* frames */
    size_t n, arrived, read;
    uint32_t seed; /* 0: all at once */
    unsigned closed;
    struct told told[CALLS];
} world;

static struct head scratch;

/* --- The connection -------------------------------------------------------------------------------------- */

static ssize_t on_recv(int fd, void *to, size_t n, int flags)
{
    size_t there = world.arrived - world.read;
    (void)flags;
    fuzz_assert(fd == FD);
    if (there == 0) {
        errno = EAGAIN;
        return world.arrived == world.n && world.seed ? 0 : -1;
    }
    n = n < there ? n : there;
    memcpy(to, world.in + world.read, n);
    world.read += n;
    return (ssize_t)n;
}

static ssize_t on_send(int fd, const void *from, size_t n, int flags)
{
    (void)from, (void)flags;
    fuzz_assert(fd == FD);
    return (ssize_t)n;
}

static void put(uint8_t type, uint8_t flags, uint32_t stream, const uint8_t *payload, size_t n)
{
    const uint8_t head[9] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0,
                             (uint8_t)stream};
    if (world.n + sizeof head + n > MOST_IN)
        return;
    memcpy(world.in + world.n, head, sizeof head);
    if (n > 0)
        memcpy(world.in + world.n + sizeof head, payload, n);
    world.n += sizeof head + n;
}

/* SETTINGS first, so that there is somebody to answer; then what the input says. A length of 255 is one of
 * 16384 bytes, the rest of them zero. */
static void compose(const uint8_t *data, size_t size)
{
    static uint8_t large[16384];
    world.n = 0;
    put(4, 0, 0, NULL, 0);
    put(4, 1, 0, NULL, 0);
    while (size >= 4) {
        size_t n = data[3] < size - 4 ? data[3] : size - 4;
        bool is_large = data[3] == 255;
        if (is_large) {
            memset(large, 0, sizeof large);
            memcpy(large, data + 4, n);
        }
        for (unsigned times = data[0] & 0x40 ? 200 : 1; times > 0; times--)
            put(data[0] & 0x0f, data[1], data[2], is_large ? large : data + 4, is_large ? sizeof large : n);
        data += 4 + n;
        size -= 4 + n;
    }
}

/* --- Owners ---------------------------------------------------------------------------------------------- */

static void add(struct told *t, struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        t->sum = t->sum * 31 + (unsigned char)s.p[i];
}

static void add_fields(struct told *t)
{
    for (uint32_t i = 0; i < scratch.count; i++) {
        add(t, scratch.fields[i].name);
        add(t, scratch.fields[i].value);
        fuzz_assert(!memchr(scratch.fields[i].value.p, '\n', scratch.fields[i].value.n));
    }
}

static void end_call(struct told *t, bool ended)
{
    struct call_end end;
    fuzz_assert(!t->ended && !t->failed);
    t->ended = ended;
    t->failed = !ended;
    if (ended)
        call_finish(&t->call, &end);
    else
        call_reset(&t->call);
    fuzz_assert(!t->call.wire);
}

static void on_ready(struct call *c, unsigned ready)
{
    struct told *t = (struct told *)c;
    struct slice run;
    size_t given = 0;
    if (ready & CALL_WRITABLE)
        call_send(c, NULL);
    while (c->wire) {
        switch (call_next(c, &scratch, &run)) {
        case CALL_MORE:
            if (given == 0)
                return;
            call_consumed(c, given);
            given = 0;
            break;
        case CALL_INTERIM: fuzz_assert(scratch.status >= 100 && scratch.status < 200); break;
        case CALL_HEAD:
            t->status = scratch.status;
            fuzz_assert(t->status >= 200 && t->status <= 999 && c->framing.kind != BODY_CLOSE);
            add_fields(t);
            break;
        case CALL_CONTENT:
            fuzz_assert(t->status != 0 && run.n > 0);
            given += run.n;
            t->content += run.n;
            add(t, run);
            break;
        case CALL_TRAILERS: add_fields(t); break;
        case CALL_END:
            fuzz_assert(c->framing.kind != BODY_LENGTH || c->framing.length == t->content);
            fuzz_assert(c->framing.kind != BODY_NONE || t->content == 0);
            end_call(t, true);
            break;
        case CALL_FAILED: end_call(t, false); break;
        }
    }
}

static void on_closed(struct wire *w, enum retire_reason reason)
{
    fuzz_assert(reason != RETIRE_NONE);
    world.closed++;
    wire_close(w, false);
}

static void on_draining(struct wire *w, enum retire_reason reason)
{
    fuzz_assert(reason != RETIRE_NONE && wire_room(w) == 0);
}

static void on_room(struct wire *w)
{
    (void)w;
}

static void on_noted(struct wire *w, enum wire_note what, uint64_t value)
{
    (void)w, (void)what, (void)value;
}

static const struct wire_owner owner = {
    .room = on_room, .draining = on_draining, .closed = on_closed, .noted = on_noted};

/* --- A run ----------------------------------------------------------------------------------------------- */

static void ask(struct wire *w, unsigned i)
{
    static const char *const heads[CALLS] = {"GET / HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n",
                                             "POST / HTTP/1.1\r\n",
                                             "GET /4 HTTP/1.1\r\nCookie: a\r\nCookie: b\r\n"};
    static const struct iovec content = {(void *)"some content", 12};
    struct told *t = &world.told[i];
    const struct call_request r = {
        .head = slice_of(heads[i]),
        .authority = SLICE("h"),
        .framing = {.kind = i == 2 ? BODY_CHUNKED : BODY_NONE},
        .is_head = i == 1,
    };
    memset(t, 0, sizeof *t);
    t->call.ready = on_ready;
    if (wire_room(w) == 0 || !wire_open(w, &t->call, &r)) {
        t->failed = true;
        return;
    }
    call_send(&t->call, &(struct call_content){.runs = &content, .count = i == 2, .last = true});
}

static size_t next_step(size_t left)
{
    if (world.seed == 0)
        return left;
    world.seed = world.seed * 1664525 + 1013904223;
    size_t step = 1 + (world.seed >> 16) % ((world.seed >> 28) ? 40 : 20000);
    return step < left ? step : left;
}

static void turn(struct wire_loop *loop, struct wire *w)
{
    if (w->session)
        conn_report(&w->conn, CONN_READABLE | CONN_WRITABLE);
    h2_end_turn(loop);
}

static void run_once(uint32_t seed)
{
    struct wire_loop loop = {.heads.size = BUFFER_HEAD_SIZE,
                             .bodies.size = BUFFER_SIZE,
                             .limits = {.max_size = 4096, .max_count = 50}};
    wire_loop_init(&loop, event_base_new());
    struct wire w = {.owner = &owner, .loop = &loop};
    world.seed = seed;
    world.arrived = world.read = 0;
    world.closed = 0;
    conn_open(&w.conn, FD);
    event_assign(&w.conn.event, loop.base, -1, 0, NULL, NULL);
    w.conn.watched = true;
    fuzz_assert(h2_open(&w, &(struct h2_options){.max_streams = 10, .max_stream_window = 1 << 20}));
    world.arrived = 18; /* both SETTINGS */
    turn(&loop, &w);
    for (unsigned i = 0; i < CALLS; i++)
        ask(&w, i);
    h2_end_turn(&loop);
    while (world.arrived < world.n) {
        world.arrived += next_step(world.n - world.arrived);
        for (int i = 0; i < 8 && world.read < world.arrived && !world.closed; i++)
            turn(&loop, &w);
        fuzz_assert(loop.bodies.lent <= CALLS * 16 && loop.heads.lent <= CALLS * 24);
    }
    turn(&loop, &w);
    for (unsigned i = 0; i < CALLS; i++)
        if (world.told[i].call.wire)
            call_reset(&world.told[i].call);
    h2_end_turn(&loop);
    wire_close(&w, false);
    fuzz_assert(loop.heads.lent == 0 && loop.bodies.lent == 0 && loop.h2_grown == 0 &&
                !LIST_FIRST(&loop.h2_due));
    wire_loop_destroy(&loop);
    event_base_free(loop.base);
}

static void prepare(void)
{
    http_init();
}

static void run(const uint8_t *data, size_t size)
{
    struct told whole[CALLS];
    if (size < 1)
        return;
    calls.recv = on_recv;
    calls.send = on_send;
    compose(data + 1, size - 1);
    run_once(0);
    memcpy(whole, world.told, sizeof whole);
    run_once(1 + data[0]);
    for (unsigned i = 0; i < CALLS; i++) {
        const struct told *a = &whole[i], *b = &world.told[i];
        if (a->ended && b->ended)
            fuzz_assert(a->status == b->status && a->content == b->content && a->sum == b->sum);
    }
    calls = (struct calls){0};
}

const struct fuzz_target fuzz_h2 = {"h2", prepare, run};
