#include "base/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

/* True when there is any. */
static bool take(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    STAILQ_CONCAT(&m->taken, &m->messages);
    pthread_mutex_unlock(&m->lock);
    return !STAILQ_EMPTY(&m->taken);
}

static void open_taken(struct mailbox *m)
{
    struct loop_message *l;

    while ((l = STAILQ_FIRST(&m->taken))) {
        STAILQ_REMOVE_HEAD(&m->taken, link);
        l->open(l);
    }
}

void mailbox_open_messages(struct mailbox *m)
{
    while (take(m))
        open_taken(m);
}

/* What is posted from here on is an event of its own, so that others have their turn. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct mailbox *m = arg;

    (void)fd;
    (void)what;
    clock_update();
    take(m);
    open_taken(m);
}

bool mailbox_open(struct mailbox *m, struct event_base *base, int priority)
{
    *m = (struct mailbox){.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    STAILQ_INIT(&m->messages);
    STAILQ_INIT(&m->taken);
    if (m->wake < 0)
        return false;
    pthread_mutex_init(&m->lock, NULL);
    event_assign(&m->event, base, m->wake, EV_READ | EV_ET | EV_PERSIST, on_wake, m);
    event_priority_set(&m->event, priority);
    return event_add(&m->event, NULL) == 0;
}

void mailbox_close(struct mailbox *m)
{
    if (m->wake < 0)
        return;
    event_del(&m->event);
    close(m->wake);
    pthread_mutex_destroy(&m->lock);
    m->wake = -1;
}

void mailbox_post(struct mailbox *m, struct loop_message_list *messages)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&m->lock);
    bool sleeps = STAILQ_EMPTY(&m->messages);
    STAILQ_CONCAT(&m->messages, messages);
    m->wakes += sleeps;
    pthread_mutex_unlock(&m->lock);
    /* The counter would have to overflow for this to fail. */
    if (sleeps && write(m->wake, &one, sizeof one) < 0)
        return;
}

void mailbox_post_one(struct mailbox *m, struct loop_message *l)
{
    struct loop_message_list one;

    STAILQ_INIT(&one);
    STAILQ_INSERT_TAIL(&one, l, link);
    mailbox_post(m, &one);
}

uint64_t mailbox_wakes(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t wakes = m->wakes;
    pthread_mutex_unlock(&m->lock);
    return wakes;
}

bool mailbox_is_empty(struct mailbox *m)
{
    return !take(m);
}
