/* lib/ca: what stands for hosts with a CA, and the handshakes that it makes. */

#include "ca_test.h"

#include <time.h>

#include "ca/signer.h"
#include "ca/tickets.h"

#define DAY 86400

static const char *const hosts[] = {"pay.test", "10.0.0.7", "fd00::7"};

static X509 *shown(struct signer *s, const char *host, int64_t now)
{
    SSL *ssl = signer_accept(s, slice_of(host), now);

    ck_assert_ptr_nonnull(ssl);
    X509 *x = SSL_get_certificate(ssl);
    X509_up_ref(x);
    SSL_free(ssl);
    return x;
}

START_TEST(signer_keeps_and_renews)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    int64_t now = time(NULL);
    X509 *first = shown(s, "pay.test", now), *again = shown(s, "pay.test.", now + 3 * DAY);
    X509 *later = shown(s, "pay.test", now + 4 * DAY), *other = shown(s, "a.pay.test", now);

    ck_assert(X509_cmp(first, again) == 0 && X509_cmp(first, later) != 0 && X509_cmp(first, other) != 0);
    ck_assert_uint_eq(signer_kept(s), 2);
    /* A clock that was set back: what is not valid yet is made anew */
    X509 *earlier = shown(s, "pay.test", now - DAY);
    ck_assert(X509_cmp(later, earlier) != 0);
    X509_free(first);
    X509_free(again);
    X509_free(later);
    X509_free(other);
    X509_free(earlier);
    signer_unref(s);
}
END_TEST

START_TEST(signer_forgets_the_least_recently_used)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    int64_t now = time(NULL);
    X509 *used = shown(s, "used.pay.test", now), *unused = shown(s, "unused.pay.test", now);
    char name[32];

    for (unsigned i = 0; i < SIGNER_KEPT_MAX - 1; i++) {
        snprintf(name, sizeof name, "%u.pay.test", i);
        X509_free(shown(s, name, now));
        X509_free(shown(s, "used.pay.test", now));
    }
    ck_assert_uint_eq(signer_kept(s), SIGNER_KEPT_MAX);
    X509 *used_again = shown(s, "used.pay.test", now), *unused_again = shown(s, "unused.pay.test", now);
    ck_assert(X509_cmp(used, used_again) == 0 && X509_cmp(unused, unused_again) != 0);
    X509_free(used);
    X509_free(unused);
    X509_free(used_again);
    X509_free(unused_again);
    signer_unref(s);
}
END_TEST

/* A handshake in memory; what the client may say first of the session is in `session`. */
struct handshake {
    SSL_CTX *client_ctx;
    SSL *client, *server;
    int alert; /* that the server sent; 0: none */
    int64_t later_s;
    bool signer_ends; /* when the handshake has begun, as a reload's */
};

static void note_alert(const SSL *ssl, int where, int ret)
{
    struct handshake *h = SSL_get_app_data(ssl);

    if (where == SSL_CB_WRITE_ALERT)
        h->alert = ret & 0xff;
}

static bool shake(struct handshake *h, struct signer *s, const char *host, const char *sni,
                  SSL_SESSION *session)
{
    BIO *a, *b;
    char byte;
    size_t n;

    BIO_new_bio_pair(&a, 0, &b, 0);
    h->client = SSL_new(h->client_ctx);
    h->server = signer_accept(s, slice_of(host), time(NULL) + h->later_s);
    if (h->signer_ends)
        signer_unref(s);
    SSL_set_accept_state(h->server);
    SSL_set_app_data(h->server, h);
    SSL_set_info_callback(h->server, note_alert);
    SSL_set_bio(h->client, a, a);
    SSL_set_bio(h->server, b, b);
    if (sni)
        SSL_set_tlsext_host_name(h->client, sni);
    if (session)
        SSL_set_session(h->client, session);
    SSL_set_connect_state(h->client);
    h->alert = 0;
    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(h->client);
        SSL_do_handshake(h->server);
    }
    bool good = SSL_is_init_finished(h->client) && SSL_is_init_finished(h->server);
    if (good)
        SSL_read_ex(h->client, &byte, 1, &n); /* takes the tickets in */
    return good;
}

