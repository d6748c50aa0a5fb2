/* The access log. */

#include "admin_test.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#include "admin/access_log.h"
#include "unit.h"

static char *read_file(const char *path)
{
    static char content[256 * 1024];
    FILE *f = fopen(path, "r");
    size_t n;

    ck_assert_ptr_nonnull(f);
    n = fread(content, 1, sizeof content - 1, f);
    content[n] = '\0';
    fclose(f);
    return content;
}

static char log_path[] = "/tmp/carpool-admin-test-XXXXXX";

static void make_log_path(void)
{
    int fd = mkstemp(log_path);

    ck_assert_int_ge(fd, 0);
    close(fd);
}

static struct exchange_record some_record(struct address *client)
{
    ck_assert(address_from_ip(client, SLICE("127.0.0.1"), 5000));
    return (struct exchange_record){
        .client = client,
        .method = SLICE("GET"),
        .target = SLICE("http://a.test/x"),
        .status = 200,
        .bytes_in = 3,
        .bytes_out = 5,
        .agent = SLICE("default"),
        .reused = true,
        .pending_us = 1999,
        .connect_us = 0,
        .ttfb_us = 12045,
        .total_us = 3000000,
        .retries = 1,
    };
}

static char *logged(enum access_log_format format, const struct exchange_record *r)
{
    char error[256];
    struct access_log *l;
    char *line;

    make_log_path();
    l = access_log_open(log_path, format, error, sizeof error);
    ck_assert_ptr_nonnull(l);
    access_log_write(l, r);
    access_log_close(l);
    line = read_file(log_path);
    unlink(log_path);
    return line;
}

START_TEST(accesslog_writes_text)
{
    struct address client;
    struct exchange_record r = some_record(&client);
    char *line = logged(ACCESS_LOG_TEXT, &r);

    ck_assert_str_eq(
        line + strlen("time=2026-11-21T03:40:26.123Z"),
        " client=127.0.0.1:5000 method=GET target=http://a.test/x status=200 bytesIn=3 "
        "bytesOut=5 agent=default"
        " reused=true pendingMs=1.999 connectMs=0.000 ttfbMs=12.045 totalMs=3000.000 retries=1\n");
}
END_TEST

START_TEST(accesslog_writes_json)
{
    struct address client;
    struct exchange_record r = some_record(&client);
    json_t *o;

    r.target = SLICE("http://a.test/\"\\\n\xff");
    r.error = "connection_refused";
    o = json_loads(logged(ACCESS_LOG_JSON, &r), 0, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_eq(json_object_size(o), 15);
    ck_assert_str_eq(json_string_value(json_object_get(o, "target")), "http://a.test/\"\\\n\xc3\xbf");
    ck_assert_str_eq(json_string_value(json_object_get(o, "error")), "connection_refused");
    ck_assert_double_eq(json_real_value(json_object_get(o, "totalMs")), 3000);
    ck_assert(json_is_true(json_object_get(o, "reused")));
    json_decref(o);
}
END_TEST

START_TEST(accesslog_lets_no_line_be_forged)
{
    struct address client;
    struct exchange_record r = some_record(&client);
    char *line;

    r.method = SLICE("GET\nstatus=200 x=\"");
    r.agent = SLICE("");
    line = logged(ACCESS_LOG_TEXT, &r);
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
    ck_assert_ptr_nonnull(strstr(line, " method=\"GET\\nstatus=200 x=\\\"\" target="));
    ck_assert_ptr_nonnull(strstr(line, " agent=- "));
}
END_TEST

START_TEST(accesslog_cuts_long_targets)
{
    static char target[100000];
    struct address client;
    struct exchange_record r = some_record(&client);
    json_t *o;

    memset(target, 1, sizeof target);
    r.target = (struct slice){target, sizeof target};
    o = json_loads(logged(ACCESS_LOG_JSON, &r), 0, NULL);
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_gt(json_string_length(json_object_get(o, "target")), 2000);
    json_decref(o);
}
END_TEST

START_TEST(accesslog_reopens)
{
    char error[256], moved[64];
    struct address client;
    struct exchange_record r = some_record(&client);
    struct access_log *l;

    make_log_path();
    snprintf(moved, sizeof moved, "%s.1", log_path);
    l = access_log_open(log_path, ACCESS_LOG_TEXT, error, sizeof error);
    access_log_write(l, &r);
    ck_assert_int_eq(rename(log_path, moved), 0);
    access_log_reopen(l);
    r.status = 404;
    access_log_write(l, &r);
    access_log_close(l);
    ck_assert_ptr_nonnull(strstr(read_file(moved), "status=200"));
    ck_assert_ptr_null(strstr(read_file(moved), "status=404"));
    ck_assert_ptr_null(strstr(read_file(log_path), "status=200"));
    ck_assert_ptr_nonnull(strstr(read_file(log_path), "status=404"));
    unlink(moved);
    unlink(log_path);
}
END_TEST

START_TEST(accesslog_drops_for_a_slow_reader)
{
    char error[256], content[4096];
    struct address client;
    struct exchange_record r = some_record(&client);
    struct access_log *l;
    size_t lines = 0;
    int reader;
    ssize_t n;

    make_log_path();
    unlink(log_path);
    ck_assert_int_eq(mkfifo(log_path, 0600), 0);
    reader = open(log_path, O_RDONLY | O_NONBLOCK);
    l = access_log_open(log_path, ACCESS_LOG_TEXT, error, sizeof error);
    ck_assert_ptr_nonnull(l);
    for (int i = 0; i < 10000; i++)
        access_log_write(l, &r); /* must not block: the pipe holds 64 KiB */
    while ((n = read(reader, content, sizeof content)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            lines += content[i] == '\n';
        access_log_flush(l);
    }
    ck_assert_uint_gt(lines, 100);
    ck_assert_uint_lt(lines, 9000);
    access_log_close(l);
    close(reader);
    unlink(log_path);
}
END_TEST

START_TEST(accesslog_asks_for_the_turn_that_it_needs)
{
    struct address client;
    struct exchange_record r = some_record(&client);
    char error[256];
    struct access_log *l;

    make_log_path();
    l = access_log_open(log_path, ACCESS_LOG_TEXT, error, sizeof error);
    ck_assert_ptr_nonnull(l);
    ck_assert(!access_log_end_turn(l));
    access_log_flush(l);
    access_log_write(l, &r);
    ck_assert(access_log_end_turn(l));
    access_log_flush(l);
    ck_assert(!access_log_end_turn(l));
    access_log_close(l);
    unlink(log_path);
}
END_TEST

START_TEST(accesslog_says_why_it_cannot_open)
{
    char error[256];

    ck_assert_ptr_null(access_log_open("/nowhere/at/all", ACCESS_LOG_TEXT, error, sizeof error));
    ck_assert_ptr_nonnull(strstr(error, "/nowhere/at/all: No such file or directory"));
}
END_TEST

void add_access_log_tests(Suite *suite)
{
    unit_group(suite, "accesslog", accesslog_writes_text, accesslog_writes_json,
               accesslog_lets_no_line_be_forged, accesslog_cuts_long_targets, accesslog_reopens,
               accesslog_drops_for_a_slow_reader, accesslog_asks_for_the_turn_that_it_needs,
               accesslog_says_why_it_cannot_open);
}
