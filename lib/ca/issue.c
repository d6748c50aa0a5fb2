#include "ca/issue.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "ca/host.h"

#define SERIAL_SIZE     16
#define COMMON_NAME_MAX 64 /* RFC 5280 A.1, ub-common-name */
#define DAY_S           (24 * 3600)

void issued_free(struct issued *i)
{
    X509_free(i->certificate);
    EVP_PKEY_free(i->key);
    *i = (struct issued){0};
}

static bool set_serial(X509 *x)
{
    unsigned char bytes[SERIAL_SIZE];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and of this very length */
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool good = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return good;
}

static bool set_dates(X509 *x, int64_t from, int64_t until)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), from) && ASN1_TIME_set(X509_getm_notAfter(x), until);
}

static bool add_word(X509_NAME *name, const char *field, struct slice text)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text.p, (int)text.n,
                                      -1, 0) == 1;
}

struct extension {
    int nid;
    const char *value;
};

static bool add_extensions(X509 *x, X509 *issuer, const struct extension *list, size_t count)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, list[i].nid, list[i].value);
        bool good = e && X509_add_ext(x, e, -1) == 1;
        X509_EXTENSION_free(e);
        if (!good)
            return false;
    }
    return true;
}

/* EdDSA has no digest of its own to choose. */
static const EVP_MD *digest_for(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448") ? NULL : EVP_sha256();
}

static bool begin(struct issued *out)
{
    ERR_clear_error();
    out->certificate = X509_new();
    out->key = EVP_EC_gen("P-256");
    return out->certificate && out->key && X509_set_version(out->certificate, X509_VERSION_3) == 1 &&
           set_serial(out->certificate) && X509_set_pubkey(out->certificate, out->key) == 1;
}

/* OpenSSL remembers the bytes of a certificate that it has read, and encodes one that it has made each time
 * that it sends it. */
static bool read_back(X509 **certificate)
{
    unsigned char *bytes = NULL;
    int n = i2d_X509(*certificate, &bytes);
    const unsigned char *at = bytes;
    X509 *read = n > 0 ? d2i_X509(NULL, &at, n) : NULL;
    OPENSSL_free(bytes);
    if (!read)
        return false;
    X509_free(*certificate);
    *certificate = read;
    return true;
}

static bool end(struct issued *out, bool good)
{
    if (!good || !read_back(&out->certificate))
        issued_free(out);
    ERR_clear_error();
    return out->certificate != NULL;
}

/* ---- for a host */

/* The one name of the certificate. */
static bool set_host(X509 *x, const struct ca_host *h)
{
    const void *bytes = h->ip_size ? (const void *)h->ip : h->name.p;
    size_t n = h->ip_size ? h->ip_size : h->name.n;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(h->ip_size ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    bool good = names && name && value && ASN1_STRING_set(value, bytes, (int)n);
    if (good) {
        GENERAL_NAME_set0_value(name, h->ip_size ? GEN_IPADD : GEN_DNS, value);
        value = NULL;
        good = sk_GENERAL_NAME_push(names, name) > 0;
        name = good ? NULL : name;
    }
    good = good && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_STRING_free(value);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return good;
}

/* A common name that looks like a host is judged by name constraints as one: an address has none. */
static bool name_host(X509 *x, struct slice host)
{
    const struct ca_host h = ca_host_of(host);
    X509_NAME *subject = X509_get_subject_name(x);
    bool is_short_name = !h.ip_size && h.name.n <= COMMON_NAME_MAX;
    return (is_short_name ? add_word(subject, "CN", h.name) : add_word(subject, "O", SLICE("Carpool"))) &&
           set_host(x, &h);
}

bool issue_for_host(const struct ca *c, struct slice host, int64_t now, struct issued *out)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"}, /* last: a CA need not have an identifier */
    };
    size_t count = sizeof extensions / sizeof extensions[0] - !X509_get0_subject_key_id(c->certificate);
    int64_t until = now + ISSUE_VALID_S < c->not_after ? now + ISSUE_VALID_S : c->not_after;
    *out = (struct issued){0};
    bool good = begin(out) && set_dates(out->certificate, now - ISSUE_BACKDATED_S, until) &&
                name_host(out->certificate, host) &&
                X509_set_issuer_name(out->certificate, X509_get_subject_name(c->certificate)) == 1 &&
                add_extensions(out->certificate, c->certificate, extensions, count) &&
                X509_sign(out->certificate, c->key, digest_for(c->key)) > 0;
    return end(out, good);
}

/* ---- an authority */

bool issue_authority(const char *subject, const char *const *hosts, size_t count, unsigned days, int64_t now,
                     struct issued *out)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
    };
    *out = (struct issued){0};
    bool good = begin(out) &&
                set_dates(out->certificate, now - ISSUE_BACKDATED_S, now + (int64_t)days * DAY_S) &&
                add_word(X509_get_subject_name(out->certificate), "CN", slice_of(subject)) &&
                X509_set_issuer_name(out->certificate, X509_get_subject_name(out->certificate)) == 1 &&
                add_extensions(out->certificate, out->certificate, extensions,
                               sizeof extensions / sizeof extensions[0]) &&
                constraints_add(out->certificate, hosts, count) &&
                X509_sign(out->certificate, out->key, EVP_sha256()) > 0;
    return end(out, good);
}
