/* Where requests begin: what each client's connection was read of is kept, and read a second time, from its
 * first byte. An exchange that begins elsewhere than behind the framing of the request before it takes
 * content for a request. */

#include <string.h>

#include "../unit/http_message.h"
#include "exchange_world.h"
#include "fuzz.h"
#include "proxy/client.h"

#define FDS 256
/* Before a request they are ignored (RFC 9112 2.2). */
#define EMPTY_LINES 8

struct trace {
    bool whole; /* every byte since the connection began is here */
    size_t n;
    char bytes[8192];
};

static struct trace traces[FDS];

void world_trace_client(int fd)
{
    if (fd >= 0 && fd < FDS)
        traces[fd] = (struct trace){.whole = true};
}

void world_trace_read(int fd, const void *bytes, ssize_t n)
{
    if (n <= 0 || fd < 0 || fd >= FDS)
        return;
    struct trace *t = &traces[fd];
    if ((size_t)n > sizeof t->bytes - t->n) {
        t->whole = false;
        return;
    }
    memcpy(t->bytes + t->n, bytes, (size_t)n);
    t->n += (size_t)n;
}

/* Some requests are refused here and repaired by Carpool, or read and not forwarded: then this says
 * nothing. */
static bool ends_with_a_message(struct slice bytes)
{
    struct message_log log;

    if (bytes.n == 0)
        return true;
    message_read(bytes, bytes.n, REQUESTS, REQUEST_PLAIN, &log);
    return log.end != MESSAGE_MORE && (log.end != MESSAGE_WHOLE || log.used == bytes.n);
}

void world_check_boundary(const struct client *c)
{
    if (c->conn.fd < 0 || c->conn.fd >= FDS || !traces[c->conn.fd].whole)
        return;
    const struct trace *t = &traces[c->conn.fd];
    struct slice before = {t->bytes, t->n - buffer_unread(c->in).n};
    bool ends = ends_with_a_message(before);
    for (unsigned i = 0; i < EMPTY_LINES && !ends && before.n >= 2; i++) {
        if (memcmp(before.p + before.n - 2, "\r\n", 2) != 0)
            break;
        before.n -= 2;
        ends = ends_with_a_message(before);
    }
    fuzz_assert(ends);
}
