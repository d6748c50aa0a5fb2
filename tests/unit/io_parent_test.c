/* lib/io/parent, over a socket pair */

#include "io_test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "http/head.h"
#include "io/parent.h"

static const struct parent_proxy parent = {
    .host = (char[]){"px.test"},
    .port = 3128,
    .address = (char[]){"px.test:3128"},
    .authorization = (char[]){"Proxy-Authorization: Basic YTpi\r\n"},
};

struct fixture {
    struct connect_plan plan;
    struct conn conn;
    int other;
    struct parent_talk *talk;
    char text[256];
};

static void set_up(struct fixture *f, const char *host)
{
    int fds[2];

    http_init();
    *f = (struct fixture){.plan = {.host = host, .port = 443, .parent = &parent, .tunnel = true}};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    conn_open(&f->conn, fds[0]);
    f->other = fds[1];
    f->talk = parent_talk_new(&f->plan);
    ck_assert_ptr_nonnull(f->talk);
}

static void tear_down(struct fixture *f)
{
    parent_talk_free(f->talk);
    conn_close(&f->conn, false);
    if (f->other >= 0)
        close(f->other);
}

static enum parent_verdict go_on(struct fixture *f)
{
    return parent_talk_go_on(f->talk, &f->conn, f->text, sizeof f->text);
}

static void say(struct fixture *f, const char *text)
{
    ck_assert_int_eq(write(f->other, text, strlen(text)), (ssize_t)strlen(text));
}

/* What the other end has received, or what was left for whoever comes next. */
static const char *received(int fd)
{
    static char text[4096];
    ssize_t n = read(fd, text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

START_TEST(parent_is_asked)
{
    struct fixture f;

    set_up(&f, "a.test");
    ck_assert_int_eq(go_on(&f), PARENT_WAITS);
    ck_assert_str_eq(received(f.other), "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n"
                                        "Proxy-Authorization: Basic YTpi\r\n\r\n");
    tear_down(&f);
    set_up(&f, "fd00::1");
    ck_assert_int_eq(go_on(&f), PARENT_WAITS);
    ck_assert_ptr_nonnull(
        strstr(received(f.other), "CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\n"));
    tear_down(&f);
}
END_TEST

/* Not one byte behind the head is taken, however it arrives. */
START_TEST(parent_agrees)
{
    static const char answer[] = "HTTP/1.1 102 Wait\r\nX: y\r\n\r\n"
                                 "HTTP/1.0 200 Connection established\r\nContent-Length: 5\r\n\r\nhello";
    size_t head = strlen(answer) - strlen("hello");

    for (size_t cut = 0; cut < sizeof answer - 1; cut++) {
        struct fixture f;
        char first[sizeof answer];

        set_up(&f, "a.test");
        snprintf(first, sizeof first, "%.*s", (int)cut, answer);
        say(&f, first);
        ck_assert_int_eq(go_on(&f), cut < head ? PARENT_WAITS : PARENT_AGREES);
        if (cut < head) {
            say(&f, answer + cut);
            ck_assert_int_eq(go_on(&f), PARENT_AGREES);
            ck_assert_str_eq(received(f.conn.fd), "hello");
        } else {
            ck_assert_str_eq(received(f.conn.fd), first + head);
        }
        tear_down(&f);
    }
}
END_TEST

static const struct {
    const char *answer;
    enum parent_verdict verdict;
    const char *text;
} refusals[] = {
    {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", PARENT_REFUSES,
     "the parent proxy px.test:3128 refused CONNECT a.test:443: 407 Proxy Authentication Required; set user and "
     "password in `proxy`"},
    {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", PARENT_REFUSES,
     "403 Forbidden; it does not allow"},
    {"HTTP/1.1 503 \xff\r\n\r\n", PARENT_REFUSES, ": 503 ?"},
    {"HTTP/1.1 301 Elsewhere\r\n\r\n", PARENT_REFUSES, "301 Elsewhere"},
    {"HTTP/1.1 101 Switching\r\n\r\n", PARENT_REFUSES, "interim"},
    {"SSH-2.0-OpenSSH\r\n\r\n", PARENT_REFUSES, "malformed"},
    {"HTTP/1.1 200 OK\n\n", PARENT_REFUSES, "malformed"},
    {"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", PARENT_REFUSES, "malformed"},
    {"HTTP/2.0 200 OK\r\n\r\n", PARENT_REFUSES, "malformed"},
};

START_TEST(parent_refuses)
{
    struct fixture f;

    set_up(&f, "a.test");
    say(&f, refusals[_i].answer);
    ck_assert_int_eq(go_on(&f), refusals[_i].verdict);
    ck_assert_msg(strstr(f.text, refusals[_i].text) != NULL, "%s", f.text);
    tear_down(&f);
}
END_TEST

START_TEST(parent_is_endless)
{
    char line[1000];
    struct fixture f;
    enum parent_verdict verdict = PARENT_WAITS;

    set_up(&f, "a.test");
    say(&f, "HTTP/1.1 200 OK\r\nX: ");
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    for (int i = 0; i < 20 && verdict == PARENT_WAITS; i++) {
        say(&f, line);
        verdict = go_on(&f);
    }
    ck_assert_int_eq(verdict, PARENT_REFUSES);
    tear_down(&f);
    set_up(&f, "a.test");
    for (int i = 0; i < 17; i++)
        say(&f, "HTTP/1.1 100 Continue\r\n\r\n");
    ck_assert_int_eq(go_on(&f), PARENT_REFUSES);
    tear_down(&f);
}
END_TEST

START_TEST(parent_hangs_up)
{
    static const char *const before[] = {"", "HTTP/1.1 200 OK\r\n"};

    for (int i = 0; i < 2; i++) {
        struct fixture f;

        set_up(&f, "a.test");
        ck_assert_int_eq(go_on(&f), PARENT_WAITS);
        say(&f, before[i]);
        received(f.other);
        close(f.other);
        f.other = -1;
        ck_assert_int_eq(go_on(&f), PARENT_HANGS_UP);
        ck_assert_ptr_nonnull(
            strstr(f.text, "px.test:3128 closed the connection before it answered CONNECT"));
        tear_down(&f);
    }
}
END_TEST

void io_parent_tests(Suite *suite)
{
    TCase *refusing = tcase_create("parent refuses");

    unit_group(suite, "parent", parent_is_asked, parent_agrees, parent_is_endless, parent_hangs_up);
    tcase_add_loop_test(refusing, parent_refuses, 0, sizeof refusals / sizeof refusals[0]);
    suite_add_tcase(suite, refusing);
}
