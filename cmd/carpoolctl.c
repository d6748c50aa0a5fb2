/* carpoolctl(1): options and the command's word, then call down. */

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/console.h"
#include "cmd/ctl_ca.h"
#include "cmd/ctl_client.h"
#include "cmd/ctl_command.h"
#include "cmd/ctl_output.h"
#include "cmd/ctl_run.h"
#include "cmd/ctl_top.h"
#include "config/suggest.h"

enum words { WORDS_NONE, WORDS_MAY_NAME, WORDS_NAME, WORDS_COMMAND, WORDS_HOSTS, WORDS_FILE };

static int top(const struct ctl_options *o, const char *name)
{
    (void)name;
    return ctl_top(o->address);
}

static const struct command {
    const char *name; /* of one word, or two */
    enum words words;
    int (*run)(const struct ctl_options *o, const char *name); /* NULL: it takes words of its own */
    const char *help;
} commands[] = {
    {"status", WORDS_NONE, ctl_status, "what is wrong, then a table of the pools, the worst first"},
    {"top", WORDS_NONE, top, "what status shows, live, with rates"},
    {"agents", WORDS_MAY_NAME, ctl_agents, "one row per agent; with NAME, everything about that one"},
    {"errors", WORDS_MAY_NAME, ctl_errors, "how often each error occurred, and the latest ones"},
    {"callers", WORDS_NONE, ctl_callers, "who uses Carpool, the busiest first (option callers)"},
    {"explain", WORDS_MAY_NAME, ctl_explain, "why connections are opened, what waits, and what to change"},
    {"advise", WORDS_NONE, ctl_advise, "what to change, as YAML to paste or (--patch) as a patch"},
    {"drain", WORDS_NAME, ctl_drain, "close free connections now, active ones when they finish"},
    {"pause", WORDS_NAME, ctl_pause, "hold new requests of this agent until resume"},
    {"resume", WORDS_NAME, ctl_resume, "end the pause; requests go on, the oldest first"},
    {"reload", WORDS_NONE, ctl_reload, "read the configuration again"},
    {"config", WORDS_NONE, ctl_config, "the configuration in force, as YAML"},
    {"version", WORDS_NONE, ctl_version, "versions of carpoolctl and of the daemon"},
    {"ca create", WORDS_HOSTS, NULL, "make a CA for connectTls (--for HOST, --out DIR, --days N)"},
    {"ca show", WORDS_FILE, NULL, "what a CA may sign for, and until when"},
    {"run", WORDS_COMMAND, NULL, "start a command that uses Carpool and trusts its CA"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static const char *words_of(const struct command *c)
{
    switch (c->words) {
    case WORDS_NONE: break;
    case WORDS_MAY_NAME: return " [NAME]";
    case WORDS_NAME: return " NAME";
    case WORDS_COMMAND: return " -- COMMAND";
    case WORDS_HOSTS: break;
    case WORDS_FILE: return " FILE";
    }
    return "";
}

static int print_help(FILE *out, int status)
{
    char left[40];

    fputs("Usage: carpoolctl [-s ADDRESS] [--json] [--wide] COMMAND [NAME]\n\nCommands:\n", out);
    for (size_t i = 0; i < COMMANDS; i++) {
        snprintf(left, sizeof left, "%s%s", commands[i].name, words_of(&commands[i]));
        fprintf(out, "  %-18s %s\n", left, commands[i].help);
    }
    fputs("\n"
          "Options:\n"
          "  -s, --server ADDRESS  the admin listener: host:port, a URL, or unix:/path\n"
          "                        (" CTL_DEFAULT_ADDRESS ")\n"
          "  -j, --json            print what the admin API said\n"
          "  -w, --wide            status, agents: also why connections were closed\n"
          "  -p, --patch FILE      advise: print a patch of this configuration file\n"
          "  -V, --version         print the version\n"
          "  -h, --help            print this; after a command, help on that command\n"
          "\n"
          "NAME is an agent, as carpoolctl agents lists them.\n"
          "Exit status: 0 success, 1 failure, 2 wrong usage.\n",
          out);
    return status;
}

/* Those of the options that this command knows. */
static const char *options_of(const struct command *c)
{
    if (c->words == WORDS_COMMAND)
        return "";
    if (c->run == ctl_status || c->run == ctl_agents)
        return " [--json] [--wide]";
    return c->run == ctl_advise ? " [--json] [--patch FILE]" : " [--json]";
}

static int print_command_help(const struct command *c)
{
    char *asks[] = {(char *)c->name, (char *)"--help", NULL};

    if (c->words == WORDS_HOSTS)
        return ctl_ca_create(2, asks);
    if (c->words == WORDS_FILE)
        return ctl_ca_show(2, asks);
    printf("Usage: carpoolctl [-s ADDRESS]%s %s%s\n%c%s.\n", options_of(c), c->name, words_of(c),
           toupper((unsigned char)c->help[0]), c->help + 1);
    return CTL_FINE;
}

/* The command that the next words name; goes to the last of them. */
static const struct command *find_command(int argc, char **argv)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        const char *name = commands[i].name, *second = strchr(name, ' ');

        if (!second && strcmp(name, argv[optind]) == 0)
            return &commands[i];
        if (second && optind + 1 < argc && strcmp(second + 1, argv[optind + 1]) == 0 &&
            strncmp(name, argv[optind], (size_t)(second - name)) == 0 && !argv[optind][second - name]) {
            optind++;
            return &commands[i];
        }
    }
    return NULL;
}

