#include "wire_h2_rig.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

struct rig rig;

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* --- The owner of the wire ------------------------------------------------------------------------------ */

static void on_room(struct wire *w)
{
    (void)w;
    rig.rooms++;
}

static void on_draining(struct wire *w, enum retire_reason reason)
{
    (void)w;
    rig.drainings++;
    rig.reason = reason;
}

static void on_closed(struct wire *w, enum retire_reason reason)
{
    rig.closeds++;
    rig.reason = reason;
    wire_close(w, false);
}

static void on_noted(struct wire *w, enum wire_note what, uint64_t value)
{
    (void)w;
    rig.noted[what]++;
    rig.noted_value[what] = value;
}

static const struct wire_owner owner = {
    .room = on_room, .draining = on_draining, .closed = on_closed, .noted = on_noted};

/* --- Begin and end ------------------------------------------------------------------------------------- */

struct frame *rig_greet(const struct h2_options *o)
{
    static const struct h2_options usual = {.max_streams = 100, .max_stream_window = 1 << 20};
    int ends[2];
    memset(&rig, 0, sizeof rig);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    rig.fd = ends[1];
    rig.base = event_base_new();
    rig.loop = (struct wire_loop){.heads.size = BUFFER_HEAD_SIZE,
                                  .bodies.size = BUFFER_SIZE,
                                  .limits = {.max_size = 16384, .max_count = 100}};
    wire_loop_init(&rig.loop, rig.base);
    rig.wire = (struct wire){.owner = &owner, .loop = &rig.loop};
    ck_assert_int_eq(nghttp2_hd_deflate_new(&rig.deflater, 4096), 0);
    ck_assert_int_eq(nghttp2_hd_inflate_new(&rig.inflater), 0);
    clock_update();
    conn_open(&rig.wire.conn, ends[0]);
    ck_assert(conn_watch(&rig.wire.conn, rig.base, 0, NULL, NULL));
    ck_assert(h2_open(&rig.wire, o ? o : &usual));
    rig_turn();
    struct frame *f = wait_for(NGHTTP2_SETTINGS); /* the preface before it was looked at */
    ck_assert_int_eq(f->flags, 0);
    ck_assert_uint_eq(wire_room(&rig.wire), 0);
    return f;
}

void rig_begin(const struct h2_options *o)
{
    rig_greet(o);
    say_frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    say_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
    rig_turn();
    ck_assert_uint_gt(wire_room(&rig.wire), 0);
    ck_assert_uint_eq(rig.rooms, 1);
}

void rig_end(void)
{
    wire_close(&rig.wire, false);
    close(rig.fd);
    ck_assert_uint_eq(rig.loop.heads.lent, 0);
    ck_assert_uint_eq(rig.loop.bodies.lent, 0);
    ck_assert_uint_eq(rig.loop.h2_grown, 0);
    ck_assert_ptr_null(LIST_FIRST(&rig.loop.h2_due));
    wire_loop_destroy(&rig.loop);
    event_base_free(rig.base);
    nghttp2_hd_deflate_del(rig.deflater);
    nghttp2_hd_inflate_del(rig.inflater);
}

static void around(bool tested)
{
    if (rig.around)
        rig.around(tested);
}

void rig_turn(void)
{
    clock_update();
    around(true);
    event_base_loop(rig.base, EVLOOP_NONBLOCK);
    h2_end_turn(&rig.loop);
    around(false);
}

void rig_wait(void)
{
    usleep(1000);
    rig_turn();
}

/* --- Calls --------------------------------------------------------------------------------------------- */

static void list_fields(const struct head *h, char *out, size_t size)
{
    size_t n = 0;
    for (uint32_t i = 0; i < h->count; i++)
        n += (size_t)snprintf(out + n, size - n, "%.*s: %.*s\n", (int)h->fields[i].name.n,
                              h->fields[i].name.p, (int)h->fields[i].value.n, h->fields[i].value.p);
}

static void take_content(struct asked *a, struct slice run)
{
    size_t room = a->got < sizeof a->content ? sizeof a->content - a->got : 0;
    memcpy(a->content + a->got, run.p, run.n < room ? run.n : room);
    a->got += run.n;
    a->untaken += run.n;
}

