#ifndef CARPOOL_DAEMON_PASSED_H
#define CARPOOL_DAEMON_PASSED_H

/* The listening sockets that systemd passed: whose they are, and what their owner must know. */

#include "config/config.h"
#include "daemon/endpoint.h"
#include "daemon/systemd.h"

/* What the FileDescriptorName stands for; *upstream points into it. False, and the socket is closed: nothing
 * that Carpool knows. */
bool passed_role(const struct service_fd *passed, enum role *role, const char **upstream);

/* A socket of systemd's can be reached from wherever its unit says: the rule for exposed addresses holds for
 * it, too. */
bool passed_are_allowed(const struct endpoint_list *list, const struct config *c, char *error,
                        size_t error_size);

/* Logs which of them serve nothing by this configuration. */
void passed_warn(const struct endpoint_list *list, const struct config *c);

#endif
