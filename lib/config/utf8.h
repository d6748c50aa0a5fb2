#ifndef CARPOOL_CONFIG_UTF8_H
#define CARPOOL_CONFIG_UTF8_H

#include <stdbool.h>

/* Well-formed UTF-8 (RFC 3629) without control characters. */
bool utf8_is_text(const char *text);

#endif
