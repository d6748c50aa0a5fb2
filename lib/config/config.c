#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/loader.h"
#include "config/match.h"
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

static void read_and_check(struct loader *l, struct slice text, const char *path,
                           const struct text_list *listen)
{
    l->config = arena_alloc(l->arena, sizeof *l->config);
    l->config->refs = 1;
    l->config->arena = l->arena;
    l->config->path = arena_text(l->arena, path ? path : "", path ? strlen(path) : 0);
    l->problems.file = path ? l->config->path : built_in;
    l->directory = directory_of(l->arena, path ? path : "");
    load_defaults(l);
    bool is_whole = load_text(l, text);
    if (listen && listen->count)
        override_listen(l, listen);
    if (is_whole)
        check_config(l);
}

/* The two places where the arena jumps to when memory is short. They have no variables of their own that the
 * jump could spoil. */
static bool try_to_read(struct loader *l, struct slice text, const char *path, const struct text_list *listen,
                        jmp_buf *failure)
{
    if (setjmp(*failure))
        return false;
    read_and_check(l, text, path, listen);
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

static struct config *parse(struct slice text, const char *path, const struct text_list *listen_override,
                            bool on_this_host, FILE *errors)
{
    jmp_buf failure;
    struct yaml_text yaml = {.has_parser = false};
    struct arena *arena = arena_new();
    struct loader l = {
        .arena = arena, .problems = {.arena = arena}, .yaml = &yaml, .on_this_host = on_this_host};
    bool whole = false;
    if (arena) {
        arena->on_failure = &failure;
        whole = try_to_read(&l, text, path, listen_override, &failure) && try_to_print(&l, errors, &failure);
        arena->on_failure = NULL;
    }
    yaml_text_free(&yaml);
    if (whole && !l.problems.errors) {
        l.config->match_index = match_index_new(l.config);
        if (l.config->match_index)
            return l.config;
        whole = false;
    }
    if (!whole)
        complain(errors, path ? path : built_in, "out of memory", NULL);
    arena_free(arena);
    return NULL;
}

struct config *config_parse(struct slice text, const char *path, const struct text_list *listen_override,
                            FILE *errors)
{
    return parse(text, path, listen_override, false, errors);
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

static struct config *load(const char *path, const struct text_list *listen_override, bool on_this_host,
                           FILE *errors)
{
    if (!path)
        return parse(SLICE(""), NULL, listen_override, on_this_host, errors);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return complain(errors, path, "cannot open the configuration file", strerror(errno));
    char *text = malloc(FILE_MAX_SIZE + 1);
    ssize_t n = text ? read_whole(fd, text) : -1;
    int saved = errno;
    struct config *c = NULL;
    close(fd);
    if (!text)
        complain(errors, path, "out of memory", NULL);
    else if (n < 0)
        complain(errors, path, "cannot read the configuration file", strerror(saved));
    else if ((size_t)n > FILE_MAX_SIZE)
        complain(errors, path, "the configuration file is larger than 1 MiB", NULL);
    else
        c = parse((struct slice){text, (size_t)n}, path, listen_override, on_this_host, errors);
    free(text);
    return c;
}

struct config *config_load(const char *path, const struct text_list *listen_override, FILE *errors)
{
    return load(path, listen_override, false, errors);
}

struct config *config_test(const char *path, const struct text_list *listen_override, FILE *errors)
{
    return load(path, listen_override, true, errors);
}

struct config *config_ref(struct config *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void config_unref(struct config *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    match_index_free(c->match_index);
    arena_free(c->arena);
}
