#include "daemon/reload.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/apply.h"
#include "daemon/state.h"
#include "daemon/systemd.h"

/* One reload, and later what it left to be freed: the configuration that was in force before, or the one that
 * was refused. */
struct reading {
    STAILQ_ENTRY(reading) link;
    struct daemon *daemon;
    struct config *running; /* beside which it is read; counted */
    struct config *config;  /* what was read; NULL: it failed, as `messages` say */
    struct change change;
    bool cancelled; /* atomic */
    bool prepared;
    char *messages; /* errors and warnings, a line each; NULL: memory was short */
    size_t messages_size;
    char error[1024]; /* of what came after the messages; "" when there is none */
};

/* ---- the thread */

static void reading_free(struct reading *r)
{
    change_discard(&r->change);
    config_unref(r->config);
    config_unref(r->running);
    free(r->messages);
    free(r);
}

static void post_done(struct daemon *d)
{
    mailbox_post_one(&d->workers.workers[0].mailbox, &d->reloader.done);
}

/* Of the daemon's it only looks at what changes by a commit alone. */
static void *read_in_thread(void *reading)
{
    struct reading *r = reading;
    struct daemon *d = r->daemon;
    FILE *messages = open_memstream(&r->messages, &r->messages_size);
    if (messages) {
        r->config = config_reload(r->running, &d->options->listen, &r->cancelled, messages);
        fclose(messages);
    }
    r->prepared = r->config && change_prepare(&r->change, d, r->config, r->error, sizeof r->error);
    post_done(d);
    return NULL;
}

static void free_list(struct reading_list *list)
{
    struct reading *r;
    while ((r = STAILQ_FIRST(list))) {
        STAILQ_REMOVE_HEAD(list, link);
        reading_free(r);
    }
}

static void *free_in_thread(void *ctx)
{
    struct daemon *d = ctx;
    free_list(&d->reloader.free);
    post_done(d);
    return NULL;
}

/* Signals are the main thread's. 0, or an errno. */
static int start_thread(struct reloader *r, void *(*run)(void *), void *ctx)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&r->thread, NULL, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->has_thread = error == 0;
    return error;
}

static void end_thread(struct reloader *r)
{
    if (r->has_thread)
        pthread_join(r->thread, NULL);
    r->has_thread = false;
}

/* ---- the outcome */

/* Logs the warnings, and keeps them, or the errors. */
static void sort_messages(char *messages, bool ok, FILE *kept)
{
    char *rest = messages, *line;
    while ((line = strsep(&rest, "\n"))) {
        bool is_warning = strstr(line, ": warning: ") != NULL;
        if (is_warning)
            log_event(LOG_WARN, "configuration warning", LOG_S("detail", line));
        if (*line && is_warning == ok)
            fprintf(kept, "%s%s", ftell(kept) ? "\n" : "", line);
    }
}

/* Why the new configuration is not in force, or what is to be said of it where it is, a line each; NULL when
 * memory is short. */
static char *write_lines(const struct reading *r, bool ok)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    if (r->messages)
        sort_messages(r->messages, ok, f);
    if (!ok && *r->error)
        fprintf(f, "%s%s", ftell(f) ? "\n" : "", r->error);
    if (fclose(f) == 0)
        return text;
    free(text);
    return NULL;
}

static bool take_over(struct daemon *d, struct reading *r)
{
    if (!r->prepared)
        return false;
    if (d->phase != SERVING) {
        snprintf(r->error, sizeof r->error, "Carpool is stopping");
        return false;
    }
    if (!change_bind(d, r->config, r->error, sizeof r->error))
        return false;
    change_commit(&r->change, d, r->config);
    r->config = NULL;
    return true;
}

/* A line for each error, all with the same words, so that who looks for one finds all. */
static void log_failure(const char *error)
{
    struct slice line = {error, strcspn(error, "\n")};
    for (;;) {
        log_event(LOG_ERROR, "reload failed: the old configuration stays in force",
                  LOG_SLICE("reason", line));
        if (!line.p[line.n])
            return;
        line.p += line.n + 1;
        line.n = strcspn(line.p, "\n");
    }
}

static void log_outcome(const struct daemon *d)
{
    const struct reload_report *report = &d->reloader.report;
    const struct text_list *needed = &d->config->restart_needed;
    if (!report->ok) {
        log_failure(report->error);
        return;
    }
    log_event(LOG_INFO, "configuration reloaded",
              LOG_S("file", *d->config->path ? d->config->path : "built-in defaults"));
    for (uint32_t i = 0; i < needed->count; i++)
        log_event(LOG_WARN, "a changed option needs a restart: its old value stays in force until then",
                  LOG_S("option", needed->items[i]));
}

