#include "proxy_talk.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct proxy_rig rig;

void say(struct proxy_rig *r, int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        ck_assert_msg(n > 0 || errno == EAGAIN, "nobody listens");
        if (n > 0) {
            text += n;
            left -= (size_t)n;
        }
        proxy_rig_turn(r);
    }
    proxy_rig_settle(r);
}

const char *heard(int fd)
{
    static char text[1024 * 1024];
    size_t n = 0;
    ssize_t got;

    while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    return text;
}

bool has_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK);

    ck_assert_msg(n <= 0, "there is more: '%c'", byte);
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

int origin_end(struct proxy_rig *r, unsigned nth)
{
    for (unsigned i = 0; i < 100 && r->origin_count <= nth; i++)
        proxy_rig_run(r, 1);
    ck_assert_uint_gt(r->origin_count, nth);
    return r->origins[nth];
}

int begin(int client, const char *request, unsigned nth)
{
    say(&rig, client, request);
    return origin_end(&rig, nth);
}

struct exchange *only_exchange(void)
{
    struct exchange *e = proxy_rig_exchange(&rig, NULL);

    ck_assert_ptr_nonnull(e);
    ck_assert_ptr_null(proxy_rig_exchange(&rig, e->client));
    return e;
}
