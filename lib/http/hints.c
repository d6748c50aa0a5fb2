/* Keep-Alive, Via and Idempotency-Key. */

#include "http/fields.h"
#include "http/head.h"

/* A day is more than any pool keeps a socket, and a number beyond this is no hint but garbage. */
#define MAX_NUMBER UINT32_MAX

/* name BWS "=" BWS ( token / quoted-string ), where the value is a number. */
static bool read_parameter(struct slice element, struct slice *name, uint64_t *value)
{
    const char *equals = memchr(element.p, '=', element.n);
    unsigned long long number;
    struct slice text;

    if (!equals)
        return false;
    *name = slice_trim((struct slice){element.p, (size_t)(equals - element.p)});
    text = slice_trim(slice_from(element, name->n > 0 ? (size_t)(equals - element.p) + 1 : element.n));
    if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
        text = (struct slice){text.p + 1, text.n - 2};
    if (!slice_to_u64(text, &number) || number > MAX_NUMBER)
        return false;
    *value = number;
    return true;
}

static void take_smaller(bool *has, uint64_t *kept, uint64_t value)
{
    if (!*has || value < *kept)
        *kept = value;
    *has = true;
}

struct keep_alive_hint keep_alive_hint(const struct head *h)
{
    struct keep_alive_hint hint = {0};

    if (!head_has(h, FIELD_KEEP_ALIVE))
        return hint;
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value, element, name;
        uint64_t value;

        if (h->fields[i].id != FIELD_KEEP_ALIVE)
            continue;
        while (slice_next_element(&list, &element)) {
            if (!read_parameter(element, &name, &value))
                continue;
            if (slice_eq_nocase(name, SLICE("timeout")))
                take_smaller(&hint.has_timeout, &hint.timeout_ms, value * 1000);
            else if (slice_eq_nocase(name, SLICE("max")))
                take_smaller(&hint.has_max, &hint.max, value);
        }
    }
    return hint;
}

/* To the first comma outside of a comment (RFC 9110 5.6.5). */
static size_t via_element_length(struct slice list)
{
    size_t depth = 0;

    for (size_t i = 0; i < list.n; i++) {
        char c = list.p[i];

        if (c == '(')
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (c == '\\' && depth > 0)
            i++;
        else if (c == ',' && depth == 0)
            return i;
    }
    return list.n;
}

/* received-by of: received-protocol RWS received-by [ RWS comment ] */
static struct slice received_by(struct slice element)
{
    struct slice word = slice_trim(element);
    size_t n = 0;

    while (n < word.n && word.p[n] != ' ' && word.p[n] != '\t')
        n++;
    word = slice_trim(slice_from(word, n));
    for (n = 0; n < word.n && word.p[n] != ' ' && word.p[n] != '\t';)
        n++;
    return (struct slice){word.p, n};
}

bool via_names(const struct head *h, struct slice pseudonym)
{
    if (!head_has(h, FIELD_VIA))
        return false;
    for (uint32_t i = 0; i < h->count; i++) {
        struct slice list = h->fields[i].value;

        if (h->fields[i].id != FIELD_VIA)
            continue;
        while (list.n > 0) {
            size_t n = via_element_length(list);

            if (slice_eq(received_by((struct slice){list.p, n}), pseudonym))
                return true;
            list = slice_from(list, n + 1);
        }
    }
    return false;
}

bool has_idempotency_key(const struct head *h)
{
    if (!head_has(h, FIELD_IDEMPOTENCY_KEY) && !head_has(h, FIELD_X_IDEMPOTENCY_KEY))
        return false;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];

        if ((f->id == FIELD_IDEMPOTENCY_KEY || f->id == FIELD_X_IDEMPOTENCY_KEY) && f->value.n > 0 &&
            !field_stays_on_hop(f))
            return true;
    }
    return false;
}

bool upgrade_next(struct slice *list, struct slice *protocol)
{
    while (slice_next_element(list, protocol)) {
        if (!slice_eq_nocase(*protocol, SLICE("h2c")))
            return true;
    }
    return false;
}
