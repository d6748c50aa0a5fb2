#ifndef CARPOOL_HTTP_AGREEMENT_H
#define CARPOOL_HTTP_AGREEMENT_H

/* The second opinion of crosscheck.h, remembered: a fresh parser's verdict depends on nothing but the bytes,
 * and apps and services send the same ones over and over. What both parsers read alike once, to the last
 * byte, they read alike again. Only agreement is remembered, by each thread for itself. */

#include <stdbool.h>

#include "base/slice.h"

struct head;

/* As crosscheck_fields() and crosscheck_response(); `h` must be what head_parse_*() made of exactly these
 * bytes. */
bool agreement_on_fields(struct slice lines, const struct head *h);
bool agreement_on_response(struct slice data, const struct head *h);

#endif
