/* The files of `tls`, made here with OpenSSL. */

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/tls_setup.h"
#include "config_test.h"

#define DAY 86400

static char directory[] = "/tmp/carpool-tls-XXXXXX";

static void path_of(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", directory, name);
}

static void write_text(const char *name, const char *text)
{
    char path[128];
    path_of(path, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static EVP_PKEY *write_key(const char *name, const EVP_CIPHER *lock)
{
    char path[128];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    path_of(path, name);
    FILE *f = fopen(path, "w");
    ck_assert(f && key &&
              PEM_write_PrivateKey(f, key, lock, lock ? (const unsigned char *)"pass" : NULL, lock ? 4 : 0,
                                   NULL, NULL));
    fclose(f);
    return key;
}

static void write_certificate(const char *name, EVP_PKEY *key, long from, long until)
{
    char path[128];
    X509 *x = X509_new();
    path_of(path, name);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), until);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"tester",
                               -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    FILE *f = fopen(path, "a");
    ck_assert(f && PEM_write_X509(f, x));
    fclose(f);
    X509_free(x);
}

static void make_files(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    EVP_PKEY *key = write_key("key.pem", NULL), *other = write_key("other.pem", NULL);
    EVP_PKEY *locked = write_key("locked.pem", EVP_aes_128_cbc()), *weak = EVP_RSA_gen(1024);
    write_certificate("cert.pem", key, -DAY, 10 * DAY);
    write_certificate("ca.pem", other, -2 * DAY, 20 * DAY);
    write_certificate("ca.pem", other, -2 * DAY, 5 * DAY);
    write_certificate("old.pem", key, -20 * DAY, -DAY);
    write_certificate("young.pem", key, DAY, 20 * DAY);
    write_certificate("chain.pem", key, -DAY, 10 * DAY);
    write_certificate("chain.pem", weak, -DAY, 10 * DAY);
    write_text("junk.pem", "no certificate\n");
    write_text("empty.pem", "");
    write_text("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    EVP_PKEY_free(locked);
    EVP_PKEY_free(weak);
}

static void remove_files(void)
{
    static const char *const names[] = {"key.pem",   "other.pem",  "locked.pem", "cert.pem",
                                        "ca.pem",    "old.pem",    "young.pem",  "junk.pem",
                                        "empty.pem", "broken.pem", "chain.pem"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_of(path, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

/* `tls` as the map of an upstream, with file names of the directory. */
static struct config *load(const char *tls, char messages[4096])
{
    char text[1024], path[128];
    snprintf(text, sizeof text, "upstreams:\n  a:\n    match: a.test\n    tls: {%s}\n", tls);
    path_of(path, "c.yaml");
    memset(messages, 0, 4096);
    FILE *f = fmemopen(messages, 4096, "w");
    struct config *c = config_parse(slice_of(text), path, NULL, f);
    fclose(f);
    return c;
}

START_TEST(good_files_are_taken)
{
    char messages[4096], key[80];
    time_t now = time(NULL);
    struct config *c = load("ca: ca.pem, cert: cert.pem, key: key.pem", messages);
    ck_assert_msg(c && !*messages, "%s", messages);
    const struct tls_options *t = &c->upstreams[0].tls;
    ck_assert(t->enabled && t->ca[0] == '/');
    ck_assert_int_eq(strlen(t->setup->key), 64);
    ck_assert_int_le(labs((long)(t->not_before - (now - DAY))), 60);
    ck_assert_int_le(labs((long)(t->not_after - (now + 5 * DAY))), 60);
    ck_assert_uint_eq(c->upstreams[0].warnings.count, 0);
    snprintf(key, sizeof key, "%s", t->setup->key);
    config_unref(c);
    c = load("ca: ca.pem, cert: cert.pem, key: key.pem", messages);
    ck_assert_str_eq(c->upstreams[0].tls.setup->key, key);
    config_unref(c);
    c = load("cert: chain.pem, key: key.pem, ciphers: DEFAULT@SECLEVEL=0", messages);
    ck_assert_msg(c && !*messages, "%s", messages);
    config_unref(c);
    c = load("ca: cert.pem, cert: cert.pem, key: key.pem", messages);
    ck_assert_str_ne(c->upstreams[0].tls.setup->key, key);
    config_unref(c);
    c = load("", messages);
    ck_assert(c->upstreams[0].tls.enabled);
    ck_assert_ptr_eq(c->upstreams[0].tls.setup, c->default_tls.setup);
    config_unref(c);
}
END_TEST

static const struct {
    const char *tls, *message;
} bad_files[] = {
    {"ca: none.pem",
     "c.yaml:4:11: error: upstreams.a.tls.ca: '%s/none.pem' cannot be read: No such file or directory\n"},
    {"ca: .", "c.yaml:4:11: error: upstreams.a.tls.ca: '%s/.' cannot be read: it is not a regular file\n"},
    {"ca: junk.pem", "c.yaml:4:11: error: upstreams.a.tls.ca: '%s/junk.pem' holds no certificate in PEM form "
                     "(-----BEGIN CERTIFICATE-----)\n"},
    {"ca: empty.pem", "'%s/empty.pem' holds no certificate"},
    {"ca: key.pem", "'%s/key.pem' holds no certificate"},
    {"ca: broken.pem", "'%s/broken.pem' is broken at certificate 1"},
    {"cert: cert.pem",
     "c.yaml:4:11: error: upstreams.a.tls.cert: '%s/cert.pem' needs its private key: set tls.key, too\n"},
    {"key: key.pem",
     "c.yaml:4:11: error: upstreams.a.tls.key: '%s/key.pem' needs its certificate: set tls.cert, too\n"},
    {"cert: cert.pem, key: other.pem",
     "c.yaml:4:27: error: upstreams.a.tls.key: '%s/other.pem' is not the key of the "
     "certificate in '"},
    {"cert: cert.pem, key: locked.pem", "'%s/locked.pem' is encrypted: set passphrase or passphraseFile"},
    {"cert: cert.pem, key: locked.pem, passphrase: wrong", "'%s/locked.pem' cannot be decrypted"},
    {"cert: cert.pem, key: locked.pem, passphrase: pass",
     "'%s/locked.pem' is not the key of the certificate"},
    {"cert: cert.pem, key: locked.pem, passphraseFile: empty.pem", "'%s/empty.pem' has an empty first line"},
    {"cert: cert.pem, key: cert.pem", "'%s/cert.pem' holds no private key"},
    {"cert: cert.pem, key: none.pem",
     "c.yaml:4:27: error: upstreams.a.tls.key: '%s/none.pem' cannot be read"},
    {"cert: junk.pem, key: key.pem", "'%s/junk.pem' holds no certificate"},
    {"cert: chain.pem, key: key.pem",
     "tls.cert: '%s/chain.pem' cannot be used, because of its certificate 2: ca key too small\n"},
    {"ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA265:ECDHE-RSA-AES128-GCM-SHA256'",
     "tls.ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA265:ECDHE-RSA-AES128-GCM-SHA256' is wrong: "
     "entry 2 of those that begin with TLS_ is not a cipher suite of TLS 1.3"},
    {"ciphers: ECDHE-RSA-AES128-GCM-SHA256, minVersion: TLSv1.3",
     "tls.ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' names no cipher suite of TLS 1.3"},
};

START_TEST(bad_files_are_refused)
{
    char messages[4096], wanted[512];
    ck_assert_ptr_null(load(bad_files[_i].tls, messages));
    snprintf(wanted, sizeof wanted, bad_files[_i].message, directory);
    ck_assert_msg(strstr(messages, wanted) != NULL, "wanted: %s\ntold: %s", wanted, messages);
}
END_TEST

START_TEST(wrong_times_are_a_warning)
{
    char messages[4096];
    struct config *c = load("cert: old.pem, key: key.pem", messages);
    ck_assert_ptr_nonnull(c);
    ck_assert_ptr_nonnull(strstr(messages, "warning: upstreams.a: tls.cert: '"));
    ck_assert_ptr_nonnull(strstr(messages, "holds a certificate that has expired: /CN=tester"));
    ck_assert_uint_eq(c->upstreams[0].warnings.count, 1);
    config_unref(c);
    c = load("ca: young.pem", messages);
    ck_assert_ptr_nonnull(strstr(messages, "is not valid yet"));
    config_unref(c);
    c = load("ca: old.pem, rejectUnauthorized: false", messages);
    ck_assert_uint_eq(c->upstreams[0].warnings.count, 2);
    ck_assert_ptr_nonnull(
        strstr(messages, "c.yaml:4:24: warning: upstreams.a: tls.rejectUnauthorized is false"));
    config_unref(c);
}
END_TEST

START_TEST(files_of_a_switched_off_tls_rest)
{
    char messages[4096] = "";
    struct config *c = good_config("upstreams: {a: {match: a, tls: false}}\n");
    ck_assert(!c->upstreams[0].tls.enabled && !*messages);
    config_unref(c);
}
END_TEST

void add_tls_tests(Suite *suite)
{
    TCase *files = tcase_create("tls files");
    tcase_add_unchecked_fixture(files, make_files, remove_files);
    tcase_add_test(files, good_files_are_taken);
    tcase_add_loop_test(files, bad_files_are_refused, 0, (int)(sizeof bad_files / sizeof bad_files[0]));
    tcase_add_test(files, wrong_times_are_a_warning);
    tcase_add_test(files, files_of_a_switched_off_tls_rest);
    suite_add_tcase(suite, files);
}
