#include "proxy/upload.h"

#include "base/clock.h"
#include "proxy/exchange.h"

/* Reads and batches a turn: one busy pair must not keep the others waiting, nor one whose chunks are tiny. */
#define READS_PER_TURN   16
#define BATCHES_PER_TURN 64

/* How much of the content may be kept for a repeat. */
static uint64_t keep_limit(const struct exchange *e)
{
    const struct framing *f = &e->framing;
    if (!e->waiter.origin)
        return 0;
    const struct agent_policy *policy = exchange_policy(e);
    /* What an HTTP/2 origin did not process is repeated whatever its method. */
    bool may_repeat = (e->asked.idempotent && policy->retries > 0) || e->waiter.origin->offer != OFFER_HTTP1;
    bool fits = f->kind != BODY_LENGTH || f->length <= policy->replayLimit;
    return may_repeat && fits ? policy->replayLimit : 0;
}

void upload_begin(struct exchange *e)
{
    struct upload *u = &e->transfer->upload;
    body_reader_begin(&u->reader, e->framing);
    u->state = UPLOAD_STARVED;
    u->keep_limit = keep_limit(e);
}

bool upload_source_is_spent(const struct upload *u)
{
    return u->reader.ended && u->held == 0;
}

bool upload_is_replayable(const struct upload *u, const struct call *c)
{
    return c->sent == 0 || framing_is_empty(&u->reader.framing) || u->keep_limit > 0;
}

void upload_end(struct upload *u)
{
    body_reader_end(&u->reader);
    buffer_give(u->kept);
    buffer_give(u->trailers);
    u->kept = u->trailers = NULL;
    splice_end(&u->splice);
    low_water_end(&u->low_water);
}

/* Carpool itself does not read: the client's clock stands still. */
static void set_state(struct exchange *e, enum upload_state state)
{
    struct upload *u = &e->transfer->upload;
    if (state == UPLOAD_BLOCKED && u->state != UPLOAD_BLOCKED)
        e->transfer->times.blocked_since_ms = clock_ms();
    if (state != UPLOAD_BLOCKED && u->state == UPLOAD_BLOCKED)
        e->transfer->times.body_grace_ms += clock_ms() - e->transfer->times.blocked_since_ms;
    u->state = state;
}

void upload_stop(struct exchange *e)
{
    if (e->transfer->upload.state != UPLOAD_DONE)
        set_state(e, UPLOAD_STOPPED);
}

void upload_interrupted(struct exchange *e)
{
    if (e->transfer->upload.state == UPLOAD_BLOCKED)
        set_state(e, UPLOAD_STARVED);
}

/* --- A batch ------------------------------------------------------------------------------------------- */

/* The bytes of the batch are free for what comes next. */
static void release(struct upload *u, struct client *c)
{
    if (!c->in)
        return;
    client_consume(c, u->held);
    u->held = 0;
}

static bool has_room_to_keep(struct exchange *e, size_t more)
{
    struct upload *u = &e->transfer->upload;
    if (u->content > u->keep_limit)
        return false;
    if (!u->kept) {
        const struct framing *f = &u->reader.framing;
        size_t need = (size_t)(f->kind == BODY_LENGTH ? f->length : u->keep_limit);
        u->kept = buffer_borrow(e->client->proxy->bodies);
        if (!u->kept || !buffer_reserve(&u->kept, need))
            return false;
    }
    return u->kept && buffer_room(u->kept) >= more;
}

/* Copies the batch to where a repeat finds it, and sends it from there. */
static void keep(struct exchange *e, size_t total)
{
    struct upload *u = &e->transfer->upload;
    if (!has_room_to_keep(e, total)) {
        u->keep_limit = 0;
        return;
    }
    char *start = u->kept->data + u->kept->end;
    for (unsigned i = 0; i < u->batch.count; i++)
        buffer_append(u->kept, (struct slice){u->runs[i].iov_base, u->runs[i].iov_len});
    u->runs[0] = (struct iovec){start, total};
    u->batch.count = 1;
    release(u, e->client);
}

