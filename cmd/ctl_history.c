#include "cmd/ctl_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ctl_client.h"

void history_begin(struct history_set *s)
{
    s->looks++;
}

static struct history *find_or_make(struct history_set *s, const struct pool_row *r)
{
    struct history *h;
    char *key = ctl_format("%s\n%s\n%d", r->agent, r->origin, r->removed);

    HASH_FIND_STR(s->all, key, h);
    if (!h) {
        h = ctl_need(calloc(1, sizeof *h + strlen(key) + 1));
        memcpy(h->key, key, strlen(key) + 1);
        HASH_ADD_STR(s->all, key, h);
    }
    free(key);
    return h;
}

/* A counter that went back began anew. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
    return now < before || seconds <= 0 ? 0 : (double)(now - before) / seconds;
}

struct history *history_take(struct history_set *s, const struct pool_row *r, double seconds)
{
    struct history *h = find_or_make(s, r);
    double given, reused;

    if (h->look != 0) {
        h->request_rate = rate(r->requests, h->requests, seconds);
        h->opened_rate = rate(r->opened, h->opened, seconds);
        h->error_rate = rate(r->errors + r->refused, h->errors, seconds);
        reused = rate(r->reused, h->reused, 1);
        given = reused + rate(r->opened, h->opened, 1);
        h->reuse = given > 0 ? reused / given : -1;
        h->rates[h->count++ % HISTORY_LENGTH] = h->request_rate;
    } else {
        h->reuse = -1;
    }
    h->requests = r->requests;
    h->reused = r->reused;
    h->opened = r->opened;
    h->errors = r->errors + r->refused;
    h->look = s->looks;
    return h;
}

void history_end(struct history_set *s)
{
    struct history *h, *next;

    HASH_ITER (hh, s->all, h, next) {
        if (h->look != s->looks) {
            HASH_DEL(s->all, h); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties s->all */
            free(h);
        }
    }
}

void history_free(struct history_set *s)
{
    history_begin(s);
    history_end(s);
}

/* Of the last `width` rates, those that there are. */
static unsigned shown(const struct history *h, unsigned width)
{
    unsigned kept = h->count < HISTORY_LENGTH ? h->count : HISTORY_LENGTH;

    return width < kept ? width : kept;
}

/* The one `back` before the newest, which is 1. */
static double rate_at(const struct history *h, unsigned back)
{
    return h->rates[(h->count - back) % HISTORY_LENGTH];
}

double history_highest(const struct history *h, unsigned width)
{
    double highest = 0;

    for (unsigned i = 1; i <= shown(h, width); i++)
        highest = rate_at(h, i) > highest ? rate_at(h, i) : highest;
    return highest;
}

const char *history_sparkline(const struct history *h, unsigned width, bool utf8, char out[SPARKLINE_SIZE])
{
    static const char *const bars[] = {"\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
                                       "\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88"};
    static const char *const plain[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
    double highest = history_highest(h, width);
    char *at = out;

    for (unsigned i = width; i > shown(h, width) && at < out + HISTORY_LENGTH; i--)
        *at++ = ' ';
    for (unsigned i = shown(h, width); i >= 1; i--) {
        unsigned level = highest > 0 ? (unsigned)(rate_at(h, i) / highest * 7 + 0.5) : 0;

        at += sprintf(at, "%s", (utf8 ? bars : plain)[level]);
    }
    *at = '\0';
    return out;
}
