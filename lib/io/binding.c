#include "io/binding.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 4096

static bool is_unix(const struct address *a)
{
    return a->sa.any.sa_family == AF_UNIX;
}

static const char *path_of(const struct binding *b)
{
    return b->address.sa.unix_.sun_path;
}

/* Always false. */
static bool explain(char *error, size_t size, const struct address *a, const char *what, int number)
{
    char text[ADDRESS_TEXT_SIZE];
    const char *advice = "";

    if (number == EADDRINUSE)
        advice = is_unix(a)
                     ? "; another process listens there: stop it, or choose another path"
                     : "; another process listens there, or has a connection of its own from that port: "
                       "stop it, or choose another address";
    else if (number == EACCES)
        advice = "; check the permissions (ports below 1024 need CAP_NET_BIND_SERVICE)";
    else if (number == EADDRNOTAVAIL)
        advice = "; this host does not have that address";
    else if (number == ENOENT)
        advice = "; does its directory exist?";
    snprintf(error, size, "cannot listen on %s: %s: %s%s", address_format(a, text), what, strerror(number),
             advice);
    return false;
}

/* ---- unix paths */

/* Whether the path is free to bind: nothing is there, or a socket whose process is gone, which is removed. */
static bool make_way(const struct address *a, char *error, size_t error_size)
{
    const char *path = a->sa.unix_.sun_path;
    struct stat st;
    int fd, rc, number;

    if (lstat(path, &st) != 0)
        return errno == ENOENT || explain(error, error_size, a, "stat", errno);
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(
            error, error_size,
            "cannot listen on unix:%s: the path exists and is not a socket; remove it, or choose another path",
            path);
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return explain(error, error_size, a, "socket", errno);
    rc = connect(fd, &a->sa.any, a->length);
    number = errno;
    close(fd);
    if (rc != 0 && number == ECONNREFUSED)
        return unlink(path) == 0 || errno == ENOENT || explain(error, error_size, a, "unlink", errno);
    if (rc != 0 && number == ENOENT)
        return true;
    /* Anything else (its queue is full, another type of socket, no permission) means that it is in use. */
    snprintf(error, error_size,
             "cannot listen on unix:%s: it is in use by a running process; stop that, or choose another path",
             path);
    return false;
}

static bool is_own_file(const struct binding *b)
{
    struct stat st;

    return b->inode != 0 && stat(path_of(b), &st) == 0 && st.st_dev == b->device && st.st_ino == b->inode;
}

static void remember_file(struct binding *b)
{
    struct stat st;

    if (!is_unix(&b->address) || b->address.length <= offsetof(struct sockaddr_un, sun_path) ||
        !*path_of(b) || stat(path_of(b), &st) != 0)
        return;
    b->device = st.st_dev;
    b->inode = st.st_ino;
}

/* ---- sockets */

