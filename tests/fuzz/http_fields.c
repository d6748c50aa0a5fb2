/* Field lines, and all that is asked of them. */

#include "http_fuzz.h"

#include <errno.h>
#include <strings.h>

#include "http/framing.h"

static const struct head_limits limits = {.max_size = 64 * 1024, .max_count = 100};
static struct head head;

/* Keep-Alive, said anew: members between commas, quoted strings kept whole, the smallest of each number. */

/* Where the member ends. */
static const char *member_end(const char *p, const char *end)
{
    for (bool quoted = false; p < end && (quoted || *p != ','); p++) {
        if (quoted && *p == '\\' && p + 1 < end)
            p++;
        else if (*p == '"')
            quoted = !quoted;
    }
    return p;
}

/* A word of a member without what stands around it, as text. */
static const char *word_between(const char *p, const char *end, char *room)
{
    while (p < end && strchr(" \t", *p))
        p++;
    while (end > p && strchr(" \t", end[-1]))
        end--;
    memcpy(room, p, (size_t)(end - p));
    room[end - p] = 0;
    return room;
}

static void read_member(const char *p, const char *end, char *room, struct keep_alive_hint *hint)
{
    const char *equals = memchr(p, '=', (size_t)(end - p));
    char name[16], *number, *rest;
    unsigned long long value;

    if (!equals)
        return;
    snprintf(name, sizeof name, "%s", word_between(p, equals, room));
    number = (char *)word_between(equals + 1, end, room);
    size_t n = strlen(number);
    if (n >= 2 && number[0] == '"' && number[n - 1] == '"') {
        number[n - 1] = 0;
        number++;
    }
    errno = 0;
    value = strtoull(number, &rest, 10);
    if (!*number || *rest || strspn(number, "0123456789") != strlen(number) || errno || value > UINT32_MAX)
        return;
    if (strcasecmp(name, "timeout") == 0) {
        hint->timeout_ms =
            hint->has_timeout && hint->timeout_ms < value * 1000 ? hint->timeout_ms : value * 1000;
        hint->has_timeout = true;
    } else if (strcasecmp(name, "max") == 0) {
        hint->max = hint->has_max && hint->max < value ? hint->max : value;
        hint->has_max = true;
    }
}

static struct keep_alive_hint read_hint(void)
{
    struct keep_alive_hint hint = {0};

    for (uint32_t i = 0; i < head.count; i++) {
        const char *p = head.fields[i].value.p, *end = p + head.fields[i].value.n;
        char *room = malloc(head.fields[i].value.n + 1);

        while (head.fields[i].id == FIELD_KEEP_ALIVE && p < end) {
            const char *stop = member_end(p, end);

            read_member(p, stop, room, &hint);
            p = stop + 1;
        }
        free(room);
    }
    return hint;
}

static void check_connection(void)
{
    struct keep_alive_hint hint = keep_alive_hint(&head), want = read_hint();
    bool close = fuzz_connection_names(&head, SLICE("close"));

    fuzz_assert(hint.has_timeout == want.has_timeout && hint.timeout_ms == want.timeout_ms);
    fuzz_assert(hint.has_max == want.has_max && hint.max == want.max);
    fuzz_assert(head_is_persistent(&head) == !close); /* of HTTP/1.1 */
    head.minor = 0;
    fuzz_assert(head_is_persistent(&head) == (!close && fuzz_connection_names(&head, SLICE("keep-alive"))));
    head.minor = 1;
    for (uint32_t i = 0; i < head.count; i++)
        fuzz_assert(connection_has(&head, head.fields[i].name) ==
                    fuzz_connection_names(&head, head.fields[i].name));
}

static void ask_everything(void)
{
    struct keep_alive_hint hint = keep_alive_hint(&head);
    struct framing framing;

    fuzz_assert(!hint.has_timeout || hint.timeout_ms <= UINT64_C(1000) * UINT32_MAX);
    fuzz_assert(!hint.has_max || hint.max <= UINT32_MAX);
    fuzz_assert(!head_is_persistent(&head) || !connection_has(&head, SLICE("close")));
    fuzz_assert(!via_names(&head, SLICE("carpool-12345678")) || head_has(&head, FIELD_VIA));
    fuzz_assert(!te_has_trailers(&head) || head_has(&head, FIELD_TE));
    fuzz_assert(!expects_continue(&head) || head_has(&head, FIELD_EXPECT));
    fuzz_assert(!challenge_is_connection_bound(&head) || head_has(&head, FIELD_WWW_AUTHENTICATE));
    fuzz_assert(!credentials_are_connection_bound(&head) || head_has(&head, FIELD_AUTHORIZATION));
    if (framing_of_request(&head, &framing) == FRAMING_OK)
        fuzz_assert(head_has(&head, FIELD_CONTENT_LENGTH) + head_has(&head, FIELD_TRANSFER_ENCODING) ==
                    (framing.kind != BODY_NONE));
    for (uint32_t i = 0; i < head.count; i++) {
        const struct field *f = &head.fields[i];

        fuzz_assert(!field_allowed_in_trailer(f) || f->id == FIELD_OTHER);
        fuzz_assert(field_stays_on_hop(f) || !field_is_hop_by_hop(f->id));
        fuzz_assert(f->id == FIELD_OTHER || (head_count(&head, f->id) > 0 && head_find(&head, f->id) <= f));
    }
}

static void run(const uint8_t *data, size_t size)
{
    static const char line[] = "GET http://a/ HTTP/1.1\r\n";
    size_t n = sizeof line - 1 + size + 4;
    char *bytes = malloc(n);
    enum head_verdict v;

    memcpy(bytes, line, sizeof line - 1);
    if (size > 0)
        memcpy(bytes + sizeof line - 1, data, size);
    memcpy(bytes + n - 4, "\r\n\r\n", 4);
    v = head_parse_request((struct slice){bytes, n}, &limits, &head);
    fuzz_assert(v != HEAD_PARSERS_DISAGREE);
    if (v == HEAD_OK) {
        fuzz_check_head(&head, (struct slice){bytes, n});
        ask_everything();
        check_connection();
    }
    free(bytes);
}

const struct fuzz_target fuzz_http_fields = {"http_fields", http_init, run};
