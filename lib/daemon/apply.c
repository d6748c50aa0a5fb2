#include "daemon/apply.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/access_log.h"
#include "base/console.h"
#include "base/log.h"
#include "daemon/state.h"
#include "pool/configure.h"

/* ---- logs */

static void on_record(void *log, const struct exchange_record *r)
{
    access_log_write(log, r);
}

/* Opens the configured one beside the present one. */
static bool open_log(const struct config *c, struct access_log **log, char *error, size_t error_size)
{
    if (strcmp(c->accessLog.path, "off") == 0)
        return true;
    *log = access_log_open(c->accessLog.path, c->accessLog.format, error, error_size);
    return *log != NULL;
}

void use_access_log(struct daemon *d, struct access_log *log)
{
    access_log_close(d->workers.access_log);
    d->workers.access_log = log;
    for (unsigned i = 0; i < d->workers.count; i++) {
        d->workers.workers[i].proxy->record = log ? on_record : NULL;
        d->workers.workers[i].proxy->record_ctx = log;
    }
}

void configure_log(const struct config *c)
{
    log_configure(c->log.level, c->log.format,
                  console_is_journal(STDERR_FILENO) && c->log.format == LOG_TEXT);
}

/* ---- the whole */

bool change_prepare(struct change *change, struct daemon *d, struct config *c, char *error, size_t error_size)
{
    if (!open_log(c, &change->log, error, error_size))
        return false;
    change->pools = pools_prepare(d->workers.pools, d->workers.count, c);
    if (!change->pools)
        snprintf(error, error_size, "out of memory");
    return change->pools != NULL;
}

bool change_bind(struct daemon *d, const struct config *c, char *error, size_t error_size)
{
    return listeners_prepare(d->listeners, c, error, error_size);
}

/* A client whose request runs is two descriptors. */
static void warn_of_descriptors(const struct config *c)
{
    uint64_t clients = c->server.maxConnections, needed = 2 * clients;
    struct rlimit limit;

    if (clients == UINT32_MAX || getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    log_event(
        LOG_WARN,
        "too few descriptors for server.maxConnections: raise the limit (LimitNOFILE= of the unit, ulimit -Hn) or lower it",
        LOG_N("limit", limit.rlim_cur), LOG_N("needed", needed), LOG_N("maxConnections", clients));
}

void change_commit(struct change *change, struct daemon *d, struct config *c)
{
    struct config *before = d->config;
    workers_halt(&d->workers);
    d->config = c;
    pools_commit(change->pools);
    for (unsigned i = 0; i < d->workers.count; i++)
        proxy_configure(d->workers.workers[i].proxy, c);
    use_access_log(d, change->log);
    configure_log(c);
    listeners_commit(d->listeners, c);
    workers_go_on(&d->workers);
    config_unref(before);
    warn_of_descriptors(c);
    *change = (struct change){.log = NULL};
}

void change_discard(struct change *change)
{
    access_log_close(change->log);
    if (change->pools)
        pools_discard(change->pools);
    *change = (struct change){.log = NULL};
}
