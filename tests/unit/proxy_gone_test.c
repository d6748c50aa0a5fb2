/* Clients whose reset comes with the last bytes of their request: one event says both, and no other will. */

#include "proxy_talk.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/exchange.h"

/* One whose first response it leaves unread, so that its end is a reset; it is registered with the loop. */
static int kept_client(int *origin)
{
    int client = proxy_rig_client(&rig);

    say(&rig, client, A_GET);
    *origin = origin_end(&rig, 0);
    heard(*origin);
    say(&rig, *origin, AN_OK);
    return client;
}

/* Its last words, and its end right behind them. */
static void leave(int client, const char *last)
{
    ck_assert_int_eq(send(client, last, strlen(last), MSG_NOSIGNAL), (ssize_t)strlen(last));
    close(client);
    proxy_rig_settle(&rig);
}

/* Within the time of a client that lasts. */
static void is_noticed(uint64_t retired)
{
    const struct origin *o = proxy_rig_origin(&rig, "a.test");

    for (unsigned i = 0; i < 200 && rig.proxy->stats.clients_open > 0; i++)
        proxy_rig_run(&rig, 5);
    ck_assert_uint_eq(rig.proxy->stats.clients_open, 0);
    ck_assert_ptr_null(proxy_rig_exchange(&rig, NULL));
    ck_assert_uint_eq(o->blocked_count, 0);
    ck_assert_uint_eq(o->stats.retired[RETIRE_CLIENT_ABORTED], retired);
}

START_TEST(behind_a_request_that_waits)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = kept_client(&origin);
    agent_pause(proxy_rig_agent(&rig));
    leave(client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    is_noticed(0);
    agent_resume(proxy_rig_agent(&rig));
    proxy_rig_settle(&rig);
    hears_nothing(origin);
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(behind_a_request_that_was_sent)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = kept_client(&origin);
    leave(client, A_GET);
    hears(origin, "GET / ");
    is_noticed(1);
    ck_assert(has_ended(origin));
    proxy_rig_close(&rig);
}
END_TEST

START_TEST(behind_the_last_of_a_body)
{
    int origin, client;

    proxy_rig_open(&rig, "", "");
    client = kept_client(&origin);
    say(&rig, client, "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nno");
    hears(origin, "no");
    leave(client, "te");
    hears(origin, "te");
    is_noticed(1);
    proxy_rig_close(&rig);
}
END_TEST

/* Its bytes wait in the kernel, since the origin takes none: the reset cannot. Its request was there when it
 * was accepted, so nobody has registered it. */
START_TEST(behind_a_body_that_the_origin_does_not_take)
{
    struct address peer;
    int origin, ends[2], little = 4096, another;
    char block[20000];

    proxy_rig_open(&rig, "timeouts: {socket: off, free: off}", "");
    another = kept_client(&origin);
    setsockopt(TAILQ_FIRST(&proxy_rig_origin(&rig, "a.test")->free)->wire.conn.fd, SOL_SOCKET, SO_SNDBUF,
               &little, sizeof little);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    ck_assert(address_from_ip(&peer, SLICE("127.0.0.1"), 40000));
    /* A byte that it leaves unread makes its end a reset. */
    ck_assert_int_eq(send(ends[0], "!", 1, 0), 1);
    ck_assert_int_gt(
        dprintf(ends[1], "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n"), 0);
    memset(block, 'x', sizeof block);
    ck_assert_int_gt(send(ends[1], block, sizeof block, 0), 10000);
    proxy_accept(rig.proxy, rig.frontend, ends[0], &peer);
    ck_assert_int_eq(proxy_rig_exchange(&rig, NULL)->transfer->upload.state, UPLOAD_BLOCKED);
    close(another);
    close(ends[1]);
    is_noticed(1);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_gone_tests(Suite *suite)
{
    unit_group(suite, "gone", behind_a_request_that_waits, behind_a_request_that_was_sent,
               behind_the_last_of_a_body, behind_a_body_that_the_origin_does_not_take);
}
