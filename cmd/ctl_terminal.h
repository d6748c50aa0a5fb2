#ifndef CARPOOL_CMD_CTL_TERMINAL_H
#define CARPOOL_CMD_CTL_TERMINAL_H

/* A terminal for a program that fills the screen: one that knows ECMA-48, as all do that are in use. */

#include <stdbool.h>
#include <stdio.h>

#include "cmd/ctl_table.h"

enum terminal_key { KEY_NONE = 256, KEY_LEAVE, KEY_LEFT, KEY_RIGHT, KEY_UP, KEY_DOWN }; /* or a character */

/* Takes the terminal of stdin and stdout over; false when there is none. It is given back at terminal_end(),
 * and by signals that end the program or stop it. */
bool terminal_begin(void);
void terminal_end(void);

/* Whether it shows UTF-8. */
bool terminal_is_utf8(void);

/* Waits for a key, for at most so long; KEY_NONE when none came, or when the size of the terminal has
 * changed. */
int terminal_key(int timeout_ms);

/* One picture of the screen, drawn from the top left corner line by line and shown in one write. */
struct picture {
    int columns, rows;
    int row, column; /* where the next text goes */
    FILE *text;
    char *bytes;
    size_t size;
};

void picture_begin(struct picture *p);
/* A text in so many columns, cut or padded; nothing goes beyond the line's end. A control character is shown
 * as `?`. */
void picture_put(struct picture *p, enum cell_style style, const char *text, int width);
/* The same from the right. */
void picture_put_right(struct picture *p, enum cell_style style, const char *text, int width);
void picture_next_line(struct picture *p);
void picture_show(struct picture *p);

#endif
