#include "base/mailbox.h"

#include <pthread.h>

#include "base_test.h"
#include "unit.h"

#define SENDERS   4
#define LETTERS   20000
#define BATCH_MAX 7

struct note {
    struct loop_message message;
    struct reader *reader;
    unsigned sender, number;
};

/* One loop, in the thread that runs the test. */
struct reader {
    struct event_base *base;
    struct mailbox mailbox;
    unsigned next[SENDERS]; /* number that is due from each */
    unsigned opened, disordered;
};

static void open_note(struct loop_message *l)
{
    struct note *n = (struct note *)l;
    struct reader *r = n->reader;

    r->disordered += n->number != r->next[n->sender];
    r->next[n->sender] = n->number + 1;
    r->opened++;
}

static void reader_open(struct reader *r)
{
    *r = (struct reader){.base = event_base_new()};
    ck_assert(mailbox_open(&r->mailbox, r->base, 0));
}

static void reader_close(struct reader *r)
{
    mailbox_close(&r->mailbox);
    event_base_free(r->base);
}

static struct note *note_init(struct note *n, struct reader *r, unsigned sender, unsigned number)
{
    *n = (struct note){.message.open = open_note, .reader = r, .sender = sender, .number = number};
    return n;
}

struct sender {
    struct reader *reader;
    struct note *notes;
    unsigned index;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    struct loop_message_list batch;
    unsigned count = 0;

    STAILQ_INIT(&batch);
    for (unsigned i = 0; i < LETTERS; i++) {
        STAILQ_INSERT_TAIL(&batch, &note_init(&s->notes[i], s->reader, s->index, i)->message, link);
        if (++count > i % BATCH_MAX) {
            mailbox_post(&s->reader->mailbox, &batch);
            ck_assert(STAILQ_EMPTY(&batch));
            count = 0;
        }
    }
    if (count > 0)
        mailbox_post(&s->reader->mailbox, &batch);
    return NULL;
}

START_TEST(mailbox_keeps_each_senders_order)
{
    struct reader r;
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];

    reader_open(&r);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&r, calloc(LETTERS, sizeof(struct note)), i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    /* A wake-up that is lost is a loop that sleeps for ever. */
    while (r.opened < SENDERS * LETTERS)
        event_base_loop(r.base, EVLOOP_ONCE);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        free(senders[i].notes);
    }
    ck_assert_uint_eq(r.disordered, 0);
    ck_assert_uint_eq(r.opened, SENDERS * LETTERS);
    ck_assert(mailbox_is_empty(&r.mailbox));
    ck_assert_uint_le(mailbox_wakes(&r.mailbox), SENDERS * LETTERS);
    reader_close(&r);
}
END_TEST

START_TEST(mailbox_wakes_its_loop_once_for_many)
{
    struct reader r;
    struct note notes[100];

    reader_open(&r);
    for (unsigned i = 0; i < 100; i++)
        mailbox_post_one(&r.mailbox, &note_init(&notes[i], &r, 0, i)->message);
    ck_assert_uint_eq(mailbox_wakes(&r.mailbox), 1);
    event_base_loop(r.base, EVLOOP_ONCE);
    ck_assert_uint_eq(r.opened, 100);
    mailbox_post_one(&r.mailbox, &note_init(&notes[0], &r, 0, 100)->message);
    ck_assert_uint_eq(mailbox_wakes(&r.mailbox), 2);
    event_base_loop(r.base, EVLOOP_ONCE);
    ck_assert_uint_eq(r.opened, 101);
    ck_assert_uint_eq(r.disordered, 0);
    reader_close(&r);
}
END_TEST

/* Posts its like while it is opened, a few times. */
struct echo {
    struct loop_message message;
    struct mailbox *to;
    unsigned left;
};

static void open_echo(struct loop_message *l)
{
    struct echo *e = (struct echo *)l;

    if (e->left-- > 0)
        mailbox_post_one(e->to, l);
}

START_TEST(mailbox_takes_letters_that_are_posted_by_letters)
{
    struct reader r;
    struct echo e = {.message.open = open_echo, .left = 3};

    reader_open(&r);
    e.to = &r.mailbox;
    mailbox_post_one(&r.mailbox, &e.message);
    /* The loop opens one an event, so that others have their turn. */
    event_base_loop(r.base, EVLOOP_ONCE);
    ck_assert_uint_eq(e.left, 2);
    event_base_loop(r.base, EVLOOP_ONCE);
    ck_assert_uint_eq(e.left, 1);
    /* Who asks for all gets all. */
    mailbox_open_messages(&r.mailbox);
    ck_assert_uint_eq(e.left, UINT32_MAX);
    ck_assert(mailbox_is_empty(&r.mailbox));
    reader_close(&r);
}
END_TEST

START_TEST(mailbox_closes_over_letters)
{
    struct reader r;
    struct note n;

    reader_open(&r);
    mailbox_post_one(&r.mailbox, &note_init(&n, &r, 0, 0)->message);
    ck_assert(!mailbox_is_empty(&r.mailbox));
    reader_close(&r);
    ck_assert_uint_eq(r.opened, 0);
    mailbox_close(&r.mailbox); /* once more is no harm */
}
END_TEST

void base_mailbox_tests(Suite *suite)
{
    unit_group(suite, "mailbox", mailbox_keeps_each_senders_order, mailbox_wakes_its_loop_once_for_many,
               mailbox_takes_letters_that_are_posted_by_letters, mailbox_closes_over_letters);
}
