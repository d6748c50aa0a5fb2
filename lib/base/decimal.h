#ifndef CARPOOL_BASE_DECIMAL_H
#define CARPOOL_BASE_DECIMAL_H

/* Numbers written by hand, where each request would pay for snprintf(). */

#include <stdint.h>

/* The digits of any number. */
#define DECIMAL_MAX 20

/* Writes the digits of n, without an end; returns where to go on. */
static inline char *decimal_put(char *at, uint64_t n)
{
    char reversed[DECIMAL_MAX];
    int count = 0;
    do
        reversed[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count > 0)
        *at++ = reversed[--count];
    return at;
}

#endif
