/* Connections of the origin that speak HTTP/2. Each allows a few streams at a time, refuses some (once: they
 * come again), and says GOAWAY after a number of them, as servers do every so often: nothing of that may
 * reach a client, and no request may be processed twice. */

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "origin.h"

#define STREAMS_AT_ONCE 20
#define LIFE_LEAST      5
#define LIFE_SPREAD     200
#define REFUSES_ONE_IN  40

struct request {
    char path[64];
    struct numbered asked; /* kind, number, size, id, content */
    bool ignored;
    uint64_t answered; /* bytes of content */
    uint64_t answer;   /* so many are to come */
};

struct h2_peer {
    struct watch watch;
    struct load *load;
    nghttp2_session *session;
    unsigned open, served, life;
    bool goaway;
    struct h2_peer *next_dead;
};

enum { PROCESSED = 1, REFUSED = 2 };

static uint8_t *known; /* of each number: what became of it */
static uint64_t known_count;
static struct h2_peer *dead;
struct h2_seen h2_seen;

static uint8_t *fate_of(uint64_t number)
{
    if (number >= known_count) {
        uint64_t count = (number + 1) * 2;
        known = realloc(known, count);
        if (!known)
            abort();
        memset(known + known_count, 0, count - known_count);
        known_count = count;
    }
    return &known[number];
}

