#include "daemon/systemd.h"

#ifdef HAVE_LIBSYSTEMD

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

void service_notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void service_notify_reloading(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)now.tv_sec * 1000000ull + (unsigned long long)now.tv_nsec / 1000);
}

void service_notify_stopping(uint64_t extend_usec)
{
    sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", (unsigned long long)extend_usec);
}

void service_notify_status(const char *text)
{
    char line[1024];

    snprintf(line, sizeof line, "%s", text);
    for (char *p = line; *p; p++) {
        if (*p == '\n')
            *p = ' ';
    }
    sd_notifyf(0, "STATUS=%s", line);
}

uint64_t service_watchdog_ms(void)
{
    uint64_t usec = 0;

    return sd_watchdog_enabled(0, &usec) > 0 ? usec / 1000 : 0;
}

void service_notify_watchdog(void)
{
    sd_notify(0, "WATCHDOG=1");
}

/* systemd passes blocking descriptors. */
static bool make_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static bool is_usable(int fd, const char *name)
{
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 && make_nonblocking(fd))
        return true;
    log_event(LOG_ERROR, "a descriptor that systemd passed is not a listening socket: see its .socket unit",
              LOG_N("fd", fd), LOG_S("name", name));
    return false;
}

/* A unit that names nothing passes its own name; libsystemd makes one up when there is none at all. */
static const char *given_name(const char *name)
{
    size_t n = strlen(name), suffix = strlen(".socket");
    bool unit = n > suffix && strcmp(name + n - suffix, ".socket") == 0 && strncmp(name, "upstream.", 9) != 0;

    return unit || strcmp(name, "unknown") == 0 ? "" : name;
}

int service_listen_fds(struct service_fd *out, int max)
{
    char **names = NULL;
    int passed = sd_listen_fds_with_names(1, &names);
    int count = 0;

    if (passed < 0)
        log_event(
            LOG_ERROR,
            "the sockets that were passed are not used: LISTEN_FDS must count them, and LISTEN_FDNAMES, where it "
            "is set, have a name for each",
            LOG_S("reason", strerror(-passed)));
    for (int i = 0; i < passed; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        const char *name = given_name(names[i]);

        if (count == max)
            log_event(LOG_ERROR, "too many sockets were passed: this one is not used", LOG_N("fd", fd),
                      LOG_S("name", name));
        if (count == max || !is_usable(fd, name)) {
            close(fd);
        } else {
            out[count].fd = fd;
            snprintf(out[count].name, sizeof out[count].name, "%s", name);
            count++;
        }
        free(names[i]);
    }
    free(names);
    return count;
}

#else

void service_notify_ready(void)
{
}

void service_notify_reloading(void)
{
}

void service_notify_stopping(uint64_t extend_usec)
{
    (void)extend_usec;
}

void service_notify_status(const char *text)
{
    (void)text;
}

uint64_t service_watchdog_ms(void)
{
    return 0;
}

void service_notify_watchdog(void)
{
}

int service_listen_fds(struct service_fd *out, int max)
{
    (void)out;
    (void)max;
    return 0;
}

#endif
