#include "message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void message_begin(struct message *m, const struct message_kind *kind)
{
    m->kind = kind;
    m->state = MESSAGE_HEAD;
    m->begun = m->close = false;
    m->status = 0;
    m->error = NULL;
    m->left = m->content = 0;
    m->held = 0;
}

const char *message_field(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " ");
    }
    return "";
}

static const char *read_first_line(struct message *m, const char *head)
{
    if (m->kind->is_request) {
        m->close = strstr(head, " HTTP/1.0\r\n") != NULL;
        return NULL;
    }
    if (strncmp(head, "HTTP/1.", 7) != 0)
        return "a start line that nobody sent";
    m->status = atoi(head + 9);
    m->close = head[7] == '0';
    return NULL;
}

static const char *read_head(struct message *m)
{
    const char *head = m->hold, *length = message_field(head, "Content-Length"),
               *coding = message_field(head, "Transfer-Encoding"),
               *connection = message_field(head, "Connection"), *error = read_first_line(m, head);

    if (error)
        return error;
    if (strncasecmp(connection, "close", 5) == 0)
        m->close = true;
    else if (strncasecmp(connection, "keep", 4) == 0)
        m->close = false;
    if (!*coding && !*length && !m->kind->is_request)
        m->left = MESSAGE_UNTIL_END;
    else if (!*coding)
        m->left = strtoull(length, NULL, 10);
    m->state = *coding ? MESSAGE_CHUNK_LINE : m->left ? MESSAGE_LENGTH : MESSAGE_DONE;
    return m->kind->look_at_head(m, head);
}

/* Collects up to and with `end`; how many bytes that took. The whole stands in `hold` then. */
static size_t collect(struct message *m, const char *p, size_t n, const char *end, bool *whole)
{
    size_t before = m->held, length = strlen(end), from = before < length ? 0 : before - length + 1;
    size_t room = sizeof m->hold - 1 - before, take = n < room ? n : room;
    const char *found;

    memcpy(m->hold + before, p, take);
    m->held += take;
    found = memmem(m->hold + from, m->held - from, end, length);
    *whole = found != NULL;
    if (!found)
        return take;
    take = (size_t)(found - m->hold) + length - before;
    m->hold[before + take] = '\0';
    m->held = 0;
    return take;
}

static const char *end_line(struct message *m)
{
    switch (m->state) {
    case MESSAGE_HEAD: return read_head(m);
    case MESSAGE_CHUNK_LINE:
        m->left = strtoull(m->hold, NULL, 16);
        m->state = m->left ? MESSAGE_CHUNK : MESSAGE_TRAILER;
        return NULL;
    case MESSAGE_CHUNK_END:
        m->state = MESSAGE_CHUNK_LINE;
        return m->hold[0] == '\r' ? NULL : "a chunk or its size is not right";
    case MESSAGE_TRAILER: m->state = m->hold[0] == '\r' ? MESSAGE_DONE : MESSAGE_TRAILER; return NULL;
    case MESSAGE_LENGTH:
    case MESSAGE_CHUNK:
    case MESSAGE_DONE: break;
    }
    abort();
}

void message_skip(struct message *m, uint64_t n)
{
    m->left -= n;
    m->content += n;
    if (m->left == 0)
        m->state = m->state == MESSAGE_CHUNK ? MESSAGE_CHUNK_END : MESSAGE_DONE;
}

static size_t take_content(struct message *m, const char *p, size_t n)
{
    size_t take = n < m->left ? n : (size_t)m->left;

    m->error = m->kind->look_at_content(m, p, take);
    message_skip(m, take);
    return take;
}

static size_t take_line(struct message *m, const char *p, size_t n)
{
    bool whole;
    size_t take = collect(m, p, n, m->state == MESSAGE_HEAD ? "\r\n\r\n" : "\r\n", &whole);

    if (whole)
        m->error = end_line(m);
    else if (m->held == sizeof m->hold - 1)
        m->error = "a head or a line that is too long";
    return take;
}

ssize_t message_feed(struct message *m, const char *p, size_t n)
{
    size_t used = 0;

    m->begun |= n > 0;
    while (used < n && m->state != MESSAGE_DONE && !m->error) {
        bool is_content = m->state == MESSAGE_LENGTH || m->state == MESSAGE_CHUNK;
        used += is_content ? take_content(m, p + used, n - used) : take_line(m, p + used, n - used);
    }
    return m->error ? -1 : (ssize_t)used;
}
