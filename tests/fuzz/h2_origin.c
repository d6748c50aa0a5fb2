#include "h2_origin.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange_world.h"
#include "fuzz.h"

#define IN_MOST       (64 * 1024)
#define OUT_MOST      (256 * 1024)
#define SETTINGS_MOST 64

struct stream {
    int request;      /* -1: none of those that were made */
    bool open;        /* neither reset nor ended by both */
    bool came, ended; /* all of its request; all of its response was said */
    bool answered;    /* anything of its response was said */
    bool counted;     /* in origin_requests */
    size_t heard, said;
    int64_t window; /* for its content */
};

struct setting {
    uint16_t id; /* 0: a frame ends */
    uint32_t value;
};

struct peer {
    nghttp2_hd_inflater *inflater;
    bool greeted, is_http1, ends;
    uint32_t last;      /* stream that came */
    uint32_t processed; /* the last that is, by the GOAWAY that was said */
    uint32_t max_streams;
    uint32_t first_window;
    int64_t window;
    struct setting unconfirmed[SETTINGS_MOST]; /* said, and not acknowledged yet */
    unsigned unconfirmed_count;
    bool settings_lost; /* there were more of them */
    struct stream streams[ORIGIN_STREAMS];
    size_t in_n, out_n;
    uint8_t in[IN_MOST], out[OUT_MOST];
};

struct request origin_requests[ORIGIN_REQUESTS];
static struct peer *peers[RIG_ORIGINS];
static unsigned peer_count, arrivals;
static bool is_silent;

char origin_asked_byte(unsigned request, size_t at)
{
    return (char)('a' + (request + at) % 26);
}

char origin_answer_byte(unsigned request, size_t at)
{
    return (char)('A' + (request * 7 + at) % 26);
}

static void forget_peer(struct peer *p)
{
    nghttp2_hd_inflate_del(p->inflater);
    free(p);
}

void origin_reset(void)
{
    for (unsigned i = 0; i < peer_count; i++)
        forget_peer(peers[i]);
    peer_count = arrivals = 0;
    is_silent = false;
    memset(origin_requests, 0, sizeof origin_requests);
}

void origin_is_silent(bool silent)
{
    is_silent = silent;
}

unsigned origin_peers(void)
{
    return peer_count;
}

unsigned origin_arrivals(void)
{
    return arrivals;
}

static int fd_of(unsigned peer)
{
    return world_rig.origins[peer];
}

/* --- What arrived, and what was said not to have ------------------------------------------------------ */

static void count_arrival(struct stream *s)
{
    struct request *r = &origin_requests[s->request];

    r->arrivals++;
    s->counted = true;
    fuzz_assert(r->repeatable || r->arrivals == 1);
}

/* Nothing was done with it (RFC 9113 8.7), as long as nothing of an answer was said. */
static void is_unprocessed(struct stream *s)
{
    if (!s->counted || s->answered)
        return;
    origin_requests[s->request].arrivals--;
    s->counted = false;
}

static struct stream *stream_at(struct peer *p, uint32_t id)
{
    return id % 2 == 1 && id <= p->last && id / 2 < ORIGIN_STREAMS ? &p->streams[id / 2] : NULL;
}

static void look_closed(struct stream *s)
{
    if (s->came && s->ended)
        s->open = false;
}

/* --- What is said ------------------------------------------------------------------------------------- */

static uint32_t number_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void note_setting(struct peer *p, uint16_t id, uint32_t value)
{
    if (p->unconfirmed_count == SETTINGS_MOST)
        p->settings_lost = true;
    else
        p->unconfirmed[p->unconfirmed_count++] = (struct setting){id, value};
}

static void note_settings(struct peer *p, const uint8_t *payload, size_t n)
{
    for (; n >= 6; payload += 6, n -= 6)
        if (payload[0] == 0 && (payload[1] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS ||
                                payload[1] == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE))
            note_setting(p, payload[1], number_at(payload + 2));
    note_setting(p, 0, 0);
}

static void note_goaway(struct peer *p, uint32_t last)
{
    p->processed = last < p->processed ? last : p->processed;
    for (uint32_t id = 1; id <= p->last; id += 2) {
        struct stream *s = stream_at(p, id);
        if (s && id > last)
            is_unprocessed(s);
    }
}

