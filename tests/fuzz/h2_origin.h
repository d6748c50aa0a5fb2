#ifndef CARPOOL_TESTS_FUZZ_H2_ORIGIN_H
#define CARPOOL_TESTS_FUZZ_H2_ORIGIN_H

/* The origin of exchange_h2.c, frame by frame, on the connections that world_rig accepted. It says what it is
 * told to, right or wrong; what comes is held against RFC 9113 and against the requests that were made.
 * Request N asks for "/N"; its content and that of its response are made of N, so that none is taken for
 * another's. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define ORIGIN_REQUESTS 256
#define ORIGIN_STREAMS  64 /* of a connection, that it keeps books of */

/* A request as its client means it, and what became of it here. */
struct request {
    bool repeatable;   /* by its method, whatever became of it */
    uint32_t length;   /* of its content */
    unsigned arrivals; /* that were not said to be unprocessed */
    bool wild;         /* its response is made of the input: it may be anything */
};

extern struct request origin_requests[ORIGIN_REQUESTS];

/* The byte at `at` of a request's content, and of its response's. */
char origin_asked_byte(unsigned request, size_t at);
char origin_answer_byte(unsigned request, size_t at);

/* Forgets everything. */
void origin_reset(void);

/* Takes the connections that are new and reads what came; SETTINGS and PING are acknowledged, windows given
 * back. */
void origin_hear(void);

/* Writes what is queued, at most so many bytes of each connection; 0: all. */
void origin_tell(size_t most);

/* Bytes that are queued or heard. */
bool origin_has_more(unsigned peer);

/* Requests that have arrived, repeats included. */
unsigned origin_arrivals(void);

/* Whether it said anything of an answer on a stream that it had ended: what is made of that depends on what
 * was sent meanwhile (RFC 9113 5.1). */
bool origin_talked_on(void);

/* How many connections there are; the newest is the last. */
unsigned origin_peers(void);

/* Queue on connection `peer`. Streams are named by their place: 0 is the first that came on it. */
void origin_say(unsigned peer, uint8_t type, uint8_t flags, uint32_t stream, const uint8_t *payload,
                size_t n);
void origin_say_head(unsigned peer, unsigned place, unsigned status, int length, bool end);
void origin_say_content(unsigned peer, unsigned place, size_t n, bool end);
void origin_say_trailers(unsigned peer, unsigned place);
void origin_say_reset(unsigned peer, unsigned place, uint32_t code);
/* Up to the stream at `place`; beyond all places: any stream. */
void origin_say_goaway(unsigned peer, unsigned place, uint32_t code);
void origin_say_setting(unsigned peer, uint16_t id, uint32_t value);
void origin_say_end(unsigned peer);

/* It answers no PING and gives back no window from now on, or does again. */
void origin_is_silent(bool silent);

#endif
