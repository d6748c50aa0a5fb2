#include "admin/connections.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/timer.h"
#include "io/conn.h"
#include "pool/pool.h"

#define REQUEST_MS      10000 /* from accept, or from the end of the last answer, to the end of a request */
#define PATIENCE_MS     1000  /* of these, what each one has, however many others come */
#define WAITING_MS      (10 * 60 * 1000) /* for a reload */
#define SILENCE_MS      10000            /* in which some of an answer must be taken */
#define ANSWER_MS       30000            /* for a whole answer, and more by its size: */
#define ANSWER_MS_A_MIB 60000
#define LINGER_MS       1000
#define SWEEP_MS        250 /* how exact these are */
#define LINGER_BYTES    (64 * 1024)
#define TURN_BYTES      (64 * 1024) /* sent in one go before others have their turn */
#define ALWAYS_HELD     (64 * 1024) /* an answer up to this is not refused for what others hold */

enum connection_state { READING, QUEUED, WAITING, SENDING, LINGERING };

struct connection {
    TAILQ_ENTRY(connection) link;
    struct connections *set;
    const void *listener;
    struct address peer;
    struct conn conn;
    enum connection_state state;
    uint64_t since_ms; /* of the state */
    uint64_t due_ms;   /* when it is judged */
    struct request request;
    size_t in_n;
    char in[REQUEST_ROOM];
    uint64_t waits_for;
    /* The answer: its head, then its body. */
    bool last; /* the connection ends with it */
    char head[ANSWER_HEAD_SIZE];
    size_t head_n;
    struct text body;
    size_t sent;
    size_t lingered;
};

struct connections {
    struct event_base *base;
    connections_answer *answer;
    void *ctx;
    struct timer sweep;
    struct event turn; /* of the next one that is queued */
    unsigned count;
    size_t held;                                  /* bytes of all bodies */
    TAILQ_HEAD(connection_list, connection) list; /* who entered its state last stands last */
    struct head scratch;
};

/* What a step came to. */
enum step { STEP_ON, STEP_WAIT, STEP_OVER };

static void enter(struct connection *c, enum connection_state state, uint64_t limit_ms)
{
    c->state = state;
    c->since_ms = clock_ms();
    c->due_ms = c->since_ms + limit_ms;
    TAILQ_REMOVE(&c->set->list, c, link);
    TAILQ_INSERT_TAIL(&c->set->list, c, link);
}

static void drop_body(struct connection *c)
{
    c->set->held -= c->body.n;
    text_free(&c->body);
}

/* With `reset`, what the client has not taken is given up in the kernel, too. */
static void close_connection(struct connection *c, bool reset)
{
    drop_body(c);
    conn_close(&c->conn, reset);
    TAILQ_REMOVE(&c->set->list, c, link);
    c->set->count--;
    free(c);
}

/* Answers */

static void begin_sending(struct connection *c)
{
    c->sent = 0;
    enter(c, SENDING, SILENCE_MS);
}

static void send_sorry(struct connection *c, const char *sentence)
{
    c->head_n = answer_write_sorry(sentence, c->head);
    c->last = true;
    begin_sending(c);
}

static bool is_too_much(const struct connections *s, size_t n)
{
    return n > ALWAYS_HELD && s->held > 0 && s->held + n > CONNECTIONS_MAX_HELD;
}

/* Takes the answer's body over. */
static void send_answer(struct connection *c, struct admin_answer *a)
{
    bool too_much = is_too_much(c->set, a->body.n);

    if (a->body.failed || too_much) {
        text_free(&a->body);
        send_sorry(c, too_much ? "too many large answers wait for their clients" : "out of memory");
        return;
    }
    c->last = a->last = a->last || c->last || !c->request.persistent;
    c->head_n = answer_write_head(a, c->request.is_http_1_0, c->head);
    if (c->request.is_head)
        text_free(&a->body);
    text_fit(&a->body);
    c->body = a->body;
    c->set->held += c->body.n;
    begin_sending(c);
}

static void answer_bad_request(struct connection *c)
{
    struct admin_answer a = {.last = true};

    admin_answer_error(&a, c->request.status, c->request.problem);
    send_answer(c, &a);
}

/* To render an answer takes as long as it takes; the proxy's clients have their turn before the next one. */
static void queue_request(struct connection *c)
{
    enter(c, QUEUED, ANSWER_MS);
    event_active(&c->set->turn, EV_TIMEOUT, 0);
}

