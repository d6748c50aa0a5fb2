#include "http/coding.h"

#include "http/bytes.h"

/* ";q=0", ";q=0.0" and the like; parameters are all weights here (RFC 9110 12.5.3). */
static bool is_refused(struct slice parameters)
{
    const char *equals = memchr(parameters.p, '=', parameters.n);

    if (!equals)
        return false;
    for (const char *p = equals + 1; p < parameters.p + parameters.n; p++)
        if (*p >= '1' && *p <= '9')
            return false;
    return true;
}

static bool is_gzip(struct slice element)
{
    const char *end = element.p + element.n, *p = bytes_skip(element.p, end, BYTE_TOKEN);
    struct slice name = {element.p, (size_t)(p - element.p)};

    return slice_eq_nocase(name, SLICE("gzip")) && !is_refused((struct slice){p, (size_t)(end - p)});
}

bool coding_accepts_gzip(const struct head *h)
{
    const struct field *f = head_find(h, FIELD_ACCEPT_ENCODING);
    struct slice list = f ? f->value : (struct slice){"", 0}, element;

    while (bytes_next_element(&list, &element)) {
        if (is_gzip(element))
            return true;
    }
    return false;
}

bool coding_is_text(const struct head *h)
{
    const struct field *f = head_find(h, FIELD_CONTENT_TYPE);
    struct slice type = f ? f->value : (struct slice){"", 0};
    const char *semicolon = memchr(type.p, ';', type.n);

    if (semicolon)
        type = slice_trim((struct slice){type.p, (size_t)(semicolon - type.p)});
    return slice_begins_nocase(type, SLICE("text/")) || slice_ends_nocase(type, SLICE("/json")) ||
           slice_ends_nocase(type, SLICE("+json")) || slice_ends_nocase(type, SLICE("/xml")) ||
           slice_ends_nocase(type, SLICE("+xml")) || slice_ends_nocase(type, SLICE("/javascript"));
}
