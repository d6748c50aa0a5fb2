/* connectTls: the CA that answers TLS inside CONNECT, and which upstreams it covers. */

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/no_core.h"
#include "ca/signer.h"
#include "config/loader.h"
#include "config/tls_file.h"

#define CERT "connectTls.cert"
#define KEY  "connectTls.key"

static void refuse(struct loader *l, const char *option, const char *path, const char *why)
{
    problem_error(&l->problems, scope_mark(&l->top, option), "%s: '%.200s' %s", option, path, why);
}

static const char *explain(enum ca_problem p)
{
    switch (p) {
    case CA_FINE: break;
    case CA_NO_MEMORY: return "cannot be set up: out of memory";
    case CA_NO_CERTIFICATE: return "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)";
    case CA_NO_AUTHORITY:
        return "holds no CA: its certificate may sign no others; make one with carpoolctl ca create";
    case CA_NO_KEY: return "holds no private key in PEM form";
    case CA_KEY_LOCKED:
        return "is encrypted, and no passphrase can be given for it; store it without one (openssl pkey -in FILE -out FILE)";
    case CA_OTHER_KEY: return "is not the key of the certificate in " CERT;
    case CA_CANNOT_SIGN:
        return "is of a kind that signs no certificates with SHA-256 here: make a CA with carpoolctl ca create";
    }
    return "";
}

static bool is_about_key(enum ca_problem p)
{
    return p == CA_NO_KEY || p == CA_KEY_LOCKED || p == CA_OTHER_KEY || p == CA_CANNOT_SIGN;
}

static struct tls_file *read_file(struct loader *l, struct tls_file **files, const char *option,
                                  const char *path)
{
    struct tls_file *f = tls_file_read(files, path);
    if (f && f->text)
        return f;
    refuse(l, option, path, arena_format(l->arena, "cannot be read: %s", f ? f->why : "out of memory"));
    return NULL;
}

/* What it is, beside the files being in order. */
static bool check_authority(struct loader *l, const struct ca *c)
{
    const struct connect_tls *t = &l->config->connectTls;
    if (time(NULL) > c->not_after) {
        refuse(l, CERT, t->cert,
               "has ended: make a new CA (carpoolctl ca create), and let the clients trust it");
        return false;
    }
    if (constraints_exist(c->constraints))
        return true;
    if (!t->unconstrained)
        refuse(
            l, CERT, t->cert,
            "has no name constraints: a stolen key could impersonate every host to those who trust it; make "
            "one that is limited with carpoolctl ca create --for HOST, or set connectTls.unconstrained: true");
    else
        problem_warning(
            &l->problems, scope_mark(&l->top, "connectTls.unconstrained"),
            "connectTls.unconstrained: '%.200s' has no name constraints: a stolen key can impersonate every "
            "host to those who trust it",
            t->cert);
    return t->unconstrained;
}

static void warn_of_readers(struct loader *l, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXO))
        problem_warning(&l->problems, scope_mark(&l->top, KEY),
                        KEY ": '%.200s' can be read by others (mode %04o): chmod 0600 %.200s", path,
                        (unsigned)st.st_mode & 07777, path);
}

static void hide_key(struct loader *l)
{
    if (!no_core())
        problem_warning(
            &l->problems, scope_mark(&l->top, KEY),
            KEY
            ": this process cannot prevent core dumps, and one would hold the key: set the limit of their size to 0 "
            "(LimitCORE=0 of the unit, ulimit -c 0)");
}

static bool digest(struct loader *l, const struct tls_file *cert, const struct tls_file *key)
{
    const char *texts[] = {cert->digest, key->digest};
    const size_t lengths[] = {strlen(cert->digest), strlen(key->digest)};
    char hex[TLS_DIGEST_SIZE];
    if (!tls_digest(texts, lengths, 2, hex))
        return false;
    l->config->connectTls.digest = arena_text(l->arena, hex, strlen(hex));
    return true;
}

