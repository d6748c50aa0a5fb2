/* Makes one call of one function fail: preloaded before carpoold by test_faults.py, which shares a page
 * with it. Nothing fails until the test says so, and then the nth call, and as many behind it as the test
 * asks for. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Shared with the test, which writes `function`, `error` and `times` first and `countdown` last. */
struct page {
    char function[32];
    int32_t error;
    int32_t times;      /* how many calls in a row fail */
    int32_t countdown;  /* calls until then, this one included; 0: none */
    int32_t fired;      /* how many have failed */
};

static struct page *page;

__attribute__((constructor)) static void open_page(void)
{
    const char *path = getenv("FAULT_PAGE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    page = at == MAP_FAILED ? NULL : at;
    close(fd);
}

static bool fails(const char *function)
{
    if (!page || page->countdown == 0 || strcmp(page->function, function) != 0)
        return false;
    if (page->countdown > 1) {
        page->countdown--;
        return false;
    }
    page->fired++;
    if (--page->times <= 0)
        page->countdown = 0;
    errno = page->error;
    return true;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t n)
{
    return fails("malloc") ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails("malloc") ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails("malloc") ? NULL : __libc_realloc(p, n);
}

int socket(int domain, int type, int protocol)
{
    return fails("socket") ? -1 : REAL(socket)(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *a, socklen_t n)
{
    return fails("connect") ? -1 : REAL(connect)(fd, a, n);
}

int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    return fails("accept4") ? -1 : REAL(accept4)(fd, a, n, flags);
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
    return fails("recv") ? -1 : REAL(recv)(fd, to, n, flags);
}

ssize_t __recv_chk(int fd, void *to, size_t n, size_t room, int flags)
{
    (void)room;
    return recv(fd, to, n, flags);
}

ssize_t send(int fd, const void *from, size_t n, int flags)
{
    return fails("send") ? -1 : REAL(send)(fd, from, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return fails("send") ? -1 : REAL(sendmsg)(fd, m, flags);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *e)
{
    return fails("epoll_ctl") ? -1 : REAL(epoll_ctl)(epfd, op, fd, e);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    return fails("setsockopt") ? -1 : REAL(setsockopt)(fd, level, name, value, n);
}

/* OpenSSL, by its own types' names only. */
struct ssl_st;
struct ssl_ctx_st;

struct ssl_st *SSL_new(struct ssl_ctx_st *context)
{
    struct ssl_st *(*real)(struct ssl_ctx_st *) = (struct ssl_st * (*)(struct ssl_ctx_st *)) dlsym(RTLD_NEXT, "SSL_new");
    return fails("SSL_new") ? NULL : real(context);
}

int SSL_do_handshake(struct ssl_st *s)
{
    int (*real)(struct ssl_st *) = (int (*)(struct ssl_st *))dlsym(RTLD_NEXT, "SSL_do_handshake");
    return fails("SSL_do_handshake") ? -1 : real(s);
}
