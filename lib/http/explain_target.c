/* What is wrong with a target or a Host. */

#include "http/explain.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "http/bytes.h"

/* host [":" port], of a URL or by itself. */
static struct slice authority_of(struct slice target)
{
    const char *end = target.p + target.n, *p = memmem(target.p, target.n, "://", 3);
    struct slice authority = p ? slice_from(target, (size_t)(p + 3 - target.p)) : target;
    size_t n = 0;

    for (p = authority.p; p < end && *p != '/' && *p != '?' && *p != '#'; p++)
        n++;
    authority.n = n;
    return authority;
}

static struct slice host_of(struct slice authority)
{
    const char *colon = memchr(authority.p, ':', authority.n);

    return (struct slice){authority.p, colon ? (size_t)(colon - authority.p) : authority.n};
}

static unsigned colons_in(struct slice s)
{
    unsigned count = 0;

    for (size_t i = 0; i < s.n; i++)
        count += s.p[i] == ':';
    return count;
}

static bool has_empty_label(struct slice host)
{
    return host.n > 0 && (host.p[0] == '.' || memmem(host.p, host.n, "..", 2));
}

/* Of a host that ends in a number and is no IPv4 address. */
static void explain_number(struct slice host, const char *where, char out[EXPLAIN_SIZE])
{
    char text[URI_MAX_HOST + 1];
    struct in_addr ip;

    snprintf(text, sizeof text, "%.*s", (int)host.n, host.p);
    if (inet_aton(text, &ip))
        snprintf(out, EXPLAIN_SIZE,
                 "%s is a number that programs read as different addresses: write it like 127.0.0.1", where);
    else
        snprintf(out, EXPLAIN_SIZE,
                 "%s ends in a number but is no IPv4 address, which has four numbers from 0 to 255", where);
}

/* `where` is "the host" or "the Host field". */
static void explain_authority(struct slice authority, const char *where, char out[EXPLAIN_SIZE])
{
    struct slice host = host_of(authority);
    const char *end = host.p + host.n, *bad = bytes_skip(host.p, end, BYTE_HOST);
    char byte[32];

    if (authority.n > 0 && authority.p[0] == '[')
        snprintf(out, EXPLAIN_SIZE, "no IPv6 address between the brackets of %s", where);
    else if (host.n == 0 && colons_in(authority) > 1)
        snprintf(out, EXPLAIN_SIZE, "an IPv6 address in %s needs brackets: [::1]", where);
    else if (host.n == 0)
        snprintf(out, EXPLAIN_SIZE, "%s is empty", where);
    else if (host.n > URI_MAX_HOST)
        snprintf(out, EXPLAIN_SIZE, "%zu bytes in %s, of which a name has at most %d", host.n, where,
                 URI_MAX_HOST);
    else if (bad < end && (unsigned char)*bad >= 0x80)
        snprintf(out, EXPLAIN_SIZE, "%s in %s: write an international name in ASCII (xn--...)",
                 explain_byte(*bad, byte), where);
    else if (bad < end)
        snprintf(out, EXPLAIN_SIZE, "%s in %s", explain_byte(*bad, byte), where);
    else if (has_empty_label(host))
        snprintf(out, EXPLAIN_SIZE, "a dot too many in %s", where);
    else
        explain_number(host, where, out);
}

static bool has_port(struct slice authority)
{
    const char *bracket = memchr(authority.p, ']', authority.n);
    size_t host = bracket ? (size_t)(bracket - authority.p) : 0;

    return memchr(authority.p + host, ':', authority.n - host) != NULL;
}

/* After "http:" two slashes are due. */
static bool has_no_slashes(struct slice target)
{
    const char *colon = memchr(target.p, ':', target.n);
    struct slice scheme = {target.p, colon ? (size_t)(colon - target.p) : 0};

    return (slice_eq_nocase(scheme, SLICE("http")) || slice_eq_nocase(scheme, SLICE("https"))) &&
           (target.n < scheme.n + 3 || memcmp(colon, "://", 3) != 0);
}

static void explain_path(struct slice target, char out[EXPLAIN_SIZE])
{
    const char *end = target.p + target.n, *bad = bytes_skip_target(target.p, end);
    char byte[32];

    if (bad < end)
        snprintf(out, EXPLAIN_SIZE, "%s in the target", explain_byte(*bad, byte));
    else
        snprintf(out, EXPLAIN_SIZE, "the path does not begin with a slash");
}

void explain_target(struct slice target, enum uri_verdict v, char out[EXPLAIN_SIZE])
{
    char quoted[EXPLAIN_QUOTED];
    struct slice authority = authority_of(target), scheme = host_of(target);

    switch (v) {
    case URI_BAD_HOST:
        if (has_no_slashes(target))
            snprintf(out, EXPLAIN_SIZE, "two slashes are missing after the scheme");
        else
            explain_authority(authority, "the host", out);
        return;
    case URI_BAD_SCHEME:
        snprintf(out, EXPLAIN_SIZE, "the scheme %.100s is neither http nor https",
                 explain_quote(scheme, quoted));
        return;
    case URI_USERINFO:
        snprintf(out, EXPLAIN_SIZE,
                 "a user name or password before the host (the part up to @): leave it out");
        return;
    case URI_BAD_PORT:
        snprintf(out, EXPLAIN_SIZE, "%s",
                 has_port(authority)
                     ? "the port is not a number from 1 to 65535"
                     : "the port is missing: CONNECT takes host:port, such as example.com:443");
        return;
    case URI_FRAGMENT:
        snprintf(out, EXPLAIN_SIZE, "a fragment (#) right after the host: a slash is missing between them");
        return;
    case URI_BAD_PATH: explain_path(target, out); return;
    case URI_NOT_ABSOLUTE: snprintf(out, EXPLAIN_SIZE, "it is not a whole URL, http://host/path"); return;
    case URI_OK: break;
    }
    snprintf(out, EXPLAIN_SIZE, "%s", uri_verdict_text(v));
}

void explain_host(struct slice value, char out[EXPLAIN_SIZE])
{
    struct slice authority = authority_of(value), host = host_of(authority);
    struct uri ignored;

    if (memchr(value.p, '@', value.n))
        snprintf(out, EXPLAIN_SIZE, "a user name or password in the Host field");
    else if (authority.n != value.n || authority.p != value.p)
        snprintf(out, EXPLAIN_SIZE, "the Host field has more than a host and a port");
    else if (host.n > 0 && value.p[0] != '[' && uri_parse_host_field(host, &ignored))
        snprintf(out, EXPLAIN_SIZE, "the port in the Host field is not a number from 1 to 65535");
    else
        explain_authority(authority, "the Host field", out);
}
