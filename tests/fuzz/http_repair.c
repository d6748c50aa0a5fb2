/* Heads of responses that break the rules, repaired: what comes out is strict, and says nothing of its
 * framing that a line of the input did not say in so many words. The lines are read here anew. */

#include "http_fuzz.h"

#include <strings.h>

#include "http/bytes.h"
#include "http/framing.h"
#include "http/repair.h"

static const struct head_limits limits = {.max_size = 16 * 1024, .max_count = 100};
static struct head head;

/* The same end in one piece and byte by byte. */
static enum head_verdict scan(struct slice bytes, size_t *length)
{
    size_t scanned = 0, again = 0, other = 0;
    enum head_verdict v = repair_scan(bytes, &scanned, &limits, length), by_bytes = HEAD_INCOMPLETE;

    for (size_t n = 1; n <= bytes.n && by_bytes == HEAD_INCOMPLETE; n++)
        by_bytes = repair_scan((struct slice){bytes.p, n}, &again, &limits, &other);
    fuzz_assert(v == by_bytes && (v != HEAD_OK || *length == other));
    return v;
}

static bool has_word(const char *p, const char *end, const char *word)
{
    for (size_t n = strlen(word); (size_t)(end - p) >= n; p++)
        if (strncasecmp(p, word, n) == 0)
            return true;
    return false;
}

/* Whether the line is a field of this name (NULL: of any): a token, white space, a colon. */
static bool is_field(const char *p, const char *lf, const char *name)
{
    const char *end = bytes_skip(p, lf, BYTE_TOKEN), *colon = end;

    while (colon < lf && (*colon == ' ' || *colon == '\t'))
        colon++;
    return end > p && colon < lf && *colon == ':' &&
           (!name || ((size_t)(end - p) == strlen(name) && strncasecmp(p, name, strlen(name)) == 0));
}

/* What frames is what the lines say in so many words; what was left out spoke of something else. */
static void check_framing(struct slice raw)
{
    const char *p = (const char *)memchr(raw.p, '\n', raw.n) + 1, *end = raw.p + raw.n;
    unsigned lengths = 0, codings = 0;

    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));

        lengths += is_field(p, lf, "content-length");
        codings += is_field(p, lf, "transfer-encoding");
        if (*p != ' ' && *p != '\t' && !is_field(p, lf, NULL))
            fuzz_assert(!has_word(p, lf, "content-length") && !has_word(p, lf, "transfer-encoding"));
        p = lf + 1;
    }
    fuzz_assert(head_count(&head, FIELD_CONTENT_LENGTH) == lengths);
    fuzz_assert(head_count(&head, FIELD_TRANSFER_ENCODING) == codings);
}

static void check_repaired(struct slice raw, struct slice strict)
{
    size_t scanned = 0, length;
    enum head_verdict v = head_scan(strict, &scanned, &limits, &length);
    struct framing f;

    fuzz_assert(v != HEAD_BARE_LF && v != HEAD_INCOMPLETE);
    if (v != HEAD_OK) /* the status line is left as it came, and a limit may be passed by what was put in */
        return;
    fuzz_assert(length == strict.n);
    if (head_parse_response(strict, &limits, &head) != HEAD_OK)
        return;
    fuzz_check_head(&head, strict);
    check_framing(raw);
    repair_framing(&head);
    if (framing_of_response(&head, REQUEST_PLAIN, &f) == FRAMING_OK)
        fuzz_assert(head_count(&head, FIELD_CONTENT_LENGTH) + head_count(&head, FIELD_TRANSFER_ENCODING) <=
                    1);
}

static void run(const uint8_t *data, size_t size)
{
    struct slice bytes = fuzz_copy(data, size);
    size_t length, strict_length, scanned = 0;
    enum head_verdict v = size > 0 ? scan(bytes, &length) : HEAD_INCOMPLETE;

    if (size > 0 && head_scan(bytes, &scanned, &limits, &strict_length) == HEAD_OK)
        fuzz_assert(v == HEAD_OK && length == strict_length);
    if (v == HEAD_OK) {
        struct slice raw = {bytes.p, length};
        char *out = malloc(REPAIR_ROOM(length));
        uint32_t kinds = 0;
        size_t n = repair_head(raw, out, &kinds);

        fuzz_assert(n <= REPAIR_ROOM(length));
        if (n > 0)
            check_repaired(raw, (struct slice){out, n});
        free(out);
    }
    free((char *)bytes.p);
}

const struct fuzz_target fuzz_http_repair = {"http_repair", http_init, run};
