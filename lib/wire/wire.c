#include "wire/wire.h"

#include "wire/h1.h"

void wire_loop_destroy(struct wire_loop *loop)
{
    h1_destroy_freelist(loop);
    buffer_pool_destroy(&loop->heads);
    buffer_pool_destroy(&loop->bodies);
}
