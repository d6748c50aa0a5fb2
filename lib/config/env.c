#include "config/env.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct output {
    struct arena *arena;
    char *text;
    size_t length, room;
};

static bool put(struct output *o, const char *text, size_t n)
{
    if (o->length + n > ENV_MAX_VALUE)
        return false;
    if (o->length + n > o->room) {
        size_t room = 2 * (o->length + n);
        char *bigger = arena_alloc(o->arena, room + 1);
        if (o->length)
            memcpy(bigger, o->text, o->length);
        o->text = bigger;
        o->room = room;
    }
    memcpy(o->text + o->length, text, n);
    o->length += n;
    o->text[o->length] = 0;
    return true;
}

static size_t name_length(const char *p)
{
    size_t n = 0;
    if (isdigit((unsigned char)*p))
        return 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_')
        n++;
    return n;
}

static const char *put_default(struct output *o, const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p == '$' && p + 1 < end && p[1] == '$')
            p++;
        else if (*p == '$')
            return "a '$' inside the default of ${NAME:-default} is written '$$'; variables do not nest";
        if (!put(o, p, 1))
            return "the value is too long with its variables replaced (at most 64 KiB)";
    }
    return NULL;
}

/* p follows "${"; leaves it after "}" */
static const char *put_variable(struct output *o, const char **p)
{
    size_t n = name_length(*p);
    const char *rest = *p + n;
    const char *end = strchr(rest, '}');
    bool has_default = rest[0] == ':' && rest[1] == '-';
    if (!n || !end || (!has_default && rest != end))
        return "a variable is written ${NAME} or ${NAME:-default} (a dollar by itself: $$)";
    char *name = arena_text(o->arena, *p, n);
    const char *value = getenv(name);
    *p = end + 1;
    if (has_default && (!value || !*value))
        return put_default(o, rest + 2, end);
    if (!value)
        return arena_format(
            o->arena, "the environment variable %s is not set; set it, or write ${%s:-default} to go without",
            name, name);
    if (!utf8_is_text(value))
        return arena_format(
            o->arena,
            "the environment variable %s holds a line end or another control character, or no "
            "valid UTF-8%s",
            name, strstr(value, "-----BEGIN ") ? "; name a file, not what is in it" : "");
    if (!put(o, value, strlen(value)))
        return arena_format(o->arena, "the value is too long with %s replaced (at most 64 KiB)", name);
    return NULL;
}

char *env_expand(struct arena *a, char *text, bool *from_env, const char **complaint)
{
    if (!strchr(text, '$'))
        return text;
    struct output o = {.arena = a, .text = arena_text(a, "", 0)};
    for (const char *p = text; *p;) {
        if (p[0] == '$' && p[1] == '{') {
            p += 2;
            *from_env = true;
            *complaint = put_variable(&o, &p);
        } else if (p[0] == '$' && p[1] == '$') {
            *complaint = put(&o, "$", 1) ? NULL : "the value is too long (at most 64 KiB)";
            p += 2;
        } else if (p[0] == '$') {
            *complaint = "a dollar by itself is written $$, a variable ${NAME}";
        } else {
            size_t n = strcspn(p, "$");
            *complaint = put(&o, p, n) ? NULL : "the value is too long (at most 64 KiB)";
            p += n;
        }
        if (*complaint)
            return NULL;
    }
    return o.text;
}
