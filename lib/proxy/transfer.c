#include "proxy/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/exchange.h"

#define SPARES_KEPT 512

bool transfer_take(struct exchange *e)
{
    struct proxy *p = e->client->proxy;
    struct transfer *t = p->spare_transfers;
    if (e->transfer)
        return true;
    if (t) {
        p->spare_transfers = t->next;
        p->spare_transfer_count--;
    } else if (!(t = malloc(sizeof *t))) {
        return false;
    }
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
    if (!t)
        return;
    if (p->spare_transfer_count >= SPARES_KEPT) {
        free(t);
        return;
    }
    t->next = p->spare_transfers;
    p->spare_transfers = t;
    p->spare_transfer_count++;
}

void transfer_free_spares(struct proxy *p)
{
    struct transfer *t;
    while ((t = p->spare_transfers)) {
        p->spare_transfers = t->next;
        free(t);
    }
}
