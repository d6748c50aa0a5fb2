#include "admin/routes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "admin/advice.h"
#include "admin/agents.h"
#include "admin/callers.h"
#include "admin/explanation.h"
#include "admin/metrics.h"
#include "admin/overview.h"
#include "admin/system_store.h"
#include "ca/signer.h"

/* Percent-encoding taken off, of the agent's name. */
#define NAME_SIZE 1024

struct admin_call {
    const struct admin_daemon *daemon;
    struct diagnosis *diagnosis;
    struct agent *agent; /* of /agents/NAME */
    struct admin_answer *answer;
};

static void healthz(struct admin_call *c)
{
    text_lit(&c->answer->body, "{\"status\":\"ok\"}\n");
}

static void readyz(struct admin_call *c)
{
    if (!c->daemon->stopping(c->daemon->ctx)) {
        text_lit(&c->answer->body, "{\"status\":\"ready\"}\n");
        return;
    }
    c->answer->status = 503;
    text_lit(&c->answer->body, "{\"status\":\"stopping\"}\n");
}

static void metrics(struct admin_call *c)
{
    c->answer->type = METRICS_TYPE;
    metrics_write(&c->answer->body, c->daemon);
}

static void agents(struct admin_call *c)
{
    agents_write_all(&c->answer->body, c->daemon, c->diagnosis);
}

static void live(struct admin_call *c)
{
    agents_write_live(&c->answer->body, c->daemon, c->diagnosis);
}

static void agent(struct admin_call *c)
{
    diagnosis_look(c->diagnosis);
    agents_write_one(&c->answer->body, c->agent, c->diagnosis);
    text_lit(&c->answer->body, "\n");
}

static void history(struct admin_call *c)
{
    history_write_all(diagnosis_history(c->diagnosis), &c->answer->body);
}

static void agent_history(struct admin_call *c)
{
    history_write_one(diagnosis_history(c->diagnosis), c->agent, &c->answer->body);
}

static void callers(struct admin_call *c)
{
    callers_write(&c->answer->body, c->daemon);
}

static void advise(struct admin_call *c)
{
    uint64_t uptime_ms = traffic_uptime_ms(diagnosis_traffic(c->diagnosis));

    advice_write(diagnosis_history(c->diagnosis), c->daemon, uptime_ms, &c->answer->body);
}

static void explain(struct admin_call *c)
{
    uint64_t uptime_ms = traffic_uptime_ms(diagnosis_traffic(c->diagnosis));

    explanation_write(diagnosis_history(c->diagnosis), c->daemon, c->agent, uptime_ms, &c->answer->body);
}

static void config(struct admin_call *c)
{
    char *json = config_json(c->daemon->config(c->daemon->ctx), true);

    if (!json) {
        c->answer->body.failed = true;
        return;
    }
    text_string(&c->answer->body, json);
    text_lit(&c->answer->body, "\n");
    free(json);
}

/* The CA of connectTls, for clients that are to trust it. False: there is none, which is answered. */
static bool put_ca(struct admin_call *c)
{
    const struct signer *signer = c->daemon->config(c->daemon->ctx)->connectTls.signer;
    char *pem;

    if (!signer) {
        admin_answer_error(c->answer, 404, "there is no CA: connectTls is not set");
        return false;
    }
    c->answer->type = "application/x-pem-file";
    pem = ca_pem(signer_ca(signer));
    if (pem)
        text_string(&c->answer->body, pem);
    else
        c->answer->body.failed = true;
    free(pem);
    return true;
}

static void ca(struct admin_call *c)
{
    put_ca(c);
}

static void ca_bundle(struct admin_call *c)
{
    if (put_ca(c))
        system_store_put(&c->answer->body);
}

static void listeners(struct admin_call *c)
{
    c->daemon->listeners(c->daemon->ctx, &c->answer->body);
}

static void version(struct admin_call *c)
{
    text_lit(&c->answer->body, "{\"name\":\"carpool\",\"version\":\"" PACKAGE_VERSION "\",\"instance\":");
    text_json(&c->answer->body, slice_of(c->daemon->instance));
    text_lit(&c->answer->body, "}\n");
}

static void page(struct admin_call *c)
{
    c->answer->type = "text/html; charset=utf-8";
    page_policy(page_html, c->answer->policy);
    text_string(&c->answer->body, page_html);
}

static void reload(struct admin_call *c)
{
    c->answer->waits_for = c->daemon->reload(c->daemon->ctx);
}

/* As a list. */
static void put_lines(struct text *t, const char *lines)
{
    text_lit(t, "[");
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        text_json(t, (struct slice){lines, n});
        lines += n + (lines[n] == '\n');
        text_string(t, *lines ? "," : "");
    }
    text_lit(t, "]");
}

void answer_reloaded(const struct admin_daemon *d, struct admin_answer *out)
{
    const struct config *c = d->config(d->ctx);

    out->status = 200;
    out->type = ANSWER_JSON;
    if (!d->last_reload->ok) {
        admin_answer_error(out, 400, d->last_reload->error);
        return;
    }
    text_lit(&out->body, "{\"ok\":true,\"file\":");
    text_json(&out->body, slice_of(*c->path ? c->path : "the built-in defaults"));
    text_lit(&out->body, ",\"warnings\":");
    put_lines(&out->body, d->last_reload->warnings);
    text_lit(&out->body, ",\"restartNeeded\":");
    overview_write_restart_needed(&out->body, c);
    text_lit(&out->body, "}\n");
}

