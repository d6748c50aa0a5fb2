/* Targets in all forms. A host that is taken has one spelling, which a resolver cannot read as another
 * address. */

#include "http_fuzz.h"

#include <arpa/inet.h>
#include <netdb.h>

#include "http/bytes.h"
#include "http/uri.h"

static void check_host(const struct uri *u)
{
    struct in_addr loose, strict;

    fuzz_assert(u->host_length > 0 && strlen(u->host) == u->host_length);
    for (size_t i = 0; i < u->host_length; i++) {
        fuzz_assert(byte_is(u->host[i], BYTE_HOST) || (u->ipv6 && u->host[i] == ':'));
        fuzz_assert(byte_lower(u->host[i]) == u->host[i]);
    }
    /* What libc's loosest reader takes for an address is one to the strictest, and the same. */
    if (!u->ipv6 && inet_aton(u->host, &loose)) {
        fuzz_assert(inet_pton(AF_INET, u->host, &strict) == 1);
        fuzz_assert(loose.s_addr == strict.s_addr);
    }
    fuzz_assert(u->port > 0);
}

static void check_absolute(struct slice target)
{
    char text[URI_MAX_HOST + 32];
    struct uri u, again;

    if (uri_parse_absolute(target, &u) != URI_OK)
        return;
    check_host(&u);
    fuzz_assert(u.path_query.n == 0 || *u.path_query.p == '/' || *u.path_query.p == '?');
    fuzz_assert(u.path_query.p + u.path_query.n == target.p + target.n ||
                u.path_query.p[u.path_query.n] == '#');
    fuzz_assert(u.path_query.n == 0 || bytes_all(u.path_query, BYTE_TARGET));
    fuzz_assert(u.path_query.n == 0 || !memchr(u.path_query.p, '#', u.path_query.n));
    snprintf(text, sizeof text, "%s://%s%s%s:%u", scheme_name(u.scheme), u.ipv6 ? "[" : "", u.host,
             u.ipv6 ? "]" : "", u.port);
    fuzz_assert(uri_parse_absolute(slice_of(text), &again) == URI_OK);
    fuzz_assert(strcmp(u.host, again.host) == 0 && u.port == again.port && u.ipv6 == again.ipv6);
}

static void check_authority(struct slice target)
{
    char text[URI_MAX_HOST + 32];
    struct uri u;

    if (uri_parse_authority(target, &u) != URI_OK)
        return;
    check_host(&u);
    fuzz_assert(u.has_port && host_field_valid(target));
    snprintf(text, sizeof text, "%s%s%s:%u", u.ipv6 ? "[" : "", u.host, u.ipv6 ? "]" : "", u.port);
    fuzz_assert(host_field_valid(slice_of(text)));
}

static void run(const uint8_t *data, size_t size)
{
    struct slice target = fuzz_copy(data, size);
    struct uri u;

    check_absolute(target);
    check_authority(target);
    if (uri_parse_origin_form(target, &u) == URI_OK) {
        const char *hash = memchr(target.p, '#', target.n);

        fuzz_assert(u.path_query.p == target.p && target.p[0] == '/');
        fuzz_assert(u.path_query.n == (hash ? (size_t)(hash - target.p) : target.n));
    }
    if (host_field_valid(target))
        fuzz_assert(target.n == 0 || !memchr(target.p, '@', target.n));
    free((char *)target.p);
}

const struct fuzz_target fuzz_http_uri = {"http_uri", http_init, run};
