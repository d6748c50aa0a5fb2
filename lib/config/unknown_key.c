/* A key that is no option where it stands: what it probably means, or which there are. */

#include <string.h>

#include "config/loader.h"
#include "config/suggest.h"

/* What Node's agents call otherwise */
static const struct {
    const char *theirs, *ours, *whose;
} foreign_names[] = {
    {"timeout", "timeouts.socket", "Node's name"},
    {"freeSocketTimeout", "timeouts.free", "agentkeepalive's name"},
    {"socketActiveTTL", "maxSocketAge", "agentkeepalive's name"},
};

static bool tell_foreign(struct loader *l, const struct scope *s, const char *prefix, const char *key,
                         struct mark at)
{
    bool could_be_policy = (s->which & SCOPE_POLICY) || !*prefix;
    for (size_t i = 0; could_be_policy && i < sizeof foreign_names / sizeof foreign_names[0]; i++) {
        if (strcmp(key, foreign_names[i].theirs) != 0)
            continue;
        problem_error(&l->problems, at, "unknown key '%s'%s: that is %s; here it is '%s'%s", key,
                      scope_section(l, s, prefix), foreign_names[i].whose, foreign_names[i].ours,
                      (s->which & SCOPE_POLICY) ? "" : ", in 'defaults' or an upstream");
        return true;
    }
    return false;
}

/* The names that may stand in a section, without doubles next to each other; returns how many. */
static size_t section_names(struct loader *l, const struct scope *s, const char *prefix, const char **names)
{
    size_t n = 0, length = strlen(prefix);
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        if (!(o->scope & s->which) || strncmp(o->path, prefix, length) != 0)
            continue;
        names[n++] = arena_text(l->arena, o->path + length, strcspn(o->path + length, "."));
    }
    if ((s->which & SCOPE_TOP) && !*prefix) {
        names[n++] = OPTION_DEFAULTS;
        names[n++] = OPTION_UPSTREAMS;
    }
    return n;
}

/* Where an option stands, as seen from this scope, from a section of it whole; NULL: nowhere that helps. */
static const char *place_of(struct loader *l, const struct scope *s, const char *prefix,
                            const struct option *o)
{
    if (o->scope & s->which)
        return *prefix ? scope_option_path(l->arena, s, o->path) : o->path;
    if (o->scope == SCOPE_UPSTREAM)
        return arena_format(l->arena, OPTION_UPSTREAMS ".NAME.%s", o->path);
    return (s->which & SCOPE_TOP) ? arena_format(l->arena, OPTION_DEFAULTS ".%s", o->path) : NULL;
}

/* A key that is right elsewhere: 'timeouts.connect' for 'connect', 'defaults.maxSockets' at the top; a
 * section too. */
static const char *elsewhere(struct loader *l, const struct scope *s, const char *prefix, const char *key)
{
    const char **names = arena_array(l->arena, 2 * option_count, sizeof *names);
    const char **places = arena_array(l->arena, 2 * option_count, sizeof *places);
    size_t n = 0;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        const char *place = place_of(l, s, prefix, o), *dot = strrchr(o->path, '.');
        if (!place)
            continue;
        names[n] = option_key(o);
        places[n++] = place;
        if (!dot)
            continue;
        names[n] = arena_text(l->arena, o->path, (size_t)(dot - o->path));
        places[n++] = arena_text(l->arena, place, strlen(place) - strlen(dot));
    }
    const char *near = suggest(key, names, n);
    for (size_t i = 0; near && i < n; i++)
        if (names[i] == near)
            return places[i];
    return NULL;
}

#define KEYS_LISTED 16

/* "; there are level, format" of a small section. */
static const char *keys_there(struct loader *l, const char **names, size_t n)
{
    const char *list = "";
    for (size_t i = 0; n <= KEYS_LISTED && i < n; i++)
        list = arena_format(l->arena, "%s%s%s", list, i ? ", " : "; there are ", names[i]);
    return list;
}

void tell_unknown_key(struct loader *l, const struct scope *s, const char *prefix, const char *key,
                      struct mark at, bool is_value)
{
    if (is_value && tell_foreign(l, s, prefix, key, at))
        return;
    const char **names = arena_array(l->arena, option_count + 2, sizeof *names);
    size_t n = section_names(l, s, prefix, names);
    const char *near = suggest(key, names, n), *end = near ? "'?)" : "";
    if (!near && (near = elsewhere(l, s, prefix, key)))
        end = *prefix && !strchr(near, '.') ? "', at the top?)" : "'?)";
    problem_error(&l->problems, at, "unknown key '%.*s'%s%s%s%s%s", QUOTED_MAX, key,
                  scope_section(l, s, prefix), near ? " (did you mean '" : "",
                  near ? near : keys_there(l, names, n), end,
                  strchr(key, ':') ? "; a space must follow the colon" : "");
}
