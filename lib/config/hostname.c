#include "config/hostname.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "http/uri.h"

bool hostname_parse(struct slice text, char out[HOSTNAME_SIZE])
{
    size_t label = 0;
    struct in_addr address;
    if (memchr(text.p, ':', text.n))
        return address_spell_ipv6(text, out);
    bool dotted = text.n > 1 && text.p[text.n - 1] == '.';
    if (dotted)
        text.n--;
    if (text.n == 0 || text.n > 253)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool legal = c < 0x80 && (isalnum(c) || c == '-' || c == '_' || c == '.');
        label = c == '.' ? 0 : label + 1;
        if (!legal || label > 63 || (c == '.' && (i == 0 || text.p[i - 1] == '.')))
            return false;
        out[i] = (char)tolower(c);
    }
    out[text.n] = 0;
    if (uri_ends_in_number(text))
        return !dotted && inet_pton(AF_INET, out, &address) == 1;
    return label > 0;
}

bool hostname_port(struct slice text, uint16_t *port)
{
    unsigned long long value;
    if (!slice_to_u64(text, &value) || value < 1 || value > 65535)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool hostname_parse_port(struct slice text, char out[HOSTNAME_SIZE], uint16_t *port)
{
    struct slice host = text, rest = {text.p, 0};
    if (text.n && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.n);
        if (!end || !address_spell_ipv6((struct slice){text.p + 1, (size_t)(end - text.p) - 1}, out))
            return false;
        rest = slice_from(text, (size_t)(end - text.p) + 1);
    } else {
        const char *colon = memchr(text.p, ':', text.n);
        if (colon) {
            host.n = (size_t)(colon - text.p);
            rest = slice_from(text, host.n);
        }
        if (!hostname_parse(host, out))
            return false;
    }
    *port = 0;
    if (rest.n == 0)
        return true;
    return rest.p[0] == ':' && hostname_port(slice_from(rest, 1), port);
}

bool hostname_is_ours(struct slice host, const struct text_list *names)
{
    struct address ip;
    if (address_from_ip(&ip, host, 0) || slice_eq_nocase(host, SLICE("localhost")))
        return true;
    for (uint32_t i = 0; i < names->count; i++)
        if (slice_eq_nocase(host, slice_of(names->items[i])))
            return true;
    return false;
}

bool hostname_has_bad_port(const char *text)
{
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : "";
    bool is_number = *port && strspn(port, "0123456789") == strlen(port);
    unsigned long n = strtoul(port, NULL, 10);
    return is_number && (colon == strchr(text, ':') || colon[-1] == ']') && (n == 0 || n > UINT16_MAX);
}

bool hostname_lacks_port(const char *text)
{
    return strcmp(text, "localhost") == 0 ||
           (strchr(text, '.') && strspn(text, "0123456789.") == strlen(text));
}
