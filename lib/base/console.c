#include "base/console.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What a reader who comes back finds: as much as the kernel gives any pipe. */
#define RELAY_SIZE (64 * 1024)

/* How a descriptor is written to. */
enum way {
    WAY_POLL,   /* not known yet, or no thread could be had */
    WAY_DIRECT, /* it does not wait for a reader */
    WAY_SOCKET,
    WAY_THREAD,
};

struct console {
    enum way way;
    int relay;        /* WAY_THREAD: where its thread reads */
    atomic_int error; /* what its last write met, until it was reported */
    bool has_thread;
    pthread_t thread;
};

/* One for stdout and one for stderr: there is one of each. */
static struct console consoles[2] = {{.relay = -1}, {.relay = -1}};

static struct console *console_of(int fd)
{
    return &consoles[fd == STDERR_FILENO];
}

void console_reserve(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* The lowest number that is free is this one. It cannot be written to, as before, so that lost output
         * is noticed. */
        int taken = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (taken < 0)
            taken = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert(taken < 0 || taken == fd);
    }
}

bool console_is_journal(int fd)
{
    const char *word = getenv("JOURNAL_STREAM");
    struct stat st;
    char own[64];
    if (!word || fstat(fd, &st) != 0)
        return false;
    snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    return strcmp(word, own) == 0;
}

/* As much of it as may be written at once without tearing a line apart. */
static size_t whole_lines(const char *p, size_t n)
{
    const char *end;
    if (n <= PIPE_BUF)
        return n;
    end = memrchr(p, '\n', PIPE_BUF);
    return end ? (size_t)(end + 1 - p) : PIPE_BUF;
}

/* --- The thread ---------------------------------------------------------------------------------------- */

struct relay {
    int from, to; /* `to` is a copy of stdout or stderr */
    atomic_int *error;
    char data[RELAY_SIZE];
};

/* 0, or why it did not go on. */
static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, whole_lines(p, n));
        if (put > 0) {
            p += put;
            n -= (size_t)put;
        } else if (errno == EAGAIN) { /* another process made it non-blocking */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static void relay_free(struct relay *r)
{
    close(r->from);
    close(r->to);
    free(r);
}

static void *relay_run(void *arg)
{
    struct relay *r = arg;
    ssize_t n;
    while ((n = read(r->from, r->data, sizeof r->data)) > 0)
        atomic_store(r->error, write_all(r->to, r->data, (size_t)n));
    relay_free(r);
    return NULL;
}

/* Other threads handle signals. */
static bool start_thread(pthread_t *thread, struct relay *r)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(thread, NULL, relay_run, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

static struct relay *relay_new(int from, int fd, atomic_int *error)
{
    struct relay *r = malloc(sizeof *r);
    int to = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (!r || to < 0) {
        free(r);
        if (to >= 0)
            close(to);
        close(from);
        return NULL;
    }
    r->from = from;
    r->to = to;
    r->error = error;
    return r;
}

static bool open_relay(int fd, struct console *c)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    struct relay *r = relay_new(ends[0], fd, &c->error);
    if (r && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0 && start_thread(&c->thread, r)) {
        c->relay = ends[1];
        c->has_thread = true;
        return true;
    }
    close(ends[1]);
    if (r)
        relay_free(r);
    return false;
}

/* --- Start and stop ------------------------------------------------------------------------------------ */

static enum way way_of(int fd, const struct stat *st)
{
    if (S_ISSOCK(st->st_mode))
        return WAY_SOCKET;
    return S_ISFIFO(st->st_mode) || isatty(fd) ? WAY_THREAD : WAY_DIRECT;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static void start(int fd, struct console *c)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return;
    enum way way = way_of(fd, &st);
    if (way != WAY_THREAD || open_relay(fd, c))
        c->way = way;
}

void console_start(void)
{
    struct console *out = console_of(STDOUT_FILENO), *err = console_of(STDERR_FILENO);
    struct stat a, b;
    start(STDERR_FILENO, err);
    /* In one order, and no line within another. */
    if (err->way == WAY_THREAD && fstat(STDOUT_FILENO, &a) == 0 && fstat(STDERR_FILENO, &b) == 0 &&
        is_same(&a, &b))
        out->way = WAY_THREAD, out->relay = err->relay;
    else
        start(STDOUT_FILENO, out);
}

static void join(struct console *c, const struct timespec *until)
{
    if (c->way != WAY_THREAD)
        return;
    if (c->has_thread) {
        close(c->relay);
        if (pthread_timedjoin_np(c->thread, NULL, until) != 0)
            pthread_detach(c->thread); /* it waits for ever, but not longer than the process */
    }
    c->way = WAY_POLL;
    c->relay = -1;
    c->has_thread = false;
}

void console_stop(int patience_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience_ms / 1000;
    until.tv_nsec += patience_ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    join(console_of(STDOUT_FILENO), &until);
    join(console_of(STDERR_FILENO), &until);
}

/* --- Writing ------------------------------------------------------------------------------------------- */

static bool is_writable(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLOUT};
    return poll(&look, 1, 0) == 1 && (look.revents & POLLOUT);
}

static ssize_t write_some(int fd, const char *p, size_t n)
{
    struct console *c = console_of(fd);
    switch (c->way) {
    case WAY_DIRECT: return write(fd, p, n);
    case WAY_SOCKET: return send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WAY_THREAD:
        if ((errno = atomic_exchange(&c->error, 0)) != 0)
            return -1;
        return write(c->relay, p, whole_lines(p, n));
    case WAY_POLL: break;
    }
    if (is_writable(fd))
        return write(fd, p, whole_lines(p, n));
    errno = EAGAIN;
    return -1;
}

ssize_t console_write(int fd, const char *p, size_t n)
{
    ssize_t put;
    do
        put = write_some(fd, p, n);
    while (put < 0 && errno == EINTR);
    return put;
}
