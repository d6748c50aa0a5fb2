/* carpoolctl: looks at a running carpoold and steers it, by its admin listener. */

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_output.h"
#include "cmd/ctl_pools.h"
#include "cmd/ctl_run.h"
#include "cmd/ctl_top.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
    const char *address;
    bool json;
};

static const char usage_text[] =
    "Usage: carpoolctl [-s ADDRESS] [--json] COMMAND\n"
    "\n"
    "Commands:\n"
    "  status           one row an origin, the busiest first, and what is wrong in words\n"
    "  top              the same, live, with rates\n"
    "  agents           one row an agent\n"
    "  drain NAME       close the agent's free sockets now, active ones when they finish\n"
    "  pause NAME       hold new requests of the agent as pending\n"
    "  resume NAME      serve them again, in order\n"
    "  reload           read the configuration again\n"
    "  config           the configuration in force, as JSON\n"
    "  version          of carpoolctl and of the daemon\n"
    "  run -- COMMAND   start a command with http_proxy set\n"
    "\n"
    "Options:\n"
    "  -s, --server ADDRESS  the admin listener: host:port or unix:/path (" CTL_DEFAULT_ADDRESS ")\n"
    "  -j, --json            print what the admin API said\n"
    "  -V, --version         print the version\n"
    "  -h, --help            print this\n"
    "\n"
    "Exit status: 0 fine, 1 it did not work, 2 wrong usage.\n";

static int fail(const char *sentence)
{
    fprintf(stderr, "carpoolctl: %s\n", sentence);
    return EXIT_FAILED;
}

/* Asks; an answer that is no success is told. The caller frees the body when it is EXIT_FINE. */
static int ask(const struct options *o, const char *method, const char *path, struct ctl_reply *reply)
{
    char error[CTL_ERROR_SIZE];
    json_t *json;
    const char *sentence;

    if (ctl_ask(o->address, method, path, reply, error) != 0)
        return fail(error);
    if (reply->status >= 200 && reply->status < 300)
        return EXIT_FINE;
    if (o->json)
        fputs(reply->body, stdout);
    json = json_loadb(reply->body, reply->length, 0, NULL);
    sentence = json_string_value(json_object_get(json, "error"));
    if (sentence)
        fprintf(stderr, "carpoolctl: %s\n", sentence);
    else
        fprintf(stderr, "carpoolctl: carpoold at %s answered %u to %s %s\n", o->address, reply->status,
                method, path);
    json_decref(json);
    free(reply->body);
    return EXIT_FAILED;
}

