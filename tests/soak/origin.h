#ifndef CARPOOL_TESTS_SOAK_ORIGIN_H
#define CARPOOL_TESTS_SOAK_ORIGIN_H

/* What origin.c and origin_h2.c share. */

#include "load.h"

extern struct h2_seen {
    uint64_t requests, connections, refused, goaways;
} h2_seen;

/* A connection that speaks HTTP/2 by prior knowledge, of which nothing was read. */
void h2_accept(struct load *l, int fd);

/* Frees those that have ended, between two turns. */
void h2_bury(void);

#endif
