#ifndef CARPOOL_IO_BINDING_H
#define CARPOOL_IO_BINDING_H

/* An address that is listened on: its sockets and, for a unix path, the file. It is bound first and opened
 * later, so that several can be prepared before any of them takes connections. Counted: an address that moves
 * from one use to another is both's for a moment. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/address.h"

struct binding {
    int refs;
    struct address address;
    bool passed;   /* systemd's: the file stays when it is closed */
    unsigned mode; /* of the file */
    dev_t device;  /* and which file it is; inode 0: there is none */
    ino_t inode;
    unsigned count;
    int fds[];
};

/* Binds `count` sockets, over which the kernel spreads TCP connections (SO_REUSEPORT); of a unix path there
 * is one, whatever the count. An address that is listened on is an error; a dead socket file is replaced.
 * `shared`: it overlaps with one of our own, as 0.0.0.0:80 does with 127.0.0.1:80, for which binding_share()
 * was called. NULL with a sentence in `error`. */
struct binding *binding_new(const struct address *a, unsigned mode, unsigned count, bool shared, char *error,
                            size_t error_size);

/* Its port may be bound once more by this user, at an address that overlaps; and no longer. */
void binding_share(struct binding *b);
void binding_exclude(struct binding *b);

/* Of a listening socket that systemd passed, which is taken over. NULL when memory is short; the socket is
 * the caller's then. */
struct binding *binding_of_passed(int fd);

/* From now on connections are taken. */
bool binding_listen(struct binding *b, char *error, size_t error_size);

/* Sets the mode of the unix path's file; of another address it is only remembered. */
bool binding_set_mode(struct binding *b, unsigned mode, char *error, size_t error_size);

/* Whether who connects to the address comes here; false: the file of a unix path is gone, or another's. */
bool binding_is_there(const struct binding *b);

struct binding *binding_ref(struct binding *b);
/* The last one closes the sockets and removes the file. */
void binding_unref(struct binding *b);

#endif
