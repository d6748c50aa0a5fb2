#include <stdlib.h>

#include "config/tls_setup.h"
#include "io/tls_internal.h"

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);

    if (!t || !t->sessions)
        return 0;
    t->renewed = true;
    return tls_sessions_put(t->sessions, t->context, ssl, session);
}

/* Before its first connection: a setup that is in use already has them, and other threads may be reading
 * it. */
static void set_callbacks(const struct tls_setup *s)
{
    if (SSL_CTX_sess_get_new_cb(s->ssl))
        return;
    SSL_CTX_set_verify(s->ssl, s->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       s->verify ? tls_remember_distrust : NULL);
    SSL_CTX_sess_set_new_cb(s->ssl, keep_session);
}

struct tls_context *tls_context_new(const struct tls_setup *s)
{
    struct tls_context *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    set_callbacks(s);
    SSL_CTX_up_ref(s->ssl);
    c->refs = 1;
    c->ssl = s->ssl;
    c->verify = s->verify;
    c->resume = s->resume;
    return c;
}

bool tls_context_is(const struct tls_context *c, const struct tls_setup *s)
{
    return c->ssl == s->ssl;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    if (c)
        __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    SSL_CTX_free(c->ssl);
    free(c);
}
