#include "ca/ca.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ca/issue.h"
#include "ca/unix_time.h"

/* OpenSSL would ask for a pass phrase on the terminal. */
static int note_passphrase(char *out, int size, int writing, void *asked)
{
    (void)out, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static X509 *read_certificate(struct slice text)
{
    bool locked = false;
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, note_passphrase, &locked) : NULL;
    BIO_free(bio);
    return x;
}

static EVP_PKEY *read_key(struct slice text, bool *locked)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, note_passphrase, locked) : NULL;
    BIO_free(bio);
    return key;
}

static bool may_sign(X509 *x)
{
    return X509_check_ca(x) == 1 && (X509_get_key_usage(x) & KU_KEY_CERT_SIGN);
}

static enum ca_problem take_certificate(struct ca *c, struct slice text)
{
    c->certificate = read_certificate(text);
    if (!c->certificate)
        return CA_NO_CERTIFICATE;
    if (!may_sign(c->certificate))
        return CA_NO_AUTHORITY;
    (void)unix_time(X509_get0_notBefore(c->certificate), &c->not_before);
    (void)unix_time(X509_get0_notAfter(c->certificate), &c->not_after); /* without one it has ended */
    c->constraints = constraints_of(c->certificate);
    return c->constraints ? CA_FINE : CA_NO_CERTIFICATE;
}

/* Keys of some kinds sign nothing, and others not with SHA-256. */
static bool can_sign(const struct ca *c)
{
    struct issued trial;
    bool good = issue_for_host(c, SLICE("localhost"), time(NULL), &trial);
    issued_free(&trial);
    return good;
}

static enum ca_problem take_key(struct ca *c, struct slice text)
{
    bool locked = false;
    if (text.n == 0)
        return CA_FINE;
    c->key = read_key(text, &locked);
    if (!c->key)
        return locked ? CA_KEY_LOCKED : CA_NO_KEY;
    if (X509_check_private_key(c->certificate, c->key) != 1)
        return CA_OTHER_KEY;
    return can_sign(c) ? CA_FINE : CA_CANNOT_SIGN;
}

struct ca *ca_read(struct slice certificate, struct slice key, enum ca_problem *problem)
{
    struct ca *c = calloc(1, sizeof *c);
    *problem = CA_NO_MEMORY;
    if (!c)
        return NULL;
    ERR_clear_error();
    *problem = take_certificate(c, certificate);
    if (*problem == CA_FINE)
        *problem = take_key(c, key);
    ERR_clear_error();
    if (*problem == CA_FINE)
        return c;
    ca_free(c);
    return NULL;
}

void ca_free(struct ca *c)
{
    if (!c)
        return;
    X509_free(c->certificate);
    EVP_PKEY_free(c->key);
    constraints_free(c->constraints);
    free(c);
}

bool ca_permits(const struct ca *c, struct slice host)
{
    return constraints_permit(c->constraints, host);
}

bool ca_may_sign(const struct ca *c, struct slice host, int64_t now)
{
    return now <= c->not_after && ca_permits(c, host);
}

/* What was written to a memory BIO, as a string; takes the BIO over. */
static char *text_of(BIO *out, bool written)
{
    char *data;
    long n = written ? BIO_get_mem_data(out, &data) : 0;
    char *text = n > 0 ? malloc((size_t)n + 1) : NULL;
    if (text) {
        memcpy(text, data, (size_t)n);
        text[n] = '\0';
    }
    BIO_free(out);
    return text;
}

char *ca_pem(const struct ca *c)
{
    BIO *out = BIO_new(BIO_s_mem());
    return text_of(out, out && PEM_write_bio_X509(out, c->certificate) == 1);
}

char *ca_subject(const struct ca *c)
{
    BIO *out = BIO_new(BIO_s_mem());
    return text_of(out,
                   out && X509_NAME_print_ex(out, X509_get_subject_name(c->certificate), 0,
                                             XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ) > 0);
}

char *ca_fingerprint(const struct ca *c)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n;
    if (X509_digest(c->certificate, EVP_sha256(), digest, &n) != 1)
        return NULL;
    char *hex = OPENSSL_buf2hexstr(digest, (long)n);
    char *text = hex ? strdup(hex) : NULL;
    OPENSSL_free(hex);
    return text;
}
