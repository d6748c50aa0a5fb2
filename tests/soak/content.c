#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"

#define UNIT  16 /* the number in so many bytes, again and again */
#define PIECE 32768
#define FRAME 32

static void unit_at(uint64_t number, uint64_t position, char unit[UNIT])
{
    char text[UNIT + 1];

    snprintf(text, sizeof text, "%015llu|", (unsigned long long)(number % 1000000000000000));
    for (size_t i = 0; i < UNIT; i++)
        unit[i] = text[(position + i) % UNIT];
}

void content_fill(uint64_t number, uint64_t position, char *to, size_t n)
{
    char unit[UNIT];
    size_t done = n < UNIT ? n : UNIT;

    unit_at(number, position, unit);
    memcpy(to, unit, done);
    while (done < n) {
        size_t step = done < n - done ? done : n - done;
        memcpy(to + done, to, step);
        done += step;
    }
}

bool content_holds(uint64_t number, uint64_t position, const char *p, size_t n)
{
    char unit[UNIT];

    unit_at(number, position, unit);
    if (memcmp(p, unit, n < UNIT ? n : UNIT) != 0)
        return false;
    return n <= UNIT || memcmp(p, p + UNIT, n - UNIT) == 0;
}

static void keep(struct writer *w, const char *p, size_t n)
{
    w->rest = malloc(n);
    if (!w->rest)
        abort();
    memcpy(w->rest, p, n);
    w->rest_size = n;
    w->rest_sent = 0;
}

void writer_begin(struct writer *w, uint64_t number, uint64_t size, bool chunked, const char *head)
{
    writer_end(w);
    *w = (struct writer){.number = number, .size = size, .chunked = chunked};
    keep(w, head, strlen(head));
}

void writer_end(struct writer *w)
{
    free(w->rest);
    w->rest = NULL;
}

/* The next bytes on the wire; 0: there are no more. */
static size_t produce(struct writer *w, char *to)
{
    uint64_t left = w->size - w->position;
    size_t step = left < PIECE ? (size_t)left : PIECE, n = 0;

    if (w->ended || (step == 0 && !w->chunked))
        return 0;
    if (w->chunked)
        n = (size_t)sprintf(to, step ? "%zx\r\n" : "%zx\r\n\r\n", step);
    w->ended = step == 0;
    if (step == 0)
        return n;
    content_fill(w->number, w->position, to + n, step);
    w->position += step;
    n += step;
    if (w->chunked)
        n += (size_t)sprintf(to + n, "\r\n");
    return n;
}

static ssize_t put(int fd, const char *p, size_t n)
{
    ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

    return sent < 0 && (errno == EAGAIN || errno == ENOTCONN) ? 0 : sent;
}

enum pushed writer_push(struct writer *w, int fd)
{
    char piece[PIECE + FRAME];

    for (;;) {
        if (w->rest) {
            ssize_t n = put(fd, w->rest + w->rest_sent, w->rest_size - w->rest_sent);
            if (n < 0)
                return PUSH_FAILED;
            w->rest_sent += (size_t)n;
            if (w->rest_sent < w->rest_size)
                return PUSHED_SOME;
            writer_end(w);
        }
        size_t size = produce(w, piece);
        if (size == 0)
            return PUSHED_ALL;
        ssize_t n = put(fd, piece, size);
        if (n < 0)
            return PUSH_FAILED;
        if ((size_t)n < size) {
            keep(w, piece + n, size - (size_t)n);
            return PUSHED_SOME;
        }
    }
}