static void answer_request(struct connection *c)
{
    struct admin_answer a = {0};

    c->state = SENDING; /* connections_end() leaves it that long */
    c->set->answer(c->set->ctx, &c->request, &c->peer, &a);
    c->waits_for = a.waits_for;
    if (a.waits_for)
        enter(c, WAITING, WAITING_MS);
    else
        send_answer(c, &a);
}

/* Steps */

/* No answer is being sent, so there is room for it. */
static bool say_continue(struct connection *c)
{
    char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct iovec v = {text, sizeof text - 1};

    c->request.expects_continue = false;
    return conn_write(&c->conn, &v, 1) == (ssize_t)v.iov_len;
}

static enum step read_request(struct connection *c)
{
    switch (request_read(&c->request, &c->set->scratch, c->in, &c->in_n)) {
    case REQUEST_COMPLETE: queue_request(c); return STEP_WAIT;
    case REQUEST_BAD: answer_bad_request(c); return STEP_ON;
    case REQUEST_INCOMPLETE: break;
    }
    if (c->request.expects_continue && !say_continue(c))
        return STEP_OVER;
    assert(c->in_n < sizeof c->in);
    ssize_t n = conn_read(&c->conn, c->in + c->in_n, sizeof c->in - c->in_n);
    if (n == CONN_AGAIN)
        return STEP_WAIT;
    if (n <= 0)
        return STEP_OVER;
    c->in_n += (size_t)n;
    return STEP_ON;
}

static ssize_t send_piece(struct connection *c)
{
    bool in_head = c->sent < c->head_n;
    size_t from = in_head ? 0 : c->sent - c->head_n;
    size_t rest = c->body.n - from;
    struct iovec v[2] = {
        {c->head + c->sent, in_head ? c->head_n - c->sent : 0},
        {c->body.p ? c->body.p + from : NULL, rest < TURN_BYTES ? rest : TURN_BYTES},
    };

    return conn_write(&c->conn, in_head ? v : v + 1, in_head && rest > 0 ? 2 : 1);
}

/* The answer is taken: for the last time, or the next request may come. */
static void answered(struct connection *c)
{
    drop_body(c);
    if (c->last) {
        conn_shutdown_write(&c->conn);
        enter(c, LINGERING, LINGER_MS);
        return;
    }
    request_end(&c->request, c->in, &c->in_n);
    enter(c, READING, REQUEST_MS);
}

static enum step send_some(struct connection *c)
{
    size_t turn = 0;

    while (c->sent < c->head_n + c->body.n) {
        ssize_t n = send_piece(c);
        if (n == CONN_AGAIN)
            return STEP_WAIT;
        if (n <= 0)
            return STEP_OVER;
        c->sent += (size_t)n;
        turn += (size_t)n;
        c->due_ms = clock_ms() + SILENCE_MS;
        if (turn >= TURN_BYTES)
            break;
    }
    if (c->sent == c->head_n + c->body.n)
        answered(c);
    conn_call_again(&c->conn);
    return STEP_WAIT;
}

static enum step linger(struct connection *c)
{
    char waste[4096];
    ssize_t n = conn_read(&c->conn, waste, sizeof waste);

    if (n == CONN_AGAIN)
        return STEP_WAIT;
    c->lingered += n > 0 ? (size_t)n : 0;
    return n <= 0 || c->lingered > LINGER_BYTES ? STEP_OVER : STEP_ON;
}

static enum step take_step(struct connection *c)
{
    switch (c->state) {
    case READING: return read_request(c);
    case QUEUED:
    case WAITING: return STEP_WAIT;
    case SENDING: return send_some(c);
    case LINGERING: return linger(c);
    }
    return STEP_OVER;
}

/* False: it is gone. */
static bool go_on(struct connection *c)
{
    enum step step;

    do
        step = take_step(c);
    while (step == STEP_ON);
    if (step == STEP_OVER)
        close_connection(c, false);
    return step == STEP_WAIT;
}

static void on_ready(void *ctx, unsigned ready)
{
    (void)ready;
    go_on(ctx);
}

static struct connection *first_queued(struct connections *s)
{
    struct connection *c;

    TAILQ_FOREACH (c, &s->list, link)
        if (c->state == QUEUED)
            return c;
    return NULL;
}

static void answer_next(evutil_socket_t fd, short what, void *ctx)
{
    struct connections *s = ctx;
    struct connection *c = first_queued(s);

    (void)fd;
    (void)what;
    if (!c)
        return;
    clock_update();
    answer_request(c);
    go_on(c);
    if (!first_queued(s))
        return;
    event_active(&s->turn, EV_TIMEOUT, 0);
    event_base_loopbreak(s->base);
}

