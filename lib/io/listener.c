#include "io/listener.h"

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/timer.h"

#define BACKLOG           4096
#define BATCH             64
#define FULL_BATCHES      8 /* in a row, before a larger one is tried */
#define SHORTAGE_PAUSE_MS 100
/* Of what somebody sends who is turned away, read so that no reset overtakes the answer. */
#define DISCARD_BYTES (64 * 1024)

struct listener {
    int fd;
    int reserve; /* kept open for nothing, so that a shortage of descriptors leaves one to answer with; -1:
                    lost */
    bool watching;
    bool paused; /* by the owner */
    bool *freed; /* set while a batch runs: where to say that the listener is gone */
    int batch; /* how many are taken at once: a call that finds none costs nearly as much as one that does */
    int in_full; /* batches that were full, in a row */
    struct event event;
    struct timer shortage;
    struct address address;
    dev_t device; /* of the unix path */
    ino_t inode;
    struct slice refusal;
    enum relief (*relieve)(void *ctx);
    void *relieve_ctx;
    listener_accept *accepted;
    void *ctx;
};

static int explain(char *error, size_t size, const struct address *a, const char *what, int number)
{
    char text[ADDRESS_TEXT_SIZE];
    const char *advice = "";

    if (number == EADDRINUSE)
        advice = "; another process listens there: stop it, or choose another address";
    else if (number == EACCES)
        advice = "; check the permissions (ports below 1024 need CAP_NET_BIND_SERVICE)";
    else if (number == EADDRNOTAVAIL)
        advice = "; it is no address of this host";
    else if (number == ENOENT)
        advice = "; does its directory exist?";
    snprintf(error, size, "cannot listen on %s: %s: %s%s", address_format(a, text), what, strerror(number),
             advice);
    return -1;
}

/* Whether the path is free to bind: nothing is there, or a socket whose process is gone, which is removed. */
static int make_way(const struct address *a, char *error, size_t error_size)
{
    const char *path = a->sa.unix_.sun_path;
    struct stat st;
    int fd, rc, number;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : explain(error, error_size, a, "stat", errno);
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(
            error, error_size,
            "cannot listen on unix:%s: a file that is no socket is there; remove it, or choose another path",
            path);
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return explain(error, error_size, a, "socket", errno);
    rc = connect(fd, &a->sa.any, a->length);
    number = errno;
    close(fd);
    if (rc != 0 && number == ECONNREFUSED)
        return unlink(path) == 0 || errno == ENOENT ? 0 : explain(error, error_size, a, "unlink", errno);
    if (rc != 0 && number == ENOENT)
        return 0;
    /* Anything else (its queue is full, another type of socket, no permission) means that somebody has it. */
    snprintf(error, error_size,
             "cannot listen on unix:%s: it is in use by a running process; stop that, or choose another path",
             path);
    return -1;
}

