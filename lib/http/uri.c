#include "http/uri.h"

#include <arpa/inet.h>

#include "base/address.h"
#include "http/bytes.h"

const char *uri_verdict_text(enum uri_verdict v)
{
    switch (v) {
    case URI_OK: return "the target is well-formed";
    case URI_NOT_ABSOLUTE: return "the target is not an absolute URL (RFC 9112 3.2.2)";
    case URI_BAD_SCHEME: return "the target's scheme is neither http nor https (RFC 9110 4.2)";
    case URI_USERINFO: return "the target has a user name or password (RFC 9110 4.2.4)";
    case URI_BAD_HOST: return "the target's host is malformed (RFC 3986 3.2.2)";
    case URI_BAD_PORT: return "the target's port is not a number from 1 to 65535 (RFC 3986 3.2.3)";
    case URI_FRAGMENT: return "the target has a fragment right after its host (RFC 9110 7.1)";
    case URI_BAD_PATH: return "the target's path has a byte that no path has (RFC 9112 3.2)";
    }
    return "";
}

static bool set_host(struct uri *out, const char *text, size_t n)
{
    if (n == 0 || n > URI_MAX_HOST)
        return false;
    for (size_t i = 0; i < n; i++)
        out->host[i] = byte_lower(text[i]);
    out->host[n] = '\0';
    out->host_length = (uint16_t)n;
    return true;
}

/* IP-literal without its brackets (RFC 3986 3.2.2). Zone ids name an interface of this machine, which no
 * client has a say in. Rewritten to the one spelling that RFC 5952 wants, so that an origin has one name. */
static bool set_ipv6(struct uri *out, struct slice literal)
{
    char text[INET6_ADDRSTRLEN];

    if (!address_spell_ipv6(literal, text))
        return false;
    out->ipv6 = true;
    return set_host(out, text, strlen(text));
}

/* The last label of a host, without a trailing dot. */
static struct slice last_label(struct slice host)
{
    const char *p, *end = host.p + host.n;

    if (end > host.p && end[-1] == '.')
        end--;
    for (p = end; p > host.p && p[-1] != '.';)
        p--;
    return (struct slice){p, (size_t)(end - p)};
}

bool uri_ends_in_number(struct slice host)
{
    struct slice label = last_label(host);

    if (label.n > 0 && bytes_all(label, BYTE_DIGIT))
        return true;
    if (label.n < 2 || label.p[0] != '0' || byte_lower(label.p[1]) != 'x')
        return false;
    return label.n == 2 || bytes_all(slice_from(label, 2), BYTE_HEX);
}

static bool has_empty_label(struct slice host)
{
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] == '.' && (i == 0 || host.p[i - 1] == '.'))
            return true;
    }
    return false;
}

/* reg-name / IPv4address (RFC 3986 3.2.2), of the bytes that host names have, '_' included: a percent sign
 * would give a host two spellings, and a resolver may read others as anything. */
static bool set_name(struct uri *out, struct slice name)
{
    struct in_addr address;

    if (!bytes_all(name, BYTE_HOST) || has_empty_label(name) || !set_host(out, name.p, name.n))
        return false;
    /* One reader's name must not be another's address: only the dotted quad is one. */
    return !uri_ends_in_number(name) || inet_pton(AF_INET, out->host, &address) == 1;
}

/* port = *DIGIT (RFC 3986 3.2.3), leading zeros included; `rest` is what follows the host. */
static enum uri_verdict read_port(struct slice rest, struct uri *out)
{
    struct slice digits = slice_from(rest, 1);
    unsigned long port = 0;

    out->has_port = false;
    if (rest.n > 0 && rest.p[0] != ':')
        return URI_BAD_HOST;
    if (digits.n == 0)
        return URI_OK;
    for (size_t i = 0; i < digits.n; i++) {
        if (!byte_is(digits.p[i], BYTE_DIGIT))
            return URI_BAD_PORT;
        port = port * 10 + (unsigned long)(digits.p[i] - '0');
        if (port > UINT16_MAX)
            return URI_BAD_PORT;
    }
    if (port == 0)
        return URI_BAD_PORT;
    out->has_port = true;
    out->port = (uint16_t)port;
    return URI_OK;
}

/* authority = host [ ":" port ]; out->port stays what it is when none is written. */
static enum uri_verdict read_authority(struct slice authority, struct uri *out)
{
    const char *end = authority.p + authority.n, *host_end;
    bool fine;

