/* Field lines, and all that is asked of them. */

#include "http_fuzz.h"

#include "http/framing.h"

static const struct head_limits limits = {.max_size = 64 * 1024, .max_count = 100};
static struct head head;

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
        fuzz_assert(field_stays_on_hop(&head, f) || !field_is_hop_by_hop(f->id));
        fuzz_assert(f->id == FIELD_OTHER || (head_count(&head, f->id) > 0 && head_find(&head, f->id) <= f));
    }
}

static void run(const uint8_t *data, size_t size)
{
    static const char line[] = "GET http://a/ HTTP/1.1\r\n";
    size_t n = sizeof line - 1 + size + 4;
    char *octets = malloc(n);
    enum head_verdict v;

    memcpy(octets, line, sizeof line - 1);
    if (size > 0)
        memcpy(octets + sizeof line - 1, data, size);
    memcpy(octets + n - 4, "\r\n\r\n", 4);
    v = head_parse_request((struct slice){octets, n}, &limits, &head);
    fuzz_assert(v != HEAD_PARSERS_DISAGREE);
    if (v == HEAD_OK) {
        fuzz_check_head(&head, (struct slice){octets, n});
        ask_everything();
    }
    free(octets);
}

const struct fuzz_target fuzz_http_fields = {"http_fields", http_init, run};
