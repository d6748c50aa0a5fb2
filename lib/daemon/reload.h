#ifndef CARPOOL_DAEMON_RELOAD_H
#define CARPOOL_DAEMON_RELOAD_H

/* A reload reads the file and all that it names in a thread, while the loops go on, and takes what it read in
 * one step of the main thread's. What it no longer needs is freed by a thread, too: a thousand certificates
 * take their time.
 *
 *   RESTING --reload_begin()--> READING --> RESTING
 *      +----reloader_tick()---> FREEING --> RESTING
 *
 * One who asks while a thread is at work is served by another reload, since the file may have changed again. */

#include <pthread.h>
#include <stdbool.h>

#include "admin/server.h"
#include "base/list.h"
#include "base/mailbox.h"

struct daemon;
struct reading;

STAILQ_HEAD(reading_list, reading);

struct reloader {
    enum { RESTING, READING, FREEING } state;
    uint64_t number; /* of the reload that was begun last, from 1 on */
    uint64_t asked;  /* of the last one that was asked for */
    pthread_t thread;
    bool has_thread;
    struct loop_message done; /* the thread's last word */
    struct reading *reading;  /* READING: what */
    struct reading_list past; /* what they left to be freed, for as long as others use it */
    struct reading_list free; /* FREEING: what */
    struct reload_report report;
    char *lines; /* of the report: its error or its warnings */
};

/* The start counts as a reload that went well. */
void reloader_init(struct daemon *d);

/* Begins one, or notes that another one is wanted; returns its number, with which admin_reloaded() is called
 * later. */
uint64_t reload_begin(struct daemon *d);

/* Frees what is not used any more; to be called now and then. */
void reloader_tick(struct daemon *d);

/* At a stop: what is being read is not wanted any more. */
void reloader_cancel(struct daemon *d);

/* Waits for the thread, if there is one, and frees everything. */
void reloader_free(struct daemon *d);

#endif
