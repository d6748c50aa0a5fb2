#include "daemon/listeners.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/endpoint.h"
#include "daemon/passed.h"
#include "proxy/reply.h"

struct listeners {
    struct workers *workers;
    struct admin *admin;
    struct endpoint_list open;
    struct endpoint_list fresh; /* prepared; at the start also what systemd passed */
    struct address *own;        /* of all that are open, for loops */
    struct address *fresh_own;  /* of all that will be */
    unsigned fresh_count;
    struct listen_address control; /* the admin API's, whatever the configuration says */
    char refusal[512];             /* what a connection is answered for which there is no descriptor */
    size_t refusal_length;
};

/* One that the configuration wants. */
struct wish {
    enum role role;
    const char *upstream; /* of a gateway */
    const struct listen_address *at;
};

/* ---- walking */

typedef bool each_wish(void *ctx, const struct wish *w);

static bool walk_list(enum role role, const char *upstream, const struct listen_list *list, each_wish *each,
                      void *ctx)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (!each(ctx, &(struct wish){role, upstream, &list->items[i]}))
            return false;
    return true;
}

/* Every listener of the configuration, until `each` says false. */
static bool walk(const struct config *c, each_wish *each, void *ctx)
{
    if (!walk_list(ROLE_ADMIN, NULL, &c->admin.listen, each, ctx))
        return false;
    for (uint32_t i = 0; i < c->upstream_count; i++)
        if (!walk_list(ROLE_GATEWAY, c->upstreams[i].name, &c->upstreams[i].listen, each, ctx))
            return false;
    /* Last, so that a client that finds it open finds the others open, too. */
    return walk_list(ROLE_PROXY, NULL, &c->listen, each, ctx);
}

/* "FILE:LINE:COLUMN: error: upstreams.a.listen: " */
static void write_place(const struct config *c, const struct wish *w, char *out, size_t size)
{
    const char *option = w->role == ROLE_ADMIN ? "admin.listen" : "listen";
    char place[64] = "";
    bool is_gateway = w->role == ROLE_GATEWAY;
    if (w->at->line)
        snprintf(place, sizeof place, ":%u:%u", w->at->line, w->at->column);
    snprintf(out, size, "%s%s: error: %s%s%s%s: ", config_origin(c, w->at), place,
             is_gateway ? "upstreams." : "", is_gateway ? w->upstream : "", is_gateway ? "." : "", option);
}

/* ---- new */

static struct slice refusal(struct listeners *l)
{
    return (struct slice){l->refusal, l->refusal_length};
}

static void write_refusal(struct listeners *l, struct proxy *p)
{
    const struct reply r = {
        .fault = FAULT_TOO_MANY_CLIENTS,
        .instance = p->instance,
        .text = SLICE(
            "Carpool has no file descriptor left; raise LimitNOFILE (ulimit -n) or lower server.maxConnections"),
        .close = true,
    };
    struct buffer *b = buffer_borrow(p->heads);
    if (b && reply_write(&b, &r) && buffer_unread(b).n <= sizeof l->refusal) {
        memcpy(l->refusal, b->data, b->end);
        l->refusal_length = b->end;
    }
    buffer_give(b);
}

static bool add(struct listeners *l, const struct wish *w, struct binding *b)
{
    struct endpoint *e = endpoint_new(l->workers, l->admin, w->role, w->upstream, b, refusal(l));
    if (!e)
        return false;
    if (w->at)
        e->mode = w->at->mode;
    TAILQ_INSERT_TAIL(&l->fresh, e, link);
    return true;
}

static bool take_passed(struct listeners *l, const struct service_fd *passed)
{
    struct wish w = {.at = NULL};
    if (!passed_role(passed, &w.role, &w.upstream))
        return true;
    struct binding *b = binding_of_passed(passed->fd);
    if (!b)
        return false;
    bool added = add(l, &w, b);
    binding_unref(b);
    return added;
}

struct listeners *listeners_new(struct workers *workers, struct admin *admin, const struct service_fd *passed,
                                int passed_count)
{
    struct listeners *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->workers = workers;
    l->admin = admin;
    TAILQ_INIT(&l->open);
    TAILQ_INIT(&l->fresh);
    write_refusal(l, workers->workers[0].proxy);
    for (int i = 0; i < passed_count; i++) {
        if (take_passed(l, &passed[i]))
            continue;
        listeners_free(l);
        return NULL;
    }
    return l;
}

/* ---- to prepare */

static bool serves(const struct endpoint *e, enum role role, const char *upstream)
{
    return e->role == role && (!upstream || strcmp(e->upstream, upstream) == 0);
}

/* What systemd passed, and says whose `listen` it replaces; before the first commit it is among the fresh
 * ones. */
static struct endpoint *find_passed(struct listeners *l, const struct wish *w)
{
    struct endpoint *e;
    TAILQ_FOREACH (e, &l->open, link)
        if (e->binding->passed && serves(e, w->role, w->upstream))
            return e;
    TAILQ_FOREACH (e, &l->fresh, link)
        if (e->binding->passed && serves(e, w->role, w->upstream))
            return e;
    return NULL;
}

