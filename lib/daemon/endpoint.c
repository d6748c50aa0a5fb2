#include "daemon/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "admin/server.h"
#include "io/listener.h"

static void on_accept(void *ctx, int fd, const struct address *peer)
{
    const struct acceptor *a = ctx;
    const struct endpoint *e = a->endpoint;
    if (e->role == ROLE_ADMIN)
        admin_accept(e->admin, e, fd, peer);
    else
        proxy_accept(a->worker->proxy, e->frontend, fd, peer);
}

/* A client is worth more than a free socket. */
static enum relief relieve(void *pool)
{
    return pool_relieve(pool);
}

static bool add_acceptor(struct endpoint *e, struct worker *w, int fd, struct slice refusal)
{
    struct acceptor *a = &e->acceptors[e->acceptor_count++];
    *a = (struct acceptor){.endpoint = e, .worker = w, .listener = listener_new(w->base, fd, on_accept, a)};
    if (!a->listener)
        return false;
    if (e->role != ROLE_ADMIN)
        listener_set_refusal(a->listener, refusal);
    listener_set_relief(a->listener, relieve, w->pool);
    return true;
}

/* One for each loop, which may share a socket; all sockets have one. The admin API is the first loop's. */
static bool add_acceptors(struct endpoint *e, struct workers *workers, unsigned count, struct slice refusal)
{
    for (unsigned i = 0; i < count; i++) {
        struct worker *w = &workers->workers[e->role == ROLE_ADMIN ? 0 : i];
        if (!add_acceptor(e, w, e->binding->fds[i % e->binding->count], refusal))
            return false;
    }
    return true;
}

struct endpoint *endpoint_new(struct workers *workers, struct admin *admin, enum role role,
                              const char *upstream, struct binding *binding, struct slice refusal)
{
    unsigned count = role == ROLE_ADMIN ? binding->count : workers->count;
    struct endpoint *e = calloc(1, sizeof *e + count * sizeof e->acceptors[0]);
    if (!e)
        return NULL;
    e->role = role;
    e->admin = role == ROLE_ADMIN ? admin : NULL;
    e->binding = binding_ref(binding);
    e->mode = e->mode_before = binding->mode;
    e->upstream = upstream ? strdup(upstream) : NULL;
    e->frontend = role == ROLE_ADMIN ? NULL : frontend_new(upstream, &binding->address);
    if ((!upstream || e->upstream) && (role == ROLE_ADMIN || e->frontend) &&
        add_acceptors(e, workers, count, refusal))
        return e;
    endpoint_discard(e);
    return NULL;
}

void endpoint_open(struct endpoint *e)
{
    for (unsigned i = 0; i < e->acceptor_count; i++)
        listener_begin(e->acceptors[i].listener);
}

void endpoint_close(struct endpoint *e)
{
    if (e->role == ROLE_ADMIN)
        admin_listener_closed(e->admin, e);
    else if (e->binding->refs == 1 && !e->binding->passed)
        for (unsigned i = 0; i < e->acceptor_count; i++)
            listener_drain(e->acceptors[i].listener);
    endpoint_discard(e);
}

void endpoint_discard(struct endpoint *e)
{
    for (unsigned i = 0; i < e->acceptor_count; i++)
        listener_free(e->acceptors[i].listener);
    frontend_unref(e->frontend);
    binding_unref(e->binding);
    free(e->upstream);
    free(e);
}

void endpoint_write(const struct endpoint *e, struct text *out)
{
    char text[ADDRESS_TEXT_SIZE];
    text_lit(out, "{\"address\":");
    text_json(out, slice_of(address_format(&e->binding->address, text)));
    switch (e->role) {
    case ROLE_PROXY: text_lit(out, ",\"for\":\"proxy\""); break;
    case ROLE_ADMIN: text_lit(out, ",\"for\":\"admin\""); break;
    case ROLE_GATEWAY:
        text_lit(out, ",\"for\":\"upstream\",\"upstream\":");
        text_json(out, slice_of(e->upstream));
        break;
    }
    text_put(out, e->binding->passed ? SLICE(",\"passed\":true}") : SLICE(",\"passed\":false}"));
}
