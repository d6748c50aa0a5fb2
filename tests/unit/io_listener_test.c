/* lib/io/listener */

#include "io_test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/listener.h"

struct taken {
    struct listener *listener;
    int count, fds[512], wanted, pause_at, free_at;
    bool done;
    struct address peer;
};

static void take(void *ctx, int fd, const struct address *peer)
{
    struct taken *t = ctx;

    t->fds[t->count++] = fd;
    t->peer = *peer;
    t->done = t->count >= t->wanted;
    if (t->count == t->pause_at)
        listener_pause(t->listener);
    if (t->count == t->free_at) {
        listener_free(t->listener, true);
        t->listener = NULL;
    }
}

static void give_back(struct taken *t)
{
    for (int i = 0; i < t->count; i++)
        close(t->fds[i]);
    t->count = 0;
    t->done = false;
}

static struct listener *open_tcp(struct event_base *base, struct taken *t)
{
    char error[256] = "";
    struct address a;
    int fd;

    ck_assert(address_parse(&a, SLICE("127.0.0.1:0")));
    fd = listener_bind(&a, 0, error, sizeof error);
    ck_assert_msg(fd >= 0, "%s", error);
    t->listener = listener_new(base, fd, take, t);
    ck_assert_int_eq(listener_fd(t->listener), fd);
    ck_assert_uint_ne(address_port(listener_address(t->listener)), 0);
    return t->listener;
}

static int dial(const struct address *a)
{
    int fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, &a->sa.any, a->length) == 0)
        return fd;
    close(fd);
    return -1;
}

