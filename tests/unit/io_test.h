#ifndef CARPOOL_TESTS_IO_TEST_H
#define CARPOOL_TESTS_IO_TEST_H

/* What the files of io_test share: a loop that runs until something is true, and peers on the loopback. */

#include <event2/event.h>
#include <stdbool.h>

#include "base/address.h"
#include "io/conn.h"
#include "unit.h"

/* A loop with two priorities, as a worker's. */
struct event_base *io_loop(void);

/* Runs the loop until `done` is true; fails the test after `ms`. */
void io_run_until(struct event_base *base, const bool *done, int ms);

/* Runs it for that long. */
void io_run_for(struct event_base *base, int ms);

/* A TCP listener of the test's own, blocking, on 127.0.0.1; its address. */
int io_listen(struct address *a, int backlog);

/* A port of 127.0.0.1 where nobody listens. */
struct address io_dead_address(void);

/* Two ends of a TCP connection: a stream, unwatched, and a blocking descriptor. */
int io_pair(struct conn *s);

/* The names of the test's directory, which is made at the first call and removed at the end of the process.
 */
const char *io_path(const char *name);

/* Wall milliseconds since some time. */
unsigned long long io_now(void);

void io_connector_tests(Suite *suite);
void io_parent_tests(Suite *suite);
void io_owner_tests(Suite *suite);
void io_race_tests(Suite *suite);
void io_binding_tests(Suite *suite);
void io_listener_tests(Suite *suite);
void io_resolv_conf_tests(Suite *suite);
void io_resolver_tests(Suite *suite);
void io_families_tests(Suite *suite);
void io_tls_accept_tests(Suite *suite);
void io_tls_connects_tests(Suite *suite);
void io_tls_data_tests(Suite *suite);
void io_tls_session_tests(Suite *suite);
void io_tls_packet_tests(Suite *suite);
void io_tls_tests(Suite *suite);

#endif
