/* The chunked coding and its trailers: the same events however the bytes are cut; and the content, framed
 * anew as Carpool does, reads back. */

#include "http_fuzz.h"

#include "http/chunked.h"

struct decoded {
    enum chunked_event end;
    char *data, *trailers;
    size_t data_n, trailers_n, used;
};

static void append(char *to, size_t *n, struct slice run)
{
    fuzz_assert(run.n > 0);
    memcpy(to + *n, run.p, run.n);
    *n += run.n;
}

static void decode(struct slice in, size_t step, struct decoded *out)
{
    struct chunked c = {0};
    size_t arrived = 0, used;
    struct slice data;

    *out = (struct decoded){.data = malloc(in.n + 1), .trailers = malloc(in.n + 1)};
    for (;;) {
        /* In memory of their own: those that have arrived and are not used. */
        struct slice rest = fuzz_copy((const uint8_t *)in.p + out->used, arrived - out->used);

        out->end = chunked_decode(&c, rest, &used, &data);
        fuzz_assert(used <= rest.n);
        out->used += used;
        if (out->end == CHUNKED_DATA)
            append(out->data, &out->data_n, data);
        else if (out->end == CHUNKED_TRAILER)
            append(out->trailers, &out->trailers_n, data);
        free((char *)rest.p);
        if (out->end == CHUNKED_DATA || out->end == CHUNKED_TRAILER)
            continue;
        if (out->end != CHUNKED_MORE || arrived == in.n)
            return;
        fuzz_assert(used == rest.n);
        arrived += in.n - arrived < step ? in.n - arrived : step;
    }
}

static void release(struct decoded *d)
{
    free(d->data);
    free(d->trailers);
}

static bool same(const struct decoded *a, const struct decoded *b)
{
    return a->end == b->end && a->used == b->used &&
           slice_eq((struct slice){a->data, a->data_n}, (struct slice){b->data, b->data_n}) &&
           slice_eq((struct slice){a->trailers, a->trailers_n}, (struct slice){b->trailers, b->trailers_n});
}

/* --- RFC 9112 7.1, read by descent from bytes that are all there ------------------------------------------------ */

struct reader {
    const char *p, *end;
    enum chunked_event verdict; /* CHUNKED_DATA: none yet */
};

/* Whether the next byte is there; else what came so far is fine. */
static bool there(struct reader *r)
{
    if (r->p < r->end)
        return true;
    r->verdict = CHUNKED_MORE;
    return false;
}

static bool bad(struct reader *r)
{
    r->verdict = CHUNKED_BAD;
    return false;
}

static bool read_byte(struct reader *r, char byte)
{
    return there(r) && (*r->p++ == byte || bad(r));
}

/* *( HTAB / SP / VCHAR / obs-text ), quoted strings among them, up to the CR. */
static bool read_extensions(struct reader *r)
{
    for (bool quoted = false; there(r); r->p++) {
        unsigned char c = (unsigned char)*r->p;

        if (c == '\r' && !quoted)
            return true;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return bad(r);
        if (c == '"')
            quoted = !quoted;
        if (c == '\\' && quoted) {
            r->p++;
            if (!there(r))
                return false;
            c = (unsigned char)*r->p;
            if ((c < 0x20 && c != '\t') || c == 0x7f)
                return bad(r);
        }
    }
    return false;
}

static bool read_size(struct reader *r, uint64_t *size)
{
    unsigned digits = 0;

    for (*size = 0; there(r) && strchr("0123456789abcdefABCDEF", *r->p) && *r->p; digits++, r->p++) {
        if (digits == 16)
            return bad(r);
        *size = *size * 16 + (unsigned)(*r->p <= '9' ? *r->p - '0' : (*r->p | 0x20) - 'a' + 10);
    }
    if (r->verdict != CHUNKED_DATA)
        return false;
    if (digits == 0 || *size > INT64_MAX)
        return bad(r);
    bool blank = *r->p == ' ' || *r->p == '\t';
    while (there(r) && (*r->p == ' ' || *r->p == '\t'))
        r->p++;
    if (r->verdict != CHUNKED_DATA || (blank && *r->p != ';'))
        return r->verdict == CHUNKED_DATA && bad(r);
    if (*r->p == ';' && !read_extensions(r))
        return false;
    return read_byte(r, '\r') && read_byte(r, '\n');
}

