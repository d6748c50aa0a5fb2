#ifndef CARPOOL_CA_UNIX_TIME_H
#define CARPOOL_CA_UNIX_TIME_H

#include <openssl/asn1.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Seconds since 1970. False, and *out stays, when it is no date. */
static inline bool unix_time(const ASN1_TIME *t, int64_t *out)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *out = timegm(&tm);
    return true;
}

#endif
