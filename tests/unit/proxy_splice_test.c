/* Content that passes by in the kernel: what becomes of the pipe when a transfer does not end as it
 * should. */

#include "proxy_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/conn.h"
#include "proxy/splice.h"

#define SIZE (120 * 1024)

ssize_t __real_splice(int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags);
ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags);

/* What the kernel says to every call, or 0; how many were made. */
static int refusal;
static unsigned calls;

ssize_t __wrap_splice(int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags)
{
    calls++;
    if (!refusal)
        return __real_splice(from, from_at, to, to_at, n, flags);
    errno = refusal;
    return -1;
}

struct passage {
    struct pipe_pool pipes;
    struct conn source, sink;
    int writer, reader;
    struct splice splice;
    char *got;
    size_t count;
};

static void make_pair(struct conn *s, int *far, int room)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int));
    conn_open(s, ends[0]);
    *far = ends[1];
}

static char byte_at(size_t i)
{
    return (char)(i * 7 % 251);
}

/* A transfer of SIZE bytes of which `there` have come, to a sink that takes about `room`. */
static void begin(struct passage *p, size_t there, int room)
{
    char *bytes = malloc(there);

    signal(SIGPIPE, SIG_IGN);
    refusal = 0;
    calls = 0;
    make_pair(&p->source, &p->writer, 4096);
    make_pair(&p->sink, &p->reader, room);
    p->got = malloc(SIZE);
    p->count = 0;
    p->splice = (struct splice){0};
    for (size_t i = 0; i < there; i++)
        bytes[i] = byte_at(i);
    ck_assert_int_eq(write(p->writer, bytes, there), (ssize_t)there);
    free(bytes);
}

static void take(struct passage *p)
{
    for (ssize_t n; (n = read(p->reader, p->got + p->count, SIZE - p->count)) > 0;)
        p->count += (size_t)n;
    for (size_t i = 0; i < p->count; i++)
        if (p->got[i] != byte_at(i))
            ck_abort_msg("byte %zu of %zu is another one", i, p->count);
}

static ssize_t splice_in(void *from, struct pipe *p, size_t n)
{
    return conn_splice_in(from, p, n);
}

static ssize_t splice_out(void *to, struct pipe *p)
{
    return conn_splice_out(to, p);
}

static enum splice_result step(struct passage *p)
{
    const struct splice_ends ends = {.take = splice_in,
                                     .put = splice_out,
                                     .from = &p->source,
                                     .to = &p->sink,
                                     .left = SIZE - p->splice.in};

    return splice_some(&p->splice, &ends, &p->pipes);
}

static enum splice_result pump(struct passage *p)
{
    enum splice_result result = step(p);

    while (result == SPLICE_BLOCKED || result == SPLICE_YIELD) {
        take(p);
        result = step(p);
    }
    take(p);
    return result;
}

static void end(struct passage *p)
{
    splice_end(&p->splice);
    conn_close(&p->source, false);
    conn_close(&p->sink, false);
    close(p->writer);
    close(p->reader);
    free(p->got);
    ck_assert_uint_eq(p->pipes.lent, 0);
    for (const struct pipe *idle = p->pipes.idle; idle; idle = idle->next) {
        int left = -1;
        ck_assert_uint_eq(idle->held, 0);
        ck_assert_int_eq(ioctl(idle->out, FIONREAD, &left), 0);
        ck_assert_int_eq(left, 0);
    }
}

static void forget(struct passage *p)
{
    pipe_pool_destroy(&p->pipes);
}

START_TEST(large_content_goes_through_a_pipe)
{
    struct passage p = {0};

    for (unsigned i = 0; i < 3; i++) {
        begin(&p, SIZE, 4096);
        ck_assert_int_eq(pump(&p), SPLICE_DONE);
        ck_assert_uint_eq(p.count, SIZE);
        ck_assert_uint_eq(p.splice.in, SIZE);
        ck_assert_uint_eq(p.splice.out, SIZE);
        ck_assert_uint_gt(calls, 1);
        end(&p);
        ck_assert_uint_eq(p.pipes.idle_count, 1);
    }
    forget(&p);
}
END_TEST

