#include "cmd/ctl_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/minmax.h"
#include "cmd/ctl_client.h"

void history_begin(struct history_set *s)
{
    s->looks++;
}

static struct history *find(const struct history_set *s, const char *key)
{
    struct history *h;

    HASH_FIND_STR(s->all, key, h);
    return h;
}

static struct history *find_or_make(struct history_set *s, const struct pool_row *r)
{
    char *key = ctl_format("%s\n%s\n%d", r->agent, r->origin, r->removed);
    struct history *h = find(s, key);

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

struct history *history_take(struct history_set *s, const struct pool_row *r)
{
    struct history *h = find_or_make(s, r);

    h->before = h->now;
    h->now = (struct counters){.requests = r->requests, .reused = r->reused, .opened = r->opened};
    h->looks++;
    h->look = s->looks;
    return h;
}

/* What an origin counted until it was forgotten is in the agent's row "*" now, and did not happen just
 * now. */
static void hand_over(struct history_set *s, const struct history *gone)
{
    const char *origin = strchr(gone->key, '\n'), *removed = strrchr(gone->key, '\n');
    char *key = ctl_format("%.*s\n*%s", (int)(origin - gone->key), gone->key, removed);
    struct history *forgotten = find(s, key);

    if (forgotten) {
        forgotten->before.requests += gone->now.requests;
        forgotten->before.reused += gone->now.reused;
        forgotten->before.opened += gone->now.opened;
    }
    free(key);
}

static void compute_rates(struct history *h, double seconds)
{
    double reused = rate(h->now.reused, h->before.reused, 1);
    double given = reused + rate(h->now.opened, h->before.opened, 1);

    h->reuse = -1;
    if (h->looks < 2)
        return;
    h->opened_rate = rate(h->now.opened, h->before.opened, seconds);
    h->reuse = given > 0 ? reused / given : -1;
    h->rates[h->count++ % HISTORY_LENGTH] = rate(h->now.requests, h->before.requests, seconds);
}

void history_end(struct history_set *s, double seconds)
{
    struct history *h, *next;

    HASH_ITER (hh, s->all, h, next) {
        if (h->look == s->looks)
            continue;
        hand_over(s, h);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc,clang-analyzer-core.NullDereference): s->all is empty */
        HASH_DEL(s->all, h);
        free(h);
    }
    for (h = s->all; h; h = h->hh.next)
        compute_rates(h, seconds); /* NOLINT(clang-analyzer-unix.Malloc): see above */
}

void history_free(struct history_set *s)
{
    history_begin(s);
    history_end(s, 0);
}

/* Of the last `width` rates, those that there are. */
static unsigned shown(const struct history *h, unsigned width)
{
    return min32(width, min32(h->count, HISTORY_LENGTH));
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
