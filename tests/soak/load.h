#ifndef CARPOOL_TESTS_SOAK_LOAD_H
#define CARPOOL_TESTS_SOAK_LOAD_H

/* The soak's two ends, each a process with one epoll loop: `load clients` and `load origin`. Every message carries the
 * number of its request in the field X-Id and in each byte of its content. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

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

/* ---- message.c: a message on its way in */

struct message {
    enum {
        MESSAGE_HEAD,
        MESSAGE_LENGTH,
        MESSAGE_CHUNK_LINE,
        MESSAGE_CHUNK,
        MESSAGE_CHUNK_END,
        MESSAGE_DONE
    } state;
    bool begun;      /* a byte came */
    bool close;      /* it says so */
    bool terminated; /* the proxy says that the origin ended the connection */
    int status;      /* of a response */
    char kind[20];   /* of a request: /KIND/NUMBER/SIZE */
    uint64_t number, size;
    uint64_t id; /* X-Id; 0: none */
    uint64_t left, content;
    const char *error; /* what is wrong with it */
    size_t held;
    char hold[1500]; /* a head, or a line of the chunked framing */
};

void message_begin(struct message *m);
/* Takes up to n bytes; how many were taken, or -1: see error. */
ssize_t message_feed(struct message *m, const char *p, size_t n);

/* ---- load.c: the loop */

struct load;

/* What epoll points to. */
struct watch {
    int fd; /* -1: none */
    void (*ready)(struct load *l, struct watch *w, uint32_t events);
};

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
    int epoll;
    bool over;
    uint64_t now_ms, worked_ms, dice;
    struct wait_list slots[SLOTS];
    char buffer[BLOCK];
    unsigned wrong_count;
};

uint64_t load_clock(void);
/* Evenly from 0 to n - 1. */
uint64_t load_dice(struct load *l, uint64_t n);
void load_watch(struct load *l, struct watch *w);
/* Its descriptor goes on without it. */
void load_unwatch(struct load *l, struct watch *w);
void load_wait(struct load *l, struct wait *w, uint64_t ms);
void load_wait_not(struct load *l, struct wait *w);
/* One turn of the loop. */
void load_turn(struct load *l);
/* A line on stdout that begins with "wrong"; only so many are written. */
void load_wrong(struct load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

int clients_main(struct load *l, int argc, char **argv);
int origin_main(struct load *l, int argc, char **argv);

#endif
