#include "config/tls_trust.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "ca/unix_time.h"

/* ---- dates */

static void not_before(struct tls_dates *d, int64_t when, const char *whose)
{
    if (d->not_before && when <= d->not_before)
        return;
    d->not_before = when;
    snprintf(d->youngest, sizeof d->youngest, "%s", whose);
}

static void not_after(struct tls_dates *d, int64_t when, const char *whose)
{
    if (d->not_after && when >= d->not_after)
        return;
    d->not_after = when;
    snprintf(d->oldest, sizeof d->oldest, "%s", whose);
}

void tls_dates_add(struct tls_dates *d, X509 *x)
{
    int64_t from, until;
    char name[TLS_SUBJECT_SIZE];
    if (!unix_time(X509_get0_notBefore(x), &from) || !unix_time(X509_get0_notAfter(x), &until))
        return;
    const char *subject = X509_NAME_oneline(X509_get_subject_name(x), name, sizeof name);
    not_before(d, from, subject ? subject : "");
    not_after(d, until, subject ? subject : "");
}

void tls_dates_join(struct tls_dates *d, const struct tls_dates *other)
{
    if (other->not_before)
        not_before(d, other->not_before, other->youngest);
    if (other->not_after)
        not_after(d, other->not_after, other->oldest);
}

/* ---- reading */

/* A passphrase would be asked for on the terminal. */
static int no_passphrase(char *to, int size, int writing, void *ctx)
{
    (void)to, (void)size, (void)writing, (void)ctx;
    return -1;
}

bool tls_certificates(struct tls_file *f, bool (*each)(void *ctx, X509 *x, int place), void *ctx)
{
    BIO *bio = BIO_new_mem_buf(f->text, (int)f->length);
    bool good = true;
    int n = 0;
    X509 *x;
    ERR_clear_error();
    while (bio && good && (x = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL))) {
        good = each(ctx, x, n++);
        X509_free(x);
    }
    BIO_free(bio);
    if (!good)
        return false;
    unsigned long error = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    if (!at_end)
        snprintf(f->broken, sizeof f->broken, "is broken at certificate %d%s%s", n + 1, reason ? ": " : "",
                 reason ? reason : "");
    else if (n == 0)
        snprintf(f->broken, sizeof f->broken,
                 "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
    ERR_clear_error();
    return at_end && n > 0;
}

static struct tls_trust *trust_new(const char *key)
{
    struct tls_trust *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->refs = 1;
    snprintf(t->key, sizeof t->key, "%s", key);
    t->store = X509_STORE_new();
    if (t->store)
        return t;
    free(t);
    return NULL;
}

static bool trust_add(void *ctx, X509 *x, int place)
{
    struct tls_trust *t = ctx;
    (void)place;
    tls_dates_add(&t->dates, x);
    return X509_STORE_add_cert(t->store, x) == 1;
}

struct tls_trust *tls_trust_parse(struct tls_file *f)
{
    if (*f->broken)
        return NULL;
    struct tls_trust *t = trust_new(f->digest);
    if (t && tls_certificates(f, trust_add, t))
        return t;
    if (!*f->broken)
        snprintf(f->broken, sizeof f->broken, "cannot be used: out of memory");
    tls_trust_unref(t);
    ERR_clear_error();
    return NULL;
}

/* ---- the system's */

/* As OpenSSL reads the variable: not at all in a program that was given privileges. */
static const char *path_of(const char *variable, const char *otherwise)
{
    const char *path = secure_getenv(variable);
    return path ? path : otherwise;
}

