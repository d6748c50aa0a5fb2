#ifndef CARPOOL_POOL_LEARNED_H
#define CARPOOL_POOL_LEARNED_H

/* After how long an origin closes idle connections, where it does not announce it (Keep-Alive: timeout=N):
 * learned from three closings one after another at like ages, so that free sockets are closed before that.
 *
 * One in 50 sockets that reach the limit is left alone, and carries no request meanwhile (ASIDE_TRIAL). When
 * two of these lived half as long again as the origin was thought to allow, it allows more, and all is
 * forgotten. */

#include <stdbool.h>
#include <stdint.h>

#define LEARNED_FROM 3

/* All zero at first. */
struct learned {
    uint64_t ages_ms[LEARNED_FROM]; /* of the last closings that were alike, oldest first */
    uint32_t count;
    uint32_t reached;    /* sockets that reached the limit, */
    uint32_t outlived;   /* and those left alone of them that lived half as long again */
    uint64_t counted_ms; /* when the last closing was counted */
    uint64_t least_ms;   /* the age before which sockets are to be closed; 0: nothing is learned */
};

/* The origin has closed a free socket that had been idle for so long, at `now_ms`. True: the limit is another
 * one. */
bool learned_closing(struct learned *l, uint64_t idle_ms, uint64_t now_ms);

/* How long free sockets are kept; 0: nothing is learned. */
uint64_t learned_limit(const struct learned *l, uint64_t buffer_ms);

/* A socket has reached the limit: whether it is to be left alone. */
bool learned_is_trial(struct learned *l);

/* For how long that one is left alone, counted from when it became free. */
uint64_t learned_trial(const struct learned *l);

/* It has lived so long. True: nothing is learned any more. */
bool learned_outlived(struct learned *l);

#endif
