#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

void message_begin(struct message *m)
{
    m->state = MESSAGE_HEAD;
    m->begun = m->close = m->terminated = false;
    m->status = 0;
    m->kind[0] = '\0';
    m->number = m->size = m->id = m->left = m->content = 0;
    m->error = NULL;
    m->held = 0;
}

static ssize_t wrong(struct message *m, const char *what)
{
    m->error = what;
    return -1;
}

/* The value of a field, or "". `head` ends with a zero. */
static const char *field(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            return line + 2 + n + 1 + strspn(line + 2 + n + 1, " ");
    return "";
}

/* Whether the value begins with this word. */
static bool says(const char *value, const char *word)
{
    return strncasecmp(value, word, strlen(word)) == 0;
}

static bool read_start_line(struct message *m, const char *head)
{
    unsigned long long number, size;

    if (strncmp(head, "HTTP/1.1 ", 9) == 0) {
        m->status = atoi(head + 9);
        return m->status >= 200;
    }
    if (sscanf(head, "%*7s /%19[^/]/%llu/%llu HTTP/1.1", m->kind, &number, &size) != 3)
        return false;
    m->number = number;
    m->size = size;
    return true;
}

static ssize_t read_head(struct message *m)
{
    const char *head = m->hold, *length = field(head, "Content-Length"), *id = field(head, "X-Id"),
               *status = field(head, "Proxy-Status"), *end = strstr(status, "\r\n");

    if (!read_start_line(m, head))
        return wrong(m, "a start line that nobody sent");
    m->close = says(field(head, "Connection"), "close");
    m->id = strtoull(id, NULL, 10);
    m->terminated = end && memmem(status, (size_t)(end - status), "connection_terminated", 21);
    m->left = strtoull(length, NULL, 10);
    m->state = m->left ? MESSAGE_LENGTH : MESSAGE_DONE;
    if (says(field(head, "Transfer-Encoding"), "chunked"))
        m->state = MESSAGE_CHUNK_LINE;
    else if (m->status && !*length)
        return wrong(m, "a response without framing");
    return 0;
}

/* Collects up to and with `end`; how many bytes that took. */
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

static ssize_t end_line(struct message *m)
{
    switch (m->state) {
    case MESSAGE_HEAD: return read_head(m);
    case MESSAGE_CHUNK_LINE:
        m->left = strtoull(m->hold, NULL, 16);
        m->state = m->left ? MESSAGE_CHUNK : MESSAGE_CHUNK_END;
        return 0;
    case MESSAGE_CHUNK_END:
        if (m->hold[0] != '\r')
            return wrong(m, "a chunk or its size is not right");
        m->state = m->left == 0 ? MESSAGE_DONE : MESSAGE_CHUNK_LINE;
        return 0;
    case MESSAGE_LENGTH:
    case MESSAGE_CHUNK:
    case MESSAGE_DONE: break;
    }
    abort();
}

static ssize_t take_content(struct message *m, const char *p, size_t n)
{
    size_t take = n < m->left ? n : (size_t)m->left;

    if (m->id && !content_holds(m->id, m->content, p, take))
        return wrong(m, "bytes of another message");
    m->content += take;
    m->left -= take;
    if (m->left > 0)
        return (ssize_t)take;
    if (m->state == MESSAGE_CHUNK) {
        m->state = MESSAGE_CHUNK_END;
        m->left = UINT64_MAX; /* no last one */
    } else {
        m->state = MESSAGE_DONE;
    }
    return (ssize_t)take;
}

ssize_t message_feed(struct message *m, const char *p, size_t n)
{
    size_t used = 0;

    m->begun |= n > 0;
    while (used < n && m->state != MESSAGE_DONE) {
        if (m->state == MESSAGE_LENGTH || m->state == MESSAGE_CHUNK) {
            ssize_t took = take_content(m, p + used, n - used);
            if (took < 0)
                return -1;
            used += (size_t)took;
            continue;
        }
        bool whole;
        used += collect(m, p + used, n - used, m->state == MESSAGE_HEAD ? "\r\n\r\n" : "\r\n", &whole);
        if (whole && end_line(m) < 0)
            return -1;
        if (m->held == sizeof m->hold - 1)
            return wrong(m, "a head or a line that is too long");
    }
    return (ssize_t)used;
}