/* Lines of anything but line ends; the last one is empty. */
static bool read_trailers(struct reader *r)
{
    for (;;) {
        const char *line = r->p;

        while (there(r) && *r->p != '\r' && *r->p != '\n')
            r->p++;
        if (!read_byte(r, '\r') || !read_byte(r, '\n'))
            return false;
        if (r->p == line + 2)
            return true;
    }
}

static void check_against_grammar(struct slice in, const struct decoded *got)
{
    struct reader r = {in.p, in.p + in.n, CHUNKED_DATA};
    char *data = malloc(in.n + 1);
    const char *trailers = r.end;
    uint64_t size = 1;
    size_t n = 0;

    while (size > 0 && read_size(&r, &size)) {
        size_t part = size < (uint64_t)(r.end - r.p) ? (size_t)size : (size_t)(r.end - r.p);

        memcpy(data + n, r.p, part);
        n += part;
        r.p += part;
        if (size > 0 && (!read_byte(&r, '\r') || !read_byte(&r, '\n')))
            break;
    }
    if (r.verdict == CHUNKED_DATA) {
        trailers = r.p;
        r.verdict = read_trailers(&r) ? CHUNKED_END : r.verdict;
    }
    fuzz_assert(got->end == r.verdict);
    fuzz_assert(slice_eq((struct slice){got->data, got->data_n}, (struct slice){data, n}));
    if (r.verdict == CHUNKED_END) {
        size_t lines = r.p - trailers > 2 ? (size_t)(r.p - trailers) : 0;

        fuzz_assert(got->used == (size_t)(r.p - in.p));
        fuzz_assert(
            slice_eq((struct slice){got->trailers, got->trailers_n}, (struct slice){trailers, lines}));
    }
    free(data);
}

static void check_again(const struct decoded *d)
{
    size_t room = d->data_n + 64, n = 0;
    char *text = malloc(room);
    struct decoded again;

    if (d->data_n > 0) {
        n += (size_t)snprintf(text, room, "%zx\r\n", d->data_n);
        memcpy(text + n, d->data, d->data_n);
        n += d->data_n;
        n += (size_t)snprintf(text + n, room - n, "\r\n");
    }
    n += (size_t)snprintf(text + n, room - n, "0\r\n\r\n");
    decode((struct slice){text, n}, 3, &again);
    fuzz_assert(again.end == CHUNKED_END && again.used == n && again.trailers_n == 0);
    fuzz_assert(slice_eq((struct slice){again.data, again.data_n}, (struct slice){d->data, d->data_n}));
    release(&again);
    free(text);
}

static void check_trailers(struct slice trailers)
{
    static const struct head_limits limits = {.max_size = CHUNKED_MAX_TRAILERS, .max_count = HEAD_MAX_FIELDS};
    static struct head head;
    enum head_verdict v;

    fuzz_assert(trailers.n <= CHUNKED_MAX_TRAILERS);
    if (trailers.n == 0)
        return;
    fuzz_assert(trailers.n > 4 && memcmp(trailers.p + trailers.n - 4, "\r\n\r\n", 4) == 0);
    v = head_parse_trailers(trailers, &limits, &head);
    fuzz_assert(v != HEAD_BARE_CR && v != HEAD_BARE_LF && v != HEAD_INCOMPLETE && v != HEAD_PARSERS_DISAGREE);
    if (v == HEAD_OK)
        fuzz_check_head(&head, trailers);
}

static void run(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 2, 5, 64};
    struct slice in = fuzz_copy(data, size);
    struct decoded whole, cut;

    decode(in, size + 1, &whole);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        decode(in, steps[i], &cut);
        fuzz_assert(same(&whole, &cut));
        release(&cut);
    }
    if (size < CHUNKED_MAX_TRAILERS)
        check_against_grammar(in, &whole);
    if (whole.end == CHUNKED_END) {
        check_again(&whole);
        check_trailers((struct slice){whole.trailers, whole.trailers_n});
    }
    release(&whole);
    free((char *)in.p);
}

const struct fuzz_target fuzz_http_chunked = {"http_chunked", http_init, run};
