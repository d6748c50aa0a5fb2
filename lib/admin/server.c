#include "admin/server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "admin/diagnosis.h"
#include "admin/guard.h"
#include "admin/routes.h"
#include "base/clock.h"

/* The API takes no bodies worth naming; a client that says nothing for this long is gone. */
#define MAX_HEAD_SIZE (16 * 1024)
#define MAX_BODY_SIZE (16 * 1024)
#define TIMEOUT_S     10
/* What may leave in one turn of the loop: libevent's 16 KiB make a table of many origins last for hundreds. */
#define MAX_WRITE_SIZE (1024 * 1024)

#define SAMPLE_MS 1000

/* One descriptor that is listened on. */
struct endpoint {
    LIST_ENTRY(endpoint) link;
    struct evhttp_bound_socket *bound;
};

struct admin {
    struct admin_daemon daemon;
    struct evhttp *http;
    struct diagnosis *diagnosis;
    struct event sample;
    LIST_HEAD(, endpoint) endpoints;
};

/* The request */

static enum admin_method method_of(struct evhttp_request *req)
{
    enum evhttp_cmd_type command = evhttp_request_get_command(req);

    if (command == EVHTTP_REQ_GET || command == EVHTTP_REQ_HEAD)
        return ADMIN_GET;
    return command == EVHTTP_REQ_POST ? ADMIN_POST : ADMIN_OTHER;
}

/* The only field of this name; p is NULL when there is none. False when there are several. */
static bool single_field(struct evhttp_request *req, const char *name, struct slice *value)
{
    struct evkeyval *field;

    *value = (struct slice){NULL, 0};
    TAILQ_FOREACH (field, evhttp_request_get_input_headers(req), next) {
        if (!slice_eq_nocase(slice_of(field->key), slice_of(name)))
            continue;
        if (value->p)
            return false;
        *value = slice_of(field->value);
    }
    return true;
}

/* "/path" of "/path?query" and of "http://host/path?query", with the latter's authority. False: neither. */
static bool split_target(struct slice target, struct slice *authority, struct slice *path)
{
    const char *end;

    *authority = (struct slice){NULL, 0};
    if (target.n > 7 && slice_eq_nocase((struct slice){target.p, 7}, SLICE("http://"))) {
        struct slice rest = slice_from(target, 7);
        const char *slash = memchr(rest.p, '/', rest.n);
        size_t n = slash ? (size_t)(slash - rest.p) : rest.n;

        *authority = (struct slice){rest.p, n};
        target = slash ? slice_from(rest, n) : SLICE("/");
    }
    if (target.n == 0 || target.p[0] != '/')
        return false;
    end = memchr(target.p, '?', target.n);
    *path = (struct slice){target.p, end ? (size_t)(end - target.p) : target.n};
    return true;
}

/* Where the connection came from and to. */
static bool peer_of(struct evhttp_request *req, struct guard_request *guard)
{
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
    struct address own = {.length = sizeof own.sa};
    int fd = bufferevent_getfd(bev);

    guard->peer.length = sizeof guard->peer.sa;
    if (getsockname(fd, &own.sa.any, &own.length) != 0 ||
        getpeername(fd, &guard->peer.sa.any, &guard->peer.length) != 0)
        return false;
    guard->is_local = own.sa.any.sa_family == AF_UNIX;
    return true;
}

/* NULL, or a sentence about what is wrong with the request; `status` goes with it. */
static const char *refusal(struct admin *a, struct evhttp_request *req, struct slice *path, unsigned *status)
{
    struct guard_request guard = {0};
    struct slice authority, target = slice_of(evhttp_request_get_uri(req));

    *status = 400;
    if (!split_target(target, &authority, path))
        return "the target is not a path";
    if (!single_field(req, "Host", &guard.host) || !single_field(req, "Origin", &guard.origin))
        return "Host or Origin stands there twice";
    if (authority.p)
        guard.host = authority;
    if (!guard.host.p && (req->major > 1 || (req->major == 1 && req->minor >= 1)))
        return "Host is missing";
    *status = 403;
    if (!peer_of(req, &guard))
        return "the connection is gone";
    return guard_refusal(a->daemon.config(a->daemon.ctx), &guard);
}

/* The answer */

static void free_body(const void *data, size_t n, void *p)
{
    (void)data;
    (void)n;
    free(p);
}

/* From here on the client is to say something. */
static void on_answered(struct evhttp_request *req, void *ctx)
{
    (void)ctx;
    evhttp_connection_set_timeout(evhttp_request_get_connection(req), TIMEOUT_S);
}

static void add_field(struct evhttp_request *req, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(req), name, value);
}

/* A whole answer may take long: what is limited is how long nothing of it is taken. evhttp would count that the client
 * says nothing meanwhile. */
