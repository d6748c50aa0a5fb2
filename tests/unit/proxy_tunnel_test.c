/* Tunnels: what was said arrives whoever has gone, and how one side ended is how the other one sees it. */

#include "proxy_talk.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/tunnel.h"

/* A client over TCP, which knows resets. */
static int tcp_client(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    struct address peer;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ours, theirs;

    rig_assert(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 1) == 0);
    rig_assert(getsockname(listener, (struct sockaddr *)&a, &size) == 0);
    ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rig_assert(connect(ours, (struct sockaddr *)&a, sizeof a) == 0);
    theirs = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    rig_assert(theirs >= 0 && fcntl(ours, F_SETFL, O_NONBLOCK) == 0);
    close(listener);
    rig_assert(address_from_ip(&peer, SLICE("127.0.0.1"), 40000));
    proxy_accept(rig.proxy, rig.frontend, theirs, &peer);
    return ours;
}

static int open_tunnel(int client)
{
    say(&rig, client, "CONNECT a.test:443 HTTP/1.1\r\nHost: h\r\n\r\n");
    int origin = origin_end(&rig, 0);
    hears(client, "HTTP/1.1 200 Connection established\r\n\r\n");
    return origin;
}

static void begin_tunnel(int *client, int *origin)
{
    proxy_rig_open(&rig, "", "");
    *client = proxy_rig_client(&rig);
    *origin = open_tunnel(*client);
}

/* The origin's ends are closed by the rig otherwise. */
static void close_origin(int origin)
{
    for (unsigned i = 0; i < rig.origin_count; i++)
        if (rig.origins[i] == origin)
            rig.origins[i] = -1;
    close(origin);
}

static void put(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Until its buffers are full; how much that was. */
static size_t fill(int fd)
{
    static const char block[16384] = {0};
    size_t total = 0;
    unsigned refused = 0;

    while (refused < 3) {
        ssize_t n = send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
        total += n > 0 ? (size_t)n : 0;
        refused = n > 0 ? 0 : refused + 1;
        proxy_rig_settle(&rig);
    }
    return total;
}

/* So many bytes must come. */
static void takes(int fd, size_t count)
{
    static char block[16384];

    for (unsigned quiet = 0; quiet < 5000 && count > 0; quiet++) {
        ssize_t n = recv(fd, block, count < sizeof block ? count : sizeof block, MSG_DONTWAIT);
        if (n > 0) {
            count -= (size_t)n;
            quiet = 0;
        } else {
            proxy_rig_run(&rig, 1);
        }
    }
    ck_assert_uint_eq(count, 0);
}

static void no_tunnel_is_left(void)
{
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 0);
    ck_assert_uint_eq(rig.records, 1);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->active_count, 0);
    ck_assert_uint_eq(rig.proxy->bodies->lent, 0);
    ck_assert_uint_eq(rig.proxy->heads->lent, 0);
}

/* In one turn: the client still uploads, the origin has said its last words and takes no more. */
START_TEST(last_words_of_the_origin_arrive)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    put(origin, "the last words");
    put(client, "nobody reads this");
    close_origin(origin);
    proxy_rig_settle(&rig);
    hears(client, "the last words");
    ck_assert(has_ended(client));
    close(client);
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(last_words_of_the_client_arrive)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    put(client, "the last words");
    put(origin, "nobody reads this");
    close(client);
    proxy_rig_settle(&rig);
    hears(origin, "the last words");
    ck_assert(has_ended(origin));
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

/* The one who is left has more to say than anybody takes, and reads only then. */
START_TEST(whoever_is_left_may_go_on_talking)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    size_t words = fill(origin);
    put(client, "x");
    close_origin(origin);
    proxy_rig_settle(&rig);
    for (unsigned i = 0; i < 64; i++)
        say(&rig, client, "and on, and on");
    takes(client, words);
    ck_assert(has_ended(client));
    close(client);
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

/* What waits for a slow reader is delivered, and then the end. */
START_TEST(an_end_waits_for_what_came_before_it)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    size_t sent = fill(client);
    shutdown(client, SHUT_WR);
    proxy_rig_settle(&rig);
    say(&rig, origin, "half open");
    hears(client, "half open");
    takes(origin, sent);
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    close_origin(origin);
    proxy_rig_settle(&rig);
    ck_assert(has_ended(client));
    close(client);
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

static int how_it_ended(int fd)
{
    char byte;
    ssize_t n;

    while ((n = recv(fd, &byte, 1, 0)) < 0 && errno == EAGAIN)
        proxy_rig_run(&rig, 1);
    ck_assert_msg(n <= 0, "there is more: '%c'", byte);
    return n == 0 ? 0 : errno;
}