/* Changes when the file or folder does that a variable, or else OpenSSL's default, names. */
static uint64_t stamp_of(const char *variable, const char *otherwise)
{
    struct stat st;
    if (stat(path_of(variable, otherwise), &st) != 0)
        return 0;
    return (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec + st.st_ino +
           (uint64_t)st.st_size;
}

void tls_trust_system_key(char key[TLS_DIGEST_SIZE])
{
    snprintf(key, TLS_DIGEST_SIZE, "system %" PRIx64 " %" PRIx64,
             stamp_of(X509_get_default_cert_file_env(), X509_get_default_cert_file()),
             stamp_of(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
}

/* Belongs to the store, which may outlive its trust. */
struct late {
    pthread_mutex_t lock;
    bool is_read; /* set under the lock, atomically: who sees it need not take that */
};

static int late_index = -1;

static void free_late(void *store, void *late, CRYPTO_EX_DATA *data, int index, long number, void *unused)
{
    (void)store, (void)data, (void)index, (void)number, (void)unused;
    if (late)
        pthread_mutex_destroy(&((struct late *)late)->lock);
    free(late);
}

static void make_late_index(void)
{
    late_index = X509_STORE_get_ex_new_index(0, NULL, NULL, NULL, free_late);
}

static struct late *late_of(X509_STORE *store)
{
    return late_index < 0 ? NULL : X509_STORE_get_ex_data(store, late_index);
}

static bool read_late(X509_STORE *store)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_late_index);
    struct late *l = calloc(1, sizeof *l);
    if (!l)
        return false;
    pthread_mutex_init(&l->lock, NULL);
    if (late_index >= 0 && X509_STORE_set_ex_data(store, late_index, l) == 1)
        return true;
    free_late(store, l, NULL, 0, 0, NULL);
    return false;
}

/* OpenSSL looks into the folder at each verification, the file is read later. The list of lookups is read
 * without a lock, so it is complete from the start. */
static bool add_lookups(X509_STORE *store)
{
    const char *path = path_of(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
    X509_LOOKUP *folder = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());
    return X509_STORE_add_lookup(store, X509_LOOKUP_file()) && folder &&
           (!*path || X509_LOOKUP_add_dir(folder, path, X509_FILETYPE_PEM) == 1);
}

struct tls_trust *tls_trust_of_system(const char key[TLS_DIGEST_SIZE])
{
    struct tls_trust *t = trust_new(key);
    bool good = t && add_lookups(t->store) && read_late(t->store);
    ERR_clear_error();
    if (good)
        return t;
    tls_trust_unref(t);
    return NULL;
}

static bool is_read(struct late *l)
{
    return __atomic_load_n(&l->is_read, __ATOMIC_ACQUIRE);
}

static bool is_missing(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* A host without the file is no error here: each certificate is then refused, with advice. */
static bool read_system_file(X509_STORE *store)
{
    const char *path = path_of(X509_get_default_cert_file_env(), X509_get_default_cert_file());
    X509_LOOKUP *file = X509_STORE_add_lookup(store, X509_LOOKUP_file()); /* the one it has */
    return is_missing(path) || (file && X509_LOOKUP_load_file(file, path, X509_FILETYPE_PEM) == 1);
}

bool tls_trust_read_system(X509_STORE *store)
{
    struct late *l = late_of(store);
    if (!l || is_read(l))
        return true;
    pthread_mutex_lock(&l->lock);
    ERR_set_mark();
    /* Not X509_STORE_set_default_paths(): it succeeds even if it could not read the file. */
    if (!is_read(l) && read_system_file(store))
        __atomic_store_n(&l->is_read, true, __ATOMIC_RELEASE);
    ERR_pop_to_mark();
    pthread_mutex_unlock(&l->lock);
    return is_read(l);
}

bool tls_trust_is_in_use(const struct tls_trust *t)
{
    struct late *l = late_of(t->store);
    return l && is_read(l);
}

int tls_trust_verify(X509_STORE_CTX *x, void *unused)
{
    (void)unused;
    bool has_all = tls_trust_read_system(X509_STORE_CTX_get0_store(x));
    int result = X509_verify_cert(x);
    if (result != 1 && !has_all)
        X509_STORE_CTX_set_error(x, X509_V_ERR_STORE_LOOKUP);
    return result;
}

/* ---- counting */

struct tls_trust *tls_trust_ref(struct tls_trust *t)
{
    __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
    return t;
}

void tls_trust_unref(struct tls_trust *t)
{
    if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    X509_STORE_free(t->store);
    free(t);
}
