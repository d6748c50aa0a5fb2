#include "base/log.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/console.h"
#include "base/fnv.h"
#include "base/utf8.h"

/* A pipe takes this much whole or not at all, so lines of several threads never mix. */
#define LINE_SIZE  PIPE_BUF
#define VALUE_SIZE 1024

/* For what closes a line: ` truncated=true` or `,"truncated":true`, `}` and the line end. */
#define TAIL_SIZE 24

/* The first so many of a message are written in each window, the rest is counted. */
#define REPEAT_FREE      10
#define REPEAT_WINDOW_MS 1000
#define REPEAT_SLOTS     64
#define REPEAT_TEXT_SIZE 160

/* The pair that tells repetitions of a message apart: what one agent says often does not hide another's. */
#define REPEAT_KEY      "agent"
#define REPEAT_KEY_SIZE 65

struct line {
    char data[LINE_SIZE];
    size_t length;
    enum log_format format;
    bool cut;
};

/* A message that was seen within the last second. */
struct repeat {
    uint64_t hash;
    uint64_t since_ms;
    uint32_t seen; /* 0: the slot is empty */
    enum log_level level;
    char text[REPEAT_TEXT_SIZE];
    char agent[REPEAT_KEY_SIZE]; /* "": of no agent, or of those that had no room */
};

/* The one log of the process: there is one stderr. */
static struct {
    atomic_int level;
    atomic_int format;
    atomic_bool journal;
    pthread_mutex_t lock; /* the rest */
    struct repeat repeats[REPEAT_SLOTS];
    uint64_t dropped;
} shared = {.level = LOG_INFO, .format = LOG_TEXT, .lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char level_priorities[] = {'3', '4', '6', '7'}; /* sd-daemon(3) */

void log_configure(enum log_level level, enum log_format format, bool journal)
{
    atomic_store(&shared.level, (int)level);
    atomic_store(&shared.format, (int)format);
    atomic_store(&shared.journal, journal);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&shared.level, memory_order_relaxed);
}

/* Escaping */

static const char hex_digits[] = "0123456789abcdef";

