#ifndef CARPOOL_POOL_PLACE_H
#define CARPOOL_POOL_PLACE_H

/* Places: what a request waits for. A socket carries as many exchanges as it has capacity, one with HTTP/1.1
 * and many with HTTP/2, and each of them has a place on it.
 *
 * A place is taken when it is given (origin_acquire(), settled()), not when its exchange begins. Its holder
 * does one of two things, once: socket_release() gives it back, socket_retire() ends the socket with all of
 * its places. */

#include "pool/socket.h"
#include "wire/call_end.h"

/* How many further exchanges it may carry now: 0 where it is connecting or ends, and where its users are as
 * many as the peer, the policy or its age allow. Everybody asks here. */
uint32_t socket_room(const struct socket *s);

/* The exchange that has a place begins to use it: counts it as a first use or a reuse. */
void socket_begin_exchange(struct socket *s);

/* Asked before an exchange begins: it has idled, or carried another one, so its peer may have left
 * meanwhile. */
static inline bool socket_may_be_stale(const struct socket *s)
{
    return s->exchanges > 0 || s->idle_since_ms > 0;
}

/* HTTP/1.1: no exchange may follow the one that begins now: our request should say Connection: close. */
bool socket_is_on_its_last_exchange(const struct socket *s);

/* Why no exchange may begin on a free one, since a reload has lowered how many it may carry. */
enum retire_reason socket_spent(const struct socket *s);

/* What the socket would be refused for if an exchange of it ended so. */
enum retire_reason socket_refusal(struct socket *s, const struct call_end *end);

/* A place comes back at the end of its exchange. The checklist decides: it goes to the oldest waiting request
 * of its origin, the socket becomes free when it was its last, or ends (where it carries others: with the
 * last of them). The caller may not touch the socket afterwards. */
void socket_release(struct socket *s, const struct call_end *end);

/* The same after an HTTP/2 exchange that did its connection no harm, however it ended. */
void socket_release_unharmed(struct socket *s);

/* The same for a place that was given and never used: it goes on as if nothing had happened, unless something
 * has. */
void socket_return_unused(struct socket *s);

/* HTTP/2, by the loop's events only; the socket may be gone afterwards. */

/* The peer lets it carry so many exchanges at a time from now on; 0: none for now. Room that is new goes to
 * those who wait, oldest first. Where it carries more already, they go on; who was given a place and is not
 * notified yet waits again. */
void socket_set_capacity(struct socket *s, uint32_t capacity);

/* It takes no more exchanges, and ends for this reason with the last of those that it carries: now, if there
 * is none. Who was given a place and is not notified yet waits again. */
void socket_drain(struct socket *s, enum retire_reason reason);

/* The same at the origin's word (GOAWAY): another connection may take its place under the limits at once. Of
 * an origin at most maxSockets are so at a time; those beyond are drained only. */
void socket_send_away(struct socket *s, enum retire_reason reason);

/* Used within the pool. */

/* Takes a place where there is room; takes one back whose exchange has not begun. */
void socket_take(struct socket *s);
void socket_untake(struct socket *s);

/* HTTP/2: drains those that have grown too old while they carry something. */
void origin_drain_old(struct origin *o);

/* A reload may have changed how much room it has; an HTTP/2 socket that is too old now, or has carried enough, is
 * drained. */
void socket_update_room(struct socket *s);

/* Gives its room to those who wait; without any it becomes free, or another origin's request gets what it
 * needs. */
void socket_hand_on(struct socket *s);

#endif
