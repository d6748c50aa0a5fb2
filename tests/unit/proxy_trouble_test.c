/* Exchanges in trouble: moments at which things once went wrong, or easily could. */

#include "proxy_talk.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Fills what the kernel takes for this descriptor; the count. */
static size_t fill(int fd)
{
    static char block[4096];
    size_t sum = 0;
    ssize_t n;

    memset(block, 'x', sizeof block);
    while ((n = send(fd, block, sizeof block, MSG_NOSIGNAL)) > 0 || (n < 0 && errno == EINTR))
        sum += (size_t)n;
    return sum;
}

/* The origin takes nothing for a while. Meanwhile the client sends the rest of less than it announced and
 * ends: its events come while Carpool does not listen to it. */
START_TEST(short_uploads_are_seen_behind_a_slow_origin)
{
    int origin, client;

    proxy_rig_open(&rig, "timeouts: {socket: 60s}", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n", 0);
    while (only_exchange()->transfer->upload.state != UPLOAD_BLOCKED) {
        fill(client);
        proxy_rig_settle(&rig);
    }
    fill(client);
    shutdown(client, SHUT_WR);
    proxy_rig_settle(&rig);
    for (unsigned i = 0; i < 100 && rig.records == 0; i++) {
        heard(origin);
        proxy_rig_settle(&rig);
    }
    ck_assert_uint_eq(rig.records, 1);
    heard(origin);
    ck_assert(has_ended(origin));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* The same the other way round: the last of a response comes while the client takes nothing. */
START_TEST(responses_arrive_behind_a_slow_client)
{
    size_t sent = 0, got = 0;
    int origin, client;
    ssize_t n;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
    while (!download_is_blocked(&only_exchange()->transfer->download)) {
        n = send(origin, "0123456789", 10, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        size_t more = fill(origin);
        sent += more;
        proxy_rig_settle(&rig);
    }
    while (sent < 3000000) {
        static char rest[3000000];
        n = send(origin, rest, 3000000 - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        proxy_rig_settle(&rig);
        got += strlen(heard(client));
        if (got == 0)
            break;
    }
    for (unsigned i = 0; i < 300 && rig.records == 0; i++) {
        char block[65536];
        n = recv(client, block, sizeof block, 0);
        proxy_rig_turn(&rig);
        if (sent < 3000000) {
            static char rest[3000000];
            n = send(origin, rest, 3000000 - sent, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
        }
    }
    ck_assert_uint_eq(sent, 3000000);
    ck_assert_uint_eq(rig.records, 1);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* A released socket is given to the next; in the same turn, and before that is told, the loop reports that
 * the origin has stopped writing. It answers nothing more, and no further event will come. It is released in
 * the event of a client who was slow: behind one of the socket's own the next is told at once. */
START_TEST(ends_between_two_exchanges_are_not_missed)
{
    const size_t size = 400000;
    int first, second, origin;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    first = proxy_rig_client(&rig);
    origin = begin(first, A_GET, 0);
    heard(origin);
    second = proxy_rig_client(&rig);
    say(&rig, second, A_GET);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->blocked_count, 1);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n61a80\r\n");
    for (size_t sent = 0; sent < size;) {
        static char content[400000];
        ssize_t n = send(origin, content, size - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        proxy_rig_turn(&rig);
    }
    say(&rig, origin, "\r\n0\r\n\r\n");
    ck_assert(download_is_blocked(&proxy_rig_exchange(&rig, NULL)->transfer->download));
    /* The client takes all of it, and the socket is handed on ... */
    while (TAILQ_EMPTY(&rig.pool->settled)) {
        heard(first);
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
    }
    /* ... then its end is reported, before pool_end_turn(). */
    shutdown(origin, SHUT_WR);
    event_base_loop(rig.base, EVLOOP_NONBLOCK);
    proxy_rig_settle(&rig);
    origin = origin_end(&rig, 1);
    hears(origin, "GET /");
    say(&rig, origin, AN_OK);
    hears(second, "200 OK");
    close(first);
    close(second);
    proxy_rig_close(&rig);
}
END_TEST

/* Nor does who waits for a socket wait for others' events. */
START_TEST(a_released_socket_is_used_at_once)
{
    int first, second, origin;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    first = proxy_rig_client(&rig);
    origin = begin(first, A_GET, 0);
    heard(origin);
    second = proxy_rig_client(&rig);
    say(&rig, second, A_GET);
    ck_assert_int_gt(send(origin, AN_OK, strlen(AN_OK), MSG_NOSIGNAL), 0);
    event_base_loop(rig.base, EVLOOP_NONBLOCK);
    hears(origin, "GET /");
    hears(first, "200 OK");
    say(&rig, origin, AN_OK);
    hears(second, "200 OK");
    close(first);
    close(second);
    proxy_rig_close(&rig);
}
END_TEST

/* An own answer waits for a client that does not read; its origin must not be forgotten meanwhile. */
START_TEST(origins_outlive_answers_that_wait)
{
    int client;

    proxy_rig_open(&rig, "maxPendingRequests: 0", "");
    agent_pause(proxy_rig_agent(&rig));
    client = proxy_rig_client(&rig);
    /* 503 after 503, until one of them gets stuck. */
    for (unsigned i = 0; i < 5000 && !proxy_rig_exchange(&rig, NULL); i++) {
        ssize_t n = send(client, A_GET, strlen(A_GET), MSG_NOSIGNAL);
        (void)n;
        proxy_rig_turn(&rig);
    }
    ck_assert(only_exchange()->state == EXCHANGE_REPLY);
    forget_old(proxy_rig_agent(&rig), 0);
    ck_assert_ptr_nonnull(proxy_rig_agent(&rig)->origins);
    close(client);
    proxy_rig_settle(&rig);
    ck_assert_ptr_null(proxy_rig_exchange(&rig, NULL));
    forget_old(proxy_rig_agent(&rig), 0);
    ck_assert_ptr_null(proxy_rig_agent(&rig)->origins);
    proxy_rig_close(&rig);
}
END_TEST

/* A request whose connection came to nothing becomes pending, and then the limits of pending ones hold. */
START_TEST(who_becomes_pending_keeps_its_limits)
{
    int client;

    proxy_rig_open(&rig, "timeouts: {pending: 50ms}", "");
    client = proxy_rig_client(&rig);
    ck_assert_int_gt(send(client, A_GET, strlen(A_GET), 0), 0);
    while (proxy_rig_origin(&rig, "a.test")->connecting_count == 0)
        event_base_loop(rig.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    agent_pause(proxy_rig_agent(&rig));
    agent_drain(proxy_rig_agent(&rig));
    proxy_rig_run(&rig, 200);
    hears(client, "HTTP/1.1 503 ");
    ck_assert_str_eq(rig.last_error, "connection_limit_reached");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(who_becomes_pending_may_have_left)
{
    int client;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    ck_assert_int_gt(send(client, A_GET, strlen(A_GET), 0), 0);
    shutdown(client, SHUT_WR);
    while (proxy_rig_origin(&rig, "a.test")->connecting_count == 0)
        event_base_loop(rig.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    agent_pause(proxy_rig_agent(&rig));
    agent_drain(proxy_rig_agent(&rig));
    proxy_rig_run(&rig, 20);
    ck_assert_uint_eq(rig.records, 1);
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* requestTimeout stands still while Carpool does not read: the time in the queue is not the client's. */
START_TEST(the_queue_is_not_the_clients_time)
{
    int client, origin;

    proxy_rig_open(&rig, "", "server: {requestTimeout: 1s}\n");
    agent_pause(proxy_rig_agent(&rig));
    client = proxy_rig_client(&rig);
    say(&rig, client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n");
    proxy_rig_run(&rig, 1100);
    hears_nothing(client);
    agent_resume(proxy_rig_agent(&rig));
    origin = origin_end(&rig, 0);
    proxy_rig_run(&rig, 20);
    hears(origin, "POST /");
    hears_nothing(client);
    say(&rig, client, "hi");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* timeouts.socket counts from when the client took bytes again, not from before it stopped. */
START_TEST(slow_clients_do_not_cost_the_origin_its_time)
{
    int client, origin;

    proxy_rig_open(&rig, "timeouts: {socket: 1s}", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (!download_is_blocked(&only_exchange()->transfer->download)) {
        say(&rig, origin, "400\r\n");
        char block[1025];
        memset(block, 'x', 1024);
        block[1024] = '\0';
        say(&rig, origin, block);
        say(&rig, origin, "\r\n");
    }
    proxy_rig_run(&rig, 1200);
    ck_assert_uint_eq(rig.records, 0);
    for (unsigned i = 0; i < 20; i++) {
        heard(client);
        proxy_rig_settle(&rig);
    }
    proxy_rig_run(&rig, 20);
    ck_assert_uint_eq(rig.records, 0);
    say(&rig, origin, "0\r\n\r\n");
    ck_assert_uint_eq(rig.records, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* The answer comes before the body, whose bytes are there already and were announced: they are read and
 * thrown away, so that the client is not stuck in writing when its answer has come. */
START_TEST(refused_bodies_are_read_on)
{
    int client, origin, little = 4096;
    size_t sum = 0;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    origin = begin(client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n", 0);
    while (only_exchange()->transfer->upload.state != UPLOAD_BLOCKED) {
        fill(client);
        proxy_rig_settle(&rig);
    }
    fill(client);
    proxy_rig_settle(&rig);
    say(&rig, origin, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    hears(client, "413 Too Large");
    for (unsigned i = 0; i < 10; i++) {
        sum += fill(client);
        proxy_rig_settle(&rig);
    }
    ck_assert_uint_gt(sum, 0);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* A failure behind half an interim response: another status line there would be taken for part of it. */
START_TEST(own_answers_do_not_follow_half_an_interim_one)
{
    int client, origin;

    proxy_rig_open(&rig, "timeouts: {request: 500ms}", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    struct client *c = TAILQ_FIRST(&rig.proxy->clients);
    size_t filled = fill(c->conn.fd);
    ck_assert_uint_gt(filled, 0);
    say(&rig, origin, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    ck_assert(download_is_blocked(&only_exchange()->transfer->download));
    proxy_rig_run(&rig, 600);
    ck_assert_ptr_null(strstr(heard(client), "504"));
    proxy_rig_settle(&rig);
    ck_assert_ptr_null(strstr(heard(client), "504"));
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* ... and when it was passed on at last, the origin's silence counts again. */
START_TEST(silence_behind_an_interim_response_ends)
{
    int client, origin;

    proxy_rig_open(&rig, "timeouts: {socket: 400ms}", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    struct client *c = TAILQ_FIRST(&rig.proxy->clients);
    fill(c->conn.fd);
    say(&rig, origin, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    ck_assert(download_is_blocked(&only_exchange()->transfer->download));
    proxy_rig_run(&rig, 500);
    ck_assert_uint_eq(rig.records, 0);
    for (unsigned i = 0; i < 10; i++) {
        heard(client);
        proxy_rig_settle(&rig);
    }
    proxy_rig_run(&rig, 500);
    ck_assert_uint_eq(rig.records, 1);
    ck_assert_str_eq(rig.last_error, "connection_read_timeout");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Nobody's trouble: the client of a response that was read on for the socket's sake has gone. */
START_TEST(drained_responses_leave_no_error_behind)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    close(client);
    proxy_rig_run(&rig, 10);
    while (proxy_rig_exchange(&rig, NULL))
        say(&rig, origin, "1000\r\n"), fill(origin), proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_agent(&rig)->error_count, 0);
    proxy_rig_close(&rig);
}
END_TEST

static unsigned calls;

static void call_again(void *ctx, unsigned ready)
{
    (void)ready;
    ck_assert_uint_lt(++calls, 1000);
    conn_call_again(ctx);
}

/* Whoever has much to move gives way: the turn ends, and with it others are told. */
START_TEST(busy_streams_let_the_turn_end)
{
    struct conn s;
    int ends[2];

    proxy_rig_open(&rig, "", "");
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    conn_open(&s, ends[0]);
    ck_assert(conn_watch(&s, rig.base, PRIORITY_ORDINARY, call_again, &s));
    for (unsigned i = 0; i < 3; i++)
        event_base_loop(rig.base, EVLOOP_ONCE);
    conn_close(&s, false);
    close(ends[1]);
    proxy_rig_close(&rig);
}
END_TEST

/* An idle client's request may have come while the turn was at something else: it is answered all the
 * same. */
START_TEST(stopping_answers_what_has_come)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    ck_assert_int_eq(send(client, A_GET, strlen(A_GET), 0), (ssize_t)strlen(A_GET));
    heard(origin);
    proxy_stop(rig.proxy);
    proxy_rig_settle(&rig);
    hears(origin, "GET / HTTP/1.1");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* The client leaves its answer unread, so that its end is a reset, and that comes with half a head: one event
 * says both. */
START_TEST(resets_behind_half_a_head_are_seen)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    say(&rig, origin, AN_OK);
    ck_assert_int_eq(send(client, "GET http://a", 12, MSG_NOSIGNAL), 12);
    close(client);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(rig.proxy->stats.clients_open, 0);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_trouble_tests(Suite *suite)
{
    unit_group(suite, "trouble", short_uploads_are_seen_behind_a_slow_origin,
               responses_arrive_behind_a_slow_client, ends_between_two_exchanges_are_not_missed,
               a_released_socket_is_used_at_once, origins_outlive_answers_that_wait,
               who_becomes_pending_keeps_its_limits, who_becomes_pending_may_have_left,
               the_queue_is_not_the_clients_time, slow_clients_do_not_cost_the_origin_its_time,
               refused_bodies_are_read_on, own_answers_do_not_follow_half_an_interim_one,
               silence_behind_an_interim_response_ends, drained_responses_leave_no_error_behind,
               busy_streams_let_the_turn_end, stopping_answers_what_has_come,
               resets_behind_half_a_head_are_seen);
}
