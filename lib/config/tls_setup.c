#include "config/tls_setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/tls_build.h"

struct tls_setups {
    const struct tls_setups *running; /* NULL once the files are closed */
    struct tls_file *files;
    struct tls_trust **trusts;
    struct tls_setup **setups;
    uint32_t trust_count, setup_count;
};

/* A wrong clock at boot must not stop an upstream, so this is a warning. */
static void warn_of_dates(struct tls_findings *f, const char *option, const struct tls_dates *d)
{
    int64_t now = time(NULL);
    if (d->not_after && now > d->not_after)
        tls_find(f, option, false,
                 "holds a certificate that has expired: %s; renew it, or set the clock right", d->oldest);
    else if (d->not_before && now < d->not_before)
        tls_find(f, option, false,
                 "holds a certificate that is not valid yet: %s; renew it, or set the clock right",
                 d->youngest);
}

/* Room for one more in a list of pointers. NULL, and reported, when memory is short. */
static void *lengthen(void *list, uint32_t count, struct tls_findings *f)
{
    void *longer = reallocarray(list, (size_t)count + 1, sizeof(void *));
    if (!longer)
        tls_find(f, "tls", true, "cannot be set up: out of memory");
    return longer;
}

/* ---- trust */

static struct tls_trust *find_trust(const struct tls_setups *all, const char *key)
{
    for (uint32_t i = 0; all && i < all->trust_count; i++)
        if (strcmp(all->trusts[i]->key, key) == 0)
            return all->trusts[i];
    return NULL;
}

/* Takes the reference over. NULL, and reported, when memory is short. */
static struct tls_trust *keep_trust(struct tls_setups *all, struct tls_trust *t, struct tls_findings *f)
{
    struct tls_trust **longer = lengthen(all->trusts, all->trust_count, f);
    if (!longer) {
        tls_trust_unref(t);
        return NULL;
    }
    all->trusts = longer;
    return all->trusts[all->trust_count++] = t;
}

/* The system's store as it is now. Where the one in force is in use, this one will be, too: reading it would
 * hold up a loop. */
static struct tls_trust *trust_of_system(const struct tls_setups *running, const char *key)
{
    struct tls_trust *t = tls_trust_of_system(key);
    for (uint32_t i = 0; t && running && i < running->trust_count; i++)
        if (tls_trust_is_in_use(running->trusts[i]))
            tls_trust_read_system(t->store);
    return t;
}

/* `ca`: NULL for the system's. NULL with an error among the findings. */
static struct tls_trust *trust_of(struct tls_setups *all, struct tls_file *ca, struct tls_findings *f)
{
    char key[TLS_DIGEST_SIZE];
    if (ca)
        memcpy(key, ca->digest, sizeof key);
    else
        tls_trust_system_key(key);
    struct tls_trust *t = find_trust(all, key);
    if (t)
        return t;
    t = find_trust(all->running, key);
    if (t)
        return keep_trust(all, tls_trust_ref(t), f);
    t = ca ? tls_trust_parse(ca) : trust_of_system(all->running, key);
    if (t)
        return keep_trust(all, t, f);
    if (ca)
        tls_find(f, "tls.ca", true, "%s", ca->broken);
    else
        tls_find(f, "tls", true, "cannot be set up: out of memory");
    return NULL;
}

/* ---- all of them */

struct tls_setups *tls_setups_new(const struct tls_setups *running)
{
    struct tls_setups *all = calloc(1, sizeof *all);
    if (all)
        all->running = running;
    return all;
}

void tls_setups_close_files(struct tls_setups *all)
{
    tls_files_free(&all->files);
    all->running = NULL;
}

void tls_setups_free(struct tls_setups *all)
{
    if (!all)
        return;
    tls_setups_close_files(all);
    for (uint32_t i = 0; i < all->setup_count; i++)
        tls_setup_unref(all->setups[i]);
    for (uint32_t i = 0; i < all->trust_count; i++)
        tls_trust_unref(all->trusts[i]);
    free(all->setups);
    free(all->trusts);
    free(all);
}

static struct tls_setup *find_setup(const struct tls_setups *all, const char *key,
                                    const struct tls_trust *trust)
{
    for (uint32_t i = 0; all && i < all->setup_count; i++)
        if (all->setups[i]->trust == trust && strcmp(all->setups[i]->key, key) == 0)
            return all->setups[i];
    return NULL;
}

