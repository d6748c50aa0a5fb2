/* lib/ca: what a CA may sign for, and what it issues. */

#include "ca_test.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "ca/issue.h"

#define DAY 86400

static const char *const hosts[] = {"pay.test", "10.0.0.7", "fd00::7"};

struct ca *ca_for(const char *const *names, size_t count)
{
    struct issued made;
    enum ca_problem problem;
    BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    struct slice texts[2];

    ck_assert(issue_authority("tester", names, count, 30, time(NULL), &made));
    ck_assert(PEM_write_bio_X509(cert, made.certificate) &&
              PEM_write_bio_PrivateKey(key, made.key, NULL, NULL, 0, NULL, NULL));
    texts[0].n = (size_t)BIO_get_mem_data(cert, (char **)&texts[0].p);
    texts[1].n = (size_t)BIO_get_mem_data(key, (char **)&texts[1].p);
    struct ca *c = ca_read(texts[0], texts[1], &problem);
    ck_assert_ptr_nonnull(c);
    BIO_free(cert);
    BIO_free(key);
    issued_free(&made);
    return c;
}

/* Whether OpenSSL believes a certificate of this CA for the host. */
static bool is_believed(const struct ca *c, const char *host, bool is_ip)
{
    struct issued leaf;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *x = X509_STORE_CTX_new();
    int good;

    ck_assert(issue_for_host(c, slice_of(host), time(NULL), &leaf));
    X509_STORE_add_cert(store, c->certificate);
    X509_STORE_CTX_init(x, store, leaf.certificate, NULL);
    X509_STORE_CTX_set_purpose(x, X509_PURPOSE_SSL_SERVER);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(x), X509_V_FLAG_X509_STRICT);
    if (is_ip)
        X509_VERIFY_PARAM_set1_ip_asc(X509_STORE_CTX_get0_param(x), host);
    else
        X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(x), host, 0);
    good = X509_verify_cert(x);
    X509_STORE_CTX_free(x);
    X509_STORE_free(store);
    issued_free(&leaf);
    return good == 1;
}

START_TEST(ca_permits_what_openssl_does)
{
    static const struct {
        const char *host;
        bool is_ip, permitted;
    } rows[] = {
        {"pay.test", false, true},    {"a.pay.test", false, true}, {"a.b.pay.test", false, true},
        {"xpay.test", false, false},  {"test", false, false},      {"pay.test.evil", false, false},
        {"other.test", false, false}, {"10.0.0.7", true, true},    {"10.0.0.8", true, false},
        {"fd00::7", true, true},      {"fd00::8", true, false},    {"::ffff:10.0.0.7", true, false},
    };
    struct ca *c = ca_for(hosts, 3);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(ca_permits(c, slice_of(rows[i].host)) == rows[i].permitted, "%s", rows[i].host);
        ck_assert_msg(is_believed(c, rows[i].host, rows[i].is_ip) == rows[i].permitted, "%s", rows[i].host);
    }
    ck_assert(ca_permits(c, SLICE("pay.test.")));
    ca_free(c);
}
END_TEST

START_TEST(ca_excludes_the_kind_that_it_does_not_name)
{
    static const char *const names[] = {"pay.test"}, *const addresses[] = {"10.0.0.7"};
    struct ca *c = ca_for(names, 1);

    ck_assert(!ca_permits(c, SLICE("10.0.0.7")) && !is_believed(c, "10.0.0.7", true));
    ck_assert(!ca_permits(c, SLICE("::1")) && !is_believed(c, "::1", true));
    ca_free(c);
    c = ca_for(addresses, 1);
    ck_assert(ca_permits(c, SLICE("10.0.0.7")) && is_believed(c, "10.0.0.7", true));
    ck_assert(!ca_permits(c, SLICE("pay.test")) && !is_believed(c, "pay.test", false));
    ck_assert(!ca_permits(c, SLICE("::1")) && !is_believed(c, "::1", true));
    ca_free(c);
}
END_TEST

static void join(void *all, const char *text)
{
    fprintf(all, "%s ", text);
}

START_TEST(ca_lists_its_names)
{
    struct ca *c = ca_for(hosts, 3);
    char text[200] = "";
    FILE *all = fmemopen(text, sizeof text, "w");

    constraints_each(c->constraints, join, all);
    fclose(all);
    ck_assert_str_eq(text, "pay.test 10.0.0.7 fd00::7 ");
    ca_free(c);
}
END_TEST

START_TEST(ca_refuses_what_is_none)
{
    struct ca *c = ca_for(hosts, 3);
    struct issued leaf, other;
    enum ca_problem problem;
    BIO *out = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    struct slice text;
    char *pem = ca_pem(c);

    ck_assert(issue_for_host(c, SLICE("pay.test"), time(NULL), &leaf));
    ck_assert(issue_authority("other", hosts, 3, 1, time(NULL), &other));
    PEM_write_bio_X509(out, leaf.certificate);
    text.n = (size_t)BIO_get_mem_data(out, (char **)&text.p);
    ck_assert(!ca_read(text, SLICE(""), &problem) && problem == CA_NO_AUTHORITY);
    ck_assert(!ca_read(SLICE("no PEM"), SLICE(""), &problem) && problem == CA_NO_CERTIFICATE);
    ck_assert(!ca_read(slice_of(pem), SLICE("no PEM"), &problem) && problem == CA_NO_KEY);
    PEM_write_bio_PrivateKey(key, other.key, NULL, NULL, 0, NULL, NULL);
    text.n = (size_t)BIO_get_mem_data(key, (char **)&text.p);
    ck_assert(!ca_read(slice_of(pem), text, &problem) && problem == CA_OTHER_KEY);
    BIO_free(key);
    key = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(key, other.key, EVP_aes_128_cbc(), (const unsigned char *)"pass", 4, NULL, NULL);
    text.n = (size_t)BIO_get_mem_data(key, (char **)&text.p);
    ck_assert(!ca_read(slice_of(pem), text, &problem) && problem == CA_KEY_LOCKED);
    free(pem);
    BIO_free(out);
    BIO_free(key);
    issued_free(&leaf);
    issued_free(&other);
    ca_free(c);
}
END_TEST

