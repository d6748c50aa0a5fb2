/* Whole exchanges in a world of their own (exchange_world.h). The first byte says which of two games the
 * others are for:
 *
 *   'S'  a request and a response. They are given whole, then cut into pieces, with calls that say EAGAIN:
 * the results must be the same. Then once more with a call that fails. any  a programme: clients and origins
 * write, read, end and reset, time passes, calls and memory fail, and the policy changes, in any order.
 *
 * Every host leads to the one origin, so that nothing else is ever connected to. The code below uses read()
 * and write(), since recv() and send() are Carpool's. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/http_message.h"
#include "exchange_world.h"
#include "fuzz.h"
#include "pool/agent.h"

#define CLIENTS 4
#define HEARD   (256 * 1024)

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- 'S': a request and a response, cut anyhow ---------------------------------------------------------- */

enum { CLIENT_ENDS = 1, ORIGIN_ENDS = 2, SAYS_AGAIN = 4, FAILS = 8, REPAIRS = 16 };

struct outcome {
    unsigned records, status;
    const char *error;
    struct message_log request, response;
};

struct ear {
    char *p;
    size_t n;
};

static void listen_to(struct ear *e, int fd)
{
    ssize_t n;

    while (e->n < HEARD && (n = read(fd, e->p + e->n, HEARD - e->n)) > 0)
        e->n += (size_t)n;
}

/* One turn of listening to the client and, when there is one, the origin. */
static void listen_to_both(struct ear *ears, int client)
{
    world_settle();
    listen_to(&ears[0], client);
    if (world_rig.origin_count)
        listen_to(&ears[1], world_rig.origins[0]);
}

static void listen_until_silent(struct ear *ears, int client)
{
    size_t before;

    do {
        before = ears[0].n + ears[1].n;
        listen_to_both(ears, client);
    } while (ears[0].n + ears[1].n > before);
}

/* Writes in steps from a simple sequence of numbers; 0 is all at once. Gives up on who does not take it. */
static void tell(int fd, struct slice bytes, uint32_t seed, struct ear *ears, int client)
{
    uint32_t state = seed;
    unsigned in_vain = 0;

    for (size_t at = 0; at < bytes.n && in_vain < 20;) {
        state = state * 1664525 + 1013904223;
        size_t step = seed == 0 ? bytes.n : 1 + (state >> 16) % (seed % 64 + 1);
        ssize_t n = write(fd, bytes.p + at, step < bytes.n - at ? step : bytes.n - at);
        if (n < 0 && errno != EAGAIN)
            return;
        at += n > 0 ? (size_t)n : 0;
        in_vain = n > 0 ? 0 : in_vain + 1;
        if (seed != 0 || n < 0)
            listen_to_both(ears, client);
    }
}

static enum request_kind kind_of(struct slice request)
{
    if (request.n > 5 && memcmp(request.p, "HEAD ", 5) == 0)
        return REQUEST_HEAD;
    return request.n > 8 && memcmp(request.p, "CONNECT ", 8) == 0 ? REQUEST_CONNECT : REQUEST_PLAIN;
}

/* What the origin heard, as message_read() wants it: with a target that names the host. */
static struct slice as_to_a_proxy(const struct ear *e)
{
    static const char host[] = "http://a.test";
    static char text[HEARD + sizeof host];
    if (e->n > 0 && e->p[0] == 0x16) /* TLS, of an https: target */
        return SLICE("");
    const char *space = memchr(e->p, ' ', e->n);
    size_t before = space ? (size_t)(space - e->p) + 1 : e->n;

    if (before >= e->n || (e->p[before] != '/' && e->p[before] != '*'))
        return (struct slice){e->p, e->n};
    char *at = mempcpy(mempcpy(text, e->p, before), host, strlen(host));
    size_t skip = e->p[before] == '*' ? before + 1 : before;
    at = mempcpy(at, e->p + skip, e->n - skip);
    return (struct slice){text, (size_t)(at - text)};
}

static void answer(struct slice response, uint8_t flags, uint32_t seed, struct ear *ears, int client)
{
    /* A repeat is answered as the first attempt was. */
    for (unsigned i = 0; i < world_rig.origin_count && i < 4; i++) {
        tell(world_rig.origins[i], response, seed, ears, client);
        if (flags & ORIGIN_ENDS)
            shutdown(world_rig.origins[i], SHUT_WR);
        listen_until_silent(ears, client);
    }
}

/* Cut by `seed`, 0 being not at all; world_trouble is the caller's. */
static void converse(struct slice request, struct slice response, uint8_t flags, uint32_t seed,
                     struct outcome *out)
{
    static char rooms[2][HEARD];
    struct ear ears[2] = {{rooms[0], 0}, {rooms[1], 0}};
    int clients[CLIENTS] = {-1, -1, -1, -1};
    unsigned records = world_rig.records;

