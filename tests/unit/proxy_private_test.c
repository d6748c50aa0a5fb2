/* Sockets that NTLM or Negotiate bound to one client. */

#include "proxy_talk.h"

#include <sys/socket.h>
#include <unistd.h>

#include "proxy/client.h"

static const char negotiate[] =
    "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nAuthorization: Negotiate abc\r\n\r\n";

/* A client with a socket of its own. */
static int private_client(int *origin)
{
    int client = proxy_rig_client(&rig);

    *origin = begin(client, negotiate, 0);
    heard(*origin);
    say(&rig, client, "");
    say(&rig, *origin, AN_OK);
    hears(client, "200 OK");
    return client;
}

/* The next request on it, without credentials, as NTLM has it: the client leaves in the middle of the
 * response. What is left is little, but the socket must not be shared for its sake. */
START_TEST(private_sockets_are_not_drained_into_the_pool)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = private_client(&origin);
    begin(client, A_GET, 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    close(client);
    proxy_rig_run(&rig, 10);
    ck_assert_int_ge(send(origin, "56789", 5, MSG_NOSIGNAL), -1);
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 0);
    ck_assert(origin_is_empty(proxy_rig_origin(&rig, "a.test")));
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(private_sockets_may_become_tunnels)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = private_client(&origin);
    begin(client, "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    hears(client, "101 Switching");
    shutdown(origin, SHUT_WR);
    proxy_rig_settle(&rig);
    shutdown(client, SHUT_WR);
    proxy_rig_settle(&rig);
    ck_assert(origin_is_empty(proxy_rig_origin(&rig, "a.test")));
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.retired[RETIRE_UPGRADED], 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* A POST on a private socket that the origin has just closed finds another one: nothing of it was sent. */
START_TEST(private_sockets_are_looked_at_as_well)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = private_client(&origin);
    close(origin);
    rig.origins[0] = -1;
    origin = begin(client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", 1);
    hears(origin, "POST /");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* A pause is for them as well, and they go on where they were. */
START_TEST(a_pause_holds_who_has_a_private_socket)
{
    int origin, client;
    struct origin *o;

    proxy_rig_open(&rig, "", "");
    client = private_client(&origin);
    o = proxy_rig_origin(&rig, "a.test");
    heard(origin);
    agent_pause(proxy_rig_agent(&rig));
    say(&rig, client, A_GET);
    hears_nothing(origin);
    ck_assert_uint_eq(o->blocked_count, 1);
    ck_assert_uint_eq(o->stats.requests, 2);
    agent_resume(proxy_rig_agent(&rig));
    agent_pause(proxy_rig_agent(&rig)); /* before it was told */
    proxy_rig_settle(&rig);
    hears_nothing(origin);
    agent_resume(proxy_rig_agent(&rig));
    proxy_rig_settle(&rig);
    hears(origin, "GET / ");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    ck_assert_uint_eq(o->stats.requests, 2);
    ck_assert_uint_eq(o->stats.opened, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(a_private_socket_may_end_in_a_pause)
{
    int origin, client;

    proxy_rig_open(&rig, "maxSockets: 1", "");
    client = private_client(&origin);
    heard(origin);
    agent_pause(proxy_rig_agent(&rig));
    say(&rig, client, A_GET);
    close(origin);
    rig.origins[0] = -1;
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->active_count, 0);
    agent_resume(proxy_rig_agent(&rig));
    origin = origin_end(&rig, 1);
    proxy_rig_settle(&rig);
    hears(origin, "GET / ");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(a_client_with_a_private_socket_may_leave_in_a_pause)
{
    int origin, client;

    proxy_rig_open(&rig, "maxPendingRequests: 1", "");
    client = private_client(&origin);
    heard(origin);
    agent_pause(proxy_rig_agent(&rig));
    say(&rig, client, A_GET);
    close(client);
    proxy_rig_settle(&rig);
    ck_assert(origin_is_empty(proxy_rig_origin(&rig, "a.test")));
    agent_resume(proxy_rig_agent(&rig));
    proxy_rig_settle(&rig);
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->stats.opened, 1);
    proxy_rig_close(&rig);
}
END_TEST

static uint64_t retired(enum retire_reason reason)
{
    return proxy_rig_origin(&rig, "a.test")->stats.retired[reason];
}

/* Its client is there and asks elsewhere, or nothing: the place must not be lost for as long as that
 * lasts. */
START_TEST(private_sockets_are_as_free_as_others_between_requests)
{
    int origin, client;

    proxy_rig_open(&rig, "timeouts: {free: 1s}", "");
    client = private_client(&origin);
    heard(origin);
    say(&rig, client, "GET http://b.test/ HTTP/1.1\r\nHost: h\r\n\r\n");
    hears(origin_end(&rig, 1), "GET / ");
    say(&rig, rig.origins[1], AN_OK);
    hears(client, "200 OK");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->active_count, 1);
    for (unsigned i = 0; i < 100 && !retired(RETIRE_FREE_TIMEOUT); i++)
        proxy_rig_run(&rig, 50);
    ck_assert_uint_eq(retired(RETIRE_FREE_TIMEOUT), 1);
    ck_assert(has_ended(origin));
    /* It asks on, and gets another one. */
    begin(client, A_GET, 2);
    hears(origin_end(&rig, 2), "GET / ");
    say(&rig, rig.origins[2], AN_OK);
    hears(client, "200 OK");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* A hint of its origin holds for it as well. */
START_TEST(private_sockets_heed_the_hint)
{
    int origin, client;

    proxy_rig_open(&rig, "timeouts: {free: off}, agentKeepAliveTimeoutBuffer: 0s", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, negotiate, 0);
    heard(origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok");
    hears(client, "200 OK");
    for (unsigned i = 0; i < 100 && !retired(RETIRE_KEEPALIVE_HINT); i++)
        proxy_rig_run(&rig, 50);
    ck_assert_uint_eq(retired(RETIRE_KEEPALIVE_HINT), 1);
    ck_assert(has_ended(origin));
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Behind a CONNECT no request of that client can follow. */
START_TEST(a_tunnel_ends_its_clients_private_socket)
{
    int origin, client, tunnel;

    proxy_rig_open(&rig, "", "access: {connectPorts: [443]}\n");
    client = private_client(&origin);
    heard(origin);
    tunnel = begin(client, "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n", 1);
    hears(client, "200 Connection established");
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(retired(RETIRE_PRIVATE), 1);
    say(&rig, client, "hello");
    hears(tunnel, "hello");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Under maxTotalSockets another origin's request is worth more than a connection that carries nothing; but
 * not before its client had a moment to go on: NTLM takes three requests in a row. */
START_TEST(private_sockets_make_room)
{
    int origin, client, other;

    proxy_rig_open(&rig, "maxTotalSockets: 1", "");
    client = private_client(&origin);
    heard(origin);
    other = proxy_rig_client(&rig);
    say(&rig, other, "GET http://b.test/ HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "b.test")->blocked_count, 1);
    ck_assert_uint_eq(retired(RETIRE_EVICTED), 0);
    begin(client, A_GET, 0);
    hears(origin, "GET / ");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    for (unsigned i = 0; i < 100 && !retired(RETIRE_EVICTED); i++)
        proxy_rig_run(&rig, 20);
    ck_assert_uint_eq(retired(RETIRE_EVICTED), 1);
    hears(origin_end(&rig, 1), "GET / ");
    say(&rig, rig.origins[1], AN_OK);
    hears(other, "200 OK");
    close(client);
    close(other);
    proxy_rig_close(&rig);
}
END_TEST

/* An idle one ends at once, whether by a drain or by a reload that gives another identity or takes the
 * upstream away. */
START_TEST(private_sockets_end_with_their_generation)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = private_client(&origin);
    heard(origin);
    agent_drain(proxy_rig_agent(&rig));
    proxy_rig_settle(&rig);
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(retired(RETIRE_DRAINED), 1);
    begin(client, negotiate, 1);
    origin = origin_end(&rig, 1);
    heard(origin);
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    proxy_rig_configure(&rig, "family: 4", "");
    proxy_rig_settle(&rig);
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(retired(RETIRE_DRAINED), 2);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* One that carries a request is not disturbed, and ends behind it. */
START_TEST(a_drain_waits_for_private_sockets_at_work)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = private_client(&origin);
    heard(origin);
    begin(client, A_GET, 0);
    hears(origin, "GET / ");
    agent_drain(proxy_rig_agent(&rig));
    proxy_rig_settle(&rig);
    ck_assert(!has_ended(origin));
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(retired(RETIRE_DRAINED), 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Not even its own client's next request goes over a socket from before a drain. */
START_TEST(a_drain_ends_private_sockets)
{
    int origin, client;
    struct origin *o;

    proxy_rig_open(&rig, "", "");
    client = private_client(&origin);
    o = proxy_rig_origin(&rig, "a.test");
    heard(origin);
    agent_drain(proxy_rig_agent(&rig));
    begin(client, A_GET, 1);
    hears_nothing(origin);
    ck_assert(has_ended(origin));
    ck_assert_uint_eq(o->stats.retired[RETIRE_DRAINED], 1);
    hears(origin_end(&rig, 1), "GET / ");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_private_tests(Suite *suite)
{
    unit_group(suite, "private", private_sockets_are_not_drained_into_the_pool,
               private_sockets_may_become_tunnels, private_sockets_are_looked_at_as_well,
               a_pause_holds_who_has_a_private_socket, a_private_socket_may_end_in_a_pause,
               a_client_with_a_private_socket_may_leave_in_a_pause, a_drain_ends_private_sockets,
               private_sockets_are_as_free_as_others_between_requests, private_sockets_heed_the_hint,
               a_tunnel_ends_its_clients_private_socket, private_sockets_make_room,
               private_sockets_end_with_their_generation, a_drain_waits_for_private_sockets_at_work);
}
