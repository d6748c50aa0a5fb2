/* Answers /KIND/NUMBER/SIZE, and checks what is uploaded. Kinds: length, chunked, close (the end of the
 * connection ends the content), stale (closes soon after a whole answer, and does not say so), upload. A
 * connection that begins with the preface of HTTP/2 speaks that (origin_h2.c). Prints its port, and at the
 * end of its input how many whole requests it saw. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "origin.h"

#define STALE_WITHIN_MS 20

/* One connection.
 *
 *   READING --request whole--> ANSWERING --answer whole--> READING, or CLOSING for a moment
 */
struct peer {
    struct watch watch;
    struct wait closing;
    struct numbered request;
    struct writer answer;
    enum { READING, ANSWERING, CLOSING } state;
    TAILQ_ENTRY(peer) link;
};

static TAILQ_HEAD(, peer) dead = TAILQ_HEAD_INITIALIZER(dead);
static uint64_t seen, connections;

static void hang_up(struct load *l, struct peer *p)
{
    load_wait_not(l, &p->closing);
    writer_end(&p->answer);
    close(p->watch.fd);
    p->watch.fd = -1;
    TAILQ_INSERT_TAIL(&dead, p, link); /* events of this turn may still point to it */
}

static void on_closing(struct load *l, struct wait *w)
{
    hang_up(l, (struct peer *)((char *)w - offsetof(struct peer, closing)));
}

static bool is(const struct peer *p, const char *kind)
{
    return strcmp(p->request.kind, kind) == 0;
}

static void push(struct load *l, struct peer *p)
{
    switch (writer_push(&p->answer, p->watch.fd)) {
    case PUSHED_SOME: return;
    case PUSH_FAILED: hang_up(l, p); return;
    case PUSHED_ALL: break;
    }
    if (is(p, "close")) {
        hang_up(l, p);
    } else if (is(p, "stale")) {
        p->state = CLOSING;
        load_wait(l, &p->closing, load_dice(l, STALE_WITHIN_MS));
    } else {
        p->state = READING;
        numbered_request(&p->request);
    }
}

static void answer(struct load *l, struct peer *p)
{
    const struct numbered *m = &p->request;
    bool upload = is(p, "upload");
    uint64_t size = upload ? 100 : m->size;
    char framing[64], head[256];

    if (upload && m->message.content != m->size)
        load_wrong(l, "the upload %llu is %llu bytes and not %llu", (unsigned long long)m->number,
                   (unsigned long long)m->message.content, (unsigned long long)m->size);
    if (m->id != m->number)
        load_wrong(l, "the head of %llu came with the target of %llu", (unsigned long long)m->id,
                   (unsigned long long)m->number);
    seen++;
    p->state = ANSWERING;
    snprintf(framing, sizeof framing, "Content-Length: %llu\r\n", (unsigned long long)size);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nX-Id: %llu\r\n%s\r\n", (unsigned long long)m->number,
             is(p, "chunked") ? "Transfer-Encoding: chunked\r\n"
             : is(p, "close") ? "Connection: close\r\n"
                              : framing);
    writer_begin(&p->answer, m->number, size, is(p, "chunked"), head);
    push(l, p);
}

/* Nothing was read of it: it begins with the preface of HTTP/2. */
static bool speaks_h2(const struct peer *p)
{
    char first[3];

    return !p->request.message.begun && recv(p->watch.fd, first, sizeof first, MSG_PEEK) == 3 &&
           memcmp(first, "PRI", 3) == 0;
}

static void become_h2(struct load *l, struct peer *p)
{
    loop_unwatch(&l->loop, &p->watch);
    h2_accept(l, p->watch.fd);
    connections--;
    p->watch.fd = -1;
    TAILQ_INSERT_TAIL(&dead, p, link);
}

static void take(struct load *l, struct peer *p)
{
    if (speaks_h2(p)) {
        become_h2(l, p);
        return;
    }
    while (p->watch.fd >= 0) {
        ssize_t n = recv(p->watch.fd, l->buffer, sizeof l->buffer, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(l, p);
            return;
        }
        if (p->state == CLOSING)
            continue; /* a request that comes too late: closing resets it */
        ssize_t used = p->state == READING ? message_feed(&p->request.message, l->buffer, (size_t)n) : 0;
        if (used != n) {
            load_wrong(l, "a request %s",
                       used < 0 ? p->request.message.error : "was followed by more than itself");
            hang_up(l, p);
        } else if (p->request.message.state == MESSAGE_DONE) {
            answer(l, p);
        }
    }
}

static void on_peer(struct load *l, struct watch *w, uint32_t events)
{
    struct peer *p = (struct peer *)w;

    if ((events & EPOLLOUT) && p->state == ANSWERING)
        push(l, p);
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && w->fd >= 0)
        take(l, p);
}

static void on_listener(struct load *l, struct watch *w, uint32_t events)
{
    int fd;

    (void)events;
    while ((fd = loop_accept(w)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        if (!p)
            abort();
        p->watch = (struct watch){fd, on_peer};
        p->closing.over = on_closing;
        p->state = READING;
        numbered_request(&p->request);
        connections++;
        loop_watch(&l->loop, &p->watch);
    }
}

static bool input_has_ended(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;

    return poll(&in, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int origin_main(struct load *l, int argc, char **argv)
{
    struct watch listener = {-1, on_listener};
    struct peer *p;

    (void)argv;
    if (argc != 1)
        return 2;
    printf("%u\n", loop_listen(&l->loop, &listener, 0));
    fflush(stdout);
    while (!input_has_ended()) {
        load_turn(l);
        while ((p = TAILQ_FIRST(&dead))) {
            TAILQ_REMOVE(&dead, p, link);
            free(p);
        }
        h2_bury();
    }
    printf(
        "{\"seen\": %llu, \"connections\": %llu, \"h2\": %llu, \"h2Connections\": %llu, \"refused\": %llu, "
        "\"goaways\": %llu, \"wrong\": %u}\n",
        (unsigned long long)seen, (unsigned long long)connections, (unsigned long long)h2_seen.requests,
        (unsigned long long)h2_seen.connections, (unsigned long long)h2_seen.refused,
        (unsigned long long)h2_seen.goaways, l->wrong_count);
    return 0;
}
