#include "h2_origin.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "h2_peer.h"

struct request origin_requests[ORIGIN_REQUESTS];
struct peers peers;

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
    for (unsigned i = 0; i < peers.count; i++)
        forget_peer(peers.at[i]);
    peers.count = peers.arrivals = 0;
    peers.are_silent = peers.talked_on = false;
    memset(origin_requests, 0, sizeof origin_requests);
}

void origin_is_silent(bool silent)
{
    peers.are_silent = silent;
}

unsigned origin_peers(void)
{
    return peers.count;
}

bool origin_talked_on(void)
{
    return peers.talked_on;
}

unsigned origin_arrivals(void)
{
    return peers.arrivals;
}

/* --- What arrived, and what was said not to have ------------------------------------------------------ */

void peer_count_arrival(struct stream *s)
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

struct stream *peer_stream(struct peer *p, uint32_t id)
{
    return id % 2 == 1 && id <= p->last && id / 2 < ORIGIN_STREAMS ? &p->streams[id / 2] : NULL;
}

void peer_look_closed(struct stream *s)
{
    if (s->came && s->ended)
        s->open = false;
}

/* --- What is said ------------------------------------------------------------------------------------- */

uint32_t peer_number_at(const uint8_t *p)
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
            note_setting(p, payload[1], peer_number_at(payload + 2));
    note_setting(p, 0, 0);
}

static void note_goaway(struct peer *p, uint32_t last)
{
    p->processed = last < p->processed ? last : p->processed;
    for (uint32_t id = 1; id <= p->last; id += 2) {
        struct stream *s = peer_stream(p, id);
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
    struct stream *s = peer_stream(p, id);

    if (type == NGHTTP2_SETTINGS && !(flags & NGHTTP2_FLAG_ACK))
        note_settings(p, payload, n);
    else if (type == NGHTTP2_GOAWAY && n >= 8)
        note_goaway(p, peer_number_at(payload) & INT32_MAX);
    else if (type == NGHTTP2_WINDOW_UPDATE && n >= 4 && id == 0)
        p->window += peer_number_at(payload) & INT32_MAX;
    else if (type == NGHTTP2_WINDOW_UPDATE && n >= 4 && s)
        s->window += peer_number_at(payload) & INT32_MAX;
    else if (type == NGHTTP2_RST_STREAM && n >= 4 && s)
        note_reset(s, peer_number_at(payload));
    else if ((type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) && s) {
        s->answered = true;
        peers.talked_on |= s->ended;
        s->ended |= flags & NGHTTP2_FLAG_END_STREAM;
        peer_look_closed(s);
    }
}

void origin_say(unsigned peer, uint8_t type, uint8_t flags, uint32_t stream, const uint8_t *payload, size_t n)
{
    struct peer *p = peers.at[peer];
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

void peer_say_numbers(unsigned peer, uint8_t type, uint32_t stream, const uint32_t *numbers, size_t count)
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
    return peer_stream(peers.at[peer], 2 * place + 1);
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
        peer_say_numbers(peer, NGHTTP2_RST_STREAM, 2 * place + 1, &code, 1);
}

void origin_say_goaway(unsigned peer, unsigned place, uint32_t code)
{
    const uint32_t last = place < ORIGIN_STREAMS ? 2 * place + 1 : INT32_MAX;

    peer_say_numbers(peer, NGHTTP2_GOAWAY, 0, (const uint32_t[]){last, code}, 2);
}

void origin_say_setting(unsigned peer, uint16_t id, uint32_t value)
{
    const uint8_t payload[6] = {(uint8_t)(id >> 8),     (uint8_t)id,           (uint8_t)(value >> 24),
                                (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};

    origin_say(peer, NGHTTP2_SETTINGS, 0, 0, payload, sizeof payload);
}

void origin_say_end(unsigned peer)
{
    peers.at[peer]->ends = true;
}

static void write_some(unsigned peer, size_t most)
{
    struct peer *p = peers.at[peer];
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
    for (unsigned i = 0; i < peers.count; i++)
        write_some(i, most);
}

bool origin_has_more(unsigned peer)
{
    return world_rig.origins[peer] >= 0 && peers.at[peer]->out_n > 0;
}
