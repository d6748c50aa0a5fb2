/* See load.h. */

#include "load.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WRONG_WRITTEN 20

uint64_t load_now_ms(const struct load *l)
{
    return l->loop.now_ns / 1000000;
}

/* xorshift64 (Marsaglia): the same seed, the same load. */
uint64_t load_dice(struct load *l, uint64_t n)
{
    l->dice ^= l->dice << 13;
    l->dice ^= l->dice >> 7;
    l->dice ^= l->dice << 17;
    return l->dice % n;
}

static struct wait_list *slot_of(struct load *l, uint64_t ms)
{
    return &l->slots[ms / SLOT_MS % SLOTS];
}

void load_wait_not(struct load *l, struct wait *w)
{
    if (w->set)
        TAILQ_REMOVE(slot_of(l, w->due_ms), w, link);
    w->set = false;
}

void load_wait(struct load *l, struct wait *w, uint64_t ms)
{
    load_wait_not(l, w);
    w->due_ms = load_now_ms(l) + ms + SLOT_MS;
    w->set = true;
    TAILQ_INSERT_TAIL(slot_of(l, w->due_ms), w, link);
}

static void work_slot(struct load *l, struct wait_list *slot)
{
    struct wait *w, *next;

    for (w = TAILQ_FIRST(slot); w; w = next) {
        next = TAILQ_NEXT(w, link);
        if (w->due_ms > load_now_ms(l)) /* in a later round of the slots */
            continue;
        load_wait_not(l, w);
        w->over(l, w);
    }
}

void load_turn(struct load *l)
{
    loop_turn(l, SLOT_MS * 1000000);
    for (; l->worked_ms + SLOT_MS <= load_now_ms(l); l->worked_ms += SLOT_MS)
        work_slot(l, slot_of(l, l->worked_ms));
}

void load_wrong(struct load *l, const char *format, ...)
{
    va_list list;

    if (l->wrong_count++ >= WRONG_WRITTEN)
        return;
    va_start(list, format);
    printf("wrong ");
    vprintf(format, list);
    printf("\n");
    fflush(stdout);
    va_end(list);
}

int main(int argc, char **argv)
{
    struct load *l = calloc(1, sizeof *l);
    struct rlimit limit;

    if (!l || argc < 2)
        return 2;
    for (unsigned i = 0; i < SLOTS; i++)
        TAILQ_INIT(&l->slots[i]);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
    loop_open(&l->loop);
    l->worked_ms = load_now_ms(l);
    l->dice = l->worked_ms | 1;
    int status = strcmp(argv[1], "origin") == 0 ? origin_main(l, argc - 1, argv + 1)
                                                : clients_main(l, argc - 1, argv + 1);
    fflush(stdout);
    _exit(status); /* what is open ends with the process: nobody needs to hear of that as a leak */
}