/* Whether `name` is of two words, and this is the first of them. */
static bool is_of_group(const char *name, const char *word)
{
    size_t n = strlen(word);

    return strncmp(name, word, n) == 0 && name[n] == ' ';
}

static bool is_group(const char *word)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (is_of_group(commands[i].name, word))
            return true;
    return false;
}

/* `word` may be NULL. */
static bool asks_for_help(const char *word)
{
    return word && (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0);
}

/* Of all its commands. */
static int print_group_help(const char *word)
{
    const char *between = "";

    for (size_t i = 0; i < COMMANDS; i++) {
        if (!is_of_group(commands[i].name, word))
            continue;
        fputs(between, stdout);
        print_command_help(&commands[i]);
        between = "\n";
    }
    return CTL_FINE;
}

static int refuse_group(const char *word)
{
    const char *between = "";

    fprintf(stderr, "carpoolctl: '%s' is no command by itself. There are: ", word);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!is_of_group(commands[i].name, word))
            continue;
        fprintf(stderr, "%s%s", between, commands[i].name);
        between = ", ";
    }
    fprintf(stderr, " (carpoolctl help %s)\n", word);
    return CTL_USAGE;
}

static int unknown_command(const char *word)
{
    const char *names[COMMANDS], *meant;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    meant = suggest(word, names, COMMANDS);
    fprintf(stderr, "carpoolctl: unknown command '%s'%s%s%s There are:", word,
            meant ? ", did you mean '" : ".", meant ? meant : "", meant ? "'?" : "");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, " %s,", commands[i].name);
    fputs(" help\n", stderr);
    return CTL_USAGE;
}

static int wrong_usage(const struct command *c, const char *what)
{
    fprintf(stderr, "carpoolctl: %s %s; usage: carpoolctl [-s ADDRESS]%s %s%s\n", c->name, what,
            options_of(c), c->name, words_of(c));
    return CTL_USAGE;
}

/* Options up to the first word that is none; `c` is the command that stood before them, or NULL. -1: go on;
 * else the exit status. */