    if (authority.n == 0)
        return URI_BAD_HOST;
    if (memchr(authority.p, '@', authority.n))
        return URI_USERINFO;
    out->ipv6 = false;
    if (authority.p[0] == '[') {
        host_end = memchr(authority.p, ']', authority.n);
        if (!host_end)
            return URI_BAD_HOST;
        fine = set_ipv6(out, (struct slice){authority.p + 1, (size_t)(host_end - authority.p - 1)});
        host_end++;
    } else {
        host_end = memchr(authority.p, ':', authority.n);
        if (!host_end)
            host_end = end;
        fine = set_name(out, (struct slice){authority.p, (size_t)(host_end - authority.p)});
    }
    if (!fine)
        return URI_BAD_HOST;
    return read_port((struct slice){host_end, (size_t)(end - host_end)}, out);
}

/* Whatever is no space and no control may stand in a path: clients send '|', '[' or '"' as they are, and
 * UTF-8, which is percent-encoded where it is written. A fragment is not for servers, and dropped (RFC
 * 9110 7.1). */
static bool set_path(struct uri *out, struct slice path)
{
    const char *fragment = path.n > 0 ? memchr(path.p, '#', path.n) : NULL;
    const char *end = path.p + path.n;

    out->path_query = (struct slice){path.p, fragment ? (size_t)(fragment - path.p) : path.n};
    return bytes_skip_target(path.p, end) == end;
}

/* Takes "scheme:" off. */
static enum uri_verdict take_scheme(struct slice *target, struct uri *out)
{
    const char *colon = memchr(target->p, ':', target->n);
    struct slice scheme = {target->p, colon ? (size_t)(colon - target->p) : 0};

    if (scheme.n == 0 || byte_is(scheme.p[0], BYTE_DIGIT) || !bytes_all(scheme, BYTE_TOKEN))
        return URI_NOT_ABSOLUTE;
    if (slice_eq_nocase(scheme, SLICE("http")))
        out->scheme = SCHEME_HTTP;
    else if (slice_eq_nocase(scheme, SLICE("https")))
        out->scheme = SCHEME_HTTPS;
    else
        return URI_BAD_SCHEME;
    *target = slice_from(*target, scheme.n + 1);
    return URI_OK;
}

enum uri_verdict uri_parse_absolute(struct slice target, struct uri *out)
{
    struct slice authority;
    enum uri_verdict v;
    size_t n = 0;

    if (target.n == 0 || target.p[0] == '/' || target.p[0] == '*')
        return URI_NOT_ABSOLUTE;
    v = take_scheme(&target, out);
    if (v != URI_OK)
        return v;
    if (target.n < 2 || target.p[0] != '/' || target.p[1] != '/')
        return URI_BAD_HOST;
    target = slice_from(target, 2);
    while (n < target.n && target.p[n] != '/' && target.p[n] != '?' && target.p[n] != '#')
        n++;
    authority = (struct slice){target.p, n};
    out->port = scheme_default_port(out->scheme);
    v = read_authority(authority, out);
    if (v != URI_OK)
        return v;
    if (n < target.n && target.p[n] == '#')
        return URI_FRAGMENT;
    return set_path(out, slice_from(target, n)) ? URI_OK : URI_BAD_PATH;
}

enum uri_verdict uri_parse_authority(struct slice target, struct uri *out)
{
    enum uri_verdict v;

    out->scheme = SCHEME_HTTP;
    out->path_query = (struct slice){NULL, 0};
    v = read_authority(target, out);
    if (v == URI_OK && !out->has_port)
        return URI_BAD_PORT;
    return v;
}

enum uri_verdict uri_parse_origin_form(struct slice target, struct uri *out)
{
    if (target.n == 0 || target.p[0] != '/')
        return URI_BAD_PATH;
    return set_path(out, target) ? URI_OK : URI_BAD_PATH;
}

bool uri_parse_host_field(struct slice value, struct uri *out)
{
    out->scheme = SCHEME_HTTP;
    out->port = scheme_default_port(SCHEME_HTTP);
    return read_authority(value, out) == URI_OK;
}

bool host_field_valid(struct slice value)
{
    struct uri ignored;

    return value.n == 0 || uri_parse_host_field(value, &ignored);
}
