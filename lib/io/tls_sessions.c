#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/tls_internal.h"

/* A server sends two tickets a handshake as a rule; more than this are spent on a burst of new sockets. */
#define SESSIONS_MAX 16
/* Tickets and certificates are as large as the server wants them. */
#define BYTES_MAX (64 * 1024)

struct kept {
    SSL_SESSION *session;
    size_t size;
};

struct tls_sessions {
    struct tls_context *context;    /* of those kept; counted */
    struct kept kept[SESSIONS_MAX]; /* oldest first */
    int count;
    size_t bytes; /* of all of them */
};

struct tls_sessions *tls_sessions_new(void)
{
    return calloc(1, sizeof(struct tls_sessions));
}

/* It is the caller's. */
static SSL_SESSION *take_newest(struct tls_sessions *s)
{
    const struct kept *k = &s->kept[--s->count];
    s->bytes -= k->size;
    return k->session;
}

static void drop_oldest(struct tls_sessions *s)
{
    SSL_SESSION_free(s->kept[0].session);
    s->bytes -= s->kept[0].size;
    memmove(s->kept, s->kept + 1, (size_t)--s->count * sizeof s->kept[0]);
}

void tls_sessions_clear(struct tls_sessions *s)
{
    while (s->count > 0)
        SSL_SESSION_free(take_newest(s));
}

void tls_sessions_free(struct tls_sessions *s)
{
    if (!s)
        return;
    tls_sessions_clear(s);
    tls_context_unref(s->context);
    free(s);
}

/* A session was verified by the rules of the context it was made under: it never serves another. */
static void use_context(struct tls_sessions *s, struct tls_context *c)
{
    if (s->context == c)
        return;
    tls_sessions_clear(s);
    tls_context_unref(s->context);
    s->context = tls_context_ref(c);
}

static bool is_single_use(const SSL_SESSION *session)
{
    return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

static time_t made_at(const SSL_SESSION *session)
{
#if OPENSSL_VERSION_PREREQ(3, 3)
    return SSL_SESSION_get_time_ex(session);
#else
    return SSL_SESSION_get_time(session); /* a long */
#endif
}

static bool has_expired(const SSL_SESSION *session)
{
    return time(NULL) >= made_at(session) + SSL_SESSION_get_timeout(session);
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *s, struct tls_context *c)
{
    use_context(s, c);
    while (s->count > 0) {
        SSL_SESSION *newest = s->kept[s->count - 1].session;
        bool usable = !has_expired(newest) && SSL_SESSION_is_resumable(newest);
        if (usable && !is_single_use(newest)) {
            SSL_SESSION_up_ref(newest);
            return newest;
        }
        take_newest(s);
        if (usable)
            return newest;
        SSL_SESSION_free(newest);
    }
    return NULL;
}

/* Of its ticket and of all that the server sent to prove itself. */
static size_t size_of(SSL *ssl, SSL_SESSION *session)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    size_t size = (size_t)i2d_SSL_SESSION(session, NULL);

    for (int i = 0; i < sk_X509_num(chain); i++)
        size += (size_t)i2d_X509(sk_X509_value(chain, i), NULL);
    return size;
}

bool tls_sessions_put(struct tls_sessions *s, struct tls_context *c, SSL *ssl, SSL_SESSION *session)
{
    size_t size = size_of(ssl, session);

    if (size > BYTES_MAX)
        return false;
    use_context(s, c);
    if (!is_single_use(session) || (s->count > 0 && !is_single_use(s->kept[0].session)))
        tls_sessions_clear(s);
    while (s->count == SESSIONS_MAX || s->bytes + size > BYTES_MAX)
        drop_oldest(s);
    s->kept[s->count++] = (struct kept){session, size};
    s->bytes += size;
    return true;
}
