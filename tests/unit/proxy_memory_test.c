/* Clients and exchanges for which there is no memory. */

#include "proxy_talk.h"

#include <errno.h>
#include <unistd.h>

#include "proxy/client.h"

#define ROOM_FOR_CLIENTS 64

static bool memory_is_short;
static size_t size_refused; /* there is no memory for this alone; 0: there is for all */

static void *allocate(size_t n)
{
    return memory_is_short ? NULL : malloc(n);
}

static void *reallocate(void *p, size_t n)
{
    return memory_is_short ? NULL : realloc(p, n);
}

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_realloc(void *p, size_t n)
{
    return memory_is_short ? NULL : __real_realloc(p, n);
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

void *__wrap_malloc(size_t n)
{
    return n == size_refused ? NULL : __real_malloc(n);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    return memory_is_short ? NULL : __real_calloc(n, size);
}

/* Over TCP, where a reset can be told from an end; what it says is there when it is accepted. */
static int tcp_client(const char *request)
{
    struct address a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert(address_from_ip(&a, SLICE("127.0.0.1"), 0));
    ck_assert_int_eq(bind(listener, &a.sa.any, a.length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, &a.sa.any, &a.length), 0);
    ck_assert_int_eq(connect(end, &a.sa.any, a.length), 0);
    ck_assert_int_gt(send(end, request, strlen(request), MSG_NOSIGNAL), 0);
    proxy_accept(rig.proxy, rig.frontend, accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), &a);
    close(listener);
    return end;
}

/* A connection that is free. */
static int warm(void)
{
    int client = proxy_rig_client(&rig), origin = begin(client, A_GET, 0);

    heard(origin);
    say(&rig, origin, AN_OK);
    close(client);
    return origin;
}

/* A request under way whose client the loop does not have yet: it has no memory for it either. */
static struct client *begin_unwatched(int *client, int *origin)
{
    struct client *c;

    for (;;) {
        proxy_rig_open(&rig, "", "");
        *origin = warm();
        *client = tcp_client("GET http://a.test/ HTTP/1.0\r\n\r\n");
        c = TAILQ_LAST(&rig.proxy->clients, client_list);
        if (!c->conn.watched)
            break;
        close(*client); /* that took too long */
        proxy_rig_close(&rig);
    }
    c->lasting_since_ms = UINT64_MAX / 2; /* until this test says so */
    return c;
}

/* Its end is the end of the connection, since this client knows no chunks: without memory for a client that
 * lasts, what it has of it does not look whole. */
