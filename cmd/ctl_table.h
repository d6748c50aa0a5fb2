#ifndef CARPOOL_CMD_CTL_TABLE_H
#define CARPOOL_CMD_CTL_TABLE_H

/* A table on paper: texts to the left, figures to the right, columns as wide as they need to be. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cell_style {
    CELL_PLAIN,
    CELL_BAD,  /* wrong */
    CELL_WARN, /* waiting, or at a limit */
    CELL_DIM,  /* idle */
    CELL_HEAD,
    CELL_BAR, /* of a plot */
    CELL_REVERSE,
    CELL_CHOSEN, /* in a reversed line */
};

/* The escape sequence that begins a style; "\033[0m" ends it. */
const char *table_style(enum cell_style style);

struct table_column {
    const char *title;
    bool is_text;
};

struct table_cell {
    char *text;
    enum cell_style style;
};

struct table {
    const struct table_column *columns;
    size_t column_count;
    struct table_cell *cells; /* row by row */
    size_t cell_count;
    size_t wrapped; /* columns of the terminal in which the last text is wrapped; 0: it is not */
};

void table_begin(struct table *t, const struct table_column *columns, size_t count);

/* The next cell of a row; a row is complete with its last column. Exits when memory is short. */
void table_add(struct table *t, enum cell_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same of a count: "9,080". */
void table_add_count(struct table *t, enum cell_style style, uint64_t n);

/* With its head; with colours for a terminal. */
void table_print(const struct table *t, FILE *out, bool colours);
void table_free(struct table *t);

/* A text in a style of the table. */
void table_print_styled(FILE *out, const char *text, enum cell_style style, bool colours);

struct wrapping {
    size_t columns;       /* 0: one line */
    size_t first, others; /* where the first line begins, and the others */
    enum cell_style style;
    bool colours;
};

/* A text in lines that end between words; its control characters become `?`. */
void table_print_wrapped(FILE *out, const char *text, const struct wrapping *w);

#endif
