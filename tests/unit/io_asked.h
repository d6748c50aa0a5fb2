#ifndef CARPOOL_TESTS_IO_ASKED_H
#define CARPOOL_TESTS_IO_ASKED_H

/* Questions to a resolver, and what was answered. */

#include "io_dns.h"
#include "io_test.h"

struct asked {
    struct resolver_answer answer;
    int calls;
    bool done;
    struct resolver_query **cancel; /* of another, when this one is told */
};

/* resolver_ask()'s callback. */
void on_answer(void *ctx, const struct resolver_answer *a);

/* Asks, and waits for the answer. */
struct asked ask(struct event_base *base, struct resolver *r, const char *name, int family);

/* The nth address as text; static. */
const char *nth(const struct asked *a, int n);

#endif
