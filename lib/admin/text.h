#ifndef CARPOOL_ADMIN_TEXT_H
#define CARPOOL_ADMIN_TEXT_H

/* A text that grows while it is written: the bodies of the admin API. Megabytes in milliseconds, so no printf
 * on the way. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

/* Zeroed at first. */
struct text {
    char *p; /* malloc'd, not ended by a zero */
    size_t n, room;
    bool failed; /* memory was short: what is there is not whole */
};

/* Makes room for n more bytes; false, and `failed`, when memory is short. */
bool text_reserve(struct text *t, size_t n);
void text_free(struct text *t);
/* Gives back the room after its end. */
void text_fit(struct text *t);

/* What is there; it moves when more is written. */
static inline struct slice text_slice(const struct text *t)
{
    return (struct slice){t->p, t->n};
}

static inline void text_put(struct text *t, struct slice s)
{
    if (t->room - t->n < s.n && !text_reserve(t, s.n))
        return;
    if (s.n > 0)
        memcpy(t->p + t->n, s.p, s.n);
    t->n += s.n;
}

#define text_lit(t, literal) text_put(t, SLICE(literal))

static inline void text_string(struct text *t, const char *s)
{
    text_put(t, slice_of(s));
}

void text_number(struct text *t, uint64_t value);
/* Microseconds as seconds with up to six decimals: 1500000 is "1.5". */
void text_seconds(struct text *t, uint64_t us);
/* As milliseconds with up to three. */
void text_ms(struct text *t, uint64_t us);
/* As a JSON string with its quotes. */
void text_json(struct text *t, struct slice value);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
