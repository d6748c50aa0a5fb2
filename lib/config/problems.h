#ifndef CARPOOL_CONFIG_PROBLEMS_H
#define CARPOOL_CONFIG_PROBLEMS_H

/* What is wrong with a file, collected so that all of it is reported at once, in the order of its lines. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "config/arena.h"

/* Where in the file, from 1 on. {0, 0}: nowhere in it. */
struct mark {
    uint32_t line, column;
};

/* For what an option of the command line said */
#define MARK_COMMAND_LINE ((struct mark){0, 1})

struct problem;

struct problems {
    struct arena *arena; /* holds the texts; not owned */
    const char *file;
    struct problem *first; /* the latest */
    uint32_t count;
    uint32_t errors;
};

void problem_error(struct problems *p, struct mark at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void problem_warning(struct problems *p, struct mark at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One a line: "FILE:LINE:COLUMN: error: ..." */
void problems_print(struct problems *p, FILE *out);

#endif
