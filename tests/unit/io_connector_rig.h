#ifndef CARPOOL_TESTS_IO_CONNECTOR_RIG_H
#define CARPOOL_TESTS_IO_CONNECTOR_RIG_H

/* A connector with a loop, a name server and a policy of the test's own. */

#include "io/connector.h"
#include "io_dns.h"
#include "io_test.h"

struct fixture {
    struct event_base *base;
    struct dns dns;
    struct resolver *resolver;
    struct connect_memory memory;
    struct connect_plan plan;
    struct connect_result result;
    int calls;
    bool done;
    const char *asked; /* permit: the last address it was asked about */
    bool named;
};

struct fixture *set_up(void);
void tear_down(struct fixture *f);

/* connector_start()'s callback. */
void on_done(void *ctx, struct connect_result *r);

/* One connect by the fixture's plan; closes what it opens. */
struct connect_result *run(struct fixture *f);
struct connect_result *run_to(struct fixture *f, const char *host, uint16_t port);

/* Listens on another loopback address at a port that is free there. */
int listen_at(const char *ip, uint16_t port, int backlog);

/* Makes it drop every further SYN, as an address does that nobody routes. */
void fill_queue(int listening, int fds[4]);

/* Where it is connected to; static. */
const char *peer(const struct connect_result *r);

#endif
