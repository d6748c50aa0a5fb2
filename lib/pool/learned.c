#include "pool/learned.h"

#include <string.h>

#include "base/minmax.h"

/* What is closed sooner is closed for another reason. */
#define SHORTEST_MS 500
/* Ages are alike within so much, or a tenth. */
#define ALIKE_MS 500
/* Closings of one moment, as at a restart, are one. */
#define MOMENT_MS     200
#define TRIAL_EVERY   50
#define TRIALS_ENOUGH 2

static uint64_t least_of(const struct learned *l)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < l->count; i++)
        least = min64(least, l->ages_ms[i]);
    return least;
}

static uint64_t most_of(const struct learned *l)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < l->count; i++)
        most = max64(most, l->ages_ms[i]);
    return most;
}

static bool is_like_the_others(const struct learned *l, uint64_t idle_ms)
{
    uint64_t least = min64(least_of(l), idle_ms), most = max64(most_of(l), idle_ms);
    return most - least <= max64(ALIKE_MS, most / 10);
}

static void drop_oldest(struct learned *l)
{
    memmove(l->ages_ms, l->ages_ms + 1, --l->count * sizeof l->ages_ms[0]);
}

bool learned_closing(struct learned *l, uint64_t idle_ms, uint64_t now_ms)
{
    uint64_t before = l->least_ms;
    if (idle_ms < SHORTEST_MS || (l->counted_ms && now_ms - l->counted_ms < MOMENT_MS))
        return false;
    l->counted_ms = now_ms;
    if (idle_ms < learned_trial(l))
        l->outlived = 0; /* it still does so */
    if (l->count == LEARNED_FROM)
        drop_oldest(l);
    while (l->count > 0 && !is_like_the_others(l, idle_ms))
        drop_oldest(l);
    l->ages_ms[l->count++] = idle_ms;
    if (l->count == LEARNED_FROM)
        l->least_ms = least_of(l);
    return l->least_ms != before;
}

uint64_t learned_limit(const struct learned *l, uint64_t buffer_ms)
{
    uint64_t least = l->least_ms;
    return max64(least > buffer_ms ? least - buffer_ms : 0, least / 2);
}

bool learned_is_trial(struct learned *l)
{
    return ++l->reached % TRIAL_EVERY == 0;
}

uint64_t learned_trial(const struct learned *l)
{
    return l->least_ms + l->least_ms / 2;
}

bool learned_outlived(struct learned *l)
{
    if (++l->outlived < TRIALS_ENOUGH)
        return false;
    l->least_ms = 0;
    l->outlived = l->reached = l->count = 0;
    return true;
}