/* What there was when it was done: what a drain closed and lets finish, what a resume lets go on. */
static void say_done(struct admin_call *c, bool was_paused, const struct groups *before)
{
    assert(c->agent);
    text_lit(&c->answer->body, "{\"ok\":true,\"agent\":");
    text_json(&c->answer->body, slice_of(c->agent->name));
    text_format(&c->answer->body,
                ",\"paused\":%s,\"wasPaused\":%s,\"active\":%u,\"connecting\":%u,\"free\":%u,\"running\":%u,"
                "\"waiting\":%u,\"pendingTimeoutMs\":%llu,\"requestTimeoutMs\":%llu,\"stopping\":%s}\n",
                c->agent->paused ? "true" : "false", was_paused ? "true" : "false", before->active,
                before->connecting, before->free, groups_running(before), before->pending,
                (unsigned long long)c->agent->policy->timeouts.pending,
                (unsigned long long)c->agent->policy->timeouts.request,
                c->daemon->stopping(c->daemon->ctx) ? "true" : "false");
}

/* Calls a verb for each loop's share of the agent. */
static void command(struct admin_call *c, void (*verb)(struct agent *a))
{
    struct agent_totals before;
    bool was_paused = c->agent->paused;

    agent_totals(c->agent, &before);
    for (struct agent *share = c->agent; share; share = share->next_share)
        verb(share);
    say_done(c, was_paused, &before.now);
}

static void drain(struct admin_call *c)
{
    command(c, agent_drain);
}

static void pause_agent(struct admin_call *c)
{
    if (!c->agent->paused)
        diagnosis_begin_anew(c->diagnosis, c->agent);
    command(c, agent_pause);
}

static void resume(struct admin_call *c)
{
    if (c->agent->paused)
        diagnosis_begin_anew(c->diagnosis, c->agent);
    command(c, agent_resume);
}

/* "*" stands for the name of an agent. */
static const struct route {
    enum admin_method method;
    const char *path;
    void (*serve)(struct admin_call *c);
} routes[] = {
    {ADMIN_GET, "/", page},
    {ADMIN_GET, "/healthz", healthz},
    {ADMIN_GET, "/readyz", readyz},
    {ADMIN_GET, "/metrics", metrics},
    {ADMIN_GET, "/agents", agents},
    {ADMIN_GET, "/live", live},
    {ADMIN_GET, "/agents/*", agent},
    {ADMIN_GET, "/history", history},
    {ADMIN_GET, "/agents/*/history", agent_history},
    {ADMIN_GET, "/callers", callers},
    {ADMIN_GET, "/advice", advise},
    {ADMIN_GET, "/explain", explain},
    {ADMIN_GET, "/agents/*/explain", explain},
    {ADMIN_GET, "/config", config},
    {ADMIN_GET, "/ca.pem", ca},
    {ADMIN_GET, "/ca-bundle.pem", ca_bundle},
    {ADMIN_GET, "/listeners", listeners},
    {ADMIN_GET, "/version", version},
    {ADMIN_POST, "/reload", reload},
    {ADMIN_POST, "/agents/*/drain", drain},
    {ADMIN_POST, "/agents/*/pause", pause_agent},
    {ADMIN_POST, "/agents/*/resume", resume},
};

/* Whether the path fits; `name` is what stands for the star, never empty. */
static bool fits(const char *pattern, struct slice path, struct slice *name)
{
    const char *star = strchr(pattern, '*');
    struct slice before = {pattern, star ? (size_t)(star - pattern) : strlen(pattern)};
    struct slice after = slice_of(star ? star + 1 : "");

    *name = (struct slice){"", 0};
    if (!slice_begins(path, before))
        return false;
    if (!star)
        return path.n == before.n;
    path = slice_from(path, before.n);
    if (path.n <= after.n || !slice_eq(slice_from(path, path.n - after.n), after))
        return false;
    *name = (struct slice){path.p, path.n - after.n};
    return !memchr(name->p, '/', name->n);
}

static bool find_agent(struct admin_call *c, struct slice encoded)
{
    char name[NAME_SIZE];
    size_t n;

    if (!slice_percent_decode(encoded, name, sizeof name, &n))
        return false;
    c->agent = pool_find_agent(c->daemon->pools[0], (struct slice){name, n});
    return c->agent != NULL;
}

void admin_answer(const struct admin_daemon *d, struct diagnosis *diagnosis, enum admin_method method,
                  struct slice path, struct admin_answer *out)
{
    struct admin_call call = {d, diagnosis, NULL, out};
    const struct route *other = NULL;

    *out = (struct admin_answer){.status = 200, .type = ANSWER_JSON};
    for (const struct route *r = routes; r < routes + sizeof routes / sizeof routes[0]; r++) {
        struct slice name;

        if (!fits(r->path, path, &name))
            continue;
        if (r->method != method) {
            other = r;
            continue;
        }
        if (name.n > 0 && !find_agent(&call, name))
            admin_answer_error(out, 404,
                               "there is no such agent, or a reload removed it: see /agents for their names");
        else
            r->serve(&call);
        return;
    }
    if (!other) {
        admin_answer_error(out, 404, "no such path: carpoold(8) lists them");
        return;
    }
    out->allow = other->method == ADMIN_POST ? "POST" : "GET, HEAD";
    admin_answer_error(out, 405, other->method == ADMIN_POST ? "use POST" : "use GET");
}
