#include "proxy/bad_request.h"

#include <stdio.h>

#include "http/explain.h"
#include "http/userinfo.h"
#include "proxy/record.h"

static enum fault fault_of(enum head_verdict v)
{
    switch (head_verdict_status(v)) {
    case 414: return FAULT_LINE_TOO_LONG;
    case 431: return FAULT_HEAD_TOO_LARGE;
    case 505: return FAULT_VERSION;
    }
    return FAULT_BAD_REQUEST;
}

static struct slice first_line(struct slice data)
{
    const char *lf = memchr(data.p, '\n', data.n);
    size_t n = lf ? (size_t)(lf - data.p) : data.n;

    return (struct slice){data.p, n > 0 && data.p[n - 1] == '\r' ? n - 1 : n};
}

/* A request line or a target as body and log may show it. */
static const char *quote(const struct config *c, struct slice line, char out[EXPLAIN_QUOTED])
{
    char shown[256] = "";
    size_t n = userinfo_mask(record_shown(c, line), shown, sizeof shown);

    return explain_quote((struct slice){shown, n}, out);
}

enum fault bad_request_of_head(const struct config *c, struct slice data, enum head_verdict v,
                               const struct head_limits *limits, char *text, size_t text_size)
{
    char why[EXPLAIN_SIZE], line[EXPLAIN_QUOTED];

    explain_request_head(data, v, limits, why);
    snprintf(text, text_size, "%s; the request line: %s", why, quote(c, first_line(data), line));
    return fault_of(v);
}

enum fault bad_request_of_target(const struct config *c, struct slice target, enum uri_verdict v, char *text,
                                 size_t text_size)
{
    char why[EXPLAIN_SIZE], url[EXPLAIN_QUOTED];

    explain_target(target, v, why);
    snprintf(text, text_size, "%s; the target: %s", why, quote(c, target, url));
    return FAULT_BAD_TARGET;
}
