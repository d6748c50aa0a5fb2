#include "admin/past.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/history.h"

#define KEY_SIZE 1024

void past_free(struct past_table *t, struct past *p)
{
    t->origin_count -= p->is_origin;
    HASH_DEL(t->first, p); /* NOLINT(clang-analyzer-unix.Malloc): the last one empties the table */
    free(p->minutes);
    free(p);
}

void past_free_all(struct past_table *t)
{
    struct past *p, *next;

    PAST_FOREACH (t, p, next)
        past_free(t, p);
}

/* NULL when the names are too long to be worth it. */
static const char *key_of(const struct agent *a, const struct origin *o, char out[KEY_SIZE])
{
    int n = snprintf(out, KEY_SIZE, "%s\n%s", a->name, o ? o->key : "");

    return n > 0 && n < KEY_SIZE ? out : NULL;
}

static struct past *find_named(const struct past_table *t, const char *key)
{
    struct past *p = NULL;

    if (key)
        HASH_FIND_STR(t->first, key, p);
    return p;
}

struct past *past_find(const struct past_table *t, const struct agent *a, const struct origin *o)
{
    char buffer[KEY_SIZE];
    struct past *p = find_named(t, key_of(a, o, buffer));

    return p && p->added_ms == a->added_ms ? p : NULL;
}

/* Makes room for one more origin. */
static void forget_quietest(struct past_table *t)
{
    struct past *p, *next, *quietest = NULL;

    PAST_FOREACH (t, p, next)
        if (p->is_origin && (!quietest || p->looked_ms < quietest->looked_ms))
            quietest = p;
    if (quietest)
        past_free(t, quietest);
}

struct past *past_make(struct past_table *t, const struct agent *a, const struct origin *o)
{
    char buffer[KEY_SIZE];
    const char *key = key_of(a, o, buffer);
    struct past *p = find_named(t, key); /* of an earlier agent of this name */

    if (p)
        past_free(t, p);
    if (o && t->origin_count >= HISTORY_ORIGINS)
        forget_quietest(t);
    p = key ? calloc(1, sizeof *p + strlen(key) + 1) : NULL;
    if (!p)
        return NULL;
    memcpy(p->key, key, strlen(key) + 1);
    HASH_ADD_STR(t->first, key, p);
    if (!p->hh.tbl) {
        free(p);
        return NULL;
    }
    tenure_begin(&p->tenure, a->policy, 0, &p->running);
    p->added_ms = a->added_ms;
    p->is_origin = o != NULL;
    t->origin_count += p->is_origin;
    return p;
}
