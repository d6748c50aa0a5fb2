#include "http/proxy_error.h"

const char *proxy_error_word(unsigned error)
{
    static const char *const words[PROXY_ERROR_COUNT] = {
#define X(id, word) [id] = word,
        PROXY_ERROR_LIST(X)
#undef X
    };
    return words[error];
}
