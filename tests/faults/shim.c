/* Makes one call of one function fail: preloaded before carpoold by the tests of this folder, which share a
 * page with it. Nothing fails until the test says so, and then the nth call, and as many behind it as the
 * test asks for. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <link.h>
#include <linux/netlink.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* Shared with the test, which writes `function` last. The calls may be several threads'. */
struct page {
    char function[32]; /* "": none */
    int32_t error;
    int32_t times;     /* how many calls in a row fail */
    int32_t countdown; /* calls until then, this one included */
    int32_t fired;     /* how many have failed */
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
    if (!page || strcmp(page->function, function) != 0)
        return false;
    int32_t left = __atomic_fetch_sub(&page->countdown, 1, __ATOMIC_RELAXED);
    if (left > 1 || left <= 1 - page->times)
        return false;
    __atomic_fetch_add(&page->fired, 1, __ATOMIC_RELAXED);
    errno = page->error;
    return true;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* ---- memory */

/* OpenSSL's code in memory: its first steps do not bear that memory is short, and no program can help it. */
static uintptr_t openssl_begin, openssl_end;

static int find_openssl(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size, (void)ctx;
    if (!strstr(info->dlpi_name, "/libcrypto."))
        return 0;
    openssl_begin = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && end > openssl_end)
            openssl_end = end;
    }
    return 1;
}

__attribute__((constructor)) static void look_for_openssl(void)
{
    dl_iterate_phdr(find_openssl, NULL);
}