/* A reset throws away what the kernel has not sent: it follows when the client has everything. */
START_TEST(a_reset_is_passed_on_after_what_came_before_it)
{
    proxy_rig_open(&rig, "", "");
    int client = tcp_client(), origin = open_tunnel(client);
    put(client, "unread: a close is a reset");
    proxy_rig_settle(&rig);
    size_t words = fill(origin);
    close_origin(origin);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    takes(client, words);
    for (unsigned i = 0; i < 3000 && rig.proxy->stats.tunnels_open > 0; i++)
        proxy_rig_run(&rig, 1);
    ck_assert_int_eq(how_it_ended(client), ECONNRESET);
    close(client);
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(an_end_is_passed_on_as_one)
{
    proxy_rig_open(&rig, "", "");
    int client = tcp_client(), origin = open_tunnel(client);
    put(origin, "bye");
    close_origin(origin);
    proxy_rig_settle(&rig);
    hears(client, "bye");
    ck_assert_int_eq(how_it_ended(client), 0);
    close(client);
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

/* After its end of file no read of ours would meet the client's reset. */
START_TEST(a_reset_after_the_end_is_noticed)
{
    proxy_rig_open(&rig, "", "");
    int client = tcp_client(), origin = open_tunnel(client);
    shutdown(client, SHUT_WR);
    proxy_rig_settle(&rig);
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(client);
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(a_stop_waits_for_tunnels_that_move)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    size_t sent = fill(client);
    proxy_stop(rig.proxy);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    takes(origin, sent);
    for (unsigned i = 0; i < 3000 && rig.proxy->stats.tunnels_open > 0; i++)
        proxy_rig_run(&rig, 1);
    ck_assert(has_ended(client) && has_ended(origin));
    close(client);
    no_tunnel_is_left();
    proxy_rig_close(&rig);
}
END_TEST

/* Who takes little at a time is not known to take any as the stop begins. */
START_TEST(a_stop_waits_for_tunnels_that_hold_bytes)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    struct tunnel *t = TAILQ_FIRST(&rig.proxy->tunnels);
    size_t sent = fill(client);
    t->moved_ms -= 61000;
    proxy_stop(rig.proxy);
    t->timer.fire(t);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    takes(origin, sent);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(a_stop_waits_for_what_the_kernel_holds)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    struct tunnel *t = TAILQ_FIRST(&rig.proxy->tunnels);
    say(&rig, client, "not taken yet");
    t->moved_ms -= 61000;
    proxy_stop(rig.proxy);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    t->timer.fire(t);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    hears(origin, "not taken yet");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(a_stop_cuts_idle_tunnels_at_once)
{
    int client, origin;

    begin_tunnel(&client, &origin);
    proxy_rig_run(&rig, 300);
    proxy_stop(rig.proxy);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 0);
    proxy_rig_settle(&rig);
    ck_assert(has_ended(client) && has_ended(origin));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* What came while the process stood still is moved before the tunnel is called silent. */
START_TEST(a_tunnel_is_not_silent_when_something_came)
{
    int client, origin;

    proxy_rig_open(&rig, "timeouts: {tunnel: 60s}", "");
    client = proxy_rig_client(&rig);
    origin = open_tunnel(client);
    struct tunnel *t = TAILQ_FIRST(&rig.proxy->tunnels);
    put(client, "still here");
    t->moved_ms -= 61000;
    tunnels_arm(rig.proxy);
    /* The timer is due, and its event may be looked at first. */
    t->timer.fire(t);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    hears(origin, "still here");
    t->timer.fire(t); /* the origin has taken it since */
    t->moved_ms -= 61000;
    tunnels_arm(rig.proxy);
    proxy_rig_run(&rig, 2);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 0);
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* The process stood still before it looked the first time at what the kernel has for the client. */
START_TEST(a_tunnel_is_not_silent_when_a_look_comes_too_late)
{
    int client, origin;

    proxy_rig_open(&rig, "timeouts: {tunnel: 60s}", "");
    client = proxy_rig_client(&rig);
    origin = open_tunnel(client);
    struct tunnel *t = TAILQ_FIRST(&rig.proxy->tunnels);
    put(origin, "taken meanwhile");
    proxy_rig_settle(&rig);
    hears(client, "taken meanwhile");
    t->moved_ms -= 61000;
    t->by_client.due_ms -= 61000;
    t->by_socket.due_ms -= 61000;
    t->timer.fire(t);
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Whether a CONNECT is for HTTP is seen by the first bytes. What came while the process stood still is looked at
 * before its client is called late. */
START_TEST(a_client_is_not_late_when_something_came)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    say(&rig, client, "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n");
    hears(client, "HTTP/1.1 200");
    struct client *c = TAILQ_FIRST(&rig.proxy->clients);
    ck_assert_int_eq(c->state, CLIENT_OPENING);
    put(client, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    c->since_ms = 1;
    client_on_deadline(&c->deadline);
    ck_assert_int_eq(c->state, CLIENT_EXCHANGE);
    origin = origin_end(&rig, 0);
    proxy_rig_settle(&rig);
    hears(origin, "GET / HTTP/1.1");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_tunnel_tests(Suite *suite)
{
    unit_group(suite, "tunnel", last_words_of_the_origin_arrive, last_words_of_the_client_arrive,
               whoever_is_left_may_go_on_talking, an_end_waits_for_what_came_before_it,
               a_reset_is_passed_on_after_what_came_before_it, an_end_is_passed_on_as_one,
               a_reset_after_the_end_is_noticed, a_stop_waits_for_tunnels_that_move,
               a_stop_waits_for_tunnels_that_hold_bytes, a_stop_waits_for_what_the_kernel_holds,
               a_stop_cuts_idle_tunnels_at_once, a_tunnel_is_not_silent_when_something_came,
               a_tunnel_is_not_silent_when_a_look_comes_too_late, a_client_is_not_late_when_something_came);
}
