/* What comes on a connection to the admin API: the same requests and the same refusal however the bytes are
 * cut, and never more of them at once than a connection has room for. */

#include "admin/request.h"
#include "fuzz.h"
#include "http/bytes.h"

/* What was read, as text in a row. */
struct reading {
    char *text;
    size_t n, room;
    unsigned requests;
    unsigned status; /* of a refusal; 0: none */
    const char *problem;
};

static struct head scratch;

static void note(struct reading *out, struct slice s)
{
    char mark = s.p ? '=' : '-';

    if (out->room - out->n < s.n + 1) {
        out->room = 2 * (out->room + s.n + 1);
        out->text = realloc(out->text, out->room);
    }
    out->text[out->n++] = mark;
    if (s.n > 0)
        memcpy(out->text + out->n, s.p, s.n);
    out->n += s.n;
}

static void check_request(const struct request *r)
{
    fuzz_assert(r->path.n > 0 && r->path.p[0] == '/' && !memchr(r->path.p, '?', r->path.n));
    fuzz_assert(bytes_all(r->path, BYTE_TARGET));
    fuzz_assert(r->host.p || r->is_http_1_0);
    fuzz_assert(!r->is_head || r->method == ADMIN_GET);
    fuzz_assert(r->content <= REQUEST_MAX_CONTENT);
}

static void note_request(struct reading *out, const struct request *r)
{
    const char flags[] = {(char)('0' + r->method), r->is_head ? 'h' : ' ', r->persistent ? 'p' : ' ',
                          r->is_http_1_0 ? '0' : '1'};

    check_request(r);
    note(out, (struct slice){flags, sizeof flags});
    note(out, r->path);
    note(out, r->host);
    note(out, r->origin);
    out->requests++;
}

/* Reads all that has come. False: refused. */
static bool read_on(struct reading *out, struct request *r, char *in, size_t *n)
{
    enum request_progress p;

    while ((p = request_read(r, &scratch, in, n)) == REQUEST_COMPLETE) {
        size_t left = *n - r->head_length;

        note_request(out, r);
        request_end(r, in, n);
        fuzz_assert(*n == left);
    }
    if (p == REQUEST_INCOMPLETE)
        return true;
    out->status = r->status;
    out->problem = r->problem;
    fuzz_assert(r->status >= 400 && r->status <= 505 && r->problem);
    return false;
}

static struct reading reading_of(struct slice all, size_t step)
{
    struct reading out = {0};
    struct request r = {0};
    char *in = malloc(REQUEST_ROOM);
    size_t n = 0;

    while (all.n > 0) {
        size_t some = REQUEST_ROOM - n;

        fuzz_assert(some > 0);
        some = some < all.n ? some : all.n;
        some = step > 0 && step < some ? step : some;
        memcpy(in + n, all.p, some);
        n += some;
        all = slice_from(all, some);
        if (!read_on(&out, &r, in, &n))
            break;
    }
    free(in);
    return out;
}

static void run(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 2, 7, 100};
    struct slice bytes = fuzz_copy(data, size);
    struct reading whole = reading_of(bytes, 0);

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct reading cut = reading_of(bytes, steps[i]);

        fuzz_assert(cut.requests == whole.requests && cut.status == whole.status &&
                    cut.problem == whole.problem);
        fuzz_assert(slice_eq((struct slice){cut.text, cut.n}, (struct slice){whole.text, whole.n}));
        free(cut.text);
    }
    free(whole.text);
    free((char *)bytes.p);
}

const struct fuzz_target fuzz_admin_request = {"admin_request", http_init, run};
