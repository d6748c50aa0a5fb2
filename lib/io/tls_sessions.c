#include <stdlib.h>
#include <time.h>

#include "io/tls_internal.h"

/* A server sends two tickets a handshake as a rule; more than this are spent on a burst of new sockets. */
#define SESSIONS_MAX 16

struct tls_sessions {
    struct tls_context *context;     /* of those kept; counted */
    SSL_SESSION *kept[SESSIONS_MAX]; /* oldest first */
    int count;
};

struct tls_sessions *tls_sessions_new(void)
{
    return calloc(1, sizeof(struct tls_sessions));
}

void tls_sessions_clear(struct tls_sessions *s)
{
    while (s->count > 0)
        SSL_SESSION_free(s->kept[--s->count]);
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
        SSL_SESSION *newest = s->kept[s->count - 1];
        bool usable = !has_expired(newest) && SSL_SESSION_is_resumable(newest);
        if (usable && !is_single_use(newest)) {
            SSL_SESSION_up_ref(newest);
            return newest;
        }
        s->count--;
        if (usable)
            return newest;
        SSL_SESSION_free(newest);
    }
    return NULL;
}

void tls_sessions_put(struct tls_sessions *s, struct tls_context *c, SSL_SESSION *session)
{
    use_context(s, c);
    if (!is_single_use(session) || (s->count > 0 && !is_single_use(s->kept[0])))
        tls_sessions_clear(s);
    if (s->count == SESSIONS_MAX) {
        SSL_SESSION_free(s->kept[0]);
        for (int i = 1; i < SESSIONS_MAX; i++)
            s->kept[i - 1] = s->kept[i];
        s->count--;
    }
    s->kept[s->count++] = session;
}
