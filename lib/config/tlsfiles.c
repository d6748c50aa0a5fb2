/* The certificates and keys of an upstream, read as a start would read them. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "config/loader.h"

#define FILE_MAX_SIZE (16u * 1024 * 1024)
#define SUBJECT_SIZE  128
#define DIGEST_SIZE   (2 * 32 + 1)

enum file { FILE_CA, FILE_CERT, FILE_KEY, FILE_COUNT };

static const char *const file_options[FILE_COUNT] = {"tls.ca", "tls.cert", "tls.key"};

struct finding {
    enum file file;
    bool is_error;
    char text[512];
};

/* One upstream's files while they are looked at. Nothing here is the arena's and the arena is not used
 * meanwhile, so that its jump out leaves nothing behind. */
struct identity {
    const struct tls_options *options;
    const char *paths[FILE_COUNT]; /* "": none */
    char *texts[FILE_COUNT];       /* NULL: none, or not readable */
    size_t lengths[FILE_COUNT];
    int64_t not_before, not_after; /* 0: no certificate seen */
    enum file ends_first;          /* of these, the one with not_after */
    char digest[DIGEST_SIZE];
    struct finding findings[8];
    int finding_count;
};

static void find(struct identity *i, enum file file, bool is_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void find(struct identity *i, enum file file, bool is_error, const char *format, ...)
{
    va_list args;
    if (i->finding_count == sizeof i->findings / sizeof i->findings[0])
        return;
    struct finding *f = &i->findings[i->finding_count++];
    f->file = file;
    f->is_error = is_error;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

/* What OpenSSL says of its last failure, as ": reason". */
static const char *openssl_reason(char *out, size_t size)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    snprintf(out, size, "%s%s", reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return out;
}

/* ---- reading */

static bool read_all(int fd, char *to, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = read(fd, to + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* NULL when it was read. */
static const char *read_open(int fd, char **text, size_t *length)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is no regular file";
    if ((uint64_t)st.st_size > FILE_MAX_SIZE)
        return "it is larger than 16 MiB";
    *length = (size_t)st.st_size;
    *text = malloc(*length + 1);
    if (!*text)
        return "out of memory";
    return read_all(fd, *text, *length) ? NULL : "it ended early; is it being written just now?";
}

static void forget(struct identity *i, enum file file)
{
    if (!i->texts[file])
        return;
    OPENSSL_cleanse(i->texts[file], i->lengths[file]); /* it may be a key */
    free(i->texts[file]);
    i->texts[file] = NULL;
}

static void read_file(struct identity *i, enum file file)
{
    if (!*i->paths[file])
        return;
    /* A pipe without a writer must not hang a reload. */
    int fd = open(i->paths[file], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *why = fd < 0 ? strerror(errno) : read_open(fd, &i->texts[file], &i->lengths[file]);
    if (why) {
        find(i, file, true, "cannot be read: %s", why);
        forget(i, file);
    }
    if (fd >= 0)
        close(fd);
}

/* ---- certificates */

static bool to_unix_time(const ASN1_TIME *t, int64_t *out)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *out = timegm(&tm);
    return true;
}

static const char *subject(X509 *x, char out[SUBJECT_SIZE])
{
    return X509_NAME_oneline(X509_get_subject_name(x), out, SUBJECT_SIZE) ? out : "";
}

/* Narrows what both the client certificate and the authorities cover, and tells of the first that is not
 * valid now. */
static void look_at_times(struct identity *i, enum file file, X509 *x, bool *told)
{
    int64_t from, until, now = time(NULL);
    char name[SUBJECT_SIZE];
    if (!to_unix_time(X509_get0_notBefore(x), &from) || !to_unix_time(X509_get0_notAfter(x), &until))
        return;
    if (!i->not_before || from > i->not_before)
        i->not_before = from;
    if (!i->not_after || until < i->not_after) {
        i->not_after = until;
        i->ends_first = file;
    }
    if (*told || (from <= now && now <= until))
        return;
    *told = true;
    find(i, file, false, "holds a certificate that %s: %s; renew it, or set the clock right",
         now > until ? "has expired" : "is not valid yet", subject(x, name));
}

/* Calls `each` for every certificate of the file; false, and told, when there is none or one is broken. */
static bool for_each_certificate(struct identity *i, enum file file,
                                 bool (*each)(void *ctx, X509 *x, int place), void *ctx)
{
    bool told = false, good = true;
    int n = 0;
    char why[SUBJECT_SIZE];
    BIO *bio = BIO_new_mem_buf(i->texts[file], (int)i->lengths[file]);
    X509 *x;
    while (bio && good && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        look_at_times(i, file, x, &told);
        good = each(ctx, x, n++);
        X509_free(x);
    }
    BIO_free(bio);
    if (!good)
        return false;
    unsigned long error = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (!at_end)
        find(i, file, true, "is broken at certificate %d%s", n + 1, openssl_reason(why, sizeof why));
    else if (n == 0)
        find(i, file, true, "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
    ERR_clear_error();
    return at_end && n > 0;
}

static bool no_use(void *ctx, X509 *x, int place)
{
    (void)ctx, (void)x, (void)place;
    return true;
}

struct chain {
    struct identity *identity;
    SSL_CTX *ctx;
};

/* The first is the client's own, what follows its chain. */
static bool use_certificate(void *data, X509 *x, int place)
{
    struct chain *c = data;
    char why[SUBJECT_SIZE];
    if (place > 0 || SSL_CTX_use_certificate(c->ctx, x) == 1)
        return true;
    find(c->identity, FILE_CERT, true, "cannot be used%s", openssl_reason(why, sizeof why));
    return false;
}

/* OpenSSL would ask on the terminal. */
static int no_password(char *out, int size, int writing, void *seen)
{
    (void)out, (void)size, (void)writing;
    *(bool *)seen = true;
    return -1;
}

static void look_at_key(struct identity *i, SSL_CTX *ctx)
{
    char why[SUBJECT_SIZE];
    bool locked = false;
    BIO *bio = BIO_new_mem_buf(i->texts[FILE_KEY], (int)i->lengths[FILE_KEY]);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, &locked) : NULL;
    BIO_free(bio);
    if (locked)
        find(i, FILE_KEY, true,
             "is locked by a pass phrase, which nobody could type; store it without "
             "(openssl pkey -in FILE -out FILE)");
    else if (!key)
        find(i, FILE_KEY, true, "holds no private key in PEM form%s", openssl_reason(why, sizeof why));
    else if (ctx && SSL_CTX_use_PrivateKey(ctx, key) != 1)
        find(i, FILE_KEY, true, "is not the key of the certificate in '%.200s'%s", i->paths[FILE_CERT],
             openssl_reason(why, sizeof why));
    EVP_PKEY_free(key);
    ERR_clear_error();
}

static void look_at_client(struct identity *i)
{
    struct chain chain = {i, SSL_CTX_new(TLS_client_method())};
    bool usable = false;
    /* A cipher list may set another security level, which decides what keys will do. */
    if (chain.ctx && *i->options->ciphers)
        SSL_CTX_set_cipher_list(chain.ctx, i->options->ciphers);
    ERR_clear_error();
    if (chain.ctx && i->texts[FILE_CERT])
        usable = for_each_certificate(i, FILE_CERT, use_certificate, &chain);
    if (i->texts[FILE_KEY])
        look_at_key(i, usable ? chain.ctx : NULL);
    SSL_CTX_free(chain.ctx);
    ERR_clear_error();
    if (*i->paths[FILE_CERT] && !*i->paths[FILE_KEY])
        find(i, FILE_CERT, true, "needs its private key: set key, too");
    if (*i->paths[FILE_KEY] && !*i->paths[FILE_CERT])
        find(i, FILE_KEY, true, "needs its certificate: set cert, too");
}

/* ---- digest */

static void hex(const unsigned char *bytes, unsigned n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = 0;
}

/* Lengths go in, too, so that no byte can move from one file to the next unseen. */
static void take_digest(struct identity *i)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    for (int file = 0; good && file < FILE_COUNT; file++) {
        uint64_t length = i->texts[file] ? i->lengths[file] : UINT64_MAX;
        good = EVP_DigestUpdate(md, &length, sizeof length) &&
               (!i->texts[file] || EVP_DigestUpdate(md, i->texts[file], i->lengths[file]));
    }
    if (good && EVP_DigestFinal_ex(md, bytes, &n) && 2 * n < DIGEST_SIZE)
        hex(bytes, n, i->digest);
    EVP_MD_CTX_free(md);
}

/* ---- the whole */

static void look_at_files(struct identity *i)
{
    for (int file = 0; file < FILE_COUNT; file++)
        read_file(i, file);
    ERR_clear_error();
    if (i->texts[FILE_CA])
        for_each_certificate(i, FILE_CA, no_use, NULL);
    if (*i->paths[FILE_CERT] || *i->paths[FILE_KEY])
        look_at_client(i);
    take_digest(i);
    for (int file = 0; file < FILE_COUNT; file++)
        forget(i, file);
}

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

static void report(struct loader *l, const struct scope *s, const struct identity *i)
{
    for (int n = 0; n < i->finding_count; n++) {
        const struct finding *f = &i->findings[n];
        const char *option = file_options[f->file];
        const char *sentence = arena_format(l->arena, "'%s' %s", i->paths[f->file], f->text);
        if (f->is_error)
            problem_error(&l->problems, scope_mark(s, option), "%s.%s: %s", s->path, option, sentence);
        else
            warn(l, s, scope_mark(s, option), arena_format(l->arena, "%s: %s", option, sentence));
    }
}

void check_tls_files(struct loader *l, const struct scope *s)
{
    struct tls_options *t = &s->upstream->tls;
    struct identity i = {.options = t, .paths = {t->ca, t->cert, t->key}};
    if (!t->enabled)
        return;
    if (!t->rejectUnauthorized)
        warn(l, s, scope_mark(s, "tls.rejectUnauthorized"),
             "tls.rejectUnauthorized is false: anybody between here and the server can read and change "
             "set tls.ca instead");
    if (!*t->ca && !*t->cert && !*t->key)
        return;
    look_at_files(&i);
    report(l, s, &i);
    t->ca_digest = arena_text(l->arena, i.digest, strlen(i.digest));
    t->not_before = i.not_before;
    t->not_after = i.not_after;
    t->not_after_file = i.paths[i.ends_first];
}
