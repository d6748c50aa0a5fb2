/* Uploads of which the loop is told in large pieces. */

#include "proxy_talk.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE       (64 * 1024)
#define PIPES       1024
#define UPLOAD_HEAD "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"

static int client, origin;
static size_t said, taken;

/* A piece of the content is passed on, and found to be all. */
static void pass_a_piece(void)
{
    static char waste[PIECE];
    ssize_t n = send(client, waste, PIECE, MSG_NOSIGNAL);
    ck_assert_int_gt(n, 0);
    for (said += (size_t)n; taken < said;) {
        proxy_rig_turn(&rig);
        while ((n = recv(origin, waste, sizeof waste, MSG_DONTWAIT)) > 0)
            taken += (size_t)n;
    }
    proxy_rig_turn(&rig);
}

/* The mark that a fast client has raised. */
static const struct low_water *begin_raised(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    proxy_rig_open(&rig, "", "");
    client = proxy_rig_client(&rig);
    origin = begin(client, UPLOAD_HEAD, 0);
    heard(origin);
    said = taken = 0;
    const struct low_water *w = &only_exchange()->transfer->upload.low_water;
    for (unsigned i = 0; i < 8 && w->mark == 0; i++)
        pass_a_piece();
    ck_assert_int_gt(w->mark, 0);
    return w;
}

/* Slow transfers hold all pipes: what is read instead is told as it comes. */
START_TEST(without_a_pipe_it_is_low_again)
{
    struct pipe *pipes[PIPES];
    unsigned count = 0;
    const struct low_water *w = begin_raised();

    while (count < PIPES && (pipes[count] = pipe_take(&rig.proxy->pipes)))
        count++;
    ck_assert_uint_lt(count, PIPES);
    pass_a_piece();
    ck_assert_int_eq(only_exchange()->transfer->upload.state, UPLOAD_STARVED);
    ck_assert_int_eq(w->mark, 0);
    while (count > 0)
        pipe_give(pipes[--count]);
    close(client);
    proxy_rig_close(&rig);
}
END_TEST

void proxy_low_water_tests(Suite *suite)
{
    unit_group(suite, "low water", without_a_pipe_it_is_low_again);
}
