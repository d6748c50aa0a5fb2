#ifndef CARPOOL_TESTS_FUZZ_H2_PEER_H
#define CARPOOL_TESTS_FUZZ_H2_PEER_H

/* What h2_origin.c, which says, and h2_origin_hears.c know of each connection. */

#include <nghttp2/nghttp2.h>

#include "exchange_world.h"
#include "h2_origin.h"

#define IN_MOST       (64 * 1024)
#define OUT_MOST      (256 * 1024)
#define SETTINGS_MOST 64

struct stream {
    int request;      /* -1: none of those that were made */
    bool open;        /* neither reset nor ended by both */
    bool came, ended; /* all of its request; all of its response was said */
    bool answered;    /* anything of its response was said */
    bool counted;     /* in origin_requests */
    size_t heard, said;
    int64_t window; /* for its content */
};

struct setting {
    uint16_t id; /* 0: a frame ends */
    uint32_t value;
};

struct peer {
    nghttp2_hd_inflater *inflater;
    bool greeted, is_http1, ends;
    uint32_t last;      /* stream that came */
    uint32_t processed; /* the last that is, by the GOAWAY that was said */
    uint32_t max_streams;
    uint32_t first_window;
    int64_t window;
    struct setting unconfirmed[SETTINGS_MOST]; /* said, and not acknowledged yet */
    unsigned unconfirmed_count;
    bool settings_lost; /* there were more of them */
    struct stream streams[ORIGIN_STREAMS];
    size_t in_n, out_n;
    uint8_t in[IN_MOST], out[OUT_MOST];
};

extern struct peers {
    struct peer *at[RIG_ORIGINS];
    unsigned count, arrivals;
    bool are_silent;
    bool talked_on;
} peers;

/* NULL: it keeps no books of it. */
struct stream *peer_stream(struct peer *p, uint32_t id);
void peer_count_arrival(struct stream *s);
/* It is, when both have ended it. */
void peer_look_closed(struct stream *s);
uint32_t peer_number_at(const uint8_t *p);
/* A frame whose payload is these numbers. */
void peer_say_numbers(unsigned peer, uint8_t type, uint32_t stream, const uint32_t *numbers, size_t count);

#endif
