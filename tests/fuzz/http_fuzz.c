#include "http_fuzz.h"

#include <strings.h>

#include "../unit/http_message.h"
#include "http/bytes.h"

static const char *check_inside(struct slice s, const char *from, struct slice message)
{
    fuzz_assert(s.p >= from && s.p + s.n <= message.p + message.n);
    return s.p + s.n;
}

static void check_bytes(const struct field *f)
{
    fuzz_assert(bytes_all(f->name, BYTE_TOKEN));
    fuzz_assert(bytes_skip_value(f->value.p, f->value.p + f->value.n) == f->value.p + f->value.n);
    fuzz_assert(slice_trim(f->value).n == f->value.n);
    fuzz_assert(f->id == field_lookup(f->name));
}

static bool is_connection(const struct field *f)
{
    return f->name.n == 10 && strncasecmp(f->name.p, "connection", 10) == 0;
}

bool fuzz_connection_names(const struct head *h, struct slice name)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const char *p = h->fields[i].value.p, *end = p + h->fields[i].value.n;

        while (is_connection(&h->fields[i]) && p < end) {
            const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end, *last = stop;

            while (p < last && (*p == ' ' || *p == '\t'))
                p++;
            while (last > p && (last[-1] == ' ' || last[-1] == '\t'))
                last--;
            if ((size_t)(last - p) == name.n && strncasecmp(p, name.p, name.n) == 0)
                return true;
            p = stop + 1;
        }
    }
    return false;
}

/* Nominations, by their definition; Keep-Alive stays on its hop whether it is named or not. */
static bool is_read_right(const struct head *h, const struct field *f)
{
    return f->id == FIELD_KEEP_ALIVE || f->nominated == fuzz_connection_names(h, f->name);
}

static void check_again(const struct head *h)
{
    static const struct head_limits limits = {.max_size = UINT32_MAX, .max_count = HEAD_MAX_FIELDS};
    static struct head again;
    size_t room = 16, n = 0;
    char *text;

    for (uint32_t i = 0; i < h->count; i++)
        room += h->fields[i].name.n + h->fields[i].value.n + 8;
    text = malloc(room);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];

        n += (size_t)snprintf(text + n, room - n, "%.*s: %.*s\r\n", (int)f->name.n, f->name.p,
                              (int)f->value.n, f->value.p);
    }
    n += (size_t)snprintf(text + n, room - n, "\r\n");
    fuzz_assert(head_parse_trailers((struct slice){text, n}, &limits, &again) == HEAD_OK);
    fuzz_assert(again.count == h->count && again.present == h->present);
    for (uint32_t i = 0; i < h->count; i++) {
        fuzz_assert(slice_eq(again.fields[i].name, h->fields[i].name));
        fuzz_assert(slice_eq(again.fields[i].value, h->fields[i].value));
        fuzz_assert(again.fields[i].nominated == h->fields[i].nominated);
    }
    free(text);
}

void fuzz_check_head(const struct head *h, struct slice message)
{
    const char *p = message.p;
    uint64_t present = 0;

    for (uint32_t i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];

        p = check_inside(f->name, p, message);
        fuzz_assert(*p == ':');
        p = check_inside(f->value, p, message);
        check_bytes(f);
        fuzz_assert(is_read_right(h, f));
        present |= UINT64_C(1) << f->id;
    }
    fuzz_assert(present == h->present);
    check_again(h);
}

void fuzz_check_connection(const uint8_t *data, size_t size, bool requests)
{
    enum message_side side = requests ? REQUESTS : RESPONSES;
    static const size_t steps[] = {1, 0, 7};
    enum request_kind asked = REQUEST_PLAIN;
    struct message_log whole, cut;
    struct slice bytes;

    /* The first byte says what a response answers. */
    if (size > 0 && !requests) {
        asked = data[0] == 'H' + 1 ? REQUEST_HEAD : data[0] == 'H' + 2 ? REQUEST_CONNECT : REQUEST_PLAIN;
        if (asked != REQUEST_PLAIN) {
            data++;
            size--;
        }
    }
    bytes = fuzz_copy(data, size);
    message_read(bytes, size + 1, side, asked, &whole);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        message_read(bytes, steps[i], side, asked, &cut);
        fuzz_assert(whole.end == cut.end && whole.why == cut.why);
        fuzz_assert(whole.messages == cut.messages && whole.used == cut.used);
        fuzz_assert(whole.content == cut.content && whole.digest == cut.digest);
    }
    free((char *)bytes.p);
}
