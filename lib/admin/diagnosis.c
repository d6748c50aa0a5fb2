#include "admin/diagnosis.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/diagnosis_input.h"
#include "admin/diagnosis_rules.h"
#include "admin/track.h"
#include "base/clock.h"

/* Figures are compared with those of one to two of these ago. */
#define WINDOW_MS (60 * 1000)

/* Of an agent with thousands of origins in trouble, so many say enough. */
#define MAX_SENTENCES 20

struct diagnosis {
    const struct admin_daemon *daemon;
    struct traffic traffic;
    struct history *history;
    struct track *tracks;
    uint64_t looks;
    uint64_t window_began_ms;
};

struct diagnosis *diagnosis_new(const struct admin_daemon *daemon)
{
    struct diagnosis *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->daemon = daemon;
    traffic_begin(&d->traffic);
    d->history = history_new(daemon);
    if (!d->history) {
        free(d);
        return NULL;
    }
    d->window_began_ms = clock_ms();
    return d;
}

void diagnosis_free(struct diagnosis *d)
{
    struct track *t, *next;

    if (!d)
        return;
    HASH_ITER (hh, d->tracks, t, next)
        track_free(&d->tracks, t);
    history_free(d->history);
    free(d);
}

/* Why everything is looked at. */
enum occasion { ASKED, SECOND_ENDS, WINDOW_ENDS };

static void take_sample(struct diagnosis *d, struct track *t, const struct origin_stats *stats,
                        enum occasion occasion)
{
    t->looks = d->looks;
    if (occasion != ASKED)
        traffic_ring_take(&t->lately, &d->traffic, stats);
    if (occasion == WINDOW_ENDS) {
        t->base = t->next;
        figures_take(stats, &t->next);
    }
}

static void sample_origin(struct diagnosis *d, const struct origin *o, enum occasion occasion)
{
    struct track *t = track_find_origin(d->tracks, o);
    bool saturated = origin_is_saturated(o);

    if (!t)
        t = track_make_origin(&d->tracks, o);
    if (!t)
        return;
    if (!track_limits_hold(t, o))
        track_begin_anew(t, o);
    if (!saturated)
        t->saturated_since_ms = 0;
    else if (t->saturated_since_ms == 0)
        t->saturated_since_ms = clock_ms();
    take_sample(d, t, &o->stats, occasion);
}

static void sample_forgotten(struct diagnosis *d, const struct agent *a, enum occasion occasion)
{
    struct origin_stats stats;
    struct track *t;

    forgotten_stats(a, &stats);
    if (stats.requests == 0)
        return;
    t = track_forgotten(&d->tracks, a->name);
    if (!t)
        return;
    if (stats.requests < t->base.requests || stats.requests < t->next.requests) /* of an agent that is back */
        t->base = t->next = (struct figures){0};
    take_sample(d, t, &stats, occasion);
}

/* Those of origins that this look did not find. Those of forgotten ones are looked at after that. */
static void hand_over_unseen(struct diagnosis *d)
{
    struct track *t, *next;

    HASH_ITER (hh, d->tracks, t, next) {
        bool is_forgotten = track_is_forgotten(t);

        if (t->looks + is_forgotten >= d->looks)
            continue;
        if (!is_forgotten)
            track_hand_over(&d->tracks, t);
        track_free(&d->tracks, t);
    }
}

static void look(struct diagnosis *d, enum occasion occasion)
{
    const struct agent *a, *share;
    const struct origin *o;

    d->looks++;
    TAILQ_FOREACH (a, &d->daemon->pools[0]->agents, link) {
        AGENT_FOREACH_ORIGIN (a, share, o)
            sample_origin(d, o, occasion);
    }
    hand_over_unseen(d);
    TAILQ_FOREACH (a, &d->daemon->pools[0]->agents, link)
        sample_forgotten(d, a, occasion);
}

void diagnosis_look(struct diagnosis *d)
{
    history_note_limits(d->history);
    look(d, ASKED);
}

