#include "http/userinfo.h"

/* Where the authority of a word begins: after the slashes of "http://", "http:/" or "//", else at its
 * start. */
static const char *authority_in(const char *p, const char *end)
{
    const char *colon = memchr(p, ':', (size_t)(end - p)), *slash = memchr(p, '/', (size_t)(end - p));

    if (colon && slash == colon + 1)
        p = slash;
    while (p < end && *p == '/')
        p++;
    return p;
}

/* Empty where the word has none. */
static struct slice userinfo_of(const char *word, const char *end)
{
    struct slice found = {authority_in(word, end), 0};

    if (*word == '/' && found.p == word + 1)
        return found;
    for (const char *p = found.p; p < end && *p != '/' && *p != '?' && *p != '#'; p++) {
        if (*p == '@')
            found.n = (size_t)(p - found.p);
    }
    return found;
}

static struct slice userinfo_in(struct slice text)
{
    const char *end = text.p + text.n;

    for (const char *word = text.p; word < end;) {
        const char *space = memchr(word, ' ', (size_t)(end - word)), *stop = space ? space : end;
        struct slice found = word < stop ? userinfo_of(word, stop) : (struct slice){stop, 0};

        if (found.n > 0)
            return found;
        word = stop + 1;
    }
    return (struct slice){end, 0};
}

static size_t append(char *out, size_t n, size_t size, struct slice s)
{
    size_t fits = s.n < size - n ? s.n : size - n;

    memcpy(out + n, s.p, fits);
    return n + fits;
}

size_t userinfo_mask(struct slice text, char *out, size_t size)
{
    struct slice secret = userinfo_in(text);
    size_t n;

    if (secret.n == 0)
        return append(out, 0, size, text);
    n = append(out, 0, size, (struct slice){text.p, (size_t)(secret.p - text.p)});
    n = append(out, n, size, SLICE("***"));
    return append(out, n, size, slice_from(text, (size_t)(secret.p + secret.n - text.p)));
}
