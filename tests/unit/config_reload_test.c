/* A configuration that is read beside the one in force. */

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
        reload_is_refused(&r, "holds no option");
    }
    unlink(r.path);
    reload_is_refused(&r, "No such file");
    ck_assert_int_eq(mkfifo(r.path, 0600), 0); /* nobody writes into it */
    reload_is_refused(&r, "no regular file");
    unlink(r.path);
    ck_assert_int_eq(mkdir(r.path, 0700), 0);
    reload_is_refused(&r, "no regular file");
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

void add_reload_tests(Suite *suite)
{
    unit_group(suite, "reload", a_reload_wants_a_file_with_options, a_reload_of_nothing_stays_nothing,
               workers_and_name_stay_as_they_run, a_reload_can_be_given_up);
}
