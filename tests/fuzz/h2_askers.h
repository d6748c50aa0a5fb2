#ifndef CARPOOL_TESTS_FUZZ_H2_ASKERS_H
#define CARPOOL_TESTS_FUZZ_H2_ASKERS_H

/* The clients of exchange_h2.c: what they ask is written into origin_requests, what they hear must answer
 * it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASKED 16 /* of a client, at most */
#define HEARD (256 * 1024)

struct asker {
    int fd;
    unsigned count;
    struct {
        unsigned request;
        bool head; /* HEAD */
    } asked[ASKED];
    unsigned unsent, unsent_request; /* bytes of the last request's content that are still to be sent */
    bool chunked;
    size_t n;
    char heard[HEARD];
};

extern unsigned askers_requests; /* of all of them */

/* Its content follows by asker_put_content(); a request before it of which some is missing is completed. */
void asker_ask(struct asker *a, unsigned kind);
void asker_put_content(struct asker *a, unsigned n);
void asker_take(struct asker *a, size_t most);

enum kind { NOTHING, OWN, CUT, WHOLE }; /* OWN: Carpool's word; the others are the origin's */

struct answer {
    enum kind kind;
    unsigned status;
    size_t content;
    uint64_t digest;
    bool wild;
    bool counted; /* by Content-Length, or it has no content: whole before the origin's END_STREAM says so */
};

/* Everything a client heard: answers in the order of its requests, and nothing else. */
void asker_check(const struct asker *a, struct answer *answers);

#endif