static int take_options(int argc, char **argv, struct ctl_options *o, const struct command *c)
{
    static const struct option longs[] = {
        {"server", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"wide", no_argument, NULL, 'w'},
        {"patch", required_argument, NULL, 'p'},
        {"write", required_argument, NULL, 'p'}, /* another name of it */
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    char error[CTL_ERROR_SIZE];
    int option;

    while (!o->words_only && (option = getopt_long(argc, argv, "+s:jwp:W:Vh", longs, NULL)) != -1) {
        switch (option) {
        case 's':
            o->address = ctl_plain_address(optarg);
            if (!ctl_check_address(o->address, error)) {
                ctl_fail("%s", error);
                return CTL_USAGE;
            }
            break;
        case 'j': o->json = true; break;
        case 'w': o->wide = true; break;
        case 'W':
        case 'p': o->patch = optarg; break;
        case 'V': puts("carpoolctl " PACKAGE_VERSION); return CTL_FINE;
        case 'h': return c ? print_command_help(c) : print_help(stdout, CTL_FINE);
        default: fputs("carpoolctl -h lists commands and options\n", stderr); return CTL_USAGE;
        }
    }
    /* getopt() would look at the words before it again. */
    o->words_only |= optarg != argv[optind - 1] && strcmp(argv[optind - 1], "--") == 0;
    return -1;
}

/* The command's NAME, with options around it. -1: go on; else the exit status. */
static int take_name(int argc, char **argv, struct ctl_options *o, const struct command *c, const char **name)
{
    int status = take_options(argc, argv, o, c);

    *name = NULL;
    while (status < 0 && optind < argc) {
        if (*name || c->words == WORDS_NONE)
            return wrong_usage(c, c->words == WORDS_NONE ? "takes no arguments" : "takes one name at most");
        *name = argv[optind++];
        status = take_options(argc, argv, o, c);
    }
    if (status < 0 && o->patch && c->run != ctl_advise)
        return wrong_usage(c, "writes no patch (advise does)");
    if (status < 0 && c->words == WORDS_NAME && !*name)
        return wrong_usage(c, "needs the name of an agent (carpoolctl agents lists them)");
    return status;
}

/* What follows it is a command of its own, options and all. */
static int take_run(int argc, char **argv, const struct ctl_options *o, const struct command *c)
{
    if (asks_for_help(argv[optind]))
        return print_command_help(c);
    if (optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    return optind < argc ? ctl_run(o->address, argv + optind) : wrong_usage(c, "needs a command");
}

/* `help COMMAND` becomes `COMMAND --help`. */
static void ask_help_of_command(int argc, char **argv)
{
    static char help[] = "--help";

    for (int i = optind; i < argc - 1; i++)
        argv[i] = argv[i + 1];
    argv[argc - 1] = help;
}

static int obey(int argc, char **argv)
{
    struct ctl_options o = {.address = CTL_DEFAULT_ADDRESS};
    const struct command *c;
    const char *name;
    int status = take_options(argc, argv, &o, NULL);

    if (status >= 0)
        return status;
    if (optind == argc)
        return print_help(stderr, CTL_USAGE);
    if (strcmp(argv[optind], "help") == 0) {
        if (optind + 1 == argc)
            return print_help(stdout, CTL_FINE);
        ask_help_of_command(argc, argv);
    }
    c = find_command(argc, argv);
    if (!c && is_group(argv[optind]))
        return asks_for_help(argv[optind + 1]) ? print_group_help(argv[optind]) : refuse_group(argv[optind]);
    if (!c)
        return unknown_command(argv[optind]);
    if (c->words == WORDS_HOSTS)
        return ctl_ca_create(argc - optind, argv + optind);
    if (c->words == WORDS_FILE)
        return ctl_ca_show(argc - optind, argv + optind);
    optind++;
    if (c->words == WORDS_COMMAND)
        return take_run(argc, argv, &o, c);
    status = take_name(argc, argv, &o, c, &name);
    return status >= 0 ? status : c->run(&o, name);
}

int main(int argc, char **argv)
{
    console_reserve();
    ctl_output_begin();
    argv[0] = (char *)"carpoolctl"; /* what getopt says of a mistake begins with it */
    return ctl_output_end(obey(argc, argv));
}
