#include "http/repair.h"

#include <string.h>

#include "http/bytes.h"

const char *repair_words(enum repair r)
{
    static const char *const words[REPAIR_COUNT] = {
#define X(id, text) [id] = text,
        REPAIR_LIST(X)
#undef X
    };
    return words[r];
}

enum head_verdict repair_scan(struct slice data, size_t *scanned, const struct head_limits *limits,
                              size_t *length)
{
    bool full = data.n >= limits->max_size;
    const char *lf;

    if (full)
        data.n = limits->max_size;
    if (*scanned > data.n)
        *scanned = 0; /* the limit was lowered meanwhile */
    while ((lf = memchr(data.p + *scanned, '\n', data.n - *scanned))) {
        size_t at = (size_t)(lf - data.p);

        *scanned = at + 1;
        if (at > 0 && data.p[at - 1] == '\r')
            at--;
        if (at == 0 || data.p[at - 1] == '\n') {
            *length = *scanned;
            return HEAD_OK;
        }
    }
    *scanned = data.n;
    if (!full)
        return HEAD_INCOMPLETE;
    return memchr(data.p, '\n', data.n) ? HEAD_TOO_LARGE : HEAD_LINE_TOO_LONG;
}

/* --- The head -------------------------------------------------------------------------------------------- */

/* A head being written. */
struct writer {
    char *at;
    uint32_t done;
    enum { NOTHING, STATUS_LINE, FIELD, FRAMING_FIELD, DROPPED } last; /* what the line before was */
};

static bool is_white(char c)
{
    return c == ' ' || c == '\t';
}

/* Nothing but white space, CR and other controls. */
static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (byte_is(line.p[i], BYTE_VALUE) && !is_white(line.p[i]))
            return false;
    }
    return true;
}

static void note(struct writer *w, enum repair r)
{
    w->done |= UINT32_C(1) << r;
}

static void emit(struct writer *w, struct slice s)
{
    memcpy(w->at, s.p, s.n);
    w->at += s.n;
}

static bool contains(struct slice line, struct slice word)
{
    for (size_t i = 0; i + word.n <= line.n; i++) {
        if (slice_bytes_eq_nocase(line.p + i, word.p, word.n))
            return true;
    }
    return false;
}

/* Whether some reader might take the line for one that says where the content ends. */
static bool hints_at_framing(struct slice line)
{
    return contains(line, SLICE("content-length")) || contains(line, SLICE("transfer-encoding"));
}

/* A value without control characters; false when there were some in a field that frames. */
static bool emit_value(struct writer *w, struct slice value, bool frames)
{
    bool clean = bytes_skip_value(value.p, value.p + value.n) == value.p + value.n;

    if (!clean)
        note(w, REPAIR_CONTROL);
    for (size_t i = 0; i < value.n; i++, w->at++) {
        *w->at = value.p[i];
        if (!byte_is(value.p[i], BYTE_VALUE))
            *w->at = ' ';
    }
    return clean || !frames;
}

/* Goes on with the field before (RFC 9112 5.2); not with one that frames, which readers would see with or
 * without. */
static bool take_fold(struct writer *w, struct slice line)
{
    struct slice rest = slice_trim(line);

    if (w->last == STATUS_LINE || w->last == FRAMING_FIELD)
        return false;
    note(w, REPAIR_FOLD);
    if (w->last == DROPPED)
        return !hints_at_framing(rest);
    w->at -= 2; /* the line's end */
    *w->at++ = ' ';
    emit_value(w, rest, false);
    emit(w, SLICE("\r\n"));
    return true;
}

static bool drop(struct writer *w, struct slice line)
{
    w->last = DROPPED;
    note(w, REPAIR_NO_FIELD);
    return !hints_at_framing(line);
}

static bool take_field(struct writer *w, struct slice line)
{
    const char *colon = memchr(line.p, ':', line.n);
    struct slice name = {line.p, colon ? (size_t)(colon - line.p) : 0}, value = slice_from(line, name.n + 1);
    enum field_id id;

    while (name.n > 0 && is_white(name.p[name.n - 1]))
        name.n--;
    if (!bytes_all(name, BYTE_TOKEN))
        return drop(w, line);
    if (name.p + name.n != colon)
        note(w, REPAIR_SPACE);
    id = field_lookup(name);
    w->last = id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING ? FRAMING_FIELD : FIELD;
    emit(w, name);
    emit(w, SLICE(":"));
    if (!emit_value(w, value, w->last == FRAMING_FIELD))
        return false;
    emit(w, SLICE("\r\n"));
    return true;
}

/* False: what this line means is a matter of opinion. */
static bool take_line(struct writer *w, struct slice line)
{
    if (w->last == NOTHING) {
        w->last = STATUS_LINE;
        emit(w, line);
        emit(w, SLICE("\r\n"));
        return true;
    }
    if (is_blank(line))
        return false; /* the end of the head to some */
    return is_white(*line.p) ? take_fold(w, line) : take_field(w, line);
}

size_t repair_head(struct slice head, char *out, uint32_t *done)
{
    struct writer w = {.at = out};

    while (head.n > 0) {
        const char *lf = memchr(head.p, '\n', head.n);
        struct slice line = {head.p, (size_t)(lf - head.p)};

        head = slice_from(head, line.n + 1);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        else
            note(&w, REPAIR_BARE_LF);
        if (line.n == 0)
            emit(&w, SLICE("\r\n"));
        else if (!take_line(&w, line))
            return 0;
    }
    *done |= w.done;
    return (size_t)(w.at - out);
}

/* --- Framing --------------------------------------------------------------------------------------------- */

/* Cuts the first element off a list, empty ones included; false at its end. */
static bool next_element(struct slice *list, struct slice *element)
{
    const char *comma = list->p ? memchr(list->p, ',', list->n) : NULL;
    size_t n = comma ? (size_t)(comma - list->p) : list->n;

    if (!list->p)
        return false;
    *element = slice_trim((struct slice){list->p, n});
    *list = comma ? slice_from(*list, n + 1) : (struct slice){NULL, 0};
    return true;
}

/* The one element that all lines of this field consist of; false when they differ. */
static bool same_elements(const struct head *h, enum field_id id, struct slice *one)
{
    bool found = false;

    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        struct slice list = f->value, element;

        while (f->id == id && next_element(&list, &element)) {
            if (found && !slice_eq_nocase(element, *one))
                return false;
            *one = element;
            found = true;
        }
    }
    return found && one->n > 0;
}

/* True when something had to go. */
static bool leave_one(struct head *h, enum field_id id, struct slice one)
{
    uint32_t kept = 0;
    bool first = true, changed = false;

    for (uint32_t i = 0; i < h->count; i++) {
        struct field *f = &h->fields[i];

        if (f->id == id && !first) {
            changed = true;
            continue;
        }
        if (f->id == id) {
            changed |= f->value.n != one.n;
            f->value = one;
            first = false;
        }
        h->fields[kept++] = *f;
    }
    h->count = kept;
    return changed;
}

bool repair_framing(struct head *h)
{
    struct slice length, coding;
    bool changed = false;

    if (head_has(h, FIELD_CONTENT_LENGTH) && same_elements(h, FIELD_CONTENT_LENGTH, &length))
        changed |= leave_one(h, FIELD_CONTENT_LENGTH, length);
    if (head_has(h, FIELD_TRANSFER_ENCODING) && same_elements(h, FIELD_TRANSFER_ENCODING, &coding) &&
        slice_eq_nocase(coding, SLICE("chunked")))
        changed |= leave_one(h, FIELD_TRANSFER_ENCODING, coding);
    return changed;
}
