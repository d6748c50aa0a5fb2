#ifndef CARPOOL_WIRE_H2_H
#define CARPOOL_WIRE_H2_H

/* HTTP/2 (RFC 9113) as a client, on libnghttp2: many calls at once, each a stream.
 *
 *               SETTINGS           GOAWAY, no PING answered
 *   GREETING ------------> OPEN --------------------------------------> DRAINING
 *       |                   |                                              |
 *       +-------------------+---- end, error, flood ---> OVER <------------+
 *
 * wire_room() is 0 until OPEN: the owner hears of that by wire_owner.room(). What is to be sent is written
 * once a turn, by h2_end_turn(). */

#include <stdbool.h>
#include <stdint.h>

struct wire;
struct wire_loop;

struct h2_options {
    uint32_t max_streams;       /* maxConcurrentStreams */
    uint32_t max_stream_window; /* maxStreamWindow, bytes */
    uint64_t ping_interval_ms;  /* 0: never */
    uint64_t ping_timeout_ms;   /* 0: for ever */
    bool answers_ping; /* this origin has answered one before: where one is not answered, the path is dead */
};

/* Begins on w->conn, which is watched and whose owner it becomes: preface and SETTINGS are queued. False when
 * memory is short; the connection is as it was. */
bool h2_open(struct wire *w, const struct h2_options *o);

/* It speaks HTTP/2. */
bool h2_is(const struct wire *w);

/* A reload's, or answers_ping. */
void h2_options_changed(struct wire *w, const struct h2_options *o);

/* The lower of maxConcurrentStreams and the origin's SETTINGS; 0 before those came. */
uint32_t h2_max_streams(const struct wire *w);

/* How many calls may be open on it at a time now: fewer than that where streams that were reset have not
 * ended yet. */
uint32_t h2_capacity(const struct wire *w);

/* The origin asked for HTTP/1.1 instead of this connection, by a GOAWAY (RFC 9113 7). */
bool h2_must_be_http1(const struct wire *w);

/* The origin has said GOAWAY, and that nothing is wrong (NO_ERROR). */
bool h2_is_sent_away(const struct wire *w);

/* Writes what was queued in this turn, and notifies owners of what became of their wires: at the end of each
 * turn of the loop, after all that may queue more. */
void h2_end_turn(struct wire_loop *loop);

/* Those of RFC 9113 7 that blame the sender of what they answer. */
enum { H2_PROTOCOL_ERROR = 1, H2_FLOW_CONTROL_ERROR = 3, H2_FRAME_SIZE_ERROR = 6, H2_COMPRESSION_ERROR = 9 };

/* The name of an error code (RFC 9113 7), "unknown" for one that has none. */
const char *h2_error_name(uint32_t code);
#define H2_ERROR_COUNT 15 /* those with a name, and `unknown` */

#endif
