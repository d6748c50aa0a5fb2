/* What is recorded of an exchange when it has ended: counters, the histogram, the access log's line. */

#include "proxy/record.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/uri.h"
#include "http/userinfo.h"
#include "proxy/exchange.h"
#include "proxy/inside.h"

/* The request line stands in the outgoing head, or is all that was kept of a request that was refused: method
 * SP target. */
static struct slice word_of(struct slice line, unsigned nth)
{
    for (unsigned i = 0;; i++) {
        const char *space = memchr(line.p, ' ', line.n);
        size_t n = space ? (size_t)(space - line.p) : line.n;
        if (i == nth)
            return (struct slice){line.p, n};
        if (!space)
            return SLICE("-");
        line = slice_from(line, n + 1);
    }
}

static void append(struct slice *to, size_t size, char *room, struct slice s)
{
    size_t n = s.n < size - to->n ? s.n : size - to->n;
    memcpy(room + to->n, s.p, n);
    to->n += n;
}

struct slice record_shown(const struct config *c, struct slice target)
{
    const char *query = c->accessLog.query == QUERY_STRIP ? memchr(target.p, '?', target.n) : NULL;
    if (query)
        target.n = (size_t)(query - target.p);
    return target;
}

/* What the request asked for, in absolute form (RFC 9110 7.1). False where that cannot be known. */
static bool read_target(const struct head *h, bool is_connect, const struct uri *inside, struct uri *u)
{
    const struct field *host = head_find(h, FIELD_HOST);
    if (is_connect)
        return uri_parse_authority(h->target, u) == URI_OK;
    if (uri_parse_absolute(h->target, u) == URI_OK)
        return true;
    if (inside) {
        *u = *inside;
        return uri_parse_origin_form(h->target, u) == URI_OK;
    }
    if (!host || !uri_parse_host_field(host->value, u) || uri_parse_origin_form(h->target, u) != URI_OK)
        return false;
    u->scheme = SCHEME_HTTP;
    return true;
}

static void append_target(struct slice *line, size_t room, char *to, const struct uri *u, bool is_connect)
{
    char port[16] = "";
    if (is_connect || u->port != scheme_default_port(u->scheme))
        snprintf(port, sizeof port, ":%u", u->port);
    append(line, room, to, slice_of(is_connect ? "tunnel" : scheme_name(u->scheme)));
    append(line, room, to, u->ipv6 ? SLICE("://[") : SLICE("://"));
    append(line, room, to, uri_host(u));
    append(line, room, to, u->ipv6 ? SLICE("]") : SLICE(""));
    append(line, room, to, slice_of(port));
    if (!is_connect)
        append(line, room, to, u->path_query);
}

void exchange_keep_line(struct exchange *e, const struct head *h)
{
    struct uri u;
    struct buffer *b = e->head = buffer_borrow(e->client->proxy->heads);
    if (!b)
        return;
    size_t room = buffer_room(b);
    struct slice line = {b->data, 0};
    append(&line, room, b->data, h->method);
    append(&line, room, b->data, SLICE(" "));
    if (read_target(h, e->asked.connect, inside_authority(e->client), &u))
        append_target(&line, room, b->data, &u, e->asked.connect);
    else
        line.n += userinfo_mask(h->target, b->data + line.n, room - line.n);
    b->end = (uint32_t)line.n;
}

void exchange_keep_connect(struct exchange *e, const struct uri *to)
{
    struct buffer *b = e->head = buffer_borrow(e->client->proxy->heads);
    if (!b)
        return;
    struct slice line = {b->data, 0};
    append(&line, buffer_room(b), b->data, SLICE("CONNECT "));
    append_target(&line, buffer_room(b), b->data, to, true);
    b->end = (uint32_t)line.n;
}

struct slice exchange_target(const struct exchange *e, char *room, size_t size)
{
    if (!e->head)
        return SLICE("-");
    if (!e->waiter.origin)
        return record_shown(e->client->proxy->config, word_of(buffer_unread(e->head), 1));
    if (e->asked.connect)
        return slice_of(e->waiter.origin->key);
    struct slice path = word_of(buffer_unread(e->head), 1);
    const char *end = strstr(e->waiter.origin->key, "://");
    struct slice target = {room, 0};
    append(&target, size, room,
           (struct slice){e->waiter.origin->key, (size_t)(end + 3 - e->waiter.origin->key)});
    append(&target, size, room, e->waiter.origin->authority);
    if (path.n > 0 && path.p[0] == '/')
        append(&target, size, room, record_shown(e->client->proxy->config, path));
    return target;
}

/* It was the service that took too long, or the way there. */
static bool timed_out_on_connection(const struct exchange *e)
{
    enum fault fault = e->outcome.fault;
    return e->transfer && e->transfer->times.granted_us > 0 &&
           (fault == FAULT_READ_TIMEOUT || fault == FAULT_WRITE_TIMEOUT || fault == FAULT_RESPONSE_TIMEOUT ||
            fault == FAULT_DEAD_PATH);
}

static void count(const struct exchange *e)
{
    struct origin_stats *stats = &e->waiter.origin->stats;
    uint64_t took_us = clock_us() - e->began_us, waited_us = stopwatch_total_us(&e->waiter.pending);
    if (e->outcome.fault != FAULT_NONE) {
        stats->errors[fault_proxy_error(e->outcome.fault)]++;
        stats->timed_out_waiting += e->outcome.fault == FAULT_RESPONSE_TIMEOUT && waited_us * 2 > took_us;
        if (timed_out_on_connection(e)) {
            stats->timed_out++;
            stats->timed_out_us += took_us > waited_us ? took_us - waited_us : 0;
        }
    } else if (e->transfer && e->transfer->download.state == DOWNLOAD_DONE) {
        histogram_add(&stats->request, took_us);
    } else {
        stats->client_aborts++;
    }
}

static void describe_transfer(const struct transfer *t, struct exchange_record *r)
{
    r->protocol = t->attempts.protocol;
    r->reused = t->attempts.reused;
    r->retries = t->attempts.retries;
    r->bytes_in = t->upload.content;
    r->bytes_out = t->reply_length + t->download.content;
    r->connect_us = t->times.connect_us;
    r->ttfb_us = t->call.first_byte_us ? t->call.first_byte_us - t->exchange->began_us : 0;
}

void exchange_describe(const struct exchange *e, struct exchange_record *r, char *target, size_t size)
{
    *r = (struct exchange_record){
        .caller = e->client->caller ? e->client->caller->name : NULL,
        .method = e->head ? word_of(buffer_unread(e->head), 0) : SLICE("-"),
        .target = exchange_target(e, target, size),
        .status = e->outcome.status,
        .agent = e->waiter.origin ? slice_of(e->waiter.origin->agent->name) : SLICE(""),
        .pending_us = stopwatch_total_us(&e->waiter.pending),
        .error = e->outcome.fault == FAULT_NONE ? NULL : fault_error(e->outcome.fault),
    };
    if (e->transfer)
        describe_transfer(e->transfer, r);
}

void exchange_record(const struct exchange *e)
{
    struct proxy *p = e->client->proxy;
    struct exchange_record r;
    char target[RECORD_TARGET_SIZE];
    p->stats.requests_by_status[e->outcome.status]++;
    if (e->waiter.origin)
        count(e);
    if (e->client->caller)
        e->client->caller->errors += e->outcome.fault != FAULT_NONE;
    if (!p->record)
        return;
    const struct address peer = peer_address_get(&e->client->peer);
    exchange_describe(e, &r, target, sizeof target);
    r.client = &peer;
    r.total_us = clock_us() - e->began_us;
    p->record(p->record_ctx, &r);
}
