#include "admin/advice.h"

#include <assert.h>

#include "admin/held.h"
#include "admin/words.h"
#include "base/minmax.h"
#include "base/units.h"

/* Of an agent with thousands of origins, the busiest are looked at. */
#define ORIGINS_LOOKED_AT 50

/* Tunnels an hour that are worth a change. */
#define ENOUGH_TUNNELS 10

static void put_count(struct text *t, uint32_t count)
{
    if (count == COUNT_INFINITE)
        text_lit(t, "\"Infinity\"");
    else
        text_number(t, count);
}

static void put_time(struct text *t, uint64_t ms)
{
    char text[UNITS_TEXT_SIZE];

    text_format(t, "\"%s\"", units_format_time(ms, text));
}

static void put_counts(struct advice *out, uint32_t now, uint32_t suggested)
{
    put_count(&out->now, now);
    put_count(&out->suggested, suggested);
}

/* "24 of 41 connections (peer-closed) replaced " */
static void put_cost(struct text *t, const struct account *a, enum opened_for why)
{
    words_part(t, account_opened_for(a, why), account_opened(a), "connection");
    text_format(t, " (%s) replaced ", opened_for_word(why));
}

/* Rules */

static void put_held(struct text *t, const struct account *a, uint32_t limit)
{
    held_put(t, a);
    if (account_needed(a, limit) <= limit)
        return;
    text_lit(t, ".");
    held_put_need(t, a, limit);
}

/* Of one origin, whichever of the two limits held it: what it needs, the other one must allow, too. */
static uint32_t needed_by_origin(const struct account *a)
{
    uint32_t held = held_lately(a, HELD_BY_MAX_SOCKETS) + held_lately(a, HELD_BY_MAX_TOTAL);

    return held > 0 ? account_needed(a, account_limit(a)) : 0;
}

static bool advises_of_origin(const struct account *a, uint32_t now, struct advice *out)
{
    uint32_t needed = needed_by_origin(a);

    if (now == COUNT_INFINITE || needed <= now)
        return false;
    put_counts(out, now, needed);
    put_held(&out->why, a, account_limit(a));
    return true;
}

static bool advises_max_sockets(const struct account *a, struct advice *out)
{
    return advises_of_origin(a, a->policy->maxSockets, out);
}

/* Where it held some, the row of the agent speaks. */
static bool advises_total_for_origin(const struct account *a, struct advice *out)
{
    return held_lately(a, HELD_BY_MAX_TOTAL) == 0 && advises_of_origin(a, a->policy->maxTotalSockets, out);
}

static bool advises_max_total(const struct account *a, struct advice *out)
{
    uint32_t now = a->policy->maxTotalSockets, held = held_lately(a, HELD_BY_MAX_TOTAL);
    uint32_t suggested = account_needed_in_total(a);
    bool evicted = account_costs(a, replaced(RETIRE_EVICTED));

    if (now == COUNT_INFINITE || suggested <= now || !(held > 0 || evicted))
        return false;
    put_counts(out, now, suggested);
    if (held > 0)
        put_held(&out->why, a, now);
    if (held > 0 && evicted)
        text_lit(&out->why, "; ");
    if (evicted) {
        put_cost(&out->why, a, replaced(RETIRE_EVICTED));
        text_lit(&out->why, "idle ones that had been closed to make room for other origins");
    }
    if (evicted && suggested == a->most_sockets)
        text_format(&out->why, "; with %u, each origin keeps as many as it ever had at a time",
                    a->most_sockets);
    return true;
}

static bool advises_max_free(const struct account *a, struct advice *out)
{
    if (!account_costs(a, replaced(RETIRE_FREE_FULL)) || a->most_sockets <= a->policy->maxFreeSockets)
        return false;
    put_counts(out, a->policy->maxFreeSockets, a->most_sockets);
    put_cost(&out->why, a, replaced(RETIRE_FREE_FULL));
    text_format(&out->why, "ones that had been closed because too many were idle; %u %s open at a time",
                a->most_sockets, a->most_sockets == 1 ? "was" : "were");
    return true;
}

