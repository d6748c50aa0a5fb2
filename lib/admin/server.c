#include "admin/server.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/time.h>

#include "admin/connections.h"
#include "admin/diagnosis.h"
#include "admin/guard.h"
#include "admin/routes.h"
#include "base/clock.h"

#define SAMPLE_MS 1000

struct admin {
    struct admin_daemon daemon;
    struct connections *connections;
    struct diagnosis *diagnosis;
    struct event sample;
};

/* Who may not ask cannot make the loops stand still, and keeps no place. The halt ends before the answer
 * is sent. */
static void answer(void *ctx, const struct request *r, const struct address *peer, struct admin_answer *out)
{
    struct admin *a = ctx;
    const struct guard_request asked = {
        .is_local = peer->sa.any.sa_family == AF_UNIX,
        .peer = *peer,
        .host = r->host,
        .origin = r->origin,
    };
    const char *refused = guard_refusal(a->daemon.config(a->daemon.ctx), &asked);

    if (refused) {
        out->last = true;
        admin_answer_error(out, 403, refused);
        return;
    }
    a->daemon.halt(a->daemon.ctx);
    admin_answer(&a->daemon, a->diagnosis, r->method, r->path, out);
    a->daemon.go_on(a->daemon.ctx);
}

static void on_sample(evutil_socket_t fd, short what, void *ctx)
{
    struct admin *a = ctx;

    (void)fd;
    (void)what;
    clock_update();
    a->daemon.halt(a->daemon.ctx);
    diagnosis_sample(a->diagnosis);
    a->daemon.go_on(a->daemon.ctx);
}

struct admin *admin_new(const struct admin_daemon *daemon)
{
    struct timeval second = {.tv_sec = SAMPLE_MS / 1000};
    struct admin *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->daemon = *daemon;
    event_assign(&a->sample, daemon->base, -1, EV_PERSIST, on_sample, a);
    a->diagnosis = diagnosis_new(&a->daemon);
    a->connections = connections_new(daemon->base, answer, a);
    if (!a->diagnosis || !a->connections || event_add(&a->sample, &second) != 0) {
        admin_free(a);
        return NULL;
    }
    return a;
}

void admin_accept(struct admin *a, const void *listener, int fd, const struct address *peer)
{
    connections_take(a->connections, listener, fd, peer);
}

void admin_listener_closed(struct admin *a, const void *listener)
{
    connections_end(a->connections, listener);
}

static void answer_waiting(void *ctx, struct admin_answer *out)
{
    answer_reloaded(ctx, out);
}

void admin_reloaded(struct admin *a, uint64_t number)
{
    a->daemon.halt(a->daemon.ctx);
    diagnosis_look(a->diagnosis);
    a->daemon.go_on(a->daemon.ctx);
    connections_answer_waiting(a->connections, number, answer_waiting, &a->daemon);
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    event_del(&a->sample);
    connections_free(a->connections);
    diagnosis_free(a->diagnosis);
    free(a);
}
