/* The chunked coding and its trailers: the same events however the octets are cut; and the content, framed
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
    if (whole.end == CHUNKED_END) {
        check_again(&whole);
        check_trailers((struct slice){whole.trailers, whole.trailers_n});
    }
    release(&whole);
    free((char *)in.p);
}

const struct fuzz_target fuzz_http_chunked = {"http_chunked", http_init, run};