static void end_call(struct asked *a)
{
    a->closed = true;
    if (a->ended)
        call_finish(&a->call, &a->end);
    else
        call_reset(&a->call);
}

void take(struct asked *a)
{
    static struct head head;
    struct slice run;
    while (!a->closed) {
        enum call_part part = call_next(&a->call, &head, &run);
        switch (part) {
        case CALL_MORE:
            if (a->stuck || a->untaken == 0)
                return;
            call_consumed(&a->call, a->untaken);
            a->untaken = 0;
            break;
        case CALL_INTERIM: a->interim++; break;
        case CALL_HEAD:
            a->status = head.status;
            a->framing = a->call.framing;
            list_fields(&head, a->fields, sizeof a->fields);
            break;
        case CALL_CONTENT: take_content(a, run); break;
        case CALL_TRAILERS: list_fields(&head, a->trailers, sizeof a->trailers); break;
        case CALL_END:
            a->ended = true;
            end_call(a);
            break;
        case CALL_FAILED:
            a->failed = true;
            a->failure = rig.loop.failure;
            end_call(a);
            break;
        }
    }
}

static void on_ready(struct call *c, unsigned ready)
{
    struct asked *a = (struct asked *)c;
    a->ready |= ready;
    if (ready & CALL_WRITABLE)
        call_send(c, NULL);
    if (ready & CALL_READABLE)
        take(a);
}

bool ask_with(struct asked *a, const char *method, const char *path, const char *fields,
              struct framing framing)
{
    static char heads[64][2048];
    static unsigned next;
    char *head = heads[next++ % 64];
    memset(a, 0, sizeof *a);
    int n = snprintf(head, sizeof heads[0], "%s %s HTTP/1.1\r\nHost: api.local\r\n", method, path);
    for (const char *p = fields; *p; p++) {
        if (*p == '\n')
            head[n++] = '\r';
        head[n++] = *p;
    }
    const struct call_request r = {
        .head = {head, (size_t)n},
        .authority = SLICE("api.local"),
        .framing = framing,
        .is_head = strcmp(method, "HEAD") == 0,
        .once = strcmp(method, "POST") == 0,
        .te_trailers = true,
    };
    a->call.ready = on_ready;
    ck_assert_uint_gt(wire_room(&rig.wire), 0);
    around(true);
    bool opened = wire_open(&rig.wire, &a->call, &r);
    around(false);
    return opened;
}

void ask(struct asked *a, const char *method, const char *path)
{
    static const struct call_content nothing = {.last = true};
    ck_assert(ask_with(a, method, path, "", (struct framing){.kind = BODY_NONE}));
    ck_assert_int_eq(call_send(&a->call, &nothing), CALL_SENT);
}

enum call_write put_content(struct asked *a, const char *bytes, size_t n, bool last, const char *trailers)
{
    const struct iovec run = {(void *)bytes, n};
    const struct call_content c = {
        .runs = &run, .count = n > 0, .last = last, .trailers = slice_of(trailers ? trailers : "")};
    around(true);
    enum call_write result = call_send(&a->call, &c);
    around(false);
    return result;
}

/* --- The origin ---------------------------------------------------------------------------------------- */

void say(const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t put = send(rig.fd, p, n, MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN) {
            rig_turn();
            continue;
        }
        if (put < 0)
            return; /* it has had enough */
        p += put;
        n -= (size_t)put;
    }
}

