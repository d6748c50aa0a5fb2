/* lib/io/peer_diag, lib/io/cgroup, lib/io/user_name: who is at the other end. */

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/cgroup.h"
#include "io/peer_diag.h"
#include "io/this_host.h"
#include "io/user_name.h"
#include "io_test.h"

/* A connection on the loopback: both ends, and their addresses as the accepting end sees them. */
struct ends {
    int client, accepted;
    struct address local, peer;
};

static struct address any_port(const char *ip)
{
    struct address a;

    ck_assert(address_from_ip(&a, slice_of(ip), 0));
    return a;
}

static int listen_at(struct address *a)
{
    int one = 1, fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), zero = 0;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->sa.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, &a->sa.any, a->length) != 0 || listen(fd, 8) != 0) {
        close(fd);
        return -1;
    }
    a->length = sizeof a->sa;
    ck_assert_int_eq(getsockname(fd, &a->sa.any, &a->length), 0);
    return fd;
}

/* -1: somebody else has taken the port `from`. */
static int connect_from(const struct address *from, const struct address *to)
{
    int one = 1, fd = socket(to->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (from && bind(fd, &from->sa.any, from->length) != 0) {
        close(fd);
        return -1;
    }
    ck_assert_int_eq(connect(fd, &to->sa.any, to->length), 0);
    return fd;
}

static void accept_one(int listener, struct ends *e)
{
    e->peer.length = e->local.length = sizeof e->peer.sa;
    e->accepted = accept(listener, &e->peer.sa.any, &e->peer.length);
    ck_assert_int_ge(e->accepted, 0);
    ck_assert_int_eq(getsockname(e->accepted, &e->local.sa.any, &e->local.length), 0);
}

/* From `client_ip` to a listener at `listener_ip`. False: this host has no such addresses. */
static bool join(struct ends *e, const char *listener_ip, const char *client_ip)
{
    struct address at = any_port(listener_ip), to = any_port(client_ip);
    int listener = listen_at(&at);

    if (listener < 0)
        return false;
    address_set_port(&to, address_port(&at));
    e->client = connect_from(NULL, &to);
    accept_one(listener, e);
    close(listener);
    return true;
}

static void part(struct ends *e)
{
    if (e->client >= 0)
        close(e->client);
    close(e->accepted);
}

static enum peer_found find(const struct ends *e, struct peer_owner *owner)
{
    struct peer_diag d;

    peer_diag_init(&d);
    enum peer_found found = peer_diag_find(&d, e->accepted, &e->local, &e->peer, owner);
    peer_diag_close(&d);
    return found;
}

static void set_end(struct ends *e)
{
    struct linger now = {1, 0};

    setsockopt(e->client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(e->client);
    e->client = -1;
}

START_TEST(owner_is_who_made_the_socket)
{
    static const char *const places[][2] = {{"127.0.0.1", "127.0.0.1"},
                                            {"0.0.0.0", "127.0.0.9"},
                                            {"::1", "::1"},
                                            {"::", "127.0.0.1"},
                                            {"::", "::1"}};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct peer_owner owner = {.uid = 12345};
        struct ends e;

        if (!join(&e, places[i][0], places[i][1]))
            continue; /* no IPv6 */
        ck_assert_msg(find(&e, &owner) == PEER_FOUND, "%s", places[i][0]);
        ck_assert_uint_eq(owner.uid, geteuid());
        part(&e);
    }
}
END_TEST

START_TEST(owner_is_found_again_and_again)
{
    struct peer_owner owner;
    struct peer_diag d;
    struct ends e;

    peer_diag_init(&d);
    ck_assert(join(&e, "127.0.0.1", "127.0.0.1"));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(peer_diag_find(&d, e.accepted, &e.local, &e.peer, &owner), PEER_FOUND);
    ck_assert_uint_eq(d.sequence, 3);
    peer_diag_close(&d);
    part(&e);
}
END_TEST

/* What was sent is there all the same, and would be taken for the request of whoever the kernel names. */
START_TEST(who_has_ended_is_nobody)
{
    for (int how = 0; how < 3; how++) {
        struct peer_owner owner;
        struct ends e;

        ck_assert(join(&e, "127.0.0.1", "127.0.0.1"));
        ck_assert_int_eq(send(e.client, "x", 1, 0), 1);
        if (how == 0)
            set_end(&e);
        else if (how == 1)
            shutdown(e.client, SHUT_WR);
        else
            close(e.client), e.client = -1;
        ck_assert_int_eq(find(&e, &owner), PEER_GONE);
        part(&e);
    }
}
END_TEST

/* A client that reset its connection and another one behind it from the same port: the kernel knows the
 * second one's socket by the addresses of both. */
START_TEST(addresses_of_a_reset_connection_are_somebody_elses)
{
    struct address at = any_port("127.0.0.1"), from;
    int listener = listen_at(&at);
    struct peer_owner owner;
    struct ends first = {.accepted = -1}, second;

    do {
        if (first.accepted >= 0)
            close(first.accepted);
        first.client = connect_from(NULL, &at);
        from.length = sizeof from.sa;
        ck_assert_int_eq(getsockname(first.client, &from.sa.any, &from.length), 0);
        set_end(&first);
        second.client = connect_from(&from, &at);
        accept_one(listener, &first);
    } while (second.client < 0);
    accept_one(listener, &second);
    ck_assert(address_equal(&first.peer, &second.peer));
    ck_assert_int_eq(find(&first, &owner), PEER_GONE);
    ck_assert_int_eq(find(&second, &owner), PEER_FOUND);
    part(&first);
    part(&second);
    close(listener);
}
END_TEST

/* The kernel's look at the table ends at a listener where there is no connection. */
START_TEST(a_listener_at_the_clients_port_is_nobody)
{
    struct peer_owner owner;
    struct ends e;

    ck_assert(join(&e, "127.0.0.1", "127.0.0.1"));
    set_end(&e);
    int listener = listen_at(&e.peer);
    ck_assert_int_eq(find(&e, &owner), PEER_GONE);
    if (listener >= 0) /* nobody else has taken the port */
        close(listener);
    part(&e);
}
END_TEST

START_TEST(who_is_elsewhere_is_unseen)
{
    struct address elsewhere = any_port("192.0.2.1");
    struct peer_owner owner;
    struct ends e;

    ck_assert(join(&e, "127.0.0.1", "127.0.0.1"));
    address_set_port(&elsewhere, 4711);
    e.peer = elsewhere;
    ck_assert_int_eq(find(&e, &owner), PEER_UNSEEN);
    part(&e);
    ck_assert(!this_host_has(&elsewhere));
    ck_assert(this_host_has(&e.local));
}
END_TEST

START_TEST(owner_of_a_unix_socket)
{
    struct peer_owner owner;
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert(peer_credentials(fds[0], &owner));
    ck_assert_uint_eq(owner.uid, geteuid());
    ck_assert_int_eq(owner.pid, getpid());
    close(fds[0]);
    close(fds[1]);
    ck_assert(!peer_credentials(fds[0], &owner));
}
END_TEST

START_TEST(names_of_paths)
{
    static const struct {
        const char *path, *name, *vouched;
    } cases[] = {
        {"/system.slice/cron.service", "cron.service", "cron.service"},
        {"/system.slice/cron.service/inner/deeper", "cron.service", "cron.service"},
        {"/system.slice", "system.slice", "system.slice"},
        {"/a.slice/a-b.slice", "a-b.slice", "a-b.slice"},
        {"/user.slice/user-1000.slice/session-3.scope", "session-3.scope", "session-3.scope"},
        {"/user.slice/user-1000.slice/user@1000.service/app.slice/cron.service", "cron.service",
         "user@1000.service"},
        {"/system.slice/docker-0123.scope/system.slice/nginx.service", "nginx.service", "docker-0123.scope"},
        {"/system.slice/a.service/b.slice", "b.slice", "a.service"},
    };
    static const char *const none[] = {"", "/", "/init", "/.service", "/a.services", "/service", "/..", "//"};
    struct unit_names names;
    char path[600] = "/";

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert(unit_names_of_path(cases[i].path, &names));
        ck_assert_str_eq(names.name, cases[i].name);
        ck_assert_str_eq(names.vouched, cases[i].vouched);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_msg(!unit_names_of_path(none[i], &names), "%s", none[i]);
    memset(path + 1, 'a', 300);
    strcpy(path + 301, ".service");
    ck_assert(!unit_names_of_path(path, &names));
}
END_TEST

START_TEST(unknown_cgroups_have_no_unit)
{
    struct cgroup_units *u = cgroup_units_new(NULL);
    struct unit_names names;

    ck_assert_ptr_nonnull(u);
    /* More than are remembered. */
    for (uint64_t id = 0; id < 5000; id++)
        ck_assert_int_ne(cgroup_unit(u, UINT64_MAX - id % 10 - (id < 4990 ? 0 : id), &names), UNIT_FOUND);
    cgroup_units_free(u);
    cgroup_units_free(NULL);
}
END_TEST

/* A folder for a cgroup, whose number is its id. */
static uint64_t make_cgroup(const char *path)
{
    struct stat s;

    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(stat(path, &s), 0);
    return s.st_ino;
}

/* "ROOT/system.slice/cron.service"; its id. */
static uint64_t make_tree(const char *name, char root[PATH_MAX])
{
    char path[PATH_MAX + 64];

    snprintf(root, PATH_MAX, "%s", io_path(name));
    make_cgroup(root);
    snprintf(path, sizeof path, "%s/system.slice", root);
    make_cgroup(path);
    strcat(path, "/cron.service");
    return make_cgroup(path);
}

/* What could not be looked at for want of descriptors is not remembered as there being nothing. */
START_TEST(cgroups_are_looked_for_again_after_a_shortage)
{
    char root[PATH_MAX];
    uint64_t id = make_tree("few", root);
    struct cgroup_units *u = cgroup_units_new(root);
    struct unit_names names;
    struct rlimit limit, none;
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){0, limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum unit_found found = cgroup_unit(u, id, &names),
                    of_peer = cgroup_unit_of_peer(fds[0], getpid(), &names);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(found, UNIT_UNKNOWN);
    ck_assert_int_eq(of_peer, UNIT_UNKNOWN);
    ck_assert_int_eq(cgroup_unit(u, id, &names), UNIT_FOUND);
    ck_assert_str_eq(names.name, "cron.service");
    cgroup_units_free(u);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Who makes cgroups without end does not take the loop: what is known is told all the while. */
START_TEST(walks_take_a_share_of_the_time)
{
    char root[PATH_MAX];
    uint64_t id = make_tree("many", root), unknown = UINT64_MAX;
    struct cgroup_units *u = cgroup_units_new(root);
    struct unit_names names;
    char path[PATH_MAX + 64];

    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "%s/%d", root, i);
        make_cgroup(path);
    }
    ck_assert_int_eq(cgroup_unit(u, id, &names), UNIT_FOUND);
    while (cgroup_unit(u, unknown, &names) == UNIT_NONE)
        unknown--;
    ck_assert_int_eq(cgroup_unit(u, unknown, &names), UNIT_UNKNOWN);
    ck_assert_int_eq(cgroup_unit(u, id, &names), UNIT_FOUND);
    cgroup_units_free(u);
}
END_TEST

