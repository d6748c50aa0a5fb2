/* The last hour as JSON. */

#include "admin/history.h"
#include "base/clock.h"

#define MINUTE_MS (60 * 1000)

static void put_minute(struct text *t, uint64_t end_wall_ms, uint64_t ms, const struct span *s)
{
    if (t->n > 0 && t->p[t->n - 1] == '}')
        text_lit(t, ",");
    text_format(t, "{\"end\":%llu,\"ms\":%llu", (unsigned long long)end_wall_ms, (unsigned long long)ms);
    if (s)
        span_write(t, s);
    text_lit(t, "}");
}

/* {"KEY":NAME,"minutes":[...]; its end is left to the caller. */
static void put_row(struct text *t, const struct history *h, const struct agent *a, const struct origin *o)
{
    text_string(t, o ? "{\"origin\":" : "{\"name\":");
    text_json(t, slice_of(o ? o->key : a->name));
    text_lit(t, ",\"minutes\":[");
    history_each_minute(h, a, o, put_minute, t);
    text_lit(t, "]");
}

void history_write_all(const struct history *h, struct text *t)
{
    const char *separator = "";
    const struct agent *a;

    text_format(t, "{\"minuteMs\":%u,\"timeMs\":%llu,\"agents\":[", MINUTE_MS,
                (unsigned long long)clock_wall_ms());
    TAILQ_FOREACH (a, &history_daemon(h)->pools[0]->agents, link) {
        text_string(t, separator);
        put_row(t, h, a, NULL);
        text_lit(t, "}");
        separator = ",";
    }
    text_lit(t, "]}\n");
}

void history_write_one(const struct history *h, const struct agent *a, struct text *t)
{
    const char *separator = "";
    const struct agent *share;
    const struct origin *o;

    put_row(t, h, a, NULL);
    text_lit(t, ",\"origins\":[");
    AGENT_FOREACH_ORIGIN (a, share, o) {
        if (o->moved || !history_knows(h, a, o))
            continue;
        text_string(t, separator);
        put_row(t, h, a, o);
        text_lit(t, "}");
        separator = ",";
    }
    text_lit(t, "]}\n");
}