static void note_reset(struct stream *s, uint32_t code)
{
    if (code == NGHTTP2_REFUSED_STREAM || code == NGHTTP2_HTTP_1_1_REQUIRED)
        is_unprocessed(s);
    s->open = false;
    s->ended = true;
}

/* What a frame that is said, made of whatever, means for the books. */
static void note_said(struct peer *p, uint8_t type, uint8_t flags, uint32_t id, const uint8_t *payload,
                      size_t n)
{
    struct stream *s = stream_at(p, id);

    if (type == NGHTTP2_SETTINGS && !(flags & NGHTTP2_FLAG_ACK))
        note_settings(p, payload, n);
    else if (type == NGHTTP2_GOAWAY && n >= 8)
        note_goaway(p, number_at(payload) & INT32_MAX);
    else if (type == NGHTTP2_WINDOW_UPDATE && n >= 4 && id == 0)
        p->window += number_at(payload) & INT32_MAX;
    else if (type == NGHTTP2_WINDOW_UPDATE && n >= 4 && s)
        s->window += number_at(payload) & INT32_MAX;
    else if (type == NGHTTP2_RST_STREAM && n >= 4 && s)
        note_reset(s, number_at(payload));
    else if ((type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) && s) {
        s->answered = true;
        s->ended |= flags & NGHTTP2_FLAG_END_STREAM;
        look_closed(s);
    }
}

void origin_say(unsigned peer, uint8_t type, uint8_t flags, uint32_t stream, const uint8_t *payload, size_t n)
{
    struct peer *p = peers[peer];
    const uint8_t head[9] = {
        (uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};

    if (p->ends || !p->greeted || p->is_http1 || p->out_n + sizeof head + n > OUT_MOST)
        return;
    note_said(p, type, flags, stream, payload, n);
    memcpy(p->out + p->out_n, head, sizeof head);
    if (n > 0)
        memcpy(p->out + p->out_n + sizeof head, payload, n);
    p->out_n += sizeof head + n;
}

static void say_numbers(unsigned peer, uint8_t type, uint32_t stream, const uint32_t *numbers, size_t count)
{
    uint8_t payload[8];

    for (size_t i = 0; i < count; i++) {
        payload[4 * i] = (uint8_t)(numbers[i] >> 24);
        payload[4 * i + 1] = (uint8_t)(numbers[i] >> 16);
        payload[4 * i + 2] = (uint8_t)(numbers[i] >> 8);
        payload[4 * i + 3] = (uint8_t)numbers[i];
    }
    origin_say(peer, type, 0, stream, payload, 4 * count);
}

static size_t put_field(uint8_t *to, const char *name, const char *value)
{
    size_t name_n = strlen(name), value_n = strlen(value), at = 0;

    to[at++] = 0; /* literal, not indexed (RFC 7541 6.2.2): the table stays empty */
    to[at++] = (uint8_t)name_n;
    memcpy(to + at, name, name_n);
    at += name_n;
    to[at++] = (uint8_t)value_n;
    memcpy(to + at, value, value_n);
    return at + value_n;
}

static struct stream *at_place(unsigned peer, unsigned place)
{
    return stream_at(peers[peer], 2 * place + 1);
}

void origin_say_head(unsigned peer, unsigned place, unsigned status, int length, bool end)
{
    struct stream *s = at_place(peer, place);
    uint8_t block[256];
    char value[16];
    size_t n;

    if (!s)
        return;
    snprintf(value, sizeof value, "%u", status);
    n = put_field(block, ":status", value);
    snprintf(value, sizeof value, "%d", s->request);
    n += put_field(block + n, "x-id", value);
    snprintf(value, sizeof value, "%d", length);
    if (length >= 0)
        n += put_field(block + n, "content-length", value);
    origin_say(peer, NGHTTP2_HEADERS,
               (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0)), 2 * place + 1,
               block, n);
}

