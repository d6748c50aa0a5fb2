#include "admin/answer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/status.h"

void admin_answer_error(struct admin_answer *out, unsigned status, const char *sentence)
{
    out->status = status;
    out->type = ANSWER_JSON;
    text_lit(&out->body, "{\"error\":");
    text_json(&out->body, slice_of(sentence));
    text_lit(&out->body, "}\n");
}

struct head_writer {
    char *out;
    size_t n;
};

static void put(struct head_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct head_writer *w, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    int n = vsnprintf(w->out + w->n, ANSWER_HEAD_SIZE - w->n, format, list);
    va_end(list);
    assert(n >= 0 && (size_t)n < ANSWER_HEAD_SIZE - w->n); /* all parts are our own */
    w->n += (size_t)n;
}

static void put_common(struct head_writer *w, unsigned status, const char *type, size_t length)
{
    put(w,
        "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n",
        status, status_reason(status), clock_http_date(), type, length);
}

size_t answer_write_head(const struct admin_answer *a, bool keep_alive, char out[ANSWER_HEAD_SIZE])
{
    struct head_writer w = {.out = out};

    put_common(&w, a->status, a->type, a->body.n);
    put(&w, "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n");
    if (a->allow)
        put(&w, "Allow: %s\r\n", a->allow);
    if (*a->policy)
        put(&w, "Content-Security-Policy: %s\r\n", a->policy);
    if (a->last)
        put(&w, "Connection: close\r\n");
    else if (keep_alive)
        put(&w, "Connection: keep-alive\r\n");
    put(&w, "\r\n");
    return w.n;
}

size_t answer_write_sorry(const char *sentence, char out[ANSWER_HEAD_SIZE])
{
    static const char before[] = "{\"error\":\"", after[] = "\"}\n";
    struct head_writer w = {.out = out};

    put_common(&w, 503, ANSWER_JSON, sizeof before - 1 + strlen(sentence) + sizeof after - 1);
    put(&w, "Retry-After: 1\r\nConnection: close\r\n\r\n%s%s%s", before, sentence, after);
    return w.n;
}