static bool set_options(int fd, const struct address *a, bool shared)
{
    const int on = 1;

    if (is_unix(a))
        return true;
    /* What accepted sockets inherit from this one need not be set on each. That this one fails does no
     * harm. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
           (a->sa.any.sa_family != AF_INET6 ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0);
}

static int open_socket(const struct address *a, bool shared, char *error, size_t error_size)
{
    int fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        explain(error, error_size, a, "socket", errno);
        return -1;
    }
    if (set_options(fd, a, shared))
        return fd;
    explain(error, error_size, a, "setsockopt", errno);
    close(fd);
    return -1;
}

/* A bound socket, or -1. */
static int bind_socket(const struct address *a, bool shared, char *error, size_t error_size)
{
    int fd = open_socket(a, shared, error, error_size), number;

    if (fd < 0 || bind(fd, &a->sa.any, a->length) == 0)
        return fd;
    number = errno;
    close(fd);
    explain(error, error_size, a, "bind", number);
    return -1;
}

/* Where it is bound: the port may have been the kernel's choice. */
static void learn_address(struct binding *b, int fd)
{
    b->address.length = sizeof b->address.sa;
    if (getsockname(fd, &b->address.sa.any, &b->address.length) != 0)
        b->address.length = 0;
}

static bool bind_unix(struct binding *b, unsigned mode, char *error, size_t error_size)
{
    if (!make_way(&b->address, error, error_size))
        return false;
    b->fds[0] = bind_socket(&b->address, false, error, error_size);
    if (b->fds[0] < 0)
        return false;
    b->count = 1;
    remember_file(b);
    /* Before listen() no client can connect, whatever the mode is. Two programs cannot have one path, so
     * nothing is gained by opening it later, and meanwhile it would look dead. */
    if (!binding_set_mode(b, mode, error, error_size))
        return false;
    return listen(b->fds[0], BACKLOG) == 0 || explain(error, error_size, &b->address, "listen", errno);
}

static bool bind_tcp(struct binding *b, unsigned count, bool shared, char *error, size_t error_size)
{
    while (b->count < count) {
        int fd = bind_socket(&b->address, shared, error, error_size);
        if (fd < 0)
            return false;
        b->fds[b->count++] = fd;
    }
    return true;
}

/* Sockets that share a port let in any program that asks to share it, another Carpool of this user, too: so
 * it is asked for alone first, which also chooses the port where any will do. */
static bool bind_several(struct binding *b, unsigned count, char *error, size_t error_size)
{
    int fd = bind_socket(&b->address, false, error, error_size);

    if (fd < 0)
        return false;
    learn_address(b, fd);
    close(fd);
    return bind_tcp(b, count, true, error, error_size);
}

static struct binding *allocate(unsigned count)
{
    struct binding *b = calloc(1, sizeof *b + count * sizeof b->fds[0]);

    if (b)
        b->refs = 1;
    return b;
}

struct binding *binding_new(const struct address *a, unsigned mode, unsigned count, bool shared, char *error,
                            size_t error_size)
{
    struct binding *b = allocate(count);
    bool bound;

    if (!b) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    b->address = *a;
    if (is_unix(a))
        bound = bind_unix(b, mode, error, error_size);
    else if (count > 1 && !shared)
        bound = bind_several(b, count, error, error_size);
    else
        bound = bind_tcp(b, count, shared, error, error_size);
    if (!bound) {
        binding_unref(b);
        return NULL;
    }
    if (!is_unix(a))
        learn_address(b, b->fds[0]);
    return b;
}

struct binding *binding_of_passed(int fd)
{
    struct binding *b = allocate(1);

    if (!b)
        return NULL;
    b->passed = true;
    b->fds[b->count++] = fd;
    learn_address(b, fd);
    remember_file(b);
    if (!is_unix(&b->address))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return b;
}

bool binding_listen(struct binding *b, char *error, size_t error_size)
{
    for (unsigned i = 0; i < b->count; i++)
        if (!is_unix(&b->address) && listen(b->fds[i], BACKLOG) != 0)
            return explain(error, error_size, &b->address, "listen", errno);
    return true;
}

static void let_share(const struct binding *b, int on)
{
    for (unsigned i = 0; i < b->count; i++)
        setsockopt(b->fds[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

void binding_share(struct binding *b)
{
    if (!is_unix(&b->address))
        let_share(b, 1);
}

/* Several sockets of one binding share their port for as long as they live. */
void binding_exclude(struct binding *b)
{
    if (!is_unix(&b->address) && b->count == 1)
        let_share(b, 0);
}

bool binding_set_mode(struct binding *b, unsigned mode, char *error, size_t error_size)
{
    if (is_unix(&b->address) && chmod(path_of(b), (mode_t)mode) != 0)
        return explain(error, error_size, &b->address, "chmod", errno);
    b->mode = mode;
    return true;
}

bool binding_is_there(const struct binding *b)
{
    return !is_unix(&b->address) || is_own_file(b);
}

struct binding *binding_ref(struct binding *b)
{
    b->refs++;
    return b;
}

void binding_unref(struct binding *b)
{
    if (--b->refs > 0)
        return;
    if (!b->passed && is_own_file(b))
        unlink(path_of(b));
    for (unsigned i = 0; i < b->count; i++)
        close(b->fds[i]);
    free(b);
}
