#include "config/parent.h"

#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "config/hostname.h"

#define DEFAULT_PORT    80
#define CREDENTIALS_MAX 512

/* A user or a password (RFC 3986 3.2.1), decoded to `at`, where there is room for `text`; the new end, or
 * NULL. Control characters may not stand in credentials (RFC 7617 2). */
static char *decode(struct slice text, char *at)
{
    size_t n;
    if (!slice_percent_decode(text, at, text.n, &n))
        return NULL;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)at[i] < ' ' || at[i] == 0x7f)
            return NULL;
    return at + n;
}

/* "user:password" -> "Proxy-Authorization: Basic ...\r\n" */
static const char *read_credentials(struct arena *a, struct slice text, struct parent_proxy *out)
{
    char plain[CREDENTIALS_MAX + 1], base64[(CREDENTIALS_MAX + 1 + 2) / 3 * 4 + 1], *end;
    const char *colon = memchr(text.p, ':', text.n);
    struct slice user = {text.p, colon ? (size_t)(colon - text.p) : text.n};
    struct slice password = colon ? slice_from(text, user.n + 1) : SLICE("");

    if (text.n > CREDENTIALS_MAX)
        return "user and password are too long (at most 512 bytes)";
    end = decode(user, plain);
    if (!end || memchr(plain, ':', (size_t)(end - plain)))
        return "its user has a colon, or a character that must be percent-encoded (as in %40)";
    *end++ = ':';
    end = decode(password, end);
    if (!end)
        return "its password has a character that must be percent-encoded (as in %40)";
    EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)plain, (int)(end - plain));
    out->authorization = arena_format(a, "Proxy-Authorization: Basic %s\r\n", base64);
    return NULL;
}

static const char *read_authority(struct arena *a, struct slice text, struct parent_proxy *out)
{
    const char *at = memrchr(text.p, '@', text.n);
    size_t userinfo = at ? (size_t)(at - text.p) : 0;
    char host[HOSTNAME_SIZE];
    uint16_t port;

    if (!hostname_parse_port(at ? slice_from(text, userinfo + 1) : text, host, &port))
        return "it names no host, or no port from 1 to 65535";
    out->port = port ? port : DEFAULT_PORT;
    out->host = arena_text(a, host, strlen(host));
    out->address = arena_format(a, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, out->port);
    return at ? read_credentials(a, (struct slice){text.p, userinfo}, out) : NULL;
}

const char *parent_parse(struct arena *a, const char *text, struct parent_proxy *out)
{
    static const char scheme[] = "http://";
    char *none = arena_text(a, "", 0);
    size_t n;

    *out = (struct parent_proxy){.host = none, .address = none, .authorization = none};
    if (!*text)
        return NULL;
    if (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "socks", 5) == 0)
        return "Carpool speaks only plain HTTP to a parent proxy";
    if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
        return "it does not begin with http://";
    text += sizeof scheme - 1;
    n = strcspn(text, "/?#");
    if (text[n] && strcmp(text + n, "/") != 0)
        return "nothing may follow its port";
    return read_authority(a, (struct slice){text, n}, out);
}
