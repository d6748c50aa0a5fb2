#ifndef CARPOOL_TESTS_CONFIG_TEST_H
#define CARPOOL_TESTS_CONFIG_TEST_H

#include "config/config.h"
#include "unit.h"

/* What the last load told, and the same without its end of line where there is one line. */
struct told {
    char *text;
    size_t lines;
};

/* Parses `text` as /dir/c.yaml; NULL when it is refused. `told` (may be NULL) takes the messages; free its
 * text. */
struct config *config_of(const char *text, struct told *told);

/* The text is fine and tells nothing. Unref the result. */
struct config *good_config(const char *text);

/* The text is refused, and this line stands among the messages. */
void assert_refused(const char *text, const char *line);

/* The text is refused with a message that holds these words. */
void assert_refused_for(const char *text, const char *words);

/* The text is taken, and this line stands among the messages. */
void assert_warned(const char *text, const char *line);

char *printed(const struct config *c);

void add_part_tests(Suite *suite);
void add_mistake_tests(Suite *suite);
void add_match_tests(Suite *suite);
void add_reload_tests(Suite *suite);
void add_tls_tests(Suite *suite);
void add_print_tests(Suite *suite);

#endif
