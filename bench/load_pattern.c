/* The content of every message: the same bytes at the same position, so that whatever is lost or doubled
 * shows. */

#include <string.h>

#include "load.h"

#define PERIOD 251 /* prime, so that no block of a proxy's buffers is a multiple of it */

static char pattern[LOAD_BUFFER + PERIOD];

void pattern_init(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)('0' + i % PERIOD % 75);
}

const char *pattern_at(uint64_t i)
{
    return pattern + i % PERIOD;
}

static const char *look_at_head(struct message *m, const char *head)
{
    (void)m, (void)head;
    return NULL;
}

static const char *look_at_content(const struct message *m, const char *p, size_t n)
{
    if (!m->kind->is_request && m->status != 200)
        return NULL; /* the content of an error is its sender's own */
    for (size_t at = 0; at < n; at += 65536) {
        size_t step = n - at < 65536 ? n - at : 65536;
        if (memcmp(p + at, pattern_at(m->content + at), step) != 0)
            return "content that is not the pattern";
    }
    return NULL;
}

const struct message_kind load_request = {true, look_at_head, look_at_content};
const struct message_kind load_response = {false, look_at_head, look_at_content};
