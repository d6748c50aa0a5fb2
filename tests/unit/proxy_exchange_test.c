/* Whole exchanges, as they should go. */

#include "proxy_talk.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/exchange.h"

/* Said by the client, heard by the nth connection of the origin. */
START_TEST(sockets_are_shared_between_clients)
{
    proxy_rig_open(&rig, "", "");
    for (unsigned i = 0; i < 5; i++) {
        int client = proxy_rig_client(&rig), origin = begin(client, A_GET, 0);

        hears(origin,
              "GET / HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 carpool-test\r\nConnection: keep-alive\r\n\r\n");
        say(&rig, origin, AN_OK);
        hears(client, "HTTP/1.1 200 OK\r\n");
        close(client);
        proxy_rig_settle(&rig);
    }
    ck_assert_uint_eq(rig.origin_count, 1);
    ck_assert_uint_eq(rig.records, 5);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.reused, 4);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(bodies_go_both_ways)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin =
        begin(client, "POST http://a.test/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n01234", 0);
    hears(origin, "Content-Length: 10\r\nConnection: keep-alive\r\n\r\n01234");
    say(&rig, client, "56789");
    hears(origin, "56789");
    say(&rig, origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    hears(
        client,
        "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n5\r\nhello\r\n");
    say(&rig, origin, "0\r\nDigest: x\r\n\r\n");
    hears(client, "0\r\nDigest: x\r\n\r\n");
    origin = begin(
        client,
        "PUT http://a.test/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        0);
    hears(origin, "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    say(&rig, origin, "HTTP/1.1 204 No Content\r\n\r\n");
    hears(client, "HTTP/1.1 204 No Content\r\n");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    int client, origin;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    client = proxy_rig_client(&rig);
    origin = begin(
        client,
        "GET http://a.test/1 HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET http://a.test/2 HTTP/1.1\r\nHost: h\r\n\r\n"
        "GET http://a.test/3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        0);
    for (unsigned i = 1; i <= 3; i++) {
        char line[32];
        snprintf(line, sizeof line, "GET /%u HTTP/1.1", i);
        hears(origin, line);
        hears_nothing(client);
        say(&rig, origin, AN_OK);
        hears(client, "\r\n\r\nok");
    }
    ck_assert(has_ended(client));
    /* What the client says of its own connection is not the socket's affair. */
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(head_and_304_have_no_content)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, "HEAD http://a.test/ HTTP/1.1\r\nHost: h\r\n\r\n", 0);
    hears(origin, "HEAD / HTTP/1.1");
    say(&rig, origin, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    hears(client, "Content-Length: 99\r\n");
    begin(client, A_GET, 0);
    hears(origin, "GET /");
    say(&rig, origin, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    hears(client, "304 Not Modified");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    ck_assert_uint_eq(rig.records, 2);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(the_end_of_the_connection_ends_content)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\n\r\nhello");
    shutdown(origin, SHUT_WR);
    proxy_rig_settle(&rig);
    hears(
        client,
        "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_CLOSE_DELIMITED], 1);
    /* To HTTP/1.0 it goes as it came, and ends as it did. */
    origin = begin(client, "GET http://a.test/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1);
    heard(origin);
    say(&rig, origin, "HTTP/1.0 200 OK\r\n\r\nhello");
    shutdown(origin, SHUT_WR);
    proxy_rig_settle(&rig);
    hears(client, "Connection: close\r\n\r\nhello");
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(interim_responses_pass)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(
        client,
        "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 0);
    hears(origin, "Expect: 100-continue\r\n");
    say(&rig, origin, "HTTP/1.1 100 Continue\r\n\r\n");
    hears(client, "HTTP/1.1 100 Continue\r\nVia: 1.1 carpool-test\r\n\r\n");
    say(&rig, client, "hi");
    hears(origin, "hi");
    say(&rig, origin, "HTTP/1.1 103 Early Hints\r\n\r\n" AN_OK);
    hears(client, "HTTP/1.1 103 Early Hints\r\nVia: 1.1 carpool-test\r\n\r\nHTTP/1.1 200 OK\r\n");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(early_responses_stop_the_upload)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nxx", 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    hears(client, "Connection: close\r\n");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_EARLY_RESPONSE], 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(stale_sockets_are_not_the_apps_affair)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    heard(client);
    /* The request is on its way when the origin closes. */
    ck_assert_int_gt(send(client, A_GET, strlen(A_GET), 0), 0);
    proxy_rig_turn(&rig);
    hears(origin, "GET /");
    close(origin);
    rig.origins[0] = -1;
    origin = origin_end(&rig, 1);
    proxy_rig_settle(&rig);
    hears(origin, "GET / HTTP/1.1\r\nHost: a.test\r\n");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retries, 1);
    ck_assert_uint_eq(rig.records, 2);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(bodies_are_sent_again_from_memory)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    heard(client);
    begin(client, "PUT http://a.test/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
          0);
    hears(origin, "\r\n\r\n3\r\nabc\r\n");
    close(origin);
    rig.origins[0] = -1;
    origin = origin_end(&rig, 1);
    proxy_rig_settle(&rig);
    hears(origin, "\r\n\r\n3\r\nabc\r\n");
    say(&rig, client, "2\r\nde\r\n0\r\n\r\n");
    hears(origin, "2\r\nde\r\n0\r\n\r\n");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* A POST is never sent twice, and one that finds a dead socket by looking goes elsewhere. */
START_TEST(posts_are_sent_once)
{
    const char *post = "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    heard(client);
    begin(client, post, 0);
    hears(origin, "POST /");
    close(origin);
    rig.origins[0] = -1;
    proxy_rig_settle(&rig);
    hears(client, "HTTP/1.1 502 ");
    ck_assert_uint_eq(rig.origin_count, 1);
    ck_assert_str_eq(rig.last_error, "connection_terminated");
    /* The FIN arrives in the very turn of the next POST. */
    origin = begin(client, A_GET, 1);
    heard(origin);
    say(&rig, origin, AN_OK);
    heard(client);
    close(origin);
    rig.origins[1] = -1;
    origin = begin(client, post, 2);
    hears(origin, "POST /");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(tunnels_carry_anything)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, "CONNECT a.test:443 HTTP/1.1\r\nHost: h\r\n\r\nearly", 0);
    hears(client, "HTTP/1.1 200 ");
    hears(origin, "early");
    say(&rig, origin, "\x16\x03\x01");
    hears(client, "\x16\x03\x01");
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 1);
    shutdown(client, SHUT_WR);
    proxy_rig_settle(&rig);
    ck_assert(has_ended(origin));
    say(&rig, origin, "bye");
    hears(client, "bye");
    shutdown(origin, SHUT_WR);
    proxy_rig_settle(&rig);
    ck_assert(has_ended(client));
    ck_assert_uint_eq(rig.proxy->stats.tunnels_open, 0);
    ck_assert_uint_eq(rig.records, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

static const char upgrade[] =
    "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
static const char switching[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nframe";

START_TEST(upgrades_become_tunnels)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, upgrade, 0);
    hears(origin, "Upgrade: websocket\r\nVia: 1.1 carpool-test\r\nConnection: Upgrade\r\n\r\n");
    say(&rig, client, "too early");
    hears_nothing(origin);
    say(&rig, origin, switching);
    hears(client, "Connection: Upgrade\r\n\r\nframe");
    proxy_rig_settle(&rig);
    hears(origin, "too early");
    close(client);
    proxy_rig_settle(&rig);
    shutdown(origin, SHUT_WR);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_UPGRADED], 1);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(little_is_read_on_for_the_socket)
{
    int client, origin;

    proxy_rig_open(&rig, "drainLimit: 1KiB", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789");
    close(client);
    proxy_rig_run(&rig, 10);
    char rest[991];
    memset(rest, 'x', 990);
    rest[990] = '\0';
    say(&rig, origin, rest);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    client = proxy_rig_client(&rig);
    begin(client, A_GET, 0);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n0123456789");
    close(client);
    proxy_rig_run(&rig, 10);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_CLIENT_ABORTED], 1);
    proxy_rig_close(&rig);
}
END_TEST

/* Nothing is left to be read: the client alone was waited for. */
START_TEST(a_response_that_came_whole_does_not_cost_the_socket)
{
    static char response[30000];
    int client, origin, little = 4096;
    size_t head = (size_t)sprintf(response, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");

    memset(response + head, 'x', 20000);
    proxy_rig_open(&rig, "drainLimit: 0", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    setsockopt(TAILQ_FIRST(&rig.proxy->clients)->conn.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    say(&rig, origin, response);
    ck_assert_int_eq(proxy_rig_exchange(&rig, NULL)->transfer->download.state, DOWNLOAD_LAST);
    close(client);
    proxy_rig_settle(&rig);
    ck_assert_ptr_null(proxy_rig_exchange(&rig, NULL));
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_CLIENT_ABORTED], 0);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 1);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(half_closed_clients_get_their_response)
{
    int client, origin;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    client = proxy_rig_client(&rig);
    ck_assert_int_gt(send(client, A_GET, strlen(A_GET), 0), 0);
    shutdown(client, SHUT_WR);
    origin = origin_end(&rig, 0);
    proxy_rig_run(&rig, 10);
    hears(origin, "GET /");
    /* One that waits for a limit is dropped. */
    int second = proxy_rig_client(&rig);
    ck_assert_int_gt(send(second, A_GET, strlen(A_GET), 0), 0);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->blocked_count, 1);
    shutdown(second, SHUT_WR);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->blocked_count, 0);
    ck_assert(has_ended(second));
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    close(second);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(broken_requests_are_answered_and_closed)
{
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 "},
        {"GET http://a.test/ HTTP/1.1\r\nHost : h\r\n\r\n", "HTTP/1.1 400 "},
        {"GET http://a.test/ HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400 "},
        {"GET http://a.test/ HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 "},
        {"POST http://a.test/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n", "HTTP/1.1 501 "},
    };

    proxy_rig_open(&rig, "", "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int client = proxy_rig_client(&rig);

        say(&rig, client, cases[i].request);
        hears(client, cases[i].answer);
        ck_assert(has_ended(client));
        close(client);
        proxy_rig_settle(&rig);
    }
    ck_assert_uint_eq(rig.origin_count, 0);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(broken_responses_are_502)
{
    static const char *const responses[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    };

    proxy_rig_open(&rig, "", "");
    for (unsigned i = 0; i < sizeof responses / sizeof responses[0]; i++) {
        int client = proxy_rig_client(&rig), origin = begin(client, A_GET, i);

        say(&rig, origin, responses[i]);
        hears(client, "HTTP/1.1 502 ");
        ck_assert_str_eq(rig.last_error, "http_protocol_error");
        close(client);
        proxy_rig_settle(&rig);
    }
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_PROTOCOL_ERROR], 4);
    proxy_rig_close(&rig);
}
END_TEST

static const char negotiate[] =
    "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nAuthorization: Negotiate abc\r\n\r\n";

START_TEST(authenticated_sockets_are_one_clients_own)
{
    int first, second, origin;

    proxy_rig_open(&rig, "", "");
    first = proxy_rig_client(&rig);
    origin = begin(first, negotiate, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    heard(first);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->active_count, 1);
    second = proxy_rig_client(&rig);
    begin(second, A_GET, 1);
    hears_nothing(origin);
    begin(first, A_GET, 0);
    hears(origin, "GET /");
    say(&rig, origin, AN_OK);
    close(first);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_PRIVATE], 1);
    close(second);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_exchange_tests(Suite *suite)
{
    unit_group(suite, "exchange", sockets_are_shared_between_clients, bodies_go_both_ways,
               pipelined_requests_are_answered_in_order, head_and_304_have_no_content,
               the_end_of_the_connection_ends_content, interim_responses_pass,
               early_responses_stop_the_upload, stale_sockets_are_not_the_apps_affair,
               bodies_are_sent_again_from_memory, posts_are_sent_once, tunnels_carry_anything,
               upgrades_become_tunnels, little_is_read_on_for_the_socket,
               a_response_that_came_whole_does_not_cost_the_socket, half_closed_clients_get_their_response,
               broken_requests_are_answered_and_closed, broken_responses_are_502,
               authenticated_sockets_are_one_clients_own);
}
