#ifndef CARPOOL_WIRE_H2_INTERNAL_H
#define CARPOOL_WIRE_H2_INTERNAL_H

/* What the h2*.c files share. h2.c is the wire; h2_session.c takes frames in and h2_output.c puts them out;
 * h2_stream.c is a call, of which h2_request.c and h2_upload.c are the way out, h2_response.c the way back;
 * h2_window.c, h2_ping.c, h2_sent_resets.c and h2_guard.c are what their names say.
 *
 * No callback of libnghttp2 calls an owner or ends a session: it notes, and the caller that fed the library
 * acts on that. */

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "base/timer.h"
#include "wire/h2.h"
#include "wire/wire.h"

#define H2_FIRST_WINDOW   (64 * 1024)        /* of each stream */
#define H2_GROWN_MOST     (32 * 1024 * 1024) /* by which all windows of a loop may be larger */
#define H2_MAX_INTERIM    16
#define H2_NOT_SERIALISED UINT64_MAX

enum h2_state { H2_GREETING, H2_OPEN, H2_DRAINING, H2_OVER };

/* What its owner knows:
 *
 *   H2_OWNER_USES_IT -- draining() --> H2_OWNER_DRAINS_IT -- closed() --> H2_OWNER_DONE
 *          |                                 |                                |
 *          +---------------------------------+------------ wire_close() ------+--> H2_OWNER_GONE
 */
enum h2_owner { H2_OWNER_USES_IT, H2_OWNER_DRAINS_IT, H2_OWNER_DONE, H2_OWNER_GONE };

/* How far a request went. */
enum h2_request {
    H2_REQUEST_HELD,    /* the library has not heard of it */
    H2_REQUEST_SENDING, /* its END_STREAM is still to come */
    H2_REQUEST_SENT,
    H2_REQUEST_FORGOTTEN, /* the library knows the stream no more */
};

/* How far a response came. */
enum h2_response {
    H2_RESPONSE_AWAITED, /* not a byte of it came */
    H2_RESPONSE_BEGUN,   /* a head began, or an interim one came */
    H2_RESPONSE_HEAD,    /* its final head is there */
    H2_RESPONSE_ENDED,   /* END_STREAM */
};

/* Whether an RST_STREAM of ours ends it. */
enum h2_reset {
    H2_RESET_NONE,
    H2_RESET_DUE, /* as soon as so many are allowed again */
    H2_RESET_SENT,
};

/* What ended a stream before its response did. */
struct h2_failure {
    enum call_error error;
    uint32_t code;    /* an errno, or RFC 9113 7's */
    const char *text; /* a constant; NULL: none */
};

struct h2_stream {
    struct h2 *h2;
    struct call *call; /* NULL: its owner has left. What comes for it is thrown away */
    int32_t id;        /* 0: HELD */
    enum h2_reset reset;
    TAILQ_ENTRY(h2_stream) link;
    TAILQ_ENTRY(h2_stream) ready_link;
    unsigned ready; /* what its owner will be notified of; in h2->ready while not 0 */

    enum h2_request request;
    struct call_request asked;
    struct iovec runs[CALL_RUNS]; /* content that was given and not serialised yet */
    unsigned run, run_count;
    bool last; /* the content ends with them, and with these: */
    struct slice trailing;
    bool blocked;     /* its owner knows so */
    uint64_t head_at; /* where its HEADERS begin among all bytes ever serialised */

    enum h2_response response;
    struct buffer *text;                      /* a head or trailers that is coming */
    struct buffer *interim, *head, *trailers; /* whole ones, not given yet; interim: a list */
    struct buffer *lent;                      /* the one that was given last */
    unsigned interim_count;
    struct buffer *content, *content_end; /* a list */
    size_t given;                         /* bytes of it that its owner has not consumed */
    size_t ignored;                       /* bytes of fields that came when its owner had left */
    uint32_t status;                      /* of the head that is coming or came last */
    bool end_with_head;                   /* END_STREAM came with the final head */
    bool failed;
    struct h2_failure failure;

