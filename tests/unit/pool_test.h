#ifndef CARPOOL_TESTS_POOL_TEST_H
#define CARPOOL_TESTS_POOL_TEST_H

#include "pool_rig.h"
#include "unit.h"

/* The test's, which closes it. */
extern struct pool_rig rig;

/* Opens it with these options; the origin http://a.test:80. */
struct origin *open_rig(const char *options);

/* Makes one free socket, the only one. */
void free_one(struct origin *o);

/* One who asks for sockets, and remembers what became of it. */
struct asker {
    struct waiter waiter;
    const void *caller;
    bool waits;
    unsigned told; /* how often it was notified */
    struct socket *socket;
    enum connect_error error;
    unsigned turn; /* 1: the first of all that were notified */
};

/* What an exchange does first with its socket: counts, and listens to it from now on. */
void asker_use(struct socket *s);

enum acquire_result asker_ask(struct asker *a, struct origin *o, enum acquire_how how);

/* Asks and gets one, in this turn or later ones. */
struct socket *asker_get(struct asker *a, struct pool_rig *r, struct origin *o);

/* Ends the exchange well. */
void asker_release(struct asker *a);

/* The time is another one from now on; the loop's timers keep to real time. */
void clock_forward(uint64_t ms);

/* The system is suspended for so long. */
void clock_suspend(uint64_t ms);

void pool_queue_tests(Suite *suite);
void pool_life_tests(Suite *suite);
void pool_forget_tests(Suite *suite);
void pool_learned_tests(Suite *suite);
void pool_ledger_tests(Suite *suite);
void pool_path_tests(Suite *suite);
void pool_places_tests(Suite *suite);
void pool_probes_tests(Suite *suite);
void pool_reload_tests(Suite *suite);
void pool_savings_tests(Suite *suite);
void pool_turns_tests(Suite *suite);
void pool_random_tests(Suite *suite);

#endif
