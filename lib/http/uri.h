#ifndef CARPOOL_HTTP_URI_H
#define CARPOOL_HTTP_URI_H

/* Request targets (RFC 9112 3.2, RFC 3986). */

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum scheme { SCHEME_HTTP, SCHEME_HTTPS };

#define URI_MAX_HOST 255

struct uri {
    enum scheme scheme;
    /* Lower case, without brackets, ends with 0; an IPv6 address in its one canonical spelling, an IPv4
     * address always as a dotted quad; a trailing dot is kept */
    char host[URI_MAX_HOST + 1];
    uint16_t host_length;
    bool ipv6;     /* host was in brackets */
    bool has_port; /* one was written */
    uint16_t port; /* as written, or the scheme's default */
    /* "/..." or "?..." as written, so that bytes beyond ASCII are not encoded yet; empty when neither is
     * there; no fragment */
    struct slice path_query;
};

enum uri_verdict {
    URI_OK,
    URI_NOT_ABSOLUTE, /* origin-form or a relative reference */
    URI_BAD_SCHEME,   /* neither http nor https */
    URI_USERINFO,     /* RFC 9110 4.2.4 */
    /* Empty, too long, a byte that no host has, a malformed IPv6 literal, zone ids, and what only some readers
     * take for an IPv4 address: 127.1, 0x7f.1, 2130706433, 0177.0.0.1, 127.0.0.1. */
    URI_BAD_HOST,
    URI_BAD_PORT,
    URI_FRAGMENT, /* right after the authority, where it may have been meant as something else */
    URI_BAD_PATH, /* a byte that no path or query has */
};

const char *uri_verdict_text(enum uri_verdict v);

/* absolute-form */
enum uri_verdict uri_parse_absolute(struct slice target, struct uri *out);

/* authority-form of CONNECT (RFC 9112 3.2.3): host ":" port, both needed. Sets host and port. */
enum uri_verdict uri_parse_authority(struct slice target, struct uri *out);

/* origin-form: '/' and legal bytes. Sets path_query. */
enum uri_verdict uri_parse_origin_form(struct slice target, struct uri *out);

/* Whether some readers (inet_aton(), URL libraries) take this name for an IPv4 address, whatever it looks
 * like: its last label is a number in their sense. Only a dotted quad may be such a host. */
bool uri_ends_in_number(struct slice host);

/* The value of a Host field: host [":" port]; false when malformed (RFC 9112 3.2: answered by 400). An empty
 * value is legal. */
bool host_field_valid(struct slice value);

/* The same, read: sets host and port (80 where none is written). False when it is empty, too. */
bool uri_parse_host_field(struct slice value, struct uri *out);

static inline struct slice uri_host(const struct uri *u)
{
    return (struct slice){u->host, u->host_length};
}

static inline uint16_t scheme_default_port(enum scheme s)
{
    return s == SCHEME_HTTPS ? 443 : 80;
}

static inline const char *scheme_name(enum scheme s)
{
    return s == SCHEME_HTTPS ? "https" : "http";
}

#endif
