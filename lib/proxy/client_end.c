#include "proxy/client_end.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/minmax.h"

/* What may still come of a request is thrown away, so that no reset destroys the answer (RFC 9112 9.6). */
#define LINGER_MS    900 /* so that a stop is over within a second */
#define LINGER_BYTES (64 * 1024)
/* TLS may bring a few bytes with each. */
#define READS_PER_TURN 16

static void discard(struct client *c)
{
    char waste[4096];
    for (unsigned reads = 0; reads < READS_PER_TURN; reads++) {
        ssize_t n = conn_read(&c->conn, waste, sizeof waste);
        if (n == CONN_AGAIN)
            return;
        if (n == CONN_EOF && c->state == CLIENT_ENDING)
            return; /* it may still read */
        c->lingered += n > 0 ? (uint32_t)n : 0;
        if (n <= 0 || c->lingered > LINGER_BYTES) {
            client_close(c, c->ending, false);
            return;
        }
    }
    conn_call_again(&c->conn);
}

/* A stop has waited for the rest of a head before. */
static uint64_t linger_ms(const struct client *c)
{
    uint64_t stop_ms = c->proxy->stopping_since_ms;
    return LINGER_MS - (stop_ms ? min64(clock_ms() - stop_ms, CLIENT_GRACE_MS) : 0);
}

static void say_end(struct client *c)
{
    if (!conn_shutdown_write(&c->conn))
        return;
    client_set_state(c, CLIENT_LINGERING);
    deadline_set(&c->proxy->client_deadlines, &c->deadline, linger_ms(c));
}

void client_linger(struct client *c, enum client_close reason)
{
    c->ending = reason;
    c->since_ms = clock_ms();
    client_set_state(c, CLIENT_ENDING);
    buffer_give(c->in);
    c->in = NULL;
    say_end(c);
    client_end_arm(c);
    if (!client_watch(c))
        client_close(c, reason, false);
    else
        discard(c); /* what came while it was not read is announced no more */
}

/* A close would answer what comes with a reset, which destroys what the client has not read yet (RFC
 * 9112 9.6). */
static bool may_still_send(const struct client *c, enum client_close reason)
{
    char byte;
    if (c->gone)
        return false;
    bool had_its_last_word = reason == CLIENT_CONNECTION_CLOSE && c->at_boundary && !c->in;
    if (had_its_last_word && !c->conn.may_read)
        return false;
    ssize_t n = recv(c->conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return !had_its_last_word;
    return n > 0;
}

void client_end(struct client *c, enum client_close reason)
{
    if (!conn_say_end(&c->conn) || may_still_send(c, reason))
        client_linger(c, reason);
    else
        client_close(c, reason, false);
}

void client_end_ready(struct client *c, unsigned ready)
{
    if (c->state == CLIENT_ENDING)
        say_end(c);
    else if (!(ready & CONN_READABLE))
        return;
    discard(c);
}

/* Where a slow client has taken some there is room for the end, of which the loop has not told yet. */
void client_end_on_deadline(struct client *c)
{
    if (c->state == CLIENT_LINGERING) {
        client_close(c, c->ending, false);
        return;
    }
    say_end(c);
    if (c->state == CLIENT_ENDING)
        client_close(c, CLIENT_TIMEOUT, false);
}

void client_end_arm(struct client *c)
{
    if (c->state == CLIENT_ENDING)
        client_arm(c, c->proxy->config->server.timeout);
}
