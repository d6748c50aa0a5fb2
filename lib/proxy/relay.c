#include "proxy/relay.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/head.h"

/* Reads and writes a turn: one busy pair must not keep the others waiting, nor one whose chunks are tiny. */
#define RELAY_READS_PER_TURN  16
#define RELAY_PASSES_PER_TURN 64
/* Content of this much and more goes through a pipe, so many pipes full a turn. */
#define SPLICE_LEAST     (32 * 1024)
#define SPLICES_PER_TURN 4
/* The chunk line before the runs, the line end behind them, the last chunk with its trailers, and a head
 * that is there already. */
#define ROOM_FOR_FRAMING 6
/* What chunk lines and trailers add to kept content of unknown length. */
#define KEPT_FRAMING (16 * 1024)

void relay_begin(struct relay *r, struct framing framing, enum relay_format format)
{
    r->framing = framing;
    r->format = format;
    r->left = framing.kind == BODY_LENGTH ? framing.length : 0;
    r->chunked = (struct chunked){0};
    r->ended = framing.kind == BODY_NONE || (framing.kind == BODY_LENGTH && framing.length == 0);
    r->closes = false;
    r->batch = false;
    r->held = 0;
    r->content = 0;
    r->pipe = NULL;
    r->no_pipe = false;
    sendq_clear(&r->out);
    r->trailers = NULL;
    r->kept = NULL;
    r->keep_limit = 0;
}

bool relay_source_is_spent(const struct relay *r)
{
    return r->ended && r->held == 0;
}

void relay_finish(struct relay *r)
{
    assert(r->framing.kind == BODY_CLOSE);
    r->ended = true;
    if (r->format == RELAY_CHUNKED)
        sendq_push(&r->out, SLICE("0\r\n\r\n"));
}

void relay_push_kept(struct relay *r)
{
    sendq_push(&r->out, buffer_unread(r->kept));
}

void relay_discard(struct relay *r)
{
    r->format = RELAY_DISCARD;
    sendq_clear(&r->out);
    pipe_give(r->pipe);
    r->pipe = NULL;
}

void relay_end(struct relay *r)
{
    buffer_give(r->trailers);
    buffer_give(r->kept);
    r->trailers = r->kept = NULL;
    pipe_give(r->pipe);
    r->pipe = NULL;
}

/* The trailer section as it goes on: allowed fields only, behind the raw one in the same buffer (RFC 9110
 * 6.5.1). */
static bool push_trailers(struct relay *r, struct head *scratch)
{
    if (!r->trailers)
        return true;
    static const struct head_limits limits = {.max_size = CHUNKED_MAX_TRAILERS, .max_count = HEAD_MAX_FIELDS};
    struct buffer *b = r->trailers;
    struct slice raw = buffer_unread(b);
    if (head_parse_trailers(raw, &limits, scratch) != HEAD_OK)
        return false;
    size_t from = b->end;
    for (uint32_t i = 0; i < scratch->count; i++) {
        const struct field *f = &scratch->fields[i];
        if (!field_allowed_in_trailer(f))
            continue;
        if (!buffer_append(b, f->name) || !buffer_append(b, SLICE(": ")) || !buffer_append(b, f->value) ||
            !buffer_append(b, SLICE("\r\n")))
            return false;
    }
    sendq_push(&r->out, (struct slice){b->data + from, b->end - from});
    return true;
}

static bool gather_trailer(struct relay *r, struct buffer_pool *bodies, struct slice run)
{
    if (!r->trailers)
        r->trailers = buffer_borrow(bodies);
    return r->trailers && buffer_append(r->trailers, run);
}

/* What one pass over the buffered bytes found. */
struct pass {
    struct slice runs[SENDQ_MAX];
    unsigned count;
    uint64_t total;
    bool bad;
};

static void add_run(struct pass *p, struct slice run)
{
    if (run.n == 0)
        return;
    p->runs[p->count++] = run;
    p->total += run.n;
}

static void decode_chunked(struct relay *r, const struct relay_ends *ends, struct slice in, unsigned room,
                           struct pass *pass)
{
    bool more = false;
    while (!more && pass->count < room && !r->ended && !pass->bad) {
        size_t used;
        struct slice data;
        enum chunked_event e = chunked_decode(&r->chunked, in, &used, &data);
        in = slice_from(in, used);
        r->held += (uint32_t)used;
        switch (e) {
        case CHUNKED_MORE: more = true; break;
        case CHUNKED_DATA: add_run(pass, data); break;
        case CHUNKED_TRAILER:
            if (!gather_trailer(r, ends->bodies, data))
                pass->bad = true;
            break;
        case CHUNKED_END: r->ended = true; break;
        case CHUNKED_BAD:
        case CHUNKED_TOO_LARGE: pass->bad = true; break;
        }
    }
}