START_TEST(listener_takes_many)
{
    struct event_base *base = io_loop();
    struct taken t = {.wanted = 200};
    struct listener *l = open_tcp(base, &t);
    int fds[200], on = 0;
    socklen_t size = sizeof on;

    for (int i = 0; i < 200; i++)
        ck_assert_int_ge(fds[i] = dial(listener_address(l)), 0);
    io_run_until(base, &t.done, 1000);
    ck_assert_int_eq(t.count, 200);
    ck_assert_int_ne(fcntl(t.fds[0], F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(t.fds[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(getsockopt(t.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    ck_assert_int_eq(on, 1);
    ck_assert(address_is_loopback(&t.peer));
    give_back(&t);
    for (int i = 0; i < 200; i++)
        close(fds[i]);
    listener_free(l, true);
    event_base_free(base);
}
END_TEST

START_TEST(listener_pauses)
{
    struct event_base *base = io_loop();
    struct taken t = {.wanted = 3, .pause_at = 1};
    struct listener *l = open_tcp(base, &t);
    int fds[3];

    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(fds[i] = dial(listener_address(l)), 0);
    io_run_for(base, 20);
    ck_assert_int_eq(t.count, 1);
    listener_resume(l);
    io_run_until(base, &t.done, 1000);
    give_back(&t);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    listener_free(l, true);
    event_base_free(base);
}
END_TEST

START_TEST(listener_may_go_while_it_takes)
{
    struct event_base *base = io_loop();
    struct taken t = {.wanted = 2, .free_at = 2};
    struct address a = *listener_address(open_tcp(base, &t));
    int fds[3];

    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(fds[i] = dial(&a), 0);
    io_run_until(base, &t.done, 1000);
    ck_assert_ptr_null(t.listener);
    ck_assert_int_eq(dial(&a), -1);
    give_back(&t);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    event_base_free(base);
}
END_TEST

START_TEST(listener_says_who_has_the_port)
{
    struct address a;
    char error[256] = "";
    int other = io_listen(&a, 1);

    ck_assert_int_eq(listener_bind(&a, 0, error, sizeof error), -1);
    ck_assert_ptr_nonnull(strstr(error, "cannot listen on 127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(error, "another process"));
    close(other);
    ck_assert(address_parse(&a, SLICE("192.0.2.1:80")));
    ck_assert_int_eq(listener_bind(&a, 0, error, sizeof error), -1);
    ck_assert_ptr_nonnull(strstr(error, "no address of this host"));
}
END_TEST

static struct address unix_address(const char *name)
{
    char text[160];
    struct address a;

    snprintf(text, sizeof text, "unix:%s", io_path(name));
    ck_assert(address_parse(&a, slice_of(text)));
    return a;
}

START_TEST(listener_on_a_path)
{
    struct event_base *base = io_loop();
    struct taken t = {.wanted = 1};
    struct address a = unix_address("l.sock");
    const char *path = a.sa.unix_.sun_path;
    char error[256] = "", text[ADDRESS_TEXT_SIZE];
    struct stat st;
    int fd = listener_bind(&a, 0640, error, sizeof error), client;

    ck_assert_msg(fd >= 0, "%s", error);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    /* A live one is left alone. */
    ck_assert_int_eq(listener_bind(&a, 0640, error, sizeof error), -1);
    ck_assert_ptr_nonnull(strstr(error, "in use by a running process"));
    t.listener = listener_new(base, fd, take, &t);
    ck_assert_int_ge(client = dial(&a), 0);
    io_run_until(base, &t.done, 1000);
    ck_assert_str_eq(address_format(&t.peer, text), "unix");
    give_back(&t);
    close(client);
    /* A dead one is replaced. */
    listener_free(t.listener, false);
    ck_assert_int_eq(stat(path, &st), 0);
    fd = listener_bind(&a, 0600, error, sizeof error);
    ck_assert_msg(fd >= 0, "%s", error);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    listener_free(listener_new(base, fd, take, &t), true);
    ck_assert_int_eq(stat(path, &st), -1);
    event_base_free(base);
}
END_TEST

START_TEST(listener_spares_what_is_not_its_own)
{
    struct event_base *base = io_loop();
    struct address a = unix_address("other.sock");
    const char *path = a.sa.unix_.sun_path;
    char error[256] = "";
    FILE *f = fopen(path, "w");
    struct listener *l;
    int fd;

    fclose(f);
    ck_assert_int_eq(listener_bind(&a, 0666, error, sizeof error), -1);
    ck_assert_ptr_nonnull(strstr(error, "no socket"));
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(unlink(path), 0);
    fd = listener_bind(&a, 0666, error, sizeof error);
    ck_assert_int_ge(fd, 0);
    l = listener_new(base, fd, take, NULL);
    /* Somebody put another file there: it is not removed. */
    ck_assert_int_eq(rename(path, io_path("moved.sock")), 0);
    f = fopen(path, "w");
    fclose(f);
    listener_free(l, true);
    ck_assert_int_eq(access(path, F_OK), 0);
    event_base_free(base);
}
END_TEST

static unsigned open_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Several loops listen on one address. */
START_TEST(listeners_share_an_address)
{
    char error[256] = "", path[] = "/tmp/listener-share-XXXXXX", text[128];
    struct address a, bound = {.length = sizeof bound.sa};
    int fds[3], again[3], one;
    unsigned before = open_descriptors();

    ck_assert(address_parse(&a, SLICE("127.0.0.1:0")));
    ck_assert_msg(listener_bind_all(&a, 0, fds, 3, error, sizeof error), "%s", error);
    ck_assert_int_eq(getsockname(fds[0], &bound.sa.any, &bound.length), 0);
    for (int i = 1; i < 3; i++) {
        struct address other = {.length = sizeof other.sa};

        ck_assert_int_eq(getsockname(fds[i], &other.sa.any, &other.length), 0);
        ck_assert(address_equal(&bound, &other));
    }
    /* Shared among themselves, with nobody else. */
    ck_assert(!listener_bind_all(&bound, 0, again, 3, error, sizeof error));
    ck_assert_msg(strstr(error, "another process listens there") != NULL, "%s", error);
    for (int i = 0; i < 3; i++)
        close(fds[i]);

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(text, sizeof text, "unix:%s/socket", path);
    ck_assert(address_parse(&a, slice_of(text)));
    ck_assert_msg(listener_bind_all(&a, 0600, fds, 3, error, sizeof error), "%s", error);
    ck_assert_int_ge(one = dial(&a), 0);
    close(one);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    unlink(a.sa.unix_.sun_path);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(listener_says_what_is_missing)
{
    char error[256] = "";
    struct address a;

    ck_assert(address_parse(&a, SLICE("unix:/nowhere/at/all.sock")));
    ck_assert_int_lt(listener_bind(&a, 0600, error, sizeof error), 0);
    ck_assert_msg(strstr(error, "does its directory exist?") != NULL, "%s", error);
}
END_TEST

/* All or none: what was opened before the descriptors ended is closed again, and the path is free. */
START_TEST(listeners_that_cannot_all_be_opened_leave_nothing)
{
    char error[256] = "", path[] = "/tmp/listener-short-XXXXXX", text[128];
    struct address a, tcp;
    struct rlimit before, low;
    static int fds[64];
    unsigned open_before = open_descriptors();

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(text, sizeof text, "unix:%s/socket", path);
    ck_assert(address_parse(&a, slice_of(text)));
    ck_assert(address_parse(&tcp, SLICE("127.0.0.1:0")));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = 32, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ck_assert(!listener_bind_all(&a, 0600, fds, 64, error, sizeof error));
    ck_assert_msg(strstr(error, "Too many open files") != NULL, "%s", error);
    ck_assert(!listener_bind_all(&tcp, 0, fds, 64, error, sizeof error));
    ck_assert_msg(strstr(error, "Too many open files") != NULL, "%s", error);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(open_descriptors(), open_before);
    ck_assert_int_eq(rmdir(path), 0); /* nothing is in it */
}
END_TEST

/* Room for one descriptor more; what the limit was. */
static struct rlimit leave_room_for_one(void)
{
    struct rlimit limit, low;
    int spare = open("/dev/null", O_RDONLY);

    close(spare);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    low.rlim_cur = (rlim_t)spare + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    return limit;
}

START_TEST(listener_runs_short_of_descriptors)
{
    struct event_base *base = io_loop();
    struct taken t = {.wanted = 2};
    struct listener *l = open_tcp(base, &t);
    struct rlimit limit;
    int fds[3];
    char got[64];
    clock_t cpu;

    listener_set_refusal(l, SLICE("sorry\n"));
    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(fds[i] = dial(listener_address(l)), 0);
    ck_assert_int_eq(write(fds[1], "hello", 5), 5);
    limit = leave_room_for_one();
    cpu = clock();
    io_run_for(base, 250);
    ck_assert_int_lt((int)((clock() - cpu) * 1000 / CLOCKS_PER_SEC), 100);
    ck_assert_int_eq(t.count, 1);
    for (int i = 1; i < 3; i++) {
        ck_assert_int_eq(recv(fds[i], got, sizeof got, 0), 6);
        ck_assert_int_eq(memcmp(got, "sorry\n", 6), 0);
        ck_assert_int_eq(recv(fds[i], got, sizeof got, 0), 0);
        close(fds[i]);
    }
    /* With room again it goes on. */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_ge(fds[1] = dial(listener_address(l)), 0);
    io_run_until(base, &t.done, 1000);
    give_back(&t);
    close(fds[0]);
    close(fds[1]);
    listener_free(l, true);
    event_base_free(base);
}
END_TEST

/* Somebody who sends and sends: in front of the library's, for all of this program. */
static bool endless;
static unsigned endless_reads;

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    endless_reads += endless;
    return endless ? (ssize_t)n : recvfrom(fd, buf, n, flags, NULL, NULL);
}

START_TEST(listener_is_not_held_by_whom_it_turns_away)
{
    struct event_base *base = io_loop();
    struct taken t = {.wanted = 1};
    struct listener *l = open_tcp(base, &t);
    struct rlimit limit;
    int fds[3];

    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(fds[i] = dial(listener_address(l)), 0);
    limit = leave_room_for_one();
    endless = true;
    io_run_for(base, 20);
    endless = false;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(t.count, 1);
    ck_assert_uint_gt(endless_reads, 0);
    ck_assert_uint_le(endless_reads, 2 * 16);
    give_back(&t);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    listener_free(l, true);
    event_base_free(base);
}
END_TEST

void io_listener_tests(Suite *suite)
{
    unit_group(suite, "listener", listener_takes_many, listener_pauses, listener_may_go_while_it_takes,
               listener_says_who_has_the_port, listener_on_a_path, listener_spares_what_is_not_its_own,
               listeners_share_an_address, listener_says_what_is_missing,
               listeners_that_cannot_all_be_opened_leave_nothing, listener_runs_short_of_descriptors,
               listener_is_not_held_by_whom_it_turns_away);
}
