#ifndef CARPOOL_TESTS_PROXY_TALK_H
#define CARPOOL_TESTS_PROXY_TALK_H

/* Conversations with a rig: what the client says, what the origin hears, and back. */

#include "proxy/exchange.h"
#include "proxy_test.h"

/* The test's, which opens and closes it. */
extern struct proxy_rig rig;

/* Writes all of it, and lets it take effect. */
void say(struct proxy_rig *r, int fd, const char *text);

/* What has come on it since the last call; good until the next. "" also at the end of file. */
const char *heard(int fd);

/* Whether the peer has ended the connection; nothing must be unread. */
bool has_ended(int fd);

/* The origin's end of the connection that was opened as the nth; waits a moment for it. */
int origin_end(struct proxy_rig *r, unsigned nth);

/* The client asks; the origin's end of the connection that is opened for it as the nth. */
int begin(int client, const char *request, unsigned nth);

/* The one that there is. */
struct exchange *only_exchange(void);

/* What must have come, with its beginning or somewhere within. */
#define hears(fd, part)                                                                   \
    do {                                                                                  \
        const char *heard_ = heard(fd);                                                   \
        ck_assert_msg(strstr(heard_, part) != NULL, "'%s' is not in '%s'", part, heard_); \
    } while (0)
#define hears_nothing(fd)                                                        \
    do {                                                                         \
        const char *heard_ = heard(fd);                                          \
        ck_assert_msg(*heard_ == '\0', "there should be nothing: '%s'", heard_); \
    } while (0)

/* A GET of http://a.test/, and the response that is whole and says nothing of closing. */
#define A_GET "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define AN_OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

#endif