    uint32_t window;  /* its size */
    uint64_t kept_up; /* bytes consumed since it grew */
};

TAILQ_HEAD(h2_stream_list, h2_stream);

/* A bucket of tokens. */
struct h2_tokens {
    uint32_t left;
    uint64_t since_ms; /* counted up to */
};

struct h2 {
    struct wire *wire;
    nghttp2_session *session;
    struct h2_options options;
    enum h2_state state;
    enum retire_reason reason; /* DRAINING, OVER: why */
    struct h2_failure failure; /* OVER: what its streams get */
    LIST_ENTRY(h2) due_link;   /* in loop->h2_due while `due` */
    bool due;
    uint64_t turn;   /* of the loop that it was written in last, */
    uint32_t passes; /* and how often then */
    enum h2_owner owner;
    bool notifying;    /* owners are on the stack: a close leaves its memory to them */
    bool room_changed; /* its owner does not know yet */

    struct h2_stream_list streams; /* all that the library knows, and those held */
    struct h2_stream_list ready;
    uint32_t calls;     /* open ones */
    uint32_t abandoned; /* streams whose call has left them, and that have not ended yet */

    struct buffer *out; /* serialised, not written */
    bool out_blocked;
    uint64_t serialised, handed; /* bytes, ever; handed: to the kernel, or to TLS which may have */

    /* The library's, of the last frame that it refused and that is no stream's; a constant, or NULL */
    const char *complaint;
    uint32_t goaway_code;
    int32_t goaway_last;  /* the last stream that its GOAWAY says was taken; 0: none was */
    uint32_t answered;    /* streams whose response has ended */
    uint32_t max_streams; /* of the origin's SETTINGS */
    struct h2_tokens resets;
    uint32_t unconfirmed; /* RST_STREAM sent since anything came, */
    uint64_t unconfirmed_since_ms;
    struct h2_tokens glitches;
    uint32_t replies_due;      /* frames that what was sent may be answered by */
    bool flooded;              /* no token was left */
    uint64_t taken_in, useful; /* bytes */

    struct timer timer;    /* the sooner of the next look at silence and at what waits for an RST_STREAM */
    uint64_t came_ms;      /* when anything came last */
    uint64_t heard_ms;     /* the same, or since when anything is waited for */
    uint64_t pinged_ms;    /* 0: none is under way */
    uint64_t pinged_us;    /* when the last one was, until it is answered; 0: it was */
    uint32_t silent_pings; /* in a row between which nothing but their answers came */
};

extern const struct wire_ops h2_ops;

/* ---- h2.c */

/* Something is to be done at the end of the turn. */
void h2_due(struct h2 *h);
/* No further streams. */
void h2_drain(struct h2 *h, enum retire_reason reason);
/* Memory ran out in the library, of which nothing but its end may be asked any more. */
static inline bool h2_is_broken(const struct h2 *h)
{
    return h->state == H2_OVER && h->failure.error == CALL_ERROR_NO_MEMORY;
}
/* Of no further use: all its streams fail. */
void h2_over(struct h2 *h, enum retire_reason reason, struct h2_failure failure);
/* The same, and it is broken from now on, also where it was over. */
void h2_out_of_memory(struct h2 *h);

/* ---- h2_session.c */

nghttp2_session *h2_session_new(struct h2 *h);
/* Reads until there is nothing more, or enough for one turn (true). Calls no owner. */
bool h2_take_in(struct h2 *h);

/* ---- h2_output.c */

/* It is over: HEADERS of which nothing was handed over, and what follows them, will never be. */
void h2_take_back(struct h2 *h);
/* Serialises what the library has queued, as far as there is room. */
void h2_pump(struct h2 *h);
/* The same, and writes it. */
void h2_write(struct h2 *h);

/* ---- h2_stream.c */