void origin_say_content(unsigned peer, unsigned place, size_t n, bool end)
{
    static uint8_t bytes[16384];
    struct stream *s = at_place(peer, place);

    if (!s || n > sizeof bytes)
        return;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)origin_answer_byte((unsigned)s->request, s->said + i);
    s->said += n;
    origin_say(peer, NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, 2 * place + 1, bytes, n);
}

void origin_say_trailers(unsigned peer, unsigned place)
{
    uint8_t block[64];
    size_t n = put_field(block, "x-sum", "1");

    if (at_place(peer, place))
        origin_say(peer, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 2 * place + 1,
                   block, n);
}

void origin_say_reset(unsigned peer, unsigned place, uint32_t code)
{
    if (at_place(peer, place))
        say_numbers(peer, NGHTTP2_RST_STREAM, 2 * place + 1, &code, 1);
}

void origin_say_goaway(unsigned peer, unsigned place, uint32_t code)
{
    const uint32_t last = place < ORIGIN_STREAMS ? 2 * place + 1 : INT32_MAX;

    say_numbers(peer, NGHTTP2_GOAWAY, 0, (const uint32_t[]){last, code}, 2);
}

void origin_say_setting(unsigned peer, uint16_t id, uint32_t value)
{
    const uint8_t payload[6] = {(uint8_t)(id >> 8),     (uint8_t)id,           (uint8_t)(value >> 24),
                                (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};

    origin_say(peer, NGHTTP2_SETTINGS, 0, 0, payload, sizeof payload);
}

void origin_say_end(unsigned peer)
{
    peers[peer]->ends = true;
}

static void write_some(unsigned peer, size_t most)
{
    struct peer *p = peers[peer];
    int *fd = &world_rig.origins[peer];
    size_t n = most > 0 && most < p->out_n ? most : p->out_n;
    ssize_t put = *fd >= 0 && n > 0 ? write(*fd, p->out, n) : 0;

    if (put > 0) {
        p->out_n -= (size_t)put;
        memmove(p->out, p->out + put, p->out_n);
    }
    if (p->ends && p->out_n == 0 && *fd >= 0)
        shutdown(*fd, SHUT_WR);
}

void origin_tell(size_t most)
{
    for (unsigned i = 0; i < peer_count; i++)
        write_some(i, most);
}

bool origin_has_more(unsigned peer)
{
    return world_rig.origins[peer] >= 0 && peers[peer]->out_n > 0;
}

/* --- What comes --------------------------------------------------------------------------------------- */

static void give_back(unsigned peer, uint32_t stream, size_t n)
{
    const uint32_t more = (uint32_t)n;

    if (!is_silent && n > 0)
        say_numbers(peer, NGHTTP2_WINDOW_UPDATE, stream, &more, 1);
}

/* A frame of settings is acknowledged: it holds for what comes from now on. */
static void settings_confirmed(struct peer *p)
{
    unsigned used = 0;

    while (used < p->unconfirmed_count && p->unconfirmed[used].id != 0) {
        const struct setting *s = &p->unconfirmed[used++];
        if (s->id == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) {
            p->max_streams = s->value;
            continue;
        }
        for (unsigned i = 0; i < ORIGIN_STREAMS; i++)
            p->streams[i].window += (int64_t)s->value - p->first_window;
        p->first_window = s->value;
    }
    used += used < p->unconfirmed_count;
    p->unconfirmed_count -= used;
    memmove(p->unconfirmed, p->unconfirmed + used, p->unconfirmed_count * sizeof *p->unconfirmed);
}

static uint32_t streams_allowed(const struct peer *p)
{
    uint32_t most = p->max_streams;

    for (unsigned i = 0; i < p->unconfirmed_count; i++)
        if (p->unconfirmed[i].id == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS && p->unconfirmed[i].value > most)
            most = p->unconfirmed[i].value;
    return p->settings_lost ? UINT32_MAX : most;
}

static uint32_t open_streams(const struct peer *p)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < ORIGIN_STREAMS; i++)
        n += p->streams[i].open;
    return n;
}

static int request_of(const char *path, size_t n)
{
    int number = 0;

    if (n < 2 || path[0] != '/')
        return -1;
    for (size_t i = 1; i < n; i++)
        number = path[i] >= '0' && path[i] <= '9' && number < ORIGIN_REQUESTS ? number * 10 + path[i] - '0'
                                                                              : ORIGIN_REQUESTS;
    return number < ORIGIN_REQUESTS ? number : -1;
}

