/* lib/io/tls: what is read and written at once */

#include "io_tls_test.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

static pthread_barrier_t barrier;
static const char *last_words; /* of the server, behind its records and in one piece with them */

/* All that was written since its BIO is `out`, in one piece. */
static void send_together(int fd, BIO *out)
{
    char *records;
    long n = BIO_get_mem_data(out, &records);

    (void)!write(fd, records, (size_t)n);
    pthread_barrier_wait(&barrier);
}

static void send_records(struct tls_server *server, SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    BIO *out = BIO_new(BIO_s_mem());

    (void)server;
    SSL_set0_wbio(ssl, out);
    SSL_write(ssl, "one", 3);
    SSL_write(ssl, "two", 3);
    SSL_write(ssl, "three", 5);
    if (last_words)
        BIO_puts(out, last_words);
    else
        SSL_shutdown(ssl);
    send_together(fd, out);
}

/* What ends the connection is told by the next call. */
START_TEST(tls_reads_all_records_that_are_there)
{
    struct event_base *base = io_loop();
    struct tls_server server;
    struct tls_context *c;
    struct conn s;
    char got[64];

    io_make_certificates();
    pthread_barrier_init(&barrier, NULL, 2);
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = send_records;
    tls_server_start(&server);
    for (int ends_well = 0; ends_well < 2; ends_well++) {
        last_words = ends_well ? NULL : "no record at all";
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        pthread_barrier_wait(&barrier);
        ck_assert_int_eq(conn_read(&s, got, sizeof got), 11);
        ck_assert_int_eq(memcmp(got, "onetwothree", 11), 0);
        ck_assert(s.may_read);
        ck_assert(conn_watch(&s, base, 0, NULL, NULL));
        ck_assert(s.may_read); /* the loop will not tell what OpenSSL has read */
        ck_assert_int_eq(conn_read(&s, got, sizeof got), ends_well ? CONN_EOF : CONN_ERROR);
        ck_assert(!s.eof_without_notify);
        if (!ends_well)
            ck_assert_int_eq(s.error, EPROTO);
        conn_close(&s, false);
    }
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
    event_base_free(base);
}
END_TEST

static void send_tiny_records(struct tls_server *server, SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    BIO *out = BIO_new(BIO_s_mem());

    (void)server;
    SSL_set0_wbio(ssl, out);
    for (int i = 0; i < 40; i++)
        SSL_write(ssl, "x", 1);
    SSL_shutdown(ssl);
    send_together(fd, out);
}

/* A peer that sends its content in records of one byte does not have the loop for itself. */
START_TEST(tls_reads_a_few_records_at_a_time)
{
    struct tls_server server;
    struct tls_context *c;
    struct conn s;
    char got[64];

    io_make_certificates();
    pthread_barrier_init(&barrier, NULL, 2);
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = send_tiny_records;
    tls_server_start(&server);
    ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
    pthread_barrier_wait(&barrier);
    for (int left = 40; left > 0; left -= 16) {
        ck_assert_int_eq(conn_read(&s, got, sizeof got), left < 16 ? left : 16);
        ck_assert(s.may_read);
    }
    ck_assert_int_eq(conn_read(&s, got, sizeof got), CONN_EOF);
    conn_close(&s, false);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

static unsigned segments_sent(const struct conn *s)
{
    struct tcp_info info;
    socklen_t n = sizeof info;

    ck_assert_int_eq(getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &n), 0);
    return info.tcpi_segs_out;
}

static void read_to_the_end(struct tls_server *server, SSL *ssl)
{
    char got[64];

    (void)server;
    while (SSL_read(ssl, got, sizeof got) > 0)
        ;
}

/* Sends nothing while the client's segments are counted, which would be acknowledged by one: the tickets come
 * before the greeting. */
static void greet_and_read(struct tls_server *server, SSL *ssl)
{
    SSL_write(ssl, "!", 1);
    read_to_the_end(server, ssl);
    pthread_barrier_wait(&barrier);
}