static bool malloc_fails(const void *caller)
{
    bool openssl = (uintptr_t)caller >= openssl_begin && (uintptr_t)caller < openssl_end;
    return fails("malloc") || (!openssl && fails("malloc but OpenSSL's"));
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t n)
{
    return malloc_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return malloc_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return malloc_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

/* ---- sockets */

int socket(int domain, int type, int protocol)
{
    return fails("socket") ? -1 : REAL(socket)(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *a, socklen_t n)
{
    return fails("bind") ? -1 : REAL(bind)(fd, a, n);
}

int listen(int fd, int backlog)
{
    return fails("listen") ? -1 : REAL(listen)(fd, backlog);
}

int connect(int fd, const struct sockaddr *a, socklen_t n)
{
    return fails("connect") ? -1 : REAL(connect)(fd, a, n);
}

int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    return fails("accept4") ? -1 : REAL(accept4)(fd, a, n, flags);
}

static bool is_netlink(int fd)
{
    int domain = 0;
    socklen_t n = sizeof domain;
    return REAL(getsockopt)(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_NETLINK;
}

/* What a kernel says that does not know the socket, or not how to look for it. */
static void fake_netlink_answer(int fd, void *to)
{
    struct nlmsghdr *h = to;
    if (!page || strcmp(page->function, "netlink answer") != 0 || !is_netlink(fd) || !fails("netlink answer"))
        return;
    h->nlmsg_type = NLMSG_ERROR;
    h->nlmsg_len = NLMSG_LENGTH(sizeof(struct nlmsgerr));
    ((struct nlmsgerr *)NLMSG_DATA(h))->error = -page->error;
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
    ssize_t got = fails("recv") ? -1 : REAL(recv)(fd, to, n, flags);
    if (got >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        fake_netlink_answer(fd, to);
    return got;
}

ssize_t __recv_chk(int fd, void *to, size_t n, size_t room, int flags)
{
    (void)room;
    return recv(fd, to, n, flags);
}

ssize_t recvfrom(int fd, void *restrict to, size_t n, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict from_size)
{
    return fails("recvfrom") ? -1 : REAL(recvfrom)(fd, to, n, flags, from, from_size);
}

ssize_t __recvfrom_chk(int fd, void *restrict to, size_t n, size_t room, int flags,
                       struct sockaddr *restrict from, socklen_t *restrict from_size)
{
    (void)room;
    return recvfrom(fd, to, n, flags, from, from_size);
}

ssize_t send(int fd, const void *from, size_t n, int flags)
{
    return fails("send") ? -1 : REAL(send)(fd, from, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return fails("send") ? -1 : REAL(sendmsg)(fd, m, flags);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    return fails("setsockopt") ? -1 : REAL(setsockopt)(fd, level, name, value, n);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
    return fails("getsockopt") ? -1 : REAL(getsockopt)(fd, level, name, value, n);
}

int getifaddrs(struct ifaddrs **all)
{
    return fails("getifaddrs") ? -1 : REAL(getifaddrs)(all);
}

/* ---- files and pipes */

ssize_t read(int fd, void *to, size_t n)
{
    struct stat st;
    if (page && strcmp(page->function, "read of a file") == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        fails("read of a file"))
        return -1;
    return fails("read") ? -1 : REAL(read)(fd, to, n);
}

ssize_t __read_chk(int fd, void *to, size_t n, size_t room)
{
    (void)room;
    return read(fd, to, n);
}

/* With O_CREAT its mode comes behind; it is passed on as it is, needed or not. */
int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails("open") ? -1 : REAL(open)(path, flags, mode);
}

int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

int chmod(const char *path, mode_t mode)
{
    return fails("chmod") ? -1 : REAL(chmod)(path, mode);
}

ssize_t write(int fd, const void *from, size_t n)
{
    return fails("write") ? -1 : REAL(write)(fd, from, n);
}

int pipe2(int fds[2], int flags)
{
    return fails("pipe2") ? -1 : REAL(pipe2)(fds, flags);
}

ssize_t splice(int from, off_t *from_at, int to, off_t *to_at, size_t n, unsigned flags)
{
    return fails("splice") ? -1 : REAL(splice)(from, from_at, to, to_at, n, flags);
}

/* ---- the loop */

int epoll_create1(int flags)
{
    return fails("epoll_create1") ? -1 : REAL(epoll_create1)(flags);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *e)
{
    return fails("epoll_ctl") ? -1 : REAL(epoll_ctl)(epfd, op, fd, e);
}

int epoll_wait(int epfd, struct epoll_event *events, int most, int timeout)
{
    return fails("epoll_wait") ? -1 : REAL(epoll_wait)(epfd, events, most, timeout);
}

int eventfd(unsigned initial, int flags)
{
    return fails("eventfd") ? -1 : REAL(eventfd)(initial, flags);
}

int timerfd_create(int clock, int flags)
{
    return fails("timerfd_create") ? -1 : REAL(timerfd_create)(clock, flags);
}

ssize_t getrandom(void *to, size_t n, unsigned flags)
{
    return fails("getrandom") ? -1 : REAL(getrandom)(to, n, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *ctx)
{
    return fails("pthread_create") ? page->error : REAL(pthread_create)(thread, how, run, ctx);
}

/* ---- OpenSSL, which says what failed in its queue of errors, not in errno */

static bool tls_fails(const char *function)
{
    if (!fails(function))
        return false;
    ERR_raise(ERR_LIB_SSL, ERR_R_INTERNAL_ERROR);
    return true;
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
    return tls_fails("SSL_CTX_new") ? NULL : REAL(SSL_CTX_new)(method);
}

SSL *SSL_new(SSL_CTX *context)
{
    return tls_fails("SSL_new") ? NULL : REAL(SSL_new)(context);
}

BIO *BIO_new(const BIO_METHOD *method)
{
    return tls_fails("BIO_new") ? NULL : REAL(BIO_new)(method);
}

int SSL_set_session(SSL *s, SSL_SESSION *session)
{
    return tls_fails("SSL_set_session") ? 0 : REAL(SSL_set_session)(s, session);
}

int SSL_do_handshake(SSL *s)
{
    return tls_fails("SSL_do_handshake") ? -1 : REAL(SSL_do_handshake)(s);
}

int SSL_read_ex(SSL *s, void *to, size_t n, size_t *got)
{
    return tls_fails("SSL_read_ex") ? 0 : REAL(SSL_read_ex)(s, to, n, got);
}

int SSL_peek_ex(SSL *s, void *to, size_t n, size_t *got)
{
    return tls_fails("SSL_peek_ex") ? 0 : REAL(SSL_peek_ex)(s, to, n, got);
}

int SSL_write_ex(SSL *s, const void *from, size_t n, size_t *put)
{
    return tls_fails("SSL_write_ex") ? 0 : REAL(SSL_write_ex)(s, from, n, put);
}
