/* A pool whose origin may speak HTTP/2. */

#include "pool_places_rig.h"

struct asker places_askers[PLACES_MOST];
uint32_t places_capacity;
unsigned places_ready_told;

static void on_session_ready(void *ctx, unsigned ready)
{
    (void)ctx;
    (void)ready;
    places_ready_told++;
}

static enum protocol identify(void *ctx, struct socket *s, uint32_t *places)
{
    (void)ctx;
    if (places_capacity == 0)
        return PROTOCOL_HTTP1;
    *places = places_capacity;
    conn_set_owner(&s->wire.conn, on_session_ready, s);
    return PROTOCOL_HTTP2;
}

struct origin *places_open(const char *options, uint32_t places)
{
    places_capacity = places;
    memset(places_askers, 0, sizeof places_askers);
    pool_rig_open(&rig, options);
    rig.pool->identify = identify;
    struct origin *o = pool_rig_origin(&rig, "a.test");
    protocol_offer(o, OFFER_BOTH);
    return o;
}

void places_ask(struct origin *o, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_ne(asker_ask(&places_askers[i], o, ACQUIRE_NEW), ACQUIRE_QUEUE_FULL);
}

unsigned places_count_served(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PLACES_MOST; i++)
        n += places_askers[i].socket != NULL;
    return n;
}

void places_wait_for(unsigned served)
{
    for (unsigned i = 0; i < 2000 && places_count_served() < served; i++)
        pool_rig_run(&rig, 1);
    ck_assert_uint_eq(places_count_served(), served);
}

void places_release_all(void)
{
    for (unsigned i = 0; i < PLACES_MOST; i++)
        if (places_askers[i].socket)
            asker_release(&places_askers[i]);
}

void places_close(void)
{
    places_release_all();
    pool_rig_turn(&rig);
    pool_rig_close(&rig);
}
