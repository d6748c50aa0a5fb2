#ifndef CARPOOL_ADMIN_DIAGNOSIS_RULES_H
#define CARPOOL_ADMIN_DIAGNOSIS_RULES_H

/* What the files of the diagnosis' rules share; the table is in diagnosis_rules.c. */

#include "admin/diagnosis.h"

/* Fewer than this prove nothing. */
#define ENOUGH 3

static inline uint64_t percent(uint64_t part, uint64_t whole)
{
    return whole ? part * 100 / whole : 0;
}

static inline uint64_t failed_connects(const struct diagnosis_input *in)
{
    return in->retired[RETIRE_CONNECT_FAILED] + in->retired[RETIRE_CONNECT_TIMEOUT];
}

/* diagnosis_rules.c */
/* "payments: in the last 1 to 2 minutes, ": figures follow. */
void put_lately(const struct diagnosis_input *in, struct text *out);
/* "all 20 connections busy (maxSockets)"; `were` goes before "busy". */
void put_busy(const struct diagnosis_input *in, struct text *out, const char *were);
/* ": raise maxSockets, or find out why the service is slow" */
void put_remedy(const struct diagnosis_input *in, struct text *out);
/* There are enough of them to be told. */
bool ping_timeouts_matter(const struct diagnosis_input *in);

/* diagnosis_rules_failures.c: connections and requests that failed */
/* There are enough of them for says_connect_fails(). */
bool connects_fail(const struct diagnosis_input *in);
bool says_connect_fails(const struct diagnosis_input *in, struct text *out);
bool says_stale(const struct diagnosis_input *in, struct text *out);
bool says_dead_path(const struct diagnosis_input *in, struct text *out);
bool says_timeouts(const struct diagnosis_input *in, struct text *out);
bool says_failing(const struct diagnosis_input *in, struct text *out);
bool says_failing_elsewhere(const struct diagnosis_input *in, struct text *out);
bool says_refused_elsewhere(const struct diagnosis_input *in, struct text *out);
bool says_failing_together(const struct diagnosis_input *in, struct text *out);
/* Adds an origin, or the forgotten ones, to what says_failing_together() sees, unless another rule tells of its
 * failures: its requests, and those of them that failed. */
void add_untold(const struct diagnosis_input *in, enum diagnosis_scope scope,
                struct diagnosis_input *together);

#endif
