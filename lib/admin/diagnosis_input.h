#ifndef CARPOOL_ADMIN_DIAGNOSIS_INPUT_H
#define CARPOOL_ADMIN_DIAGNOSIS_INPUT_H

/* What the rules of the diagnosis see: how things are now, and what has changed since the window began, which
 * the tracks remember. `who` and `agent` of the input, and ca_path of an agent's, are the caller's to set. */

#include "admin/diagnosis.h"
#include "admin/track.h"

void describe_origin(const struct track *tracks, const struct origin *o, struct diagnosis_input *in);
void describe_agent(const struct admin_daemon *daemon, const struct track *tracks, const struct agent *a,
                    struct diagnosis_input *in);
void describe_forgotten(const struct track *tracks, const struct agent *a, struct diagnosis_input *in);

/* A request waits, and no place is left. */
bool origin_is_saturated(const struct origin *o);

/* Of an agent's origins that were forgotten, in all shares. */
void forgotten_stats(const struct agent *a, struct origin_stats *out);

/* Requests that failed or were refused since the window began; `t` NULL: all of them. */
uint64_t failed_since(const struct track *t, const struct origin_stats *stats);

#endif