static void allow_for_length(struct evhttp_request *req)
{
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
    struct timeval limit = {.tv_sec = TIMEOUT_S};

    bufferevent_set_max_single_write(bev, MAX_WRITE_SIZE);
    bufferevent_set_timeouts(bev, NULL, &limit);
    evhttp_request_set_on_complete_cb(req, on_answered, NULL);
}

static void send_answer(struct evhttp_request *req, struct admin_answer *answer)
{
    bool is_head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    char length[32];

    if (answer->body.failed) {
        text_free(&answer->body);
        admin_answer_error(answer, 500, "out of memory");
    }
    add_field(req, "Content-Type", answer->type);
    add_field(req, "Cache-Control", "no-store");
    add_field(req, "X-Content-Type-Options", "nosniff");
    add_field(req, "Cross-Origin-Resource-Policy", "same-origin");
    if (answer->allow)
        add_field(req, "Allow", answer->allow);
    if (*answer->policy)
        add_field(req, "Content-Security-Policy", answer->policy);
    snprintf(length, sizeof length, "%zu", answer->body.n);
    if (is_head)
        add_field(req, "Content-Length", length);
    allow_for_length(req);
    /* The body is handed over, not copied: it may be megabytes. */
    if (is_head ||
        evbuffer_add_reference(out, answer->body.p, answer->body.n, free_body, answer->body.p) != 0)
        text_free(&answer->body);
    evhttp_send_reply(req, (int)answer->status, NULL, NULL);
}

static void on_request(struct evhttp_request *req, void *ctx)
{
    struct admin *a = ctx;
    struct admin_answer answer = {0};
    struct slice path;
    unsigned status;
    const char *refused = refusal(a, req, &path, &status);

    clock_update();
    if (refused) {
        admin_answer_error(&answer, status, refused);
    } else { /* nobody else can make the loops stand still */
        a->daemon.halt(a->daemon.ctx);
        admin_answer(&a->daemon, a->diagnosis, method_of(req), path, &answer);
        a->daemon.go_on(a->daemon.ctx);
    }
    send_answer(req, &answer);
}

/* The endpoints */

/* Out of descriptors. The loop would tell at once and for ever that somebody waits; on_sample() opens the
 * endpoint again. */
static void on_accept_error(struct evconnlistener *listener, void *ctx)
{
    (void)ctx;
    evconnlistener_disable(listener);
}

bool admin_listen(struct admin *a, int fd)
{
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);

    if (!endpoint) {
        close(fd);
        return false;
    }
    endpoint->bound = evhttp_accept_socket_with_handle(a->http, fd);
    if (!endpoint->bound) {
        close(fd);
        free(endpoint);
        return false;
    }
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(endpoint->bound), on_accept_error);
    LIST_INSERT_HEAD(&a->endpoints, endpoint, link);
    return true;
}

void admin_unlisten(struct admin *a)
{
    struct endpoint *endpoint;

    while ((endpoint = LIST_FIRST(&a->endpoints))) {
        LIST_REMOVE(endpoint, link);
        evhttp_del_accept_socket(a->http, endpoint->bound);
        free(endpoint);
    }
}

static void on_sample(evutil_socket_t fd, short what, void *ctx)
{
    struct admin *a = ctx;
    struct endpoint *endpoint;

    (void)fd;
    (void)what;
    clock_update();
    a->daemon.halt(a->daemon.ctx);
    diagnosis_sample(a->diagnosis);
    a->daemon.go_on(a->daemon.ctx);
    LIST_FOREACH (endpoint, &a->endpoints, link)
        evconnlistener_enable(evhttp_bound_socket_get_listener(endpoint->bound));
}

static struct evhttp *new_http(struct event_base *base, struct admin *a)
{
    struct evhttp *http = evhttp_new(base);

    if (!http)
        return NULL;
    evhttp_set_max_headers_size(http, MAX_HEAD_SIZE);
    evhttp_set_max_body_size(http, MAX_BODY_SIZE);
    evhttp_set_timeout(http, TIMEOUT_S);
    /* All that evhttp knows, so that the others get 405 with Allow from the routes. */
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                         EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(http, on_request, a);
    return http;
}

struct admin *admin_new(const struct admin_daemon *daemon)
{
    struct timeval second = {.tv_sec = SAMPLE_MS / 1000};
    struct admin *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->daemon = *daemon;
    LIST_INIT(&a->endpoints);
    event_assign(&a->sample, daemon->base, -1, EV_PERSIST, on_sample, a);
    a->diagnosis = diagnosis_new(daemon->pools[0]);
    a->http = new_http(daemon->base, a);
    if (!a->diagnosis || !a->http || event_add(&a->sample, &second) != 0) {
        admin_free(a);
        return NULL;
    }
    return a;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    event_del(&a->sample);
    admin_unlisten(a);
    if (a->http)
        evhttp_free(a->http);
    diagnosis_free(a->diagnosis);
    free(a);
}
