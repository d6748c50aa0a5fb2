/* The model of pool_random_test: what must hold after each step. */

#include "pool_model.h"

struct walker model_walkers[ASKERS];
struct walker_list model_queue[HOSTS];
struct origin *model_origins[HOSTS];
bool model_is_shared;
unsigned long model_turns_seen;
unsigned long long model_steps_with_sockets;

static uint32_t before[HOSTS], flying[HOSTS], before_total;
/* Of each origin: how often the second caller has been served since the first one was, while that one had
 * blocked requests. */
static int overtaken[HOSTS][CALLERS][CALLERS];
/* Had blocked requests at the end of the last step, and was not served in this one. */
static bool waited[HOSTS][CALLERS];

unsigned model_host_of(const struct origin *o)
{
    for (unsigned i = 0; i < HOSTS; i++)
        if (model_origins[i] == o)
            return i;
    ck_abort_msg("an unknown origin");
}

static bool is_fair(void)
{
    return pool_rig_agent(&rig)->policy->queue == QUEUE_FAIR;
}

/* With turns, of the caller's own. */
static const struct walker *oldest_like(const struct walker *w)
{
    const struct walker *first = TAILQ_FIRST(&model_queue[model_host_of(w->origin)]);

    while (first && is_fair() && first->caller != w->caller)
        first = TAILQ_NEXT(first, link);
    return first;
}

/* The requests of a caller that wait at an origin, without those that wait for a connection. */
static unsigned count_blocked(unsigned host, unsigned caller)
{
    const struct walker *w;
    unsigned n = 0;

    TAILQ_FOREACH (w, &model_queue[host], link)
        n += w->caller == caller && w->asker.waiter.state != WAITER_WAITING;
    return n;
}

/* It is the newest of the caller that had most blocked. */
static void check_displaced(const struct walker *w)
{
    unsigned host = model_host_of(w->origin), n = count_blocked(host, w->caller);

    ck_assert(is_fair() && !w->asker.waiter.socket);
    for (unsigned i = 0; i < CALLERS; i++)
        ck_assert_uint_le(count_blocked(host, i), n);
    for (const struct walker *other = TAILQ_NEXT(w, link); other; other = TAILQ_NEXT(other, link))
        ck_assert(other->caller != w->caller || other->asker.waiter.state == WAITER_WAITING);
}

void model_join(struct walker *w, bool again)
{
    struct walker_list *q = &model_queue[model_host_of(w->origin)];
    struct walker *younger;

    TAILQ_FOREACH (younger, q, link)
        if (again != younger->again ? again : w->nth < younger->nth)
            break;
    w->again = again;
    if (younger)
        TAILQ_INSERT_BEFORE(younger, w, link);
    else
        TAILQ_INSERT_TAIL(q, w, link);
}

/* Somebody was given a place or an error: only the oldest may be, but for owners and those who lost their
 * place. (Where somebody was taken back in the same step, others may have been given theirs before that.) */
static void note_given(struct walker *w, bool in_order)
{
    if (w->standing == GIVEN)
        return;
    ck_assert_int_eq(w->standing, QUEUED);
    w->standing = GIVEN;
    if (w->owner)
        return;
    if (w->asker.waiter.displaced)
        check_displaced(w);
    else
        ck_assert_msg(!in_order || oldest_like(w) == w, "somebody jumped the queue");
    TAILQ_REMOVE(&model_queue[model_host_of(w->origin)], w, link);
}

/* Whoever was given a place on a socket that ended before he was notified waits again; so does the owner of
 * one that lets none begin. */
static bool note_all_taken_back(void)
{
    bool any = false;

    for (unsigned i = 0; i < ASKERS; i++) {
        struct walker *w = &model_walkers[i];
        enum waiter_state state = w->asker.waiter.state;

        if (w->standing != GIVEN && !(w->standing == QUEUED && w->owner))
            continue;
        if (state != WAITER_WAITING && state != WAITER_BLOCKED)
            continue;
        w->standing = QUEUED;
        w->owner = false;
        model_join(w, true);
        any = true;
    }
    return any;
}

void model_note_all_given(void)
{
    bool in_order = !note_all_taken_back();
    struct waiter *p;

    TAILQ_FOREACH (p, &rig.pool->settled, link)
        note_given((struct walker *)((char *)p - offsetof(struct walker, asker.waiter)), in_order);
}