static bool take_trailers(struct exchange *e)
{
    struct upload *u = &e->transfer->upload;
    struct head *scratch = &e->client->proxy->request_head;
    if (!u->reader.trailers)
        return true;
    if (!body_reader_trailers(&u->reader, scratch) ||
        !(u->trailers = buffer_borrow(e->client->proxy->bodies)))
        return false;
    if (!trailers_append(u->trailers, scratch))
        return false;
    u->batch.trailers = buffer_unread(u->trailers);
    return true;
}

static enum pump malformed(struct exchange *e)
{
    return pump_fail(e, FAULT_BAD_REQUEST, RETIRE_CLIENT_ABORTED, "the request's %s",
                     body_reader_fault(&e->transfer->upload.reader));
}

static enum pump no_memory(struct exchange *e)
{
    return pump_fail(e, FAULT_INTERNAL, RETIRE_CLIENT_ABORTED, "out of memory for the request's content");
}

/* Undoes the framing of what is buffered, into a batch. PUMP_FAILED: what follows the batch is malformed. */
static enum pump take_batch(struct exchange *e)
{
    struct upload *u = &e->transfer->upload;
    size_t total = 0;
    enum body_event event = BODY_RUN;
    u->batch = (struct call_content){.runs = u->runs};
    while (event == BODY_RUN && u->batch.count < CALL_RUNS) {
        size_t used;
        struct slice run;
        event = body_read(&u->reader, e->client->proxy->bodies,
                          slice_from(buffer_unread(e->client->in), u->held), &used, &run);
        u->held += (uint32_t)used;
        if (event != BODY_RUN)
            break;
        u->runs[u->batch.count++] = (struct iovec){(void *)run.p, run.n};
        total += run.n;
    }
    u->content += total;
    if (event == BODY_NO_MEMORY)
        return no_memory(e);
    if (event == BODY_MALFORMED || (event == BODY_END && !take_trailers(e)))
        return malformed(e);
    u->batch.last = u->reader.ended;
    if (u->keep_limit > 0 && total > 0)
        keep(e, total);
    return PUMP_DONE;
}

static enum pump blocked(struct exchange *e)
{
    set_state(e, UPLOAD_BLOCKED);
    client_watch_later(e->client);
    return PUMP_WAITS;
}

static enum pump sink_failed(struct exchange *e)
{
    upload_stop(e);
    return PUMP_SINK_FAILED;
}

/* Hands the batch over, NULL: goes on with it. */
static enum pump hand_over(struct exchange *e, const struct call_content *batch)
{
    struct upload *u = &e->transfer->upload;
    switch (call_send(&e->transfer->call, batch)) {
    case CALL_SENT: break;
    case CALL_BLOCKED: return blocked(e);
    case CALL_WRITE_FAILED: return sink_failed(e);
    }
    release(u, e->client);
    set_state(e, u->batch.last ? UPLOAD_DONE : UPLOAD_STARVED);
    u->batch.count = 0;
    return PUMP_DONE;
}

void upload_restart(struct exchange *e)
{
    struct upload *u = &e->transfer->upload;
    if (u->keep_limit > 0 && u->kept) {
        u->runs[0] = (struct iovec){u->kept->data, u->kept->end};
        u->batch.runs = u->runs;
        u->batch.count = 1;
    }
    u->batch.last = u->reader.ended;
    set_state(e, UPLOAD_STARVED);
}

/* --- From the client ----------------------------------------------------------------------------------- */

/* A head's small buffer gives way: content deserves a large one. */
static bool make_room(struct client *c, struct buffer_pool *bodies)
{
    if (c->in && c->in->size < BUFFER_SIZE && buffer_unread(c->in).n == 0) {
        buffer_give(c->in);
        c->in = NULL;
    }
    if (!c->in && !(c->in = buffer_borrow(bodies)))
        return false;
    buffer_compact(c->in);
    return true;
}

static enum pump read_more(struct exchange *e)
{
    struct client *c = e->client;
    if (!make_room(c, e->client->proxy->bodies))
        return no_memory(e);
    ssize_t n = conn_read(&c->conn, c->in->data + c->in->end, buffer_room(c->in));
    if (n > 0) {
        c->in->end += (uint32_t)n;
        return PUMP_DONE;
    }
    release(&e->transfer->upload, c);
    if (n != CONN_AGAIN)
        return PUMP_CLIENT_GONE;
    return client_watch_for_rest(c, e->transfer->upload.content) ? PUMP_WAITS : PUMP_CLIENT_CUT;
}

