/* From the plan to addresses: those that stand there, and those of names. */

#include "config/config.h"
#include "io/address_order.h"
#include "io/connector_internal.h"

/* RFC 8305 3: with addresses of one name in hand, how long those of another are waited for. */
#define RESOLUTION_DELAY_MS 50

static void answered(void *ctx, const struct resolver_answer *answer)
{
    struct lookup *l = ctx;
    struct connector *c = l->connector;
    struct address ordered[RESOLVER_MAX_ADDRESSES];
    int count = address_order(answer, l->rotation, ordered);

    l->query = NULL;
    c->lookups_open--;
    for (int i = 0; i < count; i++) {
        address_set_port(&ordered[i], l->port);
        race_add(c, &ordered[i], l->named, l->rank + (uint32_t)i);
    }
    if (answer->status == RESOLVER_TIMEOUT)
        connector_note(c, CONNECT_DNS_TIMEOUT, "cannot resolve %s: %s", l->name, answer->text);
    else if (answer->status == RESOLVER_NO_RESOURCES)
        connector_note(c, CONNECT_NO_RESOURCES, "cannot resolve %s: %s", l->name, answer->text);
    else if (answer->status != RESOLVER_OK)
        connector_note(c, CONNECT_DNS_ERROR, "cannot resolve %s: %s", l->name, answer->text);
    if (c->lookups_open == 0 && c->trying == 0)
        race_try_next(c);
    else if (count > 0 && !timer_is_set(&c->pace))
        timer_set(&c->pace, RESOLUTION_DELAY_MS);
}

static void add_lookup(struct connector *c, const char *name, uint16_t port, bool named, uint32_t rank,
                       uint32_t rotation)
{
    c->lookups[c->lookup_count++] = (struct lookup){
        .connector = c, .name = name, .port = port, .named = named, .rank = rank, .rotation = rotation};
}

static void add_entry(struct connector *c, const struct address_entry *e, uint32_t rank, uint32_t rotation)
{
    if (e->is_name)
        add_lookup(c, e->host, e->port, true, rank, rotation);
    else
        race_add(c, &e->address, true, rank);
}

void names_gather(struct connector *c)
{
    const struct address_list *entries = c->plan.entries;
    uint32_t count = entries ? entries->count : 0;
    uint32_t turn = c->plan.memory->rotation++;
    struct address literal;

    for (uint32_t i = 0; i < count; i++)
        add_entry(c, &entries->items[(turn % count + i) % count], i * RESOLVER_MAX_ADDRESSES, turn / count);
    if (count > 0)
        return;
    if (address_from_ip(&literal, slice_of(c->plan.host), c->plan.port))
        race_add(c, &literal, false, 0);
    else
        add_lookup(c, c->plan.host, c->plan.port, false, 0, turn);
}

void names_ask(struct connector *c)
{
    /* Counted before the first one is asked, which may answer at once. */
    c->lookups_open = c->lookup_count;
    for (uint32_t i = 0; i < c->lookup_count; i++)
        c->lookups[i].query =
            resolver_ask(c->resolver, c->lookups[i].name, c->plan.family, answered, &c->lookups[i]);
    if (c->lookup_count == 0)
        race_try_next(c);
    else if (c->lookups_open > 0 && c->attempt_count > 0)
        timer_set(&c->pace, RESOLUTION_DELAY_MS);
}

void names_cancel(struct connector *c)
{
    for (uint32_t i = 0; i < c->lookup_count; i++) {
        if (c->lookups[i].query)
            resolver_cancel(c->lookups[i].query);
        c->lookups[i].query = NULL;
    }
}
