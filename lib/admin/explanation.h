#ifndef CARPOOL_ADMIN_EXPLANATION_H
#define CARPOOL_ADMIN_EXPLANATION_H

/* Why a pool opens connections and what to change, for a reader who did not build it: paragraphs, computed
 * here once, printed by carpoolctl explain. Each is a row of a table; so is each reason for which a
 * connection is opened. */

#include "admin/account.h"

/* A row that has nothing to say leaves `out` as it was and returns false. A line feed separates lines; one
 * that begins with "- " is an item of a list. */
struct explanation_rule {
    const char *name;
    bool (*says)(const struct account *a, struct text *out);
};

extern const struct explanation_rule explanation_rules[];
extern const unsigned explanation_rule_count;

/* The row of this name, for tests; asserts that there is one. */
const struct explanation_rule *explanation_rule(const char *name);

/* One reason: its word, the cause in a sentence and, where it costs enough, what to change in another. */
void explanation_put_reason(struct text *out, const struct account *a, enum opened_for why);

/* {"agents":[{"name":...,"paragraphs":[...],"origins":[{"origin":...,"paragraphs":[...]}],"more":0}]}: of all
 * agents, or of one; each with its busiest origins, and how many more there are. Where an agent has one
 * origin, `paragraphs` is empty: there is nothing else to say of it. */
void explanation_write(const struct history *h, const struct admin_daemon *daemon, const struct agent *only,
                       uint64_t uptime_ms, struct text *out);

#endif