START_TEST(a_process_that_has_ended_has_no_unit)
{
    struct unit_names names;
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(cgroup_unit_of_peer(fds[0], 0, &names), UNIT_NONE);
    ck_assert_int_eq(cgroup_unit_of_peer(fds[0], 0x7ffffffe, &names), UNIT_NONE);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(names_of_users)
{
    const struct passwd *root = getpwuid(0);
    char name[USER_NAME_SIZE] = "x";
    struct user_question *q = user_question_ask(0);

    ck_assert_ptr_nonnull(q);
    ck_assert(user_question_answer(q, 20000, name));
    ck_assert_str_eq(name, root ? root->pw_name : "");
    if (user_name_in_file(0, name))
        ck_assert_str_eq(name, root ? root->pw_name : "");
    ck_assert(!user_name_in_file(3999999999, name));
    q = user_question_ask(3999999999);
    ck_assert(user_question_answer(q, 20000, name));
    ck_assert_str_eq(name, "");
    user_question_drop(user_question_ask(0));
}
END_TEST

void io_owner_tests(Suite *suite)
{
    unit_group(suite, "owner", owner_is_who_made_the_socket, owner_is_found_again_and_again,
               who_has_ended_is_nobody, addresses_of_a_reset_connection_are_somebody_elses,
               a_listener_at_the_clients_port_is_nobody, who_is_elsewhere_is_unseen, owner_of_a_unix_socket);
    unit_group(suite, "unit", names_of_paths, unknown_cgroups_have_no_unit,
               cgroups_are_looked_for_again_after_a_shortage, walks_take_a_share_of_the_time,
               a_process_that_has_ended_has_no_unit);
    unit_group(suite, "user", names_of_users);
}
