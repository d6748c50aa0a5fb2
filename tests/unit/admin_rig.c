/* Connections to the admin API, of one process that is both ends. */

#include "admin_rig.h"

#include "base/clock.h"

time_t admin_now_s;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    if (admin_now_s == 0)
        return __real_clock_gettime(id, ts);
    *ts = (struct timespec){.tv_sec = admin_now_s};
    return 0;
}

const int admin_one_listener, admin_other_listener;

static void answer(void *ctx, const struct request *r, const struct address *peer, struct admin_answer *out)
{
    struct admin_rig *rig = ctx;

    (void)peer;
    rig->answered++;
    out->status = 200;
    out->type = "text/plain";
    if (slice_eq(r->path, SLICE("/large")) && text_reserve(&out->body, ADMIN_LARGE)) {
        memset(out->body.p, 'x', ADMIN_LARGE);
        out->body.n = ADMIN_LARGE;
    } else if (slice_eq(r->path, SLICE("/short"))) {
        text_lit(&out->body, "half an answ");
        out->body.failed = true;
    } else if (slice_eq(r->path, SLICE("/end"))) {
        connections_end(rig->connections, &admin_one_listener);
    } else if (slice_eq(r->path, SLICE("/stranger"))) {
        out->last = true;
    } else if (slice_eq(r->path, SLICE("/wait"))) {
        out->waits_for = ++rig->waiting;
        return;
    }
    text_put(&out->body, r->path);
}

void admin_rig_open(struct admin_rig *r)
{
    *r = (struct admin_rig){.base = event_base_new()};
    http_init();
    admin_now_s = 1000000;
    clock_update();
    ck_assert_int_eq(event_base_priority_init(r->base, PRIORITY_COUNT), 0);
    ck_assert(address_from_ip(&r->peer, SLICE("127.0.0.1"), 1));
    r->connections = connections_new(r->base, answer, r);
    ck_assert_ptr_nonnull(r->connections);
}

void admin_rig_close(struct admin_rig *r)
{
    connections_free(r->connections);
    event_base_free(r->base);
    admin_now_s = 0; /* check measures how long the test took */
}

void admin_rig_turn(struct admin_rig *r)
{
    for (int i = 0; i < 8 + TIMER_LATE_TURNS; i++)
        event_base_loop(r->base, EVLOOP_NONBLOCK);
}

static void on_passed(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    *(bool *)ctx = true;
}

void admin_rig_turn_later(struct admin_rig *r, time_t seconds)
{
    const struct timeval sweeps = {.tv_usec = 400 * 1000};
    bool passed = false;

    admin_now_s += seconds;
    clock_update();
    ck_assert_int_eq(event_base_once(r->base, -1, EV_TIMEOUT, on_passed, &passed, &sweeps), 0);
    while (!passed)
        event_base_loop(r->base, EVLOOP_ONCE);
    admin_rig_turn(r);
}

int admin_rig_connect_by(struct admin_rig *r, const void *listener)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    connections_take(r->connections, listener, pair[1], &r->peer);
    admin_rig_turn(r);
    return pair[0];
}

int admin_rig_connect(struct admin_rig *r)
{
    return admin_rig_connect_by(r, &admin_one_listener);
}

void admin_rig_say(struct admin_rig *r, int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    admin_rig_turn(r);
}

void admin_rig_ask(struct admin_rig *r, int fd, const char *path)
{
    char text[128];

    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    admin_rig_say(r, fd, text);
}

const char *admin_rig_heard(int fd, bool *ended)
{
    static char text[16 * 1024];
    size_t n = 0;
    ssize_t got = 1;

    while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    *ended = got == 0 || (got < 0 && errno != EAGAIN);
    return text;
}

bool admin_rig_is_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK);

    return n == 0 || (n < 0 && errno != EAGAIN);
}
