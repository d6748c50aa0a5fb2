#include "pool/ledger.h"

#include "base/array.h"

_Static_assert(RETIRE_COUNT <= UINT8_MAX, "a reason is a byte");

const char *opened_for_word(unsigned why)
{
    static const char *const words[] = {
#define X(id, word, help) [id] = word,
        OPENED_FOR_LIST(X)
#undef X
    };
    return why < OPENED_FOR_REPLACED ? words[why] : retire_word(why - OPENED_FOR_REPLACED);
}

void ledger_retired(struct ledger *l, enum retire_reason reason)
{
    uint8_t *lacking = array_reserve(l->lacking, &l->lacking_room, (size_t)l->lacking_count + 1, 1);
    if (!lacking)
        return; /* as if the origin had never had so many */
    l->lacking = lacking;
    lacking[l->lacking_count++] = (uint8_t)reason;
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
