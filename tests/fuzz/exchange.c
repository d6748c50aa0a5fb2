/* Whole exchanges, with the real client, exchange, relay and pool over local sockets. The first octet says
 * which of two games the others are for:
 *
 *   'S'  a request and a response. They are given whole, then cut into pieces; the results must be the same.
 *   any  a programme: clients and origins write, read, end, reset and fail in any order. The pool is checked
 *        after every turn, and nothing may be left in the end.
 *
 * Every host leads to the one origin, so that nothing else is ever connected to. Carpool's own calls can be made to
 * fail (calls.h); the code below uses read() and write(). */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/http_message.h"
#include "../unit/proxy_rig.h"
#include "calls.h"
#include "fuzz.h"
#include "pool/check.h"
#include "proxy/client.h"

#define CLIENTS 4
#define HEARD   (256 * 1024)

static struct proxy_rig rig;

/* --- Calls that fail ------------------------------------------------------------------------------------ */

static struct {
    unsigned after; /* calls that succeed before; 0: none fails */
    int error;
    size_t most; /* octets that a write takes; 0: all */
} trouble;

static bool fails(void)
{
    if (trouble.after == 0 || --trouble.after > 0)
        return false;
    errno = trouble.error;
    return true;
}

static ssize_t on_recv(int fd, void *to, size_t n, int flags)
{
    return fails() ? -1 : __real_recv(fd, to, n, flags);
}

static ssize_t on_send(int fd, const void *from, size_t n, int flags)
{
    return fails() ? -1 : __real_send(fd, from, trouble.most && trouble.most < n ? trouble.most : n, flags);
}

static ssize_t on_sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (fails())
        return -1;
    if (trouble.most == 0)
        return __real_sendmsg(fd, m, flags);
    const struct iovec *v = m->msg_iov;
    return __real_send(fd, v->iov_base, trouble.most < v->iov_len ? trouble.most : v->iov_len, flags);
}

/* --- Turns ---------------------------------------------------------------------------------------------- */

static void prepare(void)
{
    signal(SIGPIPE, SIG_IGN);
    calls.recv = on_recv;
    calls.send = on_send;
    calls.sendmsg = on_sendmsg;
    proxy_rig_open(&rig, "match: \"*\", retries: 2, drainLimit: 1KiB, replayLimit: 2KiB",
                   "access: {unmatched: deny, connectPorts: [443, 80]}");
}

/* The timer that registers clients which last would take 5 ms. */
static void settle(void)
{
    struct client *c;

    proxy_rig_settle(&rig);
    while ((c = TAILQ_FIRST(&rig.proxy->unwatched)))
        client_watch(c);
    proxy_rig_settle(&rig);
}

