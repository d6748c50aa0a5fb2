/* The request's half: its head, then its content, from the client's buffer to the socket. */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/exchange.h"
#include "proxy/rewrite.h"

/* A parent proxy is told whose the request is, and who we are (RFC 9112 3.2.2). */
static void push_head_for_parent(struct exchange *e, const struct parent_proxy *parent)
{
    struct slice head = buffer_unread(e->head);
    size_t target = (size_t)((const char *)memchr(head.p, ' ', head.n) + 1 - head.p);
    struct slice rest = slice_from(head, target);
    if (rest.p[0] == '*') /* OPTIONS for the whole server: no path at all */
        rest = slice_from(rest, 1);
    sendq_push(&e->up.out, (struct slice){head.p, target});
    sendq_push(&e->up.out, SLICE("http://"));
    sendq_push(&e->up.out, e->origin->authority);
    sendq_push(&e->up.out, rest);
    sendq_push(&e->up.out, slice_of(parent->authorization));
}

static void push_request(struct exchange *e)
{
    bool last = socket_is_on_its_last_exchange(e->socket);
    e->end.told_close = last;
    if (e->socket->parent)
        push_head_for_parent(e, e->socket->parent);
    else
        sendq_push(&e->up.out, buffer_unread(e->head));
    sendq_push(&e->up.out, connection_lines(last, e->asked_upgrade, e->te_trailers));
    e->head_pieces = e->up.out.count;
}

/* For a repeat: what was sent is sent again, and what was queued and not sent stays queued behind a head
 * that is whole again. */
static void requeue(struct exchange *e)
{
    struct sendq rest = e->up.out;
    bool kept = e->up.keep_limit > 0;
    bool unsent_batch = e->up.batch && !kept;
    unsigned head_pieces = e->head_pieces;
    sendq_clear(&e->up.out);
    push_request(e);
    if (kept && e->up.kept)
        relay_push_kept(&e->up);
    if (!unsent_batch)
        return;
    for (unsigned i = head_pieces; i < rest.count; i++)
        sendq_push(&e->up.out,
                   (struct slice){rest.v[rest.first + i].iov_base, rest.v[rest.first + i].iov_len});
}

void upload_start(struct exchange *e)
{
    if (e->retries == 0 && e->up.out.count == 0)
        push_request(e);
    else
        requeue(e);
    exchange_arm(e);
    upload_pump(e);
}

/* Carpool itself does not read: the client's clock stands still. */
static void set_upload(struct exchange *e, enum upload_state state)
{
    if (state == UPLOAD_BLOCKED && e->upload != UPLOAD_BLOCKED)
        e->blocked_since_ms = clock_ms();
    if (state != UPLOAD_BLOCKED && e->upload == UPLOAD_BLOCKED)
        e->body_grace_ms += clock_ms() - e->blocked_since_ms;
    e->upload = state;
}

/* The origin takes no more: what it sent before may still be a response (RFC 9112 9.5). */
static void sink_failed(struct exchange *e)
{
    const struct socket *s = e->socket;
    int error = s->conn.error;
    set_upload(e, UPLOAD_STOPPED);
    download_pump(e);
    if (e->state == EXCHANGE_RELAY && e->socket == s && !e->in_body && !e->response_begun)
        attempt_failed(e, error);
}

void upload_pump(struct exchange *e)
{
    struct client *c = e->client;
    const struct relay_ends ends = {
        .from = &c->conn,
        .in = &c->in,
        .to = &e->socket->conn,
        .bodies = &e->proxy->bodies,
        .pipes = &e->proxy->pipes,
        .scratch = &e->proxy->request_head,
    };
    uint64_t sent_before = e->up.out.sent;
    enum relay_result result = relay_pump(&e->up, &ends);
    if (e->up.out.sent != sent_before)
        e->moved_ms = clock_ms();
    switch (result) {
    case RELAY_DONE:
        set_upload(e, UPLOAD_DONE);
        client_watch_later(c);
        return;
    case RELAY_STARVED:
        set_upload(e, UPLOAD_STARVED);
        exchange_await_client(e);
        return;
    case RELAY_BLOCKED:
        set_upload(e, UPLOAD_BLOCKED);
        client_watch_later(c);
        return;
    case RELAY_YIELD:
        set_upload(e, UPLOAD_STARVED);
        client_watch(c);
        if (c->exchange == e)
            conn_call_again(&c->conn);
        return;
    case RELAY_SOURCE_EOF:
    case RELAY_SOURCE_FAILED: exchange_client_gone(e, CLIENT_CLOSED); return;
    case RELAY_SINK_FAILED: sink_failed(e); return;
    case RELAY_MALFORMED:
        set_upload(e, UPLOAD_STOPPED);
        exchange_fail(e, FAULT_BAD_REQUEST, RETIRE_CLIENT_ABORTED,
                      "the request's chunked content is malformed (RFC 9112 7.1)");
        return;
    case RELAY_NO_MEMORY:
        set_upload(e, UPLOAD_STOPPED);
        exchange_fail(e, FAULT_INTERNAL, RETIRE_CLIENT_ABORTED, "out of memory for the request's content");
        return;
    }
}