    clients[0] = world_client();
    tell(clients[0], request, seed, ears, clients[0]);
    if (flags & CLIENT_ENDS)
        shutdown(clients[0], SHUT_WR);
    listen_until_silent(ears, clients[0]);
    answer(response, flags, seed >> 3, ears, clients[0]);
    out->records = world_rig.records - records;
    out->status = out->records ? world_rig.last_status : 0;
    out->error = out->records ? world_rig.last_error : "";
    message_read(as_to_a_proxy(&ears[1]), HEARD, REQUESTS, REQUEST_PLAIN, &out->request);
    enum request_kind asked = out->records == 0 || world_rig.last_was_read ? kind_of(request) : REQUEST_PLAIN;
    message_read((struct slice){ears[0].p, ears[0].n}, HEARD, RESPONSES, asked, &out->response);
    world_end(clients, CLIENTS);
}

/* With the fields that Carpool adds, a head may be above the limits that message_read() has. */
static bool is_well_formed(const struct message_log *m)
{
    return m->end != MESSAGE_REFUSED || m->why == head_verdict_text(HEAD_TOO_LARGE) ||
           m->why == head_verdict_text(HEAD_TOO_MANY_FIELDS);
}

/* What was on its way before a cut need not arrive where a call said EAGAIN; a refusal quotes what had
 * come. */
static bool same_messages(const struct message_log *a, const struct message_log *b, bool again, bool quotes)
{
    bool same_content = a->content == b->content && a->digest == b->digest;
    bool not_begun = again && a->end == MESSAGE_MORE && b->end == MESSAGE_WHOLE;

    return (a->end == b->end || not_begun) && a->why == b->why && a->messages == b->messages &&
           (same_content || quotes || (again && a->end == MESSAGE_MORE));
}

static void show(const char *which, const struct outcome *o)
{
    const struct message_log *logs[] = {&o->request, &o->response};

    fprintf(stderr, "%s: %u records, status %u, error '%s'\n", which, o->records, o->status, o->error);
    for (size_t i = 0; i < 2; i++)
        fprintf(stderr, "  %s: %u messages, then %d (%s), %zu bytes, %llu of content, digest %llx\n",
                i == 0 ? "origin heard" : "client heard", logs[i]->messages, logs[i]->end,
                logs[i]->why ? logs[i]->why : "fine", logs[i]->used, (unsigned long long)logs[i]->content,
                (unsigned long long)logs[i]->digest);
}

static void check_same(const struct outcome *a, const struct outcome *b, bool again)
{
    bool quotes = strcmp(a->error, "http_request_error") == 0 ||
                  strcmp(a->error, "http_protocol_error") == 0 ||
                  strcmp(a->error, "http_response_header_section_size") == 0;

    if (a->records == b->records && a->status == b->status && strcmp(a->error, b->error) == 0 &&
        same_messages(&a->request, &b->request, again, false) &&
        same_messages(&a->response, &b->response, again, quotes))
        return;
    show("whole", a);
    show("cut", b);
    fuzz_assert(!"the same however it is cut");
}

/* What Carpool sends is well-formed, though it may be cut short. */
static void check_well_formed(const struct outcome *o)
{
    fuzz_assert(is_well_formed(&o->request) || o->response.end == MESSAGE_TUNNEL);
    fuzz_assert(is_well_formed(&o->response));
}

static void play_split(const uint8_t *data, size_t size)
{
    static const int errors[] = {ECONNRESET, EPIPE, EIO, ENOMEM};
    static struct outcome whole, cut, failed;

    if (size < 5)
        return;
    uint8_t flags = data[0];
    uint32_t seed = (uint32_t)data[1] << 8 | data[2] | 1;
    size_t length = (size_t)data[3] << 8 | data[4];
    data += 5;
    size -= 5;
    length = length < size ? length : size;
    struct slice request = {(const char *)data, length},
                 response = {(const char *)data + length, size - length};
    world_rig.proxy->config->server.maxRequestsPerSocket = 1;
    world_rig.proxy->config->upstreams[0].policy.insecureHTTPParser = flags & REPAIRS;
    converse(request, response, flags, 0, &whole);
    check_well_formed(&whole);
    world_trouble.most = seed % 7;
    world_trouble.again = flags & SAYS_AGAIN ? seed : 0;
    converse(request, response, flags, seed, &cut);
    check_same(&whole, &cut, flags & SAYS_AGAIN);
    if (flags & FAILS) {
        world_trouble.after = 1 + seed % 32;
        world_trouble.error = errors[seed >> 5 & 3];
        converse(request, response, flags, 0, &failed);
        check_well_formed(&failed);
    }
    world_rig.proxy->config->upstreams[0].policy.insecureHTTPParser = false;
    world_rig.proxy->config->server.maxRequestsPerSocket = UINT32_MAX;
}