/* Undoes the framing of what is buffered. */
static void decode(struct relay *r, const struct relay_ends *ends, unsigned room, struct pass *pass)
{
    struct slice in = slice_from(buffer_unread(*ends->in), r->held);
    switch (r->framing.kind) {
    case BODY_NONE:
    case BODY_TUNNEL: break; /* tunnel.h */
    case BODY_LENGTH:
        if (in.n > r->left)
            in.n = r->left;
        r->left -= in.n;
        r->ended = r->left == 0;
        r->held += (uint32_t)in.n;
        add_run(pass, in);
        break;
    case BODY_CHUNKED: decode_chunked(r, ends, in, room, pass); break;
    case BODY_CLOSE:
        r->held += (uint32_t)in.n;
        add_run(pass, in);
        break;
    }
    r->content += pass->total;
}

/* Frames a pass anew. */
static bool encode(struct relay *r, const struct relay_ends *ends, const struct pass *pass)
{
    bool chunks = r->format == RELAY_CHUNKED;
    if (chunks && pass->total > 0) {
        int n = snprintf(r->chunk_line, sizeof r->chunk_line, "%llx\r\n", (unsigned long long)pass->total);
        sendq_push(&r->out, (struct slice){r->chunk_line, (size_t)n});
    }
    for (unsigned i = 0; i < pass->count; i++)
        sendq_push(&r->out, pass->runs[i]);
    if (chunks && pass->total > 0)
        sendq_push(&r->out, SLICE("\r\n"));
    if (!chunks || !r->ended || r->framing.kind != BODY_CHUNKED)
        return true;
    sendq_push(&r->out, SLICE("0\r\n"));
    if (!push_trailers(r, ends->scratch))
        return false;
    sendq_push(&r->out, SLICE("\r\n"));
    return true;
}

static bool has_room_to_keep(struct relay *r, struct buffer_pool *bodies, size_t more)
{
    if (r->content > r->keep_limit)
        return false;
    if (!r->kept) {
        size_t need = r->framing.kind == BODY_LENGTH ? r->framing.length : r->keep_limit + KEPT_FRAMING;
        r->kept = buffer_borrow(bodies);
        struct buffer *larger = r->kept && need > r->kept->size ? buffer_grow(r->kept, need) : r->kept;
        r->kept = larger ? larger : r->kept;
    }
    return r->kept && buffer_room(r->kept) >= more;
}

/* Copies what the last pass queued, from entry `from` on, to where a repeat finds it, and sends it from
 * there. */
static void keep(struct relay *r, const struct relay_ends *ends, unsigned from)
{
    struct sendq *q = &r->out;
    size_t total = 0;
    for (unsigned i = from; i < q->count; i++)
        total += q->v[q->first + i].iov_len;
    if (!has_room_to_keep(r, ends->bodies, total)) {
        r->keep_limit = 0;
        return;
    }
    size_t start = r->kept->end;
    for (unsigned i = from; i < q->count; i++)
        buffer_append(r->kept, (struct slice){q->v[q->first + i].iov_base, q->v[q->first + i].iov_len});
    q->count = (uint8_t)from;
    sendq_push(q, (struct slice){r->kept->data + start, total});
}

static void release_held(struct relay *r, const struct relay_ends *ends)
{
    assert(*ends->in || !r->held);
    r->batch = false;
    if (r->held)
        buffer_consume(*ends->in, r->held);
    r->held = 0;
    if (*ends->in && buffer_unread(*ends->in).n == 0) {
        buffer_give(*ends->in);
        *ends->in = NULL;
    }
}

/* Queues the next bytes that are buffered; false when they are malformed. */
static bool take_batch(struct relay *r, const struct relay_ends *ends)
{
    struct pass pass;
    pass.count = 0;
    pass.total = 0;
    pass.bad = false;
    unsigned room = sendq_room(&r->out);
    if (room > SENDQ_BATCH)
        room = SENDQ_BATCH; /* a repeat may have a longer head before it */
    assert(room > ROOM_FOR_FRAMING);
    decode(r, ends, room - ROOM_FOR_FRAMING, &pass);
    if (r->format == RELAY_DISCARD) {
        release_held(r, ends);
        return !pass.bad;
    }
    unsigned before = r->out.count;
    if (!encode(r, ends, &pass))
        pass.bad = true;
    r->batch = true;
    if (r->keep_limit && r->out.count > before)
        keep(r, ends, before);
    return !pass.bad;
}

