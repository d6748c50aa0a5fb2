/* A client's bytes: the head by itself, then everything that comes on a connection. */

#include "http_fuzz.h"

#include "http/bytes.h"
#include "http/framing.h"

static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};
static struct head head;

static void run(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_copy(data, size);
    size_t scanned = 0, length;

    if (head_scan(bytes, &scanned, &limits, &length) == HEAD_OK) {
        struct slice message = {bytes.p, length};
        enum head_verdict v = head_parse_request(message, &limits, &head);
        struct framing framing;

        /* What the scanner took, its line ends are right; and the second opinion adds nothing to our own. */
        fuzz_assert(v != HEAD_BARE_CR && v != HEAD_BARE_LF && v != HEAD_INCOMPLETE &&
                    v != HEAD_PARSERS_DISAGREE);
        if (v == HEAD_OK) {
            fuzz_assert(bytes_all(head.method, BYTE_TOKEN) && bytes_all(head.target, BYTE_TARGET));
            fuzz_check_head(&head, message);
            if (framing_of_request(&head, &framing) == FRAMING_OK)
                fuzz_assert(framing.kind != BODY_CLOSE && framing.kind != BODY_TUNNEL);
        }
    }
    free((char *)bytes.p);
    fuzz_check_connection(data, size, true);
}

const struct fuzz_target fuzz_http_request = {"http_request", http_init, run};
