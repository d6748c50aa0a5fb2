/* lib/io/tls: what is read and written at once */

#include "io_tls_test.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

static pthread_barrier_t barrier;
static const char *last_words; /* of the server, behind its records and in one piece with them */

static void send_records(struct tls_server *server, SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    BIO *out = BIO_new(BIO_s_mem());
    char *records;

    (void)server;
    SSL_set0_wbio(ssl, out);
    SSL_write(ssl, "one", 3);
    SSL_write(ssl, "two", 3);
    SSL_write(ssl, "three", 5);
    if (last_words)
        BIO_puts(out, last_words);
    else
        SSL_shutdown(ssl);
    long n = BIO_get_mem_data(out, &records);
    (void)!write(fd, records, (size_t)n);
    pthread_barrier_wait(&barrier);
}

/* What ends the connection is told by the next call. */
START_TEST(tls_reads_all_records_that_are_there)
{
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
        ck_assert_int_eq(conn_read(&s, got, sizeof got), ends_well ? CONN_EOF : CONN_ERROR);
        ck_assert(!s.eof_without_notify);
        if (!ends_well)
            ck_assert_int_eq(s.error, EPROTO);
        conn_close(&s, false);
    }
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

/* The kernel waits 0.2 s for what was announced: on a machine that stands still that long these are two. */
START_TEST(tls_sends_its_last_words_and_the_end_in_one_segment)
{
    struct tls_server server;
    struct tls_context *c;
    unsigned sent = 0;

    io_make_certificates();
    c = io_tls_context(io_tls_options());
    tls_server_init(&server, &io_leaf);
    server.serve = read_to_the_end;
    tls_server_start(&server);
    for (int i = 0; i < 20 && sent != 1; i++) {
        struct conn s;
        ck_assert_int_eq(io_shake(&s, &server, c, "good.test", NULL), 1);
        unsigned before = segments_sent(&s);
        s.last = true;
        io_say(&s, "goodbye");
        conn_shutdown_write(&s);
        sent = segments_sent(&s) - before;
        conn_close(&s, false);
    }
    ck_assert_uint_eq(sent, 1);
    tls_server_stop(&server);
    tls_context_unref(c);
    io_free_certificates();
}
END_TEST

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
        ck_assert_int_eq(conn_write(&s, v, 3), 5 + sizeof piece + 1);
        ck_assert_int_eq(ioctl(s.fd, SIOCOUTQNSD, &unsent), 0);
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
    unit_group(suite, "tls packets", tls_reads_all_records_that_are_there,
               tls_sends_its_last_words_and_the_end_in_one_segment, tls_sends_a_list_of_pieces_to_its_end);
}
