#ifndef CARPOOL_POOL_REUSE_H
#define CARPOOL_POOL_REUSE_H

/* May this socket carry another exchange? One checklist decides, and what is unknown closes: a mistake
 * here mixes up two apps' messages (RFC 9112 9.3). */

#include <stdbool.h>
#include <stdint.h>

#include "wire/call_end.h"
#include "wire/retire.h"

/* What the pool knows. */
struct reuse_limits {
    bool keep_alive; /* the policy's */
    bool wanted;     /* not drained since it was opened, and within limits that were lowered */
    bool stopping;
    uint32_t exchanges;          /* carried, the ending one included */
    uint32_t max_requests;       /* COUNT_INFINITE: no limit */
    uint64_t age_ms, max_age_ms; /* max 0: no limit */
    bool has_hint_max;           /* what an earlier response of this socket said of the exchanges left */
    uint64_t hint_left;
    bool has_hint_timeout;
    uint64_t hint_timeout_ms, hint_buffer_ms;
};

/* RETIRE_NONE: it may be used again. */
enum retire_reason reuse_refusal(const struct call_end *end, const struct reuse_limits *l);

#endif
