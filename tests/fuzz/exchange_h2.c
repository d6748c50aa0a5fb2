/* Whole exchanges over HTTP/2, in the world of exchange.c, with an origin that keeps books (h2_origin.h). The
 * first byte says which of two games the others are for:
 *
 *   'S'  three requests, and what the origin says to them. It is said whole, then in pieces: the results must
 * be the same. any  a programme: clients ask, send, take and leave, the origin answers, refuses, sends away,
 * resets, says any frame and ends, time passes, calls and memory fail, and the policy changes, in any order.
 *
 * Whatever happens: a response is its own request's and begins where it should, a request is answered once,
 * none that may not be repeated is processed twice, and what Carpool sends is HTTP/2. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange_world.h"
#include "fuzz.h"
#include "h2_askers.h"
#include "h2_origin.h"
#include "pool/agent.h"

#define CLIENTS 4
#define POLICY  "match: \"*\", h2Options: {useH2c: true"

static struct asker askers[CLIENTS];

/* --- Begin and end ------------------------------------------------------------------------------------ */

static void begin(void)
{
    origin_reset();
    askers_requests = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        askers[i].fd = -1;
        askers[i].count = askers[i].unsent = 0;
        askers[i].n = 0;
    }
}

static void leave(struct asker *a)
{
    static struct answer answers[ASKED];

    asker_take(a, HEARD);
    asker_check(a, answers);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    a->count = a->unsent = 0;
    a->n = 0;
}

static void end(void)
{
    int nobody[CLIENTS] = {-1, -1, -1, -1};

    for (unsigned i = 0; i < CLIENTS; i++)
        leave(&askers[i]);
    world_end(nobody, CLIENTS);
    origin_reset();
}

static void turn(size_t most)
{
    origin_tell(most);
    world_turn();
    origin_hear();
}

static void settle(void)
{
    world_settle();
    origin_hear();
    origin_tell(0);
    world_settle();
    origin_hear();
}

/* --- What the origin says ----------------------------------------------------------------------------- */

struct programme {
    const uint8_t *at, *end;
    size_t grain; /* bytes of each connection that are written in a step; 0: all */
    bool configured;
};

static uint8_t next(struct programme *p)
{
    return p->at < p->end ? *p->at++ : 0;
}

/* One frame of the input's own making. */
static void say_any(struct programme *p, unsigned peer)
{
    uint8_t type = next(p), flags = next(p), stream = next(p);
    size_t n = next(p), left = (size_t)(p->end - p->at);

    n = n < left ? n : left;
    if ((type == 0 || type == 1 || type == 9) && stream > 0)
        for (unsigned i = 0; i < askers_requests; i++)
            origin_requests[i].wild = true;
    for (unsigned times = type & 0x80 ? 100 : 1; times > 0; times--)
        origin_say(peer, type & 0x7f, flags, stream, p->at, n);
    p->at += n;
}

static void answer(unsigned peer, unsigned place, uint8_t how)
{
    static const unsigned statuses[] = {200, 204, 304, 404};
    unsigned n = (how >> 3) * 16;
    bool empty = n == 0 || (how & 3) == 1 || (how & 3) == 2;

    origin_say_head(peer, place, statuses[how & 3], how & 4 && !empty ? (int)n : -1, empty);
    if (!empty)
        origin_say_content(peer, place, n, true);
}

static void say(struct programme *p, unsigned peer)
{
    static const uint32_t values[] = {0, 1, 2, 100, 1000, 65535, 100000, INT32_MAX};
    static const unsigned interim[] = {100, 102, 103, 199};
    uint8_t op = next(p);
    unsigned place = op >> 4 == 15 ? next(p) : op >> 4;

    switch (op & 15) {
    case 0: answer(peer, place, next(p)); break;
    case 1: origin_say_head(peer, place, 200, -1, false); break;
    case 2: origin_say_head(peer, place, 200, next(p) * 8, false); break;
    case 3: origin_say_content(peer, place, next(p) * 8U, false); break;
    case 4: origin_say_content(peer, place, next(p) * 64U, true); break;
    case 5: origin_say_trailers(peer, place); break;
    case 6: origin_say_head(peer, place, interim[next(p) & 3], -1, false); break;
    case 7: origin_say_reset(peer, place, next(p) & 15); break;
    case 8: origin_say_reset(peer, place, 7); break; /* REFUSED_STREAM */
    case 9: origin_say_goaway(peer, place, 0); break;
    case 10: origin_say_goaway(peer, ORIGIN_STREAMS, next(p) & 15); break;
    case 11: origin_say_setting(peer, 3, values[place & 7]); break;
    case 12: origin_say_setting(peer, 4, values[place & 7]); break;
    case 13: origin_say_end(peer); break;
    case 14: origin_say(peer, 6, 0, 0, (const uint8_t *)"measured", 8); break;
    case 15: say_any(p, peer); break;
    }
}

