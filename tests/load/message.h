#ifndef CARPOOL_TESTS_LOAD_MESSAGE_H
#define CARPOOL_TESTS_LOAD_MESSAGE_H

/* Reading messages: just enough HTTP/1.1 to know where one ends. Nothing of its content is kept. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MESSAGE_UNTIL_END UINT64_MAX /* `left` of a response that its connection's end ends */

struct message;

/* What a program looks at in its messages: each of these says what is wrong with one, or NULL. */
struct message_kind {
    bool is_request;
    /* The whole head, with a zero behind it; how the content is framed is known already. */
    const char *(*look_at_head)(struct message *m, const char *head);
    /* Bytes of the content that begin at m->content. */
    const char *(*look_at_content)(const struct message *m, const char *p, size_t n);
};

struct message {
    const struct message_kind *kind;
    enum {
        MESSAGE_HEAD,
        MESSAGE_LENGTH,
        MESSAGE_CHUNK_LINE,
        MESSAGE_CHUNK,
        MESSAGE_CHUNK_END,
        MESSAGE_TRAILER,
        MESSAGE_DONE
    } state;
    bool begun;        /* a byte came */
    bool close;        /* its sender said Connection: close, or is of HTTP/1.0 */
    int status;        /* of a response */
    const char *error; /* what is wrong with it */
    uint64_t left, content;
    size_t held;
    char hold[2048]; /* a head, or a line of the chunked framing */
};

void message_begin(struct message *m, const struct message_kind *kind);
/* Takes up to n bytes; how many it took, or -1: see error. */
ssize_t message_feed(struct message *m, const char *p, size_t n);
/* As message_feed() for up to `left` bytes of content that were thrown away unseen. */
void message_skip(struct message *m, uint64_t n);

/* The value of a field of the head, or "". */
const char *message_field(const char *head, const char *name);

#endif
