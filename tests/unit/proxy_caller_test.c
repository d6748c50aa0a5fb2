/* lib/proxy/caller: who clients are, how many are remembered, and whom `allow` lets through. */

#include "proxy_test.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include "proxy/caller.h"
#include "proxy/client.h"
#include "proxy_rig.h"

/* Of another host: 198.18.0.0 and on, which nobody has. */
static void other_host(struct proxy_rig *r, struct client *c, unsigned number)
{
    struct address a;
    char text[32];

    snprintf(text, sizeof text, "198.18.%u.%u", number / 256, number % 256);
    ck_assert(address_from_ip(&a, slice_of(text), 4711));
    *c = (struct client){.proxy = r->proxy, .frontend = r->frontend};
    c->conn.fd = -1;
    peer_address_set(&c->peer, &a);
    caller_identify(c);
}

START_TEST(off_asks_nothing)
{
    struct proxy_rig r;
    struct client c;

    proxy_rig_open(&r, "", "");
    other_host(&r, &c, 1);
    ck_assert_ptr_null(c.caller);
    ck_assert_int_lt(r.proxy->callers.diag.fd, 0);
    caller_count_request(c.caller, "u");
    caller_release(c.caller);
    proxy_rig_close(&r);
}
END_TEST

START_TEST(a_caller_is_found_once_and_again_when_a_reload_says_so)
{
    struct proxy_rig r;
    struct client c;

    proxy_rig_open(&r, "", "callers: user\n");
    other_host(&r, &c, 1);
    ck_assert_str_eq(c.caller->name, "198.18.0.1");
    ck_assert_int_eq(c.caller->kind, CALLER_HOST);
    struct caller *before = c.caller;
    caller_identify(&c);
    ck_assert_ptr_eq(c.caller, before);
    ck_assert_uint_eq(before->refs, 1);
    proxy_rig_configure(&r, "", "callers: unit\n");
    caller_identify(&c);
    ck_assert_ptr_eq(c.caller, before);
    ck_assert_uint_eq(before->refs, 1);
    proxy_rig_configure(&r, "", "");
    caller_identify(&c);
    ck_assert_ptr_null(c.caller);
    ck_assert_uint_eq(before->refs, 0);
    proxy_rig_close(&r);
}
END_TEST

/* A client over a unix socket: this process. The other end is closed. */
static void this_process(struct proxy_rig *r, struct client *c)
{
    int fds[2];

    *c = (struct client){.identified = CALLERS_OFF};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    c->proxy = r->proxy;
    c->frontend = r->frontend;
    c->conn.fd = fds[0];
    c->peer.sa.any.sa_family = AF_UNIX;
    caller_identify(c);
    close(fds[0]);
    close(fds[1]);
}

START_TEST(this_user_over_a_unix_socket)
{
    struct proxy_rig r;
    struct client c;
    char uid[32];

    proxy_rig_open(&r, "", "callers: user\n");
    this_process(&r, &c);
    snprintf(uid, sizeof uid, "uid:%u", (unsigned)geteuid());
    ck_assert_int_eq(c.caller->kind, CALLER_USER);
    ck_assert_uint_eq(c.caller->uid, geteuid());
    if (geteuid() == 0)
        ck_assert_msg(strcmp(c.caller->name, "root") == 0 || strcmp(c.caller->name, uid) == 0, "%s",
                      c.caller->name);
    caller_release(c.caller);
    proxy_rig_close(&r);
}
END_TEST

/* Without a descriptor it cannot be asked about, and is asked about again, but not once callers are off. */
START_TEST(a_question_that_is_open_ends_with_callers_off)
{
    struct proxy_rig r;
    struct client c = {.identified = CALLERS_OFF};
    struct rlimit before, none;
    int fds[2];

    proxy_rig_open(&r, "", "callers: unit\n");
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    c.proxy = r.proxy;
    c.frontend = r.frontend;
    c.conn.fd = fds[0];
    c.peer.sa.any.sa_family = AF_UNIX;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    caller_identify(&c);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(c.caller->kind, CALLER_UNKNOWN);
    ck_assert_int_eq(c.identified, CALLERS_OFF);
    proxy_rig_configure(&r, "", "");
    caller_identify(&c);
    ck_assert_ptr_null(c.caller);
    close(fds[0]);
    close(fds[1]);
    proxy_rig_close(&r);
}
END_TEST

START_TEST(callers_without_clients_are_forgotten_beyond_a_number)
{
    struct proxy_rig r;
    struct client kept, c;

    proxy_rig_open(&r, "", "callers: user\n");
    other_host(&r, &kept, 0);
    for (unsigned i = 0; i < 6000; i++) {
        other_host(&r, &c, i);
        caller_count_request(c.caller, i % 2 ? "u" : NULL);
        c.caller->errors++;
        caller_release(c.caller);
        ck_assert_uint_le(HASH_COUNT(r.proxy->callers.table), 2000);
    }
    uint64_t requests = r.proxy->callers.forgotten.requests, errors = r.proxy->callers.forgotten.errors;
    for (const struct caller *each = r.proxy->callers.table; each; each = each->hh.next) {
        requests += each->requests;
        errors += each->errors;
    }
    ck_assert_uint_eq(requests, 6000);
    ck_assert_uint_eq(errors, 6000);
    ck_assert_str_eq(kept.caller->name, "198.18.0.0");
    caller_release(kept.caller);
    proxy_rig_close(&r);
}
END_TEST