static bool wants_colours(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

static int print_pools(const struct options *o, bool by_agent)
{
    char error[CTL_ERROR_SIZE];
    struct pool_table table;
    struct ctl_reply reply;
    int status = ask(o, "GET", "/agents", &reply);

    if (status != EXIT_FINE)
        return status;
    if (o->json) {
        fputs(reply.body, stdout);
    } else if (pool_table_read(&table, reply.body, reply.length, by_agent, error, sizeof error)) {
        pool_table_sort_by_load(&table);
        pool_table_print(&table, stdout, by_agent, wants_colours());
        pool_table_free(&table);
    } else {
        status = fail(error);
    }
    free(reply.body);
    return status;
}

/* Commands: `argv` begins with the word itself. */

static int do_status(const struct options *o, char **argv)
{
    (void)argv;
    return print_pools(o, false);
}

static int do_agents(const struct options *o, char **argv)
{
    (void)argv;
    return print_pools(o, true);
}

static int do_top(const struct options *o, char **argv)
{
    (void)argv;
    return ctl_top(o->address);
}

/* A POST whose success is told in a sentence. */
static int post(const struct options *o, const char *path, const char *format, const char *name)
{
    struct ctl_reply reply;
    int status = ask(o, "POST", path, &reply);

    if (status != EXIT_FINE)
        return status;
    if (o->json)
        fputs(reply.body, stdout);
    else
        printf(format, name);
    free(reply.body);
    return EXIT_FINE;
}

static int do_verb(const struct options *o, char **argv)
{
    static const char *const done[][2] = {
        {"drain", "%s: free sockets are closed, active ones close when they finish\n"},
        {"pause", "%s: new requests wait now\n"},
        {"resume", "%s: requests are served again\n"},
    };
    char *path = ctl_agent_path(argv[1], argv[0]);
    int status = EXIT_FAILED;

    for (size_t i = 0; i < sizeof done / sizeof done[0]; i++) {
        if (strcmp(done[i][0], argv[0]) == 0)
            status = post(o, path, done[i][1], argv[1]);
    }
    free(path);
    return status;
}

static int do_reload(const struct options *o, char **argv)
{
    (void)argv;
    return post(o, "/reload", "%s is in force\n", "the configuration as it stands now");
}

static int do_config(const struct options *o, char **argv)
{
    struct ctl_reply reply;
    int status = ask(o, "GET", "/config", &reply);
    json_t *json;

    (void)argv;
    if (status != EXIT_FINE)
        return status;
    json = o->json ? NULL : json_loadb(reply.body, reply.length, 0, NULL);
    if (json) {
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        fputs(reply.body, stdout);
    }
    json_decref(json);
    free(reply.body);
    return EXIT_FINE;
}

static int do_version(const struct options *o, char **argv)
{
    struct ctl_reply reply;
    json_t *json;
    const char *version, *instance;
    int status;

    (void)argv;
    if (!o->json)
        puts("carpoolctl " PACKAGE_VERSION);
    status = ask(o, "GET", "/version", &reply);
    if (status != EXIT_FINE)
        return status;
    json = json_loadb(reply.body, reply.length, 0, NULL);
    version = json_string_value(json_object_get(json, "version"));
    instance = json_string_value(json_object_get(json, "instance"));
    if (o->json || !version)
        fputs(reply.body, stdout);
    else
        printf("carpoold %s (%s)\n", version, instance ? instance : "?");
    json_decref(json);
    free(reply.body);
    return EXIT_FINE;
}

static const struct command {
    const char *name;
    int (*run)(const struct options *o, char **argv);
    bool wants_name;
} commands[] = {
    {"status", do_status, false}, {"top", do_top, false},       {"agents", do_agents, false},
    {"drain", do_verb, true},     {"pause", do_verb, true},     {"resume", do_verb, true},
    {"reload", do_reload, false}, {"config", do_config, false}, {"version", do_version, false},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static int wrong_usage(const char *what, const char *word)
{
    fprintf(stderr, "carpoolctl: %s %s; carpoolctl -h tells what there is\n", what, word);
    return EXIT_USAGE;
}

/* Options up to the first word that is none. -1: go on; else the exit status. */
static int take_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"server", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "+s:jVh", longs, NULL)) != -1) {
        switch (c) {
        case 's': o->address = optarg; break;
        case 'j': o->json = true; break;
        case 'V': puts("carpoolctl " PACKAGE_VERSION); return EXIT_FINE;
        case 'h': fputs(usage_text, stdout); return EXIT_FINE;
        default: fputs("carpoolctl -h tells what there is\n", stderr); return EXIT_USAGE;
        }
    }
    return -1;
}

/* The words of a command with the options between them. -1: go on; else the exit status. */
static int take_words(int argc, char **argv, struct options *o, const struct command *command, char *words[2])
{
    int expected = command->wants_name ? 2 : 1;
    int count = 0;

    while (optind < argc) {
        int status;

        if (count == expected)
            return wrong_usage("too many words after", command->name);
        words[count++] = argv[optind++];
        status = take_options(argc, argv, o);
        if (status >= 0)
            return status;
    }
    return count < expected ? wrong_usage(command->name, "wants a NAME: carpoolctl agents tells them") : -1;
}

/* What follows it is a command of its own, options and all. */
static int take_run(int argc, char **argv, const struct options *o)
{
    optind++;
    if (optind < argc && strcmp(argv[optind], "--") == 0)
        optind++;
    return optind < argc ? ctl_run(o->address, argv + optind)
                         : wrong_usage("run", "wants a command: carpoolctl run -- COMMAND");
}

static int obey(int argc, char **argv)
{
    struct options o = {.address = CTL_DEFAULT_ADDRESS};
    const struct command *command;
    char *words[2];
    int status = take_options(argc, argv, &o);

    if (status >= 0)
        return status;
    if (optind == argc) {
        fputs(usage_text, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[optind], "run") == 0)
        return take_run(argc, argv, &o);
    command = find_command(argv[optind]);
    if (!command)
        return wrong_usage("unknown command", argv[optind]);
    status = take_words(argc, argv, &o, command, words);
    return status >= 0 ? status : command->run(&o, words);
}

int main(int argc, char **argv)
{
    ctl_output_begin();
    return ctl_output_end(obey(argc, argv));
}
