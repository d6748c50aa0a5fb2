#ifndef CARPOOL_ADMIN_ACCESS_LOG_H
#define CARPOOL_ADMIN_ACCESS_LOG_H

/* One line an exchange (its fields: carpoold(8)). Lines are gathered in a buffer and written at the end of
 * the loop turn (under load, of one in some milliseconds) or when it is full, never blocking: what a slow
 * reader does not take is dropped and counted. No malloc a line. */

#include <event2/event.h>
#include <stdbool.h>

#include "config/config.h"
#include "proxy/record.h"

struct access_log;

/* path: "-" is stdout. NULL with a sentence in `error`. */
struct access_log *access_log_open(const char *path, enum access_log_format format, char *error,
                                   size_t error_size);
void access_log_write(struct access_log *l, const struct exchange_record *r);
/* Hands gathered lines to the kernel. */
void access_log_flush(struct access_log *l);
/* The same, unless it was done a moment ago: to be called after each turn of the loop. True: lines wait for
 * the next turn, which must come within ACCESS_LOG_GATHER_MS. */
#define ACCESS_LOG_GATHER_MS 10
bool access_log_end_turn(struct access_log *l);
/* Closes and opens its file again (SIGUSR1). */
void access_log_reopen(struct access_log *l);
void access_log_close(struct access_log *l);

#endif
