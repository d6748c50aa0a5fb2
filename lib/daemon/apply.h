#ifndef CARPOOL_DAEMON_APPLY_H
#define CARPOOL_DAEMON_APPLY_H

/* How a configuration comes into force, at the start and at each reload: whatever can fail is prepared beside
 * what runs, then taken in one step that cannot fail.
 *
 *   change_prepare(), in any thread --> change_bind() --> change_commit()
 *          |                                 |
 *          +--> change_discard() <-----------+
 */

#include <stdbool.h>
#include <stddef.h>

struct access_log;
struct config;
struct daemon;
struct pools_plan;

/* Zeroed at first. */
struct change {
    struct access_log *log; /* NULL: off */
    struct pools_plan *pools;
};

/* Whatever may take time. False with a sentence in `error`; change_discard() is due all the same. */
bool change_prepare(struct change *change, struct daemon *d, struct config *c, char *error,
                    size_t error_size);

/* What others can see, so it comes last: the listeners. By the main thread. False as above. */
bool change_bind(struct daemon *d, const struct config *c, char *error, size_t error_size);

/* The configuration is taken over. */
void change_commit(struct change *change, struct daemon *d, struct config *c);

void change_discard(struct change *change);

/* What is written to the access log goes there; NULL: nowhere. While all loops stand still. */
void use_access_log(struct daemon *d, struct access_log *log);

/* Where and how the error log is written. */
void configure_log(const struct config *c);

#endif
