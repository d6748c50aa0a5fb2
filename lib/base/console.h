#ifndef CARPOOL_BASE_CONSOLE_H
#define CARPOOL_BASE_CONSOLE_H

/* The process's stdout and stderr, written to without ever waiting for their readers. A terminal or a pipe
 * can block whatever poll() says, and O_NONBLOCK would be set for everybody who shares it, such as the shell:
 * so a thread waits there in our place, with as much in hand as a pipe holds. Files and sockets need none. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Opens /dev/null, for reading alone, as each of the descriptors 0 to 2 that is closed, so that nothing else
 * that is opened becomes one of them: what is written there still fails. Programs that this one executes find
 * them closed. First of all in a program. */
void console_reserve(void);

/* Starts the threads, where they are needed: before it (and where the system gives none) what poll() says is
 * believed. Called once, by a program that runs for long. */
void console_start(void);

/* Writes to STDOUT_FILENO or STDERR_FILENO: whole lines as far as they fit, or a piece of one that is longer
 * than PIPE_BUF. A count as of write(), or -1 with errno; EAGAIN: the reader is too slow. SIGPIPE must be
 * ignored. Any thread may call it. */
ssize_t console_write(int fd, const char *p, size_t n);

/* Whether the journal reads it: JOURNAL_STREAM names this very descriptor (systemd.exec(5)); an inherited one
 * may name another process's. */
bool console_is_journal(int fd);

/* Lets the threads write what they have, for so long at the most. */
void console_stop(int patience_ms);

#endif