struct h2_stream *h2_stream_new(struct h2 *h, struct call *c, const struct call_request *r);
/* Its owner is notified when it may be called. */
void h2_stream_ready(struct h2_stream *s, unsigned ready);
/* It fails, unless its response has ended or it has failed. */
void h2_stream_fail(struct h2_stream *s, struct h2_failure failure);
/* The library knows it no more. */
void h2_stream_closed(struct h2_stream *s, uint32_t code);
void h2_stream_free(struct h2_stream *s);
/* Its call ends; what is left of it is thrown away. */
void h2_stream_leave(struct h2_stream *s, uint32_t code);

/* ---- h2_request.c */

/* Makes it a stream. False: memory is short. */
bool h2_submit(struct h2_stream *s);
/* Queues the trailers after its content. */
bool h2_submit_trailers(struct h2_stream *s);

/* ---- h2_upload.c */

enum call_write h2_send(struct call *c, const struct call_content *content);
ssize_t h2_read_content(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                        nghttp2_data_source *source, void *ctx);

/* ---- h2_response.c: what callbacks note; 0, or an error that resets the stream */

int h2_head_begins(struct h2_stream *s);
int h2_head_field(struct h2_stream *s, struct slice name, struct slice value);
/* A field of so many bytes for a stream whose owner has left. */
int h2_head_ignored(struct h2_stream *s, size_t n);
void h2_head_ends(struct h2_stream *s, const nghttp2_frame *frame);
void h2_response_ended(struct h2_stream *s);
int h2_content(struct h2_stream *s, struct slice bytes);
enum call_part h2_next(struct call *c, struct head *head, struct slice *run);

/* ---- h2_window.c */

void h2_consumed(struct call *c, size_t n);
void h2_window_forget(struct h2_stream *s);

/* ---- h2_sent_resets.c */

/* Ends a stream of the library's that is not wanted: at once, or when so many RST_STREAM are allowed
 * again. */
void h2_abandon(struct h2_stream *s, uint32_t code);
/* One of which the library has sent nothing: it never will. */
void h2_cancel_unsent(struct h2_stream *s);
/* Those that waited, and those of which nothing was heard for long. */
void h2_resets_go_on(struct h2 *h);
/* An RST_STREAM goes out; and anything came since. */
void h2_resets_sent(struct h2 *h);
void h2_resets_confirmed(struct h2 *h);
/* One that was reset takes room until the origin says anything: where that is all the room, it is asked
 * to. */
void h2_resets_confirm(struct h2 *h);
/* When that is worth another look; 0: none waits. */
uint64_t h2_resets_due(const struct h2 *h);

/* ---- h2_ping.c */

/* Anything came, or a first call waits: calls that were held until it is known that the origin is there ask
 * again. */
void h2_ping_heard(struct h2 *h);
void h2_ping_answered(struct h2 *h);
void h2_ping_send(struct h2 *h);
/* Sets the timer for what is next. */
void h2_ping_arm(struct h2 *h);
/* Whether a request that is sent once only should wait until the origin, which was silent for long, has said
 * anything: it is asked to. */
bool h2_ping_comes_first(struct h2 *h);
/* Those that are held ask again. */
void h2_ping_release(struct h2 *h);
void h2_ping_check(struct h2 *h);

/* ---- h2_guard.c */

/* A frame came that is of no use to any stream, */
void h2_guard_glitch(struct h2 *h, uint32_t weight);
/* or so many bytes that are; `frames` excuse as many glitches. */
void h2_guard_useful(struct h2 *h, size_t bytes, uint32_t frames);
/* DATA went out, and a frame came that may be the answer to it. */
void h2_guard_sent(struct h2 *h, size_t bytes);
void h2_guard_reply(struct h2 *h);
/* Too much of what came was of no use. */
bool h2_guard_flooded(const struct h2 *h);
/* Takes n of at most `most`, of which `a_second` come back; false: there are not so many. */
bool h2_tokens_take(struct h2_tokens *t, uint32_t n, uint32_t most, uint32_t a_second);

#endif
