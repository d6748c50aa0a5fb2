/* A configuration that is read beside the one in force. */

#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ca/issue.h"
#include "config/tls_setup.h"
#include "config/tls_trust.h"
#include "config_test.h"

struct reload_rig {
    char path[32];
    struct config *running;
};

static void write_to(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void reload_open(struct reload_rig *r, const char *text)
{
    strcpy(r->path, "/tmp/carpool-config-XXXXXX");
    close(mkstemp(r->path));
    write_to(r->path, text);
    r->running = config_load(r->path, NULL, stderr);
    ck_assert_ptr_nonnull(r->running);
}

static void reload_close(struct reload_rig *r)
{
    config_unref(r->running);
    unlink(r->path);
}

static void reload_is_refused(const struct reload_rig *r, const char *words)
{
    char message[4096] = "";
    FILE *f = fmemopen(message, sizeof message, "w");
    ck_assert_ptr_null(config_reload(r->running, NULL, NULL, f));
    fclose(f);
    ck_assert_msg(strstr(message, words) != NULL, "wanted: %s\ntold: %s", words, message);
    ck_assert(strncmp(message, r->path, strlen(r->path)) == 0);
}

START_TEST(a_reload_wants_a_file_with_options)
{
    static const char *const nothing[] = {"", "# soon\n", "---\n...\n", "{}\n", "~\n"};
    struct reload_rig r;
    reload_open(&r, "access: {unmatched: deny}\n");
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        write_to(r.path, nothing[i]);
        reload_is_refused(&r, "sets no option");
    }
    unlink(r.path);
    reload_is_refused(&r, "No such file");
    ck_assert_int_eq(mkfifo(r.path, 0600), 0); /* nobody writes into it */
    reload_is_refused(&r, "a regular file");
    unlink(r.path);
    ck_assert_int_eq(mkdir(r.path, 0700), 0);
    reload_is_refused(&r, "a regular file");
    rmdir(r.path);
    reload_close(&r);
}
END_TEST

START_TEST(a_reload_of_nothing_stays_nothing)
{
    struct reload_rig r;
    reload_open(&r, "# all defaults\n");
    struct config *c = config_reload(r.running, NULL, NULL, stderr);
    ck_assert_ptr_nonnull(c);
    config_unref(c);
    reload_close(&r);
    struct config *built_in = config_load(NULL, NULL, stderr);
    c = config_reload(built_in, NULL, NULL, stderr);
    ck_assert_ptr_nonnull(c);
    config_unref(c);
    config_unref(built_in);
}
END_TEST

START_TEST(workers_and_name_stay_as_they_run)
{
    struct reload_rig r;
    reload_open(&r, "workers: 1\nname: one\n");
    write_to(r.path, "workers: 2\nname: two\n");
    struct config *c = config_reload(r.running, NULL, NULL, stderr);
    ck_assert_uint_eq(c->workers, 1);
    ck_assert_str_eq(c->name, "one");
    ck_assert_uint_eq(c->restart_needed.count, 2);
    ck_assert_str_eq(c->restart_needed.items[0], "workers");
    ck_assert_str_eq(c->restart_needed.items[1], "name");
    config_unref(r.running);
    r.running = c;
    write_to(r.path, "workers: 1\nname: one\n");
    c = config_reload(r.running, NULL, NULL, stderr);
    ck_assert_uint_eq(c->restart_needed.count, 0);
    config_unref(c);
    reload_close(&r);
}
END_TEST

START_TEST(a_reload_can_be_given_up)
{
    struct reload_rig r;
    char message[512] = "";
    bool cancelled = true;
    reload_open(&r, "upstreams: {a: {match: a.test}}\n");
    FILE *f = fmemopen(message, sizeof message, "w");
    ck_assert_ptr_null(config_reload(r.running, NULL, &cancelled, f));
    fclose(f);
    ck_assert_ptr_nonnull(strstr(message, "given up"));
    reload_close(&r);
}
END_TEST

/* ---- the system's trusted certificates */

/* A file of so many authorities. */
static void write_authorities(const char *path, int count)
{
    static const char *const hosts[] = {"a.test"};
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < count; i++) {
        struct issued made;
        char subject[32];
        snprintf(subject, sizeof subject, "number %d", i);
        ck_assert(issue_authority(subject, hosts, 1, 1, time(NULL), &made) &&
                  PEM_write_X509(f, made.certificate));
        issued_free(&made);
    }
    fclose(f);
}

static X509_STORE *store_of(const struct config *c)
{
    return SSL_CTX_get_cert_store(c->upstreams[0].tls.setup->ssl);
}

