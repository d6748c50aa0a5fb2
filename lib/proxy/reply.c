#include "proxy/reply.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "http/status.h"

struct fault_row {
    unsigned status;
    enum proxy_error error;
    bool closes;
};

static const struct fault_row rows[FAULT_COUNT] = {
#define X(id, status, error, closes) [id] = {status, error, closes},
    FAULT_LIST(X)
#undef X
};

unsigned fault_status(enum fault f)
{
    return rows[f].status;
}

enum proxy_error fault_proxy_error(enum fault f)
{
    assert(f != FAULT_NONE);
    return rows[f].error;
}

const char *fault_error(enum fault f)
{
    return proxy_error_word(fault_proxy_error(f));
}

bool fault_closes(enum fault f)
{
    return rows[f].closes;
}

static bool print(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool print(struct buffer *out, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(out->data + out->end, buffer_room(out), format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= buffer_room(out))
        return false;
    out->end += (uint32_t)n;
    return true;
}

/* An sf-string (RFC 8941 3.3.3): printable ASCII, with quote and backslash escaped. Others become '?'. */
static bool append_sf_string(struct buffer *out, struct slice s)
{
    bool fits = buffer_append(out, SLICE("\""));
    for (size_t i = 0; i < s.n && fits; i++) {
        char c = s.p[i];
        if (c == '"' || c == '\\')
            fits = buffer_append(out, SLICE("\\"));
        if (c < 0x20 || c > 0x7e)
            c = '?';
        fits = fits && buffer_append(out, (struct slice){&c, 1});
    }
    return fits && buffer_append(out, SLICE("\""));
}

/* A token begins with a letter (RFC 8941 3.3.4); any other name is a string. */
static bool append_instance(struct buffer *out, struct slice name)
{
    bool is_token = name.n > 0 && isalpha((unsigned char)name.p[0]);
    return is_token ? buffer_append(out, name) : append_sf_string(out, name);
}

static bool append_proxy_status(struct buffer *out, const struct reply *r)
{
    bool fits = buffer_append(out, SLICE("Proxy-Status: ")) && append_instance(out, r->instance);
    if (r->fault != FAULT_NONE)
        fits = fits &&
               print(out, "; error=%s%s", fault_error(r->fault), r->next_is_h2 ? "; next-protocol=h2" : "");
    return fits && buffer_append(out, SLICE("; details=")) &&
           append_sf_string(out, r->fault == FAULT_NONE ? r->details : r->text) &&
           buffer_append(out, SLICE("\r\n"));
}

/* As a response of an origin says it: to HTTP/1.0 clients, too. */
static bool append_connection(struct buffer *out, const struct reply *r)
{
    if (r->close)
        return buffer_append(out, SLICE("Connection: close\r\n"));
    return buffer_append(out, SLICE("Connection: keep-alive\r\n")) &&
           (!r->keep_alive_seconds || print(out, "Keep-Alive: timeout=%u\r\n", r->keep_alive_seconds));
}

size_t reply_length(const struct reply *r)
{
    return r->type.n > 0 || r->text.n == 0 ? r->text.n : r->text.n + 1;
}

static bool write_fields(struct buffer *out, const struct reply *r, unsigned status)
{
    struct slice type = r->type.n > 0 ? r->type : SLICE("text/plain; charset=utf-8");
    bool fits = print(out, "HTTP/1.1 %u %s\r\n", status, status_reason(status));
    if (r->date.n > 0)
        fits = fits && print(out, "Date: %.*s\r\n", (int)r->date.n, r->date.p);
    if (r->text.n > 0)
        fits = fits && print(out, "Content-Type: %.*s\r\n", (int)type.n, type.p);
    fits = fits && print(out, "Content-Length: %zu\r\n", reply_length(r));
    fits = fits && append_proxy_status(out, r);
    if (status == 503)
        fits = fits && buffer_append(out, SLICE("Retry-After: 1\r\n"));
    fits = fits && buffer_append(out, r->fields);
    return fits && append_connection(out, r) && buffer_append(out, SLICE("\r\n"));
}

bool reply_write(struct buffer **out, const struct reply *r)
{
    unsigned status = r->fault == FAULT_NONE ? r->status : fault_status(r->fault);
    if (!write_fields(*out, r, status))
        return false;
    if (r->head_only || reply_length(r) == 0)
        return true;
    return buffer_reserve(out, reply_length(r)) && buffer_append(*out, r->text) &&
           (reply_length(r) == r->text.n || buffer_append(*out, SLICE("\n")));
}