/* The one in force where the files are the same: with it go certificates and tickets that clients have. */
static struct signer *share(const struct loader *l)
{
    const struct connect_tls *now = l->running ? &l->running->connectTls : NULL;
    bool same = now && now->signer && strcmp(now->digest, l->config->connectTls.digest) == 0;
    return same ? signer_ref(now->signer) : NULL;
}

static void set_up(struct loader *l, const struct tls_file *cert, const struct tls_file *key)
{
    struct connect_tls *t = &l->config->connectTls;
    enum ca_problem problem = CA_NO_MEMORY;
    struct ca *c = digest(l, cert, key) ? ca_read((struct slice){cert->text, cert->length},
                                                  (struct slice){key->text, key->length}, &problem)
                                        : NULL;
    if (!c) {
        refuse(l, is_about_key(problem) ? KEY : CERT, is_about_key(problem) ? t->key : t->cert,
               explain(problem));
        return;
    }
    if (!check_authority(l, c)) {
        ca_free(c);
        return;
    }
    t->signer = share(l);
    if (t->signer)
        ca_free(c);
    else
        t->signer = signer_new(c);
    if (!t->signer)
        refuse(l, CERT, t->cert, explain(CA_NO_MEMORY));
}

/* ---- whom it covers */

static bool covers(struct loader *l, const struct ca *c, const struct match_pattern *m)
{
    switch (m->kind) {
    case MATCH_EXACT: return ca_permits(c, slice_of(m->host));
    case MATCH_SUFFIX: return ca_permits(c, slice_of(arena_format(l->arena, "any%s", m->host)));
    case MATCH_ALL: return !constraints_exist(c->constraints);
    }
    return false;
}

static void check_cover(struct loader *l, const struct scope *s)
{
    const struct upstream *u = s->upstream;
    const struct connect_tls *t = &l->config->connectTls;
    if (s->policy->connect != CONNECT_IS_POOL)
        return;
    for (uint32_t i = 0; i < u->match_count; i++) {
        if (covers(l, signer_ca(t->signer), &u->match[i]))
            continue;
        problem_warning(
            &l->problems, scope_mark(s, "connect"),
            "%s: connect is pool, but the CA in '%.200s' may not sign for '%s': https to it stays a tunnel; "
            "make a new CA that names it, too (carpoolctl ca create --for '%s' --for ...)",
            s->path, t->cert, u->match[i].text, u->match[i].text);
        return;
    }
}

/* Plain HTTP inside CONNECT may be all that is meant: a port other than 443 says so. */
static bool expects_tls(const struct upstream *u)
{
    bool expects = !u;
    for (uint32_t i = 0; u && i < u->match_count && !expects; i++)
        expects = u->match[i].port == 0 || u->match[i].port == 443;
    return expects;
}

static void warn_of_no_ca(struct loader *l, const struct scope *s)
{
    if (s->policy->connect != CONNECT_IS_POOL || !scope_given(s, "connect") || !expects_tls(s->upstream))
        return;
    problem_warning(
        &l->problems, scope_mark(s, "connect"),
        "%s: connect is pool, but without connectTls https stays a tunnel, which is not pooled; carpoolctl ca create makes "
        "a CA for it",
        s->path);
}

static void warn_of_no_cas(struct loader *l)
{
    warn_of_no_ca(l, &l->defaults);
    for (uint32_t i = 0; i < l->config->upstream_count; i++)
        warn_of_no_ca(l, &l->upstreams[i]);
}

void check_connect_tls(struct loader *l)
{
    const struct connect_tls *t = &l->config->connectTls;
    struct tls_file *files = NULL;
    if (!*t->cert && !*t->key) {
        warn_of_no_cas(l);
        return;
    }
    if (!check_key_pair(l, &l->top, CERT, KEY))
        return;
    hide_key(l);
    const struct tls_file *cert = read_file(l, &files, CERT, t->cert),
                          *key = read_file(l, &files, KEY, t->key);
    if (cert && key)
        set_up(l, cert, key);
    tls_files_free(&files);
    warn_of_readers(l, t->key);
    for (uint32_t i = 0; t->signer && i < l->config->upstream_count; i++)
        check_cover(l, &l->upstreams[i]);
}
