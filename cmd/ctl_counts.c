#include "cmd/ctl_counts.h"

uint64_t counts_get(const json_t *o, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(o, key));

    return n > 0 ? (uint64_t)n : 0;
}

uint64_t counts_sum(const json_t *counts)
{
    const char *word;
    json_t *count;
    uint64_t n = 0;

    json_object_foreach ((json_t *)counts, word, count) {
        n += (uint64_t)json_integer_value(count);
    }
    return n;
}

const char *counts_largest(const json_t *counts)
{
    const char *word, *largest = NULL;
    json_int_t most = 0;
    json_t *count;

    json_object_foreach ((json_t *)counts, word, count) {
        if (largest && json_integer_value(count) <= most)
            continue;
        largest = word;
        most = json_integer_value(count);
    }
    return largest;
}
