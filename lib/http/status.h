#ifndef CARPOOL_HTTP_STATUS_H
#define CARPOOL_HTTP_STATUS_H

/* The reason phrase of a status code (RFC 9110 15); "Unknown" for others. */
const char *status_reason(unsigned status);

#endif
