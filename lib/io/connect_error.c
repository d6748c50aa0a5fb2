#include "io/connect_error.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int connect_error_weight(enum connect_error error)
{
    switch (error) {
    case CONNECT_OK: return 0;
    case CONNECT_DNS_ERROR: return 1;
    case CONNECT_DNS_TIMEOUT: return 2;
    case CONNECT_UNROUTABLE: return 3;
    case CONNECT_REFUSED: return 4;
    case CONNECT_TERMINATED: return 5;
    case CONNECT_TIMEOUT: return 6;
    case CONNECT_PROHIBITED:
    case CONNECT_LOOP: return 7; /* what the others do makes no difference to the operator */
    case CONNECT_PARENT_REFUSED:
    case CONNECT_NOT_HTTP2:
    case CONNECT_TLS_PROTOCOL:
    case CONNECT_TLS_CERTIFICATE:
    case CONNECT_TLS_ALERT: return 8;
    case CONNECT_NO_RESOURCES: return 9;
    }
    return 0;
}

enum connect_error connect_error_of(int number)
{
    switch (number) {
    case ECONNREFUSED:
    case ENOENT: /* of a unix path: there is no listener */
    case EAGAIN: return CONNECT_REFUSED;
    case ETIMEDOUT: return CONNECT_TIMEOUT;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS: return CONNECT_NO_RESOURCES;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE: return CONNECT_TERMINATED;
    }
    return CONNECT_UNROUTABLE;
}

enum connect_error connect_error_of_tls(enum tls_failure failure)
{
    switch (failure) {
    case TLS_FAILURE_PROTOCOL: return CONNECT_TLS_PROTOCOL;
    case TLS_FAILURE_CERTIFICATE: return CONNECT_TLS_CERTIFICATE;
    case TLS_FAILURE_ALERT: return CONNECT_TLS_ALERT;
    case TLS_FAILURE_NONE:
    case TLS_FAILURE_IO: break;
    }
    return CONNECT_TERMINATED;
}

const char *connect_error_text(int number, char *out, size_t size)
{
    snprintf(out, size, "%s", strerror(number));
    *out = (char)tolower((unsigned char)*out);
    return out;
}

const char *connect_error_advice(int number)
{
    switch (number) {
    case EMFILE:
    case ENFILE: return ": raise the limit of open files (LimitNOFILE=, ulimit -n)";
    case EADDRNOTAVAIL: return " (no local port is left, or the host has no such address)";
    case ENOENT: return " (is its server running?)";
    case ENETUNREACH:
    case EHOSTUNREACH: return "; is the address right, and does this host have a route to it?";
    case EACCES:
    case EPERM: return " (a firewall, or the permissions of the socket file)";
    }
    return "";
}