static bool advises_max_requests(const struct account *a, struct advice *out)
{
    uint32_t now = a->policy->maxRequestsPerSocket;

    if (!account_costs(a, replaced(RETIRE_MAX_REQUESTS)) || now >= COUNT_INFINITE / 10)
        return false;
    put_counts(out, now, now * 10);
    put_cost(&out->why, a, replaced(RETIRE_MAX_REQUESTS));
    text_lit(&out->why, "ones that had carried as many requests as they may");
    return true;
}

/* Half as long again as the pauses that ended connections, seen over the whole time. */
static uint64_t longer_free(const struct account *a)
{
    uint64_t n = account_opened_for(a, replaced(RETIRE_FREE_TIMEOUT));
    uint64_t span = account_is_recent(a) ? a->hour_ms : a->uptime_ms;
    uint64_t pause = span / n * 3 / 2, twice = a->policy->timeouts.free * 2;
    uint64_t longest = a->policy->maxSocketAge ? a->policy->maxSocketAge : UINT64_MAX;
    uint64_t wanted = min64(max64(pause, twice), longest);

    return wanted < 1000 ? wanted : wanted / 1000 * 1000;
}

static bool advises_longer_free(const struct account *a, struct advice *out)
{
    uint64_t now = a->policy->timeouts.free, suggested;

    if (now == 0 || !account_costs(a, replaced(RETIRE_FREE_TIMEOUT)))
        return false;
    suggested = longer_free(a);
    if (suggested <= now)
        return false;
    put_time(&out->now, now);
    put_time(&out->suggested, suggested);
    put_cost(&out->why, a, replaced(RETIRE_FREE_TIMEOUT));
    text_lit(&out->why, "ones that had been idle for timeouts.free. A longer time helps only if the service, "
                        "too, keeps idle connections for that long");
    return true;
}

static bool advises_shorter_free(const struct account *a, struct advice *out)
{
    uint64_t now = a->policy->timeouts.free, buffer = a->policy->agentKeepAliveTimeoutBuffer;
    uint64_t idle = account_closed_idle_ms(a), suggested;
    bool by_goaway = account_costs(a, replaced(RETIRE_GOAWAY)) && account_goaways_are_idle(a);
    enum opened_for why = replaced(by_goaway ? RETIRE_GOAWAY : RETIRE_PEER_CLOSED);

    if (!account_costs(a, why) || idle < CLOSED_AT_ONCE_MS)
        return false;
    suggested = idle > 2 * buffer ? idle - buffer : idle / 2;
    suggested = suggested < 1000 ? suggested / 10 * 10 : suggested / 1000 * 1000;
    if (now != 0 && suggested >= now)
        return false;
    put_time(&out->now, now);
    put_time(&out->suggested, suggested);
    put_cost(&out->why, a, why);
    text_lit(&out->why, "ones that the service had closed after ");
    words_time(&out->why, (double)idle);
    text_lit(&out->why, " of idle time. Best: let the service keep them for longer than the pauses between "
                        "requests (nginx: keepalive_timeout). Otherwise close them earlier here");
    if (a->learned_ms > 0)
        text_lit(&out->why, "; Carpool has learned to, but forgets it at a restart");
    return true;
}

static bool advises_connect_pool(const struct account *a, struct advice *out)
{
    uint32_t n = a->hour.carried; /* but for those that were refused, or could not be made */

    if (!a->is_tunnel || n < ENOUGH_TUNNELS || a->policy->connect != CONNECT_IS_TUNNEL)
        return false;
    text_lit(&out->now, "\"tunnel\"");
    text_lit(&out->suggested, "\"pool\"");
    words_counted(&out->why, n, "tunnel");
    text_lit(&out->why,
             ", each with a connection of its own that cannot be shared; for https this needs connectTls, "
             "a CA that apps trust (carpoolctl ca create)");
    return true;
}

