#include "proxy/close_reason.h"

const char *client_close_word(enum client_close c)
{
    static const char *const words[CLIENT_CLOSE_COUNT] = {
#define X(id, word, help) [id] = word,
        CLIENT_CLOSE_LIST(X)
#undef X
    };
    return words[c];
}
