#include "cmd/ctl_client.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/array.h"
#include "base/slice.h"

#define UNIX_PREFIX "unix:"

#define TIMEOUT_S 10
#define READ_SIZE (64 * 1024)
#define MAX_REPLY (64 * 1024 * 1024)

/* A text that grows. */
struct bytes {
    char *p;
    size_t n, room;
};

void *ctl_need(void *p)
{
    if (p)
        return p;
    fputs("carpoolctl: out of memory\n", stderr);
    exit(1);
}

char *ctl_vformat(const char *format, va_list args)
{
    char *text;

    if (vasprintf(&text, format, args) < 0)
        ctl_need(NULL);
    return text;
}

char *ctl_format(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = ctl_vformat(format, args);
    va_end(args);
    return text;
}

#define URL_PREFIX "http://"

const char *ctl_plain_address(char *given)
{
    if (strncasecmp(given, URL_PREFIX, strlen(URL_PREFIX)) != 0)
        return given;
    given += strlen(URL_PREFIX);
    given[strcspn(given, "/?#")] = '\0';
    return given;
}

static bool is_unix(const char *address)
{
    return strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
}

static bool is_port(const char *text)
{
    unsigned long long port;

    return slice_to_u64(slice_of(text), &port) && port > 0 && port <= UINT16_MAX;
}

char *ctl_split_address(const char *address, const char **port)
{
    const char *colon = strrchr(address, ':');
    size_t n;

    if (!colon || colon == address || is_unix(address) || !is_port(colon + 1))
        return NULL;
    if (port)
        *port = colon + 1;
    n = (size_t)(colon - address);
    if (address[0] == '[' && n > 2 && colon[-1] == ']')
        return ctl_need(strndup(address + 1, n - 2));
    return memchr(address, ':', n) ? NULL : ctl_need(strndup(address, n));
}

char *ctl_agent_path(const char *name, const char *verb)
{
    size_t room = strlen(name) * 3 + (verb ? strlen(verb) : 0) + 16;
    char *path = ctl_need(malloc(room));
    char *at = path + sprintf(path, "/agents/");

    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        at += sprintf(at, "%%%02X", *p);
    if (verb)
        sprintf(at, "/%s", verb);
    return path;
}

static int fail(char error[CTL_ERROR_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(char error[CTL_ERROR_SIZE], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, CTL_ERROR_SIZE, format, args);
    va_end(args);
    return -1;
}

static bool check_unix(const char *path, char error[CTL_ERROR_SIZE])
{
    const size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;

    if (*path && strlen(path) <= most)
        return true;
    fail(error, UNIX_PREFIX "%s is not a unix socket: give " UNIX_PREFIX "/path, at most %zu bytes long",
         path, most);
    return false;
}

bool ctl_check_address(const char *address, char error[CTL_ERROR_SIZE])
{
    char *host;

    if (is_unix(address))
        return check_unix(address + strlen(UNIX_PREFIX), error);
    host = ctl_split_address(address, NULL);
    free(host);
    if (!host)
        fail(error, "%s is not an address: give host:port, [v6]:port, http://host:port or unix:/path",
             address);
    return host != NULL;
}

static int fail_to_reach(const char *address, char error[CTL_ERROR_SIZE], const char *why)
{
    return fail(error,
                "cannot reach carpoold's admin listener at %s: %s; is carpoold running, and is this "
                "its admin.listen? (-s ADDRESS for another)",
                address, why);
}

static void set_timeouts(int fd, unsigned seconds)
{
    const struct timeval limit = {.tv_sec = seconds};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

/* A connected descriptor, or -1 with errno. */
static int open_and_connect(int family, const struct sockaddr *sa, socklen_t length, unsigned seconds)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    set_timeouts(fd, seconds);
    if (connect(fd, sa, length) != 0) {
        int saved = errno;

        close(fd);
        errno = saved == EINPROGRESS ? ETIMEDOUT : saved;
        return -1;
    }
    return fd;
}

static int connect_unix(const char *address, unsigned seconds, char error[CTL_ERROR_SIZE])
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd;

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", address + strlen(UNIX_PREFIX));
    fd = open_and_connect(AF_UNIX, (struct sockaddr *)&sa, sizeof sa, seconds);
    return fd >= 0 ? fd : fail_to_reach(address, error, strerror(errno));
}

