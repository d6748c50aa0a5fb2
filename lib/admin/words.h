#ifndef CARPOOL_ADMIN_WORDS_H
#define CARPOOL_ADMIN_WORDS_H

/* Figures as they stand in sentences. */

#include "admin/text.h"

/* 9080 as "9,080". */
void words_count(struct text *t, uint64_t n);

/* "1 connection", "9,080 connections". */
void words_counted(struct text *t, uint64_t n, const char *one);

/* So many of them for each of those: "3.9", "16". */
void words_average(struct text *t, uint64_t sum, uint64_t of);

/* "4 of 45 requests". */
void words_part(struct text *t, uint64_t part, uint64_t whole, const char *one);

/* A time with its two largest units at most: "0.4 ms", "35 ms", "2.1 s", "31 s", "12 min 31 s", "3 h 12 min",
 * "5 days". */
void words_time(struct text *t, double ms);

/* A share in per cent: "59 %", "0.4 %". */
void words_percent(struct text *t, uint64_t part, uint64_t whole);

#endif
