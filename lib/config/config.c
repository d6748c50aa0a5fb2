#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca/signer.h"
#include "config/loader.h"
#include "config/match.h"
#include "config/tls_setup.h"
#include "config/yaml.h"

#define FILE_MAX_SIZE (1024u * 1024)

static const char built_in[] = "carpoold";

/* The folder of `path`, absolute, so that a relative name still means the same file after a change of
 * directory. */
static const char *directory_of(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (path[0] == '/')
        return n ? arena_text(a, path, n) : "";
    char *here = getcwd(NULL, 0);
    const char *whole =
        here ? arena_format(a, "%s%s%.*s", strcmp(here, "/") ? here : "", n ? "/" : "", (int)n, path) : ".";
    free(here);
    return whole;
}

static void override_listen(struct loader *l, const struct text_list *addresses)
{
    struct item *items = arena_array(l->arena, addresses->count, sizeof *items);
    for (uint32_t i = 0; i < addresses->count; i++) {
        char *text = arena_text(l->arena, addresses->items[i], strlen(addresses->items[i]));
        items[i] = (struct item){.text = text, .raw = text, .at = MARK_COMMAND_LINE};
    }
    value_set(l, &l->top, option_find(SCOPE_TOP, "listen"), items, addresses->count);
    l->config->from_env[option_index(option_find(SCOPE_TOP, "listen"))] = false;
}

/* What a reload cannot change stays as it runs, and what the file has otherwise is noted. */
static void keep_until_restart(struct loader *l, const struct config *running)
{
    struct config *c = l->config;
    char **needed = arena_array(l->arena, 2, sizeof *needed);
    c->restart_needed.items = needed;
    if (c->workers != running->workers)
        needed[c->restart_needed.count++] = arena_text(l->arena, "workers", strlen("workers"));
    if (strcmp(c->name, running->name) != 0)
        needed[c->restart_needed.count++] = arena_text(l->arena, "name", strlen("name"));
    c->workers = running->workers;
    c->name = arena_text(l->arena, running->name, strlen(running->name));
}

static void check_beside(struct loader *l, const struct config *running)
{
    if (running->has_keys && !l->config->has_keys)
        problem_error(
            &l->problems, (struct mark){0},
            "the file sets no option, but the configuration in force does; if the file is still being "
            "written, reload again when it is complete");
    keep_until_restart(l, running);
}

/* Where a configuration comes from. */
struct source {
    const char *path;  /* NULL: built-in defaults */
    bool on_this_host; /* which is looked at, too */
    const struct text_list *listen;
    const struct config *running; /* NULL: not beside another one */
    const bool *cancelled;        /* atomic; NULL: never */
};

static void read_and_check(struct loader *l, struct slice text, const struct source *from)
{
    l->config->refs = 1;
    l->config->arena = l->arena;
    l->config->path = arena_text(l->arena, from->path ? from->path : "", from->path ? strlen(from->path) : 0);
    l->problems.file = from->path ? l->config->path : built_in;
    l->directory = directory_of(l->arena, from->path ? from->path : "");
    load_defaults(l);
    bool is_whole = load_text(l, text);
    if (from->listen && from->listen->count)
        override_listen(l, from->listen);
    if (is_whole)
        check_config(l);
    if (is_whole && from->on_this_host)
        check_log_file(l);
    if (is_whole && from->running)
        check_beside(l, from->running);
}

/* The places where the arena jumps to when memory is short. They have no variables of their own that the
 * jump could spoil. */
static bool try_to_begin(struct loader *l, const struct source *from, jmp_buf *failure)
{
    if (setjmp(*failure))
        return false;
    l->config = arena_alloc(l->arena, sizeof *l->config);
    l->config->tls_setups = tls_setups_new(from->running ? from->running->tls_setups : NULL);
    return l->config->tls_setups != NULL;
}

static bool try_to_read(struct loader *l, struct slice text, const struct source *from, jmp_buf *failure)
{
    if (setjmp(*failure))
        return false;
    read_and_check(l, text, from);
    return true;
}

static bool try_to_print(struct loader *l, FILE *errors, jmp_buf *failure)
{
    if (setjmp(*failure))
        return false;
    if (errors)
        problems_print(&l->problems, errors);
    return true;
}

static struct config *complain(FILE *errors, const char *path, const char *what, const char *why)
{
    if (errors)
        fprintf(errors, "%s: error: %s%s%s\n", path, what, why ? ": " : "", why ? why : "");
    return NULL;
}

