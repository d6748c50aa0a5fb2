#ifndef CARPOOL_TESTS_WIRE_H1_RIG_H
#define CARPOOL_TESTS_WIRE_H1_RIG_H

/* HTTP/1.1 on a wire over a socket pair, and content of any size. The far end is the test's. */

#include "wire/h1.h"
#include "wire_test.h"

#define H1_MOST (512 * 1024)

extern struct wire_loop h1_loop;
extern char h1_content[H1_MOST];
extern const size_t h1_sizes[9]; /* of content, that are worth a look */

void h1_set_up(void);
/* Nothing is lent any more. */
void h1_tear_down(void);

/* `room`: of the socket's send buffer; 0: any. */
void h1_open_pair(struct conn *c, int *far, int room);
/* A wire with a call whose content is framed so. */
void h1_open_call(struct wire *w, struct call *c, int *far, struct framing framing, int room);
void h1_close_call(struct wire *w, struct call *c, int far);

/* 1 to `most`, at random; 0: no limit. */
size_t h1_some(size_t most);
/* Makes the content's first n bytes anew, at random. */
void h1_fill_content(size_t n);

#endif
