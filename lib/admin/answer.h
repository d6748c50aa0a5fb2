#ifndef CARPOOL_ADMIN_ANSWER_H
#define CARPOOL_ADMIN_ANSWER_H

/* One answer of the admin API, and its head as it leaves. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/page.h"
#include "admin/text.h"

#define ANSWER_JSON "application/json"

/* Room for any head, and for answer_write_sorry(). */
#define ANSWER_HEAD_SIZE 2048

struct admin_answer {
    unsigned status;
    const char *type;              /* Content-Type */
    const char *allow;             /* of a 405; NULL otherwise */
    char policy[PAGE_POLICY_SIZE]; /* Content-Security-Policy; "": none */
    bool last;                     /* the connection is closed after it */
    uint64_t waits_for; /* not 0: the answer comes later, by connections_answer_waiting() with this number */
    struct text body;
};

/* {"error": sentence} */
void admin_answer_error(struct admin_answer *out, unsigned status, const char *sentence);

/* Writes the head; returns its length. `keep_alive`: say so, as an HTTP/1.0 client wants it. */
size_t answer_write_head(const struct admin_answer *a, bool keep_alive, char out[ANSWER_HEAD_SIZE]);

/* A whole answer that needs no memory: 503, and the connection is closed after it. Returns its length. */
size_t answer_write_sorry(const char *sentence, char out[ANSWER_HEAD_SIZE]);

#endif
