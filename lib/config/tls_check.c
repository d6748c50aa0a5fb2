/* The `tls` of each upstream, made as a connection takes it. */

#include <string.h>

#include "config/loader.h"
#include "config/tls_setup.h"

static void warn(struct loader *l, const struct scope *s, struct mark at, const char *sentence)
{
    struct text_list *list = &s->upstream->warnings;
    char **longer = arena_array(l->arena, list->count + 1, sizeof *longer);
    if (list->count)
        memcpy(longer, list->items, list->count * sizeof *longer);
    longer[list->count++] = arena_text(l->arena, sentence, strlen(sentence));
    list->items = longer;
    problem_warning(&l->problems, at, "%s: %s", s->path, sentence);
}

/* The option's value in quotes, but none that may hold a secret. */
static const char *quote(struct loader *l, const struct scope *s, const char *path)
{
    const struct option *o = option_find(SCOPE_UPSTREAM, path);
    bool is_text = o->type == OPTION_FILE || (o->type == OPTION_CIPHERS && !s->from_env[option_index(o)]);
    return is_text ? arena_format(l->arena, "'%.200s' ", *(char **)option_field(s, o)) : "";
}

static void report(struct loader *l, const struct scope *s, const struct tls_findings *f)
{
    for (int i = 0; i < f->count; i++) {
        const struct tls_finding *one = &f->items[i];
        const char *sentence = arena_format(l->arena, "%s%s", quote(l, s, one->option), one->text);
        if (one->is_error)
            problem_error(&l->problems, scope_mark(s, one->option), "%s.%s: %s", s->path, one->option,
                          sentence);
        else
            warn(l, s, scope_mark(s, one->option), arena_format(l->arena, "%s: %s", one->option, sentence));
    }
}

/* ---- a certificate and its key */

/* Reports it, but where the other one is wrong and was reported. */
static void must_have(struct loader *l, const struct scope *s, const char *option, const char *other,
                      const char *what)
{
    if (scope_failed(s, other))
        return;
    const char *path = *(char **)option_field(s, option_find(s->which, option));
    problem_error(&l->problems, scope_mark(s, option), "%s: '%.200s' needs its %s: set %s, too",
                  scope_option_path(l->arena, s, option), path, what, other);
}

static bool is_set(const struct scope *s, const char *option)
{
    return **(char **)option_field(s, option_find(s->which, option)) != '\0';
}

bool check_key_pair(struct loader *l, const struct scope *s, const char *cert, const char *key)
{
    if (is_set(s, cert) && !is_set(s, key))
        must_have(l, s, cert, key, "private key");
    if (is_set(s, key) && !is_set(s, cert))
        must_have(l, s, key, cert, "certificate");
    return is_set(s, cert) && is_set(s, key);
}

/* ---- tls of an upstream */

/* What upstreams without `tls` have for https:// URLs, too. */
void check_default_tls(struct loader *l)
{
    struct tls_findings findings = {.count = 0};
    struct tls_options *t = &l->config->default_tls;
    struct tls_dates dates;
    t->setup = tls_setups_get(l->config->tls_setups, t, &dates, &findings);
    for (int i = 0; i < findings.count; i++)
        problem_error(&l->problems, (struct mark){0}, "TLS: %s", findings.items[i].text);
}

void check_tls(struct loader *l, const struct scope *s)
{
    struct tls_options *t = &s->upstream->tls;
    struct tls_findings findings = {.count = 0};
    struct tls_dates dates;
    if (!t->enabled) {
        t->setup = l->config->default_tls.setup;
        return;
    }
    if (!t->rejectUnauthorized)
        warn(
            l, s, scope_mark(s, "tls.rejectUnauthorized"),
            "tls.rejectUnauthorized is false: anyone between here and the server can read and change what is "
            "sent; set tls.ca instead");
    check_key_pair(l, s, "tls.cert", "tls.key");
    t->setup = tls_setups_get(l->config->tls_setups, t, &dates, &findings);
    t->not_before = dates.not_before;
    t->not_after = dates.not_after;
    if (t->not_after)
        t->not_after_file = t->setup && t->setup->dates.not_after == t->not_after ? t->cert : t->ca;
    report(l, s, &findings);
}
