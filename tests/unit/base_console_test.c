/* lib/base/console: nobody waits for who does not read. */

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/console.h"
#include "base_test.h"

#define LINES 40000

static int saved[2], reader;

/* Puts these in place of stdout and stderr. */
static void replace(int out, int err)
{
    signal(SIGPIPE, SIG_IGN);
    saved[0] = dup(STDOUT_FILENO);
    saved[1] = dup(STDERR_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    console_start();
}

static void put_back(void)
{
    console_stop(100);
    dup2(saved[0], STDOUT_FILENO);
    dup2(saved[1], STDERR_FILENO);
    close(saved[0]);
    close(saved[1]);
}

static int open_pipe(void)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    reader = ends[0];
    return ends[1];
}

static int open_terminal(void)
{
    int fd;

    reader = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert(reader >= 0 && grantpt(reader) == 0 && unlockpt(reader) == 0);
    fd = open(ptsname(reader), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

/* How many of LINES were taken. */
static unsigned say_much(int fd)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < LINES; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "line %u of some length, as lines are\n", i);
        ssize_t put = console_write(fd, line, (size_t)n);
        ck_assert_msg(put == n || (put == -1 && errno == EAGAIN), "%zd of %d", put, n);
        taken += put == n;
    }
    return taken;
}

/* Reads so many lines; each is whole and comes after the one before it. */
static void read_lines(unsigned count)
{
    FILE *in = fdopen(dup(reader), "r");
    char line[64], rest[64];
    unsigned number, last = 0;

    for (unsigned i = 0; i < count; i++) {
        ck_assert_ptr_nonnull(fgets(line, sizeof line, in));
        ck_assert_msg(sscanf(line, "line %u of some length, as lines are%60s", &number, rest) == 1, "%s",
                      line);
        ck_assert(i == 0 || number > last);
        last = number;
    }
    fclose(in);
}

static void check_unread(int fd)
{
    int other = open("/dev/null", O_WRONLY | O_CLOEXEC);

    replace(other, fd);
    close(other);
    unsigned taken = say_much(STDERR_FILENO);
    ck_assert_uint_lt(taken, LINES);
    ck_assert_uint_gt(taken, 100);
    /* Others who have it open wait as they did. */
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    close(fd);
    read_lines(taken);
    put_back();
    close(reader);
}

START_TEST(a_pipe_that_nobody_reads_holds_nobody_up)
{
    check_unread(open_pipe());
}
END_TEST

START_TEST(a_terminal_that_nobody_reads_holds_nobody_up)
{
    check_unread(open_terminal());
}
END_TEST

START_TEST(the_end_does_not_wait_for_a_reader)
{
    int fd = open_terminal();
    struct timespec before, after;

    replace(fd, fd);
    close(fd);
    say_much(STDOUT_FILENO);
    say_much(STDERR_FILENO);
    clock_gettime(CLOCK_MONOTONIC, &before);
    put_back();
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_lt(after.tv_sec - before.tv_sec, 60);
    close(reader);
}
END_TEST

/* Lines of both in the order in which they were written, and none within another. */
START_TEST(stdout_and_stderr_may_be_one)
{
    int fd = open_pipe();

    replace(fd, fd);
    close(fd);
    for (unsigned i = 0; i < 500; i++) {
        char line[64];
        int n = snprintf(line, sizeof line, "line %u of some length, as lines are\n", i);
        ck_assert_int_eq(console_write(i % 2 ? STDOUT_FILENO : STDERR_FILENO, line, (size_t)n), n);
    }
    read_lines(500);
    put_back();
    close(reader);
}
END_TEST

START_TEST(a_reader_who_has_gone_is_told_of)
{
    int fd = open_pipe(), other = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ssize_t n = 0;

    replace(fd, other);
    close(fd);
    close(other);
    close(reader);
    for (unsigned i = 0; i < 10000 && n >= 0; i++) {
        n = console_write(STDOUT_FILENO, "x\n", 2);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    ck_assert_int_eq(n, -1);
    ck_assert_int_eq(errno, EPIPE);
    put_back();
}
END_TEST

START_TEST(long_lines_and_many_at_once_go_piece_by_piece)
{
    char text[3 * PIPE_BUF];

    replace(open_pipe(), STDERR_FILENO);
    memset(text, 'x', sizeof text);
    ck_assert_int_eq(console_write(STDOUT_FILENO, text, sizeof text), PIPE_BUF);
    text[99] = '\n';
    text[PIPE_BUF - 1] = 'x';
    ck_assert_int_eq(console_write(STDOUT_FILENO, text, sizeof text), 100);
    put_back();
    close(reader);
}
END_TEST

START_TEST(closed_descriptors_are_taken)
{
    struct stat null, st;

    saved[0] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
    saved[1] = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    console_reserve();
    ck_assert_int_eq(stat("/dev/null", &null), 0);
    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
        ck_assert(fstat(fd, &st) == 0 && st.st_rdev == null.st_rdev);
    dup2(saved[0], STDIN_FILENO);
    dup2(saved[1], STDOUT_FILENO);
    close(saved[0]);
    close(saved[1]);
}
END_TEST

START_TEST(the_journal_is_known_by_its_stream)
{
    char word[64];
    struct stat st;

    unsetenv("JOURNAL_STREAM");
    ck_assert(!console_is_journal(STDERR_FILENO));
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(word, sizeof word, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", word, 1);
    ck_assert(console_is_journal(STDERR_FILENO));
    snprintf(word, sizeof word, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino + 1);
    setenv("JOURNAL_STREAM", word, 1);
    ck_assert(!console_is_journal(STDERR_FILENO));
    setenv("JOURNAL_STREAM", "yes", 1);
    ck_assert(!console_is_journal(STDERR_FILENO));
    unsetenv("JOURNAL_STREAM");
}
END_TEST

void base_console_tests(Suite *suite)
{
    unit_group(suite, "console", a_pipe_that_nobody_reads_holds_nobody_up,
               a_terminal_that_nobody_reads_holds_nobody_up, the_end_does_not_wait_for_a_reader,
               stdout_and_stderr_may_be_one, a_reader_who_has_gone_is_told_of,
               long_lines_and_many_at_once_go_piece_by_piece, closed_descriptors_are_taken,
               the_journal_is_known_by_its_stream);
}
