#ifndef CARPOOL_TESTS_ADMIN_RIG_H
#define CARPOOL_TESTS_ADMIN_RIG_H

/* Connections to the admin API over socket pairs, turn by turn, with a clock that can be moved. */

#include <time.h>

#include "admin/connections.h"
#include "unit.h"

#define ADMIN_LARGE (8 * 1024 * 1024) /* bytes of what /large is answered */

/* In a rig time stands still but for what a test adds, however busy the machine is. The loop's own timers
 * keep to real time: the sweep is looked at every 250 ms. */
extern time_t admin_now_s;

extern const int admin_one_listener, admin_other_listener;

struct admin_rig {
    struct event_base *base;
    struct connections *connections;
    struct address peer;
    unsigned answered;
    uint64_t waiting;
};

void admin_rig_open(struct admin_rig *r);
void admin_rig_close(struct admin_rig *r);

/* All that is to be done now. */
void admin_rig_turn(struct admin_rig *r);
/* Later, when the sweep has come by. */
void admin_rig_turn_later(struct admin_rig *r, time_t seconds);

int admin_rig_connect_by(struct admin_rig *r, const void *listener);
/* By admin_one_listener. */
int admin_rig_connect(struct admin_rig *r);
void admin_rig_say(struct admin_rig *r, int fd, const char *text);
void admin_rig_ask(struct admin_rig *r, int fd, const char *path);

/* What has come, up to the room; *ended: and the end behind it. */
const char *admin_rig_heard(int fd, bool *ended);
bool admin_rig_is_ended(int fd);

#define assert_answer(fd, status, end)                                               \
    do {                                                                             \
        bool ended_;                                                                 \
        const char *text_ = admin_rig_heard(fd, &ended_);                            \
        ck_assert_msg(strncmp(text_, "HTTP/1.1 " status " ", 13) == 0, "%s", text_); \
        ck_assert_msg(ended_ == (end), "%s", text_);                                 \
        ck_assert((strstr(text_, "\r\nConnection: close\r\n") != NULL) == (end));    \
    } while (0)

#endif