/* At that very address; not one that is there in name only. */
static struct endpoint *find_open(struct listeners *l, const struct address *a)
{
    struct endpoint *e;
    TAILQ_FOREACH (e, &l->open, link)
        if (!e->binding->passed && binding_is_there(e->binding) && address_equal(a, &e->binding->address))
            return e;
    return NULL;
}

/* Those of our own whose address overlaps, such as a wildcard of the same port, let this one in; they go when
 * it comes. */
static bool share_with(struct listeners *l, const struct address *a)
{
    struct endpoint *e;
    bool any = false;
    TAILQ_FOREACH (e, &l->open, link) {
        if (e->binding->passed || !address_collides(a, &e->binding->address))
            continue;
        binding_share(e->binding);
        any = true;
    }
    return any;
}

static bool is_passed(const struct endpoint_list *list, const struct address *a)
{
    const struct endpoint *e;
    TAILQ_FOREACH (e, list, link)
        if (e->binding->passed && address_collides(a, &e->binding->address))
            return true;
    return false;
}

/* What is being prepared, for the walk. */
struct preparation {
    struct listeners *listeners;
    const struct config *config;
    char *error;
    size_t error_size;
};

static bool out_of_memory(const struct preparation *p)
{
    snprintf(p->error, p->error_size, "out of memory");
    return false;
}

static bool cannot_open(struct preparation *p, const struct wish *w, const char *why)
{
    if (w->at == &p->listeners->control)
        snprintf(p->error, p->error_size, CONTROL_SOCKET_VARIABLE ": ");
    else
        write_place(p->config, w, p->error, p->error_size);
    size_t n = strlen(p->error);
    snprintf(p->error + n, p->error_size - n, "%s", why);
    return false;
}

static bool open_new(struct preparation *p, const struct wish *w)
{
    struct listeners *l = p->listeners;
    const struct address *a = &w->at->address;
    char why[512];
    if (is_passed(&l->open, a) || is_passed(&l->fresh, a))
        return cannot_open(
            p, w,
            "systemd passed a socket at this address, for another use: choose another one here or in the unit");
    struct binding *b = binding_new(a, w->at->mode, w->role == ROLE_ADMIN ? 1 : l->workers->count,
                                    share_with(l, a), why, sizeof why);
    if (!b)
        return cannot_open(p, w, why);
    bool added = add(l, w, b);
    binding_unref(b);
    return added || out_of_memory(p);
}

static bool want(void *ctx, const struct wish *w)
{
    struct preparation *p = ctx;
    assert(w->at);
    if (w->at != &p->listeners->control && find_passed(p->listeners, w))
        return true;
    struct endpoint *e = find_open(p->listeners, &w->at->address);
    if (!e)
        return open_new(p, w);
    if (!serves(e, w->role, w->upstream))
        return add(p->listeners, w, e->binding) || out_of_memory(p);
    e->kept = true;
    e->mode = w->at->mode;
    return true;
}

/* How `systemctl reload` reaches this daemon, whatever admin.listen was and will be. */
static bool want_control(struct preparation *p)
{
    struct listen_address *at = &p->listeners->control;
    const char *path = getenv(CONTROL_SOCKET_VARIABLE);
    char text[ADDRESS_TEXT_SIZE];
    if (!path || !*path)
        return true;
    snprintf(text, sizeof text, "unix:%s", path);
    at->mode = 0600;
    if (address_parse(&at->address, slice_of(text)))
        return want(p, &(struct wish){ROLE_ADMIN, NULL, at});
    snprintf(p->error, p->error_size,
             CONTROL_SOCKET_VARIABLE ": %s: must be an absolute path that fits a unix socket", path);
    return false;
}

static void begin(struct listeners *l)
{
    struct endpoint *e;
    TAILQ_FOREACH (e, &l->open, link) {
        e->kept = e->binding->passed;
        e->mode = e->mode_before = e->binding->mode;
    }
}

static bool collect_addresses(struct listeners *l)
{
    struct endpoint *e;
    unsigned count = 0;
    TAILQ_FOREACH (e, &l->open, link)
        count += e->kept;
    TAILQ_FOREACH (e, &l->fresh, link)
        count++;
    l->fresh_own = calloc(count + 1, sizeof *l->fresh_own);
    l->fresh_count = 0;
    if (!l->fresh_own)
        return false;
    TAILQ_FOREACH (e, &l->open, link)
        if (e->kept)
            l->fresh_own[l->fresh_count++] = e->binding->address;
    TAILQ_FOREACH (e, &l->fresh, link)
        l->fresh_own[l->fresh_count++] = e->binding->address;
    return true;
}

static bool set_modes(struct endpoint_list *list, char *error, size_t error_size)
{
    struct endpoint *e;
    TAILQ_FOREACH (e, list, link)
        if (e->mode != e->binding->mode && !binding_set_mode(e->binding, e->mode, error, error_size))
            return false;
    return true;
}