static void report(struct daemon *d, bool ok, char *lines)
{
    struct reloader *r = &d->reloader;
    free(r->lines);
    r->lines = lines;
    r->report = (struct reload_report){
        .number = r->number,
        .ok = ok,
        .wall_ms = clock_wall_ms(),
        .error = ok                ? NULL
                 : lines && *lines ? lines
                                   : "out of memory",
        .warnings = ok && lines ? lines : "",
    };
    log_outcome(d);
    if (d->phase == SERVING) {
        service_notify_ready();
        daemon_say_status(d);
    }
    admin_reloaded(d->admin, r->number);
}

static void start_reading(struct daemon *d);

/* Without a reading, memory was short. */
static void end_reading(struct daemon *d, struct reading *reading)
{
    bool ok = reading && take_over(d, reading);
    report(d, ok, reading ? write_lines(reading, ok) : NULL);
    if (!reading)
        return;
    if (!ok) {
        config_unref(reading->running);
        reading->running = NULL;
    }
    STAILQ_INSERT_TAIL(&d->reloader.past, reading, link);
}

static void on_done(struct loop_message *l)
{
    struct daemon *d = LOOP_MESSAGE_OF(l, struct daemon, reloader.done);
    struct reloader *r = &d->reloader;
    struct reading *reading = r->reading;
    bool was_reading = r->state == READING;
    end_thread(r);
    r->state = RESTING;
    r->reading = NULL;
    if (was_reading)
        end_reading(d, reading);
    if (r->asked > r->number)
        start_reading(d);
}

/* ---- the outside */

/* False: it fails, as r->error says. */
static bool read_file(struct daemon *d, struct reading *r)
{
    if (d->phase != SERVING) {
        snprintf(r->error, sizeof r->error, "Carpool is stopping");
        return false;
    }
    int error = start_thread(&d->reloader, read_in_thread, r);
    if (error != 0)
        snprintf(r->error, sizeof r->error, "cannot start a thread to read the file: %s", strerror(error));
    return error == 0;
}

static void start_reading(struct daemon *d)
{
    struct reloader *r = &d->reloader;
    if (d->phase == SERVING)
        service_notify_reloading();
    r->number++;
    r->state = READING;
    r->reading = calloc(1, sizeof *r->reading);
    if (r->reading) {
        r->reading->daemon = d;
        r->reading->running = config_ref(d->config);
    }
    /* What has failed ends later, too: no one waits for it yet. */
    if (!r->reading || !read_file(d, r->reading))
        post_done(d);
}

uint64_t reload_begin(struct daemon *d)
{
    struct reloader *r = &d->reloader;
    r->asked = r->number + 1;
    if (r->state == RESTING)
        start_reading(d);
    return r->asked;
}

/* What was refused is used by no one. */
static bool is_used(const struct reading *r)
{
    return r->running && config_is_shared(r->running);
}

void reloader_tick(struct daemon *d)
{
    struct reloader *r = &d->reloader;
    struct reading_list used = STAILQ_HEAD_INITIALIZER(used);
    struct reading *one;
    if (r->state != RESTING)
        return;
    while ((one = STAILQ_FIRST(&r->past))) {
        STAILQ_REMOVE_HEAD(&r->past, link);
        if (is_used(one))
            STAILQ_INSERT_TAIL(&used, one, link);
        else
            STAILQ_INSERT_TAIL(&r->free, one, link);
    }
    STAILQ_CONCAT(&r->past, &used);
    if (!STAILQ_EMPTY(&r->free) && start_thread(r, free_in_thread, d) == 0)
        r->state = FREEING;
}

void reloader_init(struct daemon *d)
{
    struct reloader *r = &d->reloader;
    STAILQ_INIT(&r->past);
    STAILQ_INIT(&r->free);
    r->done.open = on_done;
    r->report = (struct reload_report){.ok = true, .wall_ms = clock_wall_ms(), .warnings = ""};
}

void reloader_cancel(struct daemon *d)
{
    if (d->reloader.reading)
        __atomic_store_n(&d->reloader.reading->cancelled, true, __ATOMIC_RELAXED);
}

void reloader_free(struct daemon *d)
{
    struct reloader *r = &d->reloader;
    end_thread(r);
    free_list(&r->past);
    free_list(&r->free);
    if (r->reading)
        reading_free(r->reading);
    free(r->lines);
}
