#include "daemon/daemon.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/accesslog.h"
#include "admin/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/listeners.h"
#include "daemon/systemd.h"
#include "daemon/workers.h"
#include "http/head.h"

#define MAX_PASSED_SOCKETS 64
#define TICK_MS            1000
#define STATUS_EVERY_TICKS 10
#define IDLE_CHECK_MS      20

/*  STARTING --ready--> SERVING --SIGTERM--> STOPPING --idle, or shutdownTimeout, or a second signal--> STOPPED */
enum phase { STARTING, SERVING, STOPPING, STOPPED };

struct daemon {
    const struct daemon_options *options;
    struct config *config;
    enum phase phase;
    char instance[CONFIG_NAME_MAX + 1];
    struct workers workers;
    struct event_base *base; /* of the workers's first loop, which is this thread's */
    struct listeners *listeners;
    struct admin *admin;
    struct event *signals[4];
    struct timer watchdog, tick, deadline, idle_check;
    unsigned ticks;
    bool reload_success;
    uint64_t started_wall_ms, reload_wall_ms;
};

/* --- The access log ------------------------------------------------------------------------------------ */

static void on_record(void *log, const struct exchange_record *r)
{
    access_log_write(log, r);
}

/* Opens the configured one beside the present one; on false the present one stays. */
static bool open_access_log(const struct config *c, struct access_log **out, char *error, size_t error_size)
{
    *out = NULL;
    if (strcmp(c->accessLog.path, "off") == 0)
        return true;
    *out = access_log_open(c->accessLog.path, c->accessLog.format, error, error_size);
    return *out != NULL;
}

static void use_access_log(struct daemon *d, struct access_log *l)
{
    access_log_close(d->workers.access_log);
    d->workers.access_log = l;
    for (unsigned i = 0; i < d->workers.count; i++) {
        d->workers.workers[i].proxy->record = l ? on_record : NULL;
        d->workers.workers[i].proxy->record_ctx = l;
    }
}

/* --- Configuration ------------------------------------------------------------------------------------- */

static void configure_log(const struct config *c)
{
    /* JOURNAL_STREAM says that stderr is the journal's: systemd.exec(5). */
    log_configure(c->log.level, c->log.format, getenv("JOURNAL_STREAM") && c->log.format == LOG_TEXT);
}

/* While the workers is halted. Everything that can fail comes first; what follows cannot, so that a configuration
 * is taken whole or not at all. */
static bool apply(struct daemon *d, struct config *c, char *error, size_t error_size)
{
    struct access_log *log;
    if (!open_access_log(c, &log, error, error_size))
        return false;
    if (!listeners_configure(d->listeners, c, error, error_size) ||
        !pools_configure(d->workers.pools, d->workers.count, c, error, error_size)) {
        access_log_close(log);
        return false;
    }
    configure_log(c);
    for (unsigned i = 0; i < d->workers.count; i++)
        proxy_configure(d->workers.workers[i].proxy, c);
    use_access_log(d, log);
    listeners_serve(d->listeners);
    return true;
}

/* Where messages of config_load go: to the log, a line each, and the errors to whoever asked. */
static void report_errors(char *text, char *error, size_t error_size)
{
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line)
            continue;
        log_event(strstr(line, ": warning: ") ? LOG_WARN : LOG_ERROR, "configuration", LOG_S("detail", line));
        size_t length = strlen(error);
        if (!strstr(line, ": warning: "))
            snprintf(error + length, error_size - length, "%s%s", length ? "\n" : "", line);
    }
}

static bool load_and_apply(struct daemon *d, char *error, size_t error_size)
{
    char *text = NULL;
    size_t size;
    FILE *messages = open_memstream(&text, &size);
    *error = '\0';
    if (!messages) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    struct config *c = config_load(d->options->config_path, &d->options->listen, messages);
    fclose(messages);
    report_errors(text, error, error_size);
    free(text);
    if (!c) {
        if (!*error)
            snprintf(error, error_size, "the configuration could not be read");
        return false;
    }
    if (c->workers != d->config->workers || strcmp(c->name, d->config->name) != 0)
        log_line(LOG_WARN, "workers and name are taken at the next start only");
    workers_halt(&d->workers);
    bool applied = apply(d, c, error, error_size);
    workers_go_on(&d->workers);
    if (!applied) {
        config_unref(c);
        return false;
    }
    config_unref(d->config);
    d->config = c;
    return true;
}

static bool reload(void *ctx, char *error, size_t error_size)
{
    struct daemon *d = ctx;
    if (d->phase != SERVING) {
        snprintf(error, error_size, "Carpool is stopping");
        return false;
    }
    service_notify_reloading();
    d->reload_success = load_and_apply(d, error, error_size);
    d->reload_wall_ms = clock_wall_ms();
    if (d->reload_success)
        log_event(LOG_INFO, "configuration reloaded", LOG_S("file", d->config->path));
    else
        log_event(LOG_ERROR, "reload failed, the old configuration stays", LOG_S("detail", error));
    service_notify_ready();
    return d->reload_success;
}

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

/* Other loops tell nobody when they are done, so they are asked. */
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

