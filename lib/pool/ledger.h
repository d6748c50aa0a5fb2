#ifndef CARPOOL_POOL_LEDGER_H
#define CARPOOL_POOL_LEDGER_H

/* Why each connection of an origin was opened: one reason for each that was established.
 *
 * An origin that has had h connections at a time and has fewer lacks some: each new one replaces the one that
 * was retired last and is not replaced yet, and is counted under the reason for which that one was
 * retired. */

#include <stddef.h>
#include <stdint.h>

#include "wire/retire.h"

/* X(id, word, what it means) */
#define OPENED_FOR_LIST(X)                                                                       \
    X(OPENED_FOR_SPARE, "warm", "minFreeSockets asked for it")                                   \
    X(OPENED_FOR_FIRST, "first", "the origin had none before")                                   \
    X(OPENED_FOR_CONCURRENCY, "concurrency", "more connections in use at once than ever before") \
    X(OPENED_FOR_RETRY, "retry", "a request on a stale socket was repeated")

enum opened_for {
#define X(id, word, help) id,
    OPENED_FOR_LIST(X)
#undef X
        OPENED_FOR_REPLACED, /* and from here on: OPENED_FOR_REPLACED + enum retire_reason */
    OPENED_FOR_COUNT = OPENED_FOR_REPLACED + RETIRE_COUNT
};

/* The word of an enum opened_for: one of the list, or that of the retirement reason. */
const char *opened_for_word(unsigned why);

/* All zero at first. */
struct ledger {
    uint8_t *lacking; /* enum retire_reason of those that were retired and not replaced; the last one last */
    uint32_t lacking_count;
    size_t lacking_room;
};

/* An established connection takes no more requests: it was retired, or will be with the last of those that it
 * carries. */
void ledger_retired(struct ledger *l, enum retire_reason reason);

/* One was established, as one of `established` ever (itself included), for SPARE, RETRY, or CONCURRENCY where
 * a request found no free one: returns why. */
enum opened_for ledger_opened(struct ledger *l, uint64_t established, enum opened_for wanted);

void ledger_free(struct ledger *l);

#endif