/* Last, when all is bound: from here on it shows. */
static bool show(struct listeners *l, char *error, size_t error_size)
{
    struct endpoint *e;
    TAILQ_FOREACH (e, &l->fresh, link)
        if (!e->binding->passed && !binding_listen(e->binding, error, error_size))
            return false;
    return set_modes(&l->open, error, error_size) && set_modes(&l->fresh, error, error_size);
}

bool listeners_prepare(struct listeners *l, const struct config *c, char *error, size_t error_size)
{
    struct preparation p = {l, c, error, error_size};
    begin(l);
    bool ok = passed_are_allowed(&l->open, c, error, error_size) &&
              passed_are_allowed(&l->fresh, c, error, error_size) && want_control(&p) && walk(c, want, &p);
    ok = ok && (collect_addresses(l) || out_of_memory(&p)) && show(l, error, error_size);
    if (!ok)
        listeners_discard(l);
    return ok;
}

static void discard_list(struct endpoint_list *list)
{
    struct endpoint *e;
    while ((e = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, e, link);
        endpoint_discard(e);
    }
}

void listeners_discard(struct listeners *l)
{
    struct endpoint *e;
    char error[256];
    discard_list(&l->fresh);
    TAILQ_FOREACH (e, &l->open, link) {
        binding_exclude(e->binding);
        if (e->binding->mode != e->mode_before)
            binding_set_mode(e->binding, e->mode_before, error, sizeof error);
    }
    free(l->fresh_own);
    l->fresh_own = NULL;
}

/* ---- to commit */

static void log_change(const struct endpoint *e, bool is_open)
{
    char text[ADDRESS_TEXT_SIZE];
    const char *address = address_format(&e->binding->address, text);
    const char *what = is_open ? "listening" : "no longer listening";
    switch (e->role) {
    case ROLE_PROXY: log_event(LOG_INFO, what, LOG_S("address", address)); break;
    case ROLE_GATEWAY:
        log_event(LOG_INFO, what, LOG_S("address", address), LOG_S("upstream", e->upstream));
        break;
    case ROLE_ADMIN:
        log_event(LOG_INFO, is_open ? "listening for the admin API" : "no longer listening for the admin API",
                  LOG_S("address", address));
        break;
    }
}

static void use_addresses(struct listeners *l)
{
    for (unsigned i = 0; i < l->workers->count; i++) {
        l->workers->workers[i].proxy->own = l->fresh_own;
        l->workers->workers[i].proxy->own_count = l->fresh_count;
    }
    free(l->own);
    l->own = l->fresh_own;
    l->fresh_own = NULL;
}

void listeners_commit(struct listeners *l, const struct config *c)
{
    struct endpoint *e, *next;
    use_addresses(l);
    /* New ones first: where addresses overlap, who connects now finds them. */
    TAILQ_FOREACH (e, &l->fresh, link)
        endpoint_open(e);
    TAILQ_FOREACH_SAFE (e, &l->open, link, next) {
        if (e->kept)
            continue;
        TAILQ_REMOVE(&l->open, e, link);
        log_change(e, false);
        endpoint_close(e);
    }
    TAILQ_FOREACH (e, &l->fresh, link) {
        log_change(e, true);
        binding_exclude(e->binding);
    }
    TAILQ_CONCAT(&l->open, &l->fresh, link);
    passed_warn(&l->open, c);
}

void listeners_write(const struct listeners *l, struct text *out)
{
    const struct endpoint *e;
    text_lit(out, "{\"listeners\":[");
    TAILQ_FOREACH (e, &l->open, link) {
        endpoint_write(e, out);
        if (TAILQ_NEXT(e, link))
            text_lit(out, ",");
    }
    text_lit(out, "]}\n");
}

/* The admin API's, one of TCP before one of a unix socket; NULL: it is off. */
static const struct endpoint *admin_endpoint(const struct listeners *l)
{
    const struct endpoint *e, *best = NULL;
    TAILQ_FOREACH (e, &l->open, link)
        if (e->role == ROLE_ADMIN && (!best || address_port(&best->binding->address) == 0))
            best = e;
    return best;
}

void listeners_write_admin_path(const struct listeners *l, const char *path, struct text *out)
{
    const struct endpoint *e = admin_endpoint(l);
    const struct address *at = e ? &e->binding->address : NULL;
    char text[ADDRESS_TEXT_SIZE];
    if (at && address_is_any(at))
        text_format(out, "http://localhost:%u%s", address_port(at), path);
    else if (at && address_port(at) > 0)
        text_format(out, "http://%s%s", address_format(at, text), path);
    else
        text_format(out, "%s of %s", path, at ? address_format(at, text) : "the admin listener");
}

/* ---- the end */

void listeners_stop(struct listeners *l)
{
    struct endpoint *e, *next;
    TAILQ_FOREACH_SAFE (e, &l->open, link, next) {
        if (e->role == ROLE_ADMIN)
            continue;
        TAILQ_REMOVE(&l->open, e, link);
        endpoint_close(e);
    }
}

void listeners_free(struct listeners *l)
{
    discard_list(&l->fresh);
    discard_list(&l->open);
    free(l->fresh_own);
    free(l->own);
    free(l);
}
