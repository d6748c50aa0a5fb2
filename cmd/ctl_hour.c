#include "cmd/ctl_hour.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_counts.h"
#include "cmd/ctl_words.h"
#include "pool/ledger.h"

/* Further reasons are reported together. */
#define REASONS_SHOWN 3

struct sums {
    json_int_t requests, opened;
    json_t *reasons;
};

static struct sums add_up(const struct pool_table *t)
{
    struct sums s = {.reasons = ctl_need(json_object())};
    const json_t *agent;
    size_t i;

    json_array_foreach (json_object_get(t->json, "agents"), i, agent) {
        json_t *hour = json_object_get(agent, "lastHour"), *count;
        const char *reason;

        s.requests += json_integer_value(json_object_get(hour, "requests"));
        s.opened += json_integer_value(json_object_get(hour, "socketsOpened"));
        json_object_foreach (json_object_get(hour, "openedFor"), reason, count) {
            json_int_t sum = json_integer_value(json_object_get(s.reasons, reason));

            json_object_set_new(s.reasons, reason, json_integer(sum + json_integer_value(count)));
        }
    }
    return s;
}

__attribute__((format(printf, 3, 4))) static void append(char *out, size_t size, const char *format, ...)
{
    size_t n = strlen(out);
    va_list args;

    va_start(args, format);
    vsnprintf(out + n, size - n, format, args);
    va_end(args);
}

/* Others are reasons for which a connection was closed that this one replaces. */
static bool replaces_none(const char *reason)
{
#define X(id, word, meaning) word,
    static const char *const words[] = {OPENED_FOR_LIST(X)};
#undef X

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(reason, words[i]) == 0)
            return true;
    return false;
}

static void append_reasons(char *out, size_t size, struct sums *s)
{
    json_int_t others = s->opened, count;
    const char *between = " (", *reason;
    char text[CTL_WORD_SIZE];

    for (unsigned i = 0; i < REASONS_SHOWN && (reason = counts_largest(s->reasons)); i++) {
        count = json_integer_value(json_object_get(s->reasons, reason));
        append(out, size, "%s%s %s%s", between, ctl_count((uint64_t)count, text),
               replaces_none(reason) ? "" : "after ", reason);
        between = ", ";
        others -= count;
        json_object_del(s->reasons, reason);
    }
    if (others > 0)
        append(out, size, "%s%s %s", between, ctl_count((uint64_t)others, text),
               others == 1 ? "other" : "others");
    if (s->opened > 0)
        append(out, size, "; carpoolctl explain says why)");
}

bool hour_summary(const struct pool_table *t, char *out, size_t size)
{
    struct sums s = add_up(t);
    bool any = s.requests > 0 || s.opened > 0;
    char requests[CTL_WORD_SIZE], opened[CTL_WORD_SIZE];

    snprintf(out, size, "last hour: %s request%s opened %s connection%s",
             ctl_count((uint64_t)s.requests, requests), s.requests == 1 ? "" : "s",
             ctl_count((uint64_t)s.opened, opened), s.opened == 1 ? "" : "s");
    append_reasons(out, size, &s);
    json_decref(s.reasons);
    return any;
}