static bool is_name(const nghttp2_nv *nv, const char *name)
{
    return nv->namelen == strlen(name) && memcmp(nv->name, name, nv->namelen) == 0;
}

static void check_field(const nghttp2_nv *nv, unsigned place, bool trailing)
{
    static const char *const first[] = {":method", ":scheme", ":authority", ":path"};
    static const char *const never[] = {"host",    "connection",      "keep-alive", "transfer-encoding",
                                        "upgrade", "proxy-connection"};

    fuzz_assert(trailing || place >= 4 || is_name(nv, first[place]));
    fuzz_assert(nv->namelen > 0 && ((nv->name[0] == ':') == (!trailing && place < 4)));
    for (size_t i = 0; i < nv->namelen; i++)
        fuzz_assert(nv->name[i] < 'A' || nv->name[i] > 'Z');
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        fuzz_assert(!is_name(nv, never[i]));
}

/* The number of the request, or -1. */
static int read_head(struct peer *p, const uint8_t *block, size_t n, bool trailing)
{
    int flags, request = -1;
    unsigned place = 0;
    nghttp2_nv nv;

    do {
        ssize_t used = nghttp2_hd_inflate_hd2(p->inflater, &nv, &flags, block, n, 1);
        fuzz_assert(used >= 0);
        block += used;
        n -= (size_t)used;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
            continue;
        check_field(&nv, place++, trailing);
        if (is_name(&nv, ":path"))
            request = request_of((const char *)nv.value, nv.valuelen);
    } while (!(flags & NGHTTP2_HD_INFLATE_FINAL));
    nghttp2_hd_inflate_end_headers(p->inflater);
    return request;
}

/* All of it, or its stream would have been reset. */
static void request_ended(struct stream *s)
{
    fuzz_assert(!s->came);
    s->came = true;
    fuzz_assert(s->request < 0 || s->heard == origin_requests[s->request].length);
    look_closed(s);
}

static void on_headers(struct peer *p, uint8_t flags, uint32_t id, const uint8_t *payload, size_t n)
{
    bool trailing = id <= p->last, ends = flags & NGHTTP2_FLAG_END_STREAM;
    struct stream *s;

    fuzz_assert(id % 2 == 1 && (flags & ~NGHTTP2_FLAG_END_STREAM) == NGHTTP2_FLAG_END_HEADERS);
    int request = read_head(p, payload, n, trailing);
    if (!trailing) {
        p->last = id;
        arrivals++;
        s = stream_at(p, id);
        if (!s)
            return;
        *s = (struct stream){.request = request, .open = true, .window = p->first_window};
        fuzz_assert(open_streams(p) <= streams_allowed(p));
        if (request >= 0 && id <= p->processed)
            count_arrival(s);
    } else if ((s = stream_at(p, id))) {
        fuzz_assert(ends);
    }
    if (s && ends)
        request_ended(s);
}

static void on_data(unsigned peer, uint8_t flags, uint32_t id, const uint8_t *payload, size_t n)
{
    struct peer *p = peers[peer];
    struct stream *s = stream_at(p, id);

    fuzz_assert(id % 2 == 1 && id <= p->last && !(flags & NGHTTP2_FLAG_PADDED));
    p->window -= (int64_t)n;
    fuzz_assert(n == 0 || p->window >= 0);
    give_back(peer, 0, n);
    if (!s)
        return;
    s->window -= (int64_t)n;
    fuzz_assert(n == 0 || s->window >= 0 || p->settings_lost);
    fuzz_assert(!s->came);
    for (size_t i = 0; i < n && s->request >= 0; i++)
        fuzz_assert((char)payload[i] == origin_asked_byte((unsigned)s->request, s->heard + i));
    s->heard += n;
    if (flags & NGHTTP2_FLAG_END_STREAM)
        request_ended(s);
    else if (s->open)
        give_back(peer, id, n);
}

