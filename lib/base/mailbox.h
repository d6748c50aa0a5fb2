#ifndef CARPOOL_BASE_MAILBOX_H
#define CARPOOL_BASE_MAILBOX_H

/* What one loop gives another: messages, opened in the order in which they came by the loop that the mailbox
 * belongs to. A mutex, a queue, and a descriptor that wakes the loop. Whatever the sender wrote before it
 * posted is seen by the loop that opens. */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* Embedded in what is given. From the post until it is opened it is the mailbox's. */
struct loop_message {
    STAILQ_ENTRY(loop_message) link;
    void (*open)(struct loop_message *l);
};

STAILQ_HEAD(loop_message_list, loop_message);

/* What a message is embedded in. */
#define LOOP_MESSAGE_OF(l, type, member) ((type *)((char *)(l)-offsetof(type, member)))

struct mailbox {
    pthread_mutex_t lock;
    struct loop_message_list messages; /* under the lock */
    uint64_t wakes;                    /* the same: how often the loop was woken */
    struct loop_message_list taken;    /* the loop's: not opened yet */
    int wake; /* an eventfd, edge-triggered: a write is an event, and it is never read */
    struct event event;
};

/* Registers with the loop. False when memory or descriptors are short. */
bool mailbox_open(struct mailbox *m, struct event_base *base, int priority);

/* Messages that were not opened are not freed. The loop does not turn any more. */
void mailbox_close(struct mailbox *m);

/* Posts all of the list, which is empty then. From any thread. One lock, and a wake-up only when the mailbox
 * was empty. */
void mailbox_post(struct mailbox *m, struct loop_message_list *messages);

/* The same for one. */
void mailbox_post_one(struct mailbox *m, struct loop_message *l);

/* How often the loop was woken for a message. */
uint64_t mailbox_wakes(struct mailbox *m);

/* Opens what is there, those that come meanwhile included. From the loop's thread, or while that stands
 * still. */
void mailbox_open_messages(struct mailbox *m);

/* Nothing waits to be opened. From the same. */
bool mailbox_is_empty(struct mailbox *m);

#endif
