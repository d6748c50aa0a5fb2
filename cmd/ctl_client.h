#ifndef CARPOOL_CMD_CTL_CLIENT_H
#define CARPOOL_CMD_CTL_CLIENT_H

/* One question to the admin API and its answer. Blocks, for at most some seconds. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define CTL_DEFAULT_ADDRESS "127.0.0.1:3129"
#define CTL_ERROR_SIZE      512

struct ctl_reply {
    unsigned status;
    char *body; /* malloc'd, ended by a zero; the caller frees it */
    size_t length;
};

/* `address` is "host:port", "[v6]:port" or "unix:/path". 0, or -1 with a sentence in `error`: there is no
 * answer at all. */
int ctl_ask(const char *address, const char *method, const char *path, struct ctl_reply *out,
            char error[CTL_ERROR_SIZE]);

/* The same, for so long without a byte at most. */
int ctl_ask_within(unsigned seconds, const char *address, const char *method, const char *path,
                   struct ctl_reply *out, char error[CTL_ERROR_SIZE]);

/* An address as the user gave it, perhaps as a URL ("http://host:port/"), as ctl_ask() takes it: the part of
 * `given`, which is cut after it. */
const char *ctl_plain_address(char *given);

/* Why it is none of the addresses that ctl_ask() takes, as a sentence in `error`; true: it is one. */
bool ctl_check_address(const char *address, char error[CTL_ERROR_SIZE]);

/* "/agents/NAME/verb" (verb NULL: "/agents/NAME") with the name percent-encoded, malloc'd; exits when memory
 * is short. */
char *ctl_agent_path(const char *name, const char *verb);

/* The host of "host:port" without brackets, malloc'd; NULL for a unix address or one that is malformed.
 * `port` (may be NULL) is set to its place in `address`. */
char *ctl_split_address(const char *address, const char **port);

/* Prints "carpoolctl: out of memory" and exits when p is NULL; returns it. */
void *ctl_need(void *p);

/* Malloc'd; exits when memory is short. */
char *ctl_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *ctl_vformat(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

#endif