/* Takes the reference over. NULL, and reported, when memory is short. */
static struct tls_setup *keep_setup(struct tls_setups *all, struct tls_setup *s, struct tls_findings *f)
{
    struct tls_setup **longer = lengthen(all->setups, all->setup_count, f);
    if (!longer) {
        tls_setup_unref(s);
        return NULL;
    }
    all->setups = longer;
    return all->setups[all->setup_count++] = s;
}

static bool make_key(const struct tls_draft *d, char key[TLS_DIGEST_SIZE])
{
    const struct tls_options *o = d->options;
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%d %d %d %d", o->minVersion, o->rejectUnauthorized, o->sessionReuse,
             o->legacyServerConnect);
    const char *texts[] = {d->passphrase.p ? d->passphrase.p : "",
                           d->ca ? d->ca->digest : "",
                           d->cert ? d->cert->digest : "",
                           d->key ? d->key->digest : "",
                           o->ciphers,
                           numbers};
    size_t lengths[sizeof texts / sizeof texts[0]] = {d->passphrase.n};
    int count = sizeof texts / sizeof texts[0];
    for (int i = 1; i < count; i++)
        lengths[i] = strlen(texts[i]);
    return tls_digest(texts, lengths, count, key);
}

static struct tls_file *read_file(struct tls_setups *all, const char *option, const char *path,
                                  struct tls_findings *f)
{
    if (!*path)
        return NULL;
    struct tls_file *file = tls_file_read(&all->files, path);
    if (file && file->text)
        return file;
    tls_find(f, option, true, "cannot be read: %s", file ? file->why : "out of memory");
    return NULL;
}

/* Of the options themselves, or the first line of its file. Where that is wrong, the key is not looked at. */
static void find_passphrase(struct tls_setups *all, struct tls_draft *d)
{
    const struct tls_options *o = d->options;
    struct tls_file *file = read_file(all, "tls.passphraseFile", o->passphraseFile, d->findings);
    d->passphrase_option = *o->passphrase ? "tls.passphrase" : "tls.passphraseFile";
    if (*o->passphrase)
        d->passphrase = slice_of(o->passphrase);
    else if (file)
        d->passphrase = (struct slice){file->text, strcspn(file->text, "\r\n")};
    if (*o->passphrase && *o->passphraseFile)
        tls_find(d->findings, "tls.passphraseFile", true,
                 "is set together with passphrase: leave out one of them");
    else if (file && d->passphrase.n == 0)
        tls_find(d->findings, "tls.passphraseFile", true, "has an empty first line");
    else if (d->passphrase.p && !*o->key)
        tls_find(d->findings, d->passphrase_option, true, "is for an encrypted key: set key, too");
    else if (file || !*o->passphraseFile)
        return;
    d->key = NULL;
}

static struct tls_setup *share_or_make(struct tls_setups *all, struct tls_draft *d, struct tls_trust *trust)
{
    char key[TLS_DIGEST_SIZE];
    bool is_bad = tls_has_errors(d->findings);
    if (!make_key(d, key)) {
        tls_find(d->findings, "tls", true, "cannot be set up: out of memory");
        return NULL;
    }
    struct tls_setup *s = is_bad ? NULL : find_setup(all, key, trust);
    if (s)
        return s;
    s = is_bad ? NULL : find_setup(all->running, key, trust);
    s = s ? tls_setup_ref(s) : tls_build(d, key, trust);
    return s ? keep_setup(all, s, d->findings) : NULL;
}

struct tls_setup *tls_setups_get(struct tls_setups *all, const struct tls_options *o, struct tls_dates *dates,
                                 struct tls_findings *f)
{
    struct tls_draft d = {.options = o, .findings = f};
    d.ca = read_file(all, "tls.ca", o->ca, f);
    d.cert = read_file(all, "tls.cert", o->cert, f);
    d.key = read_file(all, "tls.key", o->key, f);
    find_passphrase(all, &d);
    struct tls_trust *trust = *o->ca && !d.ca ? NULL : trust_of(all, d.ca, f);
    struct tls_setup *s = share_or_make(all, &d, trust);
    *dates = (struct tls_dates){0};
    if (trust && *o->ca) {
        warn_of_dates(f, "tls.ca", &trust->dates);
        *dates = trust->dates;
    }
    if (s) {
        warn_of_dates(f, "tls.cert", &s->dates);
        tls_dates_join(dates, &s->dates);
    }
    return s;
}
