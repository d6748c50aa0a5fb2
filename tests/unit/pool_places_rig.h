#ifndef CARPOOL_TESTS_POOL_PLACES_RIG_H
#define CARPOOL_TESTS_POOL_PLACES_RIG_H

/* A pool whose origin may speak HTTP/2: its connections have as many places as the test says. */

#include "pool_test.h"

#define PLACES_MOST 12

extern struct asker places_askers[PLACES_MOST];
extern uint32_t places_capacity;   /* of connections that are established; 0: they speak HTTP/1.1 */
extern unsigned places_ready_told; /* how often a connection was ready while HTTP/2 had it */

struct origin *places_open(const char *options, uint32_t places);
void places_close(void);

/* The first so many askers do. */
void places_ask(struct origin *o, unsigned count);
unsigned places_count_served(void);
/* Until so many are. */
void places_wait_for(unsigned served);
void places_release_all(void);

#endif