/* While nothing comes it serves others. */
START_TEST(a_starved_transfer_holds_no_pipe)
{
    struct passage p = {0};

    begin(&p, SIZE / 2, 1 << 20);
    ck_assert_int_eq(pump(&p), SPLICE_STARVED);
    ck_assert_uint_eq(p.count, SIZE / 2);
    ck_assert_ptr_null(p.splice.pipe);
    ck_assert_uint_eq(p.pipes.lent, 0);
    end(&p);
    forget(&p);
}
END_TEST

START_TEST(an_early_end_is_seen_behind_all_bytes)
{
    struct passage p = {0};

    begin(&p, SIZE - 1, 4096);
    shutdown(p.writer, SHUT_WR);
    ck_assert_int_eq(pump(&p), SPLICE_ENDED);
    ck_assert_uint_eq(p.count, SIZE - 1);
    end(&p);
    forget(&p);
}
END_TEST

/* What is left in a pipe must never come out in another exchange. */
START_TEST(a_pipe_with_bytes_is_closed)
{
    struct passage p = {0};

    begin(&p, SIZE, 4096);
    ck_assert_int_eq(step(&p), SPLICE_BLOCKED);
    ck_assert_ptr_nonnull(p.splice.pipe);
    ck_assert_uint_gt(p.splice.pipe->held, 0);
    end(&p);
    ck_assert_uint_eq(p.pipes.idle_count, 0);
    begin(&p, SIZE, 4096);
    ck_assert_int_eq(pump(&p), SPLICE_DONE);
    ck_assert_uint_eq(p.count, SIZE);
    end(&p);
    forget(&p);
}
END_TEST

START_TEST(a_sink_that_has_gone_fails)
{
    struct passage p = {0};

    begin(&p, SIZE, 4096);
    ck_assert_int_eq(step(&p), SPLICE_BLOCKED);
    shutdown(p.reader, SHUT_RD);
    ck_assert_int_eq(step(&p), SPLICE_FAILED);
    ck_assert_int_eq(p.sink.error, EPIPE);
    end(&p);
    ck_assert_uint_eq(p.pipes.idle_count, 0);
    forget(&p);
}
END_TEST

START_TEST(what_the_kernel_refuses_is_not_tried_again)
{
    static const int refusals[] = {EINVAL, ECONNRESET};

    for (size_t i = 0; i < 2; i++) {
        struct passage p = {0};
        begin(&p, SIZE, 4096);
        refusal = refusals[i];
        ck_assert_int_eq(pump(&p), SPLICE_ENDED);
        ck_assert_uint_eq(calls, 1);
        ck_assert(!splice_pays(&p.splice, SIZE));
        ck_assert_int_eq(p.source.error, refusals[i]);
        end(&p);
        forget(&p);
    }
}
END_TEST

/* Slow clients may hold all that there are. */
START_TEST(without_a_pipe_it_is_not_tried_again)
{
    struct passage p = {0};
    struct pipe *taken[1024];
    unsigned count = 0;

    while (count < 1024 && (taken[count] = pipe_take(&p.pipes)))
        count++;
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_lt(count, 1024);
    begin(&p, SIZE, 4096);
    ck_assert_int_eq(pump(&p), SPLICE_ENDED);
    ck_assert_uint_eq(calls, 0);
    ck_assert(!splice_pays(&p.splice, SIZE));
    while (count > 0)
        pipe_give(taken[--count]);
    end(&p);
    forget(&p);
}
END_TEST

void proxy_splice_tests(Suite *suite)
{
    unit_group(suite, "splice", large_content_goes_through_a_pipe, a_starved_transfer_holds_no_pipe,
               an_early_end_is_seen_behind_all_bytes, a_pipe_with_bytes_is_closed, a_sink_that_has_gone_fails,
               what_the_kernel_refuses_is_not_tried_again, without_a_pipe_it_is_not_tried_again);
}
