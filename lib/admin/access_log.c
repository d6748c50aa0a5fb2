#include "admin/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/text.h"
#include "base/clock.h"
#include "base/console.h"
#include "base/decimal.h"
#include "base/log.h"

#define LINES_SIZE (128 * 1024)

/* What a value may take in a line, escapes included; the rest of it is cut off. */
#define METHOD_ROOM   256
#define TARGET_ROOM   RECORD_TARGET_SIZE
#define AGENT_ROOM    512
#define ERROR_ROOM    64
#define PROTOCOL_ROOM 16
#define CALLER_ROOM   1536
/* Keys, times, numbers and the client's address take less than the last part. */
#define LINE_ROOM (METHOD_ROOM + TARGET_ROOM + AGENT_ROOM + ERROR_ROOM + CALLER_ROOM + PROTOCOL_ROOM + 1024)

struct access_log {
    pthread_mutex_t lock; /* several loops write */
    char *path;           /* "-": stdout */
    enum access_log_format format;
    int fd;        /* stdout, or opened with O_NONBLOCK; -1: a FIFO without a reader */
    bool mid_line; /* the last byte that went out was not a line's end */
    bool failing;  /* said once that writing fails */
    uint64_t dropped;
    uint64_t flushed_ms;
    size_t length;
    char data[LINES_SIZE];
};

/* The line that is being written; the room was checked before it was begun. */
struct line {
    char *at;
    enum access_log_format format;
};

static void put(struct line *l, struct slice s)
{
    memcpy(l->at, s.p, s.n);
    l->at += s.n;
}

/* `text_key` is " key=", `json_key` is ",\"key\":". */
static void put_key(struct line *l, struct slice text_key, struct slice json_key)
{
    put(l, l->format == ACCESS_LOG_TEXT ? text_key : json_key);
}

#define PUT_KEY(l, key) put_key(l, SLICE(" " key "="), SLICE(",\"" key "\":"))

static void put_text(struct line *l, struct slice value, size_t room)
{
    if (value.n == 0)
        value = SLICE("-");
    l->at += l->format == ACCESS_LOG_TEXT ? log_escape_text(l->at, room, value)
                                          : log_escape_json(l->at, room, value);
}

static void put_number(struct line *l, uint64_t value)
{
    l->at = decimal_put(l->at, value);
}

static void put_client(struct line *l, const struct address *client)
{
    char text[ADDRESS_TEXT_SIZE];

    put_text(l, slice_of(client ? address_format(client, text) : "-"), ADDRESS_TEXT_SIZE * 6);
}

