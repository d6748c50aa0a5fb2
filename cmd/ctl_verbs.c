/* carpoolctl drain, pause, resume, reload: what changes something, and says in numbers what it did. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"
#include "cmd/ctl_command.h"

/* What the agent had when it was done; the JSON is in `json`. */
struct before {
    json_t *json;
    bool was_paused;
    long long active, connecting, free, waiting;
    uint64_t pending_ms; /* timeouts.pending; 0: none */
};

static int command(const struct ctl_options *o, const char *name, const char *verb, struct before *b)
{
    struct ctl_reply reply;
    int status = ctl_request_agent(o, "POST", name, verb, &reply);

    *b = (struct before){0};
    if (status != CTL_FINE)
        return status;
    if (o->json)
        return ctl_print_json(&reply);
    b->json = json_loadb(reply.body, reply.length, 0, NULL);
    free(reply.body);
    b->was_paused = json_is_true(json_object_get(b->json, "wasPaused"));
    b->active = json_integer_value(json_object_get(b->json, "active"));
    b->connecting = json_integer_value(json_object_get(b->json, "connecting"));
    b->free = json_integer_value(json_object_get(b->json, "free"));
    b->waiting = json_integer_value(json_object_get(b->json, "waiting"));
    b->pending_ms = (uint64_t)json_integer_value(json_object_get(b->json, "pendingTimeoutMs"));
    return CTL_FINE;
}

static const char *plural(long long n)
{
    return n == 1 ? "" : "s";
}

int ctl_drain(const struct ctl_options *o, const char *name)
{
    struct before b;
    int status = command(o, name, "drain", &b);
    long long busy = b.active + b.connecting;

    if (status == CTL_FINE && b.json && b.free + busy == 0)
        printf("%s: nothing to drain, no connection is open\n", name);
    else if (status == CTL_FINE && b.json)
        printf("%s is drained: %lld free connection%s closed now, %lld in use will close with %s\n", name,
               b.free, b.free == 1 ? " was" : "s were", busy, busy == 1 ? "its request" : "their requests");
    json_decref(b.json);
    return status;
}

static void print_paused(const char *name, const struct before *b)
{
    char limit[UNITS_TEXT_SIZE];

    printf("%s is paused: %lld running request%s will finish; new ones wait", name, b->active,
           plural(b->active));
    if (b->pending_ms > 0)
        printf(" for at most %s, then they get 503", units_format_time(b->pending_ms, limit));
    printf(". To go on: carpoolctl resume %s\n", name);
}

int ctl_pause(const struct ctl_options *o, const char *name)
{
    struct before b;
    int status = command(o, name, "pause", &b);

    if (status == CTL_FINE && b.json && b.was_paused)
        printf("%s was paused already: %lld request%s wait%s\n", name, b.waiting, plural(b.waiting),
               b.waiting == 1 ? "s" : "");
    else if (status == CTL_FINE && b.json)
        print_paused(name, &b);
    json_decref(b.json);
    return status;
}

int ctl_resume(const struct ctl_options *o, const char *name)
{
    struct before b;
    int status = command(o, name, "resume", &b);

    if (status == CTL_FINE && b.json && !b.was_paused)
        printf("%s was not paused\n", name);
    else if (status == CTL_FINE && b.json && b.waiting == 0)
        printf("%s is resumed: no request was waiting\n", name);
    else if (status == CTL_FINE && b.json)
        printf("%s is resumed: %lld waiting request%s on\n", name, b.waiting,
               b.waiting == 1 ? " goes" : "s go");
    json_decref(b.json);
    return status;
}

/* A line each. */
static void print_list(const json_t *list, const char *before)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        printf("%s%s\n", before, text ? text : "");
    }
}

static int print_reloaded(const struct ctl_options *o, json_t *answer)
{
    const char *file = json_string_value(json_object_get(answer, "file"));

    (void)o;
    printf("reloaded %s\n", file ? file : "the configuration");
    print_list(json_object_get(answer, "warnings"), "");
    print_list(json_object_get(answer, "restartNeeded"), "keeps its old value until a restart: ");
    return CTL_FINE;
}

int ctl_reload(const struct ctl_options *o, const char *name)
{
    struct ctl_reply reply = {0};
    int status = ctl_request(o, "POST", "/reload", &reply);

    (void)name;
    if (status == CTL_FAILED && reply.status == 400)
        fputs("the reload failed: the old configuration stays in force\n", stderr);
    return status == CTL_FINE ? ctl_show(o, "/reload", &reply, print_reloaded) : status;
}
