/* Carpool's calls to the kernel, and for memory, as they are answered in the world of exchanges. */

#include <errno.h>
#include <event2/event.h>
#include <poll.h>

#include "calls.h"
#include "clock.h"
#include "exchange_parts.h"
#include "exchange_world.h"

struct world_trouble world_trouble;
struct world_ambush world_ambush;

#define OWED_MAX 64

/* Descriptors of which a call said less than the kernel would have: as if it had come just afterwards, an
 * edge follows. */
static int owed[OWED_MAX];
static unsigned owed_count;
static bool in_turn;
struct world_calls world_calls;

static void add(int *list, unsigned *count, int fd)
{
    for (unsigned i = 0; i < *count; i++)
        if (list[i] == fd)
            return;
    if (*count < OWED_MAX)
        list[(*count)++] = fd;
}

static void owe(int fd)
{
    add(owed, &owed_count, fd);
}

/* Those that could not be written to. */
static int blocked[OWED_MAX];
static unsigned blocked_count;

/* The kernel says EAGAIN to no one whose peer has gone. */
static bool is_blocked(int fd)
{
    struct pollfd look = {.fd = fd};
    if (!in_turn || !world_trouble.blocks || (poll(&look, 1, 0) == 1 && (look.revents & (POLLERR | POLLHUP))))
        return false;
    add(blocked, &blocked_count, fd);
    errno = EAGAIN;
    return true;
}

static int pay(const struct event_base *base, const struct event *e, void *ctx)
{
    (void)base;
    (void)ctx;
    for (unsigned i = 0; i < owed_count; i++)
        if (event_get_fd(e) == owed[i])
            event_active((struct event *)e, EV_READ | EV_WRITE, 0);
    return 0;
}

void calls_pay(void)
{
    for (; !world_trouble.blocks && blocked_count > 0; blocked_count--)
        owe(blocked[blocked_count - 1]);
    if (owed_count > 0)
        event_base_foreach_event(world_rig.base, pay, NULL);
    owed_count = 0;
}

static void spring_ambush(void)
{
    if (!in_turn || world_ambush.after == 0 || --world_ambush.after > 0)
        return;
    int error = errno;
    world_ambush.act(world_ambush.ctx);
    errno = error;
}

static bool fails(enum sys_call call)
{
    world_calls.made += call != SYS_MEMORY;
    spring_ambush();
    if (!in_turn || world_trouble.after == 0 || (call == SYS_MEMORY) != (world_trouble.error == ENOMEM) ||
        --world_trouble.after > 0)
        return false;
    world_calls.lacked_memory |= call == SYS_MEMORY;
    world_calls.failed = true;
    errno = world_trouble.error;
    return true;
}

static bool says_again(int fd)
{
    if (!in_turn || world_trouble.again == 0)
        return false;
    world_trouble.again = world_trouble.again * 1664525 + 1013904223;
    if (world_trouble.again >> 30 != 0)
        return false;
    owe(fd);
    errno = EAGAIN;
    return true;
}

static ssize_t on_recv(int fd, void *to, size_t n, int flags)
{
    size_t most = world_trouble.most && world_trouble.most < n ? world_trouble.most : n;

    if (fails(SYS_RECV) || says_again(fd))
        return -1;
    ssize_t got = __real_recv(fd, to, most, flags);
    if (got == (ssize_t)most && most < n)
        owe(fd);
    if (!(flags & MSG_PEEK))
        world_trace_read(fd, to, got);
    return got;
}

static ssize_t on_send(int fd, const void *from, size_t n, int flags)
{
    size_t most = world_trouble.most && world_trouble.most < n ? world_trouble.most : n;

    if (fails(SYS_SEND) || is_blocked(fd) || says_again(fd))
        return -1;
    if (most < n)
        owe(fd);
    return __real_send(fd, from, most, flags);
}

static ssize_t on_sendmsg(int fd, const struct msghdr *m, int flags)
{
    const struct iovec *v = m->msg_iov;

    if (world_trouble.most && m->msg_iovlen > 1)
        owe(fd); /* the others are left over */
    if (world_trouble.most)
        return on_send(fd, v->iov_base, v->iov_len, flags);
    if (fails(SYS_SEND) || is_blocked(fd) || says_again(fd))
        return -1;
    return __real_sendmsg(fd, m, flags);
}

bool calls_owe(int fd)
{
    for (unsigned i = 0; i < owed_count; i++)
        if (owed[i] == fd)
            return true;
    return false;
}

bool calls_owe_any(void)
{
    return owed_count > 0;
}

void calls_forget(void)
{
    owed_count = blocked_count = 0;
}

void calls_begin(void)
{
    calls = (struct calls){
        .recv = on_recv, .send = on_send, .sendmsg = on_sendmsg, .clock_gettime = fuzz_clock, .fails = fails};
}

void calls_end(void)
{
    calls = (struct calls){0};
}

void calls_enter_turn(void)
{
    in_turn = true;
}

void calls_leave_turn(void)
{
    in_turn = false;
}