/* --- 'S': the same, however it is cut ----------------------------------------------------------------- */

#define SPLIT_CLIENTS 3

struct result {
    unsigned arrivals; /* at the origin */
    uint64_t floods;
    bool talked_on;
    struct answer answers[CLIENTS][ASKED];
};

static uint64_t count_floods(void)
{
    struct agent *a = proxy_rig_agent(&world_rig);
    uint64_t n = a->forgotten.retired[RETIRE_FLOOD];

    for (const struct origin *o = a->origins; o; o = o->hh.next)
        n += o->stats.retired[RETIRE_FLOOD];
    return n;
}

/* How much they have heard. */
static size_t listen_to_all(void)
{
    size_t n = 0;

    origin_hear();
    for (unsigned i = 0; i < CLIENTS; i++) {
        asker_take(&askers[i], HEARD);
        n += askers[i].n;
    }
    return n;
}

static void listen_until_silent(void)
{
    size_t before;

    do {
        before = listen_to_all();
        settle();
    } while (listen_to_all() > before);
}

/* All of it, in pieces of a simple sequence of lengths; seed 0: at once. */
static void deliver(unsigned peer, uint32_t seed)
{
    unsigned in_vain = 0;

    while (origin_has_more(peer) && in_vain++ < 5000) {
        seed = seed ? seed * 1664525 + 1013904223 : 0;
        origin_tell(seed ? 1 + (seed >> 16) % (1 + (seed >> 28) * 8) : 0);
        world_turn();
        listen_to_all();
    }
    origin_tell(0); /* an end behind it */
    listen_until_silent();
}

/* The first request is alone: it finds out what the origin speaks. */
static void ask_all(uint8_t kinds)
{
    static const unsigned bodies[] = {0, 9 << 3 | 1, 20 << 3 | 5, 2};

    for (unsigned i = 0; i < SPLIT_CLIENTS; i++) {
        askers[i].fd = world_client();
        asker_ask(&askers[i], bodies[kinds >> 2 * i & 3]);
        asker_put_content(&askers[i], askers[i].unsent);
        for (unsigned n = 0; n < 10 && origin_arrivals() <= i; n++)
            settle();
    }
    settle();
}

static void converse(uint8_t kinds, struct slice script, uint32_t seed, struct result *out)
{
    begin();
    ask_all(kinds);
    /* A repeat on another connection is told the same. */
    for (unsigned i = 0; i < origin_peers() && i < 4; i++) {
        struct programme p = {.at = (const uint8_t *)script.p, .end = (const uint8_t *)script.p + script.n};
        for (unsigned steps = 0; p.at < p.end && steps < 100; steps++)
            say(&p, i);
        deliver(i, seed);
    }
    out->arrivals = origin_arrivals();
    out->floods = count_floods();
    out->talked_on = origin_talked_on();
    for (unsigned i = 0; i < CLIENTS; i++)
        asker_check(&askers[i], out->answers[i]);
    end();
}

static bool same_answer(const struct answer *a, const struct answer *b)
{
    const struct answer *more = a->kind > b->kind ? a : b;

    /* What is passed on before it fails is a matter of time. */
    if (a->kind != b->kind || a->kind != WHOLE)
        return more->kind != WHOLE || more->counted;
    return a->status == b->status && a->content == b->content && a->digest == b->digest;
}

static void play_split(const uint8_t *data, size_t size)
{
    static struct result whole, cut;

    if (size < 3)
        return;
    const struct slice script = {(const char *)data + 3, size - 3};
    converse(data[0], script, 0, &whole);
    world_trouble.most = data[1] % 7;
    world_trouble.again = data[1] & 0x80 ? data[1] : 0;
    converse(data[0], script, 1 + data[2], &cut);
    /* A repeat comes at its own time, and is answered by what is left of the script. */
    if (whole.arrivals != SPLIT_CLIENTS || cut.arrivals != SPLIT_CLIENTS || whole.floods + cut.floods > 0 ||
        whole.talked_on || cut.talked_on)
        return;
    for (unsigned i = 0; i < SPLIT_CLIENTS; i++) {
        const struct answer *a = &whole.answers[i][0], *b = &cut.answers[i][0];
        if (same_answer(a, b))
            continue;
        fprintf(stderr, "client %u: whole %d %u %zu, cut %d %u %zu\n", i, a->kind, a->status, a->content,
                b->kind, b->status, b->content);
        fuzz_assert(!"the same however it is cut");
    }
}