static void done(struct handshake *h)
{
    SSL_set_shutdown(h->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(h->client);
    SSL_free(h->server);
}

START_TEST(signer_checks_the_name)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method())};
    static const struct {
        const char *host, *sni;
        int alert;
    } rows[] = {
        {"pay.test", "pay.test", 0},  {"pay.test", "PAY.test", 0},      {"pay.test", NULL, 0},
        {"pay.test.", "pay.test", 0}, {"pay.test", "a.pay.test", 112},  {"a.pay.test", "pay.test", 112},
        {"10.0.0.7", NULL, 0},        {"10.0.0.7", "10.0.0.7", 0},      {"10.0.0.7", "pay.test", 112},
        {"pay.test", "pay.test.", 0}, {"pay.test", "a.pay.test.", 112}, {"pay.test", ".", 112},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(shake(&h, s, rows[i].host, rows[i].sni, NULL) == !rows[i].alert, "%s", rows[i].host);
        ck_assert_int_eq(h.alert, rows[i].alert);
        done(&h);
    }
    SSL_CTX_free(h.client_ctx);
    signer_unref(s);
}
END_TEST

START_TEST(signer_speaks_http_1_1_alone)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method())};
    const unsigned char *chosen;
    unsigned n;

    SSL_CTX_set_alpn_protos(h.client_ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    ck_assert(shake(&h, s, "pay.test", NULL, NULL));
    SSL_get0_alpn_selected(h.client, &chosen, &n);
    assert_slice(((struct slice){(const char *)chosen, n}), "http/1.1");
    done(&h);
    SSL_CTX_set_alpn_protos(h.client_ctx, (const unsigned char *)"\x02h2", 3);
    ck_assert(!shake(&h, s, "pay.test", NULL, NULL));
    ck_assert_int_eq(h.alert, 120);
    done(&h);
    SSL_CTX_free(h.client_ctx);
    signer_unref(s);
}
END_TEST

/* What costs least, but where the client lets know that AES costs it more, or allows nothing else. */
START_TEST(signer_chooses_the_suite)
{
    static const struct {
        const char *offered, *chosen;
    } rows[] = {
        {"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
         "TLS_AES_128_GCM_SHA256"},
        {"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
        {"TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
    };
    struct signer *s = signer_new(ca_for(hosts, 3));
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method())};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_int_eq(SSL_CTX_set_ciphersuites(h.client_ctx, rows[i].offered), 1);
        ck_assert(shake(&h, s, "pay.test", NULL, NULL));
        ck_assert_str_eq(SSL_get_cipher_name(h.client), rows[i].chosen);
        done(&h);
    }
    SSL_CTX_free(h.client_ctx);
    signer_unref(s);
}
END_TEST

static bool asked;

static int note_request(SSL *ssl, X509 **x, EVP_PKEY **key)
{
    (void)ssl, (void)x, (void)key;
    asked = true;
    return 0;
}

START_TEST(signer_asks_for_no_client_certificate)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method())};

    SSL_CTX_set_client_cert_cb(h.client_ctx, note_request);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_min_proto_version(h.client_ctx, version);
        SSL_CTX_set_max_proto_version(h.client_ctx, version);
        ck_assert(shake(&h, s, "pay.test", NULL, NULL) && !asked);
        done(&h);
    }
    SSL_CTX_free(h.client_ctx);
    signer_unref(s);
}
END_TEST

START_TEST(signer_tickets_are_good_for_one_host)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method())};

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_min_proto_version(h.client_ctx, version);
        SSL_CTX_set_max_proto_version(h.client_ctx, version);
        ck_assert(shake(&h, s, "pay.test", NULL, NULL));
        SSL_SESSION *session = SSL_get1_session(h.client);
        ck_assert_uint_eq(SSL_SESSION_get_max_early_data(session), 0);
        done(&h);
        ck_assert(shake(&h, s, "pay.test", NULL, session) && SSL_session_reused(h.client));
        done(&h);
        ck_assert(shake(&h, s, "a.pay.test", NULL, session) && !SSL_session_reused(h.client));
        done(&h);
        SSL_SESSION_free(session);
    }
    SSL_CTX_free(h.client_ctx);
    signer_unref(s);
}
END_TEST