/* How many are in memory. */
static int trusted_by(const struct config *c)
{
    return sk_X509_OBJECT_num(X509_STORE_get0_objects(store_of(c)));
}

static void reload_now(struct reload_rig *r)
{
    struct config *c = config_reload(r->running, NULL, NULL, stderr);
    ck_assert_ptr_nonnull(c);
    config_unref(r->running);
    r->running = c;
}

/* As OpenSSL does when a peer has shown one. */
static void verify_something(const struct config *c)
{
    X509_STORE_CTX *x = X509_STORE_CTX_new();
    X509 *unknown = X509_new();
    ck_assert(X509_STORE_CTX_init(x, store_of(c), unknown, NULL));
    ck_assert_int_ne(tls_trust_verify(x, NULL), 1);
    X509_STORE_CTX_free(x);
    X509_free(unknown);
}

START_TEST(the_systems_store_is_read_when_it_is_needed)
{
    struct reload_rig r;
    char path[] = "/tmp/carpool-store-XXXXXX";
    close(mkstemp(path));
    setenv("SSL_CERT_FILE", path, 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    write_authorities(path, 1);
    reload_open(
        &r, "upstreams: {a: {match: a.test, tls: true}, b: {match: b.test, tls: {minVersion: TLSv1.3}}}\n");
    ck_assert_int_eq(trusted_by(r.running), 0);
    write_authorities(path, 2);
    reload_now(&r);
    ck_assert_int_eq(trusted_by(r.running), 0);
    verify_something(r.running);
    ck_assert_int_eq(trusted_by(r.running), 2);
    verify_something(r.running);
    ck_assert_int_eq(trusted_by(r.running), 2);
    ck_assert_ptr_eq(store_of(r.running), SSL_CTX_get_cert_store(r.running->upstreams[1].tls.setup->ssl));
    /* A reload of the same keeps it; one of another, while it is in use, reads that beside the running
     * loops */
    reload_now(&r);
    ck_assert_int_eq(trusted_by(r.running), 2);
    write_authorities(path, 3);
    reload_now(&r);
    ck_assert_int_eq(trusted_by(r.running), 3);
    reload_close(&r);
    unlink(path);
}
END_TEST

/* What the limit was. */
static struct rlimit leave_no_descriptor(void)
{
    struct rlimit limit, low;
    int next = open("/dev/null", O_RDONLY);
    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    low.rlim_cur = (rlim_t)next;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    return limit;
}

START_TEST(a_store_that_could_not_be_read_is_tried_again)
{
    struct reload_rig r;
    char path[] = "/tmp/carpool-store-XXXXXX";
    close(mkstemp(path));
    setenv("SSL_CERT_FILE", path, 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    write_authorities(path, 2);
    reload_open(&r, "upstreams: {a: {match: a.test, tls: true}}\n");
    struct rlimit limit = leave_no_descriptor();
    verify_something(r.running);
    verify_something(r.running);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(trusted_by(r.running), 0);
    verify_something(r.running);
    ck_assert_int_eq(trusted_by(r.running), 2);
    reload_close(&r);
    unlink(path);
}
END_TEST

START_TEST(a_broken_store_is_tried_again)
{
    struct reload_rig r;
    char path[] = "/tmp/carpool-store-XXXXXX";
    close(mkstemp(path));
    setenv("SSL_CERT_FILE", path, 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    write_to(path, "-----BEGIN CERTIFICATE-----\n");
    reload_open(&r, "upstreams: {a: {match: a.test, tls: true}}\n");
    verify_something(r.running);
    ck_assert_int_eq(trusted_by(r.running), 0);
    write_authorities(path, 1);
    verify_something(r.running);
    ck_assert_int_eq(trusted_by(r.running), 1);
    reload_close(&r);
    unlink(path);
}
END_TEST

START_TEST(a_system_without_a_store_trusts_nobody)
{
    struct reload_rig r;
    setenv("SSL_CERT_FILE", "/nonexistent", 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    reload_open(&r, "upstreams: {a: {match: a.test, tls: true}}\n");
    verify_something(r.running);
    ck_assert_int_eq(trusted_by(r.running), 0);
    reload_close(&r);
}
END_TEST

void add_reload_tests(Suite *suite)
{
    unit_group(suite, "reload", a_reload_wants_a_file_with_options, a_reload_of_nothing_stays_nothing,
               workers_and_name_stay_as_they_run, a_reload_can_be_given_up,
               the_systems_store_is_read_when_it_is_needed, a_store_that_could_not_be_read_is_tried_again,
               a_broken_store_is_tried_again, a_system_without_a_store_trusts_nobody);
}
