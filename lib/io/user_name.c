#include "io/user_name.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PASSWD_SIZE (16 * 1024)

#define PASSWD_FILE "/etc/passwd"

bool user_name_in_file(uint32_t uid, char name[USER_NAME_SIZE])
{
    struct passwd entry = {0}, *found = NULL;
    char room[PASSWD_SIZE];
    FILE *f = fopen(PASSWD_FILE, "re");
    if (!f)
        return false;
    while (fgetpwent_r(f, &entry, room, sizeof room, &found) == 0 && entry.pw_uid != uid)
        found = NULL;
    fclose(f);
    if (found)
        snprintf(name, USER_NAME_SIZE, "%s", found->pw_name);
    return found != NULL;
}

struct user_question {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    uint32_t uid;
    int users; /* who asked, and the thread */
    bool done;
    char name[USER_NAME_SIZE];
};

static struct user_question *question_new(uint32_t uid)
{
    struct user_question *q = calloc(1, sizeof *q);
    pthread_condattr_t monotonic;
    if (!q)
        return NULL;
    q->uid = uid;
    q->users = 2;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->answered, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return q;
}

static void question_free(struct user_question *q)
{
    pthread_cond_destroy(&q->answered);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void user_question_drop(struct user_question *q)
{
    pthread_mutex_lock(&q->lock);
    bool last = --q->users == 0;
    pthread_mutex_unlock(&q->lock);
    if (last)
        question_free(q);
}

static void *run(void *question)
{
    struct user_question *q = question;
    struct passwd entry = {0}, *found = NULL;
    char room[PASSWD_SIZE], name[USER_NAME_SIZE] = "";
    if (getpwuid_r(q->uid, &entry, room, sizeof room, &found) == 0 && found)
        snprintf(name, sizeof name, "%s", found->pw_name);
    pthread_mutex_lock(&q->lock);
    snprintf(q->name, sizeof q->name, "%s", name);
    q->done = true;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&q->lock);
    user_question_drop(q);
    return NULL;
}

/* Signals are the main thread's. */
static bool start_thread(struct user_question *q)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &detached, run, q);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
    return error == 0;
}

struct user_question *user_question_ask(uint32_t uid)
{
    struct user_question *q = question_new(uid);
    if (!q || start_thread(q))
        return q;
    question_free(q);
    return NULL;
}

static struct timespec from_now(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

bool user_question_answer(struct user_question *q, unsigned ms, char name[USER_NAME_SIZE])
{
    const struct timespec until = from_now(ms);
    pthread_mutex_lock(&q->lock);
    while (!q->done && pthread_cond_timedwait(&q->answered, &q->lock, &until) != ETIMEDOUT)
        ;
    bool done = q->done;
    if (done)
        snprintf(name, USER_NAME_SIZE, "%s", q->name);
    pthread_mutex_unlock(&q->lock);
    if (done)
        user_question_drop(q);
    return done;
}
