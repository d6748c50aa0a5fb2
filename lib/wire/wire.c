#include "wire/wire.h"

#include "wire/h1.h"

void wire_loop_init(struct wire_loop *loop, struct event_base *base)
{
    loop->base = base;
    h1_init_turns(loop);
    low_waters_init(&loop->low_waters, base);
}

void wire_loop_destroy(struct wire_loop *loop)
{
    h1_destroy_freelist(loop);
    event_del(&loop->turn);
    low_waters_end(&loop->low_waters);
    buffer_pool_destroy(&loop->heads);
    buffer_pool_destroy(&loop->bodies);
}