static enum relay_result read_more(const struct relay_ends *ends)
{
    if (*ends->in && (*ends->in)->size < BUFFER_SIZE && buffer_unread(*ends->in).n == 0) {
        buffer_give(*ends->in); /* a head's small buffer: content deserves a large one */
        *ends->in = NULL;
    }
    if (!*ends->in && !(*ends->in = buffer_borrow(ends->bodies)))
        return RELAY_NO_MEMORY;
    struct buffer *b = *ends->in;
    buffer_compact(b);
    size_t room = buffer_room(b);
    ssize_t n = conn_read(ends->from, b->data + b->end, room);
    if (n > 0) {
        b->end += (uint32_t)n;
        return RELAY_DONE;
    }
    if (buffer_unread(b).n == 0) {
        buffer_give(b);
        *ends->in = NULL;
    }
    if (n == CONN_AGAIN)
        return RELAY_STARVED;
    return n == CONN_EOF ? RELAY_SOURCE_EOF : RELAY_SOURCE_FAILED;
}

/* --- Past the program ---------------------------------------------------------------------------------- */

/* Content of which much is left and nothing but its length is to be known need not be read. */
static bool may_splice(const struct relay *r, const struct relay_ends *ends)
{
    return r->framing.kind == BODY_LENGTH && r->format == RELAY_RAW && r->left >= SPLICE_LEAST &&
           !r->no_pipe && r->keep_limit == 0 && ends->pipes && conn_can_splice(ends->from) &&
           conn_can_splice(ends->to);
}

static bool take_pipe(struct relay *r, struct pipe_pool *pipes)
{
    r->pipe = pipe_take(pipes);
    r->no_pipe = !r->pipe;
    return r->pipe;
}

static void leave_pipe(struct relay *r)
{
    pipe_give(r->pipe);
    r->pipe = NULL;
}

static enum relay_result empty_pipe(struct relay *r, const struct relay_ends *ends)
{
    while (r->pipe->held > 0) {
        ssize_t n = conn_splice_out(ends->to, r->pipe);
        if (n == CONN_AGAIN)
            return RELAY_BLOCKED;
        if (n <= 0)
            return RELAY_SINK_FAILED;
        r->out.sent += (uint64_t)n;
    }
    return RELAY_DONE;
}

/* RELAY_DONE: the content is over. With r->no_pipe set: go on without. */
static enum relay_result splice_some(struct relay *r, const struct relay_ends *ends)
{
    for (unsigned rounds = 0;; rounds++) {
        enum relay_result put = empty_pipe(r, ends);
        if (put != RELAY_DONE)
            return put;
        if (r->ended)
            break;
        if (rounds == SPLICES_PER_TURN)
            return RELAY_YIELD;
        size_t most = r->left < r->pipe->size ? (size_t)r->left : r->pipe->size;
        ssize_t n = conn_splice_in(ends->from, r->pipe, most);
        if (n <= 0) {
            leave_pipe(r);
            r->no_pipe = n == CONN_ERROR && ends->from->error == EINVAL;
            return n == CONN_AGAIN ? RELAY_STARVED : n == CONN_EOF ? RELAY_SOURCE_EOF : RELAY_SOURCE_FAILED;
        }
        r->left -= (uint64_t)n;
        r->content += (uint64_t)n;
        r->ended = r->left == 0;
    }
    leave_pipe(r);
    return RELAY_DONE;
}

enum relay_result relay_pump(struct relay *r, const struct relay_ends *ends)
{
    unsigned reads = 0;
    if (r->pipe) {
        enum relay_result result = splice_some(r, ends);
        if (!r->no_pipe)
            return result;
    }
    for (unsigned passes = 0; passes < RELAY_PASSES_PER_TURN; passes++) {
        if (!r->batch && !r->ended && *ends->in && !take_batch(r, ends)) {
            sendq_flush(&r->out, ends->to); /* what was well-formed before it goes out, then the cut */
            return RELAY_MALFORMED;
        }
        if (r->out.count > 0) {
            ends->to->last = r->closes && r->ended;
            enum sendq_result sent = sendq_flush(&r->out, ends->to);
            if (sent == SENDQ_FAILED)
                return RELAY_SINK_FAILED;
            if (sent == SENDQ_BLOCKED)
                return RELAY_BLOCKED;
        }
        release_held(r, ends);
        if (r->ended)
            return RELAY_DONE;
        if (*ends->in)
            continue; /* bytes are left for another pass */
        if (may_splice(r, ends) && take_pipe(r, ends->pipes)) {
            enum relay_result result = splice_some(r, ends);
            if (!r->no_pipe)
                return result;
        }
        if (reads++ == RELAY_READS_PER_TURN)
            return RELAY_YIELD;
        /* Also behind a short read: a reset that came with its bytes will not be announced again. */
        enum relay_result got = read_more(ends);
        if (got != RELAY_DONE)
            return got;
    }
    return RELAY_YIELD;
}
