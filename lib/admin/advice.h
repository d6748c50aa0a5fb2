#ifndef CARPOOL_ADMIN_ADVICE_H
#define CARPOOL_ADMIN_ADVICE_H

/* What to change in the configuration, or at a service: each a row that looks at the last hour. */

#include "admin/account.h"

/* What is no option of Carpool's, but the service's to do. */
#define ADVICE_AT_SERVICE "keepAlive at the service"

/* Texts are zeroed at first; who asked frees them. */
struct advice {
    struct text now, suggested; /* JSON values */
    struct text why;            /* a sentence */
};

enum advice_scope { ADVICE_AGENT, ADVICE_ORIGIN };

/* A row that has nothing to advise returns false; what it wrote then means nothing. */
struct advice_rule {
    const char *name;
    enum advice_scope scope;
    const char *option; /* a key of the YAML ("timeouts.free"), or ADVICE_AT_SERVICE */
    bool (*advises)(const struct account *a, struct advice *out);
};

extern const struct advice_rule advice_rules[];
extern const unsigned advice_rule_count;

/* The row of this name, for tests; asserts that there is one. */
const struct advice_rule *advice_rule(const char *name);

void advice_free(struct advice *a);

/* [{"agent":...,"origin":...,"option":...,"now":...,"suggested":...,"why":...}]; of an agent as a whole the
 * origin is "*". */
void advice_write(const struct history *h, const struct admin_daemon *daemon, uint64_t uptime_ms,
                  struct text *out);

#endif