static void begin_stop(struct daemon *d)
{
    log_line(LOG_INFO, "stopping: running exchanges finish, new ones are not taken");
    d->phase = STOPPING;
    service_notify_stopping((d->config->shutdownTimeout + 5000) * 1000);
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

static void on_terminate(evutil_socket_t signal, short what, void *ctx)
{
    struct daemon *d = ctx;
    (void)signal;
    (void)what;
    clock_update();
    if (d->phase == SERVING)
        begin_stop(d);
    else
        stop_now(d);
}

static void on_hangup(evutil_socket_t signal, short what, void *ctx)
{
    char error[4096];
    (void)signal;
    (void)what;
    clock_update();
    reload(ctx, error, sizeof error);
}

static void on_reopen(evutil_socket_t signal, short what, void *ctx)
{
    struct daemon *d = ctx;
    (void)signal;
    (void)what;
    if (d->workers.access_log)
        access_log_reopen(d->workers.access_log);
}

static bool watch_signals(struct daemon *d)
{
    const struct {
        int number;
        event_callback_fn call;
    } rows[] = {{SIGTERM, on_terminate}, {SIGINT, on_terminate}, {SIGHUP, on_hangup}, {SIGUSR1, on_reopen}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        d->signals[i] = evsignal_new(d->base, rows[i].number, rows[i].call, d);
        if (!d->signals[i] || evsignal_add(d->signals[i], NULL) != 0)
            return false;
    }
    signal(SIGPIPE, SIG_IGN);
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

static void say_status(struct daemon *d)
{
    uint32_t clients = 0, active = 0, idle = 0, pending = 0;
    struct agent *a;
    char text[160];
    workers_halt(&d->workers);
    for (unsigned i = 0; i < d->workers.count; i++) {
        clients += d->workers.workers[i].proxy->stats.clients_open;
        TAILQ_FOREACH (a, &d->workers.pools[i]->agents, link)
            for (struct origin *o = a->origins; o; o = o->hh.next) {
                active += o->active_count;
                idle += o->free_count;
                pending += o->blocked_count;
            }
    }
    workers_go_on(&d->workers);
    snprintf(text, sizeof text, "%u clients, upstream sockets: %u active, %u free, %u requests pending",
             clients, active, idle, pending);
    service_notify_status(text);
}

static void on_tick(void *ctx)
{
    struct daemon *d = ctx;
    log_flush();
    if (d->ticks++ % STATUS_EVERY_TICKS == 0)
        say_status(d);
    timer_set(&d->tick, TICK_MS);
}

/* --- Start --------------------------------------------------------------------------------------------- */

/* The part behind the dash keeps two Carpools in a row from taking each other for a loop. */
static bool choose_instance(struct daemon *d, char *error, size_t error_size)
{
    uint32_t random;
    if (*d->config->name) {
        snprintf(d->instance, sizeof d->instance, "%s", d->config->name);
        return true;
    }
    if (getrandom(&random, sizeof random, 0) != sizeof random) {
        snprintf(error, error_size,
                 "the system gives no random number for this instance's name: %s; set `name`",
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

/* `auto` is one for each core that this process may use. */
static unsigned worker_count(const struct config *c)
{
    cpu_set_t cores;
    if (c->workers > 0)
        return c->workers;
    int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    return count < WORKERS_MAX ? (unsigned)count : WORKERS_MAX;
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
        .reload = reload,
        .stopping = is_stopping,
        .ctx = d,
        .instance = d->instance,
        .started_wall_ms = d->started_wall_ms,
        .reload_success = &d->reload_success,
        .reload_wall_ms = &d->reload_wall_ms,
    };
    d->admin = admin_new(&view);
    if (!d->admin)
        return false;
    listeners_set_admin(d->listeners, d->admin);
    return true;
}

static bool start_workers(struct daemon *d, char *error, size_t error_size)
{
    const struct workers_setup setup = {.config = d->config, .instance = slice_of(d->instance)};
    bool ok = workers_init(&d->workers, worker_count(d->config), &setup, error, error_size);
    d->base = ok ? d->workers.workers[0].base : NULL;
    return ok;
}

static bool start(struct daemon *d, char *error, size_t error_size)
{
    struct service_fd passed[MAX_PASSED_SOCKETS];
    int passed_count = service_listen_fds(passed, MAX_PASSED_SOCKETS);
    snprintf(error, error_size, "out of memory");
    if (!choose_instance(d, error, error_size) || !start_workers(d, error, error_size))
        return false;
    /* Before anybody can see that it listens, and ask for a reload. */
    if (!watch_signals(d))
        return false;
    d->listeners = listeners_new(&d->workers, passed, passed_count);
    if (!d->listeners)
        return false;
    /* Listeners last of what may take time, such as the trust store: whoever can connect is served at
     * once. */
    if (!listeners_configure(d->listeners, d->config, error, error_size))
        return false;
    if (!start_admin(d)) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    timer_init(&d->watchdog, d->base, on_watchdog, d);
    timer_init(&d->tick, d->base, on_tick, d);
    timer_init(&d->deadline, d->base, on_deadline, d);
    timer_init(&d->idle_check, d->base, on_idle_check, d);
    struct access_log *log;
    if (!open_access_log(d->config, &log, error, error_size))
        return false;
    use_access_log(d, log);
    if (!listeners_serve(d->listeners)) {
        snprintf(error, error_size, "out of memory for a listener");
        return false;
    }
    int number = workers_start(&d->workers);
    if (number != 0)
        snprintf(error, error_size, "the system gives no thread for a worker: %s; lower workers",
                 strerror(number));
    return number == 0;
}

static void end(struct daemon *d)
{
    workers_stop(&d->workers);
    if (d->workers.access_log)
        use_access_log(d, NULL);
    for (size_t i = 0; i < sizeof d->signals / sizeof d->signals[0]; i++)
        if (d->signals[i])
            event_free(d->signals[i]);
    timer_release(&d->watchdog);
    timer_release(&d->tick);
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
    d->reload_success = true;
    d->reload_wall_ms = clock_wall_ms();
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
    return started ? 0 : 1;
}
