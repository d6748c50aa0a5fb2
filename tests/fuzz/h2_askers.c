#include "h2_askers.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "h2_origin.h"
#include "http/framing.h"
#include "http/head.h"

unsigned askers_requests;

static void put(struct asker *a, const char *bytes, size_t n)
{
    ssize_t put = a->fd >= 0 ? write(a->fd, bytes, n) : 0;

    (void)put;
}

void asker_put_content(struct asker *a, unsigned n)
{
    const struct request *r = &origin_requests[a->unsent_request];
    char bytes[512];
    int at = 0;

    n = n < a->unsent ? n : a->unsent;
    if (n == 0)
        return;
    if (a->chunked)
        at = snprintf(bytes, sizeof bytes, "%x\r\n", n);
    for (unsigned i = 0; i < n; i++)
        bytes[at++] = origin_asked_byte(a->unsent_request, r->length - a->unsent + i);
    if (a->chunked)
        at += snprintf(bytes + at, sizeof bytes - (size_t)at, "\r\n");
    a->unsent -= n;
    put(a, bytes, (size_t)at);
    if (a->chunked && a->unsent == 0)
        put(a, "0\r\n\r\n", 5);
}

void asker_ask(struct asker *a, unsigned kind)
{
    static const char *const methods[] = {"GET", "POST", "HEAD", "PUT"};
    unsigned method = kind & 3, length = method == 1 || method == 3 ? kind >> 3 & 31 : 0;
    char head[256];

    asker_put_content(a, a->unsent);
    if (a->fd < 0 || a->count == ASKED || askers_requests == ORIGIN_REQUESTS)
        return;
    length *= 8;
    a->chunked = length > 0 && kind & 4;
    int n = snprintf(head, sizeof head, "%s http://a.test/%u HTTP/1.1\r\nHost: a.test\r\n", methods[method],
                     askers_requests);
    if (a->chunked)
        n += snprintf(head + n, sizeof head - (size_t)n, "Transfer-Encoding: chunked\r\n");
    else if (method == 1 || length > 0)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %u\r\n", length);
    n += snprintf(head + n, sizeof head - (size_t)n, "\r\n");
    origin_requests[askers_requests] = (struct request){.repeatable = method != 1, .length = length};
    a->asked[a->count].request = askers_requests;
    a->asked[a->count++].head = method == 2;
    a->unsent = length;
    a->unsent_request = askers_requests++;
    put(a, head, (size_t)n);
}

void asker_take(struct asker *a, size_t most)
{
    ssize_t n;

    while (a->fd >= 0 && most > 0 && a->n < HEARD &&
           (n = read(a->fd, a->heard + a->n, most < HEARD - a->n ? most : HEARD - a->n)) > 0) {
        a->n += (size_t)n;
        most -= (size_t)n;
    }
}

/* --- What they were answered -------------------------------------------------------------------------- */

static const struct head_limits limits = {.max_size = 32 * 1024, .max_count = 200};
static struct head head;

/* The final head at the front of `rest`, which loses it and those before it; false: it is not whole. */
static bool next_head(struct slice *rest)
{
    for (;;) {
        size_t scanned = 0, length = 0;
        enum head_verdict v = head_scan(*rest, &scanned, &limits, &length);
        if (v == HEAD_INCOMPLETE)
            return false;
        fuzz_assert(v == HEAD_OK);
        fuzz_assert(head_parse_response((struct slice){rest->p, length}, &limits, &head) == HEAD_OK);
        *rest = slice_from(*rest, length);
        if (head.status >= 200)
            return true;
    }
}

static struct slice field(const char *name)
{
    for (uint32_t i = 0; i < head.count; i++)
        if (slice_eq_nocase(head.fields[i].name, slice_of(name)))
            return head.fields[i].value;
    return (struct slice){NULL, 0};
}

static void add_content(struct answer *a, unsigned request, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        fuzz_assert(a->kind == OWN || a->wild || s.p[i] == origin_answer_byte(request, a->content + i));
        a->digest = a->digest * 31 + (unsigned char)s.p[i];
    }
    a->content += s.n;
}

static bool take_length(struct slice *rest, uint64_t length, struct answer *a, unsigned request)
{
    struct slice s = {rest->p, rest->n < length ? rest->n : (size_t)length};

    add_content(a, request, s);
    *rest = slice_from(*rest, s.n);
    return s.n == length;
}

static bool take_line(struct slice *rest, struct slice *line)
{
    const char *end = memmem(rest->p, rest->n, "\r\n", 2);

    if (!end)
        return false;
    *line = (struct slice){rest->p, (size_t)(end - rest->p)};
    *rest = slice_from(*rest, line->n + 2);
    return true;
}

static bool take_chunks(struct slice *rest, struct answer *a, unsigned request)
{
    struct slice line;
    unsigned long n;

    do {
        if (!take_line(rest, &line))
            return false;
        n = strtoul(line.p, NULL, 16);
        if (n > 0 && (!take_length(rest, n, a, request) || !take_line(rest, &line)))
            return false;
    } while (n > 0);
    do {
        if (!take_line(rest, &line))
            return false;
    } while (line.n > 0);
    return true;
}

/* A response of the origin's says whose it is. */
static void check_owner(struct answer *a, unsigned request)
{
    char id[16];
    int n = snprintf(id, sizeof id, "%u", request);

    a->wild = origin_requests[request].wild;
    if (field("proxy-status").n > 0)
        a->kind = OWN;
    else
        fuzz_assert(a->wild || slice_eq(field("x-id"), (struct slice){id, (size_t)n}));
}

static bool next_answer(struct slice *rest, unsigned request, bool is_head, struct answer *a)
{
    struct framing f;
    bool whole = false;

    *a = (struct answer){0};
    if (!next_head(rest))
        return false;
    a->kind = CUT;
    a->status = head.status;
    check_owner(a, request);
    /* Of a head that came only in part no method is known. */
    if (a->kind == OWN && a->status == 408 && rest->n > 0)
        is_head = false;
    fuzz_assert(framing_of_response(&head, is_head ? REQUEST_HEAD : REQUEST_PLAIN, &f) == FRAMING_OK);
    a->counted = f.kind != BODY_CHUNKED;
    switch (f.kind) {
    case BODY_NONE: whole = true; break;
    case BODY_LENGTH: whole = take_length(rest, f.length, a, request); break;
    case BODY_CHUNKED: whole = take_chunks(rest, a, request); break;
    case BODY_CLOSE: whole = take_length(rest, rest->n, a, request); break;
    case BODY_TUNNEL: fuzz_assert(!"nobody asked for one");
    }
    if (a->kind == CUT && whole)
        a->kind = WHOLE;
    return whole;
}

void asker_check(const struct asker *a, struct answer *answers)
{
    struct slice rest = {a->heard, a->n};
    unsigned i = 0;

    for (unsigned n = 0; n < ASKED; n++)
        answers[n] = (struct answer){0};
    while (i < a->count && next_answer(&rest, a->asked[i].request, a->asked[i].head, &answers[i]))
        i++;
    if (i == a->count && a->n < HEARD)
        fuzz_assert(rest.n == 0);
}