void diagnosis_end_window(struct diagnosis *d)
{
    look(d, WINDOW_ENDS);
    d->window_began_ms = clock_ms();
}

void diagnosis_sample(struct diagnosis *d)
{
    traffic_take(&d->traffic, d->daemon);
    history_sample(d->history);
    if (clock_ms() - d->window_began_ms >= WINDOW_MS)
        diagnosis_end_window(d);
    else
        look(d, SECOND_ENDS);
}

static void begin_forgotten_anew(struct diagnosis *d, const struct agent *a)
{
    struct origin_stats stats;
    struct track *t = track_forgotten(&d->tracks, a->name);

    if (!t)
        return;
    forgotten_stats(a, &stats);
    t->looks = d->looks;
    figures_take(&stats, &t->base);
    t->next = t->base;
}

void diagnosis_begin_anew(struct diagnosis *d, const struct agent *a)
{
    const struct agent *share;
    const struct origin *o;

    AGENT_FOREACH_ORIGIN (a, share, o) {
        struct track *t = track_find_origin(d->tracks, o);

        if (!t)
            t = track_make_origin(&d->tracks, o);
        if (!t)
            continue;
        t->looks = d->looks;
        track_begin_anew(t, o);
    }
    begin_forgotten_anew(d, a);
}

const struct traffic *diagnosis_traffic(const struct diagnosis *d)
{
    return &d->traffic;
}

struct history *diagnosis_history(const struct diagnosis *d)
{
    return d->history;
}

/* Sentences */

/* A JSON array that grows, up to MAX_SENTENCES. */
struct sentences {
    struct text *out;
    unsigned count;
};

static void say(struct sentences *s, struct slice sentence)
{
    if (s->count >= MAX_SENTENCES)
        return;
    if (s->count++ > 0)
        text_lit(s->out, ",");
    text_json(s->out, sentence);
}

static void apply_rules(struct sentences *s, const struct diagnosis_input *in, enum diagnosis_scope scope)
{
    struct text sentence = {0};

    for (unsigned i = 0; i < diagnosis_rule_count && s->count < MAX_SENTENCES; i++) {
        sentence.n = 0;
        if (diagnosis_rules[i].scope == scope && diagnosis_rules[i].says(in, &sentence) && !sentence.failed)
            say(s, text_slice(&sentence));
    }
    text_free(&sentence);
}

static void say_warnings(struct sentences *s, const struct agent *a)
{
    char sentence[512];

    for (uint32_t i = 0; a->upstream && i < a->upstream->warnings.count; i++) {
        snprintf(sentence, sizeof sentence, "%s: %s", a->name, a->upstream->warnings.items[i]);
        say(s, slice_of(sentence));
    }
}

/* Its origins are told apart: it has, or had, more than one. */
static bool has_several_origins(const struct agent *a)
{
    unsigned origins = 0;

    for (const struct agent *share = a; share; share = share->next_share)
        origins += HASH_COUNT(share->origins) + !origin_stats_is_empty(&share->forgotten);
    return origins > 1;
}

void diagnosis_write(struct diagnosis *d, const struct agent *a, struct text *out)
{
    struct sentences s = {.out = out};
    struct text ca_path = {0};
    struct diagnosis_input agent = {.who = a->name, .agent = a->name, .ca_path = &ca_path};
    struct diagnosis_input forgotten = {.who = a->name, .agent = a->name}, together = forgotten;
    const struct agent *share;
    const struct origin *o;
    bool named = has_several_origins(a);
    char who[512];

    text_lit(out, "[");
    describe_agent(d->daemon, d->tracks, a, &agent);
    apply_rules(&s, &agent, DIAGNOSIS_AGENT);
    text_free(&ca_path);
    say_warnings(&s, a);
    AGENT_FOREACH_ORIGIN (a, share, o) {
        struct diagnosis_input in = {.who = who, .agent = a->name};

        if (s.count >= MAX_SENTENCES)
            break;
        snprintf(who, sizeof who, named ? "%s %s" : "%s", a->name, o->key);
        describe_origin(d->tracks, o, &in);
        apply_rules(&s, &in, DIAGNOSIS_ORIGIN);
        add_untold(&in, DIAGNOSIS_ORIGIN, &together);
    }
    describe_forgotten(d->tracks, a, &forgotten);
    apply_rules(&s, &forgotten, DIAGNOSIS_FORGOTTEN);
    add_untold(&forgotten, DIAGNOSIS_FORGOTTEN, &together);
    apply_rules(&s, &together, DIAGNOSIS_TOGETHER);
    text_lit(out, "]");
}

