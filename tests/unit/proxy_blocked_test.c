/* Responses whose end comes while the client takes nothing: what it is told of that end later is what it
 * would have been told at once. */

#include "proxy_talk.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/client.h"

static int client, origin;
static size_t stuffed;

/* A request is under way, and its client has so much to read that nothing more can be written to it. */
static void begin_blocked(const char *request)
{
    static char block[4096];
    ssize_t n;

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    say(&rig, client, request);
    origin = origin_end(&rig, 0);
    heard(origin);
    memset(block, '#', sizeof block);
    stuffed = 0;
    for (size_t size = sizeof block; size > 0; size /= 2)
        while ((n = send(TAILQ_FIRST(&rig.proxy->clients)->conn.fd, block, size, MSG_NOSIGNAL)) > 0)
            stuffed += (size_t)n;
    ck_assert_int_eq(errno, EAGAIN);
}

/* All that comes to it, less what it was blocked with. */
static const char *takes_all(void)
{
    static char text[1 << 20];
    size_t n = 0;
    ssize_t got;

    for (unsigned i = 0; i < 100; i++) {
        while ((got = recv(client, text + n, sizeof text - 1 - n, 0)) > 0)
            n += (size_t)got;
        proxy_rig_turn(&rig);
    }
    ck_assert_uint_ge(n, stuffed);
    text[n] = '\0';
    return text + stuffed;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Whole, once, and the next answer begins where it ends. */
static void is_whole(const char *response, const char *end)
{
    begin_blocked(A_GET);
    say(&rig, origin, response);
    ck_assert_uint_eq(rig.records, 0);
    const char *taken = takes_all();
    ck_assert_msg(ends_with(taken, end), "'%s' does not end with '%s'", taken, end);
    ck_assert_uint_eq(rig.records, 1);
    say(&rig, client, A_GET);
    hears(origin, "GET / ");
    say(&rig, origin, AN_OK);
    taken = heard(client);
    ck_assert_msg(strncmp(taken, "HTTP/1.1 200 OK\r\n", 17) == 0, "'%s'", taken);
    close(client);
    proxy_rig_close(&rig);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

START_TEST(chunked_content_ends_once)
{
    is_whole(CHUNKED "5\r\nhello\r\n0\r\n\r\n", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
}
END_TEST

START_TEST(empty_chunked_content_ends_once)
{
    is_whole(CHUNKED "0\r\n\r\n", "\r\n\r\n0\r\n\r\n");
}
END_TEST

START_TEST(trailers_come_once)
{
    is_whole(CHUNKED "5\r\nhello\r\n0\r\nDigest: x\r\n\r\n", "\r\n\r\n5\r\nhello\r\n0\r\nDigest: x\r\n\r\n");
}
END_TEST

START_TEST(content_of_known_length_comes_once)
{
    is_whole(AN_OK, "\r\n\r\nok");
}
END_TEST

START_TEST(no_content_ends_at_once)
{
    is_whole("HTTP/1.1 204 No Content\r\n\r\n", "\r\n\r\n");
}
END_TEST

START_TEST(the_final_response_comes_behind_an_interim_one)
{
    is_whole("HTTP/1.1 103 Early Hints\r\n\r\n" AN_OK, "\r\n\r\nok");
}
END_TEST

/* Cut: nothing that could be taken for a whole message, and no success in the log. */
static void is_cut(const char *response, bool by_reset, const char *must_not_end_with)
{
    begin_blocked("POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
    say(&rig, client, "!");
    if (!by_reset) /* which comes of bytes that it leaves unread */
        heard(origin);
    ck_assert_int_gt(send(origin, response, strlen(response), MSG_NOSIGNAL), 0);
    close(origin);
    rig.origins[0] = -1;
    proxy_rig_settle(&rig);
    const char *taken = takes_all();
    ck_assert_msg(!ends_with(taken, must_not_end_with), "'%s' looks whole", taken);
    ck_assert_uint_eq(rig.records, 1);
    ck_assert_str_ne(rig.last_error, "");
    ck_assert_uint_eq(proxy_rig_origin(&rig, "a.test")->free_count, 0);
    close(client);
    proxy_rig_close(&rig);
}

/* Without a length its end would be the end of the connection: a reset is none. */
START_TEST(a_reset_behind_a_head_is_no_end)
{
    is_cut("HTTP/1.1 200 OK\r\n\r\n", true, "0\r\n\r\n");
}
END_TEST

START_TEST(a_reset_behind_content_is_no_end)
{
    is_cut("HTTP/1.1 200 OK\r\n\r\nhello", true, "0\r\n\r\n");
}
END_TEST

START_TEST(a_broken_chunk_behind_content_is_no_end)
{
    is_cut(CHUNKED "5\r\nhello\r\nx\r\n", false, "0\r\n\r\n");
}
END_TEST

START_TEST(an_end_within_chunks_is_no_end)
{
    is_cut(CHUNKED "5\r\nhello\r\n5\r\nhe", false, "0\r\n\r\n");
}
END_TEST

void proxy_blocked_tests(Suite *suite)
{
    unit_group(suite, "blocked", chunked_content_ends_once, empty_chunked_content_ends_once,
               trailers_come_once, content_of_known_length_comes_once, no_content_ends_at_once,
               the_final_response_comes_behind_an_interim_one, a_reset_behind_a_head_is_no_end,
               a_reset_behind_content_is_no_end, a_broken_chunk_behind_content_is_no_end,
               an_end_within_chunks_is_no_end);
}
