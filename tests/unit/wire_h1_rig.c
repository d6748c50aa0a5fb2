/* HTTP/1.1 on a wire, over a socket pair. */

#include "wire_h1_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct wire_loop h1_loop;
void h1_open_pair(struct conn *c, int *far, int room)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    if (room)
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    conn_open(c, ends[0]);
    *far = ends[1];
}

void h1_set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    http_init();
    clock_update();
    h1_loop = (struct wire_loop){
        .heads.size = BUFFER_HEAD_SIZE, .bodies.size = BUFFER_SIZE, .limits = {16384, 100}};
    wire_loop_init(&h1_loop, event_base_new());
}

void h1_tear_down(void)
{
    ck_assert_uint_eq(h1_loop.heads.lent, 0);
    ck_assert_uint_eq(h1_loop.bodies.lent, 0);
    wire_loop_destroy(&h1_loop);
    event_base_free(h1_loop.base);
}

static const struct wire_owner owner;

static void on_ready(struct call *c, unsigned ready)
{
    (void)c;
    (void)ready;
}

void h1_open_call(struct wire *w, struct call *c, int *far, struct framing framing, int room)
{
    const struct call_request r = {.head = SLICE("PUT / HTTP/1.1\r\n"), .framing = framing};

    h1_open_pair(&w->conn, far, room);
    c->ready = on_ready;
    h1_begin(w, &h1_loop, &owner);
    ck_assert_uint_eq(wire_room(w), 1);
    ck_assert(wire_open(w, c, &r));
    ck_assert_uint_eq(wire_room(w), 0);
}

void h1_close_call(struct wire *w, struct call *c, int far)
{
    if (c->wire)
        call_reset(c);
    wire_close(w, false);
    if (far >= 0)
        close(far);
}

size_t h1_some(size_t most)
{
    return most == 0 ? SIZE_MAX : 1 + (size_t)lrand48() % most;
}

char h1_content[H1_MOST];
const size_t h1_sizes[9] = {0, 1, 2, 17, 4095, 65535, 65536, 65537, 200000};

void h1_fill_content(size_t n)
{
    for (size_t i = 0; i < n; i++)
        h1_content[i] = (char)('a' + lrand48() % 26);
}
