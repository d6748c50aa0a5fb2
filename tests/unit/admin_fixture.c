/* The daemon that the admin API tells of, standing still. */

#include "admin_test.h"

static uint64_t reload(void *ctx)
{
    return ++((struct fixture *)ctx)->reloads;
}

static struct config *config(void *ctx)
{
    return &((struct fixture *)ctx)->config;
}

static void listeners(void *ctx, struct text *out)
{
    (void)ctx;
    text_lit(out, "{\"listeners\":[]}\n");
}

static void admin_path(void *ctx, const char *path, struct text *out)
{
    (void)ctx;
    text_format(out, "http://127.0.0.1:3129%s", path);
}

static bool stopping(void *ctx)
{
    return ((struct fixture *)ctx)->stopping;
}

static const void *caller_of(const struct waiter *p)
{
    (void)p;
    return NULL;
}

void fixture_make(struct fixture *f)
{
    static const struct waiter_owner owner = {.caller = caller_of};

    memset(f, 0, sizeof *f);
    f->policy = (struct agent_policy){.maxSockets = 20, .maxTotalSockets = COUNT_INFINITE, .keepAlive = true};
    TAILQ_INIT(&f->pool.agents);
    TAILQ_INIT(&f->pool.removed);
    TAILQ_INIT(&f->pool.dirty);
    f->pool.waiter_owner = &owner;
    f->config.path = (char *)"";
    f->agent.name = (char *)"payments";
    f->agent.policy = &f->policy;
    f->agent.pool = &f->pool;
    TAILQ_INIT(&f->agent.free_lru);
    TAILQ_INIT(&f->agent.blocked);
    TAILQ_INSERT_TAIL(&f->pool.agents, &f->agent, link);
    f->origin.key = (char *)"http://p.test:80";
    f->origin.agent = &f->agent;
    TAILQ_INIT(&f->origin.blocked);
    f->waiting.origin = &f->origin;
    TAILQ_INIT(&f->origin.free);
    HASH_ADD_KEYPTR(hh, f->agent.origins, f->origin.key, strlen(f->origin.key), &f->origin);
    f->last_reload.ok = true;
    f->pools[0] = &f->pool;
    f->proxies[0] = &f->proxy;
    f->daemon = (struct admin_daemon){.pools = f->pools,
                                      .proxies = f->proxies,
                                      .count = 1,
                                      .config = config,
                                      .reload = reload,
                                      .stopping = stopping,
                                      .listeners = listeners,
                                      .admin_path = admin_path,
                                      .ctx = f,
                                      .instance = "carpool-test",
                                      .last_reload = &f->last_reload};
    f->diagnosis = diagnosis_new(&f->daemon);
}

void fixture_forget(struct fixture *f)
{
    HASH_DEL(f->agent.origins, &f->origin);
    origin_stats_add(&f->agent.forgotten, &f->origin.stats);
}

void fixture_free(struct fixture *f)
{
    diagnosis_free(f->diagnosis);
    if (f->agent.origins)
        HASH_DEL(f->agent.origins, &f->origin);
}