void model_check_limits(void)
{
    const struct agent *a = pool_rig_agent(&rig);

    for (unsigned i = 0; i < HOSTS; i++) {
        uint32_t n = origin_sockets(model_origins[i]);

        ck_assert_uint_le(n, before[i] > a->policy->maxSockets ? before[i] : a->policy->maxSockets);
        before[i] = n;
        n = model_origins[i]->in_flight;
        ck_assert_uint_le(n, flying[i] > a->policy->maxSockets ? flying[i] : a->policy->maxSockets);
        flying[i] = n;
    }
    ck_assert_uint_le(a->total,
                      before_total > a->policy->maxTotalSockets ? before_total : a->policy->maxTotalSockets);
    before_total = a->total;
    model_steps_with_sockets += a->total > 0;
}

/* The model and the pool agree on who waits, in which order. With turns, those who have had theirs wait for a
 * connection. */
static void check_model(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        const struct waiter *waiting = TAILQ_FIRST(&model_origins[i]->waiting),
                            *blocked = TAILQ_FIRST(&model_origins[i]->blocked);
        const struct walker *w;

        TAILQ_FOREACH (w, &model_queue[i], link) {
            bool connects = &w->asker.waiter == waiting;

            ck_assert(connects || (&w->asker.waiter == blocked && (is_fair() || !waiting)));
            waiting = connects ? TAILQ_NEXT(waiting, link) : waiting;
            blocked = connects ? blocked : TAILQ_NEXT(blocked, link);
        }
        ck_assert(!waiting && !blocked);
    }
}

/* A request of this caller was served out of the blocked ones, or (by -1) it was let in before all others. */
static void note_turn(unsigned host, unsigned who, int by)
{
    for (unsigned i = 0; i < CALLERS; i++)
        if (i != who)
            overtaken[host][i][who] += by;
    /* In which order several were served within a step cannot be seen. */
    waited[host][who] &= by < 0;
    model_turns_seen += by > 0;
}

/* Where an origin's own limit alone holds, nobody is served twice while another caller's requests are
 * blocked; but for what has had its turn and comes again. */
static void check_turns(void)
{
    for (unsigned k = 0; k < ASKERS; k++) {
        struct walker *w = &model_walkers[k];
        enum waiter_state now = w->asker.waiter.state;
        bool served = w->seen == WAITER_BLOCKED && !w->asker.waiter.displaced &&
                      (now == WAITER_WAITING || w->standing == GIVEN || w->standing == HOLDS);

        if (served)
            note_turn(model_host_of(w->origin), w->caller, 1);
        else if (now == WAITER_BLOCKED && w->seen != WAITER_BLOCKED &&
                 (w->again || w->seen == WAITER_WAITING))
            note_turn(model_host_of(w->origin), w->caller, -1);
        w->seen = now;
    }
    for (unsigned i = 0; i < HOSTS * CALLERS * CALLERS; i++) {
        unsigned host = i / (CALLERS * CALLERS), who = i / CALLERS % CALLERS, other = i % CALLERS;
        bool counts = is_fair() && !model_is_shared &&
                      pool_rig_agent(&rig)->policy->maxTotalSockets == COUNT_INFINITE &&
                      !pool_rig_agent(&rig)->paused && waited[host][who];

        if (!counts)
            overtaken[host][who][other] = 0;
        ck_assert_int_le(overtaken[host][who][other], 1);
    }
    for (unsigned i = 0; i < HOSTS * CALLERS; i++)
        waited[i / CALLERS][i % CALLERS] = count_blocked(i / CALLERS, i % CALLERS) > 0;
}

void model_check_books(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        const struct origin_stats *s = &model_origins[i]->stats;
        uint64_t closed = 0;

        for (unsigned r = 0; r < RETIRE_COUNT; r++)
            closed += s->retired[r];
        closed -= s->retired[RETIRE_CONNECT_FAILED] + s->retired[RETIRE_CONNECT_TIMEOUT];
        ck_assert_uint_eq(s->opened, origin_sockets(model_origins[i]) - model_origins[i]->connecting_count +
                                         model_origins[i]->sent_away_count + closed);
    }
}

void model_note_settled(struct walker *w)
{
    note_given(w, !note_all_taken_back());
    model_note_all_given();
}

void model_check(void)
{
    model_check_limits();
    check_model();
    check_turns();
}
