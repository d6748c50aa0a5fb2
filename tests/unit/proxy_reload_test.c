/* What a reload changes for what is open, runs or waits already. */

#include "proxy_talk.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/close_reason.h"

#define FOR_OTHERS "access: {clients: [10.0.0.0/8]}\n"

START_TEST(a_right_that_was_taken_away_ends_at_the_next_request)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    proxy_rig_configure(&rig, "", FOR_OTHERS);
    say(&rig, client, A_GET);
    hears_nothing(origin);
    hears(client, "403");
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(what_ran_before_a_right_was_taken_away_is_finished)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET A_GET, 0);
    heard(origin);
    proxy_rig_configure(&rig, "", FOR_OTHERS);
    say(&rig, origin, AN_OK);
    hears_nothing(origin);
    const char *answers = heard(client);
    ck_assert_ptr_nonnull(strstr(answers, "200 OK"));
    ck_assert_ptr_nonnull(strstr(answers, "403"));
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(a_right_that_is_given_holds_for_who_is_connected)
{
    int client, origin;

    proxy_rig_open(&rig, "", FOR_OTHERS);
    client = proxy_rig_client(&rig);
    proxy_rig_configure(&rig, "", "");
    origin = begin(client, A_GET, 0);
    hears(origin, "GET /");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

#define LONG   "X: 34567890123456789012345678901234567890123456789012345678901234567890\r\n"
#define LONGER LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG LONG

/* What was read by a higher limit is beyond the lower one. */
START_TEST(heads_that_are_half_read_are_judged_by_the_new_limit)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    say(&rig, client, "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n" LONGER "X: and");
    proxy_rig_configure(&rig, "", "server: {maxHeaderSize: 1KiB}\n");
    say(&rig, client, "more\r\n\r\n");
    hears(client, "HTTP/1.1 431 ");
    close(client);
    proxy_rig_configure(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    say(&rig, origin, "HTTP/1.1 200 OK\r\n" LONGER "X: and");
    proxy_rig_configure(&rig, "", "server: {maxHeaderSize: 1KiB}\n");
    say(&rig, origin, "more\r\n\r\n");
    hears(client, "http_response_header_section_size");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Limits that a reload lowers are counted from when what they limit began: behind `reload()` everything is
 * overdue. */

static void reload(const char *options, const char *file)
{
    proxy_rig_run(&rig, 30);
    proxy_rig_configure(&rig, options, file);
    proxy_rig_settle(&rig);
}

START_TEST(requests_that_run_get_the_new_limit)
{
    int client;

    proxy_rig_open(&rig, "timeouts: {request: off}", "");
    client = proxy_rig_client(&rig);
    begin(client, A_GET, 0);
    reload("timeouts: {request: 20ms}", "");
    hears(client, "http_response_timeout");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(requests_that_wait_get_the_new_limit)
{
    int running, waiting;

    proxy_rig_open(&rig, "maxSockets: 1, timeouts: {pending: off}", "");
    running = proxy_rig_client(&rig);
    begin(running, A_GET, 0);
    waiting = proxy_rig_client(&rig);
    say(&rig, waiting, A_GET);
    reload("maxSockets: 1, timeouts: {pending: 20ms}", "");
    hears(waiting, "connection_limit_reached");
    hears_nothing(running);
    close(running);
    close(waiting);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(silent_sockets_get_the_new_limit)
{
    int client;

    proxy_rig_open(&rig, "timeouts: {socket: off}", "");
    client = proxy_rig_client(&rig);
    begin(client, A_GET, 0);
    reload("timeouts: {socket: 20ms}", "");
    hears(client, "connection_read_timeout");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(tunnels_get_the_new_limit)
{
    int client, origin;

    proxy_rig_open(&rig, "timeouts: {tunnel: off}", "");
    client = proxy_rig_client(&rig);
    origin = begin(client,
                   "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 0);
    say(&rig, origin, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    hears(client, "101 Switching");
    reload("timeouts: {tunnel: 20ms}", "");
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(heads_that_are_half_read_get_the_new_limit)
{
    int client;

    proxy_rig_open(&rig, "", "server: {headersTimeout: off}\n");
    client = proxy_rig_client(&rig);
    say(&rig, client, "GET http://a.test/ HTTP/1.1\r\nHo");
    reload("", "server: {headersTimeout: 20ms}\n");
    hears(client, "HTTP/1.1 408 ");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(clients_that_say_nothing_get_the_new_limit)
{
    int client;

    proxy_rig_open(&rig, "", "server: {headersTimeout: off}\n");
    client = proxy_rig_client(&rig);
    reload("", "server: {headersTimeout: 20ms}\n");
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(bodies_that_are_half_read_get_the_new_limit)
{
    int client;

    proxy_rig_open(&rig, "", "server: {requestTimeout: off}\n");
    client = proxy_rig_client(&rig);
    begin(client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf", 0);
    reload("", "server: {requestTimeout: 20ms}\n");
    hears(client, "HTTP/1.1 408 ");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(idle_clients_get_the_new_limit)
{
    int client, origin;

    proxy_rig_open(&rig, "", "server: {keepAliveTimeout: off}\n");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    proxy_rig_configure(&rig, "", "server: {keepAliveTimeout: 1h}\n");
    reload("", "server: {keepAliveTimeout: 20ms, keepAliveTimeoutBuffer: 0}\n");
    ck_assert(has_ended(client));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(clients_that_take_nothing_get_the_new_limit)
{
    char block[4096];
    int client, origin;

    proxy_rig_open(&rig, "", "server: {timeout: off}\n");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    memset(block, 'x', sizeof block);
    for (unsigned in_vain = 0; in_vain < 100; in_vain++) {
        while (send(origin, block, sizeof block, MSG_NOSIGNAL) > 0)
            in_vain = 0;
        proxy_rig_turn(&rig);
    }
    ck_assert_uint_eq(rig.proxy->stats.clients_open, 1);
    reload("", "server: {timeout: 20ms}\n");
    ck_assert_uint_eq(rig.proxy->stats.clients_closed[CLIENT_TIMEOUT], 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(requests_that_run_are_repeated_as_often_as_now_allowed)
{
    int client, origin;

    proxy_rig_open(&rig, "retries: 1", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, AN_OK);
    heard(client);
    say(&rig, client, A_GET);
    hears(origin, "GET /");
    proxy_rig_configure(&rig, "retries: 0", "");
    close(origin);
    rig.origins[0] = -1;
    proxy_rig_settle(&rig);
    hears(client, "connection_terminated");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retries, 0);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_reload_tests(Suite *suite)
{
    unit_group(
        suite, "reload", a_right_that_was_taken_away_ends_at_the_next_request,
        what_ran_before_a_right_was_taken_away_is_finished, a_right_that_is_given_holds_for_who_is_connected,
        heads_that_are_half_read_are_judged_by_the_new_limit, requests_that_run_get_the_new_limit,
        requests_that_wait_get_the_new_limit, silent_sockets_get_the_new_limit, tunnels_get_the_new_limit,
        heads_that_are_half_read_get_the_new_limit, clients_that_say_nothing_get_the_new_limit,
        bodies_that_are_half_read_get_the_new_limit, idle_clients_get_the_new_limit,
        clients_that_take_nothing_get_the_new_limit, requests_that_run_are_repeated_as_often_as_now_allowed);
}