/* --- A programme -------------------------------------------------------------------------------------- */

static void configure(uint8_t what)
{
    static const char *const policies[] = {
        POLICY "}",
        POLICY ", maxConcurrentStreams: 1}, maxSockets: 2",
        POLICY ", maxConcurrentStreams: 2, maxStreamWindow: 64KiB}, maxSockets: 3, maxTotalSockets: 1",
        POLICY
        ", pingInterval: 1s, pingTimeout: 1s}, maxPendingRequests: 1, maxSockets: 2, timeouts: {socket: 5s}",
        POLICY "}, maxRequestsPerSocket: 2, scheduling: fifo, minFreeSockets: 1",
        POLICY "}, keepAlive: false, retries: 0, replayLimit: 100",
        "match: \"*\", h2Options: {useH2c: false}",
        POLICY "}, replayLimit: 0, maxSocketAge: 2s, timeouts: {request: 10s, free: 1s}",
    };

    proxy_rig_configure(&world_rig, policies[what & 7], "access: {unmatched: deny}");
}

static void operate(struct programme *p, uint8_t what)
{
    struct agent *a = proxy_rig_agent(&world_rig);

    switch (what & 3) {
    case 0: agent_pause(a); break;
    case 1: agent_resume(a); break;
    case 2: agent_drain(a); break;
    case 3:
        configure(what >> 2);
        p->configured = true;
        break;
    }
}

static void make_trouble(uint8_t what)
{
    static const int errors[] = {ECONNRESET, EPIPE, ENOMEM, EINTR};

    world_trouble = (struct world_trouble){0};
    if (what == 255)
        return; /* all is well again */
    world_trouble.most = what & 0x80 ? 1 + (what & 15) : 0;
    if (what & 0x40) {
        world_trouble.blocks = what & 0x20;
        world_trouble.again = what & 0x20 ? 0 : what;
        return;
    }
    world_trouble.after = 1 + (what >> 2) % 16;
    world_trouble.error = errors[what & 3];
}

static void wait_some_time(uint8_t which)
{
    static const uint64_t times[] = {0, 1, 10, 100, 1000, 2000, 5000, 10000, 30000, 60000, 600000};

    world_pass(times[which % (sizeof times / sizeof *times)]);
    settle();
}

/* The newest connections are the likeliest to matter. */
static unsigned some_peer(uint8_t which)
{
    unsigned n = origin_peers();

    return n - 1 - which % (n < 3 ? n : 3);
}

static void come(struct asker *a)
{
    if (a->fd < 0 && world_rig.origin_count < RIG_ORIGINS / 2)
        a->fd = world_client();
}

static void hang_up_origin(unsigned peer)
{
    int *fd = &world_rig.origins[peer];

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void step(struct programme *p)
{
    uint8_t op = next(p), which = op >> 4;
    struct asker *a = &askers[which % CLIENTS];

    switch (op & 15) {
    case 0:
    case 1:
        come(a);
        asker_ask(a, next(p));
        if (which & 4)
            asker_put_content(a, a->unsent);
        break;
    case 2: asker_put_content(a, 1 + which * 8U); break;
    case 3: asker_take(a, which & 4 ? 100 : HEARD); break;
    case 4: shutdown(a->fd, SHUT_WR); break;
    case 5: leave(a); break;
    case 6:
    case 7:
    case 8:
    case 9:
        if (origin_peers() > 0)
            say(p, some_peer(which));
        break;
    case 10:
        if (origin_peers() > 0)
            hang_up_origin(some_peer(which));
        break;
    case 11: origin_is_silent(which & 1); break;
    case 12: p->grain = which * which; break;
    case 13: operate(p, next(p)); break;
    case 14: make_trouble(next(p)); break;
    case 15: wait_some_time(which); return;
    }
    if (!(which & 8)) /* else it comes in one turn with the next */
        turn(p->grain);
}

static void play_programme(const uint8_t *data, size_t size)
{
    struct programme p = {.at = data, .end = data + size};

    begin();
    for (unsigned steps = 0; p.at < p.end && steps < 200 && world_rig.origin_count < RIG_ORIGINS / 2; steps++)
        step(&p);
    world_trouble = (struct world_trouble){0};
    origin_tell(0);
    settle();
    end();
    if (p.configured)
        configure(0);
}

static void prepare(void)
{
    world_open();
    configure(0);
}

static void run(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'S')
        play_split(data + 1, size - 1);
    else if (size > 0)
        play_programme(data + 1, size - 1);
}

const struct fuzz_target fuzz_exchange_h2 = {"exchange_h2", prepare, run};
