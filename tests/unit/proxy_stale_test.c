/* Sockets that are of no use any more when a request is about to go over them, and limits of time that others
 * hid. */

#include "proxy_talk.h"

#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/exchange.h"

static const struct origin_stats *stats(void)
{
    return &proxy_rig_origin(&rig, "a.test")->stats;
}

/* So many free sockets whose origin has gone, of which the loop says nothing: that came with their
 * responses. */
static void make_stale(unsigned count)
{
    int clients[RIG_ORIGINS];
    struct socket *s;

    for (unsigned i = 0; i < count; i++) {
        clients[i] = proxy_rig_client(&rig);
        heard(begin(clients[i], A_GET, i));
    }
    for (unsigned i = 0; i < count; i++) {
        say(&rig, rig.origins[i], AN_OK);
        close(clients[i]);
    }
    proxy_rig_settle(&rig);
    TAILQ_FOREACH (s, &proxy_rig_origin(&rig, "a.test")->free, link)
        event_del(&s->wire.conn.event);
    for (unsigned i = 0; i < count; i++) {
        close(rig.origins[i]);
        rig.origins[i] = -1;
    }
}

static void looks_before(const char *request, unsigned stale)
{
    int client, origin;

    proxy_rig_open(&rig, "replayLimit: 1KiB", "");
    make_stale(stale);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, stale);
    client = proxy_rig_client(&rig);
    origin = begin(client, request, stale);
    hears(origin, "Connection: keep-alive");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    ck_assert_uint_eq(stats()->retries, 0);
    ck_assert_uint_eq(stats()->retired[RETIRE_PEER_CLOSED], stale);
    close(client);
    proxy_rig_close(&rig);
}

