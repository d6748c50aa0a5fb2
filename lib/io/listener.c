#include "io/listener.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/timer.h"

#define DRAIN_MAX         4096
#define BATCH             64
#define FULL_BATCHES      8 /* in a row, before a larger one is tried */
#define SHORTAGE_PAUSE_MS 100
/* Of what a client sends that is turned away, read so that no reset overtakes the answer. */
#define DISCARD_BYTES (64 * 1024)

struct listener {
    int fd;
    /* Kept open for nothing, so that a shortage of descriptors leaves one to answer with; -1: lost */
    int reserve;
    bool watching;
    bool begun;  /* listener_begin() was called */
    bool *freed; /* set while a batch runs: where to say that the listener is gone */
    int batch; /* how many are taken at once: a call that finds none costs nearly as much as one that does */
    int in_full; /* batches that were full, in a row */
    struct event event;
    struct timer shortage;
    struct address address;
    struct slice refusal;
    enum relief (*relieve)(void *ctx);
    void *relieve_ctx;
    listener_accept *accepted;
    void *ctx;
};

static void watch(struct listener *l)
{
    bool wanted = l->begun && !timer_is_set(&l->shortage);

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

/* Closing over unread bytes would send a reset, and that could overtake the answer; a client that sends
 * without an end must not hold the loop. */
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
        "cannot accept connections: raise the limit of open files (LimitNOFILE=), or lower server.maxConnections",
        LOG_S("listen", address_format(&l->address, text)), LOG_S("error", strerror(number)),
        LOG_N("refused", away));
    timer_set(&l->shortage, SHORTAGE_PAUSE_MS);
    watch(l);
}

/* True when there is a descriptor now. Otherwise one may come, and those who connect wait for it in the
 * kernel, or they are turned away. */
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
    timer_init(&l->shortage, base, shortage_over, l);
    event_assign(&l->event, base, fd, EV_READ | EV_PERSIST, take_batch, l);
    open_reserve(l);
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

void listener_begin(struct listener *l)
{
    l->begun = true;
    watch(l);
}

/* The kernel resets what has reached the queue when a descriptor is closed. A SYN that it does not see is
 * sent again after a second, and finds who listens then. Where the kernel does not allow it, a few may be
 * reset. */
static void ignore_syns(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags (RFC 9293 3.1) */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

/* What waits in the queue can be accepted still. */
static void turn_newcomers_away(const struct listener *l)
{
    if (l->address.sa.any.sa_family == AF_UNIX)
        shutdown(l->fd, SHUT_RD); /* connect() says ECONNREFUSED */
    else
        ignore_syns(l->fd);
}

void listener_drain(struct listener *l)
{
    struct address peer;
    int fd;

    turn_newcomers_away(l);
    for (int i = 0; i < DRAIN_MAX; i++) {
        peer.length = sizeof peer.sa;
        fd = accept4(l->fd, &peer.sa.any, &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            l->accepted(l->ctx, fd, &peer);
        else if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    if (l->freed)
        *l->freed = true;
    if (l->watching)
        event_del(&l->event);
    timer_release(&l->shortage);
    if (l->reserve >= 0)
        close(l->reserve);
    free(l);
}
