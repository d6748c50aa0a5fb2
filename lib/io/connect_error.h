#ifndef CARPOOL_IO_CONNECT_ERROR_H
#define CARPOOL_IO_CONNECT_ERROR_H

/* What a connect's errno, or the failure of a handshake, means to a client of the proxy. */

#include <stddef.h>

#include "io/connector.h"

/* Of several failures, the one that says most about the origin (the heaviest) is reported. A shortage of our
 * own comes before all. */
int connect_error_weight(enum connect_error error);

enum connect_error connect_error_of(int number);
enum connect_error connect_error_of_tls(enum tls_failure failure);

/* What strerror() says, as the end of a sentence: "connection refused". Returns `out`. */
const char *connect_error_text(int number, char *out, size_t size);

/* What to look at, to be put after that; "" when it says all. */
const char *connect_error_advice(int number);

#endif
