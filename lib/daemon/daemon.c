#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/access_log.h"
#include "base/clock.h"
#include "base/console.h"
#include "base/log.h"
#include "base/units.h"
#include "daemon/apply.h"
#include "daemon/cpus.h"
#include "daemon/state.h"
#include "daemon/systemd.h"
#include "http/head.h"

#define MAX_PASSED_SOCKETS 64
#define TICK_MS            1000
#define STATUS_EVERY_TICKS 10
#define IDLE_CHECK_MS      20
/* What systemd allows a stop beyond shutdownTimeout; without one it is asked for again at each tick. */
#define STOP_EXTENSION_MS 10000
/* How long the end waits for the readers of stdout and stderr. */
#define LAST_LINES_MS 300

/* --- Signals and stop ---------------------------------------------------------------------------------- */

/* Clients are on their way from loop to loop for less than a turn, but they are on their way. */
static void halt_settled(struct daemon *d)
{
    workers_halt(&d->workers);
    workers_settle(&d->workers);
}

static void stop_now(struct daemon *d)
{
    halt_settled(d);
    for (unsigned i = 0; i < d->workers.count; i++)
        proxy_cut(d->workers.workers[i].proxy);
    workers_go_on(&d->workers);
    d->phase = STOPPED;
}

/* Other loops notify no one when they are done, so they are asked. */
static void on_idle_check(void *ctx)
{
    struct daemon *d = ctx;
    halt_settled(d);
    bool idle = workers_is_idle(&d->workers);
    workers_go_on(&d->workers);
    if (idle)
        stop_now(d);
    else
        timer_set(&d->idle_check, IDLE_CHECK_MS);
}

static void on_deadline(void *ctx)
{
    log_line(LOG_WARN, "shutdownTimeout is over: what still runs is cut");
    stop_now(ctx);
}

static void tell_stopping(const struct daemon *d, uint64_t delay_ms)
{
    service_notify_stopping((delay_ms + d->config->shutdownTimeout + STOP_EXTENSION_MS) * 1000);
}

static void begin_stop(void *ctx)
{
    struct daemon *d = ctx;
    log_line(LOG_INFO, "stopping: running requests finish, new ones are refused");
    d->phase = STOPPING;
    reloader_cancel(d);
    tell_stopping(d, 0);
    halt_settled(d);
    listeners_stop(d->listeners);
    for (unsigned i = 0; i < d->workers.count; i++) {
        pool_stop(d->workers.workers[i].pool);
        proxy_stop(d->workers.workers[i].proxy);
    }
    workers_go_on(&d->workers);
    timer_set(&d->deadline, d->config->shutdownTimeout);
    on_idle_check(d);
}

/* Who sends requests here finds out by /readyz, or ends at the same time and has some left. */
static void begin_leaving(struct daemon *d)
{
    char delay[UNITS_TEXT_SIZE];
    log_event(LOG_INFO, "stopping after shutdownDelay: until then requests are served, and /readyz is 503",
              LOG_S("delay", units_format_time(d->config->shutdownDelay, delay)));
    d->phase = LEAVING;
    reloader_cancel(d);
    tell_stopping(d, d->config->shutdownDelay);
    timer_set(&d->delay, d->config->shutdownDelay);
}

static void on_terminate(evutil_socket_t signal, short what, void *ctx)
{
    struct daemon *d = ctx;
    (void)signal;
    (void)what;
    clock_update();
    if (d->phase != SERVING)
        stop_now(d);
    else if (d->config->shutdownDelay > 0)
        begin_leaving(d);
    else
        begin_stop(d);
}

static void on_hangup(evutil_socket_t signal, short what, void *ctx)
{
    (void)signal;
    (void)what;
    clock_update();
    reload_begin(ctx);
}

static void on_reopen(evutil_socket_t signal, short what, void *ctx)
{
    struct daemon *d = ctx;
    (void)signal;
    (void)what;
    if (d->workers.access_log)
        access_log_reopen(d->workers.access_log);
}

static const struct {
    int number;
    event_callback_fn call;
} signals[] = {{SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGHUP, on_hangup}, {SIGUSR1, on_reopen}};

static void mask_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaddset(&set, signals[i].number);
    pthread_sigmask(how, &set, NULL);
}

void daemon_hold_signals(void)
{
    /* The write fails and says so: there is no reader any more, or a file is as large as the system lets it
     * become. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    mask_signals(SIG_BLOCK);
}

/* Those that were held come now, and are handled when the loop turns. */
static bool watch_signals(struct daemon *d)
{
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        d->signals[i] = evsignal_new(d->base, signals[i].number, signals[i].call, d);
        if (!d->signals[i] || evsignal_add(d->signals[i], NULL) != 0)
            return false;
    }
    mask_signals(SIG_UNBLOCK);
    return true;
}

