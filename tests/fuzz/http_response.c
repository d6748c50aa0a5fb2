/* An origin's bytes: the head by itself, then everything that comes on a connection. */

#include "http_fuzz.h"

#include "http/framing.h"

static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};
static struct head head;

static void check_framing(void)
{
    struct framing framing;

    if (framing_of_response(&head, REQUEST_PLAIN, &framing) == FRAMING_OK) {
        fuzz_assert(framing.kind == BODY_NONE || (head.status != 204 && head.status != 304));
        fuzz_assert(head.status >= 200 || framing.kind == (head.status == 101 ? BODY_TUNNEL : BODY_NONE));
        fuzz_assert((framing.kind == BODY_TUNNEL) == (head.status == 101));
    }
    if (framing_of_response(&head, REQUEST_HEAD, &framing) == FRAMING_OK)
        fuzz_assert(framing.kind == BODY_NONE || head.status == 101);
}

static void run(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_copy(data, size);
    size_t scanned = 0, length;

    if (head_scan(bytes, &scanned, &limits, &length) == HEAD_OK) {
        struct slice message = {bytes.p, length};
        enum head_verdict v = head_parse_response(message, &limits, &head);

        fuzz_assert(v != HEAD_BARE_CR && v != HEAD_BARE_LF && v != HEAD_INCOMPLETE &&
                    v != HEAD_PARSERS_DISAGREE);
        if (v == HEAD_OK) {
            fuzz_assert(head.status >= 100 && head.status <= 999);
            fuzz_check_head(&head, message);
            check_framing();
        }
    }
    free((char *)bytes.p);
    fuzz_check_connection(data, size, false);
}

const struct fuzz_target fuzz_http_response = {"http_response", http_init, run};
