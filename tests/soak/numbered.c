#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static const char *look_at_content(const struct message *m, const char *p, size_t n)
{
    const struct numbered *r = (const struct numbered *)m;

    return r->id && !content_holds(r->id, m->content, p, n) ? "bytes of another message" : NULL;
}

bool numbered_target(struct numbered *r, const char *target)
{
    unsigned long long number, size;

    if (sscanf(target, "/%19[^/]/%llu/%llu", r->kind, &number, &size) != 3)
        return false;
    r->number = number;
    r->size = size;
    return true;
}

static const char *look_at_request(struct message *m, const char *head)
{
    struct numbered *r = (struct numbered *)m;
    const char *target = strchr(head, ' ');

    r->id = strtoull(message_field(head, "X-Id"), NULL, 10);
    return target && numbered_target(r, target + 1) ? NULL : "a start line that nobody sent";
}

static const char *look_at_response(struct message *m, const char *head)
{
    struct numbered *r = (struct numbered *)m;
    const char *status = message_field(head, "Proxy-Status"), *end = strstr(status, "\r\n");

    r->id = strtoull(message_field(head, "X-Id"), NULL, 10);
    r->terminated = end && memmem(status, (size_t)(end - status), "connection_terminated", 21);
    if (m->status < 200)
        return "a start line that nobody sent";
    return m->left == MESSAGE_UNTIL_END ? "a response without framing" : NULL;
}

static const struct message_kind request = {true, look_at_request, look_at_content};
static const struct message_kind response = {false, look_at_response, look_at_content};

static void begin(struct numbered *r, const struct message_kind *kind)
{
    message_begin(&r->message, kind);
    r->terminated = false;
    r->kind[0] = '\0';
    r->number = r->size = r->id = 0;
}

void numbered_request(struct numbered *r)
{
    begin(r, &request);
}

void numbered_response(struct numbered *r)
{
    begin(r, &response);
}
