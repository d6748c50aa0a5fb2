/* lib/base/log */

#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base_test.h"

/* Stderr as a pipe or a file, and what came out of it. */
struct capture {
    int saved;
    int in; /* the reading end, or the file */
    char text[256 * 1024];
};

static struct capture capture;

static void capture_pipe(void)
{
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    capture.saved = dup(STDERR_FILENO);
    capture.in = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

/* What was written since the last time. */
static const char *captured(void)
{
    size_t length = 0;
    ssize_t n;

    while ((n = read(capture.in, capture.text + length, sizeof capture.text - 1 - length)) > 0)
        length += (size_t)n;
    capture.text[length] = '\0';
    return capture.text;
}

static void capture_end(void)
{
    dup2(capture.saved, STDERR_FILENO);
    close(capture.saved);
    close(capture.in);
}

/* The line behind its time. */
static const char *captured_tail(void)
{
    const char *text = captured();

    ck_assert_msg(strncmp(text, "time=", 5) == 0, "%s", text);
    return strchr(text, ' ') + 1;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;

    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        count++;
    return count;
}

static void check_text(struct slice value, const char *expected)
{
    char out[256];

    assert_slice(((struct slice){out, log_escape_text(out, sizeof out, value)}), expected);
}

static void check_json(struct slice value, const char *expected)
{
    char out[256];

    assert_slice(((struct slice){out, log_escape_json(out, sizeof out, value)}), expected);
}

START_TEST(log_escapes_text)
{
    check_text(SLICE(""), "");
    check_text((struct slice){0}, "");
    check_text(SLICE("127.0.0.1:3128"), "127.0.0.1:3128");
    check_text(SLICE("it's\\plain"), "it's\\plain");
    check_text(SLICE("a b"), "\"a b\"");
    check_text(SLICE("a=b"), "\"a=b\"");
    check_text(SLICE("say \"hi\""), "\"say \\\"hi\\\"\"");
    check_text(SLICE("a\nb\rc\td\\"), "\"a\\nb\\rc\\td\\\\\"");
    check_text(SLICE("\0\x1b\x7f\xc3\xa4"), "\"\\x00\\x1b\\x7f\\xc3\\xa4\"");
}
END_TEST

START_TEST(log_escapes_json)
{
    check_json(SLICE(""), "\"\"");
    check_json((struct slice){0}, "\"\"");
    check_json(SLICE("a=b c/"), "\"a=b c/\"");
    check_json(SLICE("\"\\\n\r\t"), "\"\\\"\\\\\\n\\r\\t\"");
    check_json(SLICE("\0\x1b\x7f"), "\"\\u0000\\u001b\\u007f\"");
    check_json(SLICE("\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x97"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x97\"");
    check_json(SLICE("\xc2\x9b\xc2\xa0"), "\"\\u009b\xc2\xa0\"");
    /* Alone, cut short, overlong, a surrogate, too large, never legal. */
    check_json(SLICE("\x80"), "\"\\u0080\"");
    check_json(SLICE("\xe2\x82"), "\"\\u00e2\\u0082\"");
    check_json(SLICE("\xe2\x82x"), "\"\\u00e2\\u0082x\"");
    check_json(SLICE("\xc0\xaf"), "\"\\u00c0\\u00af\"");
    check_json(SLICE("\xe0\x9f\xbf"), "\"\\u00e0\\u009f\\u00bf\"");
    check_json(SLICE("\xed\xa0\x80"), "\"\\u00ed\\u00a0\\u0080\"");
    check_json(SLICE("\xf0\x8f\xbf\xbf"), "\"\\u00f0\\u008f\\u00bf\\u00bf\"");
    check_json(SLICE("\xf4\x90\x80\x80"), "\"\\u00f4\\u0090\\u0080\\u0080\"");
    check_json(SLICE("\xff\xfe"), "\"\\u00ff\\u00fe\"");
}
END_TEST

START_TEST(log_escapes_within_any_room)
{
    struct slice value = SLICE("a\"\n\x01\xc3\xa4\xff\xf0\x9f\x9a\x97 z");

    for (size_t room = 0; room < 60; room++) {
        char *out = malloc(room + 1); /* exact, for the sanitizer */
        size_t n = log_escape_json(out, room, value);
        json_t *json;

        ck_assert_uint_le(n, room);
        if (room >= 2) {
            json = json_loadb(out, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            ck_assert_msg(json_is_string(json), "room %zu: %.*s", room, (int)n, out);
            json_decref(json);
        }
        n = log_escape_text(out, room, value);
        ck_assert_uint_le(n, room);
        ck_assert(n == 0 || (n >= 2 && out[0] == '"' && out[n - 1] == '"'));
        n = log_escape_text(out, room, SLICE("plain"));
        ck_assert_uint_eq(n, room < 5 ? room : 5);
        free(out);
    }
}
END_TEST

START_TEST(log_json_is_valid_for_every_pair_of_bytes)
{
    for (unsigned i = 0; i < 65536; i++) {
        char value[3] = {(char)(i >> 8), (char)i, 'x'};
        char out[32];
        size_t n = log_escape_json(out, sizeof out, (struct slice){value, sizeof value});
        json_t *json = json_loadb(out, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        ck_assert_msg(json_is_string(json), "%04x", i);
        json_decref(json);
    }
}
END_TEST

START_TEST(log_writes_text_lines)
{
    capture_pipe();
    log_event(LOG_INFO, "listening", LOG_S("address", "127.0.0.1:3128"), LOG_N("backlog", -5),
              LOG_B("tls", 1), LOG_SLICE("target", SLICE("a b\n")), LOG_S("empty", ""));
    ck_assert_str_eq(captured_tail(),
                     "level=info msg=\"listening\" address=127.0.0.1:3128 backlog=-5 tls=true "
                     "target=\"a b\\n\" empty=\n");
    ck_assert_uint_eq(strspn(capture.text + 5, "0123456789-T:.Z"), 24);
    log_line(LOG_ERROR, "no such file: %s", "x\"y");
    ck_assert_str_eq(captured_tail(), "level=error msg=\"no such file: x\\\"y\"\n");
    capture_end();
}
END_TEST

START_TEST(log_writes_json_lines)
{
    json_t *json;

    capture_pipe();
    log_configure(LOG_DEBUG, LOG_JSON, false);
    log_event(LOG_DEBUG, "ready", LOG_S("name", "x\xff"), LOG_N("n", 1234567890123), LOG_B("ok", 0));
    json = json_loads(captured(), 0, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_str_eq(json_string_value(json_object_get(json, "level")), "debug");
    ck_assert_str_eq(json_string_value(json_object_get(json, "msg")), "ready");
    ck_assert_str_eq(json_string_value(json_object_get(json, "name")), "x\xc3\xbf");
    ck_assert_int_eq(json_integer_value(json_object_get(json, "n")), 1234567890123);
    ck_assert(json_is_false(json_object_get(json, "ok")));
    ck_assert_uint_eq(strlen(json_string_value(json_object_get(json, "time"))), 24);
    ck_assert_uint_eq(json_object_size(json), 6);
    json_decref(json);
    capture_end();
}
END_TEST

START_TEST(log_keeps_to_its_level)
{
    capture_pipe();
    ck_assert(log_enabled(LOG_INFO) && !log_enabled(LOG_DEBUG));
    log_configure(LOG_WARN, LOG_TEXT, true);
    ck_assert(log_enabled(LOG_ERROR) && log_enabled(LOG_WARN) && !log_enabled(LOG_INFO));
    log_line(LOG_INFO, "not this");
    log_event(LOG_INFO, "nor this", LOG_N("a", 1));
    ck_assert_str_eq(captured(), "");
    log_line(LOG_ERROR, "a");
    ck_assert_int_eq(strncmp(captured(), "<3>time=", 8), 0);
    log_line(LOG_WARN, "a");
    ck_assert_int_eq(strncmp(captured(), "<4>time=", 8), 0);
    log_configure(LOG_DEBUG, LOG_JSON, true);
    log_line(LOG_INFO, "a");
    ck_assert_int_eq(strncmp(captured(), "<6>{\"time\"", 10), 0);
    log_line(LOG_DEBUG, "a");
    ck_assert_int_eq(strncmp(captured(), "<7>{\"time\"", 10), 0);
    capture_end();
}
END_TEST

START_TEST(log_cuts_long_lines)
{
    static char huge[100000];
    struct log_pair pairs[12];
    json_t *json;

    memset(huge, '\n', sizeof huge - 1);
    for (size_t i = 0; i < 12; i++)
        pairs[i] = LOG_S("key", huge);
    capture_pipe();
    for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
        size_t length;

        log_configure(LOG_INFO, (enum log_format)format, true);
        log_pairs(LOG_INFO, huge, pairs, 12);
        length = strlen(captured());
        ck_assert_uint_le(length, PIPE_BUF);
        ck_assert_uint_gt(length, PIPE_BUF - 200);
        ck_assert_int_eq(count_of(capture.text, "\n"), 1);
        ck_assert_int_eq(capture.text[length - 1], '\n');
        ck_assert_int_eq(count_of(capture.text, "truncated"), 1);
    }
    json = json_loads(capture.text + 3, 0, NULL);
    ck_assert(json_is_true(json_object_get(json, "truncated")));
    json_decref(json);

    /* One long value does not push the others out. */
    log_configure(LOG_INFO, LOG_TEXT, false);
    log_event(LOG_INFO, "m", LOG_S("target", huge), LOG_S("error", "dns_error"));
    ck_assert_ptr_nonnull(strstr(captured(), " error=dns_error truncated=true\n"));
    log_line(LOG_INFO, "%s", huge);
    ck_assert_ptr_nonnull(strstr(captured(), " truncated=true\n"));
    capture_end();
}
END_TEST

/* Whatever the lengths are, a line fits and is valid. */
START_TEST(log_lines_end_right_at_every_length)
{
    static char value[1200];

    memset(value, 'v', sizeof value - 1);
    capture_pipe();
    log_configure(LOG_DEBUG, LOG_JSON, true);
    for (size_t n = 0; n < 1200; n++) {
        struct slice part = {value, n};
        json_t *json;
        bool whole;

        log_event(LOG_DEBUG, "m", LOG_SLICE("a", part), LOG_SLICE("b", part), LOG_SLICE("c", part),
                  LOG_SLICE("d", part), LOG_N("e", -9223372036854775807LL - 1), LOG_B("f", 1));
        ck_assert_uint_le(strlen(captured()), PIPE_BUF);
        json = json_loads(capture.text + 3, 0, NULL);
        ck_assert_msg(json != NULL, "%zu: %s", n, capture.text);
        whole = json_string_length(json_object_get(json, "a")) == n &&
                json_string_length(json_object_get(json, "d")) == n && json_object_get(json, "f");
        ck_assert_int_eq(json_is_true(json_object_get(json, "truncated")), !whole);
        ck_assert(whole || n > 970); /* four of those fill a line */
        ck_assert(!whole || n < 1000);
        json_decref(json);
    }
    capture_end();
}
END_TEST

static void sleep_ms(long ms)
{
    struct timespec nap = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&nap, NULL);
}

START_TEST(log_counts_repetitions)
{
    capture_pipe();
    log_configure(LOG_DEBUG, LOG_TEXT, false);
    for (int i = 0; i < 60; i++)
        log_event(LOG_WARN, "refused", LOG_N("n", i));
    ck_assert_int_eq(count_of(captured(), "\n"), 10);
    ck_assert_ptr_nonnull(strstr(capture.text, " n=9\n"));
    for (int i = 0; i < 15; i++)
        log_line(LOG_DEBUG, "refused");
    ck_assert_int_eq(count_of(captured(), "\n"), 15);
    log_line(LOG_ERROR, "refused"); /* another level is another message */
    ck_assert_str_eq(captured_tail(), "level=error msg=\"refused\"\n");

    sleep_ms(1100);
    log_line(LOG_INFO, "something else");
    ck_assert_int_eq(count_of(captured(), "\n"), 2);
    ck_assert_ptr_nonnull(strstr(capture.text, "level=warn msg=\"refused\" repeated=50\n"));
    ck_assert_ptr_nonnull(strstr(capture.text, "msg=\"something else\"\n"));
    log_line(LOG_WARN, "refused");
    ck_assert_str_eq(captured_tail(), "level=warn msg=\"refused\"\n");
    capture_end();
}
END_TEST

START_TEST(log_flushes_repetitions)
{
    capture_pipe();
    for (int i = 0; i < 12; i++)
        log_line(LOG_INFO, "again \"%s\"", "x");
    ck_assert_int_eq(count_of(captured(), "\n"), 10);
    log_flush();
    ck_assert_str_eq(captured_tail(), "level=info msg=\"again \\\"x\\\"\" repeated=2\n");
    log_flush();
    ck_assert_str_eq(captured(), "");
    capture_end();
}
END_TEST

/* The storm of one agent does not hide what another one says. */
START_TEST(log_counts_repetitions_of_each_agent)
{
    char name[16];

    capture_pipe();
    for (int i = 0; i < 30; i++)
        log_event(LOG_WARN, "failed", LOG_S("agent", "loud"), LOG_N("n", i));
    log_event(LOG_WARN, "failed", LOG_S("agent", "quiet"));
    ck_assert_int_eq(count_of(captured(), "\n"), 11);
    ck_assert_ptr_nonnull(strstr(capture.text, "agent=quiet\n"));
    log_flush();
    ck_assert_str_eq(captured_tail(), "level=warn msg=\"failed\" agent=loud repeated=20\n");
    /* More agents than can be watched: the others are counted together. */
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "a%d", i);
        log_event(LOG_WARN, "failed", LOG_S("agent", name));
    }
    ck_assert_int_lt(count_of(captured(), "\n"), 100);
    capture_end();
}
END_TEST

/* More messages than can be watched: the oldest is said when it makes room. */
START_TEST(log_watches_many_messages)
{
    capture_pipe();
    for (int i = 0; i < 13; i++)
        log_line(LOG_INFO, "first");
    sleep_ms(5);
    ck_assert_int_eq(count_of(captured(), "\n"), 10);
    for (int i = 0; i < 63; i++)
        log_line(LOG_INFO, "other %d", i);
    ck_assert_int_eq(count_of(captured(), "\n"), 63);
    log_line(LOG_INFO, "one too many");
    ck_assert_int_eq(count_of(captured(), "\n"), 2);
    ck_assert_ptr_nonnull(strstr(capture.text, "msg=\"first\" repeated=3\n"));
    capture_end();
}
END_TEST

START_TEST(log_never_blocks)
{
    static char filler[1000];
    int lines;

    memset(filler, 'f', sizeof filler - 1);
    capture_pipe();
    log_configure(LOG_DEBUG, LOG_TEXT, false);
    for (int i = 0; i < 500; i++)
        log_event(LOG_DEBUG, "m", LOG_S("f", filler));
    lines = count_of(captured(), "\n");
    ck_assert_int_gt(lines, 10);
    ck_assert_int_lt(lines, 500);
    ck_assert_ptr_null(strstr(capture.text, "dropped"));

    log_line(LOG_INFO, "after");
    captured();
    ck_assert_int_eq(count_of(capture.text, "\n"), 2);
    ck_assert_ptr_nonnull(strstr(capture.text, "level=warn msg=\"log lines were dropped"));
    ck_assert_int_eq(atoi(strstr(capture.text, "lines=") + 6), 500 - lines);
    ck_assert_ptr_nonnull(strstr(capture.text, "level=info msg=\"after\"\n"));
    log_line(LOG_INFO, "more");
    ck_assert_int_eq(count_of(captured(), "\n"), 1);

    /* The count is said by a flush too. */
    for (int i = 0; i < 500; i++)
        log_event(LOG_DEBUG, "m", LOG_S("f", filler));
    lines = count_of(captured(), "\n");
    log_flush();
    ck_assert_int_eq(count_of(captured(), "\n"), 1);
    ck_assert_int_eq(atoi(strstr(capture.text, "lines=") + 6), 500 - lines);
    capture_end();
}
END_TEST

START_TEST(log_writes_to_a_file)
{
    char path[] = "/tmp/carpool-log-XXXXXX";
    int fd = mkstemp(path);
    int saved = dup(STDERR_FILENO);

    unlink(path);
    dup2(fd, STDERR_FILENO);
    for (int i = 0; i < 500; i++) {
        log_line(LOG_INFO, "line %d", i);
    }
    dup2(saved, STDERR_FILENO);
    close(saved);
    lseek(fd, 0, SEEK_SET);
    capture.in = fd;
    ck_assert_int_eq(count_of(captured(), "\n"), 500);
    ck_assert_int_eq(count_of(capture.text, "dropped"), 0);
    close(fd);
}
END_TEST

START_TEST(log_survives_a_closed_stderr)
{
    int saved = dup(STDERR_FILENO);

    close(STDERR_FILENO);
    log_line(LOG_INFO, "nobody hears this");
    log_flush();
    dup2(saved, STDERR_FILENO);
    close(saved);
}
END_TEST

static void *log_much(void *arg)
{
    for (int i = 0; i < 50; i++)
        log_event(LOG_DEBUG, "thread", LOG_N("id", (intptr_t)arg), LOG_N("i", i));
    return NULL;
}

START_TEST(log_takes_several_threads)
{
    pthread_t threads[4];
    const char *line;

    capture_pipe();
    log_configure(LOG_DEBUG, LOG_TEXT, false);
    for (intptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_much, (void *)i), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    line = captured();
    ck_assert_int_eq(count_of(line, "\n"), 200);
    for (; *line; line = strchr(line, '\n') + 1)
        ck_assert_int_eq(strncmp(line, "time=", 5), 0);
    capture_end();
}
END_TEST

void base_log_tests(Suite *suite)
{
    unit_group(suite, "log escapes", log_escapes_text, log_escapes_json, log_escapes_within_any_room,
               log_json_is_valid_for_every_pair_of_bytes);
    unit_group(suite, "log lines", log_writes_text_lines, log_writes_json_lines, log_keeps_to_its_level,
               log_cuts_long_lines, log_lines_end_right_at_every_length);
    unit_group(suite, "log limits", log_counts_repetitions, log_flushes_repetitions,
               log_counts_repetitions_of_each_agent, log_watches_many_messages, log_never_blocks,
               log_writes_to_a_file, log_survives_a_closed_stderr, log_takes_several_threads);
}