static void on_settings(unsigned peer, uint8_t flags)
{
    if (flags & NGHTTP2_FLAG_ACK)
        settings_confirmed(peers[peer]);
    else
        origin_say(peer, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
}

static void on_frame(unsigned peer, uint8_t type, uint8_t flags, uint32_t id, const uint8_t *payload,
                     size_t n)
{
    struct peer *p = peers[peer];
    struct stream *s = stream_at(p, id);

    switch (type) {
    case NGHTTP2_DATA: on_data(peer, flags, id, payload, n); break;
    case NGHTTP2_HEADERS: on_headers(p, flags, id, payload, n); break;
    case NGHTTP2_RST_STREAM:
        fuzz_assert(id % 2 == 1 && id <= p->last);
        if (s)
            s->open = false, s->came = true;
        break;
    case NGHTTP2_SETTINGS: on_settings(peer, flags); break;
    case NGHTTP2_PING:
        if (!(flags & NGHTTP2_FLAG_ACK) && !is_silent)
            origin_say(peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, payload, n);
        break;
    case NGHTTP2_GOAWAY:
    case NGHTTP2_WINDOW_UPDATE: break;
    default: fuzz_assert(!"a frame that it has no reason to send");
    }
}

/* What was asked over HTTP/1.1 after all: one answer, and the end. */
static void hear_http1(unsigned peer)
{
    struct peer *p = peers[peer];
    struct stream *s = &p->streams[0];
    const char *text = (const char *)p->in, *path, *space;
    char answer[128];

    p->is_http1 = true;
    if (s->counted || !memmem(text, p->in_n, "\r\n\r\n", 4))
        return;
    path = memchr(text, ' ', p->in_n);
    space = path ? memchr(path + 1, ' ', p->in_n - (size_t)(path + 1 - text)) : NULL;
    s->request = space ? request_of(path + 1, (size_t)(space - path - 1)) : -1;
    if (s->request < 0)
        return;
    count_arrival(s);
    int n = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nx-id: %d\r\nContent-Length: 0\r\n\r\n",
                     s->request);
    memcpy(p->out, answer, (size_t)n);
    p->out_n = (size_t)n;
    p->ends = true;
}

static void forget_heard(struct peer *p, size_t n)
{
    p->in_n -= n;
    memmove(p->in, p->in + n, p->in_n);
}

static bool greet(unsigned peer)
{
    struct peer *p = peers[peer];

    if (p->in_n < NGHTTP2_CLIENT_MAGIC_LEN)
        return false;
    if (memcmp(p->in, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN) != 0) {
        hear_http1(peer);
        return false;
    }
    forget_heard(p, NGHTTP2_CLIENT_MAGIC_LEN);
    p->greeted = true;
    origin_say(peer, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    return true;
}

static bool next_frame(unsigned peer)
{
    struct peer *p = peers[peer];
    const uint8_t *in = p->in;

    if (!p->greeted && !greet(peer))
        return false;
    if (p->in_n < 9)
        return false;
    size_t n = (size_t)in[0] << 16 | (size_t)in[1] << 8 | in[2];
    fuzz_assert(n <= 16384);
    if (p->in_n < 9 + n)
        return false;
    on_frame(peer, in[3], in[4], number_at(in + 5) & INT32_MAX, in + 9, n);
    forget_heard(p, 9 + n);
    return true;
}

static void take_new(void)
{
    for (; peer_count < world_rig.origin_count; peer_count++) {
        struct peer *p = calloc(1, sizeof *p);
        fuzz_assert(p && nghttp2_hd_inflate_new(&p->inflater) == 0);
        p->max_streams = UINT32_MAX;
        p->processed = INT32_MAX;
        p->first_window = 65535;
        p->window = 65535;
        peers[peer_count] = p;
    }
}

static void hear_peer(unsigned peer)
{
    struct peer *p = peers[peer];
    ssize_t n;

    while (fd_of(peer) >= 0 && p->in_n < IN_MOST &&
           (n = read(fd_of(peer), p->in + p->in_n, IN_MOST - p->in_n)) > 0) {
        p->in_n += (size_t)n;
        while (next_frame(peer))
            ;
    }
}

void origin_hear(void)
{
    take_new();
    for (unsigned i = 0; i < peer_count; i++)
        hear_peer(i);
}