/* --- A programme ---------------------------------------------------------------------------------------- */

/* Half a head of more than 1 KiB, the least that maxHeaderSize may be. */
#define TEN(text)  text text text text text text text text text text
#define LONG_FIELD "X: " TEN(TEN("a long story"))

static const char *const requests[] = {
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc",
    "PUT http://b.test/ HTTP/1.1\r\nHost: b.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM abc\r\n\r\n",
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "PUT http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n",
    "HEAD http://b.test/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "DELETE http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    "GET http://b.test/ HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n",
    "llo\r\n0\r\nDigest: x\r\n\r\n",
    "broken\r\n\r\n",
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" LONG_FIELD,
};

static const char *const responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nto the end",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n",
    "HTTP/1.0 204 None\r\nKeep-Alive: timeout=2, max=1\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 200 O",
    "\r\n\r\n",
    "HTTP/1.1 200 OK\r\n" LONG_FIELD,
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct programme {
    const uint8_t *at, *end;
    int clients[CLIENTS];
    bool configured;
};

static uint8_t next(struct programme *p)
{
    return p->at < p->end ? *p->at++ : 0;
}

static int *some_origin(uint8_t which)
{
    static int nobody = -1;

    /* The newest ones are the likeliest to matter. */
    return world_rig.origin_count
               ? &world_rig.origins[world_rig.origin_count - 1 -
                                    which % (world_rig.origin_count < 4 ? world_rig.origin_count : 4)]
               : &nobody;
}

static void put(int fd, const void *bytes, size_t n)
{
    ssize_t put = fd >= 0 ? write(fd, bytes, n) : 0;

    (void)put;
}

