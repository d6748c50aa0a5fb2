#ifndef CARPOOL_CMD_CTL_WORDS_H
#define CARPOOL_CMD_CTL_WORDS_H

/* Figures and texts as they are shown. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_WORD_SIZE 32

/* A short time for a cell: "-" (0), "350ms", "1.2s", "4m". Returns `out`. */
const char *ctl_short_time(double ms, char out[CTL_WORD_SIZE]);

/* A long one for a sentence: "40 s", "12 min", "3 h 12 min", "5 days". Returns `out`. */
const char *ctl_long_time(double ms, char out[CTL_WORD_SIZE]);

/* A span as in the daemon's sentences: "0 ms", "0.05 ms", "31 s", "12 min 31 s", "5 days". Returns `out`. */
const char *ctl_span(double ms, char out[CTL_WORD_SIZE]);

/* 9080 as "9,080". Returns `out`. */
const char *ctl_count(uint64_t n, char out[CTL_WORD_SIZE]);

/* Each control character becomes a `?`, so that a cell keeps its width and a sentence its line. */
void ctl_disarm(char *text);

/* Columns of a terminal that a UTF-8 text takes, were all its characters one wide. */
size_t ctl_width(const char *text);

/* The first line of a text that is wrapped to so many columns, between words where there are some: how many
 * bytes it has, of one character at least. `*text` goes to the next line, after the spaces before it. */
size_t ctl_take_line(const char **text, size_t columns);

#endif
