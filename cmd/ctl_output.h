#ifndef CARPOOL_CMD_CTL_OUTPUT_H
#define CARPOOL_CMD_CTL_OUTPUT_H

/* What carpoolctl prints. All that goes to stdout and stderr passes a filter, so that no byte of a server
 * steers the terminal: C0 (but for the line feed), DEL, C1 and what is no UTF-8 come out as \u00XX, which in
 * JSON is the same. */

#include <stdio.h>

/* Puts the filter before stdout and stderr. */
void ctl_output_begin(void);

/* An escape sequence of carpoolctl's own, such as a colour, past the filter of `out`. */
void ctl_put_sequence(FILE *out, const char *sequence);

/* The terminal itself, for curses. */
FILE *ctl_terminal(void);

/* Writes what is left. The exit status: `status`, or 1 with a sentence when stdout could not be written. */
int ctl_output_end(int status);

/* How many bytes the control character, or what is no UTF-8, has that begins `text`; 0: it is neither. */
unsigned ctl_control_length(const char *text);

#endif
