#include "admin/overview.h"

#include <string.h>

#include "admin/agents.h"
#include "admin/words.h"
#include "base/clock.h"
#include "base/units.h"

static uint64_t clients_refused(const struct admin_daemon *d)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < d->count; i++)
        n += d->proxies[i]->stats.clients_refused;
    return n;
}

static void add_savings(struct savings *to, const struct agent_list *agents)
{
    const struct agent *a;

    TAILQ_FOREACH (a, agents, link) {
        savings_sum(to, &a->forgotten_savings);
        for (const struct origin *o = a->origins; o; o = o->hh.next)
            savings_add(to, &o->stats, &o->connect_times);
    }
}

/* Since the start: what a reload removed is not taken back. */
static void put_savings(struct text *t, const struct admin_daemon *d)
{
    struct savings saved = {0};

    for (unsigned i = 0; i < d->count; i++) {
        const struct pool *p = d->pools[i];

        savings_sum(&saved, &p->removed_savings);
        add_savings(&saved, &p->agents);
        add_savings(&saved, &p->removed);
    }
    text_lit(t, ",\"saved\":");
    agents_write_savings(t, &saved);
}

static void put_reload(struct text *t, const struct admin_daemon *d)
{
    char time[CLOCK_RFC3339_SIZE];

    clock_format(d->last_reload->wall_ms, time);
    text_format(t, "{\"ok\":%s,\"time\":\"%s\",\"error\":", d->last_reload->ok ? "true" : "false", time);
    if (d->last_reload->error)
        text_json(t, slice_of(d->last_reload->error));
    else
        text_lit(t, "null");
    text_lit(t, "}");
}

void overview_write_restart_needed(struct text *t, const struct config *c)
{
    const struct text_list *options = &c->restart_needed;

    text_lit(t, "[");
    for (uint32_t i = 0; i < options->count; i++) {
        text_string(t, i ? "," : "");
        text_json(t, slice_of(options->items[i]));
    }
    text_lit(t, "]");
}

/* A sentence of the list that it stands in. */
static void say(struct text *t, bool *first, const struct text *sentence)
{
    text_put(t, *first ? SLICE("") : SLICE(","));
    text_json(t, text_slice(sentence));
    *first = false;
}

static void say_restart(struct text *t, bool *first, struct text *sentence, const struct text_list *options)
{
    if (options->count == 0)
        return;
    text_format(sentence, "restart carpoold to apply the new value%s of ", options->count == 1 ? "" : "s");
    for (uint32_t i = 0; i < options->count; i++)
        text_format(sentence, "%s%s", i ? ", " : "", options->items[i]);
    say(t, first, sentence);
}

static unsigned count_lines(const char *text)
{
    unsigned n = 1;

    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

/* The first error, and where the others stand. */
static void put_failed_reload(struct text *sentence, const struct admin_daemon *d)
{
    const char *error = d->last_reload->error;
    unsigned lines = count_lines(error);

    text_format(sentence, "the last reload failed, so the previous configuration stays in force: %.*s",
                (int)strcspn(error, "\n"), error);
    if (lines > 1)
        text_format(sentence, ", and %u more: carpoold -t -c %s", lines - 1, d->config(d->ctx)->path);
}

/* A reload may have changed the limit since. */
static void put_refused_clients(struct text *sentence, uint64_t refused, uint32_t limit)
{
    words_counted(sentence, refused, "client");
    text_format(
        sentence,
        " %s refused in the last two minutes, when as many were connected as server.maxConnections allowed (it is %u "
        "now): look for clients that do not close, or raise it",
        refused == 1 ? "was" : "were", limit);
}

static void put_stopping(struct text *sentence, const struct config *c)
{
    char time[UNITS_TEXT_SIZE];

    text_lit(sentence, "carpoold is stopping: ");
    if (c->shutdownDelay > 0)
        text_format(sentence, "after shutdownDelay (%s) ", units_format_time(c->shutdownDelay, time));
    text_format(sentence, "it takes no new connections, and requests under way finish (shutdownTimeout: %s)",
                units_format_time(c->shutdownTimeout, time));
}

/* What is wrong with the daemon, in words: what concerns one agent stands there. */
static void put_diagnosis(struct text *t, const struct admin_daemon *d, uint64_t refused)
{
    struct text sentence = {0};
    bool first = true;

    text_lit(t, "[");
    if (d->stopping(d->ctx)) {
        put_stopping(&sentence, d->config(d->ctx));
        say(t, &first, &sentence);
    }
    sentence.n = 0;
    if (!d->last_reload->ok) {
        put_failed_reload(&sentence, d);
        say(t, &first, &sentence);
    }
    sentence.n = 0;
    if (refused > 0) {
        put_refused_clients(&sentence, refused, d->config(d->ctx)->server.maxConnections);
        say(t, &first, &sentence);
    }
    sentence.n = 0;
    say_restart(t, &first, &sentence, &d->config(d->ctx)->restart_needed);
    text_lit(t, "]");
    text_free(&sentence);
}

void overview_write(struct text *t, const struct admin_daemon *d, const struct traffic *traffic)
{
    struct traffic_sample now;
    struct traffic_figures figures;

    traffic_gather(d, &now);
    traffic_figures(traffic, &now, &figures);
    text_format(t, "{\"uptimeMs\":%llu", (unsigned long long)traffic_uptime_ms(traffic));
    agents_write_rates(t, &figures.rates);
    text_format(t, ",\"failedLately\":%llu,\"clientsRefused\":%llu,\"reloads\":%llu,\"reload\":",
                (unsigned long long)figures.failed, (unsigned long long)clients_refused(d),
                (unsigned long long)d->last_reload->number);
    put_reload(t, d);
    text_lit(t, ",\"restartNeeded\":");
    overview_write_restart_needed(t, d->config(d->ctx));
    put_savings(t, d);
    text_lit(t, ",\"diagnosis\":");
    put_diagnosis(t, d, figures.clients_refused);
    text_lit(t, "}");
}
