#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
    struct slice name;
    uint64_t factor;
};

#define UNIT(name, factor)               \
    {                                    \
        {name, sizeof(name) - 1}, factor \
    }

/* Largest first, for the way out. */
static const struct unit time_units[] = {UNIT("h", 3600000), UNIT("m", 60000), UNIT("s", 1000),
                                         UNIT("ms", 1)};
static const struct unit size_units[] = {UNIT("MiB", 1048576), UNIT("KiB", 1024)};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Digits and one of the units, or no unit. */
static bool parse_with_unit(struct slice text, const struct unit *units, size_t count, uint64_t *value)
{
    unsigned long long number;
    size_t digits = 0;
    struct slice rest;

    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    if (!slice_to_u64((struct slice){text.p, digits}, &number))
        return false;
    rest = slice_from(text, digits);
    if (rest.n == 0) {
        *value = number;
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t product;

        if (!slice_eq(rest, units[i].name))
            continue;
        if (__builtin_mul_overflow(number, units[i].factor, &product))
            return false;
        *value = product;
        return true;
    }
    return false;
}

bool units_parse_time(struct slice text, uint64_t *ms)
{
    if (slice_eq(text, SLICE("off"))) {
        *ms = 0;
        return true;
    }
    return parse_with_unit(text, time_units, COUNT_OF(time_units), ms);
}

bool units_parse_size(struct slice text, uint64_t *bytes)
{
    return parse_with_unit(text, size_units, COUNT_OF(size_units), bytes);
}

bool units_parse_count(struct slice text, uint32_t *count)
{
    unsigned long long number;

    if (slice_eq(text, SLICE("Infinity"))) {
        *count = COUNT_INFINITE;
        return true;
    }
    if (!slice_to_u64(text, &number) || number >= COUNT_INFINITE)
        return false;
    *count = (uint32_t)number;
    return true;
}

static const char *format_with_unit(uint64_t value, const struct unit *units, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++) {
        if (value != 0 && value % units[i].factor == 0) {
            snprintf(out, UNITS_TEXT_SIZE, "%" PRIu64 "%s", value / units[i].factor, units[i].name.p);
            return out;
        }
    }
    snprintf(out, UNITS_TEXT_SIZE, "%" PRIu64, value);
    return out;
}

const char *units_format_time(uint64_t ms, char out[UNITS_TEXT_SIZE])
{
    if (ms == 0) {
        snprintf(out, UNITS_TEXT_SIZE, "off");
        return out;
    }
    return format_with_unit(ms, time_units, COUNT_OF(time_units), out);
}

const char *units_format_size(uint64_t bytes, char out[UNITS_TEXT_SIZE])
{
    return format_with_unit(bytes, size_units, COUNT_OF(size_units), out);
}

const char *units_format_count(uint32_t count, char out[UNITS_TEXT_SIZE])
{
    if (count == COUNT_INFINITE)
        snprintf(out, UNITS_TEXT_SIZE, "Infinity");
    else
        snprintf(out, UNITS_TEXT_SIZE, "%" PRIu32, count);
    return out;
}
