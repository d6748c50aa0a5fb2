#ifndef CARPOOL_IO_PARENT_H
#define CARPOOL_IO_PARENT_H

/* CONNECT through a parent proxy (RFC 9110 9.3.6): asks for a tunnel on a connection to it, and takes not one
 * byte of what comes after its answer. */

#include <stddef.h>

#include "io/connector.h"

struct parent_talk;

enum parent_verdict {
    PARENT_WAITS,    /* for the connection to be ready */
    PARENT_AGREES,   /* what comes next is the origin's */
    PARENT_REFUSES,  /* or its answer is malformed */
    PARENT_HANGS_UP, /* without an answer */
};

/* For the host and port of the plan; NULL: memory is short. */
struct parent_talk *parent_talk_new(const struct connect_plan *plan);

/* Goes on as far as it can. A refusal and a hang-up come with a sentence. */
enum parent_verdict parent_talk_go_on(struct parent_talk *t, struct conn *c, char *text, size_t size);

void parent_talk_free(struct parent_talk *t);

#endif
