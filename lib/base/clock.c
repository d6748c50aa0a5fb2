#include "base/clock.h"
#include "base/minmax.h"

#include <string.h>
#include <time.h>

/* The wall clock can be stepped; how far it stands from the other one is looked up this often. */
#define WALL_CHECK_US 1000000

/* The clock that goes on while the system is suspended is looked at this often. */
#define COMPARE_US 1000
/* What two clocks that are read one after the other may differ by. */
#define APART_US      1000
#define COMPARE_TRIES 10

struct clock_cache {
    uint64_t us;           /* 0: not read yet */
    uint64_t compared_us;  /* when the other clock was looked at */
    int64_t suspended_us;  /* by how much that one is ahead */
    uint64_t wall_us;      /* wall time ... */
    uint64_t wall_read_us; /* ... when the clock showed this */
};

static __thread struct clock_cache cache;

static uint64_t read_us(clockid_t id)
{
    struct timespec ts = {0};

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* How far the two clocks are apart, when nothing comes between the looks at them. */
__attribute__((noinline, cold)) static int64_t compare_clocks(void)
{
    uint64_t monotonic, boot;
    unsigned tries = 0;

    do {
        monotonic = read_us(CLOCK_MONOTONIC);
        boot = read_us(CLOCK_BOOTTIME);
    } while (read_us(CLOCK_MONOTONIC) - monotonic > APART_US && ++tries < COMPARE_TRIES);
    return (int64_t)(boot - monotonic);
}

static void note_suspend(uint64_t now)
{
    int64_t ahead = (int64_t)(read_us(CLOCK_BOOTTIME) - now);

    cache.compared_us = now;
    if (cache.us != 0 && ahead <= cache.suspended_us + APART_US)
        return;
    ahead = compare_clocks();
    if (cache.us == 0 || ahead > cache.suspended_us + APART_US)
        cache.suspended_us = ahead;
}

void clock_update(void)
{
    uint64_t now = read_us(CLOCK_MONOTONIC);

    if (cache.us == 0 || now - cache.compared_us >= COMPARE_US)
        note_suspend(now);
    if (cache.us == 0 || now - cache.wall_read_us >= WALL_CHECK_US) {
        cache.wall_us = read_us(CLOCK_REALTIME);
        cache.wall_read_us = now;
    }
    cache.us = now;
}

uint64_t clock_us(void)
{
    if (__builtin_expect(cache.us == 0, 0))
        clock_update();
    return cache.us;
}

uint64_t clock_ms(void)
{
    return clock_us() / 1000;
}

uint64_t clock_suspended_us(void)
{
    return (uint64_t)cache.suspended_us;
}

uint64_t clock_wall_ms(void)
{
    uint64_t now = clock_us();

    return (cache.wall_us + (now - cache.wall_read_us)) / 1000;
}

/* Year, month and day of a count of days since 1970-01-01: years begin in March here, so that the leap day
 * comes last, and 400 of them (an era) are 146097 days. gmtime_r() takes a lock for the time zone. */
static void date_of_days(uint32_t days, uint32_t *year, uint32_t *month, uint32_t *day)
{
    uint32_t shifted = days + 719468; /* days since 0000-03-01 */
    uint32_t era = shifted / 146097;
    uint32_t in_era = shifted % 146097;
    uint32_t year_in_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
    uint32_t march_month = (5 * in_year + 2) / 153;

    *day = in_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = era * 400 + year_in_era + (*month <= 2);
}

static char *put_digits(char *out, uint32_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + width;
}

/* 9999-12-31T23:59:59.999Z: later years have five digits. */
#define LAST_MS 253402300799999

int clock_format(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
    uint64_t ms = min64(wall_ms, LAST_MS);
    uint32_t in_day = (uint32_t)(ms % 86400000);
    uint32_t year, month, day;
    char *p = out;

    date_of_days((uint32_t)(ms / 86400000), &year, &month, &day);
    p = put_digits(p, year, 4);
    *p++ = '-';
    p = put_digits(p, month, 2);
    *p++ = '-';
    p = put_digits(p, day, 2);
    *p++ = 'T';
    p = put_digits(p, in_day / 3600000, 2);
    *p++ = ':';
    p = put_digits(p, in_day / 60000 % 60, 2);
    *p++ = ':';
    p = put_digits(p, in_day / 1000 % 60, 2);
    *p++ = '.';
    p = put_digits(p, in_day % 1000, 3);
    *p++ = 'Z';
    *p = '\0';
    return (int)(p - out);
}

void clock_format_http(uint64_t wall_ms, char out[CLOCK_HTTP_DATE_LENGTH + 1])
{
    static const char week[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t ms = min64(wall_ms, LAST_MS);
    uint32_t days = (uint32_t)(ms / 86400000), seconds = (uint32_t)(ms / 1000 % 86400);
    uint32_t year, month, day;

    date_of_days(days, &year, &month, &day);
    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", CLOCK_HTTP_DATE_LENGTH + 1);
    memcpy(out, week + days % 7 * 3, 3);
    put_digits(out + 5, day, 2);
    memcpy(out + 8, months + (month - 1) * 3, 3);
    put_digits(out + 12, year, 4);
    put_digits(out + 17, seconds / 3600, 2);
    put_digits(out + 20, seconds / 60 % 60, 2);
    put_digits(out + 23, seconds % 60, 2);
}

const char *clock_http_date(void)
{
    static __thread struct {
        uint64_t second; /* 0: none yet */
        char text[CLOCK_HTTP_DATE_LENGTH + 1];
    } last;
    uint64_t now_ms = clock_wall_ms();

    if (last.second != now_ms / 1000) {
        clock_format_http(now_ms, last.text);
        last.second = now_ms / 1000;
    }
    return last.text;
}