/* The letter that stands for a byte after a backslash in both formats; 0 when there is none. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    case '"':
    case '\\': return (char)c;
    default: return 0;
    }
}

static bool is_plain(struct slice value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=')
            return false;
    }
    return true;
}

/* One byte as it stands between quotes in text; returns the length. */
static size_t escape_text_byte(char out[4], unsigned char c)
{
    char letter = short_escape(c);

    if (letter) {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (c >= ' ' && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex_digits[c >> 4];
    out[3] = hex_digits[c & 15];
    return 4;
}

/* One character as it stands in a JSON string; sets how many bytes of the value it was, returns the length.
 * Controls of the C1 block are escaped too, since terminals obey them. */
static size_t escape_json_char(char out[6], const unsigned char *p, size_t n, size_t *taken)
{
    size_t length = p[0] < 0x80 ? 1 : utf8_length(p, n);
    char letter = short_escape(p[0]);
    unsigned char code = length == 2 ? p[1] : p[0]; /* of a control */

    *taken = length > 0 ? length : 1;
    if (letter) {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (length > 0 && !utf8_is_control(p, length)) {
        memcpy(out, p, length);
        return length;
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex_digits[code >> 4];
    out[5] = hex_digits[code & 15];
    return 6;
}

/* Fills a quoted string up to room; sets *cut when not all of the value went in. */
static size_t quote(char *out, size_t room, struct slice value, enum log_format format, bool *cut)
{
    size_t length = 0, taken = 1;

    if (room < 2) {
        *cut = true;
        return 0;
    }
    out[length++] = '"';
    for (size_t i = 0; i < value.n; i += taken) {
        const unsigned char *p = (const unsigned char *)value.p + i;
        char unit[6];
        size_t n =
            format == LOG_JSON ? escape_json_char(unit, p, value.n - i, &taken) : escape_text_byte(unit, *p);

        if (length + n > room - 1) {
            *cut = true;
            break;
        }
        memcpy(out + length, unit, n);
        length += n;
    }
    out[length++] = '"';
    return length;
}

static size_t plain_or_quoted(char *out, size_t room, struct slice value, bool *cut)
{
    size_t n = value.n < room ? value.n : room;

    if (!is_plain(value))
        return quote(out, room, value, LOG_TEXT, cut);
    *cut = *cut || n < value.n;
    if (n > 0)
        memcpy(out, value.p, n);
    return n;
}

size_t log_escape_text(char *out, size_t room, struct slice value)
{
    bool cut = false;

    return plain_or_quoted(out, room, value, &cut);
}

size_t log_escape_json(char *out, size_t room, struct slice value)
{
    bool cut = false;

    return quote(out, room, value, LOG_JSON, &cut);
}

/* Lines */

static size_t line_room(const struct line *line)
{
    return sizeof line->data - TAIL_SIZE - line->length;
}

static void line_put(struct line *line, struct slice s)
{
    memcpy(line->data + line->length, s.p, s.n);
    line->length += s.n;
}

/* The key with what separates it from the last pair; false, and nothing written, when not even a short value
 * would fit. */
static bool line_put_key(struct line *line, const char *key)
{
    struct slice name = slice_of(key);

    if (line_room(line) < name.n + 32) {
        line->cut = true;
        return false;
    }
    if (line->format == LOG_TEXT) {
        line_put(line, SLICE(" "));
        line_put(line, name);
        line_put(line, SLICE("="));
    } else {
        line_put(line, SLICE(",\""));
        line_put(line, name);
        line_put(line, SLICE("\":"));
    }
    return true;
}

static void line_put_value(struct line *line, struct slice value, bool quoted)
{
    size_t room = line_room(line) < VALUE_SIZE ? line_room(line) : VALUE_SIZE;
    char *out = line->data + line->length;

    if (quoted || line->format == LOG_JSON)
        line->length += quote(out, room, value, line->format, &line->cut);
    else
        line->length += plain_or_quoted(out, room, value, &line->cut);
}

static void line_put_number(struct line *line, long long number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", number);

    line_put(line, (struct slice){digits, (size_t)n});
}

static void line_put_pair(struct line *line, const struct log_pair *pair)
{
    if (!line_put_key(line, pair->key))
        return;
    switch (pair->type) {
    case LOG_PAIR_TEXT: line_put_value(line, pair->value, false); break;
    case LOG_PAIR_NUMBER: line_put_number(line, pair->number); break;
    case LOG_PAIR_BOOL: line_put(line, pair->number ? SLICE("true") : SLICE("false")); break;
    }
}

/* Priority, time, level and message. Time is not the cached one: a start or a stall has no loop turns. */
static void line_begin(struct line *line, enum log_level level, struct slice message)
{
    struct timespec now = {0};
    char text[CLOCK_RFC3339_SIZE];
    int n;

    line->length = 0;
    line->cut = false;
    line->format = (enum log_format)atomic_load_explicit(&shared.format, memory_order_relaxed);
    if (atomic_load_explicit(&shared.journal, memory_order_relaxed)) {
        line_put(line, SLICE("<"));
        line_put(line, (struct slice){&level_priorities[level], 1});
        line_put(line, SLICE(">"));
    }
    clock_gettime(CLOCK_REALTIME, &now);
    n = clock_format((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, text);
    line_put(line, line->format == LOG_TEXT ? SLICE("time=") : SLICE("{\"time\":\""));
    line_put(line, (struct slice){text, (size_t)n});
    line_put(line, line->format == LOG_TEXT ? SLICE(" level=") : SLICE("\",\"level\":\""));
    line_put(line, slice_of(level_names[level]));
    line_put(line, line->format == LOG_TEXT ? SLICE(" msg=") : SLICE("\",\"msg\":"));
    line_put_value(line, message, true);
}

static void line_end(struct line *line)
{
    if (line->cut)
        line_put(line, line->format == LOG_TEXT ? SLICE(" truncated=true") : SLICE(",\"truncated\":true"));
    line_put(line, line->format == LOG_TEXT ? SLICE("\n") : SLICE("}\n"));
}

static bool line_write(const struct line *line)
{
    return console_write(STDERR_FILENO, line->data, line->length) == (ssize_t)line->length;
}

static void say_dropped(void)
{
    const struct log_pair count = LOG_N("lines", shared.dropped);
    struct line line;

    line_begin(&line, LOG_WARN, SLICE("log lines were dropped: the reader of stderr is too slow"));
    line_put_pair(&line, &count);
    line_end(&line);
    if (line_write(&line))
        shared.dropped = 0;
}

static void emit(struct line *line)
{
    line_end(line);
    if (shared.dropped > 0)
        say_dropped();
    if (shared.dropped > 0 || !line_write(line))
        shared.dropped++;
}

/* Repetitions */

static void say_repeat(struct repeat *slot)
{
    uint32_t held = slot->seen > REPEAT_FREE ? slot->seen - REPEAT_FREE : 0;
    const struct log_pair count = LOG_N("repeated", held), agent = LOG_S(REPEAT_KEY, slot->agent);
    struct line line;

    slot->seen = 0;
    if (held == 0)
        return;
    line_begin(&line, slot->level, slice_of(slot->text));
    if (*slot->agent)
        line_put_pair(&line, &agent);
    line_put_pair(&line, &count);
    emit(&line);
}

static uint64_t now_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct slice agent_of(const struct log_pair *pairs, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(pairs[i].key, REPEAT_KEY) == 0)
            return pairs[i].value;
    return (struct slice){0};
}

/* Ends windows that are over; the slot of this message, else an empty one, else the oldest, emptied, or
 * NULL. */
static struct repeat *find_slot(uint64_t hash, uint64_t now, bool may_empty)
{
    struct repeat *found = NULL, *oldest = &shared.repeats[0];

    for (size_t i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *slot = &shared.repeats[i];

        if (slot->seen > 0 && now - slot->since_ms >= REPEAT_WINDOW_MS)
            say_repeat(slot);
        if (slot->seen > 0 && slot->hash == hash)
            found = slot;
        if (slot->seen == 0 || (oldest->seen > 0 && slot->since_ms < oldest->since_ms))
            oldest = slot;
    }
    if (found)
        return found;
    if (oldest->seen > 0 && !may_empty)
        return NULL;
    say_repeat(oldest);
    return oldest;
}

static void copy(char *out, size_t size, struct slice text)
{
    size_t n = text.n < size ? text.n : size - 1;

    if (n > 0)
        memcpy(out, text.p, n);
    out[n] = '\0';
}

/* Counts the message; true when this one is to be held back. With more agents than slots the others share
 * one. */
static bool is_repetition(enum log_level level, struct slice message, struct slice agent)
{
    uint64_t now = now_ms();
    uint64_t hash = fnv64(FNV64_START ^ (uint64_t)level, message.p, message.n);
    uint64_t of_agent = fnv64(hash, agent.p, agent.n);
    struct repeat *slot = find_slot(of_agent, now, agent.n == 0);

    if (!slot) {
        agent = (struct slice){0};
        of_agent = hash;
        slot = find_slot(hash, now, true);
    }
    if (slot->seen == 0) {
        slot->hash = of_agent;
        slot->since_ms = now;
        slot->level = level;
        copy(slot->text, sizeof slot->text, message);
        copy(slot->agent, sizeof slot->agent, agent);
    }
    if (slot->seen < UINT32_MAX)
        slot->seen++;
    return slot->seen > REPEAT_FREE;
}

void log_flush(void)
{
    pthread_mutex_lock(&shared.lock);
    for (size_t i = 0; i < REPEAT_SLOTS; i++)
        say_repeat(&shared.repeats[i]);
    if (shared.dropped > 0)
        say_dropped();
    pthread_mutex_unlock(&shared.lock);
}

void log_pairs(enum log_level level, const char *message, const struct log_pair *pairs, int count)
{
    struct slice text = slice_of(message);
    struct line line;

    if (!log_enabled(level))
        return;
    pthread_mutex_lock(&shared.lock);
    if (level == LOG_DEBUG || !is_repetition(level, text, agent_of(pairs, count))) {
        line_begin(&line, level, text);
        for (int i = 0; i < count; i++)
            line_put_pair(&line, &pairs[i]);
        emit(&line);
    }
    pthread_mutex_unlock(&shared.lock);
}

void log_line(enum log_level level, const char *format, ...)
{
    char message[VALUE_SIZE];
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    log_pairs(level, message, NULL, 0);
}
