#include "io_dns.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

#include "io_test.h"

static unsigned char *put16(unsigned char *p, unsigned value)
{
    *p++ = (unsigned char)(value >> 8);
    *p++ = (unsigned char)value;
    return p;
}

static unsigned char *put_name(unsigned char *p, const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");
        *p++ = (unsigned char)n;
        memcpy(p, name, n);
        p += n;
        name += n + (name[n] == '.');
    }
    *p++ = 0;
    return p;
}

static unsigned char *put_record(unsigned char *p, const char *name, unsigned type, uint32_t ttl)
{
    p = put_name(p, name);
    p = put16(p, type);
    p = put16(p, 1);
    p = put16(p, ttl >> 16);
    return put16(p, ttl & 0xffff);
}

/* Reads the question's name; returns where its type stands. */
static const unsigned char *get_name(const unsigned char *p, char *out)
{
    while (*p) {
        memcpy(out, p + 1, *p);
        out += *p;
        p += *p + 1;
        *out++ = *p ? '.' : '\0';
    }
    return p + 1;
}

static unsigned char *put_answers(unsigned char *p, const struct dns_name *n, bool v6, unsigned *count)
{
    const char *const *texts = v6 ? n->aaaa : n->a;
    const char *owner = n->cname ? n->cname : n->name;

    if (n->cname) {
        p = put_record(p, n->name, 5, n->cname_ttl);
        unsigned char *end = put_name(p + 2, n->cname);
        put16(p, (unsigned)(end - p - 2));
        p = end;
        ++*count;
    }
    for (int i = 0; i < DNS_RECORDS && texts[i]; i++) {
        p = put_record(p, owner, v6 ? 28 : 1, n->ttl);
        p = put16(p, v6 ? 16 : 4);
        ck_assert_int_eq(inet_pton(v6 ? AF_INET6 : AF_INET, texts[i], p), 1);
        p += v6 ? 16 : 4;
        ++*count;
    }
    return p;
}

/* A repetition has the same id. */
static bool is_new(struct dns *d, const unsigned char *query)
{
    for (int i = 0; i < 4; i++)
        if (memcmp(d->last[i], query, sizeof d->last[i]) == 0)
            return false;
    memcpy(d->last[d->queries % 4], query, sizeof d->last[0]);
    return true;
}

static void answer(evutil_socket_t fd, short what, void *ctx)
{
    struct dns *d = ctx;
    static const struct dns_name unknown = {.name = "", .rcode = 3};
    const struct dns_name *n = d->names;
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    unsigned char in[512] = {0}, out[2048], *p;
    char name[256];
    ssize_t got = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&peer, &size);
    const unsigned char *type = get_name(in + 12, name);
    unsigned count = 0;
    int rcode;
    bool v6;

    (void)what;
    ck_assert_int_gt(got, 12);
    d->queries += is_new(d, in);
    while (n && n->name && strcasecmp(n->name, name) != 0)
        n++;
    if (!n || !n->name)
        n = &unknown;
    v6 = type[1] == 28;
    if (v6 ? n->silent_aaaa : n->silent_a)
        return;
    rcode = n->rcode == 0 && v6 ? n->rcode_aaaa : n->rcode;
    p = out + 12 + (type + 4 - (in + 12));
    memcpy(out, in, (size_t)(p - out));
    if (rcode == 0)
        p = put_answers(p, n, v6, &count);
    put16(out + 2, 0x8180u | (unsigned)rcode);
    put16(out + 4, 1);
    put16(out + 6, count);
    put16(out + 8, 0);
    put16(out + 10, 0);
    sendto(fd, out, (size_t)(p - out), 0, (struct sockaddr *)&peer, size);
}

void dns_start(struct dns *d, struct event_base *base, const struct dns_name *names)
{
    struct address a;

    *d = (struct dns){.names = names, .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    ck_assert(address_from_ip(&a, SLICE("127.0.0.1"), 0));
    ck_assert_int_eq(bind(d->fd, &a.sa.any, a.length), 0);
    ck_assert_int_eq(getsockname(d->fd, &a.sa.any, &a.length), 0);
    snprintf(d->servers, sizeof d->servers, "127.0.0.1:%u", address_port(&a));
    d->event = event_new(base, d->fd, EV_READ | EV_PERSIST, answer, d);
    event_add(d->event, NULL);
}

void dns_stop(struct dns *d)
{
    event_free(d->event);
    close(d->fd);
}

struct resolver *dns_resolver(struct dns *d, struct event_base *base)
{
    return dns_resolver_patient(d, base, 300);
}

struct resolver *dns_resolver_patient(struct dns *d, struct event_base *base, int timeout_ms)
{
    struct resolver *r;

    setenv("LOCALDOMAIN", "", 0); /* whatever this host's search list is */
    r = resolver_new(base);
    ck_assert_ptr_nonnull(r);
    ck_assert(resolver_set_servers(r, d->servers, timeout_ms, 2));
    return r;
}