START_TEST(a_user_that_was_forgotten_comes_again)
{
    struct proxy_rig r;
    struct client user, c;
    const struct caller *listed;
    char key[16];

    proxy_rig_open(&r, "", "callers: user\n");
    this_process(&r, &user);
    caller_release(user.caller);
    for (unsigned i = 0; i < 6000; i++) {
        other_host(&r, &c, i);
        caller_release(c.caller);
    }
    this_process(&r, &user);
    int n = snprintf(key, sizeof key, "u%u", (unsigned)geteuid());
    HASH_FIND(hh, r.proxy->callers.table, key, (unsigned)n, listed);
    ck_assert_ptr_eq(user.caller, listed);
    caller_release(user.caller);
    proxy_rig_close(&r);
}
END_TEST

START_TEST(callers_with_clients_are_never_forgotten)
{
    static struct client many[5000];
    struct proxy_rig r;

    proxy_rig_open(&r, "", "callers: user\n");
    for (unsigned i = 0; i < 5000; i++)
        other_host(&r, &many[i], i);
    ck_assert_uint_eq(HASH_COUNT(r.proxy->callers.table), 5000);
    for (unsigned i = 0; i < 5000; i++)
        caller_release(many[i].caller);
    proxy_rig_close(&r);
}
END_TEST

START_TEST(a_client_takes_its_caller_along)
{
    struct proxy_rig from, to;
    struct client c;

    proxy_rig_open(&from, "", "callers: user\n");
    proxy_rig_open(&to, "", "callers: user\n");
    other_host(&from, &c, 7);
    struct caller *before = c.caller;
    c.proxy = to.proxy;
    caller_move(&c);
    ck_assert_ptr_ne(c.caller, before);
    ck_assert_str_eq(c.caller->name, "198.18.0.7");
    ck_assert_uint_eq(before->refs, 0);
    ck_assert_uint_eq(c.caller->refs, 1);
    caller_release(c.caller);
    c.caller = NULL;
    caller_move(&c);
    ck_assert_ptr_null(c.caller);
    proxy_rig_close(&from);
    proxy_rig_close(&to);
}
END_TEST

START_TEST(allow_goes_by_what_cannot_be_made_up)
{
    struct allowed names[] = {{.name = (char *)"www-data", .is_user = true, .uid = 33},
                              {.name = (char *)"cron.service"},
                              {.name = (char *)"FD00:0::1"},
                              {.name = (char *)"-"}};
    const struct allow_list nobody_said = {0}, all = {names, 4}, but_nobody = {names, 3};
    const struct {
        struct caller caller;
        bool allowed;
    } cases[] = {
        {{.kind = CALLER_USER, .uid = 33, .name = "called otherwise by now"}, true},
        {{.kind = CALLER_USER, .uid = 34, .name = "www-data"}, false},
        {{.kind = CALLER_USER, .uid = 34, .name = "cron.service"}, false},
        {{.kind = CALLER_UNIT, .name = "cron.service", .vouched = "cron.service"}, true},
        {{.kind = CALLER_UNIT, .name = "cron.service", .vouched = "user@1000.service"}, false},
        {{.kind = CALLER_UNIT, .name = "other.service", .vouched = "cron.service"}, true},
        {{.kind = CALLER_HOST, .name = "fd00::1"}, true},
        {{.kind = CALLER_HOST, .name = "fd00::2"}, false},
        {{.kind = CALLER_HOST, .name = "10.0.0.1"}, false},
    };
    const struct caller nobody = {.kind = CALLER_UNKNOWN, .name = "-"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(caller_is_allowed(&all, &cases[i].caller) == cases[i].allowed, "case %zu", i);
        ck_assert(caller_is_allowed(&nobody_said, &cases[i].caller));
    }
    ck_assert(caller_is_allowed(&all, &nobody));
    ck_assert(!caller_is_allowed(&but_nobody, &nobody));
    ck_assert(!caller_is_allowed(&all, NULL));
    ck_assert(caller_is_allowed(&nobody_said, NULL));
}
END_TEST

void proxy_caller_tests(Suite *suite)
{
    unit_group(suite, "caller", off_asks_nothing, a_caller_is_found_once_and_again_when_a_reload_says_so,
               this_user_over_a_unix_socket, a_question_that_is_open_ends_with_callers_off,
               callers_without_clients_are_forgotten_beyond_a_number, a_user_that_was_forgotten_comes_again,
               callers_with_clients_are_never_forgotten, a_client_takes_its_caller_along,
               allow_goes_by_what_cannot_be_made_up);
}
