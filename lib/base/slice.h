#ifndef CARPOOL_BASE_SLICE_H
#define CARPOOL_BASE_SLICE_H

/* A run of bytes that belongs to another owner. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_bytes_eq_nocase(const char *a, const char *b, size_t n);

/* ASCII letters of any case are equal. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.n == b.n && slice_bytes_eq_nocase(a.p, b.p, a.n);
}

static inline bool slice_begins(struct slice s, struct slice with)
{
    return s.n >= with.n && slice_eq((struct slice){s.p, with.n}, with);
}

static inline bool slice_begins_nocase(struct slice s, struct slice with)
{
    return s.n >= with.n && slice_eq_nocase((struct slice){s.p, with.n}, with);
}

static inline bool slice_ends_nocase(struct slice s, struct slice with)
{
    return s.n >= with.n && slice_eq_nocase((struct slice){s.p + (s.n - with.n), with.n}, with);
}

/* The part of s from byte `from` on; empty when s is shorter. */
static inline struct slice slice_from(struct slice s, size_t from)
{
    size_t skip = from < s.n ? from : s.n;

    return skip > 0 ? (struct slice){s.p + skip, s.n - skip} : s;
}

/* s without the spaces and tabs (OWS, RFC 9110 5.6.3) at its ends. */
struct slice slice_trim(struct slice s);

/* Cuts the next element off a comma-separated list (RFC 9110 5.6.1): trimmed, quoted strings kept whole (one
 * that does not end reaches to the end of the list), empty elements skipped. False at the end of the list. */
bool slice_next_element(struct slice *list, struct slice *element);

/* Digits only, no sign, no space. False when s is empty, holds anything else, or the value does not fit. */
bool slice_to_u64(struct slice s, unsigned long long *value);

/* Undoes percent-encoding (RFC 3986 2.1): *n bytes at `out`, which has `room`. False: a % without two digits,
 * or there is no room. */
bool slice_percent_decode(struct slice s, char *out, size_t room, size_t *n);

#endif
