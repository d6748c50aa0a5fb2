#ifndef CARPOOL_TESTS_FUZZ_EXCHANGE_PARTS_H
#define CARPOOL_TESTS_FUZZ_EXCHANGE_PARTS_H

/* What the world of exchanges (exchange_world.c) is made of. */

#include <stdbool.h>
#include <stdint.h>

/* ---- exchange_calls.c: Carpool's own calls, which fail as world_trouble says */

/* What became of them since somebody looked. */
extern struct world_calls {
    uint64_t made;
    bool failed, lacked_memory;
} world_calls;

/* From now on they are answered here, and by the kernel again. */
void calls_begin(void);
void calls_end(void);

/* Trouble and ambushes are for what happens within a turn. */
void calls_enter_turn(void);
void calls_leave_turn(void);

/* A descriptor of which a call said less than the kernel would have: as if it had come just afterwards, an
 * edge follows. */
bool calls_owe(int fd);
bool calls_owe_any(void);
/* These edges come in the next turn. */
void calls_pay(void);
void calls_forget(void);

/* ---- exchange_checks.c: what must hold of clients, exchanges, tunnels and sockets */

/* After each turn. */
void check_turn(void);
/* When all is quiet, whoever can go on has gone on. */
void check_nobody_sleeps(void);
void checks_forget(void);

#endif
