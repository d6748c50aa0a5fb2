/* lib/io/binding */

#include "io_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/binding.h"

static struct address address_of(const char *text)
{
    struct address a;

    ck_assert(address_parse(&a, slice_of(text)));
    return a;
}

static struct address unix_address(const char *name)
{
    char text[160];

    snprintf(text, sizeof text, "unix:%s", io_path(name));
    return address_of(text);
}

/* Takes connections. */
static struct binding *open_at(const struct address *a, unsigned mode, unsigned count)
{
    char error[256] = "";
    struct binding *b = binding_new(a, mode, count, false, error, sizeof error);

    ck_assert_msg(b && binding_listen(b, error, sizeof error), "%s", error);
    return b;
}

static void is_refused(const struct address *a, unsigned count, const char *words)
{
    char error[256] = "";

    ck_assert_ptr_null(binding_new(a, 0600, count, false, error, sizeof error));
    ck_assert_msg(strstr(error, words) != NULL, "wanted: %s, told: %s", words, error);
}

static bool connects(const struct address *a)
{
    int fd = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = connect(fd, &a->sa.any, a->length) == 0;

    close(fd);
    return fine;
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void put_file(const char *path)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    fclose(f);
}

START_TEST(binding_says_who_has_the_port)
{
    struct address a;
    int other = io_listen(&a, 1);

    is_refused(&a, 1, "cannot listen on 127.0.0.1:");
    is_refused(&a, 1, "another process");
    close(other);
}
END_TEST

START_TEST(binding_says_what_is_missing)
{
    struct address a = address_of("unix:/nowhere/at/all.sock");

    is_refused(&a, 1, "does its directory exist?");
    a = address_of("192.0.2.1:80");
    is_refused(&a, 1, "this host does not have that address");
}
END_TEST

START_TEST(binding_at_a_path)
{
    struct address a = unix_address("l.sock");
    const char *path = a.sa.unix_.sun_path;
    char error[256];
    struct binding *b = open_at(&a, 0640, 1);

    ck_assert_uint_eq(mode_of(path), 0640);
    ck_assert(binding_set_mode(b, 0600, error, sizeof error));
    ck_assert_uint_eq(mode_of(path), 0600);
    /* A live one is left alone. */
    is_refused(&a, 1, "in use by a running process");
    ck_assert(connects(&a));
    /* A dead one is replaced. */
    ck_assert_int_eq(link(path, io_path("dead.sock")), 0);
    binding_unref(b);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(rename(io_path("dead.sock"), path), 0);
    b = open_at(&a, 0600, 1);
    ck_assert_uint_eq(mode_of(path), 0600);
    binding_unref(b);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(binding_spares_what_is_not_its_own)
{
    struct address a = unix_address("other.sock");
    const char *path = a.sa.unix_.sun_path;
    struct binding *b;

    put_file(path);
    is_refused(&a, 1, "not a socket");
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(unlink(path), 0);
    b = open_at(&a, 0666, 1);
    ck_assert(binding_is_there(b));
    /* Somebody put another file there: it is not removed. */
    ck_assert_int_eq(rename(path, io_path("moved.sock")), 0);
    ck_assert(!binding_is_there(b));
    put_file(path);
    ck_assert(!binding_is_there(b));
    binding_unref(b);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

/* As for a reload whose other parts may fail. */
START_TEST(binding_takes_nobody_before_it_is_opened)
{
    char error[256];
    struct address a = address_of("127.0.0.1:0");
    struct binding *b = binding_new(&a, 0, 2, false, error, sizeof error);

    ck_assert_ptr_nonnull(b);
    ck_assert_uint_ne(address_port(&b->address), 0);
    ck_assert(!connects(&b->address));
    ck_assert(binding_listen(b, error, sizeof error));
    ck_assert(connects(&b->address));
    binding_unref(b);
}
END_TEST

static unsigned open_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Several loops listen on one address: among themselves, with nobody else. */
START_TEST(binding_for_several_loops)
{
    unsigned before = open_descriptors();
    struct address a = address_of("127.0.0.1:0");
    struct binding *b = open_at(&a, 0, 3);

    ck_assert_uint_eq(b->count, 3);
    for (int i = 0; i < 3; i++) {
        struct address other = {.length = sizeof other.sa};

        ck_assert_int_eq(getsockname(b->fds[i], &other.sa.any, &other.length), 0);
        ck_assert(address_equal(&b->address, &other));
    }
    is_refused(&b->address, 3, "another process listens there");
    is_refused(&b->address, 1, "another process listens there");
    binding_unref(b);

    a = unix_address("several.sock");
    b = open_at(&a, 0600, 3);
    ck_assert_uint_eq(b->count, 1);
    ck_assert(connects(&a));
    binding_unref(b);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static struct address at_port_of(const char *host, const struct address *other)
{
    char text[64];

    snprintf(text, sizeof text, "%s:%u", host, address_port(other));
    return address_of(text);
}

/* From one address of a port to all, and back: both are open for a moment. */
START_TEST(binding_overlaps_with_its_own)
{
    char error[256] = "";
    struct address any = address_of("127.0.0.1:0"), one;

    for (unsigned count = 1; count <= 2; count++) {
        any = address_of("127.0.0.1:0");
        struct binding *a = open_at(&any, 0, count), *b;

        any = at_port_of("0.0.0.0", &a->address);
        one = a->address;
        is_refused(&any, count, "another process listens there");
        binding_share(a);
        b = binding_new(&any, 0, count, true, error, sizeof error);
        ck_assert_msg(b && binding_listen(b, error, sizeof error), "%s", error);
        binding_unref(a);
        ck_assert(connects(&one));
        binding_exclude(b);
        is_refused(&one, count, "another process listens there");
        binding_share(b);
        a = binding_new(&one, 0, count, true, error, sizeof error);
        ck_assert_msg(a && binding_listen(a, error, sizeof error), "%s", error);
        binding_unref(b);
        ck_assert(connects(&one));
        binding_unref(a);
    }
}
END_TEST

/* All or none: what was opened before the descriptors ended is closed again, and the path is free. */
START_TEST(bindings_that_cannot_all_be_opened_leave_nothing)
{
    char path[] = "/tmp/binding-short-XXXXXX", text[128];
    struct address a, tcp = address_of("127.0.0.1:0");
    struct rlimit before, low;
    unsigned open_before = open_descriptors();

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(text, sizeof text, "unix:%s/socket", path);
    a = address_of(text);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = 32, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    is_refused(&tcp, 64, "Too many open files");
    /* The lowest that is free. */
    int next = open("/dev/null", O_RDONLY);
    close(next);
    low.rlim_cur = (rlim_t)next;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    is_refused(&a, 1, "Too many open files");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(open_descriptors(), open_before);
    ck_assert_int_eq(rmdir(path), 0); /* nothing is in it */
}
END_TEST

void io_binding_tests(Suite *suite)
{
    unit_group(suite, "binding", binding_says_who_has_the_port, binding_says_what_is_missing,
               binding_at_a_path, binding_spares_what_is_not_its_own,
               binding_takes_nobody_before_it_is_opened, binding_for_several_loops,
               binding_overlaps_with_its_own, bindings_that_cannot_all_be_opened_leave_nothing);
}
