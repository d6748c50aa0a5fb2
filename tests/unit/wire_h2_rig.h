#ifndef CARPOOL_TESTS_WIRE_H2_RIG_H
#define CARPOOL_TESTS_WIRE_H2_RIG_H

/* A wire of HTTP/2 on a socket pair, and at its other end an origin that reads and writes single frames. */

#include "unit.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire/h2.h"
#include "wire/wire.h"

/* A call and all that came of it. */
struct asked {
    struct call call;
    unsigned ready;    /* what it was told, since it was looked at last */
    unsigned interim;  /* 1xx responses */
    uint16_t status;   /* of the final head; 0: none */
    char fields[4096]; /* "name: value\n" of final head */
    char trailers[1024];
    struct framing framing;
    size_t got;         /* bytes of content */
    char content[1024]; /* the first of them */
    size_t untaken;     /* of got: not consumed */
    bool stuck;         /* takes nothing: its client does not read */
    bool ended, failed, closed;
    struct call_failure failure;
    struct call_end end;
};

/* A frame that the origin read; a head is decoded. */
struct frame {
    uint8_t type, flags;
    int32_t stream;
    uint32_t n;
    uint8_t payload[20000];
    char fields[8192]; /* "name: value\n" of each */
    bool indexed[64];  /* no: never or not now */
};

struct rig {
    struct event_base *base;
    struct wire_loop loop;
    struct wire wire;
    int fd; /* the origin's end */
    nghttp2_hd_deflater *deflater;
    nghttp2_hd_inflater *inflater;
    uint8_t in[1 << 18];
    size_t in_n;
    /* What the owner was told. */
    unsigned rooms, drainings, closeds;
    enum retire_reason reason;
    uint64_t noted[4], noted_value[4];
    void (*around)(bool tested); /* NULL, or told where the code under test begins and ends */
};

extern struct rig rig;

/* With SETTINGS exchanged. */
void rig_begin(const struct h2_options *o);
/* Without: the SETTINGS that it sent, good until another frame is heard. */
struct frame *rig_greet(const struct h2_options *o);
void rig_end(void);

/* The loop does what there is to do, and ends its turn. */
void rig_turn(void);
/* Turns until it is true; fails after a long time. */
#define rig_until(condition)                                       \
    do {                                                           \
        for (int turns_ = 0; !(condition); turns_++) {             \
            ck_assert_msg(turns_ < 5000, "never: %s", #condition); \
            rig_wait();                                            \
        }                                                          \
    } while (0)
void rig_wait(void);

/* A request without content; false: memory is short. Text: its lines, "\n" between them, without Host. */
void ask(struct asked *a, const char *method, const char *path);
bool ask_with(struct asked *a, const char *method, const char *path, const char *fields,
              struct framing framing);
/* Content that stays where it is. */
enum call_write put_content(struct asked *a, const char *bytes, size_t n, bool last, const char *trailers);
/* Consumes what it was given, and takes what more there is. */
void take(struct asked *a);

/* The origin. */
void say(const void *bytes, size_t n);
void say_frame(uint8_t type, uint8_t flags, int32_t stream, const void *payload, size_t n);
/* "name: value\n" lines. */
void say_head(int32_t stream, uint8_t flags, const char *fields);
/* The same with names and values of any bytes: count of them. */
struct pair {
    const char *name, *value;
    size_t value_n; /* 0: to its end */
};
void say_pairs(int32_t stream, uint8_t flags, const struct pair *pairs, size_t count);
void say_data(int32_t stream, uint8_t flags, const char *text);
void say_number(uint8_t type, int32_t stream, uint32_t number); /* RST_STREAM, WINDOW_UPDATE */
void say_setting(uint16_t id, uint32_t value);
void say_goaway(int32_t last, uint32_t code);
/* The next frame of this type; others before it are skipped. NULL: none is there. */
struct frame *hear(uint8_t type);
/* The same, waiting for it. */
struct frame *wait_for(uint8_t type);

#endif