/* The kernel waits 0.2 s for what was announced, or until a segment comes: on a machine that stands still
 * that long these are two. */
START_TEST(tls_sends_its_last_words_and_the_end_in_one_segment)
{
    struct tls_server server;
    struct tls_context *c;
    unsigned sent = 0;

    io_make_certificates();
    pthread_barrier_init(&barrier, NULL, 2);
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = greet_and_read;
    tls_server_start(&server);
    for (int i = 0; i < 20 && sent != 1; i++) {
        struct conn s;
        char got[1];
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        ck_assert_int_eq(io_read_all(&s, got, 1), 1);
        unsigned before = segments_sent(&s);
        s.last = true;
        io_say(&s, "goodbye");
        conn_shutdown_write(&s);
        sent = segments_sent(&s) - before;
        pthread_barrier_wait(&barrier);
        conn_close(&s, false);
    }
    ck_assert_uint_eq(sent, 1);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

static int queued(const struct conn *s, unsigned long what)
{
    int n = -1;

    ck_assert_int_eq(ioctl(s->fd, what, &n), 0);
    return n;
}

/* Behind what is on its way the kernel might keep more for a moment. */
static void wait_until_all_is_acknowledged(const struct conn *s)
{
    while (queued(s, SIOCOUTQ) > 0)
        poll(NULL, 0, 1);
}

/* Nothing is announced that does not come: all of it leaves at once, where the kernel does not pace it. */
START_TEST(tls_sends_a_list_of_pieces_to_its_end)
{
    struct tls_server server;
    struct tls_context *c;
    char piece[20000] = "";
    struct iovec v[] = {{piece, 5}, {piece, sizeof piece}, {piece, 1}};
    int unsent = -1;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = read_to_the_end;
    tls_server_start(&server);
    for (int i = 0; i < 20 && unsent != 0; i++) {
        struct conn s;
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        wait_until_all_is_acknowledged(&s);
        ck_assert_int_eq(conn_write(&s, v, 3), 5 + sizeof piece + 1);
        unsent = queued(&s, SIOCOUTQNSD);
        conn_close(&s, false);
    }
    ck_assert_int_eq(unsent, 0);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

static void read_when_told(struct tls_server *server, SSL *ssl)
{
    pthread_barrier_wait(&barrier);
    read_to_the_end(server, ssl);
}

/* Writes until a record is out in part, and again when all is taken: what is left unsent. */
static int left_after_another_try(struct conn *s)
{
    static char piece[20000];
    struct iovec v = {piece, sizeof piece};

    while (conn_write(s, &v, 1) == (ssize_t)sizeof piece)
        ;
    pthread_barrier_wait(&barrier);
    wait_until_all_is_acknowledged(s);
    ck_assert_int_eq(conn_write(s, &v, 1), sizeof piece);
    return queued(s, SIOCOUTQNSD);
}

/* OpenSSL ends the record that it has begun, and may write another one in the same call. */
START_TEST(tls_sends_all_that_is_tried_again)
{
    struct tls_server server;
    struct tls_context *c;
    int unsent = -1;

    io_make_certificates();
    pthread_barrier_init(&barrier, NULL, 2);
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = read_when_told;
    tls_server_start(&server);
    for (int i = 0; i < 20 && unsent != 0; i++) {
        struct conn s;
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        unsent = left_after_another_try(&s);
        conn_close(&s, false);
    }
    ck_assert_int_eq(unsent, 0);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

void io_tls_packet_tests(Suite *suite)
{
    unit_group(suite, "tls packets", tls_reads_all_records_that_are_there, tls_reads_a_few_records_at_a_time,
               tls_sends_its_last_words_and_the_end_in_one_segment, tls_sends_a_list_of_pieces_to_its_end,
               tls_sends_all_that_is_tried_again);
}
