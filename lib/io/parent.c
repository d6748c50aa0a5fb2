#include "io/parent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "config/config.h"
#include "http/head.h"

#define ANSWER_MAX  16384
#define FIELDS_MAX  100
#define INTERIM_MAX 16
#define REASON_MAX  60

static const struct head_limits limits = {.max_size = ANSWER_MAX, .max_count = FIELDS_MAX};

struct parent_talk {
    const struct connect_plan *plan;
    char *request;
    size_t length, sent;
    size_t read, scanned; /* of the answer's head */
    int interim;
    char answer[ANSWER_MAX];
};

/* "host:port", an IPv6 address in brackets. */
static int format_origin(const struct connect_plan *p, char *out, size_t size)
{
    return snprintf(out, size, strchr(p->host, ':') ? "[%s]:%u" : "%s:%u", p->host, p->port);
}

struct parent_talk *parent_talk_new(const struct connect_plan *plan)
{
    struct parent_talk *t = calloc(1, sizeof *t);
    char origin[300];
    int n;

    if (!t)
        return NULL;
    t->plan = plan;
    format_origin(plan, origin, sizeof origin);
    n = asprintf(&t->request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", origin, origin,
                 plan->parent->authorization);
    if (n < 0) {
        free(t);
        return NULL;
    }
    t->length = (size_t)n;
    return t;
}

void parent_talk_free(struct parent_talk *t)
{
    if (!t)
        return;
    free(t->request);
    free(t);
}

static enum parent_verdict hung_up(const struct parent_talk *t, int error, char *text, size_t size)
{
    snprintf(text, size, "the parent proxy %s %s the connection before it answered CONNECT%s%s%s",
             t->plan->parent->address, error ? "ended" : "closed", error ? " (" : "",
             error ? strerror(error) : "", error ? ")" : "");
    return PARENT_HANGS_UP;
}

static enum parent_verdict malformed(const struct parent_talk *t, const char *why, char *text, size_t size)
{
    snprintf(text, size, "the parent proxy %s answered CONNECT with a malformed head: %s",
             t->plan->parent->address, why);
    return PARENT_REFUSES;
}

static const char *advice_for(unsigned status)
{
    switch (status) {
    case 401:
    case 407: return "; set user and password in `proxy`";
    case 403: return "; it does not allow this host or port";
    case 405: return "; does it do CONNECT?";
    }
    return "";
}

/* Its own words, as far as they can be shown. */
static void print_reason(struct slice reason, char out[REASON_MAX + 1])
{
    size_t n = reason.n < REASON_MAX ? reason.n : REASON_MAX;

    for (size_t i = 0; i < n; i++) {
        out[i] = reason.p[i];
        if (out[i] < ' ' || out[i] > '~')
            out[i] = '?';
    }
    out[n] = '\0';
}

static enum parent_verdict judge(struct parent_talk *t, const struct head *h, char *text, size_t size)
{
    char origin[300], reason[REASON_MAX + 1];

    if (h->status / 100 == 2)
        return PARENT_AGREES;
    if (h->status == 101 || (h->status < 200 && ++t->interim > INTERIM_MAX))
        return malformed(t, "it is an interim one", text, size);
    if (h->status < 200)
        return PARENT_WAITS;
    format_origin(t->plan, origin, sizeof origin);
    print_reason(h->reason, reason);
    snprintf(text, size, "the parent proxy %s refused CONNECT %s: %u %s%s", t->plan->parent->address, origin,
             h->status, reason, advice_for(h->status));
    return PARENT_REFUSES;
}

static enum parent_verdict parse(struct parent_talk *t, size_t length, char *text, size_t size)
{
    struct head *h = malloc(sizeof *h);
    enum head_verdict v = h ? head_parse_response((struct slice){t->answer, length}, &limits, h) : HEAD_OK;
    enum parent_verdict verdict = PARENT_HANGS_UP;

    if (!h)
        snprintf(text, size, "out of memory for the parent proxy's answer");
    else if (v != HEAD_OK)
        verdict = malformed(t, head_verdict_text(v), text, size);
    else
        verdict = judge(t, h, text, size);
    free(h);
    return verdict;
}

/* Takes what has come of the head, as recv() does. The kernel keeps what follows it, which is not ours: bytes
 * are looked at first, and then taken as far as they belong to the head. */
static ssize_t take(struct parent_talk *t, int fd, enum head_verdict *verdict, size_t *length)
{
    char *to = t->answer + t->read;
    size_t room = ANSWER_MAX - t->read;
    ssize_t n = recv(fd, to, room, MSG_PEEK);

    if (n <= 0)
        return n;
    *verdict = head_scan((struct slice){t->answer, t->read + (size_t)n}, &t->scanned, &limits, length);
    if (*verdict == HEAD_INCOMPLETE && (size_t)n == room)
        *verdict = HEAD_TOO_LARGE;
    n = recv(fd, to, *verdict == HEAD_OK ? *length - t->read : (size_t)n, 0);
    t->read += n > 0 ? (size_t)n : 0;
    return n;
}

static enum parent_verdict read_answer(struct parent_talk *t, struct conn *c, char *text, size_t size)
{
    enum parent_verdict verdict = PARENT_WAITS;

    while (verdict == PARENT_WAITS) {
        enum head_verdict head = HEAD_INCOMPLETE;
        size_t length = 0;
        ssize_t n = take(t, c->fd, &head, &length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return PARENT_WAITS;
        if (n <= 0)
            return hung_up(t, n < 0 ? errno : 0, text, size);
        if (head == HEAD_INCOMPLETE)
            continue;
        if (head != HEAD_OK)
            return malformed(t, head_verdict_text(head), text, size);
        verdict = parse(t, length, text, size);
        t->read = t->scanned = 0;
    }
    return verdict;
}

enum parent_verdict parent_talk_go_on(struct parent_talk *t, struct conn *c, char *text, size_t size)
{
    while (t->sent < t->length) {
        ssize_t n = conn_write(c, &(struct iovec){t->request + t->sent, t->length - t->sent}, 1);

        if (n == CONN_AGAIN)
            return PARENT_WAITS;
        if (n < 0)
            return hung_up(t, c->error, text, size);
        t->sent += (size_t)n;
    }
    return read_answer(t, c, text, size);
}
