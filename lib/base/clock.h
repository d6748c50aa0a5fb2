#ifndef CARPOOL_BASE_CLOCK_H
#define CARPOOL_BASE_CLOCK_H

/* Time as the data path sees it: read once a loop turn, then cached, since asking costs more than most of a
 * request. Each thread has its own cache, which the first question fills. */

#include <stdint.h>

/* Microseconds of a clock that never steps back, and stands still while the system is suspended, as of the
 * last clock_update(). */
uint64_t clock_us(void);

/* The same in milliseconds. */
uint64_t clock_ms(void);

/* For how long the system has been suspended, and an unknown time besides: only the difference of two calls
 * means anything. Known since the first clock_update(). */
uint64_t clock_suspended_us(void);

/* Reads the clock anew. */
void clock_update(void);

/* Wall time in milliseconds since 1970, as of the last clock_update(). */
uint64_t clock_wall_ms(void);

/* Room for "2026-11-21T03:40:26.123Z" and its end. */
#define CLOCK_RFC3339_SIZE 32

/* Writes RFC 3339 in UTC with milliseconds and an end; returns its length. Times beyond the year 9999 are
 * shown as its end. */
int clock_format(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

/* Length of "Sun, 06 Nov 1994 08:49:37 GMT". */
#define CLOCK_HTTP_DATE_LENGTH 29

/* The same as HTTP writes a date (RFC 9110 5.6.7), with an end. */
void clock_format_http(uint64_t wall_ms, char out[CLOCK_HTTP_DATE_LENGTH + 1]);

/* clock_wall_ms() so written; good until the thread's next call. */
const char *clock_http_date(void);

#endif