START_TEST(responses_that_are_cut_for_want_of_memory_are_not_whole)
{
    char text[1024];
    ssize_t n;
    int client, origin;

    event_set_mem_functions(allocate, reallocate, free);
    struct client *c = begin_unwatched(&client, &origin);
    say(&rig, origin, "HTTP/1.1 200 OK\r\n\r\nthe beginning");
    ck_assert_uint_eq(rig.records, 1);
    memory_is_short = true;
    client_lasts(c);
    memory_is_short = false;
    ck_assert_uint_eq(rig.records, 2);
    while ((n = recv(client, text, sizeof text, 0)) > 0)
        continue;
    ck_assert(n < 0 && errno == ECONNRESET);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* Who has no deadline may stay forever: no client is taken for which there is no room among the deadlines. */
START_TEST(clients_that_are_taken_without_memory_have_a_deadline)
{
    enum { MANY = 200 };
    int clients[MANY];

    proxy_rig_open(&rig, "", "server: {headersTimeout: 50ms}\n");
    clients[0] = proxy_rig_client(&rig);
    memory_is_short = true;
    for (int i = 1; i < MANY; i++)
        clients[i] = proxy_rig_client(&rig);
    memory_is_short = false;
    ck_assert(!TAILQ_EMPTY(&rig.proxy->clients));
    for (int turns = 0; turns < 100 && !TAILQ_EMPTY(&rig.proxy->clients); turns++)
        proxy_rig_run(&rig, 20);
    ck_assert(TAILQ_EMPTY(&rig.proxy->clients));
    for (int i = 0; i < MANY; i++)
        close(clients[i]);
    proxy_rig_close(&rig);
}
END_TEST

/* That is not for server.maxConnections, and says so. */
START_TEST(a_client_without_memory_is_told_so)
{
    proxy_rig_open(&rig, "", "server: {maxConnections: 100}\n");
    size_t room = rig.proxy->client_deadlines.room;
    int clients[ROOM_FOR_CLIENTS + 1], n = 0;

    while (room == 0 || rig.proxy->client_count + 2 <= room) {
        ck_assert_int_lt(n, ROOM_FOR_CLIENTS);
        clients[n++] = proxy_rig_client(&rig);
        room = rig.proxy->client_deadlines.room;
    }
    memory_is_short = true;
    clients[n] = proxy_rig_client(&rig);
    memory_is_short = false;
    hears(clients[n], "out of memory for another client");
    ck_assert_uint_eq(rig.proxy->stats.clients_closed[CLIENT_CUT], 1);
    ck_assert_uint_eq(rig.proxy->stats.clients_closed[CLIENT_MAX_CONNECTIONS], 0);
    ck_assert_uint_eq(rig.proxy->stats.clients_refused, 0);
    ck_assert_uint_eq(rig.proxy->shared->clients, (unsigned)n);
    for (int i = 0; i <= n; i++)
        close(clients[i]);
    proxy_rig_close(&rig);
}
END_TEST

/* As where it waits for a limit, and there is none when its turn comes: others have theirs, and it may ask
 * again. */
START_TEST(a_request_without_memory_for_a_connection_is_told_so)
{
    int clients[2], origin;

    proxy_rig_open(&rig, "", "");
    clients[0] = proxy_rig_client(&rig);
    origin = begin(clients[0], A_GET, 0);
    clients[1] = proxy_rig_client(&rig);
    memory_is_short = true;
    say(&rig, clients[1], A_GET);
    memory_is_short = false;
    hears(clients[1], "HTTP/1.1 503 ");
    say(&rig, origin, AN_OK);
    hears(clients[0], "200 OK");
    say(&rig, clients[1], A_GET);
    say(&rig, origin, AN_OK);
    hears(clients[1], "200 OK");
    for (int i = 0; i < 2; i++)
        close(clients[i]);
    proxy_rig_close(&rig);
}
END_TEST

/* A client asks when there is no memory to move its content. */
static void ask_in_vain(void)
{
    int client = proxy_rig_client(&rig);

    size_refused = sizeof(struct transfer);
    say(&rig, client, A_GET);
    size_refused = 0;
    ck_assert(has_ended(client));
    close(client);
}

START_TEST(a_request_without_memory_costs_no_connection)
{
    int client, origin;

    proxy_rig_open(&rig, "", "");
    origin = warm();
    transfer_free_spares(rig.proxy);
    ask_in_vain();
    client = proxy_rig_client(&rig);
    say(&rig, client, A_GET);
    hears(origin, "GET / ");
    say(&rig, origin, AN_OK);
    hears(client, "200 OK");
    ck_assert_uint_eq(rig.origin_count, 1);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

/* A frame of no more than 255 bytes (RFC 9113 4.1). */
static void say_frame(int origin, char type, char flags, char stream, struct slice payload)
{
    const char head[] = {0, 0, (char)payload.n, type, flags, 0, 0, 0, stream};

    ck_assert_int_eq(send(origin, head, sizeof head, MSG_NOSIGNAL), sizeof head);
    ck_assert_int_eq(send(origin, payload.p, payload.n, MSG_NOSIGNAL), (ssize_t)payload.n);
    proxy_rig_settle(&rig);
}

enum { HEADERS = 1, SETTINGS = 4, ACK = 1, END_STREAM_AND_HEADERS = 5 };
#define STATUS_204 SLICE("\x89") /* RFC 7541, appendix A */

/* Others have their requests on it, and more find room. */
START_TEST(a_request_without_memory_costs_no_connection_that_others_share)
{
    int clients[2], origin;

    proxy_rig_open(&rig, "h2Options: {useH2c: true}", "");
    clients[0] = proxy_rig_client(&rig);
    origin = begin(clients[0], A_GET, 0);
    hears(origin, "PRI * HTTP/2.0");
    say_frame(origin, SETTINGS, 0, 0, SLICE(""));
    say_frame(origin, SETTINGS, ACK, 0, SLICE(""));
    ask_in_vain();
    clients[1] = proxy_rig_client(&rig);
    say(&rig, clients[1], A_GET);
    ck_assert_uint_eq(rig.origin_count, 1);
    for (int i = 0; i < 2; i++) {
        say_frame(origin, HEADERS, END_STREAM_AND_HEADERS, (char)(1 + 2 * i), STATUS_204);
        hears(clients[i], "204 No Content");
        close(clients[i]);
    }
    proxy_rig_close(&rig);
}
END_TEST

void proxy_memory_tests(Suite *suite)
{
    unit_group(suite, "memory", responses_that_are_cut_for_want_of_memory_are_not_whole,
               clients_that_are_taken_without_memory_have_a_deadline, a_client_without_memory_is_told_so,
               a_request_without_memory_for_a_connection_is_told_so,
               a_request_without_memory_costs_no_connection,
               a_request_without_memory_costs_no_connection_that_others_share);
}