START_TEST(signer_may_end_before_a_handshake_does)
{
    static const unsigned char cleared[16];
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method()), .signer_ends = true};
    const unsigned char *ticket;
    size_t n;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_min_proto_version(h.client_ctx, version);
        SSL_CTX_set_max_proto_version(h.client_ctx, version);
        ck_assert(shake(&h, signer_new(ca_for(hosts, 3)), "pay.test", NULL, NULL));
        SSL_SESSION_get0_ticket(SSL_get_session(h.client), &ticket, &n);
        /* It begins with the name of its key. */
        ck_assert(n > sizeof cleared && memcmp(ticket, cleared, sizeof cleared) != 0);
        done(&h);
    }
    SSL_CTX_free(h.client_ctx);
}
END_TEST

/* Whether the session is taken up by a connection that begins so much later; the one that it then has is in
 * *next. */
static bool resumes(struct handshake *h, struct signer *s, int64_t later_s, SSL_SESSION *session,
                    SSL_SESSION **next)
{
    h->later_s = later_s;
    ck_assert(shake(h, s, "pay.test", NULL, session));
    bool resumed = SSL_session_reused(h->client) == 1;
    SSL_SESSION *got = SSL_get1_session(h->client);
    if (next)
        *next = got;
    else
        SSL_SESSION_free(got);
    done(h);
    return resumed;
}

START_TEST(signer_replaces_the_keys_of_tickets)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method())};
    SSL_SESSION *first, *second, *third;
    const int64_t key_s = TICKETS_KEY_S;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        const int64_t began = (version - TLS1_2_VERSION) * 100 * key_s;
        SSL_CTX_set_min_proto_version(h.client_ctx, version);
        SSL_CTX_set_max_proto_version(h.client_ctx, version);
        ck_assert(!resumes(&h, s, began, NULL, &first));
        ck_assert(resumes(&h, s, began + key_s - 1, first, NULL));
        /* The key before is good for as long again, and who comes with it gets a ticket of the new one */
        ck_assert(resumes(&h, s, began + key_s + 10, first, &second));
        ck_assert(resumes(&h, s, began + 2 * key_s - 1, first, NULL));
        ck_assert(resumes(&h, s, began + 2 * key_s - 1, second, NULL));
        ck_assert(!resumes(&h, s, began + 2 * key_s, first, NULL));
        ck_assert(resumes(&h, s, began + 2 * key_s, second, &third));
        /* A time in which nobody came */
        ck_assert(!resumes(&h, s, began + 20 * key_s, third, NULL));
        SSL_SESSION_free(first);
        SSL_SESSION_free(second);
        SSL_SESSION_free(third);
    }
    SSL_CTX_free(h.client_ctx);
    signer_unref(s);
}
END_TEST

/* The loops' clocks are read before their turn, and a clock may be set right. */
START_TEST(signer_keeps_the_keys_of_tickets_when_a_clock_goes_back)
{
    struct signer *s = signer_new(ca_for(hosts, 3));
    struct handshake h = {.client_ctx = SSL_CTX_new(TLS_client_method())};
    SSL_SESSION *session;

    ck_assert(!resumes(&h, s, 0, NULL, &session));
    ck_assert(resumes(&h, s, -10, session, NULL));
    /* Set back by more than a key lives, it would keep keys for as long: they are replaced */
    ck_assert(!resumes(&h, s, -100 * (int64_t)TICKETS_KEY_S, session, NULL));
    SSL_SESSION_free(session);
    SSL_CTX_free(h.client_ctx);
    signer_unref(s);
}
END_TEST

void ca_signer_tests(Suite *suite)
{
    unit_group(suite, "signer", signer_keeps_and_renews, signer_forgets_the_least_recently_used,
               signer_checks_the_name, signer_speaks_http_1_1_alone, signer_chooses_the_suite,
               signer_asks_for_no_client_certificate, signer_tickets_are_good_for_one_host,
               signer_may_end_before_a_handshake_does, signer_replaces_the_keys_of_tickets,
               signer_keeps_the_keys_of_tickets_when_a_clock_goes_back);
}
