/* From the plan to addresses: those that stand there, and those of names. */

#include "config/config.h"
#include "io/connector_internal.h"

/* RFC 8305 3: with some addresses in hand, how long those of the other family, or of another name, are waited
 * for. */
#define RESOLUTION_DELAY_MS 50

static const int families[] = {AF_INET6, AF_INET};

/* Every question about the name is answered, and none with an address. */
static void note_failure(struct connector *c, const struct lookup *l)
{
    const char *whose = c->plan.parent ? "the parent proxy " : "";
    enum connect_error error = CONNECT_DNS_ERROR;
    int version = c->plan.family == AF_INET ? 4 : 6;

    if (l->status == RESOLVER_TIMEOUT)
        error = CONNECT_DNS_TIMEOUT;
    else if (l->status == RESOLVER_NO_RESOURCES)
        error = CONNECT_NO_RESOURCES;
    if (l->status != RESOLVER_NO_ADDRESS)
        connector_note(c, error, "cannot resolve %s%s: %s", whose, l->name, l->text);
    else if (c->plan.family == AF_UNSPEC)
        connector_note(c, error, "cannot resolve %s%s: the name has no address", whose, l->name);
    else
        connector_note(c, error,
                       "cannot resolve %s%s: the name has no IPv%d address, and `family: %d` asks for one",
                       whose, l->name, version, version);
}

/* The families take turns, IPv6 first unless its addresses yield (RFC 8305 4). */
static void add_addresses(struct lookup *l, int family, const struct resolver_answer *answer)
{
    uint32_t first = family == AF_INET ? 1 : answer->yields ? 2 : 0;

    for (int i = 0; i < answer->count; i++) {
        struct address a = answer->addresses[(l->rotation + (uint32_t)i) % (uint32_t)answer->count];
        address_set_port(&a, l->port);
        race_add(l->connector, &a, l->named, l->rank + first + 2 * (uint32_t)i);
    }
    l->found += (uint32_t)answer->count;
}

/* The race begins when all is known, or shortly after something is; what comes later joins it. */
static void answered(void *ctx, const struct resolver_answer *answer)
{
    struct question *q = ctx;
    struct lookup *l = q->lookup;
    struct connector *c = l->connector;

    q->query = NULL;
    c->questions_open--;
    add_addresses(l, q->family, answer);
    if (answer->status > l->status) {
        l->status = answer->status;
        l->text = answer->text;
    }
    if (--l->open == 0 && l->found == 0)
        note_failure(c, l);
    if (c->under_way > 0 && timer_is_set(&c->pace))
        return;
    if (c->questions_open == 0 || (c->state == CONNECTOR_RACING && answer->count > 0))
        race_try_next(c);
    else if (c->state == CONNECTOR_RESOLVING && answer->count > 0 && !timer_is_set(&c->pace))
        timer_set(&c->pace, RESOLUTION_DELAY_MS);
}

static void add_lookup(struct connector *c, const char *name, uint16_t port, bool named, uint32_t rank,
                       uint32_t rotation)
{
    struct lookup *l = &c->lookups[c->lookup_count++];

    *l = (struct lookup){
        .connector = c, .name = name, .port = port, .named = named, .rank = rank, .rotation = rotation};
    for (int i = 0; i < 2; i++)
        if (c->plan.family == AF_UNSPEC || c->plan.family == families[i])
            l->questions[l->open++] = (struct question){.lookup = l, .family = families[i]};
    /* Counted before the first one is asked, which may be answered at once. */
    c->questions_open += l->open;
}

static void add_entry(struct connector *c, const struct address_entry *e, uint32_t rank, uint32_t rotation)
{
    if (e->is_name)
        add_lookup(c, e->host, e->port, true, rank, rotation);
    else
        race_add(c, &e->address, true, rank);
}

static void add_host(struct connector *c, const char *host, uint16_t port, bool named, uint32_t rotation)
{
    struct address literal;

    if (address_from_ip(&literal, slice_of(host), port))
        race_add(c, &literal, named, 0);
    else
        add_lookup(c, host, port, named, 0, rotation);
}

/* As far as it is known here: names are the parent's to resolve. */
static bool parent_may_go_there(struct connector *c)
{
    struct address literal;

    return !address_from_ip(&literal, slice_of(c->plan.host), c->plan.port) ||
           race_is_permitted(c, &literal, false);
}

void names_gather(struct connector *c)
{
    const struct address_list *entries = c->plan.entries;
    uint32_t count = entries ? entries->count : 0;
    uint32_t turn = c->plan.memory->rotation++;

    for (uint32_t i = 0; i < count; i++)
        add_entry(c, &entries->items[(turn % count + i) % count], i * RANKS_A_NAME, turn / count);
    if (count > 0)
        return;
    if (!c->plan.parent)
        add_host(c, c->plan.host, c->plan.port, false, turn);
    else if (parent_may_go_there(c))
        add_host(c, c->plan.parent->host, c->plan.parent->port, true, turn);
}

void names_ask(struct connector *c)
{
    for (uint32_t i = 0; i < c->lookup_count; i++) {
        struct lookup *l = &c->lookups[i];
        uint32_t count = l->open;
        for (uint32_t n = 0; n < count; n++)
            l->questions[n].query =
                resolver_ask(c->resolver, l->name, l->questions[n].family, answered, &l->questions[n]);
    }
    if (c->lookup_count == 0)
        race_try_next(c);
    else if (c->questions_open > 0 && c->attempt_count > 0 && !timer_is_set(&c->pace))
        timer_set(&c->pace, RESOLUTION_DELAY_MS);
}

const char *names_unanswered(const struct connector *c)
{
    for (uint32_t i = 0; i < c->lookup_count; i++)
        if (c->lookups[i].open > 0)
            return c->lookups[i].name;
    return NULL;
}

void names_cancel(struct connector *c)
{
    for (uint32_t i = 0; i < c->lookup_count; i++)
        for (int n = 0; n < 2; n++) {
            struct question *q = &c->lookups[i].questions[n];
            if (q->query)
                resolver_cancel(q->query);
            q->query = NULL;
        }
}