/* ---- Requests */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2_peer *p = ctx;
    struct request *r;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    r = calloc(1, sizeof *r);
    if (!r)
        abort();
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, r);
    p->open++;
    return 0;
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                    const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)ctx;
    if (r && name_n == 5 && memcmp(name, ":path", 5) == 0)
        snprintf(r->path, sizeof r->path, "%.*s", (int)value_n, value);
    else if (r && name_n == 4 && memcmp(name, "x-id", 4) == 0)
        r->asked.id = strtoull((const char *)value, NULL, 10);
    return 0;
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                           nghttp2_data_source *source, void *ctx)
{
    struct request *r = source->ptr;
    uint64_t left = r->answer - r->answered;

    (void)session, (void)id, (void)ctx;
    n = left < n ? (size_t)left : n;
    content_fill(r->asked.number, r->answered, (char *)to, n);
    r->answered += n;
    if (r->answered == r->answer)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void answer(struct h2_peer *p, int32_t id, struct request *r)
{
    const struct numbered *m = &r->asked;
    bool upload = strcmp(m->kind, "upload") == 0, chunked = strcmp(m->kind, "chunked") == 0;
    char number[24], length[24];
    nghttp2_data_provider content = {.source.ptr = r, .read_callback = read_answer};

    r->answer = upload ? 100 : m->size;
    snprintf(number, sizeof number, "%llu", (unsigned long long)m->number);
    snprintf(length, sizeof length, "%llu", (unsigned long long)r->answer);
    const nghttp2_nv fields[] = {
        {(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0},
        {(uint8_t *)"x-id", (uint8_t *)number, 4, strlen(number), 0},
        {(uint8_t *)"content-length", (uint8_t *)length, 14, strlen(length), 0},
    };
    nghttp2_submit_response(p->session, id, fields, chunked ? 2 : 3, &content);
}

/* Its end came: it is processed, here and nowhere else. */
static void serve(struct h2_peer *p, int32_t id, struct request *r)
{
    const struct numbered *m = &r->asked;
    uint8_t *fate = fate_of(m->number);

    if (r->ignored)
        return;
    if (*fate & PROCESSED)
        load_wrong(p->load, "%s %llu was processed twice", m->kind, (unsigned long long)m->number);
    *fate |= PROCESSED;
    if (strcmp(m->kind, "upload") == 0 && m->message.content != m->size)
        load_wrong(p->load, "the upload %llu is %llu bytes and not %llu", (unsigned long long)m->number,
                   (unsigned long long)m->message.content, (unsigned long long)m->size);
    if (m->id != m->number)
        load_wrong(p->load, "the head of %llu came with the target of %llu", (unsigned long long)m->id,
                   (unsigned long long)m->number);
    h2_seen.requests++;
    answer(p, id, r);
}

static void look_at_head(struct h2_peer *p, int32_t id, struct request *r)
{
    uint8_t *fate;

    if (!numbered_target(&r->asked, r->path)) {
        load_wrong(p->load, "a target that nobody asked for: %s", r->path);
        r->ignored = true;
        return;
    }
    fate = fate_of(r->asked.number);
    if ((*fate & REFUSED) || load_dice(p->load, REFUSES_ONE_IN))
        return;
    *fate |= REFUSED;
    r->ignored = true;
    h2_seen.refused++;
    nghttp2_submit_rst_stream(p->session, 0, id, NGHTTP2_REFUSED_STREAM);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (!r || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        look_at_head(ctx, frame->hd.stream_id, r);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        serve(ctx, frame->hd.stream_id, r);
    return 0;
}

static int on_content(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                      void *ctx)
{
    struct request *r = nghttp2_session_get_stream_user_data(session, id);
    struct h2_peer *p = ctx;

    (void)flags;
    if (!r)
        return 0;
    if (!content_holds(r->asked.number, r->asked.message.content, (const char *)data, n))
        load_wrong(p->load, "the upload %llu has bytes of another", (unsigned long long)r->asked.number);
    r->asked.message.content += n;
    return 0;
}

/* Streams that come behind it are none: their requests go elsewhere. */
static void say_goaway(struct h2_peer *p)
{
    p->goaway = true;
    h2_seen.goaways++;
    nghttp2_submit_goaway(p->session, 0, nghttp2_session_get_last_proc_stream_id(p->session),
                          NGHTTP2_NO_ERROR, NULL, 0);
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct h2_peer *p = ctx;
    struct request *r = nghttp2_session_get_stream_user_data(session, id);

    if (!r)
        return 0;
    p->open--;
    free(r);
    if (code == NGHTTP2_NO_ERROR && ++p->served >= p->life && !p->goaway)
        say_goaway(p);
    return 0;
}

/* ---- The connection */

static void hang_up(struct h2_peer *p)
{
    if (p->watch.fd < 0)
        return;
    close(p->watch.fd);
    p->watch.fd = -1;
    p->next_dead = dead;
    dead = p;
}

void h2_bury(void)
{
    struct h2_peer *p;

    while ((p = dead)) {
        dead = p->next_dead;
        for (int32_t id = 1; p->open > 0 && id > 0; id += 2) {
            struct request *r = nghttp2_session_get_stream_user_data(p->session, id);
            p->open -= r != NULL;
            free(r);
        }
        nghttp2_session_del(p->session);
        free(p);
    }
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t n, int flags, void *ctx)
{
    struct h2_peer *p = ctx;
    ssize_t put = send(p->watch.fd, data, n, MSG_NOSIGNAL);

    (void)session, (void)flags;
    if (put < 0)
        return errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
    return put;
}

static void push(struct h2_peer *p)
{
    if (nghttp2_session_send(p->session) != 0 || (p->goaway && p->open == 0))
        hang_up(p);
}

static void take(struct load *l, struct h2_peer *p)
{
    ssize_t n;

    while (p->watch.fd >= 0 && (n = recv(p->watch.fd, l->buffer, sizeof l->buffer, 0)) != 0) {
        if (n < 0 && errno == EAGAIN)
            return;
        n = n < 0 ? n : nghttp2_session_mem_recv(p->session, (const uint8_t *)l->buffer, (size_t)n);
        if (n < 0 && n != -1)
            load_wrong(l, "a connection of HTTP/2: %s", nghttp2_strerror((int)n));
        if (n < 0)
            break;
        push(p);
    }
    hang_up(p);
}

static void on_peer(struct load *l, struct watch *w, uint32_t events)
{
    struct h2_peer *p = (struct h2_peer *)w;

    if ((events & EPOLLOUT) && w->fd >= 0)
        push(p);
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && w->fd >= 0)
        take(l, p);
}

static nghttp2_session *session_new(struct h2_peer *p)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_AT_ONCE},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};
    nghttp2_session_callbacks *c;
    nghttp2_session *session;

    if (nghttp2_session_callbacks_new(&c) != 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(c, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_content);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_closed);
    nghttp2_session_callbacks_set_send_callback(c, on_send);
    if (nghttp2_session_server_new(&session, c, p) != 0 ||
        nghttp2_submit_settings(session, 0, settings, sizeof settings / sizeof *settings) != 0)
        abort();
    nghttp2_session_callbacks_del(c);
    return session;
}

void h2_accept(struct load *l, int fd)
{
    struct h2_peer *p = calloc(1, sizeof *p);

    if (!p)
        abort();
    p->watch = (struct watch){fd, on_peer};
    p->load = l;
    p->life = LIFE_LEAST + (unsigned)load_dice(l, LIFE_SPREAD);
    p->session = session_new(p);
    h2_seen.connections++;
    loop_watch(&l->loop, &p->watch);
    push(p);
}