/* Verdicts */

static struct verdict judge(const struct diagnosis_input *in, enum diagnosis_scope scope)
{
    struct verdict v = {0};
    struct text sentence = {0};

    for (unsigned i = 0; i < diagnosis_rule_count; i++)
        v.problems += diagnosis_rules[i].scope == scope && diagnosis_rules[i].says(in, &sentence);
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        v.failed += in->errors[i];
    text_free(&sentence);
    return v;
}

struct verdict diagnosis_of_origin(const struct diagnosis *d, const struct origin *o)
{
    struct diagnosis_input in = {.who = "", .agent = ""};

    describe_origin(d->tracks, o, &in);
    return judge(&in, DIAGNOSIS_ORIGIN);
}

struct verdict diagnosis_of_forgotten(const struct diagnosis *d, const struct agent *a)
{
    struct diagnosis_input in = {.who = "", .agent = ""};

    describe_forgotten(d->tracks, a, &in);
    return judge(&in, DIAGNOSIS_FORGOTTEN);
}

uint64_t diagnosis_failed(const struct diagnosis *d, const struct agent *a)
{
    struct origin_stats forgotten;
    const struct agent *share;
    const struct origin *o;
    uint64_t n;

    forgotten_stats(a, &forgotten);
    n = failed_since(track_find_forgotten(d->tracks, a->name), &forgotten);
    AGENT_FOREACH_ORIGIN (a, share, o)
        n += failed_since(track_find_origin(d->tracks, o), &o->stats);
    return n;
}

/* Rates */

static struct traffic_rates rates_of(const struct diagnosis *d, const struct traffic_counts *lately)
{
    return traffic_rates(&d->traffic, lately, clock_ms());
}

static void count_lately(const struct diagnosis *d, const struct track *t, const struct origin_stats *stats,
                         struct traffic_counts *to)
{
    traffic_count_lately(&d->traffic, t ? &t->lately : NULL, stats, to);
}

static void count_forgotten_lately(const struct diagnosis *d, const struct agent *a,
                                   struct traffic_counts *to)
{
    struct origin_stats stats;

    forgotten_stats(a, &stats);
    count_lately(d, track_find_forgotten(d->tracks, a->name), &stats, to);
}

struct traffic_rates diagnosis_rates_of_origin(const struct diagnosis *d, const struct origin *o)
{
    struct traffic_counts lately = {0};

    if (!o->agent->removed)
        count_lately(d, track_find_origin(d->tracks, o), &o->stats, &lately);
    return rates_of(d, &lately);
}

struct traffic_rates diagnosis_rates_of_forgotten(const struct diagnosis *d, const struct agent *a)
{
    struct traffic_counts lately = {0};

    if (!a->removed)
        count_forgotten_lately(d, a, &lately);
    return rates_of(d, &lately);
}

struct traffic_rates diagnosis_rates_of_agent(const struct diagnosis *d, const struct agent *a)
{
    struct traffic_counts lately = {0};
    const struct agent *share;
    const struct origin *o;

    if (a->removed)
        return rates_of(d, &lately);
    count_forgotten_lately(d, a, &lately);
    AGENT_FOREACH_ORIGIN (a, share, o)
        count_lately(d, track_find_origin(d->tracks, o), &o->stats, &lately);
    return rates_of(d, &lately);
}
