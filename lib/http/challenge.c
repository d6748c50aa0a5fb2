/* Authentication schemes that hold for a connection instead of a request, found by parsing challenges (RFC
 * 9110 11). */

#include "http/bytes.h"
#include "http/fields.h"
#include "http/head.h"

/*
 * WWW-Authenticate = #challenge
 * challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
 * auth-param       = token BWS "=" BWS ( token / quoted-string )
 *
 * Both lists are separated by commas, so an element is one of: a scheme; a scheme and its token68; a scheme
 * and its first parameter; one more parameter of the scheme before.
 */

static bool is_connection_bound(struct slice scheme)
{
    return slice_eq_nocase(scheme, SLICE("NTLM")) || slice_eq_nocase(scheme, SLICE("Negotiate"));
}

/* The scheme at the start of an element; empty when the element is a parameter or malformed. */
static struct slice scheme_of(struct slice element)
{
    const char *end = element.p + element.n;
    const char *p = bytes_skip(element.p, end, BYTE_TOKEN);
    struct slice token = {element.p, (size_t)(p - element.p)};

    if (p == end)
        return token;
    if (*p != ' ' && *p != '\t')
        return (struct slice){element.p, 0};
    while (*p == ' ' || *p == '\t') /* the element is trimmed, so something else follows */
        p++;
    /* BWS "=": a parameter. No token68 or token begins with it. */
    return *p == '=' ? (struct slice){element.p, 0} : token;
}

bool challenge_is_connection_bound(const struct head *h)
{
    if (!head_has(h, FIELD_WWW_AUTHENTICATE))
        return false;
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, element;

        if (h->fields[i].id != FIELD_WWW_AUTHENTICATE)
            continue;
        while (slice_next_element(&list, &element)) {
            if (is_connection_bound(scheme_of(element)))
                return true;
        }
    }
    return false;
}

bool credentials_are_connection_bound(const struct head *h)
{
    if (!head_has(h, FIELD_AUTHORIZATION))
        return false;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];

        /* credentials = auth-scheme [ 1*SP ( token68 / #auth-param ) ]: one scheme, not a list. */
        if (f->id == FIELD_AUTHORIZATION && is_connection_bound(scheme_of(f->value)))
            return true;
    }
    return false;
}
