#include "admin/recent_errors.h"

#include <string.h>

#include "base/clock.h"
#include "base/minmax.h"

/* The newest of a share but for `skip`; NULL: there are no more. */
static const struct agent_error *recent_error(const struct agent *share, uint32_t skip)
{
    uint32_t kept = min32(share->error_count, AGENT_RECENT_ERRORS);

    return skip < kept ? &share->errors[(share->error_count - 1 - skip) % AGENT_RECENT_ERRORS] : NULL;
}

/* The newest ones of all shares, newest first; returns how many. */
static uint32_t collect_errors(const struct agent *a, const struct agent_error *out[AGENT_RECENT_ERRORS])
{
    uint32_t count = 0;

    for (const struct agent *share = a; share; share = share->next_share) {
        const struct agent_error *e;

        for (uint32_t i = 0; (e = recent_error(share, i)); i++) {
            uint32_t at = count;

            while (at > 0 && out[at - 1]->wall_ms < e->wall_ms)
                at--;
            if (at == AGENT_RECENT_ERRORS)
                break;
            count += count < AGENT_RECENT_ERRORS;
            memmove(&out[at + 1], &out[at], (count - 1 - at) * sizeof(struct agent_error *));
            out[at] = e;
        }
    }
    return count;
}

void recent_errors_write(struct text *t, const struct agent *a)
{
    const struct agent_error *errors[AGENT_RECENT_ERRORS];
    uint32_t count = collect_errors(a, errors);

    text_lit(t, "[");
    for (uint32_t i = count; i-- > 0;) {
        const struct agent_error *e = errors[i];
        char time[CLOCK_RFC3339_SIZE];

        clock_format(e->wall_ms, time);
        text_string(t, i + 1 < count ? ",{\"time\":\"" : "{\"time\":\"");
        text_string(t, time);
        text_lit(t, "\",\"origin\":");
        text_json(t, slice_of(e->origin));
        text_lit(t, ",\"error\":");
        text_json(t, slice_of(e->error));
        text_lit(t, ",\"text\":");
        text_json(t, slice_of(e->text));
        text_lit(t, "}");
    }
    text_lit(t, "]");
}