/* --- What systemd sees --------------------------------------------------------------------------------- */

/* Every loop has to stand still for it, so one that is stuck is noticed. */
static void on_watchdog(void *ctx)
{
    struct daemon *d = ctx;
    workers_halt(&d->workers);
    workers_go_on(&d->workers);
    service_notify_watchdog();
    timer_set(&d->watchdog, service_watchdog_ms() / 2);
}

void daemon_say_status(struct daemon *d)
{
    uint32_t clients = 0, active = 0, idle = 0, pending = 0;
    struct agent *a;
    char text[1400];
    const struct reload_report *r = &d->reloader.report;
    workers_halt(&d->workers);
    for (unsigned i = 0; i < d->workers.count; i++) {
        clients += d->workers.workers[i].proxy->stats.clients_open;
        TAILQ_FOREACH (a, &d->workers.pools[i]->agents, link)
            for (struct origin *o = a->origins; o; o = o->hh.next) {
                active += origin_used(o) + o->draining_count + o->sent_away_count;
                idle += o->free_count;
                pending += o->blocked_count;
            }
    }
    workers_go_on(&d->workers);
    snprintf(text, sizeof text,
             "clients: %u; upstream sockets: %u active, %u free; requests pending: %u%s%.*s", clients, active,
             idle, pending,
             r->ok ? "" : "; the last reload failed: ", r->ok ? 0 : (int)strcspn(r->error, "\n"),
             r->ok ? "" : r->error);
    service_notify_status(text);
}

static void on_tick(void *ctx)
{
    struct daemon *d = ctx;
    log_flush();
    if (d->ticks++ % STATUS_EVERY_TICKS == 0)
        daemon_say_status(d);
    reloader_tick(d);
    if (d->phase == STOPPING && d->config->shutdownTimeout == 0)
        service_notify_stopping(STOP_EXTENSION_MS * 1000);
    timer_set(&d->tick, TICK_MS);
}

/* --- Start --------------------------------------------------------------------------------------------- */

/* The part after the dash keeps two Carpools in a row from taking each other for a loop. */
static bool choose_instance(struct daemon *d, char *error, size_t error_size)
{
    uint32_t random;
    if (*d->config->name) {
        snprintf(d->instance, sizeof d->instance, "%s", d->config->name);
        return true;
    }
    if (getrandom(&random, sizeof random, 0) != sizeof random) {
        snprintf(error, error_size, "cannot get a random number for this instance's name: %s; set `name`",
                 strerror(errno));
        return false;
    }
    snprintf(d->instance, sizeof d->instance, "carpool-%08x", random);
    return true;
}

/* Each client and each upstream socket is a descriptor: as many as the system lets us have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* `auto` is one for each processor that this process may use. */
static unsigned worker_count(const struct config *c)
{
    unsigned count = c->workers > 0 ? c->workers : cpus_usable();
    return count < WORKERS_MAX ? count : WORKERS_MAX;
}

static struct config *present_config(void *ctx)
{
    const struct daemon *d = ctx;
    return d->config;
}

static bool is_stopping(void *ctx)
{
    const struct daemon *d = ctx;
    return d->phase != SERVING;
}

static void write_listeners(void *ctx, struct text *out)
{
    const struct daemon *d = ctx;
    listeners_write(d->listeners, out);
}

static void write_admin_path(void *ctx, const char *path, struct text *out)
{
    const struct daemon *d = ctx;
    listeners_write_admin_path(d->listeners, path, out);
}

static void halt_for_admin(void *ctx)
{
    struct daemon *d = ctx;
    workers_halt(&d->workers);
}

static void go_on_after_admin(void *ctx)
{
    struct daemon *d = ctx;
    workers_go_on(&d->workers);
}

static uint64_t reload_for_admin(void *ctx)
{
    return reload_begin(ctx);
}

static bool start_admin(struct daemon *d)
{
    const struct admin_daemon view = {
        .base = d->base,
        .pools = d->workers.pools,
        .proxies = d->workers.proxies.members,
        .count = d->workers.count,
        .halt = halt_for_admin,
        .go_on = go_on_after_admin,
        .config = present_config,
        .reload = reload_for_admin,
        .stopping = is_stopping,
        .listeners = write_listeners,
        .admin_path = write_admin_path,
        .ctx = d,
        .instance = d->instance,
        .started_wall_ms = d->started_wall_ms,
        .last_reload = &d->reloader.report,
    };
    d->admin = admin_new(&view);
    return d->admin != NULL;
}