static void hang_up(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Everybody leaves; then nothing may be left. */
static void end_everything(int *clients)
{
    trouble.after = 0;
    trouble.most = 0;
    agent_resume(proxy_rig_agent(&rig));
    for (unsigned i = 0; i < CLIENTS; i++)
        hang_up(&clients[i]);
    for (unsigned round = 0;
         round < 50 && (rig.proxy->stats.clients_open > 0 || !TAILQ_EMPTY(&rig.proxy->exchanges)); round++) {
        settle();
        for (unsigned i = 0; i < rig.origin_count; i++)
            hang_up(&rig.origins[i]);
    }
    rig_assert(rig.proxy->stats.clients_open == 0);
    rig_assert(TAILQ_EMPTY(&rig.proxy->exchanges));
    agent_drain(proxy_rig_agent(&rig));
    for (unsigned round = 0; round < 50 && proxy_rig_agent(&rig)->total > 0; round++)
        proxy_rig_turn(&rig);
    rig_assert(proxy_rig_agent(&rig)->total == 0);
    for (unsigned i = 0; i < rig.origin_count; i++)
        hang_up(&rig.origins[i]);
    rig.origin_count = 0;
    rig_assert(rig.proxy->heads.lent == 0 && rig.proxy->bodies.lent == 0);
    rig_assert(rig.proxy->stats.tunnels_open == 0);
    agent_forget_empty(proxy_rig_agent(&rig), 0);
    rig_assert(!proxy_rig_agent(&rig)->origins);
    /* Every exchange that began was told once. */
    uint64_t told = 0;
    for (unsigned i = 0; i < 600; i++)
        told += rig.proxy->stats.requests_by_status[i];
    rig_assert(told == rig.records);
}

/* --- 'S': a request and a response, cut anyhow ---------------------------------------------------------- */

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
    settle();
    listen_to(&ears[0], client);
    if (rig.origin_count)
        listen_to(&ears[1], rig.origins[0]);
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
static void tell(int fd, struct slice octets, uint32_t seed, struct ear *ears, int client)
{
    uint32_t state = seed;
    unsigned in_vain = 0;

    for (size_t at = 0; at < octets.n && in_vain < 20;) {
        state = state * 1664525 + 1013904223;
        size_t step = seed == 0 ? octets.n : 1 + (state >> 16) % (seed % 64 + 1);
        ssize_t n = write(fd, octets.p + at, step < octets.n - at ? step : octets.n - at);
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

static void converse(struct slice request, struct slice response, uint8_t flags, uint32_t seed,
                     struct outcome *out)
{
    static char rooms[2][HEARD];
    struct ear ears[2] = {{rooms[0], 0}, {rooms[1], 0}};
    int clients[CLIENTS] = {-1, -1, -1, -1};
    unsigned records = rig.records;

    trouble.most = seed ? seed % 7 : 0;
    clients[0] = proxy_rig_client(&rig);
    tell(clients[0], request, seed, ears, clients[0]);
    if (flags & 1)
        shutdown(clients[0], SHUT_WR);
    listen_until_silent(ears, clients[0]);
    if (rig.origin_count) {
        tell(rig.origins[0], response, seed >> 3, ears, clients[0]);
        if (flags & 2)
            shutdown(rig.origins[0], SHUT_WR);
        listen_until_silent(ears, clients[0]);
    }
    out->records = rig.records - records;
    out->status = out->records ? rig.last_status : 0;
    out->error = out->records ? rig.last_error : "";
    message_read(as_to_a_proxy(&ears[1]), HEARD, REQUESTS, REQUEST_PLAIN, &out->request);
    enum request_kind asked = out->records == 0 || rig.last_was_read ? kind_of(request) : REQUEST_PLAIN;
    message_read((struct slice){ears[0].p, ears[0].n}, HEARD, RESPONSES, asked, &out->response);
    end_everything(clients);
}

/* With the fields that Carpool adds, a head may be above the limits that message_read() has. */
static bool is_well_formed(const struct message_log *m)
{
    return m->end != MESSAGE_REFUSED || m->why == head_verdict_text(HEAD_TOO_LARGE);
}

static bool same_messages(const struct message_log *a, const struct message_log *b)
{
    return a->end == b->end && a->why == b->why && a->messages == b->messages && a->content == b->content &&
           a->digest == b->digest;
}

static void play_split(const uint8_t *data, size_t size)
{
    static struct outcome whole, cut;

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
    rig.proxy->config->server.maxRequestsPerSocket = 1;
    converse(request, response, flags, 0, &whole);
    converse(request, response, flags, seed, &cut);
    rig.proxy->config->server.maxRequestsPerSocket = UINT32_MAX;
    rig_assert(whole.records == cut.records && whole.status == cut.status &&
               strcmp(whole.error, cut.error) == 0);
    rig_assert(same_messages(&whole.request, &cut.request));
    rig_assert(same_messages(&whole.response, &cut.response));
    /* What Carpool sends is well-formed, though it may be cut short. */
    rig_assert(is_well_formed(&whole.request) || whole.response.end == MESSAGE_TUNNEL);
    rig_assert(is_well_formed(&whole.response));
}

/* --- A programme ---------------------------------------------------------------------------------------- */

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
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct programme {
    const uint8_t *at, *end;
    int clients[CLIENTS];
};

static uint8_t next(struct programme *p)
{
    return p->at < p->end ? *p->at++ : 0;
}

static int *some_origin(uint8_t which)
{
    static int nobody = -1;

    /* The newest ones are the likeliest to matter. */
    return rig.origin_count
               ? &rig.origins[rig.origin_count - 1 - which % (rig.origin_count < 4 ? rig.origin_count : 4)]
               : &nobody;
}

static void put(int fd, const void *octets, size_t n)
{
    ssize_t put = fd >= 0 ? write(fd, octets, n) : 0;

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

static void operate(uint8_t what)
{
    static const char *const policies[] = {
        "match: \"*\", retries: 2, drainLimit: 1KiB, replayLimit: 2KiB",
        "match: \"*\", maxSockets: 1, retries: 1, drainLimit: 0",
        "match: \"*\", maxSockets: 2, maxTotalSockets: 2, maxPendingRequests: 1, retries: 3",
        "match: \"*\", maxTotalSockets: 1, replayLimit: 0, maxRequestsPerSocket: 2",
        "match: \"*\", keepAlive: false",
    };
    struct agent *a = proxy_rig_agent(&rig);

    switch (what & 7) {
    case 0: agent_pause(a); break;
    case 1: agent_resume(a); break;
    case 2: agent_drain(a); break;
    default:
        proxy_rig_configure(&rig, policies[(what & 7) - 3],
                            "access: {unmatched: deny, connectPorts: [443, 80]}");
        break;
    }
}

static void make_trouble(uint8_t what)
{
    static const int errors[] = {ECONNRESET, EPIPE, EIO, ETIMEDOUT};

    trouble.after = 1 + (what >> 2) % 8;
    trouble.error = errors[what & 3];
    trouble.most = what & 0x20 ? 1 + (what & 15) : 0;
}

static void step(struct programme *p)
{
    uint8_t op = next(p), which = op >> 4;
    int *client = &p->clients[which % CLIENTS], *origin = some_origin(which);

    if (*client < 0 && (op & 15) <= 6 && rig.origin_count < RIG_ORIGINS / 2)
        *client = proxy_rig_client(&rig);
    switch (op & 15) {
    case 0: put_next(p, *client); break;
    case 1: put_text(*client, requests[next(p) % COUNT(requests)]); break;
    case 2: put_much(*client); break;
    case 3: take(*client, which ? 100 : HEARD); break;
    case 4: shutdown(*client, SHUT_WR); break;
    case 5: narrow(*client); break;
    case 6: hang_up(client); break;
    case 7: put_next(p, *origin); break;
    case 8: put_text(*origin, responses[next(p) % COUNT(responses)]); break;
    case 9: put_much(*origin); break;
    case 10: take(*origin, which & 4 ? 100 : HEARD); break;
    case 11: shutdown(*origin, SHUT_WR); break;
    case 12: hang_up(origin); break;
    case 13: operate(next(p)); break;
    case 14: make_trouble(next(p)); break;
    case 15: settle(); return;
    }
    proxy_rig_turn(&rig);
}

static void play_programme(const uint8_t *data, size_t size)
{
    struct programme p = {data, data + size, {-1, -1, -1, -1}};

    for (unsigned steps = 0; p.at < p.end && steps < 200 && rig.origin_count < RIG_ORIGINS / 2; steps++)
        step(&p);
    end_everything(p.clients);
    operate(3);
}

static void run(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'S')
        play_split(data + 1, size - 1);
    else if (size > 0)
        play_programme(data + 1, size - 1);
}

const struct fuzz_target fuzz_exchange = {"exchange", prepare, run};