/* A CA of this certificate, signed anew by this key. */
static struct ca *read_signed(X509 *x, EVP_PKEY *key, const EVP_MD *md, enum ca_problem *problem)
{
    BIO *cert = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    struct slice texts[2];

    ck_assert(X509_sign(x, key, md) > 0 && PEM_write_bio_X509(cert, x) &&
              PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL));
    texts[0].n = (size_t)BIO_get_mem_data(cert, (char **)&texts[0].p);
    texts[1].n = (size_t)BIO_get_mem_data(secret, (char **)&texts[1].p);
    struct ca *c = ca_read(texts[0], texts[1], problem);
    BIO_free(cert);
    BIO_free(secret);
    return c;
}

START_TEST(ca_without_an_identifier)
{
    struct issued made;
    enum ca_problem problem;

    ck_assert(issue_authority("tester", hosts, 3, 30, time(NULL), &made));
    X509_EXTENSION_free(X509_delete_ext(
        made.certificate, X509_get_ext_by_NID(made.certificate, NID_subject_key_identifier, -1)));
    struct ca *c = read_signed(made.certificate, made.key, EVP_sha256(), &problem);
    ck_assert_ptr_nonnull(c);
    struct issued leaf;
    ck_assert(issue_for_host(c, SLICE("pay.test"), time(NULL), &leaf));
    ck_assert_int_eq(X509_verify(leaf.certificate, c->key), 1);
    issued_free(&leaf);
    issued_free(&made);
    ca_free(c);
}
END_TEST

/* RSASSA-PSS with SHA-384 alone (RFC 4055 1.2) */
START_TEST(ca_refuses_a_key_that_does_not_sign)
{
    struct issued made;
    enum ca_problem problem;
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);

    ck_assert(EVP_PKEY_keygen_init(maker) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(maker, 1024) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_keygen_md(maker, EVP_sha384()) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md(maker, EVP_sha384()) == 1 &&
              EVP_PKEY_generate(maker, &key) == 1);
    ck_assert(issue_authority("tester", hosts, 3, 30, time(NULL), &made));
    X509_set_pubkey(made.certificate, key);
    ck_assert(!read_signed(made.certificate, key, EVP_sha384(), &problem) && problem == CA_CANNOT_SIGN);
    EVP_PKEY_CTX_free(maker);
    EVP_PKEY_free(key);
    issued_free(&made);
}
END_TEST

static int64_t seconds_from(int64_t now, const ASN1_TIME *t)
{
    struct tm tm;

    ASN1_TIME_to_tm(t, &tm);
    return timegm(&tm) - now;
}

START_TEST(ca_signs_until_its_end)
{
    struct ca *c = ca_for(hosts, 3);

    ck_assert(ca_may_sign(c, SLICE("pay.test"), c->not_after));
    ck_assert(!ca_may_sign(c, SLICE("pay.test"), c->not_after + 1));
    ck_assert(!ca_may_sign(c, SLICE("other.test"), c->not_after));
    ca_free(c);
}
END_TEST

START_TEST(issue_dates)
{
    struct ca *c = ca_for(hosts, 3);
    struct issued leaf;
    int64_t now = time(NULL);

    ck_assert(issue_for_host(c, SLICE("pay.test"), now, &leaf));
    ck_assert_int_eq(seconds_from(now, X509_get0_notBefore(leaf.certificate)), -3600);
    ck_assert_int_eq(seconds_from(now, X509_get0_notAfter(leaf.certificate)), 7 * DAY);
    issued_free(&leaf);
    /* Not beyond its CA's end */
    now = c->not_after - DAY;
    ck_assert(issue_for_host(c, SLICE("pay.test"), now, &leaf));
    ck_assert_int_eq(seconds_from(now, X509_get0_notAfter(leaf.certificate)), DAY);
    issued_free(&leaf);
    ca_free(c);
}
END_TEST

START_TEST(issue_long_names)
{
    char name[254];
    const char *const long_hosts[] = {name};

    memset(name, 'a', sizeof name);
    for (size_t i = 60; i < sizeof name - 1; i += 60)
        name[i] = '.';
    name[sizeof name - 1] = '\0';
    struct ca *c = ca_for(long_hosts, 1);
    ck_assert(is_believed(c, name, false));
    ca_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ca");

    unit_group(suite, "ca", ca_permits_what_openssl_does, ca_excludes_the_kind_that_it_does_not_name,
               ca_lists_its_names, ca_refuses_what_is_none, ca_without_an_identifier,
               ca_refuses_a_key_that_does_not_sign, ca_signs_until_its_end);
    unit_group(suite, "issue", issue_dates, issue_long_names);
    ca_signer_tests(suite);
    return unit_run(suite);
}
