#include "config/allow.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"

#define PASSWD_SIZE (16 * 1024)

void allow_set(struct loader *l, struct allow_list *list, const struct item *items, uint32_t count)
{
    *list = (struct allow_list){.items = arena_array(l->arena, count, sizeof *list->items), .count = count};
    for (uint32_t i = 0; i < count; i++)
        list->items[i] = (struct allowed){.name = items[i].text};
}

/* "uid:1000" */
static bool parse_uid(const char *text, uint32_t *uid)
{
    static const char prefix[] = "uid:";
    const char *digits = text + sizeof prefix - 1;
    if (strncmp(text, prefix, sizeof prefix - 1) != 0 || !*digits || strlen(digits) > 10 ||
        strspn(digits, "0123456789") != strlen(digits))
        return false;
    unsigned long long value = strtoull(digits, NULL, 10);
    *uid = (uint32_t)value;
    return value < UINT32_MAX;
}

static bool find_uid(const char *name, uint32_t *uid)
{
    struct passwd entry, *found = NULL;
    char room[PASSWD_SIZE];
    if (getpwnam_r(name, &entry, room, sizeof room, &found) != 0 || !found)
        return false;
    *uid = found->pw_uid;
    return true;
}

/* What a caller without a user or unit is called: "-", or the address of another host. */
static bool is_nobody(const char *name)
{
    struct address a;
    return strcmp(name, "-") == 0 || address_from_ip(&a, slice_of(name), 0);
}

static bool is_unit(const char *name)
{
    static const char *const kinds[] = {".service", ".scope", ".slice"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t kind = strlen(kinds[i]);
        if (n > kind && strcmp(name + n - kind, kinds[i]) == 0)
            return true;
    }
    return false;
}

static void check_user(struct loader *l, const struct scope *s, struct allowed *a)
{
    a->is_user = parse_uid(a->name, &a->uid) || find_uid(a->name, &a->uid);
    if (!a->is_user)
        problem_error(&l->problems, scope_mark(s, "allow"),
                      "%s.allow: there is no user '%s'; name one of this host, or write uid:NUMBER%s",
                      s->path, a->name, is_unit(a->name) ? "; for units, set callers: unit" : "");
}

static void check_unit(struct loader *l, const struct scope *s, const struct allowed *a)
{
    if (!is_unit(a->name))
        problem_warning(
            &l->problems, scope_mark(s, "allow"),
            "%s.allow: '%s' cannot be a caller with callers: unit: units end in .service, .scope or .slice",
            s->path, a->name);
}

static void check_allow(struct loader *l, const struct scope *s)
{
    const struct allow_list *list = &s->policy->allow;
    for (uint32_t i = 0; i < list->count; i++) {
        struct allowed *a = &list->items[i];
        if (is_nobody(a->name))
            continue;
        if (l->config->callers == CALLERS_USER)
            check_user(l, s, a);
        else
            check_unit(l, s, a);
    }
}

void callers_check(struct loader *l, const struct scope *s)
{
    const struct agent_policy *p = s->policy;
    bool off = l->config->callers == CALLERS_OFF;
    if (off && scope_given(s, "queue") && p->queue == QUEUE_FAIR)
        problem_error(&l->problems, scope_mark(s, "queue"),
                      "%s.queue: fair needs callers: user or callers: unit (it is off)", s->path);
    if (off && scope_given(s, "allow") && p->allow.count)
        problem_error(&l->problems, scope_mark(s, "allow"),
                      "%s.allow needs callers: user or callers: unit (it is off)", s->path);
    else if (!off && scope_given(s, "allow"))
        check_allow(l, s);
}