/* What accepted sockets inherit from this one need not be set on each. */
static void set_tcp_options(int fd, const struct address *a, bool shared)
{
    const int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (a->sa.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
}

/* LONE: nobody else may have it. PROBE: the same, without listening yet. SHARED: with others that say so. */
enum bind_how { BIND_LONE, BIND_PROBE, BIND_SHARED };

static int bind_one(const struct address *a, unsigned mode, enum bind_how how, char *error, size_t error_size)
{
    bool is_unix = a->sa.any.sa_family == AF_UNIX;
    const char *what = NULL;
    int fd, number;

    if (is_unix && make_way(a, error, error_size) != 0)
        return -1;
    fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return explain(error, error_size, a, "socket", errno);
    if (!is_unix)
        set_tcp_options(fd, a, how == BIND_SHARED);
    if (bind(fd, &a->sa.any, a->length) != 0)
        what = "bind";
    /* Before listen() nobody can connect, whatever the mode is. */
    else if (is_unix && chmod(a->sa.unix_.sun_path, (mode_t)mode) != 0)
        what = "chmod";
    else if (how != BIND_PROBE && listen(fd, BACKLOG) != 0)
        what = "listen";
    if (!what)
        return fd;
    number = errno;
    close(fd);
    if (is_unix && strcmp(what, "bind") != 0)
        unlink(a->sa.unix_.sun_path);
    return explain(error, error_size, a, what, number);
}

int listener_bind(const struct address *a, unsigned mode, char *error, size_t error_size)
{
    return bind_one(a, mode, BIND_LONE, error, error_size);
}

/* Sockets that share a port let in whoever asks to share it, another Carpool of this user, too: so it is asked for
 * alone first, which also chooses the port where any will do. */
static bool probe(const struct address *a, struct address *chosen, char *error, size_t error_size)
{
    int fd = bind_one(a, 0, BIND_PROBE, error, error_size);

    if (fd < 0)
        return false;
    chosen->length = sizeof chosen->sa;
    getsockname(fd, &chosen->sa.any, &chosen->length);
    close(fd);
    return true;
}

static void close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

static bool bind_and_share(const struct address *a, unsigned mode, int *fds, unsigned count, char *error,
                           size_t error_size)
{
    fds[0] = listener_bind(a, mode, error, error_size);
    if (fds[0] < 0)
        return false;
    for (unsigned i = 1; i < count; i++) {
        fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        if (fds[i] >= 0)
            continue;
        explain(error, error_size, a, "fcntl", errno);
        unlink(a->sa.unix_.sun_path);
        close_all(fds, i);
        return false;
    }
    return true;
}

bool listener_bind_all(const struct address *a, unsigned mode, int *fds, unsigned count, char *error,
                       size_t error_size)
{
    struct address chosen;

    if (count == 1 || a->sa.any.sa_family == AF_UNIX)
        return bind_and_share(a, mode, fds, count, error, error_size);
    if (!probe(a, &chosen, error, error_size))
        return false;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = bind_one(&chosen, mode, BIND_SHARED, error, error_size);
        if (fds[i] >= 0)
            continue;
        close_all(fds, i);
        return false;
    }
    return true;
}

static void watch(struct listener *l)
{
    bool wanted = !l->paused && !timer_is_set(&l->shortage);

    if (wanted == l->watching)
        return;
    if (!wanted)
        event_del(&l->event);
    else if (event_add(&l->event, NULL) != 0) {
        timer_set(&l->shortage, SHORTAGE_PAUSE_MS);
        return;
    }
    l->watching = wanted;
}

static void shortage_over(void *ctx)
{
    watch(ctx);
}

