#ifndef CARPOOL_IO_CONNECT_ERROR_H
#define CARPOOL_IO_CONNECT_ERROR_H

/* What a connect's errno, or the failure of a handshake, means to a client of the proxy. */

#include "io/connector.h"

/* Of several failures, the one that says most about the origin (the heaviest) is told. A shortage of our own
 * comes before all. */
int connect_error_weight(enum connect_error error);

enum connect_error connect_error_of(int number);
enum connect_error connect_error_of_tls(enum tls_failure failure);

/* What to look at, to be put behind strerror(); "" when that says it all. */
const char *connect_error_advice(int number);

#endif