static ssize_t take(void *from, struct pipe *p, size_t n)
{
    return conn_splice_in(from, p, n);
}

static ssize_t put(void *to, struct pipe *p)
{
    return call_splice_out(to, p);
}

/* Content that is not kept, of which much is left and nothing but its length is to be known, need not be
 * read. */
static bool may_splice(const struct exchange *e)
{
    const struct upload *u = &e->transfer->upload;
    return u->reader.framing.kind == BODY_LENGTH && splice_pays(&u->splice, u->reader.left) &&
           u->keep_limit == 0 && !e->client->in && conn_can_splice(&e->client->conn) &&
           call_takes_pipe(&e->transfer->call);
}

static enum pump pump_pipe(struct exchange *e)
{
    struct upload *u = &e->transfer->upload;
    struct client *c = e->client;
    const struct splice_ends ends = {
        .take = take, .put = put, .from = &c->conn, .to = &e->transfer->call, .left = u->reader.left};
    uint64_t before = u->splice.in;
    enum splice_result result = splice_some(&u->splice, &ends, &e->client->proxy->pipes);
    uint64_t moved = u->splice.in - before;
    body_reader_skip(&u->reader, (size_t)moved);
    u->content += moved;
    if (moved > 0)
        low_water_moved(&u->low_water, moved);
    if (result == SPLICE_BLOCKED)
        return blocked(e);
    if (result == SPLICE_FAILED)
        return sink_failed(e);
    set_state(e, UPLOAD_STARVED);
    if (result == SPLICE_STARVED) {
        low_water_await(&c->proxy->pool->wires.low_waters, &u->low_water, &c->conn, u->reader.left);
        return client_watch(c) ? PUMP_WAITS : PUMP_CLIENT_CUT;
    }
    if (result == SPLICE_YIELD)
        return client_yield(c) ? PUMP_WAITS : PUMP_CLIENT_CUT;
    low_water_end(&u->low_water);
    return PUMP_DONE;
}

/* --- Both ---------------------------------------------------------------------------------------------- */

/* What is there already of the content goes out with the head. */
static enum pump pump_batch(struct exchange *e)
{
    struct upload *u = &e->transfer->upload;
    if (u->state == UPLOAD_BLOCKED)
        return hand_over(e, NULL);
    if (u->batch.count == 0 && !u->batch.last) {
        enum pump taken = take_batch(e);
        if (taken != PUMP_DONE) {
            call_send(&e->transfer->call, &u->batch); /* what was well-formed goes out before the cut */
            return taken;
        }
    }
    return hand_over(e, &u->batch);
}

enum pump upload_pump(struct exchange *e)
{
    struct upload *u = &e->transfer->upload;
    struct client *c = e->client;
    unsigned reads = 0;
    for (unsigned batches = 0; batches < BATCHES_PER_TURN; batches++) {
        enum pump moved = PUMP_DONE;
        if (u->splice.pipe)
            moved = pump_pipe(e);
        else if (u->state == UPLOAD_BLOCKED || c->in || u->reader.ended || e->transfer->call.sent == 0)
            moved = pump_batch(e);
        if (moved != PUMP_DONE)
            return moved;
        if (u->state == UPLOAD_DONE) {
            client_watch_later(c);
            return PUMP_WAITS;
        }
        if (c->in || u->reader.ended)
            continue; /* bytes are left for another batch */
        if (may_splice(e)) {
            moved = pump_pipe(e);
            if (moved != PUMP_DONE)
                return moved;
            if (u->reader.ended)
                continue;
        }
        if (reads++ == READS_PER_TURN)
            break;
        /* Also after a short read: a reset that came with its bytes will not be announced again. */
        moved = read_more(e);
        if (moved != PUMP_DONE)
            return moved;
    }
    return client_yield(c) ? PUMP_WAITS : PUMP_CLIENT_CUT;
}