void say_frame(uint8_t type, uint8_t flags, int32_t stream, const void *payload, size_t n)
{
    uint8_t head[9] = {
        (uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
        (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    say(head, sizeof head);
    if (n > 0)
        say(payload, n);
}

void say_pairs(int32_t stream, uint8_t flags, const struct pair *pairs, size_t count)
{
    static uint8_t block[1 << 17];
    nghttp2_nv nv[600];
    ck_assert_uint_le(count, 600);
    for (size_t i = 0; i < count; i++)
        nv[i] = (nghttp2_nv){(uint8_t *)pairs[i].name, (uint8_t *)pairs[i].value, strlen(pairs[i].name),
                             pairs[i].value_n ? pairs[i].value_n : strlen(pairs[i].value), 0};
    ssize_t n = nghttp2_hd_deflate_hd(rig.deflater, block, sizeof block, nv, count);
    ck_assert_int_ge(n, 0);
    say_frame(NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, stream, block, (size_t)n);
}

void say_head(int32_t stream, uint8_t flags, const char *fields)
{
    static char text[8192];
    struct pair pairs[64];
    size_t count = 0;
    snprintf(text, sizeof text, "%s", fields);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        char *colon = strstr(line + 1, ": ");
        *end = *colon = '\0';
        pairs[count++] = (struct pair){line, colon + 2, 0};
    }
    say_pairs(stream, flags, pairs, count);
}

void say_data(int32_t stream, uint8_t flags, const char *text)
{
    say_frame(NGHTTP2_DATA, flags, stream, text, strlen(text));
}

void say_number(uint8_t type, int32_t stream, uint32_t number)
{
    uint8_t p[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                    (uint8_t)number};
    say_frame(type, 0, stream, p, sizeof p);
}

void say_setting(uint16_t id, uint32_t value)
{
    uint8_t p[6] = {(uint8_t)(id >> 8),     (uint8_t)id,           (uint8_t)(value >> 24),
                    (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    say_frame(NGHTTP2_SETTINGS, 0, 0, p, sizeof p);
}

void say_goaway(int32_t last, uint32_t code)
{
    uint8_t p[8] = {(uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last,
                    (uint8_t)(code >> 24), (uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code};
    say_frame(NGHTTP2_GOAWAY, 0, 0, p, sizeof p);
}

static void decode(struct frame *f)
{
    nghttp2_nv nv;
    int flags, n = 0;
    unsigned count = 0;
    const uint8_t *at = f->payload;
    size_t left = f->n;
    do {
        ssize_t used = nghttp2_hd_inflate_hd2(rig.inflater, &nv, &flags, at, left, 1);
        ck_assert_int_ge(used, 0);
        at += used;
        left -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            n += snprintf(f->fields + n, sizeof f->fields - (size_t)n, "%.*s: %.*s\n", (int)nv.namelen,
                          nv.name, (int)nv.valuelen, nv.value);
            f->indexed[count++ % 64] = !(nv.flags & NGHTTP2_NV_FLAG_NO_INDEX);
        }
    } while (!(flags & NGHTTP2_HD_INFLATE_FINAL));
    nghttp2_hd_inflate_end_headers(rig.inflater);
}

static void forget(size_t n)
{
    memmove(rig.in, rig.in + n, rig.in_n - n);
    rig.in_n -= n;
}

static bool next_frame(struct frame *f)
{
    ssize_t got = recv(rig.fd, rig.in + rig.in_n, sizeof rig.in - rig.in_n, 0);
    rig.in_n += got > 0 ? (size_t)got : 0;
    if (rig.in_n >= sizeof preface - 1 && memcmp(rig.in, preface, sizeof preface - 1) == 0)
        forget(sizeof preface - 1);
    if (rig.in_n < 9)
        return false;
    f->n = (uint32_t)rig.in[0] << 16 | (uint32_t)rig.in[1] << 8 | rig.in[2];
    f->type = rig.in[3];
    f->flags = rig.in[4];
    f->stream = (int32_t)((uint32_t)rig.in[5] << 24 | (uint32_t)rig.in[6] << 16 | (uint32_t)rig.in[7] << 8 |
                          rig.in[8]);
    ck_assert_uint_le(f->n, sizeof f->payload);
    if (rig.in_n < 9 + f->n)
        return false;
    memcpy(f->payload, rig.in + 9, f->n);
    forget(9 + f->n);
    f->fields[0] = '\0';
    if (f->type == NGHTTP2_HEADERS)
        decode(f);
    return true;
}

struct frame *hear(uint8_t type)
{
    static struct frame f;
    while (next_frame(&f))
        if (f.type == type)
            return &f;
    return NULL;
}

struct frame *wait_for(uint8_t type)
{
    struct frame *f;
    rig_until((f = hear(type)));
    return f;
}
