#ifndef CARPOOL_ADMIN_HELD_H
#define CARPOOL_ADMIN_HELD_H

/* Requests of the last hour that a limit or a pause held, in words: of explain and of advise alike. The last
 * sentence ends without a full stop. */

#include "admin/account.h"

/* How many limits held, a pause not among them; and with it. */
uint32_t held_by_limits(const struct account *a);
uint32_t held_in_all(const struct account *a);

/* Those that the present limits held: no earlier ones, and no pause. */
uint32_t held_lately(const struct account *a, enum held_by by);
uint32_t held_lately_by_limits(const struct account *a);

/* Not one connection has been open since the start, so that none was busy: they failed, or are still being
 * opened. */
bool held_while_connecting(const struct account *a, enum held_by by);

/* "83 of 265 requests found all connections busy (maxSockets is 4): 74 waited, 483 ms on average, and 9 were
 * refused at once". Some were held. */
void held_put(struct text *out, const struct account *a);

/* " At one moment 12 were running or waiting. In the busiest minute, requests per second times seconds per
 * request came to 20.8 connections": why account_needed() says what it says. */
void held_put_need(struct text *out, const struct account *a, uint32_t limit);

#endif