/* Milliseconds with three decimals. */
static void put_ms(struct line *l, uint64_t us)
{
    uint64_t rest = us % 1000;

    put_number(l, us / 1000);
    put(l, (struct slice){(const char[4]){'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                                          (char)('0' + rest % 10)},
                          4});
}

static void put_times(struct line *l, const struct exchange_record *r)
{
    PUT_KEY(l, "pendingMs");
    put_ms(l, r->pending_us);
    PUT_KEY(l, "connectMs");
    put_ms(l, r->connect_us);
    PUT_KEY(l, "ttfbMs");
    put_ms(l, r->ttfb_us);
    PUT_KEY(l, "totalMs");
    put_ms(l, r->total_us);
}

static void put_request(struct line *l, const struct exchange_record *r)
{
    PUT_KEY(l, "client");
    put_client(l, r->client);
    if (r->caller) {
        PUT_KEY(l, "caller");
        put_text(l, slice_of(r->caller), CALLER_ROOM);
    }
    PUT_KEY(l, "method");
    put_text(l, r->method, METHOD_ROOM);
    PUT_KEY(l, "target");
    put_text(l, r->target, TARGET_ROOM);
}

static size_t put_line(char *out, enum access_log_format format, const struct exchange_record *r)
{
    struct line l = {out, format};

    put(&l, format == ACCESS_LOG_TEXT ? SLICE("time=") : SLICE("{\"time\":\""));
    l.at += clock_format(clock_wall_ms(), l.at);
    if (format == ACCESS_LOG_JSON)
        put(&l, SLICE("\""));
    put_request(&l, r);
    PUT_KEY(&l, "status");
    put_number(&l, r->status);
    PUT_KEY(&l, "bytesIn");
    put_number(&l, r->bytes_in);
    PUT_KEY(&l, "bytesOut");
    put_number(&l, r->bytes_out);
    PUT_KEY(&l, "agent");
    put_text(&l, r->agent, AGENT_ROOM);
    if (r->protocol) {
        PUT_KEY(&l, "protocol");
        put_text(&l, slice_of(r->protocol), PROTOCOL_ROOM);
    }
    PUT_KEY(&l, "reused");
    put(&l, r->reused ? SLICE("true") : SLICE("false"));
    put_times(&l, r);
    PUT_KEY(&l, "retries");
    put_number(&l, r->retries);
    if (r->error) {
        PUT_KEY(&l, "error");
        put_text(&l, slice_of(r->error), ERROR_ROOM);
    }
    put(&l, format == ACCESS_LOG_TEXT ? SLICE("\n") : SLICE("}\n"));
    return (size_t)(l.at - out);
}

/* The descriptor */

static bool open_path(struct access_log *l)
{
    bool is_stdout = strcmp(l->path, "-") == 0;
    int fd = STDOUT_FILENO;

    if (!is_stdout)
        fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    if (fd < 0)
        return false;
    l->fd = fd;
    return true;
}

static void close_path(struct access_log *l)
{
    if (l->fd >= 0 && l->fd != STDOUT_FILENO)
        close(l->fd);
    l->fd = -1;
}

static const char *advice(int number)
{
    switch (number) {
    case ENOENT:
    case EACCES: return "; does its folder exist, and may this user write there?";
    case ENXIO: return "; if it is a pipe, start first what reads it";
    }
    return "";
}

struct access_log *access_log_open(const char *path, enum access_log_format format, char *error,
                                   size_t error_size)
{
    struct access_log *l = malloc(sizeof *l);

    if (l) {
        memset(l, 0, offsetof(struct access_log, data));
        pthread_mutex_init(&l->lock, NULL);
        l->fd = -1;
        l->format = format;
        l->path = strdup(path);
    }
    if (!l || !l->path) {
        snprintf(error, error_size, "cannot open the access log %s: out of memory", path);
        free(l);
        return NULL;
    }
    if (!open_path(l)) {
        snprintf(error, error_size, "cannot open the access log %s: %s%s", path, strerror(errno),
                 advice(errno));
        free(l->path);
        free(l);
        return NULL;
    }
    return l;
}

/* One write that does not wait; its count, or -1. */
static ssize_t write_some(const struct access_log *l, const char *p, size_t n)
{
    return l->fd == STDOUT_FILENO ? console_write(STDOUT_FILENO, p, n) : write(l->fd, p, n);
}

static void say_failure(struct access_log *l, int number)
{
    if (number == 0 || number == EAGAIN || l->failing)
        return;
    l->failing = true;
    log_event(LOG_ERROR, "cannot write the access log: lines are kept until its buffer is full, then dropped",
              LOG_S("path", l->path), LOG_S("reason", strerror(number)));
}

static void say_dropped(struct access_log *l)
{
    if (l->dropped == 0)
        return;
    log_event(LOG_WARN, "access log lines were dropped: their reader is too slow, or the disk is full",
              LOG_S("path", l->path), LOG_N("lines", l->dropped));
    l->dropped = 0;
}

/* Whole lines */

static uint64_t count_lines(const char *p, size_t n)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

static void drop_front(struct access_log *l, size_t n)
{
    memmove(l->data, l->data + n, l->length - n);
    l->length -= n;
}

/* The next reader must not begin with the end of a line. */
static void skip_torn_line(struct access_log *l)
{
    char *end = l->mid_line ? memchr(l->data, '\n', l->length) : NULL;

    if (end) {
        drop_front(l, (size_t)(end + 1 - l->data));
        l->dropped++;
    }
    l->mid_line = false;
}

static bool begins_a_line(const struct access_log *l, const char *p, size_t n)
{
    return slice_begins((struct slice){p, n},
                        l->format == ACCESS_LOG_TEXT ? SLICE("time=") : SLICE("{\"time\":"));
}

/* What stood in the FIFO goes before what was not written yet, which goes on where it ends. Its own first
 * line may have been read in part. */
static void put_back(struct access_log *l, const char *p, size_t n)
{
    size_t torn = 0;

    if (!begins_a_line(l, p, n)) {
        const char *end = memchr(p, '\n', n);
        torn = end ? (size_t)(end + 1 - p) : n;
        l->dropped++;
    }
    if (torn == n)
        return;
    n -= torn;
    memmove(l->data + n, l->data, l->length);
    memcpy(l->data, p + torn, n);
    l->length += n;
    l->mid_line = false;
}

/* Its reader has gone, perhaps in the midst of a line. It is emptied by its last end's being closed; the next
 * reader gets whole lines. */
static void leave_fifo(struct access_log *l)
{
    int end = open(l->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    size_t room = sizeof l->data - l->length;
    char *back = malloc(sizeof l->data);
    ssize_t n = end >= 0 && back ? read(end, back, sizeof l->data) : 0;

    if (n > 0 && (size_t)n <= room)
        put_back(l, back, (size_t)n);
    else if (n > 0)
        l->dropped += count_lines(back, (size_t)n);
    skip_torn_line(l);
    free(back);
    if (end >= 0)
        close(end);
    close_path(l);
}

static void took(struct access_log *l, size_t n)
{
    if (n == 0)
        return;
    l->mid_line = l->data[n - 1] != '\n';
    drop_front(l, n);
    l->failing = false;
    say_dropped(l);
}

static void flush(struct access_log *l)
{
    size_t done = 0;
    int number = 0;

    l->flushed_ms = clock_ms();
    if (l->length == 0 || (l->fd < 0 && !open_path(l)))
        return;
    while (done < l->length && number == 0) {
        ssize_t n = write_some(l, l->data + done, l->length - done);

        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            number = n == 0 ? EAGAIN : errno;
    }
    took(l, done);
    say_failure(l, number);
    if (number == EPIPE && l->fd != STDOUT_FILENO)
        leave_fifo(l);
}

void access_log_flush(struct access_log *l)
{
    pthread_mutex_lock(&l->lock);
    flush(l);
    pthread_mutex_unlock(&l->lock);
}

/* A write costs as much as some ten lines: under load they go out together. What a write leaves there is
 * waiting for a reader, not for a turn. */
bool access_log_end_turn(struct access_log *l)
{
    bool early;

    pthread_mutex_lock(&l->lock);
    early = l->length > 0 && clock_ms() < l->flushed_ms + ACCESS_LOG_GATHER_MS;
    if (l->length > 0 && !early)
        flush(l);
    pthread_mutex_unlock(&l->lock);
    return early;
}

void access_log_write(struct access_log *l, const struct exchange_record *r)
{
    pthread_mutex_lock(&l->lock);
    if (sizeof l->data - l->length < LINE_ROOM)
        flush(l);
    if (sizeof l->data - l->length < LINE_ROOM)
        l->dropped++;
    else
        l->length += put_line(l->data + l->length, l->format, r);
    pthread_mutex_unlock(&l->lock);
}

static void reopen(struct access_log *l)
{
    flush(l);
    if (strcmp(l->path, "-") == 0)
        return;
    int old = l->fd;
    if (!open_path(l)) {
        log_event(LOG_ERROR, "cannot open the access log again: the old file stays in use",
                  LOG_S("path", l->path), LOG_S("reason", strerror(errno)));
        return;
    }
    if (old >= 0)
        close(old);
    skip_torn_line(l);
}

void access_log_reopen(struct access_log *l)
{
    pthread_mutex_lock(&l->lock);
    reopen(l);
    pthread_mutex_unlock(&l->lock);
}

void access_log_close(struct access_log *l)
{
    if (!l)
        return;
    flush(l);
    l->dropped += count_lines(l->data, l->length);
    say_dropped(l);
    close_path(l);
    pthread_mutex_destroy(&l->lock);
    free(l->path);
    free(l);
}