static void put_text(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

static void take(int fd, size_t most)
{
    static char waste[65536];
    ssize_t n;

    while (fd >= 0 && most > 0 && (n = read(fd, waste, most < sizeof waste ? most : sizeof waste)) > 0)
        most -= (size_t)n < most ? (size_t)n : most;
}

static void put_next(struct programme *p, int fd)
{
    size_t n = next(p), left = (size_t)(p->end - p->at);

    n = n < left ? n : left;
    put(fd, p->at, n);
    p->at += n;
}

static void put_much(int fd)
{
    static char much[65536];

    put(fd, much, sizeof much);
}

static void narrow(int fd)
{
    int room = 4096;

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

/* What the newest origin or the first client does in the midst of a turn. */
static struct {
    int *fd;
    unsigned what;
} ambush;

static void act(void *ctx)
{
    (void)ctx;
    switch (ambush.what & 3) {
    case 0: put_text(*ambush.fd, responses[ambush.what >> 4]); break;
    case 1: put_text(*ambush.fd, requests[ambush.what >> 4]); break;
    case 2: shutdown(*ambush.fd, SHUT_WR); break;
    case 3: hang_up(ambush.fd); break;
    }
}

static void lie_in_wait(struct programme *p, unsigned after)
{
    uint8_t what = next(p);

    ambush.fd = what & 4 ? &p->clients[what >> 3 & 1] : some_origin(what >> 3 & 1);
    ambush.what = (what >> 4) % COUNT(responses) << 4 | (what & 3);
    world_ambush = (struct world_ambush){.after = after, .act = act};
}

static void operate(uint8_t what)
{
    static const char *const policies[] = {
        "match: \"*\", retries: 2, drainLimit: 1KiB, replayLimit: 2KiB",
        "match: \"*\", maxSockets: 1, retries: 1, drainLimit: 0, insecureHTTPParser: true, via: false",
        "match: \"*\", maxSockets: 2, maxTotalSockets: 2, maxPendingRequests: 1, retries: 3",
        "match: \"*\", maxTotalSockets: 1, replayLimit: 0, maxRequestsPerSocket: 2",
        "match: \"*\", keepAlive: false, timeouts: {request: 20s}",
    };
    static const char *const files[] = {
        "access: {unmatched: deny, connectPorts: [443, 80]}\n",
        "access: {unmatched: deny, connectPorts: [443, 80]}\n"
        "server: {maxHeaderSize: 1KiB, maxHeadersCount: 1, headersTimeout: 1s, requestTimeout: 2s, timeout: 1s, "
        "keepAliveTimeout: 1s}\n",
        "access: {unmatched: deny, connectPorts: [443, 80]}\n"
        "defaults: {timeouts: {pending: 1s, socket: 2s, request: 5s, free: 1s, tunnel: 3s}, maxSocketAge: 2s}\n",
        "access: {clients: [10.0.0.0/8], connectPorts: [443, 80]}\n"
        "server: {headersTimeout: off, requestTimeout: off, timeout: off, keepAliveTimeout: off}\n"
        "defaults: {timeouts: {pending: off, socket: off, request: off, free: off, tunnel: off}}\n",
        "access: {unmatched: deny, connectPorts: [443, 80]}\n"
        "server: {headersTimeout: off, requestTimeout: off, timeout: off, keepAliveTimeout: off}\n"
        "defaults: {timeouts: {pending: off, socket: off, request: off, free: off, tunnel: off}}\n",
    };
    static const struct {
        const char *policy, *file;
    } more[] = {{"", ""}, {", queue: fair", "callers: unit\n"}};
    struct agent *a = proxy_rig_agent(&world_rig);
    bool takes_turns = what >> 4 == 15;
    char policy[256], file[1024];

    switch (what & 7) {
    case 0: agent_pause(a); break;
    case 1: agent_resume(a); break;
    case 2: agent_drain(a); break;
    default:
        snprintf(policy, sizeof policy, "%s%s", policies[(what & 7) - 3], more[takes_turns].policy);
        snprintf(file, sizeof file, "%s%s", more[takes_turns].file, files[(what >> 4) % COUNT(files)]);
        proxy_rig_configure(&world_rig, policy, file);
        break;
    }
}

static void make_trouble(uint8_t what)
{
    static const int errors[] = {ECONNRESET, EPIPE, EIO, ETIMEDOUT, ENOMEM, EMFILE, EINTR, 0};

    world_trouble = (struct world_trouble){0};
    if (what == 255)
        return; /* all is well again */
    world_trouble.most = what & 0x80 ? 1 + (what & 15) : 0;
    if (errors[what & 7] == 0) {
        world_trouble.blocks = what & 0x40;
        world_trouble.again = what & 0x40 ? 0 : what;
        return;
    }
    world_trouble.after = 1 + (what >> 3) % 16;
    world_trouble.error = errors[what & 7];
}

static void wait_some_time(uint8_t which)
{
    static const uint64_t times[] = {1,     10,    1000,  2000,   5000,   6000,
                                     10000, 30000, 60000, 300000, 600000, 3600000};

    if (which > 0)
        world_pass(times[which % COUNT(times)]);
    world_settle();
}

static void step(struct programme *p)
{
    uint8_t op = next(p), which = op >> 4;
    int *client = &p->clients[which % CLIENTS], *origin = some_origin(which);

    if (*client < 0 && (op & 15) <= 6 && world_rig.origin_count < RIG_ORIGINS / 2)
        *client = world_client();
    switch (op & 15) {
    case 0: put_next(p, *client); break;
    case 1: put_text(*client, requests[next(p) % COUNT(requests)]); break;
    case 2: put_much(*client); break;
    case 3: take(*client, which & 4 ? 100 : HEARD); break;
    case 4: shutdown(*client, SHUT_WR); break;
    case 5: narrow(*client); break;
    case 6: hang_up(client); break;
    case 7: put_next(p, *origin); break;
    case 8: put_text(*origin, responses[next(p) % COUNT(responses)]); break;
    case 9: put_much(*origin); break;
    case 10: take(*origin, which & 4 ? 100 : HEARD); break;
    case 11: shutdown(*origin, SHUT_WR); break;
    case 12: hang_up(origin); break;
    case 13:
        op = next(p);
        if (op & 8) {
            lie_in_wait(p, 1 + (op >> 4));
            break;
        }
        operate(op);
        p->configured = true;
        break;
    case 14: make_trouble(next(p)); break;
    case 15: wait_some_time(which); return;
    }
    if (!(which & 8)) /* else it comes in one turn with the next */
        world_turn();
}

static void play_programme(const uint8_t *data, size_t size)
{
    struct programme p = {data, data + size, {-1, -1, -1, -1}, false};

    for (unsigned steps = 0; p.at < p.end && steps < 200 && world_rig.origin_count < RIG_ORIGINS / 2; steps++)
        step(&p);
    world_end(p.clients, CLIENTS);
    if (p.configured)
        operate(3);
}

static void run(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'S')
        play_split(data + 1, size - 1);
    else if (size > 0)
        play_programme(data + 1, size - 1);
}

const struct fuzz_target fuzz_exchange = {"exchange", world_open, run};
