/* Reading messages: just enough HTTP/1.1 to know where one ends and that its body is the right one. */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

#define PERIOD 251 /* prime, so that no block of a proxy's buffers is a multiple of it */

static char pattern[LOAD_BUFFER + PERIOD];

void pattern_init(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)('0' + i % PERIOD % 75);
}

const char *pattern_at(uint64_t i)
{
    return pattern + i % PERIOD;
}

void message_begin(struct message *m, bool is_request)
{
    m->state = MESSAGE_HEAD;
    m->is_request = is_request;
    m->close = false;
    m->status = 0;
    m->held = 0;
    m->left = m->body = 0;
}

/* The value of a field, or NULL. `head` ends with a zero. */
static const char *field(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return NULL;
}

static bool read_head(struct message *m, char *head)
{
    const char *length = field(head, "Content-Length");
    const char *coding = field(head, "Transfer-Encoding");
    const char *connection = field(head, "Connection");

    if (m->is_request) {
        m->status = 1;
        m->close = strstr(head, " HTTP/1.0\r\n") != NULL;
    } else {
        if (strncmp(head, "HTTP/1.", 7) != 0)
            return false;
        m->status = atoi(head + 9);
        m->close = head[7] == '0';
    }
    if (connection)
        m->close = strncasecmp(connection, "close", 5) == 0  ? true
                   : strncasecmp(connection, "keep", 4) == 0 ? false
                                                             : m->close;
    m->state = MESSAGE_DONE;
    if (coding) {
        m->state = MESSAGE_CHUNK_LINE;
    } else if (length) {
        m->left = strtoull(length, NULL, 10);
        m->state = m->left ? MESSAGE_LENGTH : MESSAGE_DONE;
    } else if (!m->is_request) {
        m->left = UINT64_MAX; /* until the end of the connection */
        m->state = MESSAGE_LENGTH;
    }
    return true;
}

/* Collects up to and with `end`; how many bytes it took, or -1 when there are too many. The whole stands in `hold` then. */
static ssize_t collect(struct message *m, const char *p, size_t n, const char *end, bool *whole)
{
    size_t before = m->held, room = sizeof m->hold - 1 - m->held, take = n < room ? n : room,
           length = strlen(end);
    size_t from = before >= length ? before - length + 1 : 0;
    char *found;

    memcpy(m->hold + before, p, take);
    found = memmem(m->hold + from, before + take - from, end, length);
    *whole = found != NULL;
    if (!found) {
        m->held += take;
        return take < n ? -1 : (ssize_t)take;
    }
    m->held = (size_t)(found - m->hold) + length;
    take = m->held - before;
    m->hold[m->held] = '\0';
    m->held = 0;
    return (ssize_t)take;
}

static ssize_t take_body(struct message *m, const char *p, size_t n)
{
    size_t take = n < m->left ? n : (size_t)m->left, at = 0;

    while (at < take) {
        size_t step = take - at < 65536 ? take - at : 65536;
        bool compare = m->is_request || m->status == 200; /* the body of an error is its sender's own */
        if (compare && memcmp(p + at, pattern_at(m->body), step) != 0)
            return -1;
        at += step;
        m->body += step;
    }
    m->left -= take;
    return (ssize_t)take;
}

void message_skip(struct message *m, uint64_t n)
{
    m->left -= n;
    m->body += n;
    if (m->left == 0)
        m->state = MESSAGE_DONE;
}

static void end_line(struct message *m)
{
    if (m->state == MESSAGE_TRAILER) {
        m->state = m->hold[0] == '\r' ? MESSAGE_DONE : MESSAGE_TRAILER;
    } else if (m->hold[0] != '\r') { /* an empty one stands behind each chunk */
        m->left = strtoull(m->hold, NULL, 16);
        m->state = m->left ? MESSAGE_CHUNK : MESSAGE_TRAILER;
    }
}

ssize_t message_feed(struct message *m, const char *p, size_t n)
{
    size_t used = 0;

    while (used < n && m->state != MESSAGE_DONE) {
        bool whole = false;
        ssize_t took;
        if (m->state == MESSAGE_LENGTH || m->state == MESSAGE_CHUNK) {
            took = take_body(m, p + used, n - used);
            if (took >= 0 && m->left == 0)
                m->state = m->state == MESSAGE_CHUNK ? MESSAGE_CHUNK_LINE : MESSAGE_DONE;
        } else {
            took = collect(m, p + used, n - used, m->state == MESSAGE_HEAD ? "\r\n\r\n" : "\n", &whole);
            if (whole && m->state != MESSAGE_HEAD)
                end_line(m);
            else if (whole && !read_head(m, m->hold))
                return -1;
        }
        if (took < 0)
            return -1;
        used += (size_t)took;
    }
    return (ssize_t)used;
}
