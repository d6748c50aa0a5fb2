#ifndef CARPOOL_BASE_LOG_H
#define CARPOOL_BASE_LOG_H

/* The error log: one line an event on stderr, `time=... level=info msg="..." key=value` or JSON. Bytes from
 * the wire are escaped. Writing never blocks (console.h): what is not taken is dropped and counted, and said
 * when it takes lines again. A message (its level, its text and the pair `agent`; others do not matter) is
 * written ten times within a second, then counted, and said once with `repeated=N`; debug lines always.
 * Values longer than 1 KiB, and pairs that do not fit into a line, are cut off (`truncated=true`). Any thread
 * may log. No memory is taken. SIGPIPE must be ignored. */

#include <stdarg.h>
#include <stdbool.h>

#include "base/slice.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* A key and its value in a line. */
struct log_pair {
    const char *key;
    struct slice value;
    long long number;
    enum { LOG_PAIR_TEXT, LOG_PAIR_NUMBER, LOG_PAIR_BOOL } type;
};

#define LOG_S(key, text)      ((struct log_pair){key, slice_of(text), 0, LOG_PAIR_TEXT})
#define LOG_SLICE(key, slice) ((struct log_pair){key, slice, 0, LOG_PAIR_TEXT})
#define LOG_N(key, value)     ((struct log_pair){key, {0}, (long long)(value), LOG_PAIR_NUMBER})
#define LOG_B(key, value)     ((struct log_pair){key, {0}, (value) ? 1 : 0, LOG_PAIR_BOOL})

/* The log is the process's: set at start and at reload. `journal` puts <N> priorities in front
 * (sd-daemon(3)). */
void log_configure(enum log_level level, enum log_format format, bool journal);

bool log_enabled(enum log_level level);

/* Writes `message` and the pairs. */
void log_pairs(enum log_level level, const char *message, const struct log_pair *pairs, int count);

#define log_event(level, message, ...)                                                              \
    do {                                                                                            \
        if (log_enabled(level)) {                                                                   \
            const struct log_pair log_pairs_[] = {__VA_ARGS__};                                     \
            log_pairs(level, message, log_pairs_, (int)(sizeof log_pairs_ / sizeof log_pairs_[0])); \
        }                                                                                           \
    } while (0)

/* A line without pairs. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says at once what was counted instead of written: call it every second or so, and before the end. */
void log_flush(void);

/* Writes `value` to out as key=value text would show it: as it is, or in quotes with escapes (\n \r \t \" \\
 * \xNN) when it holds a space, a quote, '=', a control or a byte that is not ASCII. Returns the bytes
 * written, never more than room: what does not fit is cut off, but for the closing quote. Used by the access
 * log too. */
size_t log_escape_text(char *out, size_t room, struct slice value);
/* The same as a JSON string with its quotes; bytes that are not UTF-8 become \u00XX. Valid whatever is cut
 * off, given a room of two bytes. */
size_t log_escape_json(char *out, size_t room, struct slice value);

#endif
