#include "pool/ledger.h"

#include <stdbool.h>
#include <stdlib.h>

#define FIRST_SIZE 16

_Static_assert(RETIRE_COUNT <= UINT8_MAX, "a reason is a byte");

const char *opened_for_word(enum opened_for why)
{
    static const char *const words[] = {
#define X(id, word, help) [id] = word,
        OPENED_FOR_LIST(X)
#undef X
    };
    return why < OPENED_FOR_REPLACED ? words[why]
                                     : retire_word((enum retire_reason)(why - OPENED_FOR_REPLACED));
}

static bool has_room(struct ledger *l)
{
    if (l->lacking_count < l->lacking_size)
        return true;
    uint32_t size = l->lacking_size ? 2 * l->lacking_size : FIRST_SIZE;
    uint8_t *larger = realloc(l->lacking, size);
    if (!larger)
        return false;
    l->lacking = larger;
    l->lacking_size = size;
    return true;
}

void ledger_retired(struct ledger *l, enum retire_reason reason)
{
    /* Without memory it is as if the origin had never had so many. */
    if (has_room(l))
        l->lacking[l->lacking_count++] = (uint8_t)reason;
}

/* Of the one that a new connection stands in for; RETIRE_NONE: there were never so many. */
static enum retire_reason take_last(struct ledger *l)
{
    return l->lacking_count > 0 ? (enum retire_reason)l->lacking[--l->lacking_count] : RETIRE_NONE;
}

enum opened_for ledger_opened(struct ledger *l, uint64_t established, enum opened_for wanted)
{
    enum retire_reason replaced = take_last(l);
    if (wanted != OPENED_FOR_CONCURRENCY)
        return wanted;
    if (established == 1)
        return OPENED_FOR_FIRST;
    return replaced == RETIRE_NONE ? OPENED_FOR_CONCURRENCY
                                   : (enum opened_for)(OPENED_FOR_REPLACED + replaced);
}

void ledger_free(struct ledger *l)
{
    free(l->lacking);
}