static bool is_overdue(const struct connection *c)
{
    uint64_t whole_ms = ANSWER_MS + (uint64_t)c->body.n * ANSWER_MS_A_MIB / (1024 * 1024);

    return clock_ms() >= c->due_ms || (c->state == SENDING && clock_ms() - c->since_ms >= whole_ms);
}

/* The set */

/* False: none gives way. */
static bool make_room(struct connections *s)
{
    struct connection *c;

    TAILQ_FOREACH (c, &s->list, link) {
        bool silent = c->state == READING && clock_ms() - c->since_ms >= PATIENCE_MS;
        if (!silent && c->state != LINGERING)
            continue;
        close_connection(c, false);
        return true;
    }
    return false;
}

static struct connection *first_overdue(struct connections *s)
{
    struct connection *c;

    TAILQ_FOREACH (c, &s->list, link)
        if (is_overdue(c)) /* NOLINT(clang-analyzer-unix.Malloc): the list let go of the closed */
            return c;
    return NULL;
}

/* One that is set already stays; where it could not be armed for want of memory, that is tried again. */
static void set_sweep(struct connections *s)
{
    timer_set_at(&s->sweep, timer_is_set(&s->sweep) ? s->sweep.due : clock_ms() + SWEEP_MS);
}

/* What came while the process stood still counts: each is looked at before it is judged. */
static void sweep(void *ctx)
{
    struct connections *s = ctx;
    struct connection *c;

    while ((c = first_overdue(s)))
        if (go_on(c) && is_overdue(c))
            close_connection(c, c->state == SENDING);
    if (s->count > 0)
        set_sweep(s);
}

static void turn_away(int fd, const char *sentence)
{
    char text[ANSWER_HEAD_SIZE], waste[4096];
    size_t n = answer_write_sorry(sentence, text);

    send(fd, text, n, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    /* Closing over unread bytes would send a reset, and that could overtake the answer. */
    for (int i = 0; i < 4 && recv(fd, waste, sizeof waste, 0) > 0; i++) {
    }
    close(fd);
}

void connections_take(struct connections *s, const void *listener, int fd, const struct address *peer)
{
    if (s->count == CONNECTIONS_MAX && !make_room(s)) {
        turn_away(fd, "all connections of the admin API are in use");
        return;
    }
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        turn_away(fd, "out of memory");
        return;
    }
    conn_open(&c->conn, fd);
    c->set = s;
    c->listener = listener;
    c->peer = *peer;
    TAILQ_INSERT_TAIL(&s->list, c, link);
    s->count++;
    enter(c, READING, REQUEST_MS);
    set_sweep(s);
    if (!conn_watch(&c->conn, s->base, PRIORITY_ORDINARY, on_ready, c))
        close_connection(c, false);
}

static struct connection *first_waiting(struct connections *s, uint64_t number)
{
    struct connection *c;

    TAILQ_FOREACH (c, &s->list, link)
        if (c->state == WAITING && c->waits_for <= number) /* NOLINT(clang-analyzer-unix.Malloc) */
            return c;
    return NULL;
}

void connections_answer_waiting(struct connections *s, uint64_t number,
                                void (*answer)(void *ctx, struct admin_answer *out), void *ctx)
{
    struct connection *c;

    while ((c = first_waiting(s, number))) {
        struct admin_answer a = {0};
        answer(ctx, &a);
        send_answer(c, &a);
        go_on(c);
    }
}

void connections_end(struct connections *s, const void *listener)
{
    struct connection *c, *next;

    TAILQ_FOREACH_SAFE (c, &s->list, link, next) {
        if (c->listener != listener)
            continue;
        if (c->state == READING || c->state == QUEUED)
            close_connection(c, false);
        else
            c->last = true;
    }
}

struct connections *connections_new(struct event_base *base, connections_answer *answer, void *ctx)
{
    struct connections *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->base = base;
    s->answer = answer;
    s->ctx = ctx;
    timer_init(&s->sweep, base, sweep, s);
    event_assign(&s->turn, base, -1, 0, answer_next, s);
    TAILQ_INIT(&s->list);
    return s;
}

void connections_free(struct connections *s)
{
    struct connection *c;

    if (!s)
        return;
    while ((c = TAILQ_FIRST(&s->list)))
        close_connection(c, false); /* NOLINT(clang-analyzer-unix.Malloc) */
    timer_release(&s->sweep);
    event_del(&s->turn);
    free(s);
}