static void open_reserve(struct listener *l)
{
    if (l->reserve < 0)
        l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Closing over unread bytes would send a reset, and that could overtake the answer; whoever sends without an end must
 * not hold the loop. */
static void discard(int fd)
{
    char discarded[4096];
    ssize_t n;

    for (ssize_t left = DISCARD_BYTES; left > 0; left -= n) {
        n = recv(fd, discarded, sizeof discarded, 0);
        if (n <= 0)
            return;
    }
}

/* With no descriptor left, the reserve one is given up for as long as it takes to turn one connection away.
 * False when there was none to take. */
static bool turn_one_away(struct listener *l)
{
    int fd;

    if (l->reserve < 0)
        return false;
    close(l->reserve);
    l->reserve = -1;
    /* cppcheck-suppress nullPointer; accept4() may be given none */
    fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (l->refusal.n > 0)
            send(fd, l->refusal.p, l->refusal.n, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        discard(fd);
        close(fd);
    }
    open_reserve(l);
    return fd >= 0;
}

static void run_short(struct listener *l, int number)
{
    char text[ADDRESS_TEXT_SIZE];
    int away = 0;

    while (away < BATCH && (number == EMFILE || number == ENFILE) && turn_one_away(l))
        away++;
    log_event(
        LOG_ERROR,
        "cannot take connections: raise the limit of open files (LimitNOFILE=), or lower server.maxConnections",
        LOG_S("listen", address_format(&l->address, text)), LOG_S("error", strerror(number)),
        LOG_N("refused", away));
    timer_set(&l->shortage, SHORTAGE_PAUSE_MS);
    watch(l);
}

/* True when there is a descriptor now. Otherwise one may come, and those who connect wait for it in the kernel, or
 * they are turned away. */
static bool find_descriptor(struct listener *l, int number)
{
    switch (l->relieve ? l->relieve(l->relieve_ctx) : RELIEF_NONE) {
    case RELIEF_GIVEN: return true;
    case RELIEF_LATER:
        timer_set(&l->shortage, RELIEF_DELAY_MS);
        watch(l);
        break;
    case RELIEF_NONE: run_short(l, number); break;
    }
    return false;
}

/* True when another connection may be asked for. Errors that belong to one connection (accept(2)) leave the
 * others alone. */
static bool go_on_after(struct listener *l, int number)
{
    switch (number) {
    case EAGAIN: return false;
    case EMFILE:
    case ENFILE: return find_descriptor(l, number);
    case ENOBUFS:
    case ENOMEM:
    case EBADF:
    case EINVAL:
    case ENOTSOCK: run_short(l, number); return false;
    }
    return true;
}

/* The next batch is as large as what waits is likely to be; the rest is reported again. */
static void learn_batch(struct listener *l, int taken, bool emptied)
{
    if (emptied) {
        l->batch = taken > 1 ? taken : 1;
        l->in_full = 0;
    } else if (++l->in_full >= FULL_BATCHES && l->batch < BATCH) {
        l->batch = l->batch < BATCH / 2 ? l->batch * 2 : BATCH;
        l->in_full = 0;
    }
}

static void take_batch(evutil_socket_t listening, short what, void *arg)
{
    struct listener *l = arg;
    bool freed = false, emptied = false;
    int i;

    (void)what;
    clock_update();
    open_reserve(l);
    l->freed = &freed;
    for (i = 0; i < l->batch && l->watching; i++) {
        struct address peer;
        int fd;

        peer.length = sizeof peer.sa;
        fd = accept4(listening, &peer.sa.any, &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            l->accepted(l->ctx, fd, &peer);
            if (freed)
                return;
        } else if (!go_on_after(l, errno)) {
            emptied = true;
            break;
        }
    }
    l->freed = NULL;
    learn_batch(l, i, emptied);
}

/* Remembers which file the path is, for listener_free(). */
static void look_at_path(struct listener *l)
{
    struct stat st;

    if (l->address.sa.any.sa_family != AF_UNIX ||
        l->address.length <= offsetof(struct sockaddr_un, sun_path) ||
        l->address.sa.unix_.sun_path[0] == '\0')
        return;
    if (stat(l->address.sa.unix_.sun_path, &st) == 0) {
        l->device = st.st_dev;
        l->inode = st.st_ino;
    }
}

struct listener *listener_new(struct event_base *base, int fd, listener_accept *accepted, void *ctx)
{
    struct listener *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->fd = fd;
    l->reserve = -1;
    l->batch = 1;
    l->accepted = accepted;
    l->ctx = ctx;
    l->address.length = sizeof l->address.sa;
    if (getsockname(fd, &l->address.sa.any, &l->address.length) != 0)
        l->address.length = 0;
    look_at_path(l);
    /* One that systemd passed may be neither, nor have the options that connections inherit. */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (l->address.sa.any.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    timer_init(&l->shortage, base, shortage_over, l);
    event_assign(&l->event, base, fd, EV_READ | EV_PERSIST, take_batch, l);
    open_reserve(l);
    watch(l);
    return l;
}

void listener_set_refusal(struct listener *l, struct slice text)
{
    l->refusal = text;
}

void listener_set_relief(struct listener *l, enum relief (*relieve)(void *ctx), void *ctx)
{
    l->relieve = relieve;
    l->relieve_ctx = ctx;
}

void listener_pause(struct listener *l)
{
    l->paused = true;
    watch(l);
}

void listener_resume(struct listener *l)
{
    l->paused = false;
    watch(l);
}

const struct address *listener_address(const struct listener *l)
{
    return &l->address;
}

int listener_fd(const struct listener *l)
{
    return l->fd;
}

static void unlink_own_path(struct listener *l)
{
    const char *path = l->address.sa.unix_.sun_path;
    struct stat st;

    if (l->inode != 0 && stat(path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
        unlink(path);
}

void listener_free(struct listener *l, bool unlink_path)
{
    if (!l)
        return;
    if (l->freed)
        *l->freed = true;
    if (l->watching)
        event_del(&l->event);
    timer_release(&l->shortage);
    if (unlink_path)
        unlink_own_path(l);
    close(l->fd);
    if (l->reserve >= 0)
        close(l->reserve);
    free(l);
}
