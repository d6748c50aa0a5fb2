/* Who may use Carpool, and where it may connect. */

#include "proxy_test.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "proxy/access.h"

static struct address ip(const char *text, uint16_t port)
{
    struct address a;

    ck_assert(address_from_ip(&a, slice_of(text), port));
    return a;
}

static struct config *config_of(const char *text)
{
    static const struct text_list none = {0};
    struct config *c = config_parse(slice_of(text), "test.yaml", &none, stderr);

    ck_assert_ptr_nonnull(c);
    return c;
}

START_TEST(addresses_are_denied_in_every_form)
{
    static const struct {
        const char *address;
        enum connect_error verdict;
    } cases[] = {
        {"127.0.0.1", CONNECT_OK},
        {"10.1.2.3", CONNECT_OK},
        {"::1", CONNECT_OK},
        {"169.254.169.254", CONNECT_PROHIBITED},
        {"::ffff:169.254.169.254", CONNECT_PROHIBITED},
        {"64:ff9b::a9fe:a9fe", CONNECT_PROHIBITED},
        {"2002:a9fe:a9fe::1", CONNECT_PROHIBITED},
        {"fe80::1", CONNECT_PROHIBITED},
        {"0.0.0.0", CONNECT_PROHIBITED},
        {"0.1.2.3", CONNECT_PROHIBITED},
        {"::", CONNECT_PROHIBITED},
        {"224.0.0.1", CONNECT_PROHIBITED},
        {"239.255.255.255", CONNECT_PROHIBITED},
        {"ff02::1", CONNECT_PROHIBITED},
        {"255.255.255.255", CONNECT_PROHIBITED},
        {"64:ff9b::7f00:1", CONNECT_OK},
    };
    struct config *c = config_of("log: {level: info}\n");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address a = ip(cases[i].address, 80);

        ck_assert_msg(access_permit(c, NULL, 0, &a, false) == cases[i].verdict, "%s", cases[i].address);
        /* What the operator named is the operator's word. */
        ck_assert_int_eq(access_permit(c, NULL, 0, &a, true), CONNECT_OK);
    }
    config_unref(c);
}
END_TEST

START_TEST(own_listeners_are_loops)
{
    struct config *c = config_of("access: {denyAddresses: []}\n");
    struct address own[3] = {ip("127.0.0.1", 3128), ip("0.0.0.0", 9000), ip("::1", 3129)}, unix_own, a;
    static const struct {
        const char *address;
        uint16_t port;
        enum connect_error verdict;
    } cases[] = {
        {"127.0.0.1", 3128, CONNECT_LOOP}, {"127.0.0.1", 3127, CONNECT_OK},
        {"127.0.0.2", 3128, CONNECT_OK},   {"::ffff:127.0.0.1", 3128, CONNECT_LOOP},
        {"0.0.0.0", 3128, CONNECT_LOOP},   {"127.0.0.9", 9000, CONNECT_LOOP},
        {"0.0.0.0", 9000, CONNECT_LOOP},   {"::1", 3129, CONNECT_LOOP},
        {"::", 3129, CONNECT_LOOP},        {"64:ff9b::7f00:1", 3128, CONNECT_LOOP},
        {"10.9.8.7", 3128, CONNECT_OK},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        a = ip(cases[i].address, cases[i].port);
        ck_assert_msg(access_permit(c, own, 3, &a, false) == cases[i].verdict, "%s:%u", cases[i].address,
                      cases[i].port);
        ck_assert_int_eq(access_permit(c, own, 3, &a, true), cases[i].verdict);
    }
    ck_assert(address_parse(&unix_own, SLICE("unix:/run/carpool.sock")));
    ck_assert(address_parse(&a, SLICE("unix:/run/carpool.sock")));
    ck_assert_int_eq(access_permit(c, &unix_own, 1, &a, true), CONNECT_LOOP);
    ck_assert(address_parse(&a, SLICE("unix:/run/other.sock")));
    ck_assert_int_eq(access_permit(c, &unix_own, 1, &a, true), CONNECT_OK);
    config_unref(c);
}
END_TEST

/* As a sandbox does it that does not know AF_NETLINK, by which the list of this host's addresses is read.
 * False where the system has no such filters. */
static bool deny_netlink(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof program / sizeof program[0], program};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* The addresses that this host has, whichever they are; nothing is connected to. A link-local one is one only
 * with its interface. */
