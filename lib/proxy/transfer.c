#include "proxy/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/exchange.h"

#define SPARES_KEPT 512

bool transfer_take(struct exchange *e)
{
    if (e->transfer)
        return true;
    struct transfer *t = freelist_take(&e->client->proxy->spare_transfers);
    if (!t && !(t = malloc(sizeof *t)))
        return false;
    memset(t, 0, sizeof *t);
    t->exchange = e;
    e->transfer = t;
    upload_begin(e);
    return true;
}

void transfer_give(struct proxy *p, struct exchange *e)
{
    struct transfer *t = e->transfer;
    e->transfer = NULL;
    if (t && !freelist_keep(&p->spare_transfers, t, SPARES_KEPT))
        free(t);
}

void transfer_free_spares(struct proxy *p)
{
    struct transfer *t;
    while ((t = freelist_take(&p->spare_transfers)))
        free(t);
}