/* Frees everything, when it fails. */
static struct config *finish(struct loader *l, bool whole, const char *path, FILE *errors)
{
    if (l->config && l->config->tls_setups)
        tls_setups_close_files(l->config->tls_setups);
    if (whole && l->config && !l->problems.errors) {
        l->config->match_index = match_index_new(l->config);
        if (l->config->match_index)
            return l->config;
        whole = false;
    }
    if (!whole)
        complain(errors, path ? path : built_in, "out of memory", NULL);
    if (l->config) {
        tls_setups_free(l->config->tls_setups);
        signer_unref(l->config->connectTls.signer);
    }
    arena_free(l->arena);
    return NULL;
}

static struct config *parse(struct slice text, const struct source *from, FILE *errors)
{
    jmp_buf failure;
    struct yaml_text yaml = {.has_parser = false};
    struct arena *arena = arena_new();
    struct loader l = {.arena = arena,
                       .problems = {.arena = arena},
                       .yaml = &yaml,
                       .on_this_host = from->on_this_host,
                       .running = from->running,
                       .cancelled = from->cancelled};
    bool whole = false;
    if (arena) {
        arena->on_failure = &failure;
        whole = try_to_begin(&l, from, &failure) && try_to_read(&l, text, from, &failure) &&
                try_to_print(&l, errors, &failure);
        arena->on_failure = NULL;
    }
    yaml_text_free(&yaml);
    return finish(&l, whole, from->path, errors);
}

struct config *config_parse(struct slice text, const char *path, const struct text_list *listen_override,
                            FILE *errors)
{
    return parse(text, &(struct source){.path = path, .listen = listen_override}, errors);
}

/* Whole, or -1 with errno; FILE_MAX_SIZE + 1 bytes mean that there is more. */
static ssize_t read_whole(int fd, char *to)
{
    size_t length = 0;
    while (length <= FILE_MAX_SIZE) {
        ssize_t n = read(fd, to + length, FILE_MAX_SIZE + 1 - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

/* A start may read a pipe, as a shell makes one; a reload would wait for the program that writes into it. */
static const char *refuse_kind(int fd, bool is_reload)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerror(errno);
    return is_reload && !S_ISREG(st.st_mode) ? "it is no longer a regular file" : NULL;
}

static struct config *load_open(int fd, const struct source *from, FILE *errors)
{
    const char *why = refuse_kind(fd, from->running);
    if (why)
        return complain(errors, from->path, "cannot read the configuration file", why);
    char *text = malloc(FILE_MAX_SIZE + 1);
    if (!text)
        return complain(errors, from->path, "out of memory", NULL);
    struct config *c = NULL;
    ssize_t n = read_whole(fd, text);
    if (n < 0)
        complain(errors, from->path, "cannot read the configuration file", strerror(errno));
    else if ((size_t)n > FILE_MAX_SIZE)
        complain(errors, from->path, "the configuration file is larger than 1 MiB", NULL);
    else
        c = parse((struct slice){text, (size_t)n}, from, errors);
    free(text);
    return c;
}

static struct config *load(const struct source *from, FILE *errors)
{
    if (!from->path)
        return parse(SLICE(""), from, errors);
    int fd = open(from->path, O_RDONLY | O_CLOEXEC | (from->running ? O_NONBLOCK : 0));
    if (fd < 0)
        return complain(errors, from->path, "cannot open the configuration file", strerror(errno));
    struct config *c = load_open(fd, from, errors);
    close(fd);
    return c;
}

struct config *config_load(const char *path, const struct text_list *listen_override, FILE *errors)
{
    return load(&(struct source){.path = path, .listen = listen_override}, errors);
}

struct config *config_test(const char *path, const struct text_list *listen_override, FILE *errors)
{
    return load(&(struct source){.path = path, .listen = listen_override, .on_this_host = true}, errors);
}

struct config *config_reload(const struct config *running, const struct text_list *listen_override,
                             const bool *cancelled, FILE *errors)
{
    const char *path = *running->path ? running->path : NULL;
    const struct source from = {
        .path = path, .listen = listen_override, .running = running, .cancelled = cancelled};
    return load(&from, errors);
}

const char *config_origin(const struct config *c, const struct listen_address *a)
{
    if (a->line == MARK_COMMAND_LINE.line && a->column == MARK_COMMAND_LINE.column)
        return "command line";
    return *c->path ? c->path : built_in;
}

struct config *config_ref(struct config *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

bool config_is_shared(const struct config *c)
{
    return __atomic_load_n(&c->refs, __ATOMIC_ACQUIRE) > 1;
}

void config_unref(struct config *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    match_index_free(c->match_index);
    tls_setups_free(c->tls_setups);
    signer_unref(c->connectTls.signer);
    arena_free(c->arena);
}
