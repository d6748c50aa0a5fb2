#include "daemon/listeners.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/listener.h"
#include "proxy/reply.h"

/* One loop's part of an endpoint. */
struct acceptor {
    struct worker *worker;
    struct endpoint *endpoint;
    int fd; /* until it is served; -1: none */
    struct listener *listener;
};

/* One listening address. The role is NULL for the proxy's own, "" for the admin API's, or an upstream's
 * name. */
struct endpoint {
    TAILQ_ENTRY(endpoint) link;
    struct listeners *listeners;
    char *role;
    bool from_systemd;
    bool wanted; /* by the configuration being applied */
    bool fresh;  /* opened for it */
    struct address address;
    struct frontend *frontend;
    unsigned acceptor_count; /* one a loop; the admin API has one acceptor, on the first loop */
    struct acceptor acceptors[];
};

TAILQ_HEAD(endpoint_list, endpoint);

struct listeners {
    struct workers *workers;
    struct admin *admin;
    struct endpoint_list endpoints;
    struct address *own; /* of all endpoints, for loops */
    char refusal[512];   /* what a connection is told for which there is no descriptor */
};

static bool is_admin(const struct endpoint *d)
{
    return d->role && !*d->role;
}

static bool same_role(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void close_acceptor(struct acceptor *e, bool unlink_path)
{
    const struct address *a = &e->endpoint->address;
    if (e->listener) {
        listener_free(e->listener, unlink_path);
    } else if (e->fd >= 0) {
        if (unlink_path && a->sa.any.sa_family == AF_UNIX)
            unlink(a->sa.unix_.sun_path);
        close(e->fd);
    }
}

static void free_endpoint(struct endpoint *d)
{
    if (is_admin(d) && d->listeners->admin)
        admin_listener_closed(d->listeners->admin, d);
    for (unsigned i = 0; i < d->acceptor_count; i++)
        close_acceptor(&d->acceptors[i], i == 0 && !d->from_systemd);
    if (d->frontend)
        frontend_unref(d->frontend);
    free(d->role);
    free(d);
}

static unsigned acceptors_of(const struct listeners *l, const char *role)
{
    return role && !*role ? 1 : l->workers->count;
}

/* NULL when memory is short; the descriptors are the caller's then. */
static struct endpoint *new_endpoint(struct listeners *l, const char *role, const struct address *address,
                                     const int *fds)
{
    unsigned count = acceptors_of(l, role);
    struct endpoint *d = calloc(1, sizeof *d + count * sizeof d->acceptors[0]);
    if (!d)
        return NULL;
    d->listeners = l;
    d->role = role ? strdup(role) : NULL;
    d->address = *address;
    d->frontend = frontend_new(role && *role ? role : NULL, address);
    if (!d->frontend || (role && !d->role)) {
        free_endpoint(d);
        return NULL;
    }
    d->acceptor_count = count;
    for (unsigned i = 0; i < count; i++)
        d->acceptors[i] = (struct acceptor){.worker = &l->workers->workers[i], .endpoint = d, .fd = fds[i]};
    TAILQ_INSERT_TAIL(&l->endpoints, d, link);
    return d;
}

/* What a name of systemd's stands for; false: nothing that Carpool knows. */
static bool role_of(const char *name, const char **role)
{
    *role = NULL;
    if (!*name || strcmp(name, "proxy") == 0 || strcmp(name, "unknown") == 0)
        return true;
    if (strcmp(name, "admin") == 0)
        *role = "";
    else if (strncmp(name, "upstream.", 9) == 0 && name[9])
        *role = name + 9;
    /* A socket unit without FileDescriptorName passes its own name. */
    return *role || strstr(name, ".socket");
}

static void take_passed(struct listeners *l, const struct service_fd *passed)
{
    const char *role;
    struct address address = {.length = sizeof address.sa};
    if (!role_of(passed->name, &role) || getsockname(passed->fd, &address.sa.any, &address.length) != 0) {
        log_event(LOG_WARN, "a socket that systemd passed has an unknown FileDescriptorName and is closed",
                  LOG_S("name", passed->name));
        close(passed->fd);
        return;
    }
    int fds[WORKERS_MAX] = {passed->fd};
    unsigned count = 1;
    while (count < acceptors_of(l, role) && (fds[count] = fcntl(passed->fd, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    struct endpoint *d = count == acceptors_of(l, role) ? new_endpoint(l, role, &address, fds) : NULL;
    if (d) {
        d->from_systemd = true;
        return;
    }
    log_event(LOG_ERROR, "a socket that systemd passed is closed: memory or descriptors are short",
              LOG_S("name", passed->name));
    while (count > 0)
        close(fds[--count]);
}

struct listeners *listeners_new(struct workers *workers, const struct service_fd *passed, int passed_count)
{
    struct listeners *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->workers = workers;
    TAILQ_INIT(&l->endpoints);
    for (int i = 0; i < passed_count; i++)
        take_passed(l, &passed[i]);
    return l;
}

static bool systemd_serves(const struct listeners *l, const char *role)
{
    const struct endpoint *d;
    TAILQ_FOREACH (d, &l->endpoints, link)
        if (d->from_systemd && same_role(d->role, role))
            return true;
    return false;
}

static struct endpoint *find(struct listeners *l, const char *role, const struct address *a)
{
    struct endpoint *d;
    TAILQ_FOREACH (d, &l->endpoints, link)
        if (!d->from_systemd && same_role(d->role, role) && address_equal(&d->address, a))
            return d;
    return NULL;
}

static bool want(struct listeners *l, const char *role, const struct listen_address *at, char *error,
                 size_t error_size)
{
    struct endpoint *d = find(l, role, &at->address);
    if (!d) {
        int fds[WORKERS_MAX];
        unsigned count = acceptors_of(l, role);
        if (!listener_bind_all(&at->address, at->mode, fds, count, error, error_size))
            return false;
        d = new_endpoint(l, role, &at->address, fds);
        if (!d) {
            while (count > 0)
                close(fds[--count]);
            snprintf(error, error_size, "out of memory");
            return false;
        }
        d->fresh = true;
    }
    d->wanted = true;
    return true;
}

static bool want_list(struct listeners *l, const char *role, const struct listen_list *list, char *error,
                      size_t error_size)
{
    if (systemd_serves(l, role))
        return true;
    for (uint32_t i = 0; i < list->count; i++)
        if (!want(l, role, &list->items[i], error, error_size))
            return false;
    return true;
}

/* A socket of systemd's can be reached from wherever its unit says: the rule for addresses holds for it,
 * too. */
static bool check_passed(const struct listeners *l, const struct config *c, char *error, size_t error_size)
{
    const struct endpoint *d;
    char text[ADDRESS_TEXT_SIZE];
    TAILQ_FOREACH (d, &l->endpoints, link) {
        if (!d->from_systemd || !config_exposes(c, &d->address, is_admin(d)))
            continue;
        snprintf(
            error, error_size,
            "the socket %s, passed by systemd, can be reached from outside while %s is not set; list there who may use it",
            address_format(&d->address, text), is_admin(d) ? "admin.clients" : "access.clients");
        return false;
    }
    return true;
}

static void discard_unwanted(struct listeners *l, bool applied)
{
    struct endpoint *d, *next;
    TAILQ_FOREACH_SAFE (d, &l->endpoints, link, next) {
        bool drop = !d->from_systemd && (applied ? !d->wanted : d->fresh);
        d->wanted = d->fresh = false;
        if (!drop)
            continue;
        TAILQ_REMOVE(&l->endpoints, d, link);
        free_endpoint(d);
    }
}

bool listeners_configure(struct listeners *l, const struct config *c, char *error, size_t error_size)
{
    bool ok = check_passed(l, c, error, error_size) && want_list(l, "", &c->admin.listen, error, error_size);
    for (uint32_t i = 0; ok && i < c->upstream_count; i++)
        ok = want_list(l, c->upstreams[i].name, &c->upstreams[i].listen, error, error_size);
    /* Last, so that whoever finds it open finds the others open, too. */
    ok = ok && want_list(l, NULL, &c->listen, error, error_size);
    discard_unwanted(l, ok);
    return ok;
}

static void on_accept(void *ctx, int fd, const struct address *peer)
{
    struct acceptor *e = ctx;
    if (is_admin(e->endpoint))
        admin_accept(e->endpoint->listeners->admin, e->endpoint, fd, peer);
    else
        proxy_accept(e->worker->proxy, e->endpoint->frontend, fd, peer);
}

static void collect_addresses(struct listeners *l)
{
    unsigned count = 0;
    struct endpoint *d;
    TAILQ_FOREACH (d, &l->endpoints, link)
        count++;
    struct address *own = calloc(count + 1, sizeof *own);
    if (!own)
        return; /* the loop check goes by the old list */
    count = 0;
    TAILQ_FOREACH (d, &l->endpoints, link)
        own[count++] = d->address;
    free(l->own);
    l->own = own;
    for (unsigned i = 0; i < l->workers->count; i++) {
        l->workers->workers[i].proxy->own = own;
        l->workers->workers[i].proxy->own_count = count;
    }
}

static struct slice refusal(struct listeners *l, struct proxy *p)
{
    const struct reply r = {
        .fault = FAULT_TOO_MANY_CLIENTS,
        .instance = p->instance,
        .text = SLICE(
            "Carpool has no file descriptor left; raise LimitNOFILE (ulimit -n) or lower server.maxConnections"),
        .close = true,
    };
    struct buffer *b = buffer_borrow(&p->heads);
    struct slice text = {l->refusal, 0};
    if (b && reply_write(&b, &r) && buffer_unread(b).n <= sizeof l->refusal)
        text.n = (size_t)((char *)mempcpy(l->refusal, b->data, b->end) - l->refusal);
    buffer_give(b);
    return text;
}

/* A client is worth more than a free socket. */
static enum relief relieve(void *pool)
{
    return pool_relieve(pool);
}

static bool is_served(const struct endpoint *d)
{
    for (unsigned i = 0; i < d->acceptor_count; i++)
        if (!d->acceptors[i].listener)
            return false;
    return true;
}

/* Nothing is done to one that is served already, where another one of the same endpoint was not. */
static bool serve_acceptor(struct acceptor *e, struct slice sorry)
{
    if (e->listener)
        return true;
    e->listener = listener_new(e->worker->base, e->fd, on_accept, e);
    if (!e->listener)
        return false;
    e->fd = -1;
    listener_set_refusal(e->listener, sorry);
    listener_set_relief(e->listener, relieve, e->worker->pool);
    return true;
}

static void log_listening(const struct endpoint *d)
{
    char text[ADDRESS_TEXT_SIZE];
    const char *address = address_format(&d->address, text);
    if (is_admin(d))
        log_event(LOG_INFO, "listening for the admin API", LOG_S("address", address));
    else if (d->role)
        log_event(LOG_INFO, "listening", LOG_S("address", address), LOG_S("upstream", d->role));
    else
        log_event(LOG_INFO, "listening", LOG_S("address", address));
}

bool listeners_serve(struct listeners *l)
{
    bool all = true;
    struct slice sorry = refusal(l, l->workers->workers[0].proxy);
    struct endpoint *d;
    char text[ADDRESS_TEXT_SIZE];
    collect_addresses(l);
    TAILQ_FOREACH (d, &l->endpoints, link) {
        if (is_served(d))
            continue;
        bool served = true;
        for (unsigned i = 0; i < d->acceptor_count; i++)
            served = serve_acceptor(&d->acceptors[i], sorry) && served;
        all = served && all;
        if (!served)
            log_event(LOG_ERROR, "no memory for a listener: the next reload tries again",
                      LOG_S("address", address_format(&d->address, text)));
        else
            log_listening(d);
    }
    return all;
}

void listeners_set_admin(struct listeners *l, struct admin *admin)
{
    l->admin = admin;
}

void listeners_stop(struct listeners *l)
{
    struct endpoint *d, *next;
    TAILQ_FOREACH_SAFE (d, &l->endpoints, link, next) {
        if (is_admin(d))
            continue;
        TAILQ_REMOVE(&l->endpoints, d, link);
        free_endpoint(d);
    }
}

void listeners_free(struct listeners *l)
{
    struct endpoint *d;
    while ((d = TAILQ_FIRST(&l->endpoints))) {
        TAILQ_REMOVE(&l->endpoints, d, link);
        free_endpoint(d);
    }
    free(l->own);
    free(l);
}
