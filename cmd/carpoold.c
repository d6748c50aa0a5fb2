/* carpoold(8): options, then call down. */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/console.h"
#include "config/config.h"
#include "daemon/daemon.h"

#define DEFAULT_CONFIG SYSCONFDIR "/carpool/carpool.yaml"

static const char usage[] =
    "Usage: carpoold [-c FILE] [-t] [-l ADDRESS]... [--print-config] [-V] [-h]\n"
    "A forward HTTP proxy that pools upstream connections.\n"
    "\n"
    "  -c, --config FILE    the policy; without it " DEFAULT_CONFIG "\n"
    "                       if that exists, else the built-in defaults\n"
    "  -t, --test-config    check the configuration and exit\n"
    "  -l, --listen ADDRESS listen here instead of where the file says: host:port,\n"
    "                       [v6]:port or unix:/path; may be given several times\n"
    "      --print-config   print the effective configuration and exit\n"
    "  -V, --version        print the version and exit\n"
    "  -h, --help           print this and exit\n"
    "\n"
    "Exit status: 0 fine, 1 could not start or the configuration is invalid, 2 wrong usage.\n"
    "Signals: TERM, INT stop gracefully (twice: at once), HUP reloads, USR1 reopens the access log.\n";

enum { OPTION_PRINT_CONFIG = 256 };

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"test-config", no_argument, NULL, 't'},
    {"listen", required_argument, NULL, 'l'},
    {"print-config", no_argument, NULL, OPTION_PRINT_CONFIG},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int wrong_usage(void)
{
    fputs("carpoold -h lists the options\n", stderr);
    return 2;
}

static bool add_listen(struct text_list *list, char *address)
{
    char **items = reallocarray(list->items, list->count + 1, sizeof *items);
    if (!items)
        return false;
    items[list->count++] = address;
    list->items = items;
    return true;
}

/* What cannot be looked at, or is a link to nowhere, is no reason to run without the policy. */
static bool has_default_config(void)
{
    struct stat st;
    return lstat(DEFAULT_CONFIG, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static bool is_read_at_once(const char *path)
{
    struct stat st;
    return !path || stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

static void leave(int number)
{
    (void)number;
    _exit(0);
}

/* Who writes into a pipe may take for ever: while it is read, TERM and INT end the start. */
static void let_leave(bool may)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGTERM, may ? leave : SIG_DFL);
    signal(SIGINT, may ? leave : SIG_DFL);
    if (may)
        sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int run(struct daemon_options *options, bool test, bool print)
{
    bool starts = !test && !print;
    if (!options->config_path && has_default_config())
        options->config_path = DEFAULT_CONFIG;
    bool waits = starts && !is_read_at_once(options->config_path);
    if (starts)
        daemon_hold_signals();
    if (waits)
        let_leave(true);
    struct config *config =
        (test ? config_test : config_load)(options->config_path, &options->listen, stderr);
    if (waits)
        let_leave(false);
    if (!config)
        return 1;
    if (print)
        config_print(config, stdout);
    if (starts)
        return daemon_run(options, config);
    if (test && !print)
        fprintf(stderr, "carpoold: %s: the configuration is valid%s\n",
                options->config_path ? options->config_path : "built-in defaults",
                options->config_path && !config->has_keys
                    ? "; it has no option, so the defaults apply (a reload would refuse such a file)"
                    : "");
    config_unref(config);
    return 0;
}

/* `status`, unless what was to be printed could not be. */
static int end_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "carpoold: cannot write to stdout: %s\n", strerror(errno));
    return 1;
}

static int run_as_told(int argc, char **argv, struct daemon_options *options)
{
    bool test = false, print = false;
    int c;
    argv[0] = (char *)"carpoold"; /* what getopt says of a mistake begins with it */
    while ((c = getopt_long(argc, argv, "c:tl:Vh", long_options, NULL)) != -1) {
        switch (c) {
        case 'c': options->config_path = optarg; break;
        case 't': test = true; break;
        case 'l':
            if (!add_listen(&options->listen, optarg)) {
                fputs("carpoold: out of memory\n", stderr);
                return 1;
            }
            break;
        case OPTION_PRINT_CONFIG: print = true; break;
        case 'V': puts("carpoold " PACKAGE_VERSION); return 0;
        case 'h': fputs(usage, stdout); return 0;
        default: return wrong_usage();
        }
    }
    if (optind < argc) {
        fprintf(stderr, "carpoold: unexpected argument '%s'; to read that file, write -c %s\n", argv[optind],
                argv[optind]);
        return wrong_usage();
    }
    return run(options, test, print);
}

int main(int argc, char **argv)
{
    struct daemon_options options = {0};
    console_reserve();
    int status = run_as_told(argc, argv, &options);
    free(options.listen.items);
    return end_output(status);
}