static int connect_tcp(const char *address, unsigned seconds, char error[CTL_ERROR_SIZE])
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *port = NULL;
    char *host = ctl_split_address(address, &port);
    int rc, fd = -1;

    rc = getaddrinfo(host, port, &hints, &found);
    free(host);
    if (rc != 0)
        return fail_to_reach(address, error, gai_strerror(rc));
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = open_and_connect(a->ai_family, a->ai_addr, a->ai_addrlen, seconds);
    rc = errno;
    freeaddrinfo(found);
    return fd >= 0 ? fd : fail_to_reach(address, error, strerror(rc));
}

static int send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Up to the end of the connection; -1 with errno. */
static int read_all(int fd, struct bytes *in)
{
    for (;;) {
        in->p = ctl_need(array_reserve(in->p, &in->room, in->n + READ_SIZE + 1, 1));

        ssize_t n = recv(fd, in->p + in->n, READ_SIZE, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            in->p[in->n] = '\0';
            return (int)n;
        }
        in->n += (size_t)n;
        if (in->n > MAX_REPLY) {
            errno = EMSGSIZE;
            return -1;
        }
    }
}

/* The promised length of the body; SIZE_MAX: none was promised. */
static size_t content_length(const char *head)
{
    const char *field = strcasestr(head, "\r\ncontent-length:");

    return field ? strtoull(field + strlen("\r\ncontent-length:"), NULL, 10) : SIZE_MAX;
}

static int take_apart(const char *address, struct bytes *in, struct ctl_reply *out,
                      char error[CTL_ERROR_SIZE])
{
    char *end = in->p ? strstr(in->p, "\r\n\r\n") : NULL;
    size_t promised;

    /* NOLINTNEXTLINE(cert-err34-c): three digits fit */
    if (!end || sscanf(in->p, "HTTP/1.%*1[01] %3u", &out->status) != 1)
        return fail(error, "what answers at %s is not HTTP: is this carpoold's admin.listen?", address);
    end[2] = '\0';
    promised = content_length(in->p);
    out->length = in->n - (size_t)(end + 4 - in->p);
    if (promised != SIZE_MAX && out->length < promised)
        return fail(error, "the answer from %s was cut short", address);
    memmove(in->p, end + 4, out->length + 1);
    out->body = in->p;
    in->p = NULL;
    return 0;
}

int ctl_ask(const char *address, const char *method, const char *path, struct ctl_reply *out,
            char error[CTL_ERROR_SIZE])
{
    return ctl_ask_within(TIMEOUT_S, address, method, path, out, error);
}

int ctl_ask_within(unsigned seconds, const char *address, const char *method, const char *path,
                   struct ctl_reply *out, char error[CTL_ERROR_SIZE])
{
    int fd = is_unix(address) ? connect_unix(address, seconds, error) : connect_tcp(address, seconds, error);
    struct bytes in = {0};
    char *head;
    int rc;

    if (fd < 0)
        return -1;
    /* HTTP/1.0: the answer comes in one piece and ends with the connection. Host is checked against rebound
     * names in browsers, which this is none of. */
    head = ctl_format("%s %s HTTP/1.0\r\nHost: localhost\r\n%s\r\n", method, path,
                      strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
    if (send_all(fd, head, strlen(head)) != 0 || read_all(fd, &in) != 0)
        rc = fail(error, "no answer from carpoold's admin listener at %s: %s", address,
                  errno == EAGAIN ? "it took too long" : strerror(errno));
    else
        rc = take_apart(address, &in, out, error);
    free(head);
    free(in.p);
    close(fd);
    return rc;
}
