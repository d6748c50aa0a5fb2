/* What comes beside the bytes: descriptors over a Unix socket, urgent data over TCP. Neither is of any use here,
 * and the kernel ends a read at both, though bytes follow. */

#include "proxy_talk.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void put(int fd, const char *text, int flags)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL | flags), (ssize_t)strlen(text));
}

static void put_with(int fd, const char *text, int passed)
{
    char control[CMSG_SPACE(sizeof passed)] = {0};
    struct iovec v = {(char *)text, strlen(text)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(c), &passed, sizeof passed);
    ck_assert_int_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t)v.iov_len);
}

/* A pipe whose only other end was passed says when that is closed. */
START_TEST(descriptors_that_a_client_passes_are_not_kept)
{
    int client, ends[2];
    char byte;

    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    ck_assert_int_eq(pipe(ends), 0);
    put(client, "POST http://a.test/ HTTP/1.1\r\n", 0);
    put_with(client, "Host: a.test\r\nContent-", ends[1]);
    put(client, "Length: 4\r\n\r\n", 0);
    put_with(client, "on", ends[1]);
    put(client, "ce", 0);
    close(ends[1]);
    int origin = origin_end(&rig, 0);
    proxy_rig_settle(&rig);
    hears(origin, "\r\n\r\nonce");
    ck_assert_int_eq(read(ends[0], &byte, 1), 0);
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    close(ends[0]);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Over TCP; what `begins` sends is there when it is accepted. */
static int tcp_client(void (*begins)(int client))
{
    struct address a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert(address_from_ip(&a, SLICE("127.0.0.1"), 0));
    ck_assert_int_eq(bind(listener, &a.sa.any, a.length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, &a.sa.any, &a.length), 0);
    ck_assert_int_eq(connect(client, &a.sa.any, a.length), 0);
    begins(client);
    proxy_accept(rig.proxy, rig.frontend, accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), &a);
    close(listener);
    proxy_rig_settle(&rig);
    return client;
}

static void ask_urgently(int client)
{
    put(client, "GET http://a.test/ HT", 0);
    put(client, "!", MSG_OOB);
    put(client, "TP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 0);
}

/* The urgent byte is none of the stream's, and all others are passed on without another event. */
START_TEST(urgent_data_holds_nothing_up)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    client = tcp_client(ask_urgently);
    origin = origin_end(&rig, 0);
    proxy_rig_settle(&rig);
    hears(origin, "GET / HTTP/1.1\r\n");
    say(&rig, origin, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    put(client, "before ", 0);
    put(client, "!", MSG_OOB);
    put(client, "behind", 0);
    proxy_rig_settle(&rig);
    hears(origin, "before behind");
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_beside_tests(Suite *suite)
{
    unit_group(suite, "beside", descriptors_that_a_client_passes_are_not_kept, urgent_data_holds_nothing_up);
}
