#include "wire/retire.h"

const char *retire_word(unsigned reason)
{
    static const char *const words[RETIRE_COUNT] = {[RETIRE_NONE] = "",
#define X(id, word, help) [id] = word,
                                                    RETIRE_LIST(X)
#undef X
    };
    return words[reason];
}
