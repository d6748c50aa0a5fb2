#include "cmd/ctl_command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/ctl_output.h"
#include "config/suggest.h"

#define FILE_MAX_SIZE (16 * 1024 * 1024)

int ctl_fail(const char *format, ...)
{
    va_list args;

    fputs("carpoolctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    putc('\n', stderr);
    return CTL_FAILED;
}

static void print_if_json(const struct ctl_options *o, const struct ctl_reply *reply)
{
    if (o->json)
        fputs(reply->body, stdout);
}

/* An answer that is no success. */
static int print_failure(const struct ctl_options *o, const char *method, const char *path,
                         const struct ctl_reply *reply)
{
    json_t *json = json_loadb(reply->body, reply->length, 0, NULL);
    const char *sentence = json_string_value(json_object_get(json, "error"));

    print_if_json(o, reply);
    if (sentence)
        ctl_fail("%s", sentence);
    else
        ctl_fail(
            "%s is not Carpool's admin listener: it answered %u to %s %s; give the address of admin.listen "
            "(" CTL_DEFAULT_ADDRESS " by default) with -s",
            o->address, reply->status, method, path);
    json_decref(json);
    return CTL_FAILED;
}

static bool is_success(const struct ctl_reply *reply)
{
    return reply->status >= 200 && reply->status < 300;
}

int ctl_request(const struct ctl_options *o, const char *method, const char *path, struct ctl_reply *reply)
{
    char error[CTL_ERROR_SIZE];
    int status;

    if (ctl_ask(o->address, method, path, reply, error) != 0)
        return ctl_fail("%s", error);
    if (is_success(reply))
        return CTL_FINE;
    status = print_failure(o, method, path, reply);
    free(reply->body);
    return status;
}

/* "there is no agent 'paymets', did you mean 'payments'? There are: default, payments" */
static void print_names(const char *name, const json_t *agents)
{
    size_t count = 0;
    const char **names = ctl_need(calloc(json_array_size(agents) + 1, sizeof *names));

    for (size_t i = 0; i < json_array_size(agents); i++) {
        const json_t *agent = json_array_get(agents, i);
        names[count] = json_string_value(json_object_get(agent, "name"));
        count += names[count] && !json_is_true(json_object_get(agent, "removed"));
    }
    const char *meant = suggest(name, names, count);
    fprintf(stderr, "carpoolctl: there is no agent '%s'%s%s%s There are:", name,
            meant ? ", did you mean '" : ".", meant ? meant : "", meant ? "'?" : "");
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", names[i]);
    putc('\n', stderr);
    free(names);
}

static bool was_removed(const char *name, const json_t *agents)
{
    for (size_t i = 0; i < json_array_size(agents); i++) {
        const json_t *agent = json_array_get(agents, i);
        const char *other = json_string_value(json_object_get(agent, "name"));
        if (json_is_true(json_object_get(agent, "removed")) && other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

static int print_no_such_agent(const struct ctl_options *o, const char *name, const struct ctl_reply *refusal)
{
    struct ctl_reply reply;
    int status = ctl_request(o, "GET", "/agents", &reply);
    json_t *json = status == CTL_FINE ? json_loadb(reply.body, reply.length, 0, NULL) : NULL;
    const json_t *agents = json_object_get(json, "agents");

    print_if_json(o, refusal);
    if (was_removed(name, agents))
        ctl_fail("a reload removed the agent '%s': its last requests and connections end by themselves",
                 name);
    else
        print_names(name, agents);
    json_decref(json);
    if (status == CTL_FINE)
        free(reply.body);
    return CTL_FAILED;
}

int ctl_request_agent(const struct ctl_options *o, const char *method, const char *name, const char *verb,
                      struct ctl_reply *reply)
{
    char *path = ctl_agent_path(name, verb);
    char error[CTL_ERROR_SIZE];
    int status = CTL_FINE;

    if (ctl_ask(o->address, method, path, reply, error) != 0) {
        status = ctl_fail("%s", error);
    } else if (!is_success(reply)) {
        status = reply->status == 404 ? print_no_such_agent(o, name, reply)
                                      : print_failure(o, method, path, reply);
        free(reply->body);
    }
    free(path);
    return status;
}

int ctl_print_json(struct ctl_reply *reply)
{
    fputs(reply->body, stdout);
    free(reply->body);
    return CTL_FINE;
}

int ctl_show(const struct ctl_options *o, const char *path, struct ctl_reply *reply, ctl_print *print)
{
    if (o->json)
        return ctl_print_json(reply);
    json_t *answer = json_loadb(reply->body, reply->length, 0, NULL);
    int status = print(o, answer);
    free(reply->body);
    json_decref(answer);
    return status == CTL_STRANGE ? ctl_fail("the answer to %s is not an answer of carpoold", path) : status;
}

int ctl_get(const struct ctl_options *o, const char *path, ctl_print *print)
{
    struct ctl_reply reply;
    int status = ctl_request(o, "GET", path, &reply);

    return status == CTL_FINE ? ctl_show(o, path, &reply, print) : status;
}

int ctl_ask_agent(const struct ctl_options *o, const char *method, const char *name, const char *verb,
                  ctl_print *print)
{
    struct ctl_reply reply;
    int status = ctl_request_agent(o, method, name, verb, &reply);
    char *path = ctl_agent_path(name, verb);

    if (status == CTL_FINE)
        status = ctl_show(o, path, &reply, print);
    free(path);
    return status;
}

char *ctl_read_file(const char *path, size_t *n)
{
    char *text = NULL, block[4096];
    FILE *to = ctl_need(open_memstream(&text, n)), *from = fopen(path, "re");
    size_t left = FILE_MAX_SIZE, got;
    bool good;

    while (from && left > 0 && (got = fread(block, 1, sizeof block, from)) > 0) {
        fwrite(block, 1, got, to);
        left -= got;
    }
    if (left == 0)
        errno = EFBIG;
    good = from && left > 0 && !ferror(from);
    if (!good)
        ctl_fail("cannot read %s: %s", path, strerror(errno));
    if (from)
        fclose(from);
    if (fclose(to) != 0)
        ctl_need(NULL);
    if (good)
        return text;
    free(text);
    return NULL;
}

bool ctl_wants_colours(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

size_t ctl_columns(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
