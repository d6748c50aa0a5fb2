/* What comes to the origin, and what of that it answers by itself. */

#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "h2_peer.h"

static int fd_of(unsigned peer)
{
    return world_rig.origins[peer];
}

static void give_back(unsigned peer, uint32_t stream, size_t n)
{
    const uint32_t more = (uint32_t)n;

    if (!peers.are_silent && n > 0)
        peer_say_numbers(peer, NGHTTP2_WINDOW_UPDATE, stream, &more, 1);
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
    peer_look_closed(s);
}

static void on_headers(struct peer *p, uint8_t flags, uint32_t id, const uint8_t *payload, size_t n)
{
    bool trailing = id <= p->last, ends = flags & NGHTTP2_FLAG_END_STREAM;
    struct stream *s;

    fuzz_assert(id % 2 == 1 && (flags & ~NGHTTP2_FLAG_END_STREAM) == NGHTTP2_FLAG_END_HEADERS);
    int request = read_head(p, payload, n, trailing);
    if (!trailing) {
        p->last = id;
        peers.arrivals++;
        s = peer_stream(p, id);
        if (!s)
            return;
        *s = (struct stream){.request = request, .open = true, .window = p->first_window};
        fuzz_assert(open_streams(p) <= streams_allowed(p));
        if (request >= 0 && id <= p->processed)
            peer_count_arrival(s);
    } else if ((s = peer_stream(p, id))) {
        fuzz_assert(ends);
    }
    if (s && ends)
        request_ended(s);
}

static void on_data(unsigned peer, uint8_t flags, uint32_t id, const uint8_t *payload, size_t n)
{
    struct peer *p = peers.at[peer];
    struct stream *s = peer_stream(p, id);

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
        settings_confirmed(peers.at[peer]);
    else
        origin_say(peer, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
}

static void on_frame(unsigned peer, uint8_t type, uint8_t flags, uint32_t id, const uint8_t *payload,
                     size_t n)
{
    struct peer *p = peers.at[peer];
    struct stream *s = peer_stream(p, id);

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
        if (!(flags & NGHTTP2_FLAG_ACK) && !peers.are_silent)
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
    struct peer *p = peers.at[peer];
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
    peer_count_arrival(s);
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
    struct peer *p = peers.at[peer];

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
    struct peer *p = peers.at[peer];
    const uint8_t *in = p->in;

    if (!p->greeted && !greet(peer))
        return false;
    if (p->in_n < 9)
        return false;
    size_t n = (size_t)in[0] << 16 | (size_t)in[1] << 8 | in[2];
    fuzz_assert(n <= 16384);
    if (p->in_n < 9 + n)
        return false;
    on_frame(peer, in[3], in[4], peer_number_at(in + 5) & INT32_MAX, in + 9, n);
    forget_heard(p, 9 + n);
    return true;
}

static void take_new(void)
{
    for (; peers.count < world_rig.origin_count; peers.count++) {
        struct peer *p = calloc(1, sizeof *p);
        fuzz_assert(p && nghttp2_hd_inflate_new(&p->inflater) == 0);
        p->max_streams = UINT32_MAX;
        p->processed = INT32_MAX;
        p->first_window = 65535;
        p->window = 65535;
        peers.at[peers.count] = p;
    }
}

static void hear_peer(unsigned peer)
{
    struct peer *p = peers.at[peer];
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
    for (unsigned i = 0; i < peers.count; i++)
        hear_peer(i);
}
