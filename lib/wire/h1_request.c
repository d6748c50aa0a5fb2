/* The request's half: its head and its content, framed for HTTP/1.1. */

#include <string.h>

#include "config/config.h"
#include "wire/h1_internal.h"

struct slice connection_lines(bool close, bool upgrade, bool te_trailers)
{
    if (upgrade)
        return SLICE("Connection: Upgrade\r\n\r\n");
    if (te_trailers)
        return close ? SLICE("TE: trailers\r\nConnection: close, TE\r\n\r\n")
                     : SLICE("TE: trailers\r\nConnection: keep-alive, TE\r\n\r\n");
    return close ? SLICE("Connection: close\r\n\r\n") : SLICE("Connection: keep-alive\r\n\r\n");
}

/* A parent proxy must know the request's origin, and who we are (RFC 9112 3.2.2). */
static void queue_for_parent(struct h1 *h, const struct parent_proxy *parent)
{
    struct slice head = h->asked.head;
    size_t target = (size_t)((const char *)memchr(head.p, ' ', head.n) + 1 - head.p);
    struct slice rest = slice_from(head, target);
    if (rest.p[0] == '*') /* OPTIONS for the whole server: no path at all */
        rest = slice_from(rest, 1);
    sendq_push(&h->out, (struct slice){head.p, target});
    sendq_push(&h->out, SLICE("http://"));
    sendq_push(&h->out, h->asked.authority);
    sendq_push(&h->out, rest);
    sendq_push(&h->out, slice_of(parent->authorization));
}

void h1_queue_head(struct h1 *h)
{
    if (h->wire->parent)
        queue_for_parent(h, h->wire->parent);
    else
        sendq_push(&h->out, h->asked.head);
    sendq_push(&h->out, connection_lines(h->asked.last, h->asked.upgrade, h->asked.te_trailers));
    h->end.told_close = h->asked.last;
}

static void queue_content(struct h1 *h, const struct call_content *content)
{
    body_writer_push(&h->writer, &h->out, content->runs, content->count, content->last, content->trailers);
    if (content->last)
        h->request = H1_REQUEST_LAST;
}

static void note_sent(struct h1 *h)
{
    call_sent(h->call, (size_t)(h->out.sent - h->call->sent));
}

static enum call_write failed(struct h1 *h)
{
    h->request = H1_REQUEST_FAILED;
    h->write_error = h->wire->conn.error;
    return CALL_WRITE_FAILED;
}

enum call_write h1_send(struct call *c, const struct call_content *content)
{
    struct h1 *h = h1_of(c);
    if (h->request == H1_REQUEST_FAILED)
        return CALL_WRITE_FAILED;
    if (content)
        queue_content(h, content);
    enum sendq_result result = sendq_flush(&h->out, &h->wire->conn);
    note_sent(h);
    if (result == SENDQ_FAILED)
        return failed(h);
    if (result == SENDQ_BLOCKED)
        return CALL_BLOCKED;
    if (h->request == H1_REQUEST_LAST)
        h->request = H1_REQUEST_SENT;
    return CALL_SENT;
}

bool h1_takes_pipe(const struct call *c)
{
    const struct h1 *h = h1_of(c);
    return h->request == H1_REQUEST_OPEN && !h->writer.chunked && h->out.count == 0 &&
           conn_can_splice(&h->wire->conn);
}

ssize_t h1_splice_out(struct call *c, struct pipe *p)
{
    struct h1 *h = h1_of(c);
    ssize_t n = conn_splice_out(&h->wire->conn, p);
    if (n > 0) {
        h->out.sent += (uint64_t)n;
        note_sent(h);
    }
    if (n == CONN_ERROR || n == CONN_EOF)
        failed(h);
    return n;
}
