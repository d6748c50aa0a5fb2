#ifndef CARPOOL_ADMIN_HISTORY_H
#define CARPOOL_ADMIN_HISTORY_H

/* The last hour, a minute a slot: of each agent, and of the HISTORY_ORIGINS origins that were busy last. A
 * slot is some 300 bytes, and an hour of them is kept only for who had any traffic within one. */

#include <stdint.h>

#include "admin/server.h"
#include "admin/span.h"
#include "admin/text.h"

#define HISTORY_MINUTES 60
#define HISTORY_ORIGINS 128

struct history;

/* `daemon` must outlive it. NULL when memory is short. */
struct history *history_new(const struct admin_daemon *daemon);
void history_free(struct history *h);

/* Looks at every agent and its origins; to be called once a second. */
void history_sample(struct history *h);

/* A reload may have changed limits; a look, too, sees that. */
void history_note_limits(struct history *h);

/* What it does before each look: how long connections are in use is known up to now. */
void history_settle(const struct history *h);

/* What it does once a minute, too: the running minute is over. */
void history_end_minute(struct history *h);

/* What it does after a minute or more without a look: that time was quiet. */
void history_skip(struct history *h, uint64_t gap_ms);

/* How much of the last hour is known, in milliseconds. */
uint64_t history_ms(const struct history *h);

/* All of that of an agent (origin NULL) or of one of its origins, up to now. All zero where nothing is known
 * of it. */
void history_hour(const struct history *h, const struct agent *a, const struct origin *o, struct span *out);

const struct admin_daemon *history_daemon(const struct history *h);
bool history_knows(const struct history *h, const struct agent *a, const struct origin *o);

/* `s` NULL: nothing happened in it. */
typedef void history_take(struct text *t, uint64_t end_wall_ms, uint64_t ms, const struct span *s);

/* The oldest first, the running one last. */
void history_each_minute(const struct history *h, const struct agent *a, const struct origin *o,
                         history_take *take, struct text *t);

/* history_write.c */

/* {"minuteMs":60000,"timeMs":...,"agents":[{"name":...,"minutes":[...]}]}: every agent; the oldest minute
 * first, the running one last, each {"end":milliseconds since 1970,"ms":its length,...} with what is not
 * zero. */
void history_write_all(const struct history *h, struct text *t);

/* {"name":...,"minutes":[...],"origins":[{"origin":...,"minutes":[...]}]} of one, with those of its origins
 * that are known. */
void history_write_one(const struct history *h, const struct agent *a, struct text *t);

#endif
