#ifndef CARPOOL_BASE_ADDRESS_H
#define CARPOOL_BASE_ADDRESS_H

/* Where sockets listen and connect, and who is inside a network. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/slice.h"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un unix_;
    } sa;
    socklen_t length;
};

/* What there is room for where there are very many: of a unix socket, that it is one. */
struct peer_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa;
};

void peer_address_set(struct peer_address *p, const struct address *a);
struct address peer_address_get(const struct peer_address *p);

/* "1.2.3.4" or "::1" (no brackets, no zone) with a port. False when it is no IP address. */
bool address_from_ip(struct address *a, struct slice ip, uint16_t port);

/* An IPv6 address (no brackets, no zone) in its shortest spelling, ended by a zero. False when it is none. */
bool address_spell_ipv6(struct slice ip, char out[INET6_ADDRSTRLEN]);

/* "127.0.0.1:80", "[::1]:80" (port 0 to 65535) or "unix:/path" (absolute, no query, short enough for the
 * kernel). False when it is none of these: a host name is not resolved here. */
bool address_parse(struct address *a, struct slice text);

/* 0 for a unix address. */
uint16_t address_port(const struct address *a);
void address_set_port(struct address *a, uint16_t port);

/* Same family, host and port (or path). */
bool address_equal(const struct address *a, const struct address *b);

/* Who listens at one keeps others from listening at the other: they are equal, or one is the wildcard of the
 * other's port. */
bool address_collides(const struct address *a, const struct address *b);

/* The same number for equal addresses: for lists that may confuse two of them without harm. */
uint64_t address_hash(const struct address *a);

/* Reached from this host only: 127.0.0.0/8 (IPv4-mapped too), ::1, and every unix socket. */
bool address_is_loopback(const struct address *a);
/* 0.0.0.0 (IPv4-mapped too) or "::". */
bool address_is_any(const struct address *a);

#define ADDRESS_TEXT_SIZE 128

/* "127.0.0.1:80", "[::1]:80", "unix:/path"; "unix" for a peer without a name. Returns out. */
const char *address_format(const struct address *a, char out[ADDRESS_TEXT_SIZE]);
const char *peer_address_format(const struct peer_address *p, char out[ADDRESS_TEXT_SIZE]);
/* The same without the port and brackets. */
const char *address_format_host(const struct address *a, char out[ADDRESS_TEXT_SIZE]);

/* A network: 16 bytes in the IPv6 form (IPv4 as ::ffff:a.b.c.d) and the length of its prefix in that form. */
struct cidr {
    uint8_t bytes[16];
    uint8_t bits;
    bool v4;
};

/* "10.0.0.0/8", "::1", "127.0.0.1" (a single address). False for a bad address, a prefix that is too long, or
 * host bits set. */
bool cidr_parse(struct cidr *c, struct slice text);

/* Of what is a network but for host bits that are set ("10.1.0.0/8"), what was probably meant: "10.0.0.0/8".
 * False: it is no such thing. */
bool cidr_suggest(struct slice text, char out[ADDRESS_TEXT_SIZE]);

bool cidr_equal(const struct cidr *a, const struct cidr *b);

/* An IPv4 network holds the IPv4-mapped IPv6 addresses too; an IPv6 network holds no IPv4 address unless it
 * was written in the mapped form, so that "::/0" means IPv6. Never true for a unix address. */
bool cidr_contains(const struct cidr *c, const struct address *a);

/* "10.0.0.0/8", "::1/128". */
const char *cidr_format(const struct cidr *c, char out[ADDRESS_TEXT_SIZE]);

/* The IPv4 address inside an IPv4-mapped, NAT64 (64:ff9b::/96) or 6to4 (2002::/16) one, with the same port;
 * false when `a` is none of these. A deny list must be asked about both. */
bool address_unwrap(const struct address *a, struct address *inner);

#endif
