#include "cmd/ctl_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_trust.h"

/* AF_UNSPEC: a name. */
static int family_of(const char *host)
{
    struct in_addr v4;

    return strchr(host, ':') ? AF_INET6 : inet_pton(AF_INET, host, &v4) == 1 ? AF_INET : AF_UNSPEC;
}

static bool is_any(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

/* An address or a name: what else a server says does not go into a command's environment. */
static bool is_host(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";

    return *text && strspn(text, allowed) == strlen(text);
}

/* Where one is reached that listens everywhere: on this host, or where the admin listener was. */
static char *host_for_any(const char *any, const char *admin)
{
    char *there = ctl_split_address(admin, NULL);
    int family = there ? family_of(there) : AF_UNSPEC;
    bool elsewhere =
        there && !is_any(there) && !is_loopback(there) && (family == AF_UNSPEC || family == family_of(any));

    if (elsewhere)
        return there;
    free(there);
    return ctl_need(strdup(family_of(any) == AF_INET6 ? "::1" : "127.0.0.1"));
}

/* "http://host:port" of a listener; NULL when it is a unix socket. */
static char *proxy_url(const char *listener, const char *admin)
{
    const char *port;
    char *host = ctl_split_address(listener, &port);
    char *url = NULL;

    if (host && is_any(host)) {
        char *any = host;

        host = host_for_any(any, admin);
        free(any);
    }
    if (host && is_host(host))
        url = ctl_format(strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
    free(host);
    return url;
}

/* NULL: this row of /listeners is no way to the proxy. */
static char *url_of_row(const json_t *row, const char *admin)
{
    const char *use = json_string_value(json_object_get(row, "for"));
    const char *at = json_string_value(json_object_get(row, "address"));

    return use && at && strcmp(use, "proxy") == 0 ? proxy_url(at, admin) : NULL;
}

/* The first TCP listener of the proxy that is open; NULL with a sentence in `error`. */
static char *find_proxy(const char *address, char error[CTL_ERROR_SIZE])
{
    struct ctl_reply reply;
    json_t *json;
    const json_t *rows;
    char *url = NULL;

    if (ctl_ask(address, "GET", "/listeners", &reply, error) != 0)
        return NULL;
    json = json_loadb(reply.body, reply.length, 0, NULL);
    free(reply.body);
    rows = json_object_get(json, "listeners");
    for (size_t i = 0; i < json_array_size(rows) && !url; i++)
        url = url_of_row(json_array_get(rows, i), address);
    json_decref(json);
    if (!url)
        snprintf(error, CTL_ERROR_SIZE,
                 "carpoold at %s names no TCP listener of the proxy: set http_proxy by hand", address);
    return url;
}

/* What goes direct: this host, and the cloud's metadata service, which no proxy should be asked for. */
#define NO_PROXY "localhost,127.0.0.1,::1,169.254.169.254"

static void set(const char *lower, const char *upper, const char *value)
{
    if (setenv(lower, value, 1) != 0 || setenv(upper, value, 1) != 0)
        ctl_need(NULL);
}

/* What was set holds, in both spellings. */
static void set_no_proxy(void)
{
    const char *lower = getenv("no_proxy"), *upper = getenv("NO_PROXY");
    char *value = ctl_need(strdup(lower ? lower : upper ? upper : NO_PROXY));

    set("no_proxy", "NO_PROXY", value);
    free(value);
}

/* Becomes the command. */
static int start(char *const argv[])
{
    execvp(argv[0], argv);
    fprintf(stderr, "carpoolctl: cannot start %s: %s\n", argv[0], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}

/* Those that are sent to us and meant for the command. */
static void fill_signals(sigset_t *set)
{
    static const int passed_on[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT, SIGUSR1,
                                    SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

    sigemptyset(set);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++)
        sigaddset(set, passed_on[i]);
    sigaddset(set, SIGCHLD);
}

/* What a terminal sends, it sends to the command as well. */
static void pass_on(pid_t child, const siginfo_t *signal)
{
    if (signal->si_code != SI_KERNEL)
        kill(child, signal->si_signo);
}

/* Until the command has ended: its exit status, as a shell has it. */
static int wait_for(pid_t child, const sigset_t *signals)
{
    siginfo_t signal;
    int status;

    for (;;) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (sigwaitinfo(signals, &signal) > 0 && signal.si_signo != SIGCHLD)
            pass_on(child, &signal);
    }
}

/* Beside us: files are removed after it, and a signal that ends it becomes an exit status. Nothing would tell
 * of that end where SIGCHLD is ignored, as our parent may have it; the command gets it as it was. */
static int run_beside(char *const argv[])
{
    void (*ends_before)(int) = signal(SIGCHLD, SIG_DFL);
    sigset_t signals, before;
    pid_t child;

    fill_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, &before);
    child = fork();
    if (child == 0) {
        signal(SIGCHLD, ends_before);
        sigprocmask(SIG_SETMASK, &before, NULL);
        _exit(start(argv));
    }
    if (child < 0) {
        fprintf(stderr, "carpoolctl: cannot start %s: %s\n", argv[0], strerror(errno));
        return 1;
    }
    return wait_for(child, &signals);
}

int ctl_run(const char *address, char *const argv[])
{
    char error[CTL_ERROR_SIZE];
    char *url = find_proxy(address, error);
    struct ctl_trust trust;
    int status;

    if (!url || !ctl_trust_begin(address, &trust, error)) {
        fprintf(stderr, "carpoolctl: %s\n", error);
        free(url);
        return 1;
    }
    set("http_proxy", "HTTP_PROXY", url);
    set("https_proxy", "HTTPS_PROXY", url);
    set_no_proxy();
    free(url);
    status = run_beside(argv);
    ctl_trust_end(&trust);
    return status;
}
