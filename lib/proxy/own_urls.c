#include "proxy/own_urls.h"

#include <stdio.h>

#include "http/uri.h"
#include "proxy/put.h"

static const struct slice https = SLICE("https://");

/* Up to the end of its authority, when the URL names this origin; 0: another one. */
static size_t length_of_own(struct slice url, const struct own_origin *own)
{
    struct uri uri;
    size_t n = https.n;
    if (!slice_begins_nocase(url, https))
        return 0;
    while (n < url.n && !memchr("/?#\"' ;,", url.p[n], 9))
        n++;
    if (uri_parse_absolute((struct slice){url.p, n}, &uri) != URI_OK || uri.port != own->port)
        return 0;
    return slice_eq(uri_host(&uri), own->host) ? n : 0;
}

static char *put_http(char *at, const struct own_origin *own)
{
    bool ipv6 = memchr(own->host.p, ':', own->host.n) != NULL;
    at = put(at, ipv6 ? SLICE("http://[") : SLICE("http://"));
    at = put(at, own->host);
    if (ipv6)
        *at++ = ']';
    if (own->port == 443 && own->urls == OWN_URLS_HTTP)
        return at;
    return at + sprintf(at, ":%u", own->port);
}

/* What stands in place of scheme and host before a path. One that begins with two slashes, or what browsers
 * take for one, would name another host; they leave out tabs before they read a URL. */
static struct slice before_path(struct slice path)
{
    size_t second = 1;
    if (path.n == 0 || path.p[0] != '/')
        return SLICE("/");
    while (second < path.n && path.p[second] == '\t')
        second++;
    bool is_slash = second < path.n && (path.p[second] == '/' || path.p[second] == '\\');
    return is_slash ? SLICE("/.") : SLICE("");
}

static char *put_url(char *at, struct slice url, const struct own_origin *own)
{
    size_t n = length_of_own(url, own);
    struct slice rest = slice_from(url, n);
    if (n == 0)
        return put(at, url);
    at = own->urls == OWN_URLS_PATHS ? put(at, before_path(rest)) : put_http(at, own);
    return put(at, rest);
}

/* "5; url=https://...", with quotes or without "url=". */
static char *put_refresh(char *at, struct slice value, const struct own_origin *own)
{
    size_t n = 0;
    while (n < value.n && !slice_begins_nocase(slice_from(value, n), https))
        n++;
    at = put(at, (struct slice){value.p, n});
    return put_url(at, slice_from(value, n), own);
}

/* The attribute that begins at `from`, with the semicolon before it. */
static struct slice next_attribute(struct slice cookie, size_t from)
{
    struct slice rest = slice_from(cookie, from);
    const char *end = rest.n > 1 ? memchr(rest.p + 1, ';', rest.n - 1) : NULL;
    return (struct slice){rest.p, end ? (size_t)(end - rest.p) : rest.n};
}

/* By its name: a value of it means nothing (RFC 6265 5.2.5). */
static bool is_secure(struct slice attribute)
{
    struct slice name = slice_from(attribute, 1);
    const char *equals = memchr(name.p, '=', name.n);

    if (equals)
        name.n = (size_t)(equals - name.p);
    return slice_eq_nocase(slice_trim(name), SLICE("secure"));
}

static char *put_cookie(char *at, struct slice cookie)
{
    for (size_t done = 0; done < cookie.n;) {
        struct slice part = next_attribute(cookie, done);
        if (done == 0 || !is_secure(part))
            at = put(at, part);
        done += part.n;
    }
    return at;
}

char *own_urls_put(char *at, const struct field *f, const struct own_origin *own)
{
    bool is_url =
        slice_eq_nocase(f->name, SLICE("location")) || slice_eq_nocase(f->name, SLICE("content-location"));
    at = put(at, f->name);
    at = put(at, SLICE(": "));
    if (is_url)
        at = put_url(at, f->value, own);
    else if (slice_eq_nocase(f->name, SLICE("refresh")))
        at = put_refresh(at, f->value, own);
    else if (slice_eq_nocase(f->name, SLICE("set-cookie")))
        at = put_cookie(at, f->value);
    else
        at = put(at, f->value);
    return put(at, SLICE("\r\n"));
}
