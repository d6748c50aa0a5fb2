/* carpoolctl drain, pause, resume, reload: what changes something, and says in numbers what it did. */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"
#include "cmd/ctl_command.h"

/* What the agent had when it was done. */
struct before {
    const char *name;
    bool was_paused, stopping;
    long long active, connecting, free, running, waiting;
    uint64_t pending_ms, request_ms; /* timeouts.pending, timeouts.request; 0: none */
};

/* False: carpoold does not answer so. */
static bool read_before(const json_t *answer, struct before *b)
{
    b->name = json_string_value(json_object_get(answer, "agent"));
    b->was_paused = json_is_true(json_object_get(answer, "wasPaused"));
    b->active = json_integer_value(json_object_get(answer, "active"));
    b->connecting = json_integer_value(json_object_get(answer, "connecting"));
    b->free = json_integer_value(json_object_get(answer, "free"));
    b->running = json_integer_value(json_object_get(answer, "running"));
    b->waiting = json_integer_value(json_object_get(answer, "waiting"));
    b->stopping = json_is_true(json_object_get(answer, "stopping"));
    b->pending_ms = (uint64_t)json_integer_value(json_object_get(answer, "pendingTimeoutMs"));
    b->request_ms = (uint64_t)json_integer_value(json_object_get(answer, "requestTimeoutMs"));
    return b->name != NULL;
}

static const char *plural(long long n)
{
    return n == 1 ? "" : "s";
}

static int print_drained(const struct ctl_options *o, json_t *answer)
{
    struct before b;

    (void)o;
    if (!read_before(answer, &b))
        return CTL_STRANGE;
    long long busy = b.active + b.connecting;
    if (b.free + busy == 0)
        printf("%s: nothing to drain, no connection is open\n", b.name);
    else
        printf("%s is drained: %lld free connection%s closed now, %lld in use will close with %s\n", b.name,
               b.free, b.free == 1 ? " was" : "s were", busy, busy == 1 ? "its request" : "their requests");
    return CTL_FINE;
}

int ctl_drain(const struct ctl_options *o, const char *name)
{
    return ctl_ask_agent(o, "POST", name, "drain", print_drained);
}

/* " for at most 1s, then they get 504 (timeouts.request)": by the limit that ends first. */
static void print_patience(const struct before *b)
{
    bool by_request = b->request_ms > 0 && (b->pending_ms == 0 || b->request_ms <= b->pending_ms);
    uint64_t most_ms = by_request ? b->request_ms : b->pending_ms;
    char limit[UNITS_TEXT_SIZE];

    if (most_ms > 0)
        printf(" for at most %s, then they get %s", units_format_time(most_ms, limit),
               by_request ? "504 (timeouts.request)" : "503 (timeouts.pending)");
}

static int print_paused(const struct ctl_options *o, json_t *answer)
{
    struct before b;

    (void)o;
    if (!read_before(answer, &b))
        return CTL_STRANGE;
    if (b.was_paused) {
        printf("%s was paused already: %lld request%s wait%s\n", b.name, b.waiting, plural(b.waiting),
               b.waiting == 1 ? "s" : "");
        return CTL_FINE;
    }
    printf("%s is paused: %lld running request%s will finish; new ones wait", b.name, b.running,
           plural(b.running));
    print_patience(&b);
    printf(". To go on: carpoolctl resume %s\n", b.name);
    if (b.stopping)
        printf("But carpoold is stopping: see carpoolctl status\n");
    return CTL_FINE;
}

int ctl_pause(const struct ctl_options *o, const char *name)
{
    return ctl_ask_agent(o, "POST", name, "pause", print_paused);
}

static int print_resumed(const struct ctl_options *o, json_t *answer)
{
    struct before b;

    (void)o;
    if (!read_before(answer, &b))
        return CTL_STRANGE;
    if (!b.was_paused)
        printf("%s was not paused\n", b.name);
    else if (b.waiting == 0)
        printf("%s is resumed: no request was waiting\n", b.name);
    else
        printf("%s is resumed: %lld waiting request%s on\n", b.name, b.waiting,
               b.waiting == 1 ? " goes" : "s go");
    return CTL_FINE;
}

int ctl_resume(const struct ctl_options *o, const char *name)
{
    return ctl_ask_agent(o, "POST", name, "resume", print_resumed);
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
    if (!file)
        return CTL_STRANGE;
    printf("reloaded %s\n", file);
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
