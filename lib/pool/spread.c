#include "pool/spread.h"

#include "config/config.h"
#include "pool/pool.h"

static uint32_t entries_of(const struct socket *s)
{
    return s->plan.entries ? s->plan.entries->count : 0;
}

static bool has_socket(const struct origin *o, uint32_t entry)
{
    const struct socket_list *const lists[] = {&o->connecting, &o->active, &o->roomy, &o->free, NULL};
    const struct socket *s;
    for (unsigned i = 0; lists[i]; i++)
        TAILQ_FOREACH (s, lists[i], link)
            if (s->entry == entry)
                return true;
    return false;
}

void spread_begin(struct socket *s)
{
    struct origin *o = s->origin;
    uint32_t count = entries_of(s), *rotation = &o->memory.rotation;
    bool http2 = o->offer != OFFER_HTTP1 && o->protocol != PROTOCOL_HTTP1 && !s->http1_only;
    if (count == 0)
        return;
    for (uint32_t i = 0; http2 && i < count && has_socket(o, *rotation % count); i++)
        ++*rotation;
    s->entry = *rotation % count;
}

void spread_established(struct socket *s)
{
    for (uint32_t i = 0; i < entries_of(s); i++)
        if (!s->plan.entries->items[i].is_name && address_equal(&s->plan.entries->items[i].address, &s->peer))
            s->entry = i;
}