static unsigned read_addresses(struct address *out, unsigned room)
{
    char text[INET6_ADDRSTRLEN];
    struct ifaddrs *all;
    unsigned count = 0;

    ck_assert_int_eq(getifaddrs(&all), 0);
    for (struct ifaddrs *i = all; i && count < room; i = i->ifa_next) {
        int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
        const struct sockaddr_in6 *v6 = (const void *)i->ifa_addr;

        if ((family != AF_INET && family != AF_INET6) || (family == AF_INET6 && v6->sin6_scope_id != 0))
            continue;
        ck_assert_int_eq(getnameinfo(i->ifa_addr, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof *v6,
                                     text, sizeof text, NULL, 0, NI_NUMERICHOST),
                         0);
        out[count++] = ip(text, 1);
    }
    freeifaddrs(all);
    return count;
}

static void check_own_addresses(bool sandboxed)
{
    struct config *c = config_of("access: {denyAddresses: []}\n");
    struct address own[2] = {ip("0.0.0.0", 9000), ip("::", 9001)}, here[64];
    const struct address foreign[] = {ip("240.0.0.1", 9000), ip("100::1", 9000), ip("240.0.0.1", 9001)};
    unsigned count = read_addresses(here, 64);

    if (sandboxed && !deny_netlink())
        count = 0;
    for (unsigned i = 0; i < count; i++)
        for (uint16_t port = 9000; port <= 9002; port++) {
            char text[ADDRESS_TEXT_SIZE];
            address_set_port(&here[i], port);
            ck_assert_msg(access_permit(c, own, 2, &here[i], true) ==
                              (port <= 9001 ? CONNECT_LOOP : CONNECT_OK),
                          "%s", address_format(&here[i], text));
        }
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        ck_assert_int_eq(access_permit(c, own, 2, &foreign[i], true), CONNECT_OK);
    config_unref(c);
}

START_TEST(a_listener_on_all_addresses_is_at_each_of_the_host)
{
    check_own_addresses(false);
}
END_TEST

START_TEST(the_hosts_addresses_are_known_in_a_sandbox)
{
    check_own_addresses(true);
}
END_TEST

/* Without a descriptor for the question. */
START_TEST(what_may_be_an_own_listener_is_refused)
{
    struct config *c = config_of("access: {denyAddresses: []}\n");
    const struct address own[] = {ip("0.0.0.0", 9000), ip("192.0.2.1", 9001)},
                         doubtful = ip("240.0.0.1", 9000), other_port = ip("240.0.0.1", 9002),
                         other_address = ip("240.0.0.1", 9001);
    struct rlimit before, none;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum connect_error verdicts[] = {access_permit(c, own, 2, &doubtful, true),
                                     access_permit(c, own, 2, &other_port, true),
                                     access_permit(c, own, 2, &other_address, true)};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_int_eq(verdicts[0], CONNECT_LOOP);
    ck_assert_int_eq(verdicts[1], CONNECT_OK);
    ck_assert_int_eq(verdicts[2], CONNECT_OK);
    config_unref(c);
}
END_TEST

static bool allowed(const struct config *c, const struct address *a)
{
    struct peer_address peer;

    peer_address_set(&peer, a);
    return access_client_allowed(c, &peer);
}

START_TEST(clients_and_ports_are_listed)
{
    struct config *c = config_of("access: {clients: [10.0.0.0/8], connectPorts: [443, 8443]}\n");
    struct address inside = ip("10.1.1.1", 1), outside = ip("127.0.0.1", 1),
                   mapped = ip("::ffff:10.1.1.1", 1), unix_peer = {0};

    unix_peer.sa.any.sa_family = AF_UNIX;
    ck_assert(allowed(c, &inside));
    ck_assert(allowed(c, &mapped));
    ck_assert(!allowed(c, &outside));
    ck_assert(allowed(c, &unix_peer));
    ck_assert(access_connect_port_allowed(c, 8443));
    ck_assert(!access_connect_port_allowed(c, 22));
    config_unref(c);
}
END_TEST

void proxy_access_tests(Suite *suite)
{
    unit_group(suite, "access", addresses_are_denied_in_every_form, own_listeners_are_loops,
               a_listener_on_all_addresses_is_at_each_of_the_host, the_hosts_addresses_are_known_in_a_sandbox,
               what_may_be_an_own_listener_is_refused, clients_and_ports_are_listed);
}
