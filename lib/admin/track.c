#include "admin/track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE 1024

void figures_take(const struct origin_stats *s, struct figures *out)
{
    *out = (struct figures){
        .requests = s->requests,
        .ended = origin_stats_ended(s),
        .reused = s->reused,
        .opened = s->opened,
        .peer_closed_idle_ms = s->peer_closed_idle_ms,
        .idle_goaways = s->idle_goaways,
        .dead_errors = s->reused_errors[SOCKET_FAILED_DEAD],
        .texts = s->texts,
        .texts_plain = s->texts_plain,
        .repaired = s->repaired,
        .queue_full = s->queue_full + s->displaced,
        .timed_out_waiting = s->timed_out_waiting,
    };
    memcpy(out->retired, s->retired, sizeof out->retired);
    memcpy(out->repairs, s->repairs, sizeof out->repairs);
    memcpy(out->held, s->held, sizeof out->held);
    memcpy(out->errors, s->errors, sizeof out->errors);
    for (unsigned i = 0; i < SOCKET_FAILURE_COUNT; i++)
        out->reused_errors += s->reused_errors[i];
}

static const char *key_of(const char *agent, const char *origin, char out[KEY_SIZE])
{
    int n = snprintf(out, KEY_SIZE, "%s\n%s", agent, origin);

    return n > 0 && n < KEY_SIZE ? out : NULL;
}

static struct track *find(const struct track *head, const char *agent, const char *origin)
{
    struct track *t = NULL;
    char buffer[KEY_SIZE];
    const char *key = key_of(agent, origin, buffer);

    if (key)
        HASH_FIND_STR(head, key, t);
    return t;
}

static struct track *make(struct track **head, const char *agent, const char *origin)
{
    char buffer[KEY_SIZE];
    const char *key = key_of(agent, origin, buffer);
    struct track *t = key ? calloc(1, sizeof *t + strlen(key) + 1) : NULL;

    if (!t)
        return NULL;
    memcpy(t->key, key, strlen(key) + 1);
    HASH_ADD_STR(*head, key, t);
    if (t->hh.tbl)
        return t;
    free(t);
    return NULL;
}

void track_free(struct track **head, struct track *t)
{
    HASH_DEL(*head, t); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties the table */
    free(t);
}

static struct limits limits_of(const struct origin *o)
{
    const struct agent_policy *p = o->agent->policy;

    return (struct limits){.sockets = p->maxSockets,
                           .total = p->maxTotalSockets,
                           .pending = p->maxPendingRequests,
                           .pending_ms = p->timeouts.pending};
}

static const char *id_of(const struct origin *o, char out[KEY_SIZE])
{
    snprintf(out, KEY_SIZE, "%llu %s", (unsigned long long)o->created_ms, o->key);
    return out;
}

struct track *track_find_origin(const struct track *head, const struct origin *o)
{
    char id[KEY_SIZE];

    return find(head, o->agent->name, id_of(o, id));
}

struct track *track_make_origin(struct track **head, const struct origin *o)
{
    char id[KEY_SIZE];
    struct track *t = make(head, o->agent->name, id_of(o, id));

    if (t)
        t->limits = limits_of(o);
    return t;
}

/* Stands for the origins of an agent that were forgotten. */
#define FORGOTTEN "*"

const struct track *track_find_forgotten(const struct track *head, const char *agent)
{
    return find(head, agent, FORGOTTEN);
}

struct track *track_forgotten(struct track **head, const char *agent)
{
    struct track *t = find(*head, agent, FORGOTTEN);

    return t ? t : make(head, agent, FORGOTTEN);
}

bool track_is_forgotten(const struct track *t)
{
    return strcmp(strrchr(t->key, '\n') + 1, FORGOTTEN) == 0;
}

/* What the rules of forgotten origins look at. */
static void figures_add(struct figures *to, const struct figures *from)
{
    to->requests += from->requests;
    to->ended += from->ended;
    to->queue_full += from->queue_full;
    for (unsigned i = 0; i < PROXY_ERROR_COUNT; i++)
        to->errors[i] += from->errors[i];
}

void track_hand_over(struct track **head, const struct track *gone)
{
    struct track *forgotten;
    char agent[KEY_SIZE];

    snprintf(agent, sizeof agent, "%s", gone->key);
    *strrchr(agent, '\n') = '\0';
    forgotten = track_forgotten(head, agent);
    if (!forgotten)
        return;
    figures_add(&forgotten->base, &gone->base);
    figures_add(&forgotten->next, &gone->next);
    traffic_ring_add(&forgotten->lately, &gone->lately);
}

void track_begin_anew(struct track *t, const struct origin *o)
{
    figures_take(&o->stats, &t->base);
    t->next = t->base;
    t->limits = limits_of(o);
}

bool track_limits_hold(const struct track *t, const struct origin *o)
{
    struct limits now = limits_of(o);

    return t->limits.sockets == now.sockets && t->limits.total == now.total &&
           t->limits.pending == now.pending && t->limits.pending_ms == now.pending_ms;
}
