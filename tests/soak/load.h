#ifndef CARPOOL_TESTS_SOAK_LOAD_H
#define CARPOOL_TESTS_SOAK_LOAD_H

/* The soak's two ends, each a process with one epoll loop: `load clients` and `load origin`. Every message
 * carries the number of its request in the field X-Id and in each byte of its content. */

#include <stddef.h>
#include <sys/queue.h>

#include "../load/loop.h"
#include "../load/message.h"

#define BLOCK 65536

/* ---- content.c: the bytes of one number, at any position, never held whole */

void content_fill(uint64_t number, uint64_t position, char *to, size_t n);
bool content_holds(uint64_t number, uint64_t position, const char *p, size_t n);

/* A message on its way out: a head, then content with or without the chunked framing. */
struct writer {
    uint64_t number, size, position;
    bool chunked, ended;
    char *rest; /* what the peer did not take at once */
    size_t rest_size, rest_sent;
};

enum pushed { PUSHED_ALL, PUSHED_SOME, PUSH_FAILED };

void writer_begin(struct writer *w, uint64_t number, uint64_t size, bool chunked, const char *head);
enum pushed writer_push(struct writer *w, int fd);
void writer_end(struct writer *w);

/* ---- numbered.c: a message on its way in, whose content must be its number's */

struct numbered {
    struct message message;
    bool terminated; /* of a response: the proxy says that the origin ended the connection */
    char kind[20];   /* of a request: /KIND/NUMBER/SIZE */
    uint64_t number, size;
    uint64_t id; /* X-Id; 0: none */
};

void numbered_request(struct numbered *r);
void numbered_response(struct numbered *r);
/* False: nobody asks for this target. */
bool numbered_target(struct numbered *r, const char *target);

/* ---- load.c: what waits for its time */

struct wait {
    TAILQ_ENTRY(wait) link;
    void (*over)(struct load *l, struct wait *w);
    uint64_t due_ms;
    bool set;
};

TAILQ_HEAD(wait_list, wait);

#define SLOTS   4096
#define SLOT_MS 4

struct load {
    struct loop loop;
    bool over;
    uint64_t worked_ms, dice;
    struct wait_list slots[SLOTS];
    char buffer[BLOCK];
    unsigned wrong_count;
};

uint64_t load_now_ms(const struct load *l);
/* Evenly from 0 to n - 1. */
uint64_t load_dice(struct load *l, uint64_t n);
void load_wait(struct load *l, struct wait *w, uint64_t ms);
void load_wait_not(struct load *l, struct wait *w);
/* One turn of the loop, and of those whose time has come. */
void load_turn(struct load *l);
/* A line on stdout that begins with "wrong"; only so many are written. */
void load_wrong(struct load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

int clients_main(struct load *l, int argc, char **argv);
int origin_main(struct load *l, int argc, char **argv);

#endif
