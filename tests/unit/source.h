#ifndef CARPOOL_TESTS_SOURCE_H
#define CARPOOL_TESTS_SOURCE_H

/* A file of the source tree as text, by its name from the root; ends the program where there is none. The
 * caller frees it. */
char *read_source(const char *name);

#endif