static bool start_workers(struct daemon *d, char *error, size_t error_size)
{
    const struct workers_setup setup = {.config = d->config, .instance = slice_of(d->instance)};
    bool ok = workers_init(&d->workers, worker_count(d->config), &setup, error, error_size);
    d->base = ok ? d->workers.workers[0].base : NULL;
    return ok;
}

/* As a reload would, but that nothing is in force yet. */
static bool apply_first(struct daemon *d, char *error, size_t error_size)
{
    struct change change = {.log = NULL};
    bool fine = change_prepare(&change, d, d->config, error, error_size) &&
                change_bind(d, d->config, error, error_size);
    if (fine)
        change_commit(&change, d, config_ref(d->config));
    else
        change_discard(&change);
    return fine;
}

static bool start(struct daemon *d, char *error, size_t error_size)
{
    struct service_fd passed[MAX_PASSED_SOCKETS];
    int passed_count = service_listen_fds(passed, MAX_PASSED_SOCKETS);
    reloader_init(d);
    if (!choose_instance(d, error, error_size) || !start_workers(d, error, error_size))
        return false;
    timer_init(&d->watchdog, d->base, on_watchdog, d);
    timer_init(&d->tick, d->base, on_tick, d);
    timer_init(&d->delay, d->base, begin_stop, d);
    timer_init(&d->deadline, d->base, on_deadline, d);
    timer_init(&d->idle_check, d->base, on_idle_check, d);
    snprintf(error, error_size, "out of memory");
    if (!watch_signals(d) || !start_admin(d))
        return false;
    d->listeners = listeners_new(&d->workers, d->admin, passed, passed_count);
    if (!d->listeners || !apply_first(d, error, error_size))
        return false;
    /* What it remembers of each agent takes its memory now, not when memory is short. */
    admin_reloaded(d->admin, 0);
    int number = workers_start(&d->workers);
    if (number != 0)
        snprintf(error, error_size, "cannot start a thread for a worker: %s; lower workers",
                 strerror(number));
    return number == 0;
}

static void end(struct daemon *d)
{
    /* One more of them is no reason to die of it. */
    mask_signals(SIG_BLOCK);
    workers_stop(&d->workers);
    reloader_free(d);
    if (d->workers.access_log)
        use_access_log(d, NULL);
    for (size_t i = 0; i < sizeof d->signals / sizeof d->signals[0]; i++)
        if (d->signals[i])
            event_free(d->signals[i]);
    timer_release(&d->watchdog);
    timer_release(&d->tick);
    timer_release(&d->delay);
    timer_release(&d->deadline);
    timer_release(&d->idle_check);
    if (d->listeners)
        listeners_free(d->listeners);
    admin_free(d->admin);
    workers_free(&d->workers);
    config_unref(d->config);
}

static void serve(struct daemon *d)
{
    d->phase = SERVING;
    service_notify_ready();
    on_tick(d);
    if (service_watchdog_ms())
        on_watchdog(d);
    while (d->phase != STOPPED) {
        event_base_loop(d->base, EVLOOP_ONCE);
        clock_update();
        worker_end_turn(&d->workers.workers[0]);
    }
}

/* What libevent has to say would else stand on stderr in a form of its own. */
static void on_libevent_log(int severity, const char *message)
{
    enum log_level level = severity >= EVENT_LOG_ERR    ? LOG_ERROR
                           : severity == EVENT_LOG_WARN ? LOG_WARN
                                                        : LOG_DEBUG;
    log_event(level, "libevent", LOG_S("detail", message));
}

int daemon_run(const struct daemon_options *options, struct config *config)
{
    struct daemon d = {.options = options, .config = config};
    char error[1024];
    console_start();
    configure_log(config);
    raise_descriptor_limit();
    event_set_log_callback(on_libevent_log);
    http_init();
    clock_update();
    d.started_wall_ms = clock_wall_ms();
    srand48((long)(clock_us() ^ (uint64_t)getpid() << 20));
    bool started = start(&d, error, sizeof error);
    if (started) {
        log_event(LOG_INFO, "carpoold started", LOG_S("version", PACKAGE_VERSION), LOG_S("name", d.instance),
                  LOG_N("workers", d.workers.count),
                  LOG_S("configuration", *config->path ? config->path : "built-in defaults"));
        serve(&d);
        log_line(LOG_INFO, "stopped");
    } else {
        log_event(LOG_ERROR, "cannot start", LOG_S("detail", error));
    }
    end(&d);
    log_flush();
    console_stop(LAST_LINES_MS);
    return started ? 0 : 1;
}