static bool advises_keep_alive(const struct account *a, struct advice *out)
{
    uint64_t closed = account_opened_for(a, replaced(RETIRE_CONNECTION_CLOSE)) +
                      account_opened_for(a, replaced(RETIRE_CLOSE_DELIMITED));

    if (account_closed_idle_ms(a) < CLOSED_AT_ONCE_MS)
        closed += account_opened_for(a, replaced(RETIRE_PEER_CLOSED));
    if (closed < 3 || closed * 10 < account_opened(a) * 8 || !account_closes_each_time(a))
        return false;
    text_lit(&out->now, "\"close\"");
    text_lit(&out->suggested, "\"keep-alive\"");
    text_lit(&out->why, "it closes the connection each time, so that ");
    words_counted(&out->why, account_requests(a), "request");
    text_lit(&out->why, " opened ");
    words_counted(&out->why, account_opened(a), "connection");
    text_lit(&out->why, " (nginx: keepalive_timeout; Apache: KeepAlive On)");
    return true;
}

const struct advice_rule advice_rules[] = {
    {"maxTotalSockets", ADVICE_AGENT, "maxTotalSockets", advises_max_total},
    {"maxSockets", ADVICE_ORIGIN, "maxSockets", advises_max_sockets},
    {"total-for-origin", ADVICE_ORIGIN, "maxTotalSockets", advises_total_for_origin},
    {"maxFreeSockets", ADVICE_ORIGIN, "maxFreeSockets", advises_max_free},
    {"maxRequestsPerSocket", ADVICE_ORIGIN, "maxRequestsPerSocket", advises_max_requests},
    {"longer-free", ADVICE_ORIGIN, "timeouts.free", advises_longer_free},
    {"shorter-free", ADVICE_ORIGIN, "timeouts.free", advises_shorter_free},
    {"connect-pool", ADVICE_ORIGIN, "connect", advises_connect_pool},
    {"keep-alive", ADVICE_ORIGIN, ADVICE_AT_SERVICE, advises_keep_alive},
};
const unsigned advice_rule_count = sizeof advice_rules / sizeof advice_rules[0];

const struct advice_rule *advice_rule(const char *name)
{
    for (unsigned i = 0; i < advice_rule_count; i++)
        if (strcmp(advice_rules[i].name, name) == 0)
            return &advice_rules[i];
    assert(!"no such rule");
    return NULL;
}

void advice_free(struct advice *a)
{
    text_free(&a->now);
    text_free(&a->suggested);
    text_free(&a->why);
}

/* JSON */

static void put_advice(struct text *out, const struct account *a, const char *option,
                       const struct advice *advice, const char **separator)
{
    text_format(out, "%s{\"agent\":", *separator);
    text_json(out, slice_of(a->agent));
    text_lit(out, ",\"origin\":");
    text_json(out, slice_of(a->key));
    text_format(out, ",\"option\":\"%s\",\"now\":", option);
    text_put(out, text_slice(&advice->now));
    text_lit(out, ",\"suggested\":");
    text_put(out, text_slice(&advice->suggested));
    text_lit(out, ",\"why\":");
    text_json(out, text_slice(&advice->why));
    text_lit(out, "}");
    *separator = ",";
}

/* Of two rows for one option the first that speaks is heard. */
static void apply_rules(struct text *out, const struct account *a, enum advice_scope scope,
                        const char **separator)
{
    const char *said = NULL;

    for (const struct advice_rule *r = advice_rules; r < advice_rules + advice_rule_count; r++) {
        struct advice advice = {0};

        if (r->scope == scope && !(said && strcmp(said, r->option) == 0) && r->advises(a, &advice)) {
            put_advice(out, a, r->option, &advice, separator);
            said = r->option;
        }
        advice_free(&advice);
    }
}

void advice_write(const struct history *h, const struct admin_daemon *daemon, uint64_t uptime_ms,
                  struct text *out)
{
    const struct origin *busiest[ORIGINS_LOOKED_AT];
    const char *separator = "";
    const struct agent *agent;
    struct account a;

    history_settle(h);
    text_lit(out, "[");
    TAILQ_FOREACH (agent, &daemon->pools[0]->agents, link) {
        uint32_t all = account_busiest(agent, busiest, ORIGINS_LOOKED_AT);

        account_of_agent(h, agent, uptime_ms, &a);
        apply_rules(out, &a, ADVICE_AGENT, &separator);
        for (uint32_t i = 0; i < all && i < ORIGINS_LOOKED_AT; i++) {
            account_of_origin(h, busiest[i], uptime_ms, &a);
            apply_rules(out, &a, ADVICE_ORIGIN, &separator);
        }
    }
    text_lit(out, "]\n");
}