/* Its content may become more than is kept for a repeat. */
START_TEST(content_of_unknown_length_is_preceded_by_a_look)
{
    looks_before(
        "PUT http://a.test/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        1);
}
END_TEST

START_TEST(any_number_of_stale_sockets_is_passed_by)
{
    looks_before("POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", 50);
}
END_TEST

/* A released socket is given to the next; before that is told, an operator drains: nothing new may go over
 * it. */
START_TEST(sockets_given_before_a_drain_are_not_used_behind_it)
{
    int first, second, origin;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    first = proxy_rig_client(&rig);
    origin = begin(first, A_GET, 0);
    heard(origin);
    second = proxy_rig_client(&rig);
    say(&rig, second, A_GET);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n61a80\r\n");
    for (size_t sent = 0; sent < 400000;) {
        static char content[400000];
        ssize_t n = send(origin, content, sizeof content - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        proxy_rig_turn(&rig);
    }
    say(&rig, origin, "\r\n0\r\n\r\n");
    /* It goes on in an event of the client, who was slow: behind one of the socket's own the next is told at
     * once. */
    while (TAILQ_EMPTY(&rig.pool->settled)) {
        heard(first);
        event_base_loop(rig.base, EVLOOP_NONBLOCK);
    }
    agent_drain(proxy_rig_agent(&rig));
    proxy_rig_settle(&rig);
    hears_nothing(origin);
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(stats()->retired[RETIRE_DRAINED], 1);
    origin = origin_end(&rig, 1);
    hears(origin, "GET /");
    say(&rig, origin, AN_OK);
    hears(second, "200 OK");
    close(first);
    close(second);
    proxy_rig_close(&rig);
}
END_TEST

/* A response of many small chunks, read in one go, is passed on over several turns. What its origin sends
 * meanwhile belongs to no request: the next one, which waits for this socket, must not take it for its
 * answer. */
static void comes_while_chunks_are_passed_on(const char *more, enum retire_reason reason)
{
    static char chunks[60000 + sizeof "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"];
    int first, second, origin;
    size_t n = 0;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    first = proxy_rig_client(&rig);
    origin = begin(first, A_GET, 0);
    heard(origin);
    second = proxy_rig_client(&rig);
    say(&rig, second, A_GET);
    n += (size_t)sprintf(chunks, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (unsigned i = 0; i < 10000; i++)
        n += (size_t)sprintf(chunks + n, "1\r\nx\r\n");
    n += (size_t)sprintf(chunks + n, "0\r\n\r\n");
    ck_assert_int_eq(send(origin, chunks, n, MSG_NOSIGNAL), (ssize_t)n);
    proxy_rig_turn(&rig);
    ck_assert_uint_eq(rig.records, 0);
    ck_assert(*more ? send(origin, more, strlen(more), 0) > 0 : shutdown(origin, SHUT_WR) == 0);
    for (unsigned i = 0; i < 10000 && rig.records == 0; i++) {
        heard(first);
        proxy_rig_turn(&rig);
    }
    ck_assert_uint_eq(rig.records, 1);
    ck_assert_uint_eq(rig.last_status, 200);
    proxy_rig_settle(&rig);
    hears_nothing(origin);
    ck_assert_uint_eq(stats()->retired[reason], 1);
    origin = origin_end(&rig, 1);
    hears(origin, "GET /");
    say(&rig, origin, AN_OK);
    hears(second, "200 OK");
    close(first);
    close(second);
    proxy_rig_close(&rig);
}

START_TEST(bytes_that_come_while_chunks_are_passed_on_are_nobodys_answer)
{
    comes_while_chunks_are_passed_on("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
                                     RETIRE_UNEXPECTED_DATA);
}
END_TEST

START_TEST(an_end_that_comes_while_chunks_are_passed_on_is_seen)
{
    comes_while_chunks_are_passed_on("", RETIRE_PEER_CLOSED);
}
END_TEST

/* Under load one request hands it on to the next: the last time that it was free says nothing then. */
START_TEST(a_socket_that_was_handed_on_had_not_been_idle)
{
    int first, second, origin;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    first = proxy_rig_client(&rig);
    origin = begin(first, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    heard(first);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    say(&rig, first, A_GET);
    heard(origin);
    second = proxy_rig_client(&rig);
    say(&rig, second, A_GET);
    say(&rig, origin, AN_OK);
    hears(origin, "GET /");
    proxy_rig_configure(&rig, "maxSockets: 1, timeouts: {socket: 30ms}", "");
    while (rig.records < 3)
        proxy_rig_run(&rig, 10);
    hears(second, "the service is slow, or the limit too short");
    close(first);
    close(second);
    proxy_rig_close(&rig);
}
END_TEST

/* A repeat that waits for its place: its time counts as waiting, not as time in which the first attempt's
 * origin took nothing, too. */
START_TEST(time_between_attempts_is_given_to_an_upload_once)
{
    static char content[4096];
    int client, origin;

    proxy_rig_open(&rig, "replayLimit: 1MiB", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    say(&rig, client, "PUT http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    const struct exchange *e = only_exchange();
    while (e->transfer->upload.state != UPLOAD_BLOCKED) {
        ck_assert_int_gt(send(client, content, sizeof content, MSG_NOSIGNAL), 0);
        proxy_rig_turn(&rig);
    }
    agent_pause(proxy_rig_agent(&rig));
    shutdown(origin, SHUT_WR); /* a write would not fail yet */
    proxy_rig_run(&rig, 100);
    ck_assert_int_eq(e->state, EXCHANGE_WAITING);
    agent_resume(proxy_rig_agent(&rig));
    heard(origin_end(&rig, 1));
    proxy_rig_settle(&rig);
    ck_assert_int_eq(e->state, EXCHANGE_RELAY);
    ck_assert_uint_ge(e->waiter.waited.us, 50 * 1000);
    ck_assert_uint_le(e->waiter.waited.us / 1000 + e->transfer->times.body_grace_ms,
                      clock_ms() - TAILQ_FIRST(&rig.proxy->clients)->since_ms);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* More of a response than a client takes that does not read. */
static void block_download(int origin)
{
    static char block[4096];

    say(&rig, origin, "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
    while (!download_is_blocked(&only_exchange()->transfer->download)) {
        ssize_t n = send(origin, block, sizeof block, MSG_NOSIGNAL);
        (void)n;
        proxy_rig_turn(&rig);
    }
}

/* Its answer has come already, and it takes none of it: that is no reason to wait for its request. */
START_TEST(who_does_not_read_has_no_more_time_to_send)
{
    int client, origin;

    proxy_rig_open(&rig, "timeouts: {socket: off}", "server: {requestTimeout: 1s, timeout: off}\n");
    client = proxy_rig_client(&rig);
    origin = begin(client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nno", 0);
    heard(origin);
    block_download(origin);
    for (unsigned i = 0; i < 200 && rig.records == 0; i++)
        proxy_rig_run(&rig, 20);
    ck_assert_uint_eq(rig.records, 1);
    ck_assert_uint_eq(rig.proxy->stats.clients_closed[CLIENT_REQUEST_TIMEOUT], 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_stale_tests(Suite *suite)
{
    unit_group(suite, "stale", content_of_unknown_length_is_preceded_by_a_look,
               any_number_of_stale_sockets_is_passed_by, sockets_given_before_a_drain_are_not_used_behind_it,
               bytes_that_come_while_chunks_are_passed_on_are_nobodys_answer,
               an_end_that_comes_while_chunks_are_passed_on_is_seen,
               a_socket_that_was_handed_on_had_not_been_idle,
               time_between_attempts_is_given_to_an_upload_once, who_does_not_read_has_no_more_time_to_send);
}
